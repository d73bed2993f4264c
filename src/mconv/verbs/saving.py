"""A live layer → a static inference model: traced by its own Paddle, translated for the target, proved against the layer."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Optional, Protocol

import numpy as np

from mconv.dygraph import export as exporting
from mconv.dygraph import inputs as describing
from mconv.dygraph.inputs import Call
from mconv.dygraph.live import LayerFailed, Live
from mconv.dygraph.outputs import need_outputs
from mconv.errors import MconvError, RuntimeFailedError, UnsupportedError, UsageError, VerificationError
from mconv.program import provenance, targets
from mconv.program.dtypes import DType
from mconv.program.params import PathLike
from mconv.runtimes.worker import last_words
from mconv.verbs import static_files
from mconv.verbs.proof import FAILED, IMAGES, NOT_DONE, PASSED, Proof, compare_answers, prove, runtime_for, sized, worst
from mconv.verbs.report import Report, keep, paddle_operators
from mconv.verify.compare import Tolerance
from mconv.verify.feeds import InputSpec, load_feeds, random_feeds
from mconv.verify.runners import Answers

FORMATS = ("pdmodel", "json")


@dataclass
class Options:
    """What the caller chose; see :func:`mconv.verbs.to_static.to_static`."""

    target: str
    form: str
    output_names: Optional[Sequence[str]]
    verify: bool
    runtime: Optional[str]
    feeds: Optional[Path]
    tolerance: Tolerance
    timeout: float
    progress: Callable[[str], Any]


@dataclass
class OriginAnswers:
    """What the model says that the weights come from, or why it does not.

    Attributes:
        label: what ran it.
        answers: on the layer's inputs.
        places: the layer's outputs that they stand for.
        reason: why there are none.
    """

    label: str
    answers: Optional[Answers] = None
    places: list[int] = field(default_factory=list)
    reason: str = ""


@dataclass
class Expected:
    """What the live layer gives: the inputs that it was run on, and its answers; those of its origin beside them."""

    sets: list[dict[str, np.ndarray]] = field(default_factory=list)
    answers: Optional[Answers] = None
    label: str = ""
    origin: Optional[OriginAnswers] = None

    # a Runner of mconv.verify whose answers are known: the layer was run before it was traced

    def specs(self) -> list[InputSpec]:
        return [InputSpec(n, DType.of(a.dtype), a.shape) for n, a in self.sets[0].items()]

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        assert self.answers is not None and len(sets) == len(self.sets)
        return self.answers

    def name(self, names: Sequence[str]) -> None:
        """Call the outputs as the program does."""
        if self.answers is not None and len(names) == len(self.answers.names):
            self.answers = replace(self.answers, names=list(names))

    def ask(self, origin: Origin, call: Call) -> None:
        """Run what the weights come from on the same inputs."""
        assert self.answers is not None
        try:
            answers, places = origin.run(call, self.sets, self.answers)
            self.origin = OriginAnswers(origin.label, answers, places)
        except RuntimeFailedError as e:
            self.origin = OriginAnswers(origin.label, reason=e.message)

    def __enter__(self) -> Expected:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class Origin(Protocol):
    """The model of another framework that the layer's weights come from."""

    label: str
    notes: list[str]

    def run(self, call: Call, sets: Sequence[Mapping[str, np.ndarray]], wanted: Answers) -> tuple[Answers, list[int]]:
        """Its answers to the layer's inputs, and which of the layer's outputs they stand for.

        Args:
            wanted: the layer's own answers.

        Raises:
            RuntimeFailedError: it cannot be run with them.
        """


@dataclass
class Subject:
    """What is to be saved.

    Attributes:
        live: the layer, its weights in place.
        report: filled in as far as it is known.
        record: what the files are made from, as soon as the inputs are known.
        protect: files that must not be overwritten.
        start: when the work began, by ``time.perf_counter()``.
        origin: what the weights come from, where it can be run too.
    """

    live: Live
    report: Report
    record: Callable[[Call], provenance.Recording]
    protect: list[PathLike]
    start: float
    origin: Optional[Origin] = None


