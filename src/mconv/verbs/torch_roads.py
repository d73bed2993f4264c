"""From a live PyTorch model to a Program: through ``torch.export``, or through ONNX."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.errors import MconvError, UnsupportedError
from mconv.factory.inputs import Input
from mconv.onnx import describe
from mconv.onnx.reader import OnnxModel, read
from mconv.program.dtypes import DType
from mconv.program.program import Port
from mconv.torch.convert import imported
from mconv.torch.exporting import Exported, export, lowest_dtype, prepared
from mconv.torch.importer import Imported
from mconv.torch.onnx_export import Written, export_onnx
from mconv.torch.scripting import export_script
from mconv.torch.sources import Source
from mconv.verbs import precision
from mconv.verbs.onnx2paddle import Produced, native, paddle_operators
from mconv.verbs.options import EXPORT, ONNX, Torch2Paddle
from mconv.verbs.proof import reservation
from mconv.verbs.torch_inputs import Plan, labels_of, traceable
from mconv.verify.torch_runner import tensor_of

_BOTH = "--debug shows what torch says"
KEPT = {EXPORT: "intermediate.pt2", ONNX: "intermediate.onnx"}


@dataclass
class Request:
    """What is to be made of the model.

    Attributes:
        outputs: all of the model's, in order.
        selected: those that are wanted.
        chosen: what the caller said.
        keep: where to leave the intermediate graph; None: nowhere.
        scratch: a folder for what is not kept.
    """

    outputs: list[str]
    selected: list[str]
    chosen: Torch2Paddle
    keep: Optional[Path]
    scratch: Path


def produce(source: Source, plan: Plan, request: Request) -> tuple[Produced, str, str]:
    """The program, the road that led to it (X2Paddle's is the one through ONNX), and why that one.

    Raises:
        UnsupportedError: no road leads there; ``rows`` has the operators of the first one.
    """
    chosen = request.chosen
    if chosen.engine == "x2paddle" or chosen.via == ONNX:
        return _through_onnx(source, plan, request)
    try:
        return _through_export(source, plan, request)
    except UnsupportedError as first:
        if chosen.via == EXPORT:
            raise
        chosen.progress(f"through ONNX: {first.message}")
        try:
            made, road, how = _through_onnx(source, plan, request)
        except MconvError as second:
            both = UnsupportedError(f"{first.message}; through ONNX: {second.message}", _BOTH, first.rows)
            both.rows = both.rows or list(getattr(second, "rows", []) or [])
            raise both from second
        made.facts["warnings"].insert(0, f"converted through ONNX: {first.message}")
        return made, road, f"{how}; not torch.export: {first.message}"


# torch.export -------------------------------------------------------------------------------------------------------


def _through_export(source: Source, plan: Plan, request: Request) -> tuple[Produced, str, str]:
    request.chosen.progress(f"tracing {source.label} with torch.export")
    made, exported = _exported(source, plan, request)
    if request.keep is not None:
        _save(exported, request.keep / KEPT[EXPORT])
    operators = [{"domain": "aten", "operator": o, "count": n} for o, n in made.operators.most_common()]
    fixed = [{"input": n, "dimension": d, "size": size} for n, d, size in made.fixed]
    told = ("torch fixed the dimension", "is not kept between runs")  # these are said in the form of the report
    warnings = [w for w in made.notes if not any(t in w for t in told)]
    program = made.program
    names = {d for i in plan.inputs for d in i.dims if isinstance(d, str)}
    facts = {
        "inputs": [_port(i.name, i.dtype.label, port, _shape(i, fixed)) for i, port in zip(plan.inputs, program.feeds)],
        "outputs": [
            _port(n, None, port, _named(port, labels, names))
            for n, port, labels in zip(_present(request, made), program.fetches, made.dims)
        ],
        "operators": operators,
        "paddle_operators": paddle_operators(program),
        "fused": dict(made.fused),
        "warnings": warnings,
        "fixed": fixed,
    }
    produced = Produced(program, made.params, facts, made.seconds, precision=lowest_dtype(exported.program))
    return produced, EXPORT, exported.how


def _exported(source: Source, plan: Plan, request: Request) -> tuple[Imported, Exported]:
    """Exported and imported; in the other mode of torch.export too where the first fixed a size."""
    best: Optional[tuple[Imported, Exported]] = None
    modes: Sequence[Optional[bool]] = (None, True) if source.program is None and not source.positional else (None,)
    for mode in modes:
        try:
            exported = _export(source, plan, mode)
            exported.outputs = [n if n in request.selected else None for n in exported.outputs]
            made = imported(exported, request.chosen.target, widen=not request.chosen.keep_dtype)
        except UnsupportedError:
            if best is None:
                raise
            continue
        if best is None or len(made.fixed) < len(best[0].fixed):
            best = made, exported
        if not made.fixed:
            break
    assert best is not None
    return best


def _export(source: Source, plan: Plan, mode: Optional[bool]) -> Exported:
    dims = plan.dims
    source.restore()
    if source.program is not None:
        made = prepared(source.program, dims, "the archive's own graph")
        made.inputs = [i.name for i in plan.inputs]
        return made
    examples = _tensors(plan)
    if source.positional:
        return export_script(source.module, examples, dims)
    return export(source.module, examples, dims, strict=mode)


def _tensors(plan: Plan) -> dict[str, Any]:
    types = {i.name: i.dtype for i in plan.inputs}
    return {n: tensor_of(a.copy(), types[n]) for n, a in traceable(plan.sets[0], plan.inputs).items()}


def _save(exported: Exported, path: Path) -> None:
    import torch

    from mconv.torch.quiet import quiet

    with quiet():
        torch.export.save(exported.program, path)


def _present(request: Request, made: Imported) -> list[str]:
    """The names of the outputs that the program has, in its order."""
    names = [n for n in request.outputs if n in request.selected]
    return names if len(names) == len(made.program.fetches) else [p.name for p in made.program.fetches]


def fixed_text(fixed: dict[str, Any]) -> str:
    return (
        f"input {fixed['input']!r}: torch fixed the dimension {fixed['dimension']!r} to {fixed['size']}: the result takes "
        "no other size"
    )


def _shape(one: Input, fixed: Sequence[dict[str, Any]]) -> list[Any]:
    """The dimensions as the user calls them; the size of those that torch fixed."""
    sizes = {f["dimension"]: f["size"] for f in fixed if f["input"] == one.name}
    return [sizes.get(label, dim) if label else dim for label, dim in zip(labels_of(one), one.dims)]


def _named(port: Port, labels: Sequence[Optional[str]], names: set[str]) -> list[Any]:
    """The dimensions of an output; those of an input that the user gave one of *names* are called the same."""
    if len(labels) != len(port.shape):  # a 0-d tensor is [1] before 2.6
        return list(port.shape)
    return [label if dim == -1 and label in names else dim for label, dim in zip(labels, port.shape)]


def _port(name: str, dtype: Optional[str], port: Port, shape: list[Any]) -> dict[str, Any]:
    here = None if port.dtype is None else port.dtype.label
    return {
        "name": name,
        "dtype": dtype or here,
        "paddle_name": port.name,
        "paddle_dtype": here,
        "shape": [None if d == -1 else d for d in shape],
    }


# ONNX ---------------------------------------------------------------------------------------------------------------


def _through_onnx(source: Source, plan: Plan, request: Request) -> tuple[Produced, str, str]:
    chosen = request.chosen
    folder = request.keep or request.scratch
    chosen.progress(f"writing {source.label} as ONNX with PyTorch's exporters")
    source.restore()
    written = export_onnx(
        source.module, _tensors(plan), plan.dims, request.outputs, folder / KEPT[ONNX],
        positional=source.positional, program=source.program, opset=13 if chosen.engine == "x2paddle" else None,
        restore=source.restore,
    )  # fmt: skip
    start = time.perf_counter()
    model = read(written.path)
    _select(model, request)
    _complete(model, plan)
    seconds = {**written.seconds, "read": time.perf_counter() - start}
    fixed = _fixed(model, plan)
    if chosen.engine == "x2paddle":
        from mconv.verbs import x2paddle

        made = x2paddle.produce(model, {}, chosen)
    else:
        made, _ = native(model, chosen.target, {})
    made.seconds = {**seconds, **made.seconds}
    made.precision = precision.of_onnx(model.proto)
    made.keep = made.keep, model  # parameters are read from the file when they are written
    for one, given in zip(made.facts["inputs"], plan.inputs):
        one["shape"] = _shape(given, fixed)
    made.facts["fixed"] = fixed
    made.facts["warnings"] += written.notes
    made.facts["reservations"] = [reservation("decision", text) for text in written.decisions]
    return made, ONNX, written.how


def _select(model: OnnxModel, request: Request) -> None:
    """Keep the outputs that are wanted; what only the others need is dead and goes with them."""
    outputs = model.proto.graph.output
    kept = [o for o in outputs if o.name in request.selected]
    if len(kept) != len(outputs):
        del outputs[:]
        outputs.extend(kept)


def _complete(model: OnnxModel, plan: Plan) -> None:
    """All inputs in the order of the plan: the exporters leave out those that nothing in their graph reads."""
    from onnx import helper

    graph = model.proto.graph
    present = {i.name: i for i in graph.input}
    for one in plan.inputs:
        if one.name not in present:
            kind = helper.np_dtype_to_tensor_dtype(one.dtype.numpy) if one.dtype is not DType.BF16 else 16
            dims = [d if isinstance(d, int) else label for d, label in zip(one.dims, labels_of(one))]
            present[one.name] = helper.make_tensor_value_info(one.name, kind, dims)
    named = {i.name for i in plan.inputs}
    ordered = [present[i.name] for i in plan.inputs] + [i for n, i in present.items() if n not in named]
    del graph.input[:]
    graph.input.extend(ordered)


def _fixed(model: OnnxModel, plan: Plan) -> list[dict[str, Any]]:
    shapes = describe.shapes_of(model, {})
    return [
        {"input": name, "dimension": label, "size": dim}
        for name, labels in plan.dims.items()
        for label, dim in zip(labels, shapes.get(name, ()))
        if label is not None and isinstance(dim, int) and dim >= 0
    ]


__all__ = ["KEPT", "Request", "Written", "fixed_text", "produce"]
