"""``mconv edit``: a model with other sizes, names, inputs, outputs or files, and the proof that the rest is the same."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts import provenance
from mconv.artifacts.described import carry
from mconv.artifacts.destination import Destination
from mconv.errors import (
    MconvError,
    RuntimeFailedError,
    UnsupportedError,
    UsageError,
)
from mconv.onnx.describe import source_of
from mconv.onnx.reader import OnnxModel
from mconv.options.edit import Edit
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.program.targets import Target, version_text
from mconv.proof.attempt import attempted
from mconv.proof.available import runtime_for
from mconv.proof.report import Report, paddle_operators
from mconv.proof.verdict import NOT_DONE, Proof
from mconv.recognise import SourceKind, recognise
from mconv.runtimes import Runtime
from mconv.verbs import edit_onnx, edit_paddle
from mconv.verbs.edit_proof import prove_onnx, prove_paddle
from mconv.verbs.frame import Frame
from mconv.verbs.produced import counted_operators

_ADVICE = "`mconv verify SOURCE RESULT --layers` finds where it begins"


@dataclass(repr=False)
class EditReport(Report):
    """What ``mconv edit`` made: a :class:`~mconv.proof.report.Report`, and

    Attributes:
        sizes: ``INPUT.AXIS`` → the number that it is now.
        constants: inputs that have one value for good.
        removed: what is gone: ``operators`` and ``parameters`` (how many), ``inputs`` and ``outputs`` (their names).
        weights: how the weights are stored.
        declared: tensors inside whose shape is known now and was not.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    removed: dict[str, Any] = field(default_factory=dict)
    weights: str = ""
    declared: int = 0


def edit(chosen: Edit) -> EditReport:
    """Edit the model *path*: of a Paddle model *out* is the folder to make, of an ONNX model the ``.onnx`` file.

    Raises:
        NotAModelError, CorruptModelError, UntrustedError: *path* is no sound model.
        UsageError: a name that the model does not have (the hint says which are near), or something that does not fit it.
        UnsupportedError: it cannot be cut, converted or stored so.
        VerificationError, RuntimeFailedError: the result computes something else, or cannot be run; it is kept in
            ``OUT.failed-verification``.
        RuntimeUnavailableError, MissingDependencyError: with *verify* or *fold*, there is nothing to run it in.
        OutputExistsError: *out* is there already.
    """
    kind = recognise(chosen.path)
    if kind is SourceKind.ONNX:
        return _onnx(Path(chosen.path), Path(chosen.out), chosen)
    if kind in (SourceKind.PADDLE, SourceKind.PIR):
        return _paddle(chosen.path, Path(chosen.out), chosen)
    raise UnsupportedError(
        f"{chosen.path}: {kind.value}, which has no graph to edit yet", "convert it first: mconv torch2paddle"
    )


# Paddle -------------------------------------------------------------------------------------------------------------


def _paddle(path: PathLike, out: Path, chosen: Edit) -> EditReport:
    start = time.perf_counter()
    if chosen.opset is not None:
        raise UsageError("--opset: a Paddle model has none", "mconv to-onnx --opset, or mconv downgrade --target")
    source = edit_paddle.read(path, chosen)
    found = source.found
    style = edit_paddle.style_of(source, chosen)
    goal = source.target
    saved_by = source.saved_by or version_text(source.program.version)
    described = {"path": str(found.program), "era": found.era.name.lower(), "saved_by": saved_by}
    report = EditReport("edit", "native", described, goal.described(), weights=style)
    frame = Frame(report, chosen, Destination.of_folder(out), start)
    report.warnings += source.notes
    made = edit_paddle.edit(source, chosen)
    frame.since_start("read")
    runtime, why = _runtime(source.target, chosen, bool(made.sizes))
    recording = provenance.Recording(
        "edit",
        provenance.model_sources(found, source.params.values()),
        target=goal.name,
        options=_options(chosen, style),
    )
    with (
        frame.opened(recording=recording) as folder,
        tempfile.TemporaryDirectory(prefix="mconv-edit-") as scratch,
    ):
        if runtime is not None and (chosen.fold or (made.sizes and chosen.verify is not False)):
            chosen.progress(f"running it in {runtime.label} for what is always the same")
            try:
                edit_paddle.settle(source, made, chosen, runtime, Path(scratch))
            except RuntimeFailedError as e:
                if chosen.fold:
                    raise
                report.warnings.append(f"the shapes inside stay as they were declared: {e.message}")
        names = edit_paddle.finish(source, made, chosen)
        with frame.phase("write"):
            program, params = edit_paddle.write(made, folder, style)
        report.output = {"folder": str(out), "program": program.name, "program_bytes": program.stat().st_size}
        if params is not None:
            report.output.update({"params": params.name, "params_bytes": params.stat().st_size})
        carry(found, folder, made.program.feeds, chosen.new_names)
        _describe(report, made, names, source.program, made.program, len(source.params), len(made.params))
        report.inputs, report.outputs = edit_paddle.ports(made.program, made.inputs, made.outputs)
        report.paddle_operators = paddle_operators(made.program)

        def proof() -> Proof:
            if runtime is None:
                return Proof(NOT_DONE, why)
            return prove_paddle(source, made, (program, params), runtime, chosen, Path(scratch), report)

        frame.prove(proof, advice=_ADVICE)
        report.warnings += _left_open(report)
    return report


