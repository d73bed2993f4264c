"""``mconv convert``: any source → ``serving_server/`` + ``serving_client/``, the whole chain in one go."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts.destination import Destination
from mconv.artifacts.output import staged
from mconv.errors import MconvError, RuntimeFailedError, UnprovedError, UsageError
from mconv.factory import loading
from mconv.options.convert import Convert
from mconv.options.declare import Options
from mconv.options.layers import ToStatic
from mconv.options.models import Downgrade
from mconv.options.onnx import Onnx2Paddle
from mconv.options.serving import ToServing
from mconv.options.torch import Torch2Paddle
from mconv.options.verify import Verify
from mconv.program import targets
from mconv.program.files import Era, load_program, locate, records
from mconv.program.paths import PathLike
from mconv.proof.attempt import proved
from mconv.proof.compare import Tolerance
from mconv.proof.report import Proved, Report, failure, set_aside, versions
from mconv.proof.verdict import FAILED, NOT_DONE, PASSED, Proof, one_size
from mconv.recognise import SourceKind, recognise
from mconv.serving.convert import ServingResult, prepare, write
from mconv.serving.scaffold import options_from
from mconv.verbs.downgrade import downgrade, downgraded
from mconv.verbs.frame import Frame
from mconv.verbs.produced import Written
from mconv.verbs.to_serving import to_serving
from mconv.warned import code_of, coded

INFERENCE = "inference"  # the folder of --keep-inference
SERVICE = "service"
_NO_PROOF = {"status": NOT_DONE, "reason": ""}


@dataclass(repr=False)
class Converted(Proved):
    """What :func:`convert` made; every field is JSON as it stands.

    Attributes:
        source: as given, and what it is (``kind``: ``onnx``, ``torch``, ``layer``, ``paddle``, ``pir``).
        target: ``name`` and ``paddle``.
        server, client: the two folders; ``service``, ``inference`` the others that were asked for.
        inputs, outputs: ``name`` (the variable), ``alias`` (what clients call it), ``dtype``, ``shape`` (known sizes).
        steps: ``step``, ``seconds`` of each.
        reservations: what of the source the result does not have; see docs/report.md.
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
    reservations: list[dict[str, str]] = field(default_factory=list)
    verification: dict[str, Any] = field(default_factory=lambda: dict(_NO_PROOF))
    half: Optional[dict[str, Any]] = None
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    command: str = "convert"
    schema: int = 1

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "coded_warnings": coded(self.warnings)}

    def took(self, first: Report) -> None:
        """Say what the conversion to an inference model said."""
        self.steps.append({"step": first.command, "seconds": first.seconds.get("total", 0.0)})
        self.warnings += first.warnings
        self.reservations += first.reservations
        self.verification = first.verification or dict(_NO_PROOF)
        self.half = first.half
        self.versions.update(first.versions)
        self.seconds.update({k: v for k, v in first.seconds.items() if k != "total"})
        self.source = {**first.source, **self.source}


def convert(chosen: Convert) -> Converted:
    """Convert whatever the source is into ``OUT/serving_server/`` and ``OUT/serving_client/``.

    Raises:
        MconvError: that of the conversion; what differs from the source is kept in ``OUT.failed-verification``.
    """
    start = time.perf_counter()
    goal, source, out = chosen.goal, _one(chosen), Path(chosen.out)
    kind = recognise(source, chosen.framework)
    _refuse(kind, source, chosen)
    if chosen.pipeline is not None:
        options_from(chosen.pipeline)  # refuses what is wrong before anything is converted
    result = Converted({"path": os.fspath(source), "kind": kind.name.lower()}, goal.described())
    result.versions = versions()
    chosen.progress(f"{os.fspath(source)} is {kind.value}")
    given = [*loading.read_of(source), *(p for p in (chosen.weights, chosen.feeds_file) if p and os.path.exists(p))]
    with staged(out, force=chosen.force, protect=given) as folder:
        model = replace(Destination.of_folder(out), folder=out / INFERENCE, inside=folder / INFERENCE)
        first: Optional[Report] = None
        between: Optional[Written] = None
        if kind not in (SourceKind.PADDLE, SourceKind.PIR):
            try:
                frame = _first(kind, model, chosen)
            except MconvError as e:
                if isinstance(e.report, Report):  # of a model that failed its proof, and is kept
                    result.took(e.report)
                    result.inference = e.report.output.get("folder")
                    result.finish(start)
                    e.report = result
                raise
            first, between = frame.report, frame.written()
            result.took(first)
        elif chosen.half is not None:
            brought, between = downgraded(Downgrade(source, model.folder, target=goal, half=chosen.half), model)
            result.half = brought.half
            result.warnings += brought.warnings
        chosen.progress("writing serving_server/ and serving_client/")
        step = time.perf_counter()
        made = to_serving(_serving(source, folder, chosen)) if between is None else _served(between, folder, chosen)
        result.warnings += [w for w in made.warnings if code_of(w) != "parameters-copied"]
        if made.service is not None:
            result.warnings += [note for note in made.service.notes if note not in result.warnings]
        result.seconds["serving"] = time.perf_counter() - step
        result.steps.append({"step": "to-serving", "seconds": round(result.seconds["serving"], 4)})
        proof: Optional[Proof] = None
        if between is None and chosen.verify is not False:
            proof = proved(lambda: _proof_of_paddle(source, made, chosen), must=chosen.must_verify)
            result.add_proof(proof, chosen.feeds_option())
        failed = proof is not None and proof.status == FAILED
        _describe(result, made, model.failed if failed else out, chosen.pipeline is not None)
        if first is not None and chosen.keep_inference:
            result.inference = str(model.folder)
        elif between is not None:
            shutil.rmtree(between.folder)
        result.finish(start)
        if proof is not None and failed:
            set_aside(folder, model.failed, result.write)
            raise failure(proof, model.failed, result)
        result.write(folder)
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
    goal = target or targets.DEFAULT
    if kind is SourceKind.PIR:
        return folder, downgrade(Downgrade(source, folder, target=goal)).warnings
    options = Convert(source, folder, target=goal, timeout=timeout)
    return folder, _first(kind, Destination.of_folder(folder), options).report.warnings


