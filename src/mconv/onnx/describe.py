"""What there is to say about a model and its conversion: the parts of ``report.json`` that this room knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

from mconv.onnx.external import external_files
from mconv.onnx.importer import Imported
from mconv.onnx.reader import OnnxModel
from mconv.onnx.sizes import size_of
from mconv.onnx.types import type_name
from mconv.program.port_rows import PortRow, row_of
from mconv.program.program import Program

Dim = Union[int, str, None]


def inputs_of(model: OnnxModel) -> dict[str, str]:
    """Name → element type of the inputs that are fed, in order; an initializer that could be overridden is none."""
    constants = {t.name for t in model.proto.graph.initializer}
    return {
        i.name: type_name(i.type.tensor_type.elem_type)
        for i in model.proto.graph.input
        if i.name not in constants and i.type.HasField("tensor_type")
    }


def shapes_of(model: OnnxModel, overrides: Mapping[str, Sequence[Dim]]) -> dict[str, tuple[Dim, ...]]:
    """Name → dimensions of the inputs: numbers, symbols, or None where nothing is known of a size."""
    found: dict[str, tuple[Dim, ...]] = {}
    wanted = inputs_of(model)
    for info in model.proto.graph.input:
        if info.name in wanted:
            dims = [size_of(d) for d in info.type.tensor_type.shape.dim]
            given = overrides.get(info.name)
            if given is not None:
                # ? keeps a symbol and opens a number, as the importer has it
                have = dims if len(dims) == len(given) else [None] * len(given)
                dims = [(h if isinstance(h, str) else None) if g is None else g for g, h in zip(given, have)]
            found[info.name] = tuple(dims)
    return found


def opened(model: OnnxModel, overrides: Mapping[str, Sequence[Dim]]) -> list[str]:
    """The inputs for which *overrides* lets go of a size that the model states, or changes it."""
    stated = shapes_of(model, {})
    return [
        name
        for name, given in overrides.items()
        if any(isinstance(have, int) and have != want for have, want in zip(stated.get(name, ()), given))
    ]


def source_of(model: OnnxModel) -> dict[str, Any]:
    """The file, in the report's form; its hash is computed elsewhere."""
    proto = model.proto
    producer = f"{proto.producer_name} {proto.producer_version}".strip()
    return {
        "path": None if model.path is None else str(model.path),
        "bytes": None if model.path is None else model.path.stat().st_size,
        "external_files": external_files(model),
        "ir_version": proto.ir_version,
        "opsets": {domain or "ai.onnx": version for domain, version in sorted(model.opsets.items())},
        "producer": producer or None,
        "graph": proto.graph.name or None,
    }


def ports_of(
    model: OnnxModel, program: Program, overrides: Mapping[str, Sequence[Dim]]
) -> tuple[list[PortRow], list[PortRow]]:
    """``inputs`` and ``outputs`` of the report: each with its name and type in the model and in Paddle."""
    shapes = shapes_of(model, overrides)
    inputs: list[PortRow] = []
    outputs: list[PortRow] = []
    for (name, dtype), port in zip(inputs_of(model).items(), program.feeds):
        inputs.append(row_of(port, name, dtype, shapes[name]))
    for info, port in zip(model.proto.graph.output, program.fetches):
        outputs.append(row_of(port, info.name, type_name(info.type.tensor_type.elem_type), port.shape))
    return inputs, outputs


def operators_of(made: Imported) -> list[dict[str, Any]]:
    """The operators of the model with their counts, most frequent first."""
    rows = []
    for key, count in made.operators.items():
        domain, _, name = key.rpartition("::")
        rows.append({"domain": domain or "ai.onnx", "operator": name, "count": count})
    return sorted(rows, key=lambda r: (-int(r["count"]), r["domain"], r["operator"]))
