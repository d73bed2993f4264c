"""Quantised tensors."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.onnx.checks import Runtime, check_model, check_op, everywhere, graph_model, rand

KINDS = {
    np.uint8: TensorProto.UINT8,
    np.int8: TensorProto.INT8,
    np.uint16: TensorProto.UINT16,
    np.int16: TensorProto.INT16,
}


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


@everywhere
@pytest.mark.parametrize("dtype", list(KINDS))
def test_quantize_rounds_halves_to_even_and_saturates(runtime: Runtime, dtype: type) -> None:
    x = f32(-1e6, -3, -2.5, -1.5, -0.5, 0, 0.5, 1, 1.5, 2.5, 3, 1e6, 64.5, -64.5)
    limits = np.iinfo(dtype)
    zero = np.array(3, dtype)
    for scale in (1.0, 0.5, 0.3):
        s = np.array(scale, np.float32)
        expected = np.clip(np.rint(x / s) + 3, limits.min, limits.max).astype(dtype)
        check_op(
            runtime,
            "QuantizeLinear",
            [x, s, zero],
            [np.tile(x, 2), s, zero],
            opset=21,
            types=[KINDS[dtype]],
            expected=[[expected], [np.tile(expected, 2)]],
        )


@everywhere
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint16, np.int16])
def test_dequantize(runtime: Runtime, dtype: type) -> None:
    x = rand(2, 7, dtype=dtype, low=0, high=99)
    s, zero = np.array(0.3, np.float32), np.array(0 if dtype is np.int32 else 5, dtype)
    expected = ((x.astype(np.int64) - zero) * s).astype(np.float32)
    check_op(runtime, "DequantizeLinear", [x, s, zero], opset=21, types=[1], expected=[[expected]])
    check_op(runtime, "DequantizeLinear", [x, s], opset=21, types=[1], expected=[[(x * s).astype(np.float32)]])


@everywhere
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_per_axis(runtime: Runtime, axis: int) -> None:
    x, y = rand(3, 4, 5), rand(3, 4, 5, seed=1)
    n = x.shape[axis]
    s, zero = rand(n, low=0.01, high=0.1), rand(n, dtype=np.uint8, low=99, high=120)
    check_op(runtime, "QuantizeLinear", [x, s, zero], [y, s, zero], axis=axis, types=[2])
    q = rand(3, 4, 5, dtype=np.uint8, low=0, high=255)
    check_op(runtime, "DequantizeLinear", [q, s, zero], axis=axis, types=[1])


@everywhere
@pytest.mark.parametrize("axis", [0, 1])
def test_per_block(runtime: Runtime, axis: int) -> None:
    x = rand(4, 6)
    small = (2, 6) if axis == 0 else (4, 3)
    s, zero = rand(*small, low=0.01, high=0.1), rand(*small, dtype=np.int8, low=-9, high=9)
    wide, zeros = np.repeat(s, 2, axis), np.repeat(zero, 2, axis)
    expected = np.clip(np.rint(x / wide) + zeros, -128, 127).astype(np.int8)
    how = {"axis": axis, "block_size": 2, "opset": 21}
    check_op(runtime, "QuantizeLinear", [x, s, zero], types=[3], expected=[[expected]], **how)
    back = (expected.astype(np.float32) - zeros) * wide
    check_op(runtime, "DequantizeLinear", [expected, s, zero], types=[1], expected=[[back.astype(np.float32)]], **how)


@everywhere
def test_dynamic(runtime: Runtime) -> None:
    for low, high in ((-3, 5), (1, 5), (-5, -1)):
        check_op(
            runtime,
            "DynamicQuantizeLinear",
            [rand(3, 4, low=low, high=high)],
            [rand(5, 4, low=low, high=high)],
            outputs=3,
            types=[2, 1, 2],
        )
    check_op(runtime, "DynamicQuantizeLinear", [np.zeros((2, 3), np.float32)], outputs=3, types=[2, 1, 2])


@everywhere
@pytest.mark.parametrize("inner", [4, 300])
@pytest.mark.parametrize("types", [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)], ids=str)
def test_matmul_integer(runtime: Runtime, inner: int, types: tuple) -> None:
    a, b = (
        rand(*s, dtype=t, low=np.iinfo(t).min, high=np.iinfo(t).max) for s, t in zip(((3, inner), (inner, 5)), types)
    )
    za, zb = np.array(7, types[0]), np.array(9, types[1])
    expected = (a.astype(np.int32) - 7) @ (b.astype(np.int32) - 9)
    check_op(runtime, "MatMulInteger", [a, b, za, zb], types=[6], expected=[[expected]])
    plain = a.astype(np.int32) @ b.astype(np.int32)
    check_op(runtime, "MatMulInteger", [a, b], types=[6], expected=[[plain]])


@everywhere
@pytest.mark.parametrize("per_column", [False, True])
def test_qlinear_matmul(runtime: Runtime, per_column: bool) -> None:
    b, n = rand(6, 5, dtype=np.int8, low=-60, high=60), 5
    sb = rand(n, low=0.01, high=0.02) if per_column else f32(0.015)[0]
    zb = np.zeros(n, np.int8) if per_column else np.int8(0)
    rest = [f32(0.02)[0], np.uint8(100), b, sb, zb, f32(0.05)[0], np.uint8(120)]
    sets = [[rand(m, 6, dtype=np.uint8, low=0, high=255), *map(np.asarray, rest)] for m in (3, 7)]
    check_op(runtime, "QLinearMatMul", *sets, types=[2])


@everywhere
@pytest.mark.parametrize("bias", [False, True])
def test_qlinear_conv(runtime: Runtime, bias: bool) -> None:
    w = rand(4, 3, 3, 3, dtype=np.int8, low=-60, high=60)
    rest = [
        f32(0.02)[0],
        np.uint8(100),
        w,
        rand(4, low=0.01, high=0.02),
        np.zeros(4, np.int8),
        f32(0.3)[0],
        np.uint8(120),
    ]
    rest += [rand(4, dtype=np.int32, low=-999, high=999)] if bias else []
    sets = [[rand(1, 3, n, n, dtype=np.uint8, low=0, high=255), *map(np.asarray, rest)] for n in (6, 9)]
    check_op(runtime, "QLinearConv", *sets, types=[2], pads=[1, 1, 1, 1], const=range(3, 6))


@everywhere
def test_conv_integer(runtime: Runtime) -> None:
    w = rand(2, 3, 3, 3, dtype=np.uint8, low=0, high=255)
    zeros = [np.asarray(np.uint8(v)) for v in (128, 100)]
    sets = [[rand(1, 3, n, n, dtype=np.uint8, low=0, high=255), w, *zeros] for n in (5, 8)]
    check_op(runtime, "ConvInteger", *sets, types=[6], pads=[1, 0, 1, 0])


@everywhere
def test_floats_of_eight_bits(runtime: Runtime) -> None:
    x, scale = rand(3, 40, low=-900, high=900), np.array([0.5, 1, 2], np.float32)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"], axis=0, output_dtype=TensorProto.FLOAT8E4M3FN),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"], axis=0),
    ]
    opsets = [helper.make_opsetid("", 23)]
    sets = [{"x": x, "s": scale}, {"x": x[:, :7], "s": scale}]
    model = graph_model(nodes, {n: [one[n] for one in sets] for n in ("x", "s")}, ["y"], opsets=opsets)
    check_model(runtime, model, sets)


@everywhere
def test_integers_of_four_bits(runtime: Runtime) -> None:
    x, scale, zero = rand(4, 40, low=-9, high=9), np.array(0.7, np.float32), np.array(3, np.uint8)
    nodes = [
        helper.make_node("Cast", ["z"], ["zero"], to=TensorProto.UINT4),
        helper.make_node("QuantizeLinear", ["x", "s", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "zero"], ["y"]),
    ]
    feeds = [{"x": x, "s": scale, "z": zero}, {"x": x[:, :7], "s": scale, "z": zero}]
    model = graph_model(
        nodes, {n: [f[n] for f in feeds] for n in feeds[0]}, ["y"], opsets=[helper.make_opsetid("", 23)]
    )
    q = [np.clip(np.rint(f["x"] / scale) + 3, 0, 15) for f in feeds]
    check_model(runtime, model, feeds, [[((v - 3) * scale).astype(np.float32)] for v in q])
