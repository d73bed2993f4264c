"""TorchScript → ``torch.export.ExportedProgram``, by torch's own converter."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional
from unittest import mock

from mconv.errors import UnsupportedError
from mconv.torch.exporting import Exported, first_line, prepared
from mconv.torch.quiet import quiet
from mconv.torch.tracing import dynamic_sizes


def export_script(module: Any, examples: Mapping[str, Any], dims: Mapping[str, Sequence[Optional[str]]]) -> Exported:
    """Export a ScriptModule.

    Args:
        module: what ``torch.jit.load`` gave.
        examples: input → torch tensor, in the order in which the module takes them.
        dims: input → names of its dimensions; those with a name are dynamic.

    Raises:
        UnsupportedError: torch's converter cannot take it.
    """
    import torch

    start = time.perf_counter()
    auto = torch.export.Dim.AUTO
    shapes = tuple({i: auto for i, d in enumerate(dims.get(n, ())) if d is not None} for n in examples)
    try:
        from torch._export import converter

        # it asks for every size to be dynamic; here those that the user wants are
        patch = mock.patch.object(converter, "_tree_map_with_path", lambda function, tree: shapes)
        with torch.no_grad(), dynamic_sizes(), quiet(), patch:
            program = converter.TS2EPConverter(module, tuple(examples.values()), {}).convert()
    except Exception as e:  # noqa: BLE001 - whatever the converter raises is its reason
        raise UnsupportedError(
            f"torch's converter cannot take this TorchScript ({first_line(e)})",
            "--via onnx takes the route through PyTorch's ONNX exporter",
        ) from None
    seconds = {"torch.export": time.perf_counter() - start}
    made = prepared(program, {n: list(d) for n, d in dims.items()}, "torch's converter of TorchScript")
    made.inputs = list(examples)
    made.dims = dict(dims)
    made.seconds = {**seconds, **made.seconds}
    return made
