"""``mconv onnx2paddle``: read, convert, write, prove, report."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional, Union

from mconv.errors import (
    MconvError,
    MissingDependencyError,
    RuntimeFailedError,
    RuntimeUnavailableError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from mconv.onnx import advice, describe
from mconv.onnx.convert import convert
from mconv.onnx.plugins import load_plugin
from mconv.onnx.reader import OnnxModel, read, storage_dtype
from mconv.program import provenance, targets
from mconv.program.inputs import assign
from mconv.program.output import staged
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.stored import params_name, write_model
from mconv.verbs.proof import FAILED, NOT_DONE, PASSED, Proof, limits_of, prove, runtime_for
from mconv.verbs.report import FAILED_SUFFIX, Report, keep, paddle_operators, versions
from mconv.verify.compare import Tolerance

ENGINES = ("native", "x2paddle")
QUANTISED = 0.02  # one step of an activation, which sums in another order may tip over, and what follows from it
_BFLOAT16 = 16

PathLike = Union[str, "os.PathLike[str]"]


@dataclass
class Produced:
    """What an engine made of the model: the program, its parameters, and the report's fields about them.

    *keep* lives as long as the parameters are needed.
    """

    program: Program
    params: dict[str, TensorSource]
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    keep: Any = None


@dataclass(frozen=True)
class Options:
    """What the caller chose; see :func:`onnx2paddle`."""

    target: str
    engine: str
    verify: Optional[bool]
    runtime: Optional[str]
    inputs: Optional[Path]
    tolerance: Optional[Tolerance]
    timeout: float


def onnx2paddle(
    model: PathLike,
    out: PathLike,
    *,
    inputs: Sequence[str] = (),
    target: str = targets.DEFAULT_TARGET,
    engine: str = "native",
    verify: Optional[bool] = None,
    runtime: Optional[str] = None,
    feeds: Optional[PathLike] = None,
    tolerance: Optional[float] = None,
    plugins: Sequence[PathLike] = (),
    force: bool = False,
    timeout: float = 600,
    progress: Callable[[str], Any] = lambda text: None,
) -> Report:
    """Convert an ONNX model into ``OUT/inference.pdmodel``, ``OUT/inference.pdiparams`` and ``OUT/report.json``.

    Args:
        model: the ``.onnx`` file.
        out: the folder to make; it appears whole or not at all.
        inputs: ``name[1,3,?,640]`` for inputs whose shape shall be another than the file says.
        target: the Paddle that will load the result.
        engine: ``native``, or ``x2paddle``: X2Paddle in its managed runtime.
        verify: run both models and compare; None = if there is a Paddle to run it in, False = do not.
        runtime: where to run the result: a managed runtime's name or ``current``; default the one of *target*.
        feeds: a ``.npz`` file with inputs to verify with, instead of random ones.
        tolerance: how far outputs may be apart, both absolute (for outputs of size 1) and relative.
        plugins: Python files with converters of your own.
        force: replace what is at *out*.
        timeout: seconds for running the converted model once loaded, or for X2Paddle.
        progress: called with one line for each phase.

    Raises:
        NotAModelError, CorruptModelError, UntrustedError: the file is no sound ONNX model.
        UnsupportedError: operators that cannot be converted; ``rows`` lists all of them.
        UsageError: *inputs* or *feeds* do not fit the model, or an option does not exist.
        VerificationError, RuntimeFailedError: the result computes something else, or cannot be run; it is kept in
            ``OUT.failed-verification``.
        RuntimeUnavailableError, MissingDependencyError: with *verify* or X2Paddle, what they need is not installed.
        OutputExistsError: *out* is there already.
    """
    start = time.perf_counter()
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}", f"engines are {', '.join(ENGINES)}")
    limits = limits_of(tolerance, verify, feeds, runtime)
    goal = targets.get(target)
    out = Path(out)
    chosen = Options(
        target,
        engine,
        verify,
        runtime,
        None if feeds is None else Path(feeds),
        limits,
        timeout,
    )
    for plugin in plugins:
        load_plugin(Path(plugin))
    source = read(Path(model))
    given = assign(inputs, describe.inputs_of(source))
    shapes: dict[str, Sequence[Any]] = {name: spec.dims for name, spec in given.items()}
    report = Report("onnx2paddle", engine, describe.source_of(source), {"name": target, "paddle": goal.paddle})
    report.versions = versions()
    report.seconds["read"] = time.perf_counter() - start
    protected = [Path(model), *([] if chosen.inputs is None else [chosen.inputs])]
    protected += [Path(model).parent / name for name in describe.external_files(source)]
    options = {"engine": engine, "inputs": list(inputs)}
    given_files: list[provenance.Source] = [
        Path(model),
        *((n, Path(model).parent / n) for n in describe.external_files(source)),
    ]
    given_files += [(f"plugins/{Path(p).name}", p) for p in plugins]
    recording = provenance.Recording(
        "onnx2paddle", given_files, target=target, options=options, packages=("numpy", "onnx")
    )
    with recording, staged(out, force=force, protect=protected) as folder:
        progress(f"converting {model} for Paddle {goal.paddle}")
        made = _produce(source, shapes, chosen, folder, progress)
        for name, value in made.facts.items():
            setattr(report, name, value)
        report.seconds.update(made.seconds)
        step = time.perf_counter()
        with recording.following(folder / params_name()) as following:
            files = write_model(made.program, made.params.items(), folder, written=following.written)
        report.seconds["write"] = time.perf_counter() - step
        report.output = {
            "folder": str(out),
            "program": files[0].name,
            "params": files[1].name,
            "program_bytes": files[0].stat().st_size,
            "params_bytes": files[1].stat().st_size,
        }
        recording.write(folder)
        proof = _proof(source, made, files, report, chosen, shapes, progress)
        report.add_proof(proof)
        if proof.status == NOT_DONE and proof.reason:
            report.warnings.append(f"not verified: {proof.reason}")
        report.source["blake3"] = next(h.digest for h in recording.sources() if h.name == Path(model).name)
        _finish(report, start)
        if proof.status == FAILED:
            report.status = "failed verification"
            kept = out.with_name(out.name + FAILED_SUFFIX)
            report.output["folder"] = str(kept)
            keep(folder, kept, report)
            advice = f"`mconv verify MODEL {kept} --layers` finds where it begins"
            raise failure(proof, kept, report, advice)
        report.write(folder)
    return report


def _finish(report: Report, start: float) -> None:
    report.seconds["total"] = time.perf_counter() - start
    report.seconds = {name: round(value, 4) for name, value in report.seconds.items()}


# engines ------------------------------------------------------------------------------------------------------------


def _produce(
    source: OnnxModel, shapes: dict[str, Sequence[Any]], chosen: Options, folder: Path, progress: Callable[[str], Any]
) -> Produced:
    if chosen.engine == "x2paddle":
        from mconv.verbs import x2paddle

        return x2paddle.produce(source, shapes, chosen.target, progress, timeout=chosen.timeout)
    try:
        made = convert(source, chosen.target, shapes)
    except UnsupportedError as e:
        e.rows = advice.with_advice(e.rows)
        other = advice.other_engine(e.rows)
        if other:
            e.hint = f"{e.hint}; {other}" if e.hint else other
        raise
    ports = describe.ports_of(source, made.program, shapes)
    warnings = list(made.notes)
    for name, (had, has) in made.widened.items():
        warnings.append(f"{name}: {had}, which Paddle lacks, is carried in {has}")
    renamed = {p["name"]: p["paddle_name"] for side in ports.values() for p in side if p["name"] != p["paddle_name"]}
    warnings += [f"{old!r} is called {new!r}: Paddle's files cannot carry the name" for old, new in renamed.items()]
    facts = {
        **ports,
        "renamed": renamed,
        "operators": describe.operators_of(made),
        "paddle_operators": paddle_operators(made.program),
        "folded": made.folded,
        "fused": dict(made.fused),
        "expanded": dict(made.expanded),
        "warnings": warnings,
    }
    return Produced(made.program, made.params, facts, made.seconds)


# proof --------------------------------------------------------------------------------------------------------------


def _proof(
    source: OnnxModel,
    made: Produced,
    files: tuple[Path, Path],
    report: Report,
    chosen: Options,
    shapes: dict[str, Sequence[Any]],
    progress: Callable[[str], Any],
) -> Proof:
    if chosen.verify is False:
        return Proof(NOT_DONE)
    from mconv.verify.reference import reference_for

    assert source.path is not None
    types = {i.name: i.type.tensor_type.elem_type for i in source.proto.graph.input}
    names = [port["name"] for port in report.inputs]
    try:
        runtime = runtime_for(chosen.target, chosen.runtime)
        exact = _BFLOAT16 in [types[n] for n in names]
        reference, why = reference_for(source.path, exact=exact, opened=describe.opened(source, shapes))
    except (RuntimeUnavailableError, MissingDependencyError, RuntimeFailedError) as e:
        if chosen.verify or chosen.runtime is not None:
            raise
        return Proof(NOT_DONE, f"{e.message}; {e.hint}" if e.hint else e.message)
    if why:
        report.warnings.append(f"verified with {reference.label}: {why}")
    progress(f"verifying: {reference.label} against Paddle in {runtime.label}")
    tolerance = chosen.tolerance or _tolerance(report)
    with reference:
        proof = prove(
            reference,
            made.program,
            files,
            runtime,
            names=names,
            shapes=describe.shapes_of(source, shapes),
            source_types={n: storage_dtype(types[n]) for n in names if types[n] != _BFLOAT16},
            inputs=chosen.inputs,
            tolerance=tolerance,
            scalar_as_one=not targets.get(chosen.target).has_0d,
            timeout=chosen.timeout,
        )
    report.versions["reference"] = reference.label
    if proof.paddle:
        report.versions["paddle"] = proof.paddle
    if proof.status == NOT_DONE and (chosen.verify or chosen.inputs is not None):
        raise RuntimeFailedError(proof.reason, "verify with other inputs (--inputs), or not at all (--no-verify)")
    return proof


# operators that round to 8-bit numbers while the model runs; those of weights alone do not
_ROUNDING = frozenset(
    """
    QuantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul QLinearAdd QLinearMul QLinearSigmoid
    QLinearLeakyRelu QLinearSoftmax QLinearConcat QLinearGlobalAveragePool QLinearAveragePool QLinearReduceMean QGemm
    DynamicQuantizeMatMul
    """.split()  # noqa: SIM905
)


def _tolerance(report: Report) -> Tolerance:
    """The default one, or a wider one where a last digit decides to which 8-bit number something is rounded."""
    if not any(row.get("operator") in _ROUNDING for row in report.operators):
        return Tolerance()
    report.warnings.append(
        f"quantised: compared within {QUANTISED:.0%} of the largest value, a few steps of 8-bit numbers (--tolerance)"
    )
    return Tolerance(absolute=QUANTISED)


def failure(proof: Proof, kept: Path, report: Report, advice: str = "") -> MconvError:
    """The error for a failed proof; it carries the report for the command line, which shows the table."""
    hint = f"the files are kept in {kept}"
    if proof.error is not None:
        error: MconvError = RuntimeFailedError(proof.error.message, hint)
    else:
        rows = [o for o in report.to_dict()["verification"]["outputs"] if not o["ok"]]
        error = VerificationError(
            f"the converted model computes something else: {proof.reason}",
            "; ".join(filter(None, (hint, advice))),
            rows,
        )
    error.report = report  # type: ignore[attr-defined]
    return error


__all__ = ["PASSED", "Options", "Produced", "Report", "onnx2paddle", "paddle_operators"]
