"""``mconv quantize``: a model whose products and convolutions compute in int8, calibrated on data and proved on others.

The calibration runs the float32 program in a CPU runtime and looks at what each layer reads. The proof runs the quantised
program, each operator as it is, beside the float32 one on data that were held back: what is rounded is rounded there as
an int8 kernel rounds it. Layers that cost too much stay float32, one group after the other, the worst first.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mconv.artifacts.described import carry
from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Recording, model_sources
from mconv.artifacts.recorded import Output
from mconv.errors import (
    PrecisionError,
    RuntimeFailedError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from mconv.options.quantize import Quantize
from mconv.passes import quantize as rewriting
from mconv.printable import counted, percent
from mconv.program import files
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.stored import write_model
from mconv.program.targets import PADDLE_1_8
from mconv.proof import labelled
from mconv.proof.available import runtime_for, written_for
from mconv.proof.feeds import specs_of
from mconv.proof.precision import require_float32
from mconv.runtimes import Runtime
from mconv.verbs.convert import as_paddle_model
from mconv.verbs.quantize_report import Int8Run, QuantizeReport, error_of, judge
from mconv.verbs.quantize_search import Search, Trials

MAX_DROP = 0.01  # of the share of right answers, where the data have labels
MAX_ERROR = 0.1  # of the numbers, where they have none: ‖difference‖ / ‖float32‖
COARSE = 0.04  # ‖difference‖ / ‖weight‖; the right scales give 0.005
FIRST_INT8 = 2005000  # the first Paddle whose oneDNN makes int8 kernels of this form


def quantize(chosen: Quantize) -> QuantizeReport:
    """Quantise a model to 8 bits.

    Raises:
        UsageError: an option, or the data, do not fit.
        UnsupportedError: no layer can be quantised, or the model is no float32 one.
        PrecisionError: whatever stays float32, it is not as right as asked; nothing is written.
        RuntimeUnavailableError: there is no Paddle to run it in.
    """
    path, keep, labels = chosen.path, chosen.keep, chosen.labels
    wanted = chosen.goal
    output = Output(Destination.of_folder(chosen.out), force=chosen.force)
    output.check([path, chosen.data, chosen.inputs])
    with tempfile.TemporaryDirectory(prefix="mconv-quantize-") as scratch:
        model, warnings = as_paddle_model(path, Path(scratch) / "float32", target=wanted, timeout=chosen.timeout)
        found = files.locate(model)
        program, items = files.load_model(found)
        goal = wanted or written_for(program)
        shown = (
            found.program if str(found.program).startswith(str(path)) else Path(path)
        )  # not a file of one's own making
        require_float32(shown, program, "quantize")
        if goal == PADDLE_1_8:
            raise UnsupportedError("Paddle 1.8 has no quantize_linear", "--target 2.3")
        layers = rewriting.layers(program, items, keep)
        if not layers:
            others = sorted({s.dtype.label for s in items.values() if s.dtype.is_float and s.dtype is not DType.FP32})
            raise UnsupportedError(
                f"{shown}: no product or convolution with a stored float32 weight"
                + (f" ({', '.join(others)} weights)" if others else ""),
                "quantize takes the float32 model"
                if others
                else f"what is quantised are {', '.join(rewriting.QUANTISED)}",
            )
        kernels = goal.version >= FIRST_INT8
        if chosen.onednn and not kernels:
            raise UsageError(f"--onednn: Paddle {goal} has no int8 kernels of this form", "--target 2.6 or 3")
        errors = {layer.name: rewriting.onednn_error(layer, items) for layer in layers} if kernels else {}
        coarse = {name: error for name, error in errors.items() if error > COARSE}
        if chosen.onednn:
            layers = [layer for layer in layers if layer.name not in coarse]
            if not layers:
                raise UnsupportedError("--onednn: every product stays float32", "without it all other runtimes gain")
        specs = specs_of(program)
        sets = labelled.load(Path(chosen.data), specs, labels)
        proving = labelled.load(Path(chosen.inputs), specs, labels) if chosen.inputs is not None else []
        if not proving:
            sets, proving = labelled.held_back(sets, specs)
        where = runtime_for(goal, chosen.runtime)
        report = QuantizeReport(Path(path), *output.model_files(), goal.name, "passed", where.label)
        report.warnings += warnings
        inside = sum(op.type in rewriting.QUANTISED for block in program.blocks[1:] for op in block.ops)
        if inside:
            report.warnings.append(
                f"in branches and loops everything stays float32, products and convolutions too ({inside})"
            )
        report.coarse = coarse
        if coarse and not chosen.onednn:
            report.warnings.append(
                f"int8 kernels of oneDNN (Paddle 2.5 to 3.3) take scales of other weights for {counted(len(coarse), 'product')}, "
                f"whose weights are up to {percent(max(coarse.values()))} off there: for a CPU, --onednn keeps them in float32"
            )
        judged = proving or sets
        report.calibration, report.proof = (sum(s.rows for s in part) for part in (sets, judged))
        report.held_back = bool(proving)
        if not proving:
            report.warnings.append("too few data to hold any back: it is proved on those that it was calibrated with")
        report.limit = chosen.max_drop if chosen.max_drop is not None else MAX_ERROR if labels is None else MAX_DROP
        try:
            with Trials(where, found, program, items, layers, chosen.timeout, Path(scratch)) as trials:
                search = Search(trials, sets, judged, report, chosen.progress)
                small, ranges = search.run(chosen.method, chosen.percentile)
                made, params = _as_written(search, small, ranges, chosen.onednn, where, kernels)
        except RuntimeFailedError as e:
            e.message = e.message.replace(str(found.program), str(shown))
            raise
        report.bytes = {
            "before": sum(s.nbytes for s in items.values()),
            "after": sum(params[v.name].nbytes for v in made.program.parameters),
        }
        recording = Recording(
            "quantize",
            model_sources(found, items.values()),
            target=goal.name,
            options={
                "method": report.method,
                "keep": list(keep),
                "float32": [n.name for n in report.layers if not n.int8],
            },
        )
        with output.opened([chosen.data, chosen.inputs], recording) as folder:
            output.write_model(made.program, files.in_order(made.program, params))
            carry(found, folder, made.program.feeds)
    return report


def _as_written(
    search: Search,
    layers: Sequence[rewriting.Layer],
    ranges: Mapping[str, float],
    onednn: bool,
    where: Runtime,
    kernels: bool,
) -> tuple[rewriting.Quantized, Mapping[str, TensorSource]]:
    """The program and its parameters, run as they will be written.

    Args:
        layers: that compute in int8.
        onednn: layers stay float32, those that cost the most there first, until int8 kernels of oneDNN are as right as
            asked, too.
        kernels: whether the target has int8 kernels of oneDNN.

    Raises:
        PrecisionError: they are not, whatever stays float32.
        VerificationError: the program is not what its trials were.
    """
    trials, report = search.trials, search.report
    rows = {row.name: row for row in report.layers}
    worst: list[rewriting.Layer] = []
    losses = []
    count = 0
    while True:
        left = [layer for layer in layers if layer not in worst[:count]]
        made = rewriting.quantize(trials.program, trials.items, left, ranges, weights=trials.weights)
        params = {**trials.items, **made.made}
        losses.append(_check_written(search, made, params, where, kernels))
        if losses[-1] <= report.limit + 1e-9 or not onednn:
            break
        worst = worst or _by_cost_in_onednn(search, layers, ranges)
        if count == len(layers) - 1:
            raise PrecisionError(
                f"int8 kernels of oneDNN lose {percent(min(losses))} at least, where {percent(report.limit)} may be lost",
                "--max-drop, --keep, or without --onednn for runtimes other than Paddle's on a CPU",
            )
        count = min(2 * count or 1, len(layers) - 1)
        search.progress(f"keeping {count} of {len(layers)} layers in float32 for oneDNN")
    for layer in worst[:count]:
        rows[layer.name].int8 = False
    if losses[-1] > report.limit + 1e-9:
        report.warnings.append(
            f"int8 kernels of oneDNN in {where.label} lose {percent(losses[-1])}, where {percent(report.limit)} may be lost: for a CPU, "
            "--onednn keeps more in float32"
        )
    return made, params


def _by_cost_in_onednn(
    search: Search, layers: Sequence[rewriting.Layer], ranges: Mapping[str, float]
) -> list[rewriting.Layer]:
    """The layers, the first the one that costs the most where it alone has an int8 kernel of oneDNN."""
    trials = search.trials
    costs: dict[str, float] = {}
    rows = {row.name: row for row in search.report.layers}
    for number, layer in enumerate(layers):
        search.progress(f"layer {number + 1} of {len(layers)} in oneDNN: {layer.name}")
        made = rewriting.quantize(trials.program, trials.items, [layer], ranges, weights=trials.weights)
        written = _written(search, made, {**trials.items, **made.made})
        fast = trials.run(*written, search.proving[:1], onednn=True, precision="int8", ir_optim=True)
        error = error_of(search.reference[:1], fast, 0)
        costs[layer.name] = float("inf") if error is None else error
        rows[layer.name].error = error
    return sorted(layers, key=lambda layer: -costs[layer.name])


def _written(search: Search, made: rewriting.Quantized, params: Mapping[str, TensorSource]) -> tuple[Path, Path]:
    folder = search.trials.folder / "made"
    folder.mkdir(exist_ok=True)
    return write_model(made.program, files.in_order(made.program, params), folder)


def _check_written(
    search: Search, made: rewriting.Quantized, params: Mapping[str, TensorSource], where: Runtime, kernels: bool
) -> float:
    """Run the model itself as it will be written, as it is and with int8 kernels of oneDNN.

    Returns:
        What is lost with those kernels, of the right answers or of the numbers; 0 where there are none.

    Raises:
        VerificationError: it is not what the trials were.
    """
    trials, report, sets, reference = search.trials, search.report, search.proving, search.reference
    written = _written(search, made, params)
    got = trials.run(*written, sets)
    names = [port.name for port in trials.program.fetches]
    if not judge(report, reference, got, sets, names):
        raise VerificationError("the model that was written computes something else than its trial", "please report it")
    if not kernels:
        report.warnings.append(
            f"Paddle {report.target} computes the rounded numbers in float32 on a CPU: int8 kernels of oneDNN came with 2.5"
        )
        return 0.0
    search.progress(f"running int8 kernels of oneDNN in {where.label}")
    log = trials.worker.log_of_loading(*written, onednn=True, precision="int8", timeout=trials.timeout)
    fast = trials.run(*written, sets, onednn=True, precision="int8", ir_optim=True)
    right = labelled.accuracy([row[0] for row in fast], sets)
    report.int8 = Int8Run(where.label, operators_in(log), error_of(got, fast, 0), right)
    if not report.int8.operators:
        report.warnings.append(f"{where.label} makes no int8 kernel of this model")
    if right is not None:
        return report.accuracy["float32"] - right
    errors = [error_of(reference, fast, i) for i in range(len(names))]
    return max((float("inf") if error is None else error for error in errors), default=0.0)


_MADE = re.compile(r"quantized +(\d+) +(\w+) ops")


def operators_in(log: str) -> dict[str, int]:
    """The operators that Paddle's ``cpu_quantize_pass`` says it has made int8, by the type that they have by then."""
    found: dict[str, int] = {}
    for number, operator in _MADE.findall(log):
        if int(number):
            found[operator] = found.get(operator, 0) + int(number)
    return found
