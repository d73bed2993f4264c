"""A live layer → a static inference model: traced by its own Paddle, translated for the target, proved against the layer."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

from mconv.artifacts import provenance
from mconv.dygraph import export as exporting
from mconv.dygraph import inputs as describing
from mconv.dygraph import source as layers
from mconv.dygraph.inputs import Call
from mconv.dygraph.live import Live
from mconv.errors import MconvError, UnsupportedError
from mconv.options.layers import Saving
from mconv.program.paths import PathLike
from mconv.proof.compare import Tolerance
from mconv.proof.expected import Expected, Origin, changes_by_itself, expect
from mconv.proof.layers import proved
from mconv.proof.report import Report, failure, paddle_operators
from mconv.proof.verdict import FAILED, PASSED, Proof
from mconv.runtimes.outcome import last_words
from mconv.verbs import static_files
from mconv.verbs.frame import Frame


@dataclass
class Subject:
    """What is to be saved.

    Attributes:
        live: the layer, its weights in place.
        frame: its report filled in as far as it is known.
        record: what the files are made from, as soon as the inputs are known.
        protect: files that must not be overwritten.
        origin: what the weights come from, where it can be run too.
    """

    live: Live
    frame: Frame[Report]
    record: Callable[[Call], provenance.Recording]
    protect: Sequence[Optional[PathLike]]
    origin: Optional[Origin] = None


def save(
    subject: Subject,
    input_spec: Optional[Sequence[Any]],
    chosen: Saving,
) -> Frame[Report]:
    """Save the layer, prove it, and leave it as it was; see :func:`mconv.verbs.to_static.to_static`."""
    live, frame, verify = subject.live, subject.frame, chosen.verify is not False
    report = frame.report
    with live, contextlib.ExitStack() as stack:
        call = _call(live, input_spec)
        report.warnings += call.notes
        frame.since_start("load")
        folder = stack.enter_context(frame.opened(subject.protect))
        expected = expect(live, call, chosen) if verify else Expected()
        if verify and subject.origin is not None:
            chosen.progress(f"running {subject.origin.label}")
            expected.ask(subject.origin, call, Tolerance.of(chosen.tolerance))
            report.warnings += subject.origin.notes
        chosen.progress(f"tracing {live.what} with Paddle {live.paddle.__version__}")
        with frame.phase("trace"):
            made = _traced(live, call, folder)
        report.engine = f"paddle.jit, {made.way}"
        report.warnings += _trace_notes(live, made)
        expected.follow(made.paths)
        with frame.phase("translate"):
            files = static_files.write(made, call, folder, chosen, report)
        frame.wrote(files.program, files.params, files.dense)
        if files.dense is not None:
            report.paddle_operators = paddle_operators(files.dense)
        against: dict[str, Any] = {}

        def proof() -> Proof:
            found = proved(expected, call, files, made, chosen, report, against)
            if found.status == FAILED and found.error is None and changes_by_itself(expected, live, call):
                found.reason += "; the layer itself gives other values each time it is called"
            _renamed(found, folder, frame.destination.failed)
            return found

        frame.prove(proof, failing=_failure)
        assert report.verification is not None
        report.verification.update(against)
        shutil.rmtree(folder / static_files.SCRATCH)
        frame.record(subject.record(call))
    return frame


def layer_of(given: Any, arguments: Mapping[str, Any], *, trust: bool) -> Any:
    """The layer that a SPEC, or what makes it, gives; see :func:`mconv.dygraph.source.load`."""
    if isinstance(given, str):
        return layers.load(given, arguments, trust=trust)
    return layers.make(given, arguments, type(given).__name__)


def made_by(live: Live) -> dict[str, Any]:
    """The packages that have a part in a layer, for a :class:`mconv.artifacts.provenance.Recording`."""
    packages = ("paddlenlp",) if type(live.layer).__module__.startswith("paddlenlp.") else ()
    return {"packages": packages, "versions": {"paddle": live.paddle.__version__}}


def _call(live: Live, input_spec: Optional[Sequence[Any]]) -> Call:
    if not input_spec:
        input_spec = live.given_spec
    if not input_spec:
        return describing.guess(live.function, live.layer, live.what)
    return describing.from_specs(input_spec, live.function, live.what)


def _traced(live: Live, call: Call, folder: Path) -> exporting.Exported:
    try:
        return exporting.export(live, call, folder / static_files.SCRATCH)
    except exporting.CannotTrace as e:
        reasons = {way: f"{f.where}: {last_words(f.text)}" for way, f in e.failed.items()}
        first = e.failed[exporting.AST].error
        same = len({last_words(f.text) for f in e.failed.values()}) == 1
        shown = max(reasons.values(), key=len) if same else "; ".join(f"{way}: {why}" for way, why in reasons.items())
        rows = [{"way": way, "reason": why} for way, why in reasons.items()]
        raise UnsupportedError(
            f"Paddle {live.paddle.__version__} cannot make a static program of {live.what}: {shown}",
            "--debug shows Paddle's own message",
            rows,
        ) from first


def _trace_notes(live: Live, made: exporting.Exported) -> list[str]:
    notes = []
    for way, failed in made.failed.items():
        notes.append(
            f"Paddle could not rewrite the Python of {live.what} ({failed.where}: {last_words(failed.text)}): {made.way} "
            f"instead of {way}, loops and conditions are as they were for the inputs traced with"
        )
    if made.left_out:
        notes.append(f"not a tensor, so no output of the program: {', '.join(made.left_out)}")
    if made.whole:
        notes.append(f"{live.what} does not use all of its inputs; the program takes them all the same")
    return notes


# proof --------------------------------------------------------------------------------------------------------------


def _renamed(proof: Proof, folder: Path, kept: Path) -> None:
    """Messages name the files where they are in the end."""
    proof.reason = proof.reason.replace(str(folder), str(kept))
    if proof.error is not None:
        proof.error.message = proof.error.message.replace(str(folder), str(kept))


def _failure(proof: Proof, kept: Path, report: Report, advice: str) -> MconvError:
    assert report.verification is not None
    from_source = report.verification.get("source") or {"status": PASSED, "outputs": []}
    only = from_source["status"] == FAILED and all(o["ok"] for o in report.verification["outputs"])
    said = f"the saved program computes something else than {'its source' if only else 'the layer'}"
    others = [o for o in from_source["outputs"] if not o["ok"]]
    return failure(proof, kept, report, advice, said=said, others=others)