def _runtime(target: Target, chosen: Edit, sizes: bool) -> tuple[Optional[Runtime], str]:
    """Where to run the models, or why nowhere.

    Raises:
        RuntimeUnavailableError, MissingDependencyError: that is asked for, and there is none.
    """
    if chosen.verify is False and not chosen.fold:
        return None, ""
    found = attempted(lambda: runtime_for(target, chosen.runtime), must=chosen.must_verify or chosen.fold)
    if not isinstance(found, MconvError):
        return found, ""
    inside = "; the shapes inside stay as they were declared" if sizes else ""
    return None, Proof.not_done(found).reason + inside


def _options(chosen: Edit, style: str) -> dict[str, Any]:
    """What changes the result, for its provenance."""
    said = {
        "dims": chosen.dims, "constants": chosen.constants, "inputs": chosen.inputs, "outputs": chosen.outputs,
        "add_outputs": chosen.add_outputs, "drop_outputs": chosen.drop_outputs, "drop_inputs": chosen.drop_inputs,
        "without_nms": chosen.without_nms, "renames": chosen.renames, "opset": chosen.opset, "fold": chosen.fold,
        "target": chosen.target and str(chosen.target),
    }  # fmt: skip
    plain = {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in said.items() if v}
    return {**plain, "weights": style}


def _describe(
    report: EditReport, made: Any, names: dict[str, str], before: Program, after: Program, had: int, has: int
) -> None:
    report.sizes, report.folded, report.declared = made.sizes, made.folded, made.declared
    report.constants = list(made.fixed)
    report.renamed = {old: new for old, new in names.items() if old != new}
    counts = [sum(op.type not in ("feed", "fetch") for _, op in p.ops()) for p in (before, after)]
    report.removed = _removed(
        counts[0] - counts[1],
        had - has if report.weights != "inside" else 0,
        [p.name for p in before.feeds if p.name not in made.inputs],
        [p.name for p in before.fetches if p.name not in made.outputs],
    )


def _removed(operators: int, parameters: int, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    return {"operators": max(0, operators), "parameters": max(0, parameters), "inputs": inputs, "outputs": outputs}


def _left_open(report: EditReport) -> list[str]:
    """Where sizes were fixed: the others for which the model takes one number only, as a recogniser's height."""
    sets = (report.verification or {}).get("input_sets") or []
    found = []
    for port in report.inputs if report.sizes and len(sets) > 1 else []:
        for axis, size in enumerate(port["shape"] or ()):
            ran = {tuple(shapes[port["name"]])[axis : axis + 1] for shapes in sets if port["name"] in shapes}
            if not (isinstance(size, int) and size >= 0) and len(ran) == 1 and ran != {()}:
                (number,) = ran.pop()
                name = f"{port['name']}.{axis}"
                found.append(
                    f"{name} stays open, and what depends on it; the model ran at {number}: --dim {name}={number}"
                )
    return found


# ONNX ---------------------------------------------------------------------------------------------------------------


def _onnx(path: Path, out: Path, chosen: Edit) -> EditReport:
    start = time.perf_counter()
    if out.name in ("", ".", ".."):
        raise UsageError(f"{out}: no name for a file", "give the .onnx file to write")
    source = edit_onnx.read(path)
    report = EditReport("edit", "native", source_of(source), {"name": "onnx", "opset": edit_onnx.opset_of(source)})
    external = [(name, path.parent / name) for name in report.source["external_files"]]
    with tempfile.TemporaryDirectory(prefix="mconv-edit-") as scratch:
        made = edit_onnx.edit(source, chosen, Path(scratch))
        report.warnings += made.notes
        report.target["opset"] = edit_onnx.opset_of(made.model)
        style = edit_onnx.style_of(made, chosen)
        report.weights = style
        edit_onnx.arrange(made, style)
        names = [out.name, *([edit_onnx.data_name(out)] if edit_onnx.is_split(made, style) else [])]
        destination = Destination.beside(out.parent, out.name.removesuffix(".onnx"), dict(zip(names, names)))
        frame = Frame(report, chosen, destination, start)
        frame.since_start("read")
        with frame.opened([path, *(p for _, p in external)]) as folder:
            frame.record(
                provenance.Recording("edit", [path, *external], options=_options(chosen, style), packages=("onnx",))
            )
            model, *data = edit_onnx.write(made, folder / out.name, style)
            report.output = {"file": str(out), "bytes": sum(p.stat().st_size for p in (model, *data))}
            _describe_onnx(report, made, source)
            frame.prove(lambda: prove_onnx(path, source, made, model, chosen, report), advice=_ADVICE)
            report.warnings += _left_open(report)
    return report


def _describe_onnx(report: EditReport, made: edit_onnx.Edited, source: OnnxModel) -> None:
    before, after = source.proto.graph, made.model.proto.graph
    report.sizes, report.folded, report.constants = made.sizes, made.folded, list(made.fixed)
    report.inputs, report.outputs = edit_onnx.ports(made)
    report.renamed = made.renamed
    report.operators = counted_operators(after.node)
    report.removed = _removed(
        len(before.node) - len(after.node),
        len(before.initializer) - len(after.initializer),
        [n for n in edit_onnx.fed(before) if n not in made.inputs],
        [o.name for o in before.output if o.name not in made.outputs],
    )


__all__ = ["EditReport", "edit"]
