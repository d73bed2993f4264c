"""Half precision emulated on a CPU: what it costs, and which operators stay float32 so that it costs no more than allowed."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mconv.errors import PrecisionError, RuntimeFailedError, UnsupportedError
from mconv.passes import half as rewriting
from mconv.passes.half_storage import weights_only
from mconv.passes.half_tables import LARGEST, LEAST
from mconv.passes.halved import Form, Halved
from mconv.program.closing import Closing
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.stored import ModelFiles, in_order, write_model
from mconv.program.targets import Target
from mconv.proof import search
from mconv.proof.feeds import InputSpec
from mconv.runtimes import Runtime, Worker
from mconv.verbs.half_report import HalfOperators, HalfOutput, HalfReport, HalfTensor

_ROUNDS = 12  # of calibration: each keeps the operators of a few tensors more
_AT_ONCE = 8  # tensors kept in a round
_GROUP = 64  # tensors fetched in one run
_BLOCKS = 16  # into which the operators are parted first
_RUNS = 96  # that are spent on finding out what costs most
_SAID = 16  # how many runs there are for each line that says so

Feed = Mapping[str, np.ndarray]


@dataclass
class Task:
    """The rewriting, with what is kept in float32 growing."""

    program: Program
    params: Mapping[str, TensorSource]
    target: Target
    dtype: DType
    keep: list[str]
    io: str
    weights_only: bool
    beyond: list[str] = field(default_factory=list)
    precise: list[str] = field(default_factory=list)

    def made(self, *, emulate: bool = False) -> Halved:
        if self.weights_only:
            return weights_only(self.program, self.params, self.dtype, keep=self.keep)
        return self._halved(self.precise, emulate)

    def with_only(self, operators: Collection[str], all_: Collection[str]) -> Halved:
        """The emulation with these of all operators in half."""
        return self._halved(set(all_) - set(operators), emulate=True)

    def _halved(self, precise: Collection[str], emulate: bool) -> Halved:
        form = Form(self.dtype, self.keep, self.beyond, precise, self.io, emulate)
        return rewriting.halve(self.program, self.params, self.target, form)


class Emulation(Closing):
    """Runs the float32 program once, and each emulation of it, on the same inputs.

    Args:
        sets: the inputs; None: random ones of sizes that the program takes, which are searched for.
        specs: its inputs, with the shapes that are asked for.
    """

    def __init__(
        self,
        where: Runtime,
        found: ModelFiles,
        program: Program,
        sets: Optional[Sequence[Feed]],
        specs: Sequence[InputSpec],
        timeout: float,
        limit: float,
    ):
        self.found, self.program, self.timeout, self.limit = found, program, timeout, limit
        self.sets: Sequence[Feed] = []
        self.worker = Worker(where)
        self.folder = tempfile.TemporaryDirectory(prefix="mconv-half-")
        try:
            self.reference = self._reference(sets, specs)
        except RuntimeFailedError as e:
            self.worker.close()
            self.folder.cleanup()
            e.hint = e.hint or "give inputs that it takes: --input 'NAME[1,3,?,640]' or --inputs X.NPZ"
            raise

    def close(self) -> None:
        self.worker.close()
        self.folder.cleanup()

    def _reference(self, sets: Optional[Sequence[Feed]], specs: Sequence[InputSpec]) -> list[list[np.ndarray]]:
        def run(these: Sequence[Feed]) -> list[list[np.ndarray]]:
            self.sets = these
            return self._run(self.found.program, self.found.params)

        return run(sets) if sets is not None else search.find(specs, run)[1]

    def _run(self, program: Path, params: Optional[Path], fetch: Sequence[str] = ()) -> list[list[np.ndarray]]:
        # as the program says it: no fusion that computes something else in the one and not in the other
        return self.worker.run(
            program, params, self.sets, ir_optim=False, onednn=False, fetch=list(fetch) or None, timeout=self.timeout
        ).outputs

    def outputs(self, made: Halved) -> list[HalfOutput]:
        """The outputs of an emulation, compared."""
        self.emulation = write_model(made.program, in_order(made.program, made.params), self.folder.name)
        got = self._run(*self.emulation)
        names = [port.name for port in self.program.fetches]
        rows = []
        for number, (want, have) in enumerate(zip(self.reference, got)):
            for name, a, b in zip(names, want, have):
                error = error_of(a, b)
                rows.append(HalfOutput(name, number, error, error is not None and error <= self.limit))
        return rows

    def worst(self, made: Halved) -> Optional[float]:
        """The largest error of any output; None where one is not finite."""
        return worst_of([row.error for row in self.outputs(made)])

    def tensors(self, names: Sequence[str], dtype: DType, worst: int) -> list[HalfTensor]:
        """Of the tensors inside, those that leave the range, the *worst* of the others, and those that were saturated."""
        count = len(self.program.fetches)
        found: dict[str, HalfTensor] = {}
        for start in range(0, len(names), _GROUP):
            group = names[start : start + _GROUP]
            want = self._run(self.found.program, self.found.params, group)
            have = self._run(*self.emulation, group)
            for a_set, b_set in zip(want, have):
                for name, a, b in zip(group, a_set[count:], b_set[count:]):
                    largest = float(np.abs(a[np.isfinite(a)]).max(initial=0.0))
                    error = error_of(a, b)
                    reason = "below the range" if 0 < largest < LEAST[dtype] else "loses the most"
                    if largest > LARGEST[dtype]:
                        finite = bool(np.isfinite(b[np.isfinite(a)]).all()) if a.shape == b.shape else False
                        reason = "saturated" if finite else "beyond the range"
                    row = HalfTensor(name, largest, error, reason)
                    old = found.get(name)
                    if old is None or _badness(row) > _badness(old):
                        found[name] = row
        beyond = [row for row in found.values() if row.reason == "beyond the range"]
        others = [row for row in found.values() if row.reason in ("loses the most", "below the range")]
        saturated = [row for row in found.values() if row.reason == "saturated"]
        return [*beyond, *sorted(others, key=_badness, reverse=True)[:worst], *saturated]


def _badness(row: HalfTensor) -> tuple[bool, float]:
    infinite = float("inf") if row.error is None else row.error
    return row.reason == "beyond the range", infinite if row.reason != "saturated" else 0.0


def worst_of(errors: Sequence[Optional[float]]) -> Optional[float]:
    """The largest; None where one of them is."""
    known = [error for error in errors if error is not None]
    return max(known, default=0.0) if len(known) == len(errors) else None


def error_of(want: np.ndarray, got: np.ndarray) -> Optional[float]:
    """The largest difference as a part of the largest value, 0 where both are equal; None where shapes differ, one model
    is finite where the other is not, or no number is. What is no floating point number counts where it differs."""
    if want.shape != got.shape:
        return None
    if want.dtype.kind not in "fc":
        return float(np.mean(want != got)) if want.size else 0.0
    same = (want == got) | (np.isnan(want) & np.isnan(got))
    finite = np.isfinite(want) & np.isfinite(got)
    if not (same | finite).all() or want.size and not finite.any():  # nothing was compared
        return None
    if same.all():
        return 0.0
    a, b = want[finite].astype(np.float64), got[finite].astype(np.float64)
    return float(np.abs(a - b).max() / max(np.abs(a).max(), np.finfo(np.float32).tiny))


def settled(
    task: Task, proof: Emulation, report: HalfReport, calibrate: bool, progress: Callable[[str], Any]
) -> Halved:
    """The rewriting that is kept, and what was found of it in the report.

    Raises:
        PrecisionError: calibration leaves nothing in half.
    """
    for number in range(_ROUNDS if calibrate else 1):
        progress(f"emulating {report.dtype} in {report.runtime}" + (f", round {number + 1}" if calibrate else ""))
        emulated = _emulated(task, report)
        _look(task, proof, report, emulated)
        beyond = [
            row.name for row in report.tensors if row.reason == "beyond the range" and row.name not in task.beyond
        ]
        if not calibrate or not beyond:
            break
        task.beyond += beyond
        report.kept += beyond
    if calibrate and report.status == "failed":
        _keep_what_costs_most(task, proof, report, emulated.operators, progress)
        _look(task, proof, report, _emulated(task, report))
    return task.made()


def _emulated(task: Task, report: HalfReport) -> Halved:
    try:
        return task.made(emulate=True)
    except UnsupportedError:
        if not report.kept and not report.precise:
            raise
        raise PrecisionError(
            f"calibration keeps every operator in float32: the numbers of this model do not fit {report.dtype}",
            "--dtype bf16 has the range of float32; --weights-only stores half and computes in float32",
        ) from None


def _look(task: Task, proof: Emulation, report: HalfReport, emulated: Halved) -> None:
    """Run an emulation, and put what is found of its outputs and its tensors into the report."""
    report.outputs = proof.outputs(emulated)
    # what a branch or a loop writes may not be there after a run
    always = {n for op in task.program.main.ops if not op.blocks for n in op.output_names}
    inside = [n for n in dict.fromkeys(emulated.rounded) if n in always and _is_plain(task.program, n)]
    report.tensors = [] if task.weights_only else proof.tensors(inside, task.dtype, _AT_ONCE)
    report.status = "passed" if all(row.ok for row in report.outputs) else "failed"


@dataclass
class _Block:
    """Neighbouring operators, and the error where they alone compute in half."""

    names: list[str]
    error: float

    @property
    def price(self) -> float:
        """What each of them costs: errors of roundings that do not know each other add up in squares."""
        return self.error**2 / len(self.names)


def _keep_what_costs_most(
    task: Task, proof: Emulation, report: HalfReport, operators: list[str], progress: Callable[[str], Any]
) -> None:
    """Keep in float32 the fewest operators with which the outputs are within the limit, the most costly first.

    The error of blocks of neighbours is measured where they alone are in half; the most costly blocks are halved until
    that is known closely enough. Then blocks are taken into half, the cheapest first, as long as it is within the limit.
    """
    runs = 0

    def error_with(names: Collection[str]) -> float:
        nonlocal runs
        if runs % _SAID == 0:
            progress(f"measuring what each of {len(operators)} operators costs: run {runs + 1} of at most {_RUNS}")
        runs += 1
        try:
            alone = task.with_only(names, operators)
        except UnsupportedError:  # they only move numbers, which nobody has rounded
            return 0.0
        found = proof.worst(alone)
        return float("inf") if found is None else found

    def parted(names: list[str], parts: int) -> list[_Block]:
        edges = [len(names) * i // parts for i in range(parts + 1)]
        return [_Block(b, error_with(b)) for b in (names[i:j] for i, j in zip(edges, edges[1:])) if b]

    blocks = parted(operators, min(_BLOCKS, len(operators)))
    while runs < _RUNS:
        divisible = [b for b in blocks if len(b.names) > 1 and b.error > report.limit / 8]
        if not divisible:
            break
        worst = max(divisible, key=lambda b: b.error)
        blocks.remove(worst)
        blocks += parted(worst.names, 2)
    blocks.sort(key=lambda b: b.price)
    count = _within(blocks, report.limit)
    while count and error_with([n for b in blocks[:count] for n in b.names]) > report.limit:
        count -= max(1, count // 16)
    for block in reversed(blocks[count:]):
        task.precise += block.names
        report.precise.append(HalfOperators(block.names, block.error if np.isfinite(block.error) else None))


def _within(blocks: Sequence[_Block], limit: float) -> int:
    """How many of the blocks, cheapest first, stay within the limit if their errors add up in squares."""
    total = 0.0
    for count, block in enumerate(blocks):
        total += block.error**2
        if total > limit**2:
            return count
    return len(blocks)


def _is_plain(program: Program, name: str) -> bool:
    var = program.main.vars.get(name)
    return var is not None and not var.persistable and var.dtype is DType.FP32
