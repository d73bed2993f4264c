"""Which layers compute in int8, and with which ranges: trials of the quantised program beside the float32 one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mconv.errors import PrecisionError, RuntimeFailedError, UsageError
from mconv.options.quantize import AUTO
from mconv.passes import quantize as rewriting
from mconv.passes.quantize import Layer
from mconv.printable import counted, percent
from mconv.program.closing import Closing
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.stored import ModelFiles, in_order, write_model
from mconv.proof import calibration
from mconv.proof.labelled import Labelled
from mconv.runtimes import Runtime, Worker
from mconv.verbs.quantize_report import QuantizedLayer, QuantizeReport, error_of, judge

_GROUP = 16  # tensors fetched in one run
_STEPS = 4  # layers that stay float32 are looked for among so many more each time: 1, 4, 16, …


class Trials(Closing):
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

    def close(self) -> None:
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
            _, params = write_model(whole.program, in_order(whole.program, every), self.folder, "trial")
            self.written = whole.program, params
        whole_program, params = self.written
        for var in whole_program.parameters:  # the file holds them: all have to be declared
            made.program.main.vars.setdefault(var.name, var)
        program = self.folder / "trial.pdmodel"
        program.write_bytes(made.program.to_bytes())
        return self.run(program, params, sets)


@dataclass
class Search:
    trials: Trials
    sets: Sequence[Labelled]
    proving: Sequence[Labelled]
    report: QuantizeReport
    progress: Callable[[str], Any]

    def run(self, method: str, percent: float) -> tuple[list[Layer], dict[str, float]]:
        """The layers that compute in int8, and the ranges of what they read.

        Raises:
            PrecisionError: too much is lost whatever stays float32.
        """
        layers, report = list(self.trials.layers), self.report
        self.progress(f"calibrating on {counted(report.calibration, 'row')} in {report.runtime}")
        histograms = self._histograms(sorted({layer.activation for layer in layers}))
        for name in [n for n, h in histograms.items() if not h.largest]:
            report.warnings.append(f"{name} is 0 on all data, or not finite: what reads it stays float32")
        layers = [layer for layer in layers if histograms[layer.activation].largest]
        if not layers:
            raise UsageError(
                "what the layers read is 0 on all calibration data, or not finite", "calibrate with real inputs"
            )
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
        for port, *values in zip(self.trials.program.fetches, *self.reference):
            if not all(np.isfinite(value).all() for value in values):
                raise UsageError(
                    f"the float32 model's own output {port.name} is not finite on these data",
                    "real inputs, none of them infinite or near the largest float32",
                )
        self.progress(f"proving on {counted(self.report.proof, 'row')}")
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

    def _failure(self) -> PrecisionError:
        report = self.report
        if report.accuracy:
            said = f"{percent(report.accuracy['int8'])} of the answers are right, {percent(report.accuracy['float32'])} in float32"
        else:
            bad = next(row for row in report.outputs if not row.ok)
            said = f"the output {bad.name} is " + (
                "not finite" if bad.error is None else f"off by {percent(bad.error)}"
            )
        return PrecisionError(
            f"in int8, {said}, where {percent(report.limit)} may be lost",
            "more calibration data, another --method, or --max-drop",
            [vars(row) for row in report.outputs],
        )


def _range(found: calibration.Histogram, method: str, percent: float) -> float:
    chosen = calibration.percentile(found, percent) if method == "percentile" else calibration.METHODS[method](found)
    return chosen or found.largest


def _or_infinite(error: Optional[float]) -> float:
    return np.inf if error is None else error
