"""``mconv half``: a model rewritten for half precision on a GPU, and proved without one.

The proof runs the emulation of :mod:`mconv.passes.half` in a CPU runtime beside the float32 program: the error of every
output, and which tensors inside leave the range of half or lose the most. With calibration inputs the operators of such
tensors stay float32, one group after the other, until the outputs are within the limit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mconv.artifacts.described import carry
from mconv.artifacts.output import staged
from mconv.artifacts.provenance import Recording, model_sources
from mconv.errors import (
    MissingDependencyError,
    RuntimeFailedError,
    RuntimeUnavailableError,
    UnsupportedError,
    VerificationError,
)
from mconv.options.models import Half
from mconv.passes import half as rewriting
from mconv.passes import quantize_forms
from mconv.passes.half import Halved
from mconv.passes.half_tables import LARGEST
from mconv.program import files, targets
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.stored import Era, ModelFiles, write_model
from mconv.proof import precision
from mconv.proof.feeds import load_feeds, random_feeds, specs_of
from mconv.proof.prove import reshaped, runtime_for, written_for
from mconv.runtimes import Runtime, Worker

DTYPES = {"fp16": DType.FP16, "bf16": DType.BF16}
LIMITS = {DType.FP16: 5e-3, DType.BF16: 4e-2}  # of the largest value of an output; bfloat16 has three digits fewer
_ROUNDS = 12  # of calibration: each keeps the operators of a few tensors more
_AT_ONCE = 8  # tensors kept in a round
_GROUP = 64  # tensors fetched in one run

Feed = Mapping[str, np.ndarray]


@dataclass
class HalfOutput:
    """One output of the program in half precision beside the float32 one.

    Attributes:
        name: of the output.
        input_set: which input set, from 0.
        error: the largest difference, as a part of the largest value; None where one side is not finite.
        ok: whether that is within the limit.
    """

    name: str
    input_set: int
    error: Optional[float]
    ok: bool


@dataclass
class HalfTensor:
    """A tensor inside that half precision does badly.

    Attributes:
        name: of the variable.
        largest: its largest magnitude in float32.
        error: as for an output; None where the emulation is not finite.
        reason: ``beyond the range``, ``saturated`` (a mask, whose size means nothing) or ``loses the most``.
    """

    name: str
    largest: float
    error: Optional[float]
    reason: str


@dataclass
class HalfReport:
    """What ``mconv half`` made.

    Attributes:
        source: the program that was read.
        program, params: the files made.
        target: the Paddle that loads it, on a GPU.
        dtype: ``float16`` or ``bfloat16``.
        status: ``passed``, ``failed`` or ``not verified``.
        runtime: where the emulation ran.
        limit: the largest error allowed, as a part of the largest value of an output.
        half: operators that compute in half, by type.
        float32: operators that do not, by type and reason.
        casts: casts in the program.
        bytes: size of the parameters before and after.
        kept: variables whose operators were kept in float32 by calibration.
        saturated: weights, filled tensors and masks whose numbers beyond the range became half of its largest.
        outputs: the figures of every output.
        tensors: the tensors inside that leave the range, and those that lose the most.
        warnings: what to know.
    """

    source: Path
    program: Path
    params: Path
    target: str
    dtype: str
    status: str = "not verified"
    runtime: Optional[str] = None
    limit: float = 0.0
    half: dict[str, int] = field(default_factory=dict)
    float32: dict[str, dict[str, int]] = field(default_factory=dict)
    casts: int = 0
    bytes: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    saturated: list[str] = field(default_factory=list)
    outputs: list[HalfOutput] = field(default_factory=list)
    tensors: list[HalfTensor] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def half(chosen: Half) -> HalfReport:
    """Rewrite a Paddle model for half precision.

    Raises:
        UsageError: an option that means nothing here.
        UnsupportedError: a ``.json``, a program without float32 operators, target 1.8.
        VerificationError: an output is further off than allowed; nothing is written, ``rows`` has the figures.
        RuntimeUnavailableError: *verify* or *calibrate* asks for a run, and there is no Paddle.
    """
    found = files.locate(chosen.path)
    if found.era is Era.PIR:
        raise UnsupportedError(
            f"{found.program}: Paddle 3 makes half precision of a .json itself, when it loads it",
            "mconv downgrade makes a .pdmodel first",
        )
    program = files.load_program(found)
    goal = (chosen.goal or targets.get(written_for(program))).name
    if goal == "1.8" and not chosen.weights_only:
        raise UnsupportedError("Paddle 1.8 has half kernels for training only", "--target 2.3")
    if precision.of_program(program) != "float32":
        raise UnsupportedError(f"{found.program}: computes in {precision.of_program(program)} already")
    quantised = quantize_forms.describe(program)
    if quantised is not None:
        raise UnsupportedError(
            f"{found.program}: is {quantised} already", "half takes the float32 model that it was made of"
        )
    kind = DTYPES[chosen.dtype]
    items = {record.name: record for record in files.records(found, program)}
    task = _Task(program, items, goal, kind, list(chosen.keep), chosen.io, chosen.weights_only)
    report = HalfReport(
        found.program,
        Path(chosen.out) / f"{chosen.name}.pdmodel",
        Path(chosen.out) / f"{chosen.name}.pdiparams",
        goal,
        kind.label,
    )
    report.limit = LIMITS[kind] if chosen.tolerance is None else chosen.tolerance
    made = task.made()
    where = _where(goal, chosen.runtime, chosen.verify if chosen.calibrate is None else True)
    if where is not None:
        specs = specs_of(program)
        given = chosen.calibrate or chosen.feeds
        sets = load_feeds(Path(given), specs) if given is not None else random_feeds(reshaped(specs, chosen.inputs))
        if chosen.calibrate is not None and chosen.feeds is not None:
            sets = [*sets, *load_feeds(Path(chosen.feeds), specs)]
        with _Proof(where, found, program, sets, chosen.timeout, report.limit) as proof:
            report.runtime = where.label
            made = _settled(task, proof, report, chosen.calibrate is not None, chosen.progress)
    elif chosen.verify is None:
        report.warnings.append("not verified: there is no Paddle to run the emulation in")
    _describe(report, made, items, chosen.weights_only)
    if report.status == "failed":
        raise _failure(report, chosen.calibrate is not None)
    protected = [p for p in (found.program, found.params) if p is not None]
    recording = Recording(
        "half",
        model_sources(found, [r.path for r in items.values()] if found.separate else []),
        target=goal,
        options={
            "dtype": chosen.dtype,
            "keep": list(chosen.keep),
            "io": chosen.io,
            "weights_only": chosen.weights_only,
            "kept": report.kept,
        },
    )
    with recording, staged(chosen.out, force=chosen.force, protect=protected) as folder:
        write_model(made.program, [(v.name, made.params[v.name]) for v in made.program.parameters], folder, chosen.name)
        carry(found, folder)
        recording.write(folder)
    return report


@dataclass
class _Task:
    """The rewriting, with what is kept in float32 growing."""

    program: Program
    params: Mapping[str, TensorSource]
    target: str
    dtype: DType
    keep: list[str]
    io: str
    weights_only: bool

    def made(self, *, emulate: bool = False) -> Halved:
        if self.weights_only:
            return rewriting.weights_only(self.program, self.params, self.dtype, keep=self.keep)
        return rewriting.halve(
            self.program, self.params, self.target, self.dtype, keep=self.keep, io=self.io, emulate=emulate
        )


def _where(target: str, name: Optional[str], verify: Optional[bool]) -> Optional[Runtime]:
    if verify is False:
        return None
    try:
        return runtime_for(target, name)
    except (RuntimeUnavailableError, MissingDependencyError):
        if verify or name is not None:
            raise
        return None


class _Proof:
    """Runs the float32 program once, and each emulation of it, on the same inputs."""

    def __init__(
        self, where: Runtime, found: ModelFiles, program: Program, sets: Sequence[Feed], timeout: float, limit: float
    ):
        self.found, self.program, self.sets, self.timeout, self.limit = found, program, sets, timeout, limit
        self.worker = Worker(where)
        self.folder = tempfile.TemporaryDirectory(prefix="mconv-half-")
        try:
            self.reference = self._run(found.program, found.params)
        except RuntimeFailedError as e:
            self.worker.close()
            self.folder.cleanup()
            e.hint = e.hint or "give inputs that it takes: --input 'NAME[1,3,?,640]' or --inputs X.NPZ"
            raise

    def __enter__(self) -> _Proof:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.close()
        self.folder.cleanup()

    def _run(self, program: Path, params: Optional[Path], fetch: Sequence[str] = ()) -> list[list[np.ndarray]]:
        # as the program says it: no fusion that computes something else in the one and not in the other
        return self.worker.run(
            program, params, self.sets, ir_optim=False, onednn=False, fetch=list(fetch) or None, timeout=self.timeout
        ).outputs

    def outputs(self, made: Halved) -> list[HalfOutput]:
        """The outputs of an emulation, compared."""
        self.emulation = write_model(
            made.program, [(v.name, made.params[v.name]) for v in made.program.parameters], self.folder.name
        )
        got = self._run(*self.emulation)
        names = [port.name for port in self.program.fetches]
        rows = []
        for number, (want, have) in enumerate(zip(self.reference, got)):
            for name, a, b in zip(names, want, have):
                error = error_of(a, b)
                rows.append(HalfOutput(name, number, error, error is not None and error <= self.limit))
        return rows

    def tensors(self, names: Sequence[str], dtype: DType, worst: int) -> list[HalfTensor]:
        """Of the tensors inside, those that leave the range, and the *worst* of the others."""
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
                    reason = "loses the most"
                    if largest > LARGEST[dtype]:
                        finite = bool(np.isfinite(b[np.isfinite(a)]).all()) if a.shape == b.shape else False
                        reason = "saturated" if finite else "beyond the range"
                    row = HalfTensor(name, largest, error, reason)
                    old = found.get(name)
                    if old is None or _badness(row) > _badness(old):
                        found[name] = row
        beyond = [row for row in found.values() if row.reason == "beyond the range"]
        others = [row for row in found.values() if row.reason == "loses the most"]
        return [*beyond, *sorted(others, key=_badness, reverse=True)[:worst]]


def _badness(row: HalfTensor) -> tuple[bool, float]:
    infinite = float("inf") if row.error is None else row.error
    return row.reason == "beyond the range", infinite if row.reason != "saturated" else 0.0


def error_of(want: np.ndarray, got: np.ndarray) -> Optional[float]:
    """The largest difference as a part of the largest value, 0 where both are equal; None where shapes differ, one side
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


