"""``mconv convert``: any source → ``serving_server/`` + ``serving_client/``, the whole chain in one go."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts import provenance
from mconv.artifacts.output import staged
from mconv.errors import (
    MconvError,
    MissingDependencyError,
    RuntimeUnavailableError,
    UnprovedError,
    UsageError,
    VerificationError,
)
from mconv.factory import loading
from mconv.options.convert import Convert
from mconv.options.declare import Options
from mconv.options.layers import ToStatic
from mconv.options.models import Downgrade
from mconv.options.onnx import Onnx2Paddle
from mconv.options.serving import ToServing
from mconv.options.torch import Torch2Paddle
from mconv.options.verify import Verify
from mconv.page.shown import Shown
from mconv.printable import json_text
from mconv.program import targets
from mconv.program.files import Era, load_program, locate
from mconv.program.paths import PathLike
from mconv.proof.prove import NOT_DONE, PASSED, UNPROVED
from mconv.proof.report import FAILED_SUFFIX, NAME, Report, versions
from mconv.serving.convert import ServingResult
from mconv.serving.scaffold import options_from
from mconv.verbs.downgrade import to_serving
from mconv.verbs.recognise import SourceKind, recognise
from mconv.warned import Warned, code_of, coded

INFERENCE = "inference"  # the folder of --keep-inference
SERVICE = "service"
_NO_PROOF = {"status": NOT_DONE, "reason": ""}


@dataclass(repr=False)
class Converted(Shown):
    """What :func:`convert` made; every field is JSON as it stands.

    Attributes:
        source: as given, and what it is (``kind``: ``onnx``, ``torch``, ``layer``, ``paddle``, ``pir``).
        target: ``name`` and ``paddle``.
        server, client: the two folders; ``service``, ``inference`` the others that were asked for.
        inputs, outputs: ``name`` (the variable), ``alias`` (what clients call it), ``dtype``, ``shape`` (known sizes).
        steps: ``step``, ``seconds`` of each.
        verification: the figures; see docs/report.md.
        half: what ``--half`` made of the model; see docs/report.md; None without.
        seconds: time by phase, and ``total``.
    """

    source: dict[str, Any]
    target: dict[str, Any]
    server: str = ""
    client: str = ""
    service: Optional[str] = None
    inference: Optional[str] = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    verification: dict[str, Any] = field(default_factory=lambda: dict(_NO_PROOF))
    half: Optional[dict[str, Any]] = None
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    command: str = "convert"
    schema: int = 1

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "coded_warnings": coded(self.warnings)}


def convert(chosen: Convert) -> Converted:
    """Convert whatever the source is into ``OUT/serving_server/`` and ``OUT/serving_client/``.

    Raises:
        MconvError: that of the conversion; what differs from the source is kept in ``OUT.failed-verification``.
    """
    start = time.perf_counter()
    goal, source, out = chosen.goal, chosen.source, Path(chosen.out)
    kind = recognise(source, chosen.framework)
    _refuse(kind, source, chosen)
    if chosen.pipeline is not None:
        options_from(chosen.pipeline)  # refuses what is wrong before anything is converted
    result = Converted(
        {"path": os.fspath(source), "kind": kind.name.lower()}, {"name": goal.name, "paddle": goal.paddle}
    )
    result.versions = versions()
    chosen.progress(f"{os.fspath(source)} is {kind.value}")
    file = (loading.split(os.fspath(source)) or ("", ""))[0]  # of a factory
    given = [p for p in (source, file, chosen.weights, chosen.feeds_file) if p and os.path.exists(p)]
    with staged(out, force=chosen.force, protect=given) as folder:
        model = folder / INFERENCE
        first: Optional[Report] = None
        if kind not in (SourceKind.PADDLE, SourceKind.PIR):
            try:
                first = _first(kind, model, chosen)
            except MconvError as e:
                _keep_failed(e, model, out)
                raise
            result.steps.append({"step": first.command, "seconds": first.seconds.get("total", 0.0)})
            result.warnings += first.warnings
            result.verification = first.verification or dict(_NO_PROOF)
            result.half = first.half
            result.versions.update(first.versions)
            result.seconds.update({k: v for k, v in first.seconds.items() if k != "total"})
            result.source = {**first.source, **result.source}
        elif chosen.half is not None:
            from mconv.verbs.downgrade import downgrade

            brought = downgrade(Downgrade(source, model, target=goal, half=chosen.half))
            result.half = brought.half
            result.warnings += brought.warnings
        between = first is not None or chosen.half is not None
        chosen.progress("writing serving_server/ and serving_client/")
        step = time.perf_counter()
        made = to_serving(_serving(model if between else source, folder, chosen, between=between))
        made.warnings = [w for w in made.warnings if code_of(w) != "parameters-copied"]
        result.warnings += made.warnings
        if made.service is not None:
            result.warnings += [note for note in made.service.notes if note not in result.warnings]
        result.seconds["serving"] = time.perf_counter() - step
        result.steps.append({"step": "to-serving", "seconds": round(result.seconds["serving"], 4)})
        if between:
            _join_provenance(model, folder)
        else:
            _prove_paddle(source, made, chosen, result)
        _describe(result, made, out, chosen.pipeline is not None)
        if first is not None and chosen.keep_inference:
            result.inference = first.output["folder"] = str(out / INFERENCE)
            first.write(model)
        elif between:
            _remove(model)
        result.seconds["total"] = time.perf_counter() - start
        result.seconds = {name: round(value, 4) for name, value in result.seconds.items()}
        text = json_text({"schema": result.schema, **result.to_dict()}, indent=2)
        (folder / NAME).write_text(text + "\n", "utf-8", "backslashreplace")
    return result


def _refuse(kind: SourceKind, source: PathLike, chosen: Convert) -> None:
    """Options that the source has no use for.

    Raises:
        UsageError: names the first.
    """
    kinds: dict[SourceKind, type[Options]] = {
        SourceKind.ONNX: Onnx2Paddle,
        SourceKind.TORCH: Torch2Paddle,
        SourceKind.LAYER: ToStatic,
    }
    for one in chosen.foreign_to(kinds.get(kind)):
        raise UsageError(f"{one.flag}: {os.fspath(source)} is {kind.value}, which has no use for it", "leave it out")


def as_paddle_model(
    source: PathLike, folder: Path, *, target: Optional[targets.Target] = None, timeout: float = 600
) -> tuple[PathLike, list[str]]:
    """A source as a Paddle model with a ``.pdmodel``: itself where it is one, else what is made of it in *folder*.

    Returns:
        Where the model is, and the warnings of the conversion.

    Raises:
        MconvError: that of the conversion.
    """
    kind = recognise(source)
    if kind is SourceKind.PADDLE:
        return source, []
    goal = target or targets.get(targets.DEFAULT_TARGET)
    if kind is SourceKind.PIR:
        from mconv.verbs.downgrade import downgrade

        return folder, downgrade(Downgrade(source, folder, target=goal)).warnings
    return folder, _first(kind, folder, Convert(source, folder, target=goal, timeout=timeout)).warnings


def _first(kind: SourceKind, model: Path, chosen: Convert) -> Report:
    """The conversion to an inference model."""
    if kind is SourceKind.ONNX:
        from mconv.verbs.onnx2paddle import onnx2paddle

        return onnx2paddle(chosen.of_onnx(model))
    if kind is SourceKind.TORCH:
        from mconv.verbs.torch2paddle import torch2paddle

        return torch2paddle(chosen.of_torch(model))
    from mconv.verbs.to_static import to_static

    return to_static(chosen.of_layer(model))


def _serving(model: PathLike, folder: Path, chosen: Convert, *, between: bool) -> ToServing:
    """How the model is served that is the source or lies *between*, which is this command's own: its parameters may be
    moved."""
    given = {**chosen.shared(ToServing), "path": model, "out": folder, "force": False}
    if between:
        given.update(link=not chosen.keep_inference, beside=_folder_of(chosen.source))
    return ToServing(**given)


def _folder_of(source: PathLike) -> Optional[Path]:
    """Where the source's tokenizer and settings are, which is not where the inference model lies; None if nowhere."""
    path = Path(os.fspath(source).rpartition(":")[0] if not os.path.exists(source) else source)
    if not path.name or not path.exists():
        return None
    return path if path.is_dir() else path.absolute().parent


