"""Models in float16 and bfloat16, computed in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mconv.factory.inputs import Input
from mconv.program.dtypes import DType
from mconv.torch.sources.source import Source


def widen(source: Source) -> list[str]:
    """Make the 16-bit weights of a live module float32; returns what is to be said about it.

    An exported program is left as it is: its graph names the types, and the importer reads them as float32. It is
    given its inputs in its own type.
    """
    import torch

    halves = {t.dtype for t in [*source.module.parameters(), *source.module.buffers()]} & {
        torch.float16,
        torch.bfloat16,
    }
    if not halves:
        return []
    names = " and ".join(sorted(str(d).removeprefix("torch.") for d in halves))
    if source.program is None:
        for tensor in [*source.module.parameters(), *source.module.buffers()]:
            if tensor.dtype in halves:
                tensor.data = tensor.data.float()
    source.inputs = widened(source, source.inputs)
    return [f"its {names} weights are carried as float32, which CPUs compute in; --keep-dtype leaves them"]


def widened(source: Source, inputs: Sequence[Input]) -> list[Input]:
    """*inputs* of *source*, those of 16 bits as float32; an exported program is given them in its own type."""
    import torch

    kinds = {DType.FP16: torch.float16, DType.BF16: torch.bfloat16}
    if source.program is not None:
        source.casts.update({i.name: kinds[i.dtype] for i in inputs if i.dtype in kinds})
        examples = source.examples or {}
        source.examples = {n: a.astype("float32") if n in source.casts else a for n, a in examples.items()} or None
    return [replace(i, dtype=DType.FP32) if i.dtype in kinds else i for i in inputs]