def save(
    subject: Subject,
    input_spec: Optional[Sequence[Any]],
    path: Path,
    chosen: Options,
    *,
    folder: bool = False,
    force: bool = False,
) -> Report:
    """Save the layer, prove it, and leave it as it was; see :func:`mconv.verbs.to_static.to_static`."""
    live, report = subject.live, subject.report
    with live, contextlib.ExitStack() as stack:
        call = _call(live, input_spec)
        report.warnings += call.notes
        report.seconds["load"] = time.perf_counter() - subject.start
        place, kept, home = static_files.open_place(stack, path, folder, chosen.form, force, subject.protect)
        expected = _expected(live, call, chosen) if chosen.verify else Expected()
        if chosen.verify and subject.origin is not None:
            chosen.progress(f"running {subject.origin.label}")
            expected.ask(subject.origin, call)
            report.warnings += subject.origin.notes
        chosen.progress(f"tracing {live.what} with Paddle {live.paddle.__version__}")
        step = time.perf_counter()
        made = _traced(live, call, place)
        report.seconds["trace"] = time.perf_counter() - step
        report.engine = f"paddle.jit, {made.way}"
        report.warnings += _trace_notes(live, made)
        step = time.perf_counter()
        files = static_files.write(made, call, place, chosen.target, chosen.form, chosen.output_names, report)
        report.seconds["translate"] = time.perf_counter() - step
        report.output = {
            "folder": str(home.folder),
            "program": home.name(files.program),
            "params": home.name(files.params),
            "program_bytes": files.program.stat().st_size,
            "params_bytes": files.params.stat().st_size if files.params else 0,
        }
        if files.dense is not None:
            report.paddle_operators = paddle_operators(files.dense)
        proof = _proved(expected, call, files, made, chosen, report) if chosen.verify else Proof(NOT_DONE)
        if not chosen.verify:
            report.add_proof(proof)
        shutil.rmtree(place / static_files.SCRATCH)
        with subject.record(call) as record:
            written = [p for p in (files.program, files.params) if p is not None]
            final = {home.name(p) if proof.status != FAILED else p.name: p for p in written}
            record.write(place, files={str(n): p for n, p in final.items()})
        report.seconds["total"] = time.perf_counter() - subject.start
        report.seconds = {name: round(value, 4) for name, value in report.seconds.items()}
        if proof.status == FAILED:
            _renamed(proof, place, kept)
            assert report.verification is not None
            report.verification["reason"] = proof.reason
            report.status = "failed verification"
            report.output["folder"] = str(kept)
            keep(place, kept, report)
            raise _failure(proof, kept, report)
        report.write(place)
        home.settle(place)
    return report


def options(
    target: str,
    form: str,
    output_names: Optional[Sequence[str]],
    verify: Optional[bool],
    runtime: Optional[str],
    feeds: Optional[PathLike],
    tolerance: Optional[float],
    timeout: float,
    progress: Callable[[str], Any],
) -> Options:
    targets.get(target)
    if form not in FORMATS:
        raise UsageError(f"unknown format {form!r}", f"formats are {', '.join(FORMATS)}")
    if tolerance is not None and not tolerance > 0:
        raise UsageError(f"--tolerance {tolerance}: must be above 0")
    if verify is False and (feeds is not None or runtime is not None):
        raise UsageError("--inputs and --runtime say how to verify, and --no-verify not to")
    if form == "json" and output_names is not None:
        raise UsageError("--output-names: a .json is left as Paddle writes it", "--format pdmodel has names")
    limits = Tolerance() if tolerance is None else Tolerance(tolerance, tolerance, max(tolerance, Tolerance().half))
    npz = None if feeds is None else Path(feeds)
    return Options(target, form, output_names, verify is not False, runtime, npz, limits, timeout, progress)


