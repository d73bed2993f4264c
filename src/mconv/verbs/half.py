"""``mconv half``: a model rewritten for half precision on a GPU, and proved without one.

The proof runs the emulation of :mod:`mconv.passes.half` in a CPU runtime beside the float32 program: the error of every
output, and which tensors inside leave the range of half or lose the most. With calibration inputs the operators of such
tensors stay float32, one group after the other, until the outputs are within the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Union

import numpy as np

from mconv.artifacts.described import carry
from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Recording, model_sources
from mconv.artifacts.recorded import Output
from mconv.errors import (
    MconvError,
    PrecisionError,
    UnsupportedError,
)
from mconv.options.models import Half
from mconv.passes import half_loading
from mconv.passes.halved import Halved
from mconv.printable import percent
from mconv.program import files
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.stored import Era
from mconv.program.targets import PADDLE_1_8
from mconv.proof import labelled
from mconv.proof.attempt import attempted
from mconv.proof.available import runtime_for, written_for
from mconv.proof.feeds import load_feeds, reshaped, specs_of
from mconv.proof.precision import require_float32
from mconv.proof.verdict import Proof
from mconv.runtimes import Runtime
from mconv.verbs.half_proof import Emulation, Task, settled
from mconv.verbs.half_report import HalfReport
from mconv.verbs.half_second import second_opinion
from mconv.warned import Warned

DTYPES = {"fp16": DType.FP16, "bf16": DType.BF16}
LIMITS = {DType.FP16: 5e-3, DType.BF16: 4e-2}  # of the largest value of an output; bfloat16 has three digits fewer


def half(chosen: Half) -> HalfReport:
    """Rewrite a Paddle model for half precision.

    Raises:
        UsageError: an option that means nothing here.
        UnsupportedError: a ``.json``, a program without float32 operators, target 1.8.
        PrecisionError: an output is further off than allowed; nothing is written, ``rows`` has the figures.
        RuntimeUnavailableError: *verify* or *calibrate* asks for a run, and there is no Paddle.
    """
    found = files.locate(chosen.path)
    if found.era is Era.PIR:
        raise UnsupportedError(
            f"{found.program}: Paddle 3 makes half precision of a .json itself, when it loads it",
            "mconv downgrade makes a .pdmodel first",
        )
    program, items = files.load_model(found)
    goal = chosen.goal or written_for(program)
    if goal == PADDLE_1_8 and not chosen.weights_only:
        raise UnsupportedError("Paddle 1.8 has half kernels for training only", "--target 2.3")
    require_float32(found.program, program, "half")
    kind = DTYPES[chosen.dtype]
    task = Task(program, items, goal, kind, list(chosen.keep), chosen.io, chosen.weights_only)
    output = Output(Destination.of_folder(chosen.out), force=chosen.force)
    given = [Path(path) for path in (chosen.calibrate, chosen.feeds) if path is not None]
    output.check([*found.paths, *given])
    report = HalfReport(found.program, *output.model_files(chosen.name), goal.name, kind.label)
    report.limit = LIMITS[kind] if chosen.tolerance is None else chosen.tolerance
    made = task.made()
    where: Union[Runtime, MconvError, None] = None
    if chosen.verify is not False or chosen.calibrate is not None:
        where = attempted(lambda: runtime_for(goal, chosen.runtime), must=chosen.must_verify)
        if isinstance(where, MconvError):
            report.warnings.append(Warned("not-verified", f"not verified: {Proof.not_done(where).reason}"))
    if isinstance(where, Runtime):
        specs = reshaped(specs_of(program), chosen.inputs)
        loaded = [(path, feed) for path in given for feed in load_feeds(path, specs)]
        for path, feed in loaded if chosen.calibrate is not None else ():
            labelled.check_numbers(feed, str(path))
        sets = [feed for _, feed in loaded] or None
        with Emulation(where, found, program, sets, specs, chosen.timeout, report.limit) as proof:
            report.runtime = where.label
            made = settled(task, proof, report, chosen.calibrate is not None, chosen.progress)
            if report.status == "passed":
                chosen.progress("asking OpenVINO, where it is installed")
                report.second = second_opinion(made, proof)
            _say_what_is_not_finite(report, proof)
    _describe(report, made, items, task)
    if report.status == "failed":
        raise _failure(report, chosen.calibrate is not None)
    recording = Recording(
        "half",
        model_sources(found, items.values()),
        target=goal.name,
        options={
            "dtype": chosen.dtype,
            "keep": list(chosen.keep),
            "io": chosen.io,
            "weights_only": chosen.weights_only,
            "kept": report.kept,
            "precise": task.precise,
        },
    )
    with output.opened(given, recording) as folder:
        output.write_model(made.program, files.in_order(made.program, made.params), chosen.name)
        carry(found, folder, made.program.feeds)
    return report


def _say_what_is_not_finite(report: HalfReport, proof: Emulation) -> None:
    names = [port.name for port in proof.program.fetches]
    wild = {n for outputs in proof.reference for n, a in zip(names, outputs) if not np.isfinite(a).all()}
    if wild:
        shown = ", ".join(sorted(wild)[:3])
        report.warnings.append(f"{shown}: infinite or NaN elements in float32 already, which proves nothing there")
    if report.second is not None and report.second.error is not None and report.second.error > report.limit:
        report.warnings.append(
            f"{report.second.reader} is {percent(report.second.error)} off float32 with this program"
        )


def _describe(report: HalfReport, made: Halved, items: Mapping[str, TensorSource], task: Task) -> None:
    report.half, report.float32, report.casts = made.half, made.floats, made.casts
    report.saturated = list(dict.fromkeys(made.saturated))
    report.bytes = {
        "before": sum(s.nbytes for s in items.values()),
        "after": sum(made.params[v.name].nbytes for v in made.program.parameters),
    }
    if not task.weights_only:
        report.warnings += filter(None, [half_loading.for_gpus(made.program)])
        report.unfit_passes = half_loading.unfit_passes(task.target, task.dtype)
        if report.unfit_passes:
            report.warnings.append(
                f"Paddle {report.target} fuses operators into ones without {report.dtype} kernels: switch_ir_optim(False), "
                f"or delete_pass of {', '.join(report.unfit_passes)}; a service of `mconv to-serving` does so"
            )


def _failure(report: HalfReport, calibrated: bool) -> PrecisionError:
    bad = [row for row in report.outputs if not row.ok]
    worst = max(bad, key=lambda row: float("inf") if row.error is None else row.error)
    said = "is not finite" if worst.error is None else f"is off by {percent(worst.error)} of its largest value"
    inside = ", ".join(row.name for row in report.tensors[:3])
    hint = f"the tensors that do worst: {inside}; " if inside else ""
    if report.casts and not report.half:
        hint = "--keep NAME keeps a weight in float32, or those that an operator reads"
    elif calibrated:
        hint += "--keep OPERATOR or VARIABLE"
    else:
        hint += "--calibrate X.npz keeps them in float32, or --keep NAME"
    return PrecisionError(
        f"in {report.dtype} the output {worst.name} {said}, where {percent(report.limit)} is allowed",
        hint,
        [vars(row) for row in bad],
    )
