"""What a live layer gives before Paddle's tracer touches it, and the model that its weights come from beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Protocol

import numpy as np

from mconv.dygraph import inputs as describing
from mconv.dygraph.inputs import Call
from mconv.dygraph.live import LayerFailed, Live
from mconv.dygraph.outputs import need_outputs
from mconv.errors import MconvError, RuntimeFailedError, UsageError
from mconv.options.layers import Saving
from mconv.passes.ports import CARRIER
from mconv.program.closing import Closing
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.proof import search
from mconv.proof.answers import compare_answers
from mconv.proof.compare import Tolerance
from mconv.proof.feeds import InputSpec, Sizes, load_feeds, random_feeds
from mconv.proof.runners import Answers
from mconv.runtimes.outcome import last_words


@dataclass
class OriginAnswers:
    """What the model says that the weights come from, or why it does not.

    Attributes:
        label: what ran it.
        answers: on the layer's inputs.
        positions: the layer's outputs that they stand for.
        reason: why there are none.
        binding: whether another answer is a failure.
        where: where the layer goes another way.
    """

    label: str
    answers: Optional[Answers] = None
    positions: list[int] = field(default_factory=list)
    reason: str = ""
    binding: bool = True
    where: str = ""


@dataclass
class Expected(Closing):
    """What the live layer gives: the inputs that it was run on, and its answers; those of its origin beside them."""

    sets: list[dict[str, np.ndarray]] = field(default_factory=list)
    answers: Optional[Answers] = None
    label: str = ""
    paths: list[str] = field(default_factory=list)
    numbers: list[dict[str, Any]] = field(default_factory=list)
    origin: Optional[OriginAnswers] = None

    # a Runner of mconv.verify whose answers are known: the layer was run before it was traced

    def specs(self) -> list[InputSpec]:
        return [InputSpec(n, DType.of(a.dtype), a.shape) for n, a in self.sets[0].items()]

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        assert self.answers is not None and len(sets) == len(self.sets)
        return self.answers

    def follow(self, paths: Sequence[str]) -> None:
        """Take the numbers of Python's among the results for outputs, where tracing has made tensors of them."""
        if self.answers is None or list(paths) == self.paths:
            return
        if not all(p in self.paths or all(p in found for found in self.numbers) for p in paths):
            return
        names, outputs, dtypes = [], [], []
        for found, row, kinds in zip(self.numbers, self.answers.outputs, self.answers.dtypes):
            values = [row[self.paths.index(p)] if p in self.paths else _number(found[p]) for p in paths]
            labels = [kinds[self.paths.index(p)] if p in self.paths else v.dtype.name for p, v in zip(paths, values)]
            outputs.append(values)
            dtypes.append(labels)
        names = [self.answers.names[self.paths.index(p)] if p in self.paths else p for p in paths]
        if self.origin is not None:
            self.origin.positions = [list(paths).index(self.paths[i]) for i in self.origin.positions]
        self.paths = list(paths)
        self.answers = replace(self.answers, names=names, outputs=outputs, dtypes=dtypes)

    def carried(self, program: Program) -> Expected:
        """In the types in which the program passes its inputs and outputs, where an older Paddle has no others."""
        if self.answers is None:
            return self
        inputs = {p.name: p.dtype for p in program.feeds}
        sets = [{n: _passed(a, inputs.get(n)) for n, a in feed.items()} for feed in self.sets]
        outputs = [p.dtype for p in program.fetches]
        origin = self.origin
        if origin is not None and origin.answers is not None:
            theirs = [outputs[i] if i < len(outputs) else None for i in origin.positions]
            origin = replace(origin, answers=_in_types(origin.answers, theirs))
        return replace(self, sets=sets, answers=_in_types(self.answers, outputs), origin=origin)

    def name(self, names: Sequence[str]) -> None:
        """Call the outputs as the program does."""
        if self.answers is not None and len(names) == len(self.answers.names):
            self.answers = replace(self.answers, names=list(names))

    def ask(self, origin: Origin, call: Call, tolerance: Tolerance) -> None:
        """Run what the weights come from on the same inputs."""
        assert self.answers is not None
        try:
            answers, positions = origin.run(call, self.sets, self.answers)
        except RuntimeFailedError as e:
            self.origin = OriginAnswers(origin.label, reason=e.message)
            return
        self.origin = OriginAnswers(origin.label, answers, positions, binding=origin.binding)
        if not compare_answers(answers, self.answers.some(positions), tolerance=tolerance).ok:
            self.origin.where = origin.explain(call, self.sets[0])