def _call(live: Live, input_spec: Optional[Sequence[Any]]) -> Call:
    if not input_spec:
        input_spec = live.given_spec
    if not input_spec:
        return describing.guess(live.function, live.layer, live.what)
    return describing.from_specs(input_spec, live.function, live.what)


def _expected(live: Live, call: Call, chosen: Options) -> Expected:
    """Run the layer before Paddle's tracer touches it; on images of other sizes too where it wants none of the usual."""
    specs = [InputSpec(i.name, i.dtype, i.dims) for i in call.inputs]
    tries = [specs]
    if chosen.feeds is None:
        tries += [made for size in IMAGES if (made := [sized(s, *size) for s in specs]) != specs]
    failure: Optional[LayerFailed] = None
    for tried in tries:
        expected = Expected()
        try:
            _answer(expected, live, call, tried, chosen.feeds)
            return expected
        except LayerFailed as e:
            if failure is None:
                failure, feed = e, expected.sets[0] if expected.sets else {}
    assert failure is not None
    raise _does_not_run(failure, live, call, feed, chosen.feeds) from failure


def _answer(expected: Expected, live: Live, call: Call, specs: Sequence[InputSpec], feeds: Optional[Path]) -> None:
    """Fill *expected*; its first input set is the one that was tried where the layer fails."""
    if feeds is not None:
        sets = load_feeds(feeds, specs)
    else:
        # with ids 0 and 1 first, which every table has, to learn the sizes of the tables
        low = random_feeds([replace(s, limit=2 if s.dtype.is_int else None) for s in specs], sets=1)
        expected.sets = low
        _, sizes = live.table_sizes(call, low[0])
        count = 2 if any(i.dims.count(None) or any(isinstance(d, str) for d in i.dims) for i in call.inputs) else 1
        sets = random_feeds([replace(s, limit=sizes.get(s.name)) for s in specs], sets=count)
    started = time.perf_counter()
    outputs, dtypes = [], []
    for feed in sets:
        expected.sets = [feed]
        flat, values, kinds = live.answers(call, feed)
        need_outputs(flat, live.what)
        outputs.append(values)
        dtypes.append(kinds)
    expected.sets = sets
    names = [name or path or "output" for name, path in zip(flat.named, flat.paths)]
    version = live.paddle.__version__
    expected.answers = Answers(names, outputs, dtypes, version, [time.perf_counter() - started])
    expected.label = f"{live.kind} in Paddle {version}"


def _does_not_run(
    failed: LayerFailed, live: Live, call: Call, feed: Mapping[str, np.ndarray], feeds: Optional[Path]
) -> MconvError:
    text = f"{failed.where}: {last_words(failed.text) or type(failed.error).__name__}"
    if call.guessed:
        return UsageError(
            f"{live.what} does not run with the inputs that were guessed for it: {text}",
            f"say what they are, e.g. {' '.join(describing.to_type(i.name) for i in call.inputs)}",
        )
    shapes = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in feed.items())
    other = "correct them" if feeds else "correct --input, or give inputs that fit with --inputs x.npz"
    return RuntimeFailedError(f"{live.what} fails in {text}", f"it was called with {shapes}; {other}")


def _traced(live: Live, call: Call, place: Path) -> exporting.Exported:
    try:
        return exporting.export(live, call, place / static_files.SCRATCH)
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


def _proved(
    expected: Expected,
    call: Call,
    files: static_files.Written,
    made: exporting.Exported,
    chosen: Options,
    report: Report,
) -> Proof:
    """All proofs, put into the report; the one that counts."""
    expected.name([p["name"] for p in report.outputs])
    proof, original = _prove(expected, call, files, made, chosen)
    if original is not None and original.status == FAILED and proof.status == PASSED:
        report.warnings.append(f"Paddle's own program: {original.reason}")
    source = None if expected.origin is None else _against_origin(expected, expected.origin, proof, chosen)
    if source is not None and source.status == FAILED:
        proof.reason = f"{source.reference}: {source.reason}" + (f"; {proof.reason}" if proof.reason else "")
        proof.status = FAILED
    elif source is not None and source.status == NOT_DONE:
        report.warnings.append(f"not compared with {source.reference}: {source.reason}")
    report.add_proof(proof)
    assert report.verification is not None
    report.verification["original"] = None if original is None else original.to_dict()
    if source is not None:
        report.verification["source"] = source.to_dict()
    return proof


