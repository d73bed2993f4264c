"""Conversion between element types."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from mconv.errors import UnsupportedError
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program.targets import PADDLE_3
from tests.onnx.checks import (
    CURRENT,
    PADDLE_23,
    Runtime,
    check_model,
    check_op,
    everywhere,
    graph_model,
    in_runtimes,
)

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
def test_every_pair(runtime: Runtime, source: type, to: type) -> None:
    x = np.array([0, 1, 2.75, 77.5, 100]).astype(source)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    check_op(
        runtime,
        "Cast",
        [x],
        [np.tile(x, 2)],
        to=kind,
        types=[kind],
        expected=[[x.astype(to)], [np.tile(x, 2).astype(to)]],
    )


@everywhere
@pytest.mark.parametrize("to", [np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32])
def test_integers_wrap_around(runtime: Runtime, to: type) -> None:
    x = np.array([-1, -129, 300, 70000, 2**33 + 5, -(2**31) - 1], np.int64)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    check_op(runtime, "Cast", [x], to=kind, types=[kind], expected=[[x.astype(to)]])


@everywhere
def test_everything_but_zero_is_true(runtime: Runtime) -> None:
    x = np.array([0, -0.0, 0.3, -0.5, np.nan, np.inf, 1e-30], np.float32)
    check_op(runtime, "Cast", [x], to=TensorProto.BOOL, types=[9], expected=[[x.astype(bool)]])


@everywhere
def test_rounding_to_bfloat16(runtime: Runtime) -> None:
    bits = np.array(
        [0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001, 0x7F7FFFFF, 0xC0490FDB, 0x7F800000, 0x00000000], np.uint32
    )
    x = bits.view(np.float32)
    rounded = np.array([0x3F80, 0x3F82, 0x3F80, 0x3F81, 0x7F80, 0xC049, 0x7F80, 0], np.uint32) << 16
    made = check_op(runtime, "Cast", [x], to=TensorProto.BFLOAT16, types=[16], expected=[[rounded.view(np.float32)]])
    assert made.widened["y0"] == ("bfloat16", "float32")


@in_runtimes(CURRENT, PADDLE_23)
def test_by_name_before_opset_6(runtime: Runtime) -> None:
    check_op(
        runtime, "Cast", [np.array([1.5, 0], np.float32)], opset=1, to="INT64", types=[7], expected=[[np.array([1, 0])]]
    )


@everywhere
def test_like_another_tensor(runtime: Runtime) -> None:
    x, like = np.array([1.5, -2.5, 0], np.float32), np.zeros(1, np.int32)
    check_op(runtime, "CastLike", [x, like], types=[6], expected=[[x.astype(np.int32)]])


# the bits as another type ------------------------------------------------------------------------------------------------


def floats(dtype: type) -> np.ndarray:
    """Numbers of all sizes, zeros of both signs, what is next to powers of two, infinities."""
    info = np.finfo(dtype)
    powers = np.ldexp(np.ones(info.maxexp - info.minexp, dtype), np.arange(info.minexp, info.maxexp)).astype(dtype)
    made = np.concatenate(
        [powers, np.nextafter(powers, dtype(0)), np.nextafter(powers, dtype(np.inf)), powers * dtype(1.37)]
    )
    made = made[np.isfinite(made) & (made >= info.tiny)]
    special = np.array([0.0, info.max, np.inf, np.pi, 1e-3], dtype)
    return np.concatenate([made, -made, special, -special]).astype(dtype)


@everywhere
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_bits_of_floats_are_read_as_integers_and_back(runtime: Runtime, dtype: type) -> None:
    x = floats(dtype)
    whole = x.view(np.dtype(f"int{8 * x.itemsize}"))
    kinds = [helper.np_dtype_to_tensor_dtype(a.dtype) for a in (whole, x)]
    check_op(
        runtime, "BitCast", [x], [x[::3]], opset=26, to=kinds[0], types=[kinds[0]], expected=[[whole], [whole[::3]]]
    )
    check_op(
        runtime, "BitCast", [whole], [whole[::3]], opset=26, to=kinds[1], types=[kinds[1]], expected=[[x], [x[::3]]]
    )


@everywhere
def test_bits_of_what_is_no_number_stay_none(runtime: Runtime) -> None:
    x = np.array([np.nan, 1], np.float32)
    nodes = [helper.make_node("BitCast", ["x"], ["i"], to=6), helper.make_node("BitCast", ["i"], ["y"], to=1)]
    model = graph_model(nodes, {"x": [x]}, ["y"], opsets=[helper.make_opsetid("", 26)])
    check_model(runtime, model, [{"x": x}], [[x]])


@everywhere
@pytest.mark.parametrize("source, to", [
    (np.int8, np.uint8), (np.uint8, np.int8), (np.bool_, np.uint8), (np.int16, np.uint16), (np.uint16, np.int16),
    (np.int32, np.uint32), (np.uint32, np.int32), (np.uint32, np.float32), (np.float16, np.uint16),
])  # fmt: skip
def test_bits_of_integers(runtime: Runtime, source: type, to: type) -> None:
    rng = np.random.default_rng(1)
    x = (
        rng.integers(0, 2, 9, np.uint8).astype(bool)
        if source is np.bool_
        else rng.integers(0, 255, 64, np.uint8).view(source)
    )
    if source is np.float16:
        x = x[np.isfinite(x)]
    if to is np.float32:
        x = x[np.isfinite(x.view(to))]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(to))
    check_op(runtime, "BitCast", [x], opset=26, to=kind, types=[kind], expected=[[x.view(to)]])


def test_bits_of_floats_of_eight_bits_are_refused() -> None:
    nodes = [helper.make_node("BitCast", ["x"], ["y"], to=TensorProto.FLOAT8E5M2)]
    model = graph_model(nodes, {"x": [np.zeros(2, np.uint8)]}, ["y"], opsets=[helper.make_opsetid("", 26)])
    with pytest.raises(UnsupportedError, match="the bits of uint8 read as float8e5m2"):
        convert(OnnxModel(model), PADDLE_3)
