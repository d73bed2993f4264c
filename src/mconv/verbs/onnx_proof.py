"""The proof of what was made of an ONNX model: against ONNX Runtime, or ONNX's reference where that does not do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mconv.errors import RuntimeFailedError
from mconv.onnx import describe
from mconv.onnx.reader import OnnxModel
from mconv.onnx.types import fed_dtype, only_by_reference
from mconv.options.onnx import Onnx2Paddle
from mconv.proof import precision
from mconv.proof.available import runtime_for
from mconv.proof.compare import Tolerance
from mconv.proof.prove import Candidate, Inputs, prove
from mconv.proof.reference import reference_for
from mconv.proof.report import Report
from mconv.proof.verdict import Proof
from mconv.verbs.produced import Produced
from mconv.warned import Warned

QUANTISED = 0.02  # one step of an activation, which sums in another order may tip over, and what follows from it


def proof_of(
    source: OnnxModel,
    made: Produced,
    files: tuple[Path, Path],
    report: Report,
    chosen: Onnx2Paddle,
    shapes: dict[str, Sequence[Any]],
    fixed: Mapping[str, np.ndarray],
) -> Proof:
    """Run the ONNX model and what was made of it on the same inputs.

    Args:
        files: the program and the parameters of *made*.
        report: of the conversion, which gets what ran, and warnings.
        shapes: input → dimensions that override the model's.
        fixed: inputs that are constants in *made*.

    Raises:
        RuntimeUnavailableError, MissingDependencyError: what it takes is not installed.
        UsageError: the inputs to verify with do not fit the model.
    """
    assert source.path is not None
    types = {i.name: i.type.tensor_type.elem_type for i in source.proto.graph.input}
    names = [port["name"] for port in report.inputs]
    try:
        runtime = runtime_for(chosen.goal, chosen.runtime)
        exact = any(only_by_reference(types[n]) for n in names)
        reference, why = reference_for(
            source.path, exact=exact, opened=describe.opened(source, shapes), fixed=fixed, timeout=chosen.timeout
        )
    except RuntimeFailedError as e:
        return Proof.unproved(e)
    if why:
        report.warnings.append(Warned("verified-with", f"verified with {reference.label}: {why}"))
    chosen.progress(f"verifying: {reference.label} against Paddle in {runtime.label}")
    tolerance = _tolerance(report) if chosen.tolerance is None else Tolerance.of(chosen.tolerance)
    tolerance = tolerance.at(precision.of_onnx(source.proto))
    with reference:
        proof = prove(
            reference,
            Candidate(made.program, files, runtime, scalar_as_one=not chosen.goal.has_0d, timeout=chosen.timeout),
            Inputs(
                names,
                shapes=describe.shapes_of(source, shapes),
                types={n: kind for n in names if (kind := fed_dtype(types[n])) is not None},
                file=chosen.feeds_file,
            ),
            tolerance,
        )
    return report.compared(reference.label, proof)


# operators that round to 8-bit numbers while the model runs; those of weights alone do not
_ROUNDING = frozenset(
    """
    QuantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul QLinearAdd QLinearMul QLinearSigmoid
    QLinearLeakyRelu QLinearSoftmax QLinearConcat QLinearGlobalAveragePool QLinearAveragePool QLinearReduceMean QGemm
    DynamicQuantizeMatMul DynamicQuantizeLSTM
    """.split()  # noqa: SIM905
)


def _tolerance(report: Report) -> Tolerance:
    """The default one, or a wider one where a last digit decides to which 8-bit number something is rounded."""
    if not any(row.get("operator") in _ROUNDING for row in report.operators):
        return Tolerance()
    report.warnings.append(
        Warned(
            "quantised-tolerance",
            f"quantised: compared within {QUANTISED:.0%} of the largest value, a few steps of 8-bit numbers (--tolerance)",
        )
    )
    return Tolerance(absolute=QUANTISED)
