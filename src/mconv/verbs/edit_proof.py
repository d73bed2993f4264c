"""The proof of an edited model: the source, looked at where the result begins and ends, against the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import MconvError, RuntimeFailedError, UnsupportedError
from mconv.onnx.reader import OnnxModel
from mconv.options.edit import Edit
from mconv.paddle import pir_reader
from mconv.program.closing import Closing
from mconv.program.program import Program
from mconv.program.stored import Era, ModelFiles, write_model
from mconv.proof import precision, prove, search
from mconv.proof.answers import compare_answers
from mconv.proof.attempt import attempted
from mconv.proof.available import runtime_for
from mconv.proof.compare import Tolerance
from mconv.proof.feeds import InputSpec, load_feeds, reshaped, shapes_of, specs_of
from mconv.proof.reference import reference_for
from mconv.proof.report import Report
from mconv.proof.runners import Answers, OnnxRunner, PaddleRunner, Runner
from mconv.proof.verdict import FAILED, PASSED, Proof
from mconv.runtimes import Runtime
from mconv.verbs import edit_ends, edit_onnx, edit_paddle

Feeds = list[dict[str, np.ndarray]]


class Part(Closing):
    """Runs the source and gives some of its tensors, under the source's names.

    Args:
        opened: makes what runs it; told which tensors inside to return after its own outputs, and whether its runtime may
            rewrite the graph, which can leave none of them.
        own: the source's outputs, in order.
        outputs: what to give.
        fixed: inputs that always have this value.
    """

    def __init__(
        self,
        opened: Callable[[Sequence[str], bool], Runner],
        own: Sequence[str],
        outputs: Sequence[str],
        fixed: Mapping[str, np.ndarray],
    ):
        self.opened, self.own, self.outputs, self.fixed = opened, list(own), list(outputs), dict(fixed)
        self.inside = [n for n in dict.fromkeys(outputs) if n not in self.own]
        self.rewriting = True
        self.runner = opened(self.inside, True)
        self.label = self.runner.label

    def specs(self) -> list[InputSpec]:
        return [spec for spec in self.runner.specs() if spec.name not in self.fixed]

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        fed = [{**self.fixed, **feed} for feed in sets]
        try:
            found = self.runner.run(fed)
        except RuntimeFailedError:
            if not self.inside or not self.rewriting:
                raise
            self.runner.__exit__(None, None, None)
            self.rewriting = False
            self.runner = self.opened(self.inside, False)
            found = self.runner.run(fed)
        self.label = self.runner.label
        names = [*self.own, *self.inside]
        return found.some([names.index(name) for name in self.outputs], self.outputs)

    def close(self) -> None:
        self.runner.close()


@dataclass
class Told(Closing):
    """What has been run already, as a runner: it answers the sets that it was asked, and no other."""

    answers: Answers
    sets: Feeds
    label: str

    def specs(self) -> list[InputSpec]:
        return []

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        same = len(sets) == len(self.sets) and all(
            a.keys() == b.keys() and all(np.array_equal(a[n], b[n], equal_nan=a[n].dtype.kind in "fc") for n in a)
            for a, b in zip(sets, self.sets)
        )
        if not same:
            raise RuntimeFailedError("the source begins before this: what it computes of other numbers is not known")
        return self.answers


def upstream(part: Part, specs: Sequence[InputSpec], inputs: Sequence[str], feeds: Optional[Any]) -> tuple[Told, Feeds]:
    """Run the source from its own inputs on, and take what it computes where the result begins as that one's inputs;
    what the result does without is fed to the source alone.

    Args:
        part: gives first *inputs* that are none of the source's, in order, then what is to be compared.
        specs: the source's inputs.
        inputs: those of the result.
        feeds: a ``.npz`` with the source's inputs, instead of random ones.

    Returns:
        What answers for the source, and the input sets of the result.

    Raises:
        RuntimeFailedError: the source cannot be run. UsageError: *feeds* does not fit.
    """
    if feeds is not None:
        sets: Feeds = load_feeds(feeds, specs)
        found = part.run(sets)
    else:
        sets, found, _ = search.find(specs, part.run)
    inside = [n for n in inputs if n not in {s.name for s in specs}]
    made: Feeds = []
    for feed, row in zip(sets, found.outputs):
        computed = dict(zip(inside, row))
        made.append({n: computed[n] if n in computed else feed[n] for n in inputs})
    return Told(found.some(range(len(inside), len(found.names))), made, part.label), made


# Paddle -------------------------------------------------------------------------------------------------------------


def prove_paddle(
    source: edit_paddle.Source,
    made: edit_paddle.Edited,
    files: tuple[Path, Optional[Path]],
    runtime: Runtime,
    chosen: Edit,
    scratch: Path,
    report: Report,
) -> Proof:
    """The proof of an edited Paddle model.

    Args:
        files: the result's program, and its parameters where they are one file.
        runtime: where the result runs, and the source but for a ``.json``.
        scratch: an empty folder.
        report: gets the versions.

    Raises:
        UsageError: what was said of the inputs does not fit them.
        RuntimeUnavailableError, MissingDependencyError: with *verify*, there is no Paddle 3 for a ``.json``.
    """
    found, program = source.found, source.program
    feeds = [p.name for p in program.feeds]
    begins = [n for n in made.inputs if n not in feeds]
    outputs = [*begins, *made.outputs]
    first: Optional[Proof] = None
    if found.era is Era.PIR:
        # what is inside of a .json has no names: the program made of it, which is compared with it first, has
        folder = scratch / "translated"
        folder.mkdir()
        files_of = write_model(program, source.params.items(), folder)
        found = ModelFiles(Era.PADDLE2, *files_of, folder)
        chosen.progress("verifying: the .json against what it is translated into")
        first = _translation(source, found, runtime, chosen)
        if first.status != PASSED:
            return first
    part = Part(_opened(found, runtime, chosen.timeout), [p.name for p in program.fetches], outputs, made.fixed)
    chosen.progress(f"verifying: the source against the result in {runtime.label}")
    with part:
        if not begins and not set(feeds) - {*made.inputs, *made.fixed}:
            proof = _compared(part, made.program, files, runtime, made.inputs, chosen)
        else:
            try:
                told, sets = upstream(part, _specs(source, made, chosen), made.inputs, chosen.feeds_file)
            except RuntimeFailedError as e:
                return Proof.unproved(e)
            proof = _compared(told, made.program, files, runtime, made.inputs, chosen, sets)
            proof.inputs = str(chosen.feeds_file or "random")
    if first is not None and proof.reference:
        proof.reference = f"{first.reference} (.json), {proof.reference} (the .pdmodel of it)"
        proof.seconds += first.seconds
    return report.compared(part.label, proof)


def _translation(source: edit_paddle.Source, made: ModelFiles, runtime: Runtime, chosen: Edit) -> Proof:
    """A ``.json`` against the program made of it, on the same inputs."""
    start = time.perf_counter()
    goal = source.target
    where = runtime
    if goal != edit_paddle.OF_JSON:
        must = bool(chosen.verify) or chosen.feeds_file is not None
        there = attempted(lambda: runtime_for(edit_paddle.OF_JSON), must=must)
        if isinstance(there, MconvError):
            return Proof.not_done(there)
        where = there
    specs = reshaped(specs_of(source.program), chosen.sizes)
    limits = Tolerance.of(chosen.tolerance).at(precision.of_pir(pir_reader.read(source.found.program).block))
    with (
        PaddleRunner(source.found, where, timeout=chosen.timeout) as old,
        PaddleRunner(made, runtime, timeout=chosen.timeout) as new,
    ):
        try:
            if chosen.feeds_file is not None:
                sets = load_feeds(chosen.feeds_file, specs)
                wanted = old.run(sets)
            else:
                sets, wanted, _ = search.find(specs, old.run)
        except RuntimeFailedError as e:
            return Proof.unproved(e)
        proof = Proof(PASSED, tolerance=limits, runtime=runtime.name)
        proof.input_sets = shapes_of(sets)
        try:
            got = new.run(sets)
        except RuntimeFailedError as e:
            proof.died(e)
        else:
            proof.judge(compare_answers(wanted, got, tolerance=limits, scalar_as_one=not goal.has_0d))
        proof.reference, proof.paddle = old.label, new.label
    proof.seconds = time.perf_counter() - start
    return proof


def _opened(found: ModelFiles, runtime: Runtime, timeout: float) -> Callable[[Sequence[str], bool], Runner]:
    def open_(fetch: Sequence[str], rewriting: bool) -> Runner:
        return PaddleRunner(found, runtime, timeout=timeout, ir_optim=rewriting, fetch=list(fetch) or None)

    return open_


def _specs(source: edit_paddle.Source, made: edit_paddle.Edited, chosen: Edit) -> list[InputSpec]:
    """The inputs of the source, at the sizes that the result has."""
    specs = []
    for spec in specs_of(source.program):
        if spec.name not in made.fixed:
            dims = [made.sizes.get(f"{spec.name}.{axis}", d) for axis, d in enumerate(spec.shape)]
            specs.append(replace(spec, shape=tuple(dims)))
    return reshaped(specs, chosen.sizes)


def _compared(
    reference: Any,
    program: Program,
    files: tuple[Path, Optional[Path]],
    runtime: Runtime,
    names: Sequence[str],
    chosen: Edit,
    sets: Optional[Any] = None,
) -> Proof:
    specs = [replace(spec, name=name) for name, spec in zip(names, specs_of(program))]
    shapes = {} if sets is not None else {s.name: s.shape for s in reshaped(specs, chosen.sizes)}
    return prove.prove(
        reference,
        prove.Candidate(program, files, runtime, timeout=chosen.timeout),
        prove.Inputs(list(names), shapes=shapes, file=chosen.feeds_file if sets is None else None, sets=sets),
        Tolerance.of(chosen.tolerance).at(precision.of_program(program)),
    )


# ONNX ---------------------------------------------------------------------------------------------------------------


def prove_onnx(
    path: Path, source: OnnxModel, made: edit_onnx.Edited, written: Path, chosen: Edit, report: Report
) -> Proof:
    own = [o.name for o in source.proto.graph.output]
    feeds = edit_onnx.fed(source.proto.graph)
    begins = [n for n in made.inputs if n not in feeds]
    reasons: list[str] = []

    def open_(fetch: Sequence[str], rewriting: bool) -> Runner:
        runner, why = reference_for(path, fetch=fetch, timeout=chosen.timeout)
        reasons[:] = [why] if why else []
        return runner

    try:
        part = Part(open_, own, [*begins, *made.outputs], made.fixed)
    except RuntimeFailedError as e:
        return Proof.unproved(e)
    report.warnings += [f"verified with {part.label}: {why}" for why in reasons]
    try:
        result = OnnxRunner(written, timeout=chosen.timeout, called=written.name)
    except RuntimeFailedError as e:
        why = f"is a bad one, or does not take {edit_ends.told(made.sizes)}" if made.sizes else "is a bad one"
        error = RuntimeFailedError(f"the edited model {why}: {e.message}")
        limits = Tolerance.of(chosen.tolerance)
        return Proof(FAILED, error.message, reference=part.label, runtime="ONNX Runtime", tolerance=limits, error=error)
    specs = [s for s in part.specs() if s.name in feeds]
    specs = [replace(s, shape=tuple(made.sizes.get(f"{s.name}.{a}", d) for a, d in enumerate(s.shape))) for s in specs]
    if not begins:  # the source still asks for the inputs that the result has not got any more
        specs.sort(key=lambda s: made.inputs.index(s.name) if s.name in made.inputs else len(made.inputs))
    specs = reshaped(specs, chosen.sizes)
    limits = Tolerance.of(chosen.tolerance).at(precision.of_onnx(source.proto))
    called = {p["name"]: p["paddle_name"] for p in report.inputs}
    renamed = _Called(result, called)
    chosen.progress(f"verifying: the source against the result in {result.label}")
    with part, renamed:
        reference: Any = part
        sets = None
        if begins:
            try:
                reference, sets = upstream(part, specs, made.inputs, chosen.feeds_file)
            except (RuntimeFailedError, UnsupportedError) as e:
                return Proof.unproved(e)
        try:
            proof = prove.prove_onnx(
                reference,
                renamed,
                specs,
                inputs=chosen.feeds_file if sets is None else None,
                sets=sets,
                tolerance=limits,
            )
        except UnsupportedError as e:  # sequences, which are not compared
            return Proof.unproved(e)
    proof.runtime = result.label
    report.versions["reference"] = part.label
    return proof


class _Called(Closing):
    """Runs a model whose inputs have other names now."""

    def __init__(self, runner: Runner, names: dict[str, str]):
        self.runner, self.names, self.label = runner, names, runner.label

    def specs(self) -> list[InputSpec]:
        return self.runner.specs()

    def run(self, sets: Sequence[Any]) -> Any:
        return self.runner.run([{self.names[n]: v for n, v in feed.items() if n in self.names} for feed in sets])

    def close(self) -> None:
        self.runner.close()