def _first(kind: SourceKind, model: Destination, chosen: Convert) -> Frame[Report]:
    """The conversion to an inference model."""
    if kind is SourceKind.ONNX:
        from mconv.verbs import onnx2paddle

        return onnx2paddle.converted(chosen.of_onnx(model.folder), model)
    if kind is SourceKind.TORCH:
        from mconv.verbs import torch2paddle

        return torch2paddle.converted(chosen.of_torch(model.folder), model)
    from mconv.verbs import to_static

    return to_static.converted(chosen.of_layer(model.folder), model)


def _serving(model: PathLike, folder: Path, chosen: Convert, **more: Any) -> ToServing:
    return ToServing(**{**chosen.shared(ToServing), "path": model, "out": folder, "force": False, **more})


def _served(between: Written, folder: Path, chosen: Convert) -> ServingResult:
    """The model that lies between and is this command's own, so that its parameters may be linked: the record of the
    service is that of the source."""
    found, program = locate(between.folder), between.program
    more = {"link": not chosen.keep_inference, "beside": _folder_of(_one(chosen))}
    options = _serving(between.folder, folder, chosen, **more)
    prepared = prepare(found, program, [(r.name, r) for r in records(found, program)], options)
    write(prepared, found, options, before=("convert", between.recording))
    return prepared.result


def _one(chosen: Convert) -> PathLike:
    if isinstance(chosen.source, (str, os.PathLike)):
        return chosen.source
    raise UsageError("a list of sources, where one is wanted", "from Python, convert_many converts several")


def _folder_of(source: PathLike) -> Optional[Path]:
    """Where the source's tokenizer and settings are, which is not where the inference model lies; None if nowhere."""
    path = Path(os.fspath(source).rpartition(":")[0] if not os.path.exists(source) else source)
    if not path.name or not path.exists():
        return None
    return path if path.is_dir() else path.absolute().parent


def _proof_of_paddle(source: PathLike, made: ServingResult, chosen: Convert) -> Proof:
    """A Paddle model against the serving folder made of it, each in its own Paddle where that is installed.

    Raises:
        RuntimeUnavailableError, MissingDependencyError: there is nothing to run it in.
    """
    from mconv.proof.available import runtime_for, written_for
    from mconv.verbs.verify import compared

    assert made.server is not None
    runtime = chosen.runtime or runtime_for(chosen.goal).name
    files = locate(source)
    own = targets.PADDLE_3 if files.era is Era.PIR else written_for(load_program(files))
    chosen.progress(f"verifying: the source against serving_server/ in {runtime}")
    given = chosen.shared(Verify)
    # the target's may die of it
    given.update(a=source, b=made.server, runtime=runtime, runtime_a=runtime_for(own).name, trust=False)
    del given["progress"]  # what is done is said already
    try:
        found, comparison, alone = compared(Verify(**given))
    except UnprovedError as e:
        return Proof.unproved(e)
    except RuntimeFailedError as e:
        return Proof(FAILED, e.message, runtime=runtime, error=e)
    # in one order in both; of a .json, fetch_name_0 is what Paddle calls any output
    theirs = list(dict.fromkeys(row.name for row in comparison.outputs))
    if len(theirs) == len(made.fetches):
        called = dict(zip(theirs, (v.alias for v in made.fetches)))
        comparison.outputs = [replace(row, name=called[row.name]) for row in comparison.outputs]
        found.outputs = comparison.to_dict()["outputs"]
    proof = Proof(
        PASSED if found.ok else FAILED,
        found.reason(),
        found.a,
        found.b,
        runtime,
        str(chosen.feeds) if chosen.feeds else "random",
        found.input_sets,
        Tolerance(**found.tolerance),
        comparison,
        seconds=found.seconds,
        notes=list(found.notes),
    )
    proof.limit(one_size(alone))
    return proof


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


__all__ = ["Converted", "convert"]