def _prove_paddle(source: PathLike, made: ServingResult, chosen: Convert, result: Converted) -> None:
    """A Paddle model against the serving folder made of it, each in its own Paddle where that is installed.

    Raises:
        VerificationError: they differ. RuntimeFailedError: the result cannot be run.
    """
    from mconv.proof.prove import runtime_for, written_for
    from mconv.verbs.verify import verify

    if chosen.verify is False:
        return
    assert made.server is not None
    try:
        runtime = chosen.runtime or runtime_for(chosen.goal.name).name
        files = locate(source)
        own = "3" if files.era is Era.PIR else written_for(load_program(files))
        chosen.progress(f"verifying: the source against serving_server/ in {runtime}")
        given = chosen.shared(Verify)
        # the target's may die of it
        given.update(a=source, b=made.server, runtime=runtime, runtime_a=runtime_for(own).name, trust=False)
        del given["progress"]  # what is done is said already
        found = verify(Verify(**given))
    except UnprovedError as e:
        result.verification = {"status": UNPROVED, "reason": e.message}
        return
    except (RuntimeUnavailableError, MissingDependencyError) as e:
        if chosen.must_verify:
            raise
        result.verification = {"status": NOT_DONE, "reason": e.message}
        result.warnings.append(Warned("not-verified", f"not verified: {e.message}"))
        return
    # in one order on both sides; of a .json, fetch_name_0 is what Paddle calls any output
    theirs = list(dict.fromkeys(row["name"] for row in found.outputs))
    if len(theirs) == len(made.fetches):
        called = dict(zip(theirs, (v.alias for v in made.fetches)))
        for row in found.outputs:
            row["name"] = called[row["name"]]
    if not found.ok:
        bad = [row for row in found.outputs if not row["ok"]]
        reason = found.problems[0] if found.problems else f"output {bad[0]['name']}: {bad[0]['reason']}"
        raise VerificationError(f"the converted model computes something else: {reason}", rows=bad)
    result.verification = {
        "status": PASSED,
        "reason": "",
        "reference": found.a,
        "paddle": found.b,
        "runtime": runtime,
        "inputs": str(chosen.feeds) if chosen.feeds else "random",
        "input_sets": found.input_sets,
        "tolerance": found.tolerance,
        "outputs": found.outputs,
        "problems": found.problems,
    }
    result.seconds["verify"] = found.seconds


