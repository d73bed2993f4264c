"""Operators as they are appended: outputs by the signature, refusals that name what is wrong."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from mconv.errors import BuildError
from mconv.program import targets
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_2_3
from mconv.program.value import Value

FP32 = DType.FP32


def started(target: str = "2.3") -> tuple[Builder, Value]:
    b = Builder(targets.get(target))
    return b, b.feed("x", FP32, (2, 4))


@pytest.mark.parametrize(
    ("op", "operands", "output"),
    [
        ("relu", {}, "Out"),
        ("layer_norm", {"begin_norm_axis": 1, "epsilon": 1e-5}, "Y"),
        ("take_along_axis", {"Axis": 0}, "Result"),
    ],
)
def test_op_gives_the_one_output_that_the_signature_has(op: str, operands: dict[str, Any], output: str) -> None:
    b, x = started()
    if op == "take_along_axis":
        operands = {**operands, "Input": x, "Index": b.feed("i", DType.INT64, (2, 4))}
    else:
        operands = {**operands, "X": x}
    made = b.op(op, **operands)
    appended = b.block.ops[-1]
    assert isinstance(made, Value)
    assert (made.dtype, made.shape) == (FP32, (2, 4))
    assert appended.output(output) == [made.name]
    demanded = {k for k, flags in b.signature(op)["outputs"].items() if "?" not in flags}
    assert {k for k in b.signature(op)["outputs"] if appended.output(k)} == demanded


def test_op_outputs_are_in_the_order_asked_for_lists_laid_flat() -> None:
    b, x = started()
    index, values = b.op_outputs(
        "top_k_v2", X=x, k=1, axis=1, results={"Indices": (DType.INT64, (2, 1)), "Out": (FP32, (2, 1))}
    )
    assert (index.dtype, values.dtype) == (DType.INT64, FP32)
    parts = b.op_outputs("split", X=x, axis=1, num=4, sections=[], results={"Out": [(FP32, (2, 1))] * 4})
    assert [p.shape for p in parts] == [(2, 1)] * 4
    assert b.block.ops[-1].output("Out") == [p.name for p in parts]


def test_a_wider_type_goes_round_all_outputs() -> None:
    """float16 has no kernel on Paddle's CPU: computed in float32, each output cast back to what was asked for."""
    b = Builder(PADDLE_2_3)
    x = b.feed("x", DType.FP16, (2, 4))
    values, index = b.op_outputs(
        "top_k_v2", X=x, k=1, axis=1, results={"Out": (DType.FP16, (2, 1)), "Indices": (DType.INT64, (2, 1))}
    )
    assert (values.dtype, index.dtype) == (DType.FP16, DType.INT64)
    assert [op.type for op in b.block.ops if op.type != "feed"] == ["cast", "top_k_v2", "cast"]
    assert b.op("relu", X=x).dtype is DType.FP16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda b, x: b.op("no_such", X=x), "has no operator 'no_such'"),
        (lambda b, x: b.op("relu", X=x, Y=x), "operator 'relu' has no input 'Y'"),
        (lambda b, x: b.op("relu", X=x, beta=1.0), "operator 'relu' has no attribute 'beta'"),
        (lambda b, x: b.op("relu"), "required input X is missing"),
        (lambda b, x: b.op("relu", X=[x, x]), "input X takes one variable, not 2"),
        (lambda b, x: b.op("relu", X="x"), "input X takes a Value, not str"),
        (lambda b, x: b.op("relu", X=x, op_role=1), "op_role is the framework's own attribute"),
        (lambda b, x: b.op("fill_constant", shape=[1]), "the result must be given"),
        (lambda b, x: b.op("top_k_v2", X=x, result={"Out": (FP32, (2, 1))}), "op_outputs"),
        (lambda b, x: b.op_outputs("relu", X=x, results={"Y": (FP32, (2, 4))}), "has no output 'Y'"),
        (lambda b, x: b.op_outputs("relu", X=x, results={"Out": [(FP32, (2, 4))]}), "output Out is one variable"),
    ],
)
def test_refusals_name_operator_and_part(make: Callable[[Builder, Value], Any], message: str) -> None:
    b, x = started()
    with pytest.raises(BuildError, match=message):
        make(b, x)
    assert [op.type for op in b.block.ops] == ["feed"]
