"""A PyTorch model → Paddle program and parameters: export, import, then the passes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mconv.passes.fuse import fuse
from mconv.program.targets import DEFAULT, Target
from mconv.torch.exporting import Exported, export
from mconv.torch.importer import Imported, Importer


def convert(
    module: Any,
    examples: Mapping[str, Any],
    dims: Optional[Mapping[str, Sequence[Any]]] = None,
    target: Target = DEFAULT,
    *,
    strict: Optional[bool] = None,
    widen: bool = True,
) -> Imported:
    """Convert a ``torch.nn.Module``.

    Args:
        module: the model; it is put into eval mode.
        examples: input → torch tensor to trace with.
        dims: input → names of its dimensions; those with a name are dynamic, None is fixed.
        target: the Paddle that will load the result.
        strict: which mode of torch.export; None tries both.
        widen: carry float16 and bfloat16 as float32.

    Returns:
        The program with ``seconds`` by phase: ``torch.export``, ``decompositions``, ``import``, ``passes``.

    Raises:
        UnsupportedError: torch cannot export it, or operators cannot be converted; ``rows`` lists them all.
        UsageError: ``forward`` has no such input.
    """
    return imported(export(module, examples, dims or {}, strict=strict), target, widen=widen)


def imported(exported: Exported, target: Target = DEFAULT, *, widen: bool = True) -> Imported:
    """Convert what has been exported."""
    made = Importer(
        exported.program,
        target,
        inputs=exported.inputs,
        outputs=exported.outputs,
        dims=dict(exported.dims),
        widen=widen,
    ).run()
    start = time.perf_counter()
    made.fused = fuse(made.program, made.params, target)
    made.params = {v.name: made.params[v.name] for v in made.program.parameters}
    made.seconds = {**exported.seconds, **made.seconds, "passes": time.perf_counter() - start}
    made.notes[:0] = exported.notes
    return made
