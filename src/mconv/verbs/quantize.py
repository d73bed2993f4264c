"""``mconv quantize``: a model whose products and convolutions compute in int8, calibrated on data and proved on others.

The calibration runs the float32 program in a CPU runtime and looks at what each layer reads. The proof runs the quantised
program, each operator as it is, beside the float32 one on data that were held back: what is rounded is rounded there as
an int8 kernel rounds it. Layers that cost too much stay float32, one group after the other, the worst first.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mconv.artifacts.described import carry
from mconv.artifacts.output import staged
from mconv.artifacts.provenance import Recording, model_sources
from mconv.errors import (
    RuntimeFailedError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from mconv.options.quantize import AUTO, Quantize
from mconv.page.shown import Shown
from mconv.passes import quantize as rewriting
from mconv.passes.quantize import Layer
from mconv.passes.quantize_forms import describe
from mconv.program import files, targets
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.stored import ModelFiles, write_model
from mconv.proof import calibration, labelled, precision
from mconv.proof.feeds import specs_of
from mconv.proof.labelled import Labelled
from mconv.proof.prove import runtime_for, written_for
from mconv.runtimes import Runtime, Worker
from mconv.verbs.convert import as_paddle_model

MAX_DROP = 0.01  # of the share of right answers, where the data have labels
MAX_ERROR = 0.1  # of the numbers, where they have none: ‖difference‖ / ‖float32‖
FIRST_INT8 = 2005000  # the first Paddle whose oneDNN makes int8 kernels of this form
_GROUP = 16  # tensors fetched in one run
_STEPS = 4  # layers that stay float32 are looked for among so many more each time: 1, 4, 16, …


@dataclass
class QuantizedLayer:
    """A layer.

    Attributes:
        name: its output variable.
        operator: its type.
        activation: what it reads.
        range: the magnitude of the activation that becomes 127.
        largest: the largest magnitude on the calibration data.
        error: ‖difference‖ / ‖float32‖ of the first output where this layer alone is quantised; None: not asked.
        int8: whether it computes in int8.
    """

    name: str
    operator: str
    activation: str
    range: float
    largest: float
    error: Optional[float] = None
    int8: bool = True


@dataclass
class QuantizedOutput:
    """One output on the data that were held back.

    Attributes:
        name: of the output.
        error: ‖difference‖ / ‖float32‖ over all sets; None where one side is not finite or the shapes differ.
        agreement: the share of rows whose largest element is the same; None where an output has no such rows.
        ok: whether the error is within the limit, or what the labels say.
    """

    name: str
    error: Optional[float]
    agreement: Optional[float]
    ok: bool


@dataclass
class Int8Run:
    """The same program with int8 kernels of oneDNN.

    Attributes:
        runtime: where.
        operators: operators that compute in int8, by type, as the runtime's log says.
        error: ‖difference‖ / ‖emulation‖ of the first output.
        accuracy: as the report's.
    """

    runtime: str
    operators: dict[str, int]
    error: Optional[float]
    accuracy: Optional[float]


@dataclass(repr=False)
class QuantizeReport(Shown):
    """What ``mconv quantize`` made.

    Attributes:
        source: what was read.
        program, params: the files made.
        target: the Paddle that loads it.
        status: ``passed``; a model that fails is not written.
        runtime: where calibration and proof ran.
        method: how ranges were chosen: ``minmax``, ``percentile``, ``mse`` or ``kl``.
        methods: method → error on the calibration data, of those that were tried.
        calibration, proof: rows of the data.
        held_back: whether the proof's data are others than the calibration's.
        limit: what was allowed: of the drop in accuracy with labels, of the error without.
        accuracy: ``float32`` and ``int8``, the share of right answers; empty without labels.
        layers: of every layer, what was found.
        outputs: the figures of every output.
        int8: with int8 kernels of oneDNN; None where the runtime has none.
        bytes: size of the parameters before and after.
        warnings: what to know.
    """

    source: Path
    program: Path
    params: Path
    target: str
    status: str
    runtime: str
    method: str = ""
    methods: dict[str, Optional[float]] = field(default_factory=dict)
    calibration: int = 0
    proof: int = 0
    held_back: bool = True
    limit: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    layers: list[QuantizedLayer] = field(default_factory=list)
    outputs: list[QuantizedOutput] = field(default_factory=list)
    int8: Optional[Int8Run] = None
    bytes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def quantize(chosen: Quantize) -> QuantizeReport:
    """Quantise a model to 8 bits.

    Raises:
        UsageError: an option, or the data, do not fit.
        UnsupportedError: no layer can be quantised, or the model is no float32 one.
        VerificationError: whatever stays float32, it is not as right as asked; nothing is written.
        RuntimeUnavailableError: there is no Paddle to run it in.
    """
    path, out, keep, labels = chosen.path, Path(chosen.out), chosen.keep, chosen.labels
    wanted = None if chosen.target is None else targets.get(chosen.target)
    with tempfile.TemporaryDirectory(prefix="mconv-quantize-") as scratch:
        model, warnings = as_paddle_model(path, Path(scratch) / "float32", target=wanted, timeout=chosen.timeout)
        found = files.locate(model)
        program = files.load_program(found)
        goal = (wanted or targets.get(written_for(program))).name
        items = {record.name: record for record in files.records(found, program)}
        if describe(program) is not None or precision.of_program(program) != "float32":
            raise UnsupportedError(
                f"{found.program}: is {describe(program) or precision.of_program(program)} already",
                "quantize takes a float32 model",
            )
        if goal == "1.8":
            raise UnsupportedError("Paddle 1.8 has no quantize_linear", "--target 2.3")
        layers = rewriting.layers(program, items, keep)
        if not layers:
            raise UnsupportedError(
                f"{found.program}: no product or convolution with a stored float32 weight",
                f"what is quantised are {', '.join(rewriting.QUANTISED)}",
            )
        specs = specs_of(program)
        sets = labelled.load(Path(chosen.data), specs, labels)
        proving = labelled.load(Path(chosen.inputs), specs, labels) if chosen.inputs is not None else []
        if not proving:
            sets, proving = labelled.held_back(sets, specs)
        where = runtime_for(goal, chosen.runtime)
        report = QuantizeReport(
            Path(path), out / "inference.pdmodel", out / "inference.pdiparams", goal, "passed", where.label
        )
        report.warnings += warnings
        judged = proving or sets
        report.calibration, report.proof = (sum(s.rows for s in part) for part in (sets, judged))
        report.held_back = bool(proving)
        if not proving:
            report.warnings.append("too few data to hold any back: it is proved on those that it was calibrated with")
        report.limit = chosen.max_drop if chosen.max_drop is not None else MAX_ERROR if labels is None else MAX_DROP
        with _Trials(where, found, program, items, layers, chosen.timeout, Path(scratch)) as trials:
            search = _Search(trials, sets, judged, report, chosen.progress)
            small, ranges = search.run(chosen.method, chosen.percentile)
            made = rewriting.quantize(program, items, small, ranges, weights=trials.weights)
            _check_written(
                trials, made, {**items, **made.made}, judged, search.reference, report, where, chosen.progress
            )
        params = {**items, **made.made}
        report.bytes = {
            "before": sum(s.nbytes for s in items.values()),
            "after": sum(params[v.name].nbytes for v in made.program.parameters),
        }
        protected = [p for p in (found.program, found.params, Path(chosen.data)) if p is not None]
        recording = Recording(
            "quantize",
            model_sources(found, [r.path for r in items.values()] if found.separate else []),
            target=goal,
            options={
                "method": report.method,
                "keep": list(keep),
                "float32": [n.name for n in report.layers if not n.int8],
            },
        )
        with recording, staged(out, force=chosen.force, protect=protected) as folder:
            write_model(made.program, [(v.name, params[v.name]) for v in made.program.parameters], folder)
            carry(found, folder)
            recording.write(folder)
    return report


class _Trials:
    """Runs the float32 program, and programs in which some layers are quantised; their parameters are written once."""

    def __init__(
        self,
        where: Runtime,
        found: ModelFiles,
        program: Program,
        items: Mapping[str, TensorSource],
        layers: Sequence[Layer],
        timeout: float,
        scratch: Path,
    ):
        self.found, self.program, self.items, self.layers = found, program, items, layers
        self.timeout, self.folder = timeout, scratch / "trials"
        self.folder.mkdir()
        self.worker = Worker(where)
        self.weights: dict[str, TensorSource] = {}
        for layer in layers:
            if rewriting.held(layer) not in self.weights:
                self.weights.update(rewriting.integers(layer, items))
        self.written: Optional[tuple[Program, Path]] = None

    def __enter__(self) -> _Trials:
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.close()

    def run(
        self, program: Path, params: Optional[Path], sets: Sequence[Labelled], **options: Any
    ) -> list[list[np.ndarray]]:
        """Each operator as it is, unless *options* say otherwise: no fusion that computes something else."""
        how = {"ir_optim": False, "onednn": False, **options}
        outputs = []
        for one in sets:  # one at a time: what comes back is large
            outputs += self.worker.run(program, params, [one.feed], timeout=self.timeout, **how).outputs
        return outputs

    def float32(self, sets: Sequence[Labelled], fetch: Sequence[str] = ()) -> list[list[np.ndarray]]:
        try:
            return self.run(self.found.program, self.found.params, sets, fetch=list(fetch) or None)
        except RuntimeFailedError as e:
            e.hint = e.hint or "the data have to be inputs that the model takes"
            raise

    def quantised(
        self, chosen: Sequence[Layer], ranges: Mapping[str, float], sets: Sequence[Labelled]
    ) -> list[list[np.ndarray]]:
        """The emulation with these layers in int8."""
        made = rewriting.quantize(self.program, self.items, chosen, ranges, weights=self.weights, constants=True)
        if self.written is None:  # all that any trial reads
            whole = rewriting.quantize(
                self.program, self.items, self.layers, ranges, weights=self.weights, constants=True
            )
            for name, var in self.program.main.vars.items():
                if name in self.items:
                    whole.program.main.add_var(var)
            every = {**self.items, **whole.made}
            _, params = write_model(
                whole.program, [(v.name, every[v.name]) for v in whole.program.parameters], self.folder, "trial"
            )
            self.written = whole.program, params
        whole_program, params = self.written
        for var in whole_program.parameters:  # the file holds them: all have to be declared
            made.program.main.vars.setdefault(var.name, var)
        program = self.folder / "trial.pdmodel"
        program.write_bytes(made.program.to_bytes())
        return self.run(program, params, sets)


@dataclass
class _Search:
    trials: _Trials
    sets: Sequence[Labelled]
    proving: Sequence[Labelled]
    report: QuantizeReport
    progress: Callable[[str], Any]

    def run(self, method: str, percent: float) -> tuple[list[Layer], dict[str, float]]:
        """The layers that compute in int8, and the ranges of what they read.

        Raises:
            VerificationError: too much is lost whatever stays float32.
        """
        layers, report = list(self.trials.layers), self.report
        self.progress(f"calibrating on {report.calibration} rows in {report.runtime}")
        histograms = self._histograms(sorted({layer.activation for layer in layers}))
        for name in [n for n, h in histograms.items() if not h.largest]:
            report.warnings.append(f"{name} is 0 on all data: what reads it stays float32")
        layers = [layer for layer in layers if histograms[layer.activation].largest]
        if not layers:
            raise UsageError("what the layers read is 0 on all calibration data", "calibrate with real inputs")
        wanted = self.trials.float32(self.sets)
        tried: dict[str, tuple[float, dict[str, float]]] = {}
        for one in calibration.METHODS if method == AUTO else (method,):
            ranges = {n: _range(h, one, percent) for n, h in histograms.items()}
            error = None
            if method == AUTO:
                self.progress(f"trying {one}")
                error = error_of(wanted, self.trials.quantised(layers, ranges, self.sets), 0)
            report.methods[one] = error
            tried[one] = (np.inf if error is None else error), ranges
        report.method = min(tried, key=lambda one: tried[one][0])
        ranges = tried[report.method][1]
        report.layers = [
            QuantizedLayer(
                layer.name, layer.operator, layer.activation, ranges[layer.activation],
                histograms[layer.activation].largest,
            )
            for layer in layers
        ]  # fmt: skip
        return self._within(layers, ranges, wanted), ranges

    def _histograms(self, names: Sequence[str]) -> dict[str, calibration.Histogram]:
        found = {name: calibration.Histogram() for name in names}
        fed = [n for n in names if n in self.sets[0].feed]
        inside = [n for n in names if n not in fed]
        count = len(self.trials.program.fetches)
        for one in self.sets:
            for name in fed:
                found[name].add(np.asarray(one.feed[name]))
            for start in range(0, len(inside), _GROUP):
                group = inside[start : start + _GROUP]
                (row,) = self.trials.float32([one], group)
                for name, array in zip(group, row[count:]):
                    found[name].add(array)
        return found

    def _within(self, layers: list[Layer], ranges: Mapping[str, float], wanted: list[list[np.ndarray]]) -> list[Layer]:
        """The most layers with which the model is as right as asked."""
        self.reference = self.trials.float32(self.proving)
        self.progress(f"proving on {self.report.proof} rows")
        if self._good(layers, ranges):
            return layers
        self._alone(layers, ranges, wanted)
        rows = {row.name: row for row in self.report.layers}
        worst = sorted(layers, key=lambda layer: -_or_infinite(rows[layer.name].error))
        low, high = 0, 1  # so many in float32 are too few, so many are tried
        while True:
            if high >= len(layers):
                raise self._failure()
            self.progress(f"keeping {high} of {len(layers)} layers in float32")
            if self._good(worst[high:], ranges):
                break
            low, high = high, max(high + 1, min(high * _STEPS, len(layers) - 1))
        while high - low > 1:
            middle = (low + high) // 2
            self.progress(f"keeping {middle} of {len(layers)} layers in float32")
            good = self._good(worst[middle:], ranges)
            low, high = (low, middle) if good else (middle, high)
        for layer in worst[:high]:
            rows[layer.name].int8 = False
        return worst[high:]

    def _alone(self, layers: Sequence[Layer], ranges: Mapping[str, float], wanted: list[list[np.ndarray]]) -> None:
        """What each layer costs where it alone is quantised, on the first calibration set."""
        first, reference = list(self.sets[:1]), wanted[:1]
        for number, (layer, row) in enumerate(zip(layers, self.report.layers)):
            self.progress(f"layer {number + 1} of {len(layers)}: {layer.name}")
            row.error = error_of(reference, self.trials.quantised([layer], ranges, first), 0)

    def _good(self, layers: Sequence[Layer], ranges: Mapping[str, float]) -> bool:
        got = self.trials.quantised(layers, ranges, self.proving) if layers else self.reference
        return judge(self.report, self.reference, got, self.proving, [p.name for p in self.trials.program.fetches])

    def _failure(self) -> VerificationError:
        report = self.report
        if report.accuracy:
            said = (
                f"{report.accuracy['int8']:.1%} of the answers are right, {report.accuracy['float32']:.1%} in float32"
            )
        else:
            bad = next(row for row in report.outputs if not row.ok)
            said = f"the output {bad.name} is " + ("not finite" if bad.error is None else f"off by {bad.error:.1%}")
        return VerificationError(
            f"in int8, {said}, where {report.limit:.1%} may be lost",
            "more calibration data, another --method, or --max-drop",
            [vars(row) for row in report.outputs],
        )


def _range(found: calibration.Histogram, method: str, percent: float) -> float:
    chosen = calibration.percentile(found, percent) if method == "percentile" else calibration.METHODS[method](found)
    return chosen or found.largest


def _or_infinite(error: Optional[float]) -> float:
    return np.inf if error is None else error


def judge(
    report: QuantizeReport,
    wanted: Sequence[Sequence[np.ndarray]],
    got: Sequence[Sequence[np.ndarray]],
    sets: Sequence[Labelled],
    names: Sequence[str],
) -> bool:
    """Put the figures into the report; returns whether all is within its limit."""
    before, after = (labelled.accuracy([row[0] for row in rows], sets) for rows in (wanted, got))
    report.accuracy = {} if before is None or after is None else {"float32": before, "int8": after}
    right = None if before is None or after is None else before - after <= report.limit + 1e-9
    report.outputs = []
    for place, name in enumerate(names):
        error = error_of(wanted, got, place)
        ok = error is not None and (error <= report.limit if right is None else right)
        report.outputs.append(QuantizedOutput(name, error, agreement(wanted, got, place), ok))
    return all(row.ok for row in report.outputs)


def error_of(
    wanted: Sequence[Sequence[np.ndarray]], got: Sequence[Sequence[np.ndarray]], place: int
) -> Optional[float]:
    """‖difference‖ / ‖wanted‖ of the output at *place* over all sets; None where one is not finite or the shapes differ.

    Of what is no floating point number, the share of elements that differ.
    """
    off = whole = 0.0
    for a_row, b_row in zip(wanted, got):
        a, b = a_row[place], b_row[place]
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            return None
        if a.dtype.kind == "f":
            a, b = a.astype(np.float64), b.astype(np.float64)
            off += float(((a - b) ** 2).sum())
            whole += float((a**2).sum())
        else:
            off += float((a != b).sum()) ** 2
            whole += float(a.size) ** 2
    return (off / whole) ** 0.5 if whole else (0.0 if not off else None)


def agreement(
    wanted: Sequence[Sequence[np.ndarray]], got: Sequence[Sequence[np.ndarray]], place: int
) -> Optional[float]:
    """The share of rows of the last axis whose largest element is at the same place; None where there is no such axis."""
    same = total = 0
    for a_row, b_row in zip(wanted, got):
        a, b = a_row[place], b_row[place]
        if a.shape != b.shape or a.dtype.kind != "f" or a.ndim < 2 or a.shape[-1] < 2 or not a.size:
            return None
        same += int((a.argmax(-1) == b.argmax(-1)).sum())
        total += a[..., 0].size
    return same / total if total else None


# the result -----------------------------------------------------------------------------------------------------------


def _check_written(
    trials: _Trials,
    made: rewriting.Quantized,
    params: Mapping[str, TensorSource],
    sets: Sequence[Labelled],
    reference: list[list[np.ndarray]],
    report: QuantizeReport,
    where: Runtime,
    progress: Callable[[str], Any],
) -> None:
    """Run the model itself as it will be written, as it is and with int8 kernels of oneDNN.

    Args:
        reference: what the float32 program answers to *sets*.

    Raises:
        VerificationError: it is not what the trials were.
    """
    folder = trials.folder / "made"
    folder.mkdir()
    written = write_model(made.program, [(v.name, params[v.name]) for v in made.program.parameters], folder)
    got = trials.run(*written, sets)
    if not judge(report, reference, got, sets, [p.name for p in trials.program.fetches]):
        raise VerificationError("the model that was written computes something else than its trial", "please report it")
    if targets.get(report.target).version < FIRST_INT8:
        report.warnings.append(
            f"Paddle {report.target} computes the rounded numbers in float32 on a CPU: int8 kernels of oneDNN came with 2.5"
        )
        return
    progress(f"running int8 kernels of oneDNN in {where.label}")
    log = trials.worker.log_of_loading(*written, onednn=True, precision="int8", timeout=trials.timeout)
    fast = trials.run(*written, sets, onednn=True, precision="int8", ir_optim=True)
    right = labelled.accuracy([row[0] for row in fast], sets)
    report.int8 = Int8Run(where.label, operators_in(log), error_of(got, fast, 0), right)
    if not report.int8.operators:
        report.warnings.append(f"{where.label} makes no int8 kernel of this model")


_MADE = re.compile(r"quantized +(\d+) +(\w+) ops")


def operators_in(log: str) -> dict[str, int]:
    """The operators that Paddle's ``cpu_quantize_pass`` says it has made int8, by the type that they have by then."""
    found: dict[str, int] = {}
    for number, operator in _MADE.findall(log):
        if int(number):
            found[operator] = found.get(operator, 0) + int(number)
    return found
