"""The proof of a saved layer: the live layer, Paddle's own program, and what the weights come from."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from mconv import runtimes
from mconv.dygraph import export as exporting
from mconv.dygraph.inputs import Call
from mconv.errors import RuntimeFailedError
from mconv.options.layers import Saving
from mconv.paddle import pir_reader
from mconv.program.program import Program
from mconv.proof import precision
from mconv.proof.answers import compare_answers
from mconv.proof.available import runtime_for
from mconv.proof.compare import Tolerance
from mconv.proof.expected import Expected, OriginAnswers
from mconv.proof.feeds import shapes_of
from mconv.proof.prove import Candidate, Inputs, prove
from mconv.proof.report import Report
from mconv.proof.runners import Answers
from mconv.proof.verdict import FAILED, NOT_DONE, PASSED, Proof


@dataclass(frozen=True)
class SavedFiles:
    """The files of a saved layer; *dense* is the program unless it is left in PIR form."""

    program: Path
    params: Optional[Path]
    dense: Optional[Program]


def proved(
    expected: Expected,
    call: Call,
    files: SavedFiles,
    made: exporting.Exported,
    chosen: Saving,
    report: Report,
    against: dict[str, Any],
) -> Proof:
    """The proof that counts.

    Args:
        report: gets warnings.
        against: gets the others, for the report's ``verification``: ``original``, of Paddle's own program, and ``source``.
    """
    expected.name([p["name"] for p in report.outputs])
    proof, original = _prove(expected, call, files, made, chosen)
    expected = expected if files.dense is None else expected.carried(files.dense)
    if original is not None and original.status == FAILED and proof.status == PASSED:
        report.warnings.append(f"Paddle's own program: {original.reason}")
    source = None if expected.origin is None else _against_origin(expected, expected.origin, proof, chosen)
    if source is not None and source.status == FAILED and expected.origin is not None and not expected.origin.binding:
        report.warnings.append(f"differs from {source.reference}, as parts of the layer are its own: {source.reason}")
    elif source is not None and source.status == FAILED:
        proof.reason = f"{source.reference}: {source.reason}" + (f"; {proof.reason}" if proof.reason else "")
        proof.status = FAILED
    elif source is not None and source.status == NOT_DONE:
        report.warnings.append(f"not compared with {source.reference}: {source.reason}")
    against["original"] = None if original is None else original.to_dict(chosen.feeds_option())
    if source is not None:
        against["source"] = source.to_dict(chosen.feeds_option())
    return proof


def _against_origin(expected: Expected, origin: OriginAnswers, proof: Proof, chosen: Saving) -> Proof:
    """The result against what the weights come from."""
    made = replace(proof, status=NOT_DONE, reason=origin.reason, reference=origin.label, comparison=None, error=None)
    if origin.answers is None:
        return made
    got, mine = proof.answers, origin.positions
    if got is None or any(position >= len(got.names) for position in mine):
        made.reason = "the result does not run" if got is None else "the result has other outputs than the layer"
        return made
    dense = chosen.form == "pdmodel" and not chosen.goal.has_0d
    made.judge(compare_answers(origin.answers, got.some(mine), tolerance=proof.tolerance, scalar_as_one=dense))
    if made.status == FAILED and origin.where:
        made.reason += f"; {origin.where}"
    return made


def _prove(
    expected: Expected, call: Call, files: SavedFiles, made: exporting.Exported, chosen: Saving
) -> tuple[Proof, Optional[Proof]]:
    """The result against the layer; and, where Paddle wrote PIR, that against the layer too."""
    original = None
    if made.pir and files.dense is not None:
        chosen.progress("verifying: Paddle's own program against the layer")
        original = _run_pir(expected, made.program, made.params, chosen, "current")
    if files.dense is None:
        chosen.progress("verifying: Paddle's own program against the layer")
        return _run_pir(expected, files.program, files.params, chosen, chosen.runtime or "current"), None
    assert files.params is not None
    expected = expected.carried(files.dense)
    where = runtime_for(chosen.goal, chosen.runtime)
    chosen.progress(f"verifying: the layer against Paddle in {where.label}")
    proof = prove(
        expected,
        Candidate(
            files.dense,
            (files.program, files.params),
            where,
            scalar_as_one=not chosen.goal.has_0d,
            timeout=chosen.timeout,
        ),
        Inputs([i.name for i in call.inputs], file=chosen.feeds_file, sets=expected.sets),
        Tolerance.of(chosen.tolerance).at(precision.of_pir(pir_reader.read(made.program).block))
        if made.pir
        else Tolerance.of(chosen.tolerance),
    )
    if proof.status == FAILED and original is not None and original.status == FAILED:
        already = f"what Paddle traced differs from the layer already ({original.reason})"
        proof.reason, proof.error = f"{proof.reason}; {already}", None  # a crash of such a program says no more
    return proof, original


def _run_pir(expected: Expected, program: Path, params: Optional[Path], chosen: Saving, where: str) -> Proof:
    """A ``.json`` program in a Paddle 3, against the layer.

    Raises:
        RuntimeUnavailableError, MissingDependencyError: there is none.
    """
    assert expected.answers is not None
    start = time.perf_counter()
    runtime = runtimes.find(where)
    limits = Tolerance.of(chosen.tolerance).at(precision.of_pir(pir_reader.read(program).block))
    proof = Proof(FAILED, reference=expected.label, runtime=runtime.name, tolerance=limits)
    proof.inputs = str(chosen.feeds) if chosen.feeds else "random"
    proof.input_sets = shapes_of(expected.sets)
    try:
        with runtime.worker() as worker:
            got = worker.run(program, params, expected.sets, timeout=chosen.timeout)
    except RuntimeFailedError as e:
        proof.died(e)
    else:
        proof.paddle = f"Paddle {got.version} ({got.engine})"
        proof.answers = Answers.of(got)
        proof.judge(compare_answers(expected.answers, proof.answers, tolerance=limits))
    proof.seconds = time.perf_counter() - start
    return proof
