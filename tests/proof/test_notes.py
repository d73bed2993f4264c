"""What advises inputs names the option of the command that says it, and only when it says it."""

from __future__ import annotations

from typing import Any

import pytest

from mconv.options.edit import Edit
from mconv.options.onnx import Onnx2Paddle
from mconv.options.proving import Feeds
from mconv.options.verify import Verify
from mconv.proof.notes import InputsAdvice, rendered
from mconv.proof.report import Report, failure, require_proof
from mconv.proof.verdict import FAILED, PASSED, UNPROVED, Proof


@pytest.mark.parametrize(("kind", "option"), [(Edit, "--feeds"), (Onnx2Paddle, "--inputs"), (Verify, "--inputs")])
def test_the_option_is_that_of_the_command(kind: type[Feeds], option: str) -> None:
    assert kind.feeds_option() == option
    report = Report("test", "none", {}, {})
    notes: list[Any] = ["as it is", InputsAdvice("nothing is known; give such inputs with")]
    report.add_proof(Proof(PASSED, notes=notes), kind.feeds_option())
    assert report.warnings == ["as it is", f"nothing is known; give such inputs with {option} x.npz"]
    report = Report("test", "none", {}, {})
    proof = Proof(FAILED, "too far; as is the source", unstable=True)
    report.add_proof(proof, option)
    error = failure(proof, "kept", report)  # type: ignore[arg-type] # only named
    assert error.message.endswith(f": too far; as is the source: give it others with {option}")
    report = Report("test", "none", {}, {})
    report.add_proof(Proof(UNPROVED, "it does not run"), option)
    with pytest.raises(Exception, match="nothing is proved") as caught:
        require_proof(report, "out", option)
    assert f"give inputs that it takes with {option} x.npz" in caught.value.hint  # type: ignore[attr-defined]


def test_advice_is_open_until_it_is_said() -> None:
    note = InputsAdvice("of others nothing is known:", " x.npz gives some")
    assert rendered([note], "--a") == ["of others nothing is known: --a x.npz gives some"]
    assert rendered([note], "--b") == ["of others nothing is known: --b x.npz gives some"]