def _against_origin(expected: Expected, origin: OriginAnswers, proof: Proof, chosen: Options) -> Proof:
    """The result against what the weights come from."""
    made = replace(proof, status=NOT_DONE, reason=origin.reason, reference=origin.label, comparison=None, error=None)
    if origin.answers is None:
        return made
    got, mine = proof.answers, origin.places
    if got is None or any(place >= len(got.names) for place in mine):
        made.reason = "the result does not run" if got is None else "the result has other outputs than the layer"
        return made
    part = Answers(
        [got.names[i] for i in mine],
        [[row[i] for i in mine] for row in got.outputs],
        [[row[i] for i in mine] for row in got.dtypes],
        got.version,
        got.seconds,
    )
    dense = chosen.form == "pdmodel" and not targets.get(chosen.target).has_0d
    made.comparison = compare_answers(origin.answers, part, tolerance=chosen.tolerance, scalar_as_one=dense)
    made.status = PASSED if made.comparison.ok else FAILED
    made.reason = "" if made.comparison.ok else worst(made.comparison)
    return made


def _prove(
    expected: Expected, call: Call, files: static_files.Written, made: exporting.Exported, chosen: Options
) -> tuple[Proof, Optional[Proof]]:
    """The result against the layer; and, where Paddle wrote PIR, that against the layer too."""
    original = None
    if made.pir and files.dense is not None and made.params is not None:
        chosen.progress("verifying: Paddle's own program against the layer")
        original = static_files.run_pir(expected, made.program, made.params, chosen, "current")
    if files.dense is None:
        chosen.progress("verifying: Paddle's own program against the layer")
        return static_files.run_pir(expected, files.program, files.params, chosen, chosen.runtime or "current"), None
    assert files.params is not None
    where = runtime_for(chosen.target, chosen.runtime)
    chosen.progress(f"verifying: the layer against Paddle in {where.label}")
    proof = prove(
        expected,
        files.dense,
        (files.program, files.params),
        where,
        names=[i.name for i in call.inputs],
        shapes={},
        source_types={},
        inputs=chosen.feeds,
        sets=expected.sets,
        tolerance=chosen.tolerance,
        scalar_as_one=not targets.get(chosen.target).has_0d,
        timeout=chosen.timeout,
    )
    if proof.status == FAILED and original is not None and original.status == FAILED:
        proof.reason += f"; what Paddle traced differs from the layer already ({original.reason})"
    return proof, original


def _renamed(proof: Proof, place: Path, kept: Path) -> None:
    """Messages name the files where they are in the end."""
    proof.reason = proof.reason.replace(str(place), str(kept))
    if proof.error is not None:
        proof.error.message = proof.error.message.replace(str(place), str(kept))


def _failure(proof: Proof, kept: Path, report: Report) -> MconvError:
    hint = f"the files are kept in {kept}"
    error: MconvError
    if proof.error is not None:
        error = RuntimeFailedError(proof.error.message, hint)
    else:
        rows = [o for o in proof.to_dict()["outputs"] if not o["ok"]]
        assert report.verification is not None
        from_source = report.verification.get("source") or {"status": PASSED, "outputs": []}
        than = "its source" if from_source["status"] == FAILED else "the layer"
        rows += [o for o in from_source["outputs"] if not o["ok"]]
        error = VerificationError(f"the saved program computes something else than {than}: {proof.reason}", hint, rows)
    error.report = report  # type: ignore[union-attr,attr-defined,unused-ignore] # for the command line, which shows the table
    return error
