"""The proof of a conversion: the source and the converted model on the same inputs, output by output."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import RuntimeFailedError
from mconv.program.program import Program
from mconv.proof import nothing_found, order, precision, search
from mconv.proof.answers import compare_answers, without_ones
from mconv.proof.compare import Comparison, Tolerance
from mconv.proof.feeds import InputSpec, as_declared, as_pairs, load_feeds, reshaped, shapes_of, specs_of
from mconv.proof.notes import InputsAdvice
from mconv.proof.reference import by_definition, left_open
from mconv.proof.runners import Answers, Runner
from mconv.proof.verdict import FAILED, UNPROVED, Proof, one_size
from mconv.runtimes import Runtime


@dataclass(frozen=True)
class Candidate:
    """A converted model of Paddle, and where it is run.

    Attributes:
        program: as it was written.
        files: its ``.pdmodel`` and ``.pdiparams``; None for parameters that are in files of their own, which are found.
        runtime: where to run it.
        scalar_as_one: whether it has a dimension of 1 where the source has a number without dimensions.
        timeout: seconds for a run.
    """

    program: Program
    files: tuple[Path, Optional[Path]]
    runtime: Runtime
    scalar_as_one: bool = False
    timeout: float = 600


@dataclass(frozen=True)
class Inputs:
    """What both models are given.

    Attributes:
        names: the source's, in the program's order.
        shapes: name → dimensions (numbers, symbols, None), which make the random inputs, where they are not the program's.
        types: name → numpy type in which the source takes an input, where it is not the program's.
        file: a ``.npz`` file with the inputs instead of random ones.
        sets: the inputs themselves, by the source's names, where they are known already.
    """

    names: Sequence[str]
    shapes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    types: Mapping[str, np.dtype] = field(default_factory=dict)
    file: Optional[Path] = None
    sets: Optional[Sequence[Mapping[str, np.ndarray]]] = None


def prove(reference: Runner, candidate: Candidate, inputs: Inputs, tolerance: Tolerance = Tolerance()) -> Proof:
    """Run both models and compare.

    Args:
        reference: runs the source; takes and returns values under the source's names, in its order.
        tolerance: as for what the source computes in; the program's own types are looked at here.

    Raises:
        UsageError: *inputs.file* does not fit the model.
    """
    start = time.perf_counter()
    program, files, runtime, timeout = candidate.program, candidate.files, candidate.runtime, candidate.timeout
    names, source_types, scalar_as_one = inputs.names, inputs.types, candidate.scalar_as_one
    tolerance = tolerance.at(precision.of_program(program))
    ports = program.feeds
    specs = [
        replace(spec, name=name, shape=tuple(inputs.shapes.get(name, spec.shape)))
        for name, spec in zip(names, specs_of(program))
    ]
    given = str(inputs.file) if inputs.file else "random"
    proof = Proof(UNPROVED, runtime=runtime.name, tolerance=tolerance, inputs=given)
    try:
        if inputs.sets is None:
            sets, wanted = _reference(reference, specs, source_types, inputs.file)
            alone = [] if inputs.file else search.alone(specs, sets)
        else:
            sets, alone = [dict(feed) for feed in inputs.sets], []
            wanted = reference.run([_as_source(feed, source_types) for feed in sets])
        proof.notes += search.one_size(alone)
    except RuntimeFailedError as e:
        proof.reason = e.message
        proof.reference, proof.seconds = reference.label, time.perf_counter() - start
        return proof
    sets = [_held(feed, source_types) for feed in sets]
    proof.input_sets = shapes_of(sets)
    proof.reference = reference.label
    renamed = {name: port.name for name, port in zip(names, ports)}
    try:
        with runtime.worker() as worker:
            fed = [as_declared({renamed[n]: a for n, a in feed.items()}, program) for feed in sets]
            names_of = _Renaming(renamed, {n for n, a in sets[0].items() if a.ndim == 0})
            random = len(sets)
            if inputs.file is None:
                found = nothing_found.search(program, files, worker, fed, timeout=timeout)
                inside = nothing_found.inside(program)
                if inside and (found is None or not found.shown):
                    proof.notes.append(
                        InputsAdvice(
                            f"{inside} sizes come from data inside of control flow: inputs on which they are 0 are found "
                            "only where an output shows it, which none does; give such inputs with"
                        )
                    )
                if found is not None:
                    wanted = _of_nothing(proof, found, reference, source_types, names_of, fed, wanted)
                    sets = [names_of(feed) for feed in fed]
            got = worker.run(*files, fed, lods={p.name: p.var.lod_level for p in ports}, timeout=timeout)
    except RuntimeFailedError as e:
        proof.died(e)
    else:
        proof.paddle = f"Paddle {got.version} ({got.engine})"
        answers = proof.answers = Answers.of(got)
        proof.comparison = compare_answers(wanted, answers, tolerance=tolerance, scalar_as_one=scalar_as_one)
        if not proof.comparison.ok and not proof.comparison.problems:
            feeds = [_as_source(names_of(feed), source_types) for feed in fed]
            if _left_open(proof, reference, feeds, wanted, answers, random):
                proof.comparison = compare_answers(wanted, answers, tolerance=tolerance, scalar_as_one=scalar_as_one)
        if not proof.comparison.ok and not proof.comparison.problems:
            proof.unstable = _again(proof.comparison, reference, sets, wanted, answers, source_types, tolerance)
        proof.judge(proof.comparison)
        if proof.status == FAILED:
            if proof.unstable:
                proof.reason += "; the source itself changes as much when its inputs change by a millionth"
            if not proof.comparison.problems:
                _tied(proof, reference, [_as_source(names_of(feed), source_types) for feed in fed])
        proof.limit(one_size(alone))
    proof.seconds = time.perf_counter() - start
    return proof


@dataclass(frozen=True)
class _Renaming:
    """A feed of the program as one of the source: under its names (name → the program's), numbers without dimensions."""

    names: Mapping[str, str]
    scalars: set[str]

    def __call__(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {n: feed[p].reshape(()) if n in self.scalars else feed[p] for n, p in self.names.items()}


def _tied(proof: Proof, reference: Runner, sets: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Say of a failed proof that nothing can be compared, where the source takes some of equal numbers."""
    found: list[str] = getattr(reference, "tied", lambda sets: [])(sets)
    if found:
        proof.status = UNPROVED
        left = "which of them is open, each runtime takes others, and what follows cannot be compared"
        proof.reason = f"{'; '.join(found[:3])}: {left} ({proof.reason})"


def _left_open(
    proof: Proof,
    reference: Runner,
    feeds: Sequence[Mapping[str, np.ndarray]],
    wanted: Answers,
    got: Answers,
    first: int,
) -> bool:
    """On the input sets from *first* on, which find nothing: where the result is NaN and ONNX Runtime's is not, ONNX's
    reference has the last word, which goes into *wanted* and is said. Returns whether there was such a position."""
    said = []
    for index in range(first, len(feeds)):
        row, other = wanted.outputs[index], got.outputs[index]
        if not any(_is_nan(y).any() and not _is_nan(x).all() for x, y in zip(row, other)):
            continue
        for position, defined in enumerate(by_definition(reference, feeds[index]) or ()):
            settled = left_open(row[position], defined)
            if _is_nan(settled).sum() > _is_nan(row[position]).sum():
                row[position] = settled
                said.append(f"{wanted.names[position]} on input set {index + 1}")
    if said:
        proof.notes.append(
            f"{', '.join(said)}: ONNX leaves open what a mean of nothing is; {reference.label} gives a number, ONNX's "
            "reference NaN, as the converted model"
        )
    return bool(said)


def _is_nan(values: np.ndarray) -> np.ndarray:
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)


def _of_nothing(
    proof: Proof,
    found: nothing_found.Found,
    reference: Runner,
    types: Mapping[str, np.dtype],
    names_of: _Renaming,
    fed: list[dict[str, np.ndarray]],
    wanted: Answers,
) -> Answers:
    """Add to *fed* the input sets on which sizes that come from data are 0, and say in the proof what they are.

    Returns:
        *wanted* with what the source makes of them; sets that it does not take are left out.

    Raises:
        RuntimeFailedError: the source takes a set that the converted model does not survive.
    """
    for label, feed, error in found.deaths:
        source = names_of(feed)
        try:
            reference.run([_as_source(source, types)])
        except RuntimeFailedError:
            continue
        proof.input_sets += shapes_of([source])
        proof.inputs = f"{proof.inputs}; input set {len(proof.input_sets)}: {label}"
        raise RuntimeFailedError(f"where {label}, which the source takes: {error.message}", error.hint)
    if found.always:
        proof.notes.append(
            InputsAdvice(
                f"{found.always} of {found.sizes} sizes that come from data are 0 on all random input sets: what the "
                "model makes of what it finds is not compared; give inputs in which it finds something with"
            )
        )
    kept = []
    for feed, label in zip(found.feeds, found.labels):
        source = names_of(feed)
        try:
            more = reference.run([_as_source(source, types)])
        except RuntimeFailedError:
            continue
        fed.append(feed)
        proof.input_sets += shapes_of([source])
        kept.append(f"input set {len(fed)}: {label}")
        wanted = replace(
            wanted,
            outputs=[*wanted.outputs, *more.outputs],
            dtypes=[*wanted.dtypes, *more.dtypes],
            seconds=[*wanted.seconds, *more.seconds],
        )
    if kept:
        proof.inputs = "; ".join([proof.inputs, *kept])
    else:
        proof.notes.append(
            InputsAdvice(
                f"{found.sizes} sizes come from data, and no input set was found on which one is 0: "
                "what the model gives when nothing is found is not compared; give such inputs with"
            )
        )
    return wanted


def prove_onnx(
    reference: Runner,
    result: Runner,
    specs: Sequence[InputSpec],
    *,
    read: Optional[Collection[str]] = None,
    shapes: Sequence[str] = (),
    inputs: Optional[Path] = None,
    sets: Optional[Sequence[Mapping[str, np.ndarray]]] = None,
    tolerance: Tolerance = Tolerance(),
) -> Proof:
    """Run a model and the ONNX model made of it, which has the same names, and compare by position.

    Args:
        specs: the inputs of *reference*.
        read: those that *result* has, too; None for all.
        shapes: ``name[1,3,?,640]``: other shapes of the random inputs.
        inputs: a ``.npz`` file with the inputs instead of random ones.
        sets: the inputs themselves, where they are known already.

    Raises:
        UsageError: *inputs* or *shapes* does not fit the model.
    """
    start = time.perf_counter()
    specs = reshaped(specs, shapes)
    proof = Proof(UNPROVED, tolerance=tolerance, inputs=str(inputs) if inputs else "random")
    try:
        if sets is None:
            sets, wanted = _reference(reference, specs, {}, inputs)
            alone = [] if inputs else search.alone(specs, sets)
        else:
            alone, wanted = [], reference.run(sets)
        proof.notes += search.one_size(alone)
    except RuntimeFailedError as e:
        proof.reason, proof.reference, proof.seconds = e.message, reference.label, time.perf_counter() - start
        return proof
    proof.reference = reference.label
    proof.input_sets = shapes_of(sets)
    try:
        got = result.run([{n: as_pairs(a) for n, a in feed.items() if read is None or n in read} for feed in sets])
    except RuntimeFailedError as e:
        proof.died(e)
    else:
        proof.judge(compare_answers(without_ones(wanted, got), got, tolerance=tolerance))
        proof.limit(one_size(alone))
    proof.seconds = time.perf_counter() - start
    return proof


def _reference(
    reference: Runner, specs: Sequence[InputSpec], types: Mapping[str, np.dtype], inputs: Optional[Path]
) -> tuple[list[dict[str, np.ndarray]], Answers]:
    """The inputs and what the source makes of them: sizes and ranges that it takes are searched for.

    Raises:
        RuntimeFailedError: the source cannot be run with any of them.
    """
    if inputs is not None:
        sets = load_feeds(inputs, specs)
        return sets, reference.run([_as_source(feed, types) for feed in sets])
    sets, answers, _ = search.find(specs, lambda s: reference.run([_as_source(feed, types) for feed in s]))
    return sets, answers


def _again(
    found: Comparison,
    reference: Runner,
    sets: Sequence[Mapping[str, np.ndarray]],
    wanted: Answers,
    got: Answers,
    types: Mapping[str, np.dtype],
    tolerance: Tolerance,
) -> bool:
    """Ask the source once more at inputs that are hardly different: where it gives the same rows in another order itself,
    the result may too. Returns whether the source is as unstable as the failure that is left."""
    other = order.nudged([dict(feed) for feed in sets])
    if other is None:
        return False
    try:
        again = reference.run([_as_source(feed, types) for feed in other])
    except RuntimeFailedError:
        return False
    order.settle_unstable(found, wanted.outputs, got.outputs, again.outputs, tolerance)
    own = compare_answers(wanted, again, tolerance=tolerance)
    return not (found.ok or own.ok or own.problems)


def _as_source(feed: Mapping[str, np.ndarray], types: Mapping[str, np.dtype]) -> dict[str, np.ndarray]:
    return {name: array.astype(types[name]) if name in types else array for name, array in feed.items()}


def _held(feed: Mapping[str, np.ndarray], types: Mapping[str, np.dtype]) -> dict[str, np.ndarray]:
    """The values that the source gets, in the types that carry them: narrower ones round."""
    return {name: made.astype(feed[name].dtype) for name, made in _as_source(feed, types).items()}
