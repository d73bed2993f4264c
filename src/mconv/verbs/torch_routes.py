"""From a live PyTorch model to a Program: through ``torch.export``, or through ONNX."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import MconvError, UnsupportedError
from mconv.options.torch import EXPORT, ONNX
from mconv.program.port_rows import row_of
from mconv.program.program import Port
from mconv.proof.report import paddle_operators
from mconv.proof.torch_runner import TorchRunner
from mconv.proof.verdict import reservation
from mconv.torch.convert import imported
from mconv.torch.exporting import Exported, export, first_line, lowest_dtype, prepared, sizes_of
from mconv.torch.importer import Imported
from mconv.torch.quiet import quiet
from mconv.torch.scripting import export_script
from mconv.torch.sources import Source
from mconv.verbs.produced import Facts, Produced
from mconv.verbs.torch_decisions import Settled, loops_hold, settled
from mconv.verbs.torch_inputs import Plan, labels_of
from mconv.verbs.torch_onnx_route import through_onnx
from mconv.verbs.torch_request import KEPT, Request, input_shape, tensors
from mconv.verbs.torch_sizes import Lost, lost
from mconv.warned import Warned, code_of

_BOTH = "--debug shows what torch says"


def produce(source: Source, plan: Plan, request: Request, runner: TorchRunner) -> tuple[Produced, str, str]:
    """The program, the route that led to it (X2Paddle's is the one through ONNX), and why that one.

    Args:
        runner: the model, with all of its outputs; it is asked at sizes that an exporter may have fixed.

    Raises:
        UnsupportedError: no route leads there; ``rows`` has the operators of the first one.
    """
    chosen = request.chosen
    if chosen.engine == "x2paddle" or chosen.via == ONNX:
        return through_onnx(source, plan, request, runner)
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
        made, route, how = through_onnx(source, plan, request, runner)
    except Exception as second:
        said = second.message if isinstance(second, MconvError) else f"a bug of mconv: {first_line(second)}"
        both = UnsupportedError(f"{first.message}; through ONNX: {said}", _BOTH, first.rows)
        both.rows = both.rows or list(second.rows if isinstance(second, MconvError) else [])
        raise both from second
    made.facts.warnings.insert(0, Warned("through-onnx", f"converted through ONNX: {first.message}"))
    return made, route, f"{how}; not torch.export: {first.message}"


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
        [row_of(port, i.name, i.dtype.label, input_shape(i, fixed)) for i, port in zip(plan.inputs, program.feeds)],
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
    made = imported(exported, request.chosen.goal, widen=not request.chosen.keep_dtype)
    export = _Export(made, exported, lost(exported, plan, runner, tensors(plan)))
    export.unshown = [] if held else list(map(os.path.basename, exported.loops))
    return export


def _narrowed(source: Source, plan: Plan, request: Request, runner: TorchRunner, export: _Export) -> _Export:
    """Exported again with the sizes fixed that torch fixes in its own way, so that the result says so."""
    fixed = {label for one in export.lost if one.restriction.fixes for label in one.restriction.labels}
    fixed -= {label for _, label, _ in export.made.fixed}
    if not fixed:
        export.lost = [one for one in export.lost if not one.restriction.fixes]
        return export
    sizes = sizes_of(tensors(plan), plan.dims)
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
    examples = tensors(plan)
    if source.positional:
        return export_script(source.module, examples, dims)
    return export(source.module, examples, dims, strict=False if plan.answers else mode, answers=plan.answers)


def _save(exported: Exported, path: Path) -> None:
    import torch

    with quiet():
        torch.export.save(exported.program, path)


def _present(request: Request, made: Imported) -> list[str]:
    """The names of the outputs that the program has, in its order."""
    names = [n for n in request.outputs if n in request.selected]
    return names if len(names) == len(made.program.fetches) else [p.name for p in made.program.fetches]


def _unrolled(location: str) -> dict[str, str]:
    text = f"{location} loops over what a mask selects, the result over all of its rows: no input is known that leaves one out"
    return reservation("decision", text)


def _named(port: Port, labels: Sequence[Optional[str]], names: set[str]) -> list[Any]:
    """The dimensions of an output; those of an input that the user gave one of *names* are called the same."""
    if len(labels) != len(port.shape):  # a 0-d tensor is [1] before 2.6
        return list(port.shape)
    return [label if dim == -1 and label in names else dim for label, dim in zip(labels, port.shape)]


__all__ = ["produce"]