def _settled(task: _Task, proof: _Proof, report: HalfReport, calibrate: bool, progress: Callable[[str], Any]) -> Halved:
    """The rewriting that is kept, and what was found of it in the report."""
    for number in range(_ROUNDS if calibrate else 1):
        progress(f"emulating {report.dtype} in {report.runtime}" + (f", round {number + 1}" if calibrate else ""))
        try:
            emulated = task.made(emulate=True)
        except UnsupportedError:
            if not report.kept:
                raise
            raise VerificationError(
                f"calibration keeps every operator in float32: the numbers of this model do not fit {report.dtype}",
                "--dtype bf16 has the range of float32; --weights-only stores half and computes in float32",
            ) from None
        report.outputs = proof.outputs(emulated)
        good = all(row.ok for row in report.outputs)
        inside = [n for n in dict.fromkeys(emulated.rounded) if _is_plain(task.program, n)]
        report.tensors = [] if task.weights_only else proof.tensors(inside, task.dtype, _AT_ONCE)
        report.status = "passed" if good else "failed"
        beyond = [row.name for row in report.tensors if row.reason == "beyond the range"]
        if not calibrate or (good and not beyond):
            break
        more = [n for n in (beyond or [row.name for row in report.tensors]) if n not in task.keep]
        if not more:
            break
        task.keep += more
        report.kept += more
    return task.made()


