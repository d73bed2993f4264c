"""What may be said of a conversion: what does not fit together is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mconv.errors import UsageError
from mconv.verbs.options import (
    Convert,
    Converting,
    Onnx2Paddle,
    Proving,
    Saving,
    ToOnnx,
    Torch2Paddle,
    ToStatic,
    Transplant,
)

ALL = (Convert, Onnx2Paddle, ToOnnx, ToStatic, Torch2Paddle, Transplant)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tolerance": 0.0}, "--tolerance 0.0: must be above 0"),
        ({"tolerance": float("nan")}, "--tolerance nan: must be above 0"),
        ({"verify": False, "feeds": "x.npz"}, "--inputs and --runtime say how to verify, and --no-verify not to"),
        ({"verify": False, "runtime": "current"}, "--inputs and --runtime say how to verify, and --no-verify not to"),
    ],
)
def test_what_is_said_of_the_proof(kind: type[Proving], given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        kind(**given)
    assert error.value.message.endswith(message)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        *((kind, {"target": "2.7"}, "unknown target '2.7'") for kind in ALL if issubclass(kind, Converting)),
        (ToOnnx, {"opset": 6}, "--opset 6: paddle2onnx writes 7 to 20"),
        (ToOnnx, {"verify": False, "inputs": ["x[1]"]}, "--input, --inputs and --runtime say how to verify"),
        (Onnx2Paddle, {"engine": "other"}, "unknown engine 'other'"),
        (Torch2Paddle, {"engine": "other"}, "unknown engine 'other'"),
        (Torch2Paddle, {"via": "jit"}, "--via jit: unknown"),
        (Torch2Paddle, {"engine": "x2paddle", "via": "export"}, "X2Paddle reads ONNX"),
        (ToStatic, {"format": "onnx"}, "unknown format 'onnx'"),
        (ToStatic, {"format": "json", "output_names": ["y"]}, "--output-names: a .json is left as Paddle writes it"),
    ],
)
def test_what_one_verb_refuses(kind: type[Proving], given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        kind(**given)
    assert message in error.value.message


def test_what_is_passed_on() -> None:
    chosen = Convert(target="2.6", feeds="x.npz", tolerance=1e-3, timeout=7, arguments=("a=1",))  # type: ignore[arg-type]
    passed = ToStatic(**chosen.common())
    assert (passed.target, passed.feeds, passed.timeout) == ("2.6", Path("x.npz"), 7)
    assert passed.limits == chosen.limits and passed.limits.absolute == 1e-3
    assert passed.arguments == ()


def test_a_transplant_has_no_format_to_choose() -> None:
    assert issubclass(Transplant, Saving) and Transplant().format == "pdmodel"
    with pytest.raises(TypeError):
        Transplant(format="json")  # type: ignore[call-arg]