def _describe(result: Converted, made: ServingResult, out: Path, service: bool) -> None:
    result.server, result.client = str(out / "serving_server"), str(out / "serving_client")
    result.service = str(out / SERVICE) if service else None
    for into, variables in ((result.inputs, made.feeds), (result.outputs, made.fetches)):
        into += [
            {
                "name": v.name,
                "alias": v.alias,
                "dtype": v.dtype.label if v.dtype is not None else None,
                "shape": list(v.shape),
            }
            for v in variables
        ]


# what is left ------------------------------------------------------------------------------------------------------


def _join_provenance(model: Path, folder: Path) -> None:
    """The record of ``serving_server/`` names the source itself, not the inference model that lay between."""
    first = json.loads((model / provenance.NAME).read_text("utf-8"))
    path = folder / "serving_server" / provenance.NAME
    record = json.loads(path.read_text("utf-8"))
    record["command"] = "convert"
    record["options"] = {first["command"]: first["options"], "to-serving": record["options"]}
    record["versions"] = dict(sorted({**record["versions"], **first["versions"]}.items()))
    record["sources"] = first["sources"]
    path.write_text(json_text(record, indent=2) + "\n", "utf-8")


def _keep_failed(error: MconvError, model: Path, out: Path) -> None:
    """Bring what a failed verification kept from the stage, which is about to go, to where the user finds it."""
    kept = model.with_name(model.name + FAILED_SUFFIX)
    if not kept.is_dir():
        return
    final = out.with_name(out.name + FAILED_SUFFIX)
    with staged(final, force=True) as place:
        for entry in list(kept.iterdir()):
            os.rename(entry, place / entry.name)
    kept.rmdir()
    error.hint = (error.hint or "").replace(str(kept), str(final)) or None
    report = getattr(error, "report", None)
    if report is not None:
        report.output["folder"] = str(final)


def _remove(model: Path) -> None:
    for entry in model.iterdir():
        entry.unlink()
    model.rmdir()


__all__ = ["Converted", "convert"]
