"""``mconv half``: a model rewritten for half precision on a GPU, and proved without one.

The proof runs the emulation of :mod:`mconv.passes.half` in a CPU runtime beside the float32 program: the error of every
output, and which tensors inside leave the range of half or lose the most. With calibration inputs the operators of such
tensors stay float32, one group after the other, until the outputs are within the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from mconv.artifacts.described import carry
from mconv.artifacts.output import staged
from mconv.artifacts.provenance import Recording, model_sources
from mconv.errors import (
    MissingDependencyError,
    RuntimeUnavailableError,
    UnsupportedError,
    VerificationError,
)
from mconv.options.models import Half
from mconv.passes import half_loading, quantize_forms
from mconv.passes.half import Halved
from mconv.program import files, targets
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.stored import Era, write_model
from mconv.proof import labelled, precision
from mconv.proof.feeds import load_feeds, specs_of
from mconv.proof.prove import reshaped, runtime_for, written_for
from mconv.runtimes import Runtime
from mconv.verbs.half_proof import Emulation, Task, settled
from mconv.verbs.half_report import HalfReport, rows_of

DTYPES = {"fp16": DType.FP16, "bf16": DType.BF16}
LIMITS = {DType.FP16: 5e-3, DType.BF16: 4e-2}  # of the largest value of an output; bfloat16 has three digits fewer


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
    task = Task(program, items, goal, kind, list(chosen.keep), chosen.io, chosen.weights_only)
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
        specs = reshaped(specs_of(program), chosen.inputs)
        given = [Path(path) for path in (chosen.calibrate, chosen.feeds) if path is not None]
        loaded = [(path, feed) for path in given for feed in load_feeds(path, specs)]
        for path, feed in loaded if chosen.calibrate is not None else ():
            labelled.check_numbers(feed, str(path))
        sets = [feed for _, feed in loaded] or None
        with Emulation(where, found, program, sets, specs, chosen.timeout, report.limit) as proof:
            report.runtime = where.label
            made = settled(task, proof, report, chosen.calibrate is not None, chosen.progress)
    elif chosen.verify is None:
        report.warnings.append("not verified: there is no Paddle to run the emulation in")
    _describe(report, made, items, chosen.dtype, chosen.weights_only)
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
            "precise": task.precise,
        },
    )
    with recording, staged(chosen.out, force=chosen.force, protect=protected) as folder:
        write_model(made.program, [(v.name, made.params[v.name]) for v in made.program.parameters], folder, chosen.name)
        carry(found, folder)
        recording.write(folder)
    return report


def _where(target: str, name: Optional[str], verify: Optional[bool]) -> Optional[Runtime]:
    if verify is False:
        return None
    try:
        return runtime_for(target, name)
    except (RuntimeUnavailableError, MissingDependencyError):
        if verify or name is not None:
            raise
        return None


def _describe(
    report: HalfReport, made: Halved, items: Mapping[str, TensorSource], dtype: str, weights_only: bool
) -> None:
    report.half, report.float32, report.casts = made.half, made.floats, made.casts
    report.saturated = list(dict.fromkeys(made.saturated))
    report.bytes = {
        "before": sum(s.nbytes for s in items.values()),
        "after": sum(made.params[v.name].nbytes for v in made.program.parameters),
    }
    if not weights_only:
        report.warnings += filter(None, [half_loading.for_gpus(made.program)])
        report.unfit_passes = half_loading.unfit_passes(report.target, DTYPES[dtype])
        if report.unfit_passes:
            report.warnings.append(
                f"Paddle {report.target} fuses operators into ones without {report.dtype} kernels: switch_ir_optim(False), "
                f"or delete_pass of {', '.join(report.unfit_passes)}; a service of `mconv to-serving` does so"
            )


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