def _is_plain(program: Program, name: str) -> bool:
    var = program.main.vars.get(name)
    return var is not None and not var.persistable and var.dtype is DType.FP32


def _describe(report: HalfReport, made: Halved, items: Mapping[str, TensorSource], weights_only: bool) -> None:
    report.half, report.float32, report.casts = made.half, made.floats, made.casts
    report.saturated = list(dict.fromkeys(made.saturated))
    report.bytes = {
        "before": sum(s.nbytes for s in items.values()),
        "after": sum(made.params[v.name].nbytes for v in made.program.parameters),
    }
    if not weights_only:
        report.warnings += filter(None, [rewriting.for_gpus(made.program)])


def _failure(report: HalfReport, calibrated: bool) -> VerificationError:
    bad = [row for row in report.outputs if not row.ok]
    worst = max(bad, key=lambda row: float("inf") if row.error is None else row.error)
    said = "is not finite" if worst.error is None else f"is off by {worst.error:.1%} of its largest value"
    inside = ", ".join(row.name for row in report.tensors[:3])
    hint = f"the tensors that do worst: {inside}; " if inside else ""
    if report.casts and not report.half:
        hint = "--keep NAME keeps a weight in float32, or those that an operator reads"
    elif calibrated:
        hint += "--keep OPERATOR or VARIABLE"
    else:
        hint += "--calibrate X.npz keeps them in float32, or --keep NAME"
    return VerificationError(
        f"in {report.dtype} the output {worst.name} {said}, where {report.limit:.1%} is allowed", hint, rows_of(bad)
    )


def rows_of(outputs: Iterable[HalfOutput]) -> list[dict[str, Any]]:
    """The figures as plain rows."""
    return [{"name": r.name, "input_set": r.input_set, "error": r.error, "ok": r.ok} for r in outputs]
