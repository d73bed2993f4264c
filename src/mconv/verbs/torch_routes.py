"""From a live PyTorch model to a Program: through ``torch.export``, or through ONNX."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mconv.errors import MconvError, MissingDependencyError, RuntimeFailedError, UnsupportedError
from mconv.factory.inputs import Input
from mconv.onnx import describe
from mconv.onnx.reader import OnnxModel, read
from mconv.options.torch import EXPORT, ONNX, Torch2Paddle
from mconv.program.dtypes import DType
from mconv.program.port_rows import row_of
from mconv.program.program import Port
from mconv.proof import precision
from mconv.proof.report import paddle_operators
from mconv.proof.runners import OnnxRunner
from mconv.proof.torch_runner import TorchRunner, tensor_of
from mconv.proof.verdict import reservation
from mconv.torch.convert import imported
from mconv.torch.exporting import Exported, export, first_line, lowest_dtype, prepared, sizes_of
from mconv.torch.importer import Imported
from mconv.torch.onnx_export import export_onnx
from mconv.torch.scripting import export_script
from mconv.torch.sources import Source
from mconv.verbs import x2paddle
from mconv.verbs.onnx2paddle import native
from mconv.verbs.produced import Facts, Produced
from mconv.verbs.torch_decisions import Settled, loops_hold, settled
from mconv.verbs.torch_inputs import Plan, labels_of, traceable
from mconv.verbs.torch_sizes import Lost, lost, same
from mconv.warned import Warned, code_of

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


def produce(source: Source, plan: Plan, request: Request, runner: TorchRunner) -> tuple[Produced, str, str]:
    """The program, the route that led to it (X2Paddle's is the one through ONNX), and why that one.

    Args:
        runner: the model, with all of its outputs; it is asked at sizes that an exporter may have fixed.

    Raises:
        UnsupportedError: no route leads there; ``rows`` has the operators of the first one.
    """
    chosen = request.chosen
    if chosen.engine == "x2paddle" or chosen.via == ONNX:
        return _through_onnx(source, plan, request, runner)
    try:
        export = _exported(source, plan, request, runner)
    except UnsupportedError as first:
        decided = _decided(source, plan, request, runner, first)
        if isinstance(decided, tuple):
            return decided
        export = decided
    if not export.lost:
        return _from_export(export, plan, request)
    conditions = ", ".join(dict.fromkeys(one.restriction.text for one in export.lost))
    reason = UnsupportedError(f"torch.export fixes sizes that the model leaves open ({conditions})")
    if chosen.via != EXPORT:
        try:
            more = replace(plan, sets=[*plan.sets, *(one.feed for one in export.lost)])
            instead = _instead(source, more, request, runner, reason)
            plan.sets[:] = more.sets  # the proof compares at those sizes, too
            return instead
        except UnsupportedError as second:
            export.notes.append(second.message)
    return _from_export(_narrowed(source, plan, request, runner, export), plan, request)


def _instead(
    source: Source, plan: Plan, request: Request, runner: TorchRunner, first: UnsupportedError
) -> tuple[Produced, str, str]:
    """Through ONNX, where torch.export does not lead.

    Raises:
        UnsupportedError: *first*, with what ends the other route.
    """
    request.chosen.progress(f"through ONNX: {first.message}")
    try:
        made, route, how = _through_onnx(source, plan, request, runner)
    except Exception as second:
        said = second.message if isinstance(second, MconvError) else f"a bug of mconv: {first_line(second)}"
        both = UnsupportedError(f"{first.message}; through ONNX: {said}", _BOTH, first.rows)
        both.rows = both.rows or list(second.rows if isinstance(second, MconvError) else [])
        raise both from second
    made.facts.warnings.insert(0, Warned("through-onnx", f"converted through ONNX: {first.message}"))
    return made, route, f"{how}; not torch.export: {first.message}"


# torch.export -------------------------------------------------------------------------------------------------------


@dataclass
class _Export:
    """What torch.export led to.

    Attributes:
        made: the converted program.
        exported: the exported one.
        lost: the sizes that it does not take and the model does.
        narrowed: the dimensions that were fixed for it: name → size.
        notes: why no other route was taken.
        undecided: locations that decide by values, and do as for the inputs traced with.
        unshown: loops over all rows of a mask, where no input is known that leaves one out.
    """

    made: Imported
    exported: Exported
    lost: list[Lost]
    narrowed: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    unshown: list[str] = field(default_factory=list)


def _from_export(export: _Export, plan: Plan, request: Request) -> tuple[Produced, str, str]:
    made, exported = export.made, export.exported
    if request.keep is not None:
        _save(exported, request.keep / KEPT[EXPORT])
    operators = [{"domain": "aten", "operator": o, "count": n} for o, n in made.operators.most_common()]
    fixed = [{"input": n, "dimension": d, "size": size} for n, d, size in made.fixed]
    fixed += [
        {"input": name, "dimension": label, "size": export.narrowed[label]}
        for name, labels in plan.dims.items()
        for label in labels
        if label in export.narrowed
    ]
    conditions = list(dict.fromkeys(one.restriction.text for one in export.lost))
    told = ("dimension-fixed", "state-lost")  # these are said in the form of the report
    warnings = [*(w for w in made.notes if code_of(w) not in told), *export.notes]
    limits = [f"the result is right only where {c}: torch.export assumes it, the model does not" for c in conditions]
    program = made.program
    names = {d for i in plan.inputs for d in i.dims if isinstance(d, str)}
    facts = Facts(
        [row_of(port, i.name, i.dtype.label, _shape(i, fixed)) for i, port in zip(plan.inputs, program.feeds)],
        [
            row_of(port, n, None if port.dtype is None else port.dtype.label, _named(port, labels, names))
            for n, port, labels in zip(_present(request, made), program.fetches, made.dims)
        ],
        operators,
        paddle_operators(program),
        fused=dict(made.fused),
        warnings=warnings,
        fixed=fixed,
        frozen=list(export.undecided),
        reservations=[
            *(reservation("size", text) for text in limits),
            *map(_unrolled, export.unshown),
        ],
    )
    produced = Produced(program, made.params, facts, made.seconds, precision=lowest_dtype(exported.program))
    return produced, EXPORT, exported.how


def _exported(source: Source, plan: Plan, request: Request, runner: TorchRunner) -> _Export:
    """Exported and imported; in the other mode of torch.export too where the first lost sizes.

    Raises:
        UnsupportedError: torch cannot export it, or operators cannot be converted.
    """
    request.chosen.progress(f"tracing {source.label} with torch.export")
    best = _attempt(source, plan, request, runner, None)
    conditions = [one for one in best.lost if not one.restriction.plain]
    conditions.sort(key=lambda one: one.restriction.fixes)
    live = source.program is None and not source.positional
    # traced where a size has to be padded, a program pads by nothing where it has not; then in the other mode
    for mode, feeds in ((None, [one.feed for one in conditions[:1]]), (True, plan.sets[:1])):
        if not best.lost or not live:
            break
        for feed in feeds:
            with contextlib.suppress(UnsupportedError):
                other = _attempt(source, replace(plan, sets=[feed, *plan.sets]), request, runner, mode)
                if len(other.lost) < len(best.lost):
                    if not other.lost:
                        plan.sets += [one.feed for one in best.lost]  # the proof compares at those sizes, too
                    best = other
    return best


def _decided(
    source: Source, plan: Plan, request: Request, runner: TorchRunner, first: UnsupportedError
) -> Union[_Export, tuple[Produced, str, str]]:
    """What torch.export does not take, as it decides by values perhaps: on the ways that are right for every input; else
    through ONNX, where a script keeps the decisions; else on the ways that the inputs traced with take.

    Raises:
        UnsupportedError: *first*, with what ends the other routes.
    """
    found = settled(source, plan)
    if found is not None and not found.undecided:
        with contextlib.suppress(UnsupportedError):
            return _on(found, source, plan, request, runner)
    if request.chosen.via == EXPORT and (found is None or not found.undecided):
        raise first
    reasons = first
    try:
        if request.chosen.via != EXPORT:
            return _instead(source, plan, request, runner, first)
    except UnsupportedError as both:
        if found is None or not found.undecided:
            raise
        reasons = both
    assert found is not None
    try:
        return _on(found, source, plan, request, runner)
    except UnsupportedError as last:
        where = ", ".join(found.undecided)
        message = f"{reasons.message}; decided at {where} as for the inputs traced with: {last.message}"
        raise UnsupportedError(message, reasons.hint, last.rows or reasons.rows) from last


def _on(found: Settled, source: Source, plan: Plan, request: Request, runner: TorchRunner) -> _Export:
    made = _exported(source, found.plan, request, runner)
    plan.sets[:], plan.answers = found.plan.sets, found.plan.answers
    made.notes += found.notes
    made.undecided = found.undecided
    return made


def _attempt(source: Source, plan: Plan, request: Request, runner: TorchRunner, mode: Optional[bool]) -> _Export:
    exported = _export(source, plan, mode)
    held = not exported.loops or loops_hold(source, plan, exported.loops)
    exported.outputs = [n if n in request.selected else None for n in exported.outputs]
    made = imported(exported, request.chosen.goal.name, widen=not request.chosen.keep_dtype)
    export = _Export(made, exported, lost(exported, plan, runner, _tensors(plan)))
    export.unshown = [] if held else list(map(os.path.basename, exported.loops))
    return export


def _narrowed(source: Source, plan: Plan, request: Request, runner: TorchRunner, export: _Export) -> _Export:
    """Exported again with the sizes fixed that torch fixes in its own way, so that the result says so."""
    fixed = {label for one in export.lost if one.restriction.fixes for label in one.restriction.labels}
    fixed -= {label for _, label, _ in export.made.fixed}
    if not fixed:
        export.lost = [one for one in export.lost if not one.restriction.fixes]
        return export
    sizes = sizes_of(_tensors(plan), plan.dims)
    inputs = [
        replace(i, dims=tuple(sizes[n] if n in fixed else d for n, d in zip(labels_of(i), i.dims))) for i in plan.inputs
    ]
    made = _exported(source, replace(plan, inputs=inputs), request, runner)
    made.lost = [one for one in made.lost if not one.restriction.fixes]
    made.narrowed, made.notes, made.undecided = {n: sizes[n] for n in fixed}, export.notes, export.undecided
    return made


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
    return export(source.module, examples, dims, strict=False if plan.answers else mode, answers=plan.answers)


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


# ONNX ---------------------------------------------------------------------------------------------------------------


def _through_onnx(source: Source, plan: Plan, request: Request, runner: TorchRunner) -> tuple[Produced, str, str]:
    chosen = request.chosen
    folder = request.keep or request.scratch
    chosen.progress(f"writing {source.label} as ONNX with PyTorch's exporters")
    source.restore()
    notes: list[str] = []
    written = export_onnx(
        source.module, _tensors(plan), plan.dims, request.outputs, folder / KEPT[ONNX],
        positional=source.positional, program=source.program, opset=13 if chosen.engine == "x2paddle" else None,
        restore=source.restore, check=lambda path: _wrong(path, plan, runner, notes),
    )  # fmt: skip
    start = time.perf_counter()
    model = read(written.path)
    _select(model, request)
    _complete(model, plan)
    seconds = {**written.seconds, "read": time.perf_counter() - start}
    fixed = _fixed(model, plan)
    if chosen.engine == "x2paddle":
        made = x2paddle.produce(model, {}, chosen)
    else:
        made, _ = native(model, chosen.goal.name, {})
    made.seconds = {**seconds, **made.seconds}
    made.precision = precision.of_onnx(model.proto)
    made.keep = made.keep, model  # parameters are read from the file when they are written
    for one, given in zip(made.facts.inputs, plan.inputs):
        one["shape"] = _shape(given, fixed)
    made.facts.fixed = fixed
    made.facts.warnings += notes
    made.facts.frozen = list(written.decisions)
    return made, ONNX, written.how


def _unrolled(location: str) -> dict[str, str]:
    text = f"{location} loops over what a mask selects, the result over all of its rows: no input is known that leaves one out"
    return reservation("decision", text)


def _wrong(path: Path, plan: Plan, runner: TorchRunner, notes: list[str]) -> str:
    """What is wrong with a file that an exporter wrote: ONNX Runtime does not run it, or answers otherwise than torch.

    Args:
        notes: takes why it was not tried.
    """
    try:
        reference = OnnxRunner(path)
    except MissingDependencyError as e:
        notes[:] = [f"what PyTorch's exporter wrote was not tried: {e.message}"]
        return ""
    except RuntimeFailedError as e:
        return _short(e, path)
    with reference:
        taken = {spec.name for spec in reference.specs()}
        for feed in plan.sets:
            wanted = runner.run([feed])
            try:
                got = reference.run([{n: a for n, a in feed.items() if n in taken}])
            except RuntimeFailedError as e:
                return f"{_short(e, path)} (at {_shapes(feed)})"
            for name, one, other in zip(wanted.names, wanted.outputs[0], got.outputs[0]):
                if not same(one, other):
                    return f"its {name} is another in {reference.label} than in PyTorch at {_shapes(feed)}"
    return ""


def _short(error: MconvError, path: Path) -> str:
    return error.message.replace(str(path), "the file")[:160]


def _shapes(feed: Mapping[str, np.ndarray]) -> str:
    return " ".join(f"{n}[{','.join(map(str, a.shape))}]" for n, a in feed.items())


def _complete(model: OnnxModel, plan: Plan) -> None:
    """All inputs of the plan, in its order: an exporter leaves out those that the graph does not read."""
    import onnx

    graph = model.proto.graph
    present = {i.name: i for i in graph.input}
    wanted = []
    for one in plan.inputs:
        info = present.pop(one.name, None)
        if info is None:
            shape = [d if isinstance(d, int) else n for d, n in zip(one.dims, labels_of(one))]
            kind = onnx.TensorProto.BFLOAT16 if one.dtype is DType.BF16 else None
            kind = kind or onnx.helper.np_dtype_to_tensor_dtype(np.dtype(one.dtype.numpy))
            info = onnx.helper.make_tensor_value_info(one.name, kind, shape)
        wanted.append(info)
    wanted += present.values()
    kept = [onnx.ValueInfoProto.FromString(i.SerializeToString()) for i in wanted]
    del graph.input[:]
    graph.input.extend(kept)


def _select(model: OnnxModel, request: Request) -> None:
    """Keep the outputs that are wanted; what only the others need is dead and goes with them."""
    outputs = model.proto.graph.output
    kept = [o for o in outputs if o.name in request.selected]
    if len(kept) != len(outputs):
        del outputs[:]
        outputs.extend(kept)


def _fixed(model: OnnxModel, plan: Plan) -> list[dict[str, Any]]:
    shapes = describe.shapes_of(model, {})
    return [
        {"input": name, "dimension": label, "size": dim}
        for name, labels in plan.dims.items()
        for label, dim in zip(labels, shapes.get(name, ()))
        if label is not None and isinstance(dim, int) and dim >= 0
    ]


__all__ = ["KEPT", "Request", "fixed_text", "produce"]