class Origin(Protocol):
    """The model of another framework that the layer's weights come from."""

    label: str
    notes: list[str]
    binding: bool  # whether another answer is a failure: not where the layer has values of its own

    def run(self, call: Call, sets: Sequence[Mapping[str, np.ndarray]], wanted: Answers) -> tuple[Answers, list[int]]:
        """Its answers to the layer's inputs, and which of the layer's outputs they stand for.

        Args:
            wanted: the layer's own answers.

        Raises:
            RuntimeFailedError: it cannot be run with them.
        """

    def explain(self, call: Call, feed: Mapping[str, np.ndarray]) -> str:
        """Where the two part, in one line; empty where that is not known."""


def expect(live: Live, call: Call, chosen: Saving) -> Expected:
    """Run the layer before Paddle's tracer touches it; on images of other sizes too where it wants none of the usual."""
    specs = [InputSpec(i.name, i.dtype, i.dims) for i in call.inputs]
    failure: Optional[LayerFailed] = None
    end = 0.0
    for sizes in [Sizes()] if chosen.feeds_file is not None else search.attempts(specs):
        if failure is not None and time.monotonic() > end:
            break
        expected = Expected()
        try:
            _answer(expected, live, call, specs, chosen.feeds_file, sizes)
            return expected
        except LayerFailed as e:
            if failure is None:
                failure, feed = e, expected.sets[0] if expected.sets else {}
                end = time.monotonic() + search.SECONDS
    assert failure is not None
    raise _does_not_run(failure, live, call, feed, chosen.feeds_file) from failure


def _answer(
    expected: Expected, live: Live, call: Call, specs: Sequence[InputSpec], feeds: Optional[Path], usual: Sizes
) -> None:
    """Fill *expected*; its first input set is the one that was tried where the layer fails."""
    if feeds is not None:
        sets = load_feeds(feeds, specs)
    else:
        # with ids 0 and 1 first, which every table has, to learn the sizes of the tables
        low = random_feeds([replace(s, limit=2 if s.dtype.is_int else None) for s in specs], sets=1, sizes=usual)
        expected.sets = low
        _, sizes = live.table_sizes(call, low[0])
        count = 2 if any(i.dims.count(None) or any(isinstance(d, str) for d in i.dims) for i in call.inputs) else 1
        sets = random_feeds([replace(s, limit=sizes.get(s.name)) for s in specs], sets=count, sizes=usual)
    started = time.perf_counter()
    outputs, dtypes = [], []
    for feed in sets:
        expected.sets = [feed]
        flat, values, kinds = live.answers(call, feed)
        need_outputs(flat, live.what)
        outputs.append(values)
        dtypes.append(kinds)
        expected.numbers.append(dict(flat.numbers))
    expected.sets, expected.paths = sets, list(flat.paths)
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


def _passed(array: np.ndarray, dtype: Optional[DType]) -> np.ndarray:
    """An array in the type that carries its own, where *dtype* is that."""
    own = next((d for d in CARRIER if d.numpy == array.dtype), None)
    return array if own is None or dtype is not CARRIER[own] else array.astype(dtype.numpy)


def _in_types(answers: Answers, dtypes: Sequence[Optional[DType]]) -> Answers:
    outputs = [[_passed(a, d) for a, d in zip(row, dtypes)] for row in answers.outputs]
    labels = [
        [label if new is old else new.dtype.name for label, new, old in zip(kinds, row, before)]
        for kinds, row, before in zip(answers.dtypes, outputs, answers.outputs)
    ]
    return replace(answers, outputs=outputs, dtypes=labels) if len(dtypes) >= len(answers.names) else answers


def _number(value: Any) -> np.ndarray:
    return np.asarray(
        value, np.bool_ if isinstance(value, bool) else np.int64 if isinstance(value, int) else np.float32
    )


def changes_by_itself(expected: Expected, live: Live, call: Call) -> bool:
    """Whether the layer gives other answers when it is asked the same once more."""
    if expected.answers is None or not expected.sets:
        return False
    live.untraced()
    try:
        _, values, _ = live.answers(call, expected.sets[0])
    except LayerFailed:
        return False
    first = [a for a, p in zip(expected.answers.outputs[0], expected.paths) if p not in expected.numbers[0]]
    return len(first) == len(values) and not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, values))
