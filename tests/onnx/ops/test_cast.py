"""Conversion between element types."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.onnx.checks import CURRENT, PADDLE_23, Place, check_op, check_refused, everywhere, places

TYPES = [
    np.float16,
    np.float32,
    np.float64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.uint16,
    np.uint32,
    bool,
]


@everywhere
@pytest.mark.parametrize("to", TYPES)
@pytest.mark.parametrize("source", TYPES)
def test_every_pair(place: Place, source: type, to: type) -> None:
    x = np.array([0, 1, 2.75, 77.5, 100]).astype(source)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    check_op(
        place,
        "Cast",
        [x],
        [np.tile(x, 2)],
        to=kind,
        types=[kind],
        expected=[[x.astype(to)], [np.tile(x, 2).astype(to)]],
    )


@everywhere
@pytest.mark.parametrize("to", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32])
def test_integers_wrap_around(place: Place, to: type) -> None:
    x = np.array([-1, -129, 300, 70000, 2**33 + 5, -(2**31) - 1], np.int64)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    check_op(place, "Cast", [x], to=kind, types=[kind], expected=[[x.astype(to)]])


@everywhere
def test_everything_but_zero_is_true(place: Place) -> None:
    x = np.array([0, -0.0, 0.3, -0.5, np.nan, np.inf, 1e-30], np.float32)
    check_op(place, "Cast", [x], to=TensorProto.BOOL, types=[9], expected=[[x.astype(bool)]])


@everywhere
def test_rounding_to_bfloat16(place: Place) -> None:
    bits = np.array(
        [0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0x7F7FFFFF, 0xC0490FDB, 0x7F800000, 0x00000000], np.uint32
    )
    x = bits.view(np.float32)
    rounded = np.array([0x3F80, 0x3F82, 0x3F80, 0x3F81, 0x7F80, 0xC049, 0x7F80, 0], np.uint32) << 16
    made = check_op(place, "Cast", [x], to=TensorProto.BFLOAT16, types=[16], expected=[[rounded.view(np.float32)]])
    assert made.widened["y0"] == ("bfloat16", "float32")


@places(CURRENT, PADDLE_23)
def test_by_name_before_opset_6(place: Place) -> None:
    check_op(
        place, "Cast", [np.array([1.5, 0], np.float32)], opset=1, to="INT64", types=[7], expected=[[np.array([1, 0])]]
    )


@everywhere
def test_like_another_tensor(place: Place) -> None:
    x, like = np.array([1.5, -2.5, 0], np.float32), np.zeros(1, np.int32)
    check_op(place, "CastLike", [x, like], types=[6], expected=[[x.astype(np.int32)]])


def test_to_eight_bit_floats_is_refused() -> None:
    check_refused(CURRENT, "Cast", [np.zeros(2, np.float32)], to=TensorProto.FLOAT8E5M2, types=[19], match="float8e5m2")
