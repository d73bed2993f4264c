"""Concat, Split, Slice, Pad and CenterCropPad, with what can come in at run time coming in at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.onnx.checks import (
    CURRENT,
    ONEDNN,
    PADDLE_23,
    RUNTIMES,
    Runtime,
    check_model,
    check_op,
    check_refused,
    everywhere,
    graph_model,
    in_runtimes,
    rand,
)

BIG, SMALL = np.iinfo(np.int64).max, np.iinfo(np.int64).min


def vec(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@everywhere
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_, np.int8, np.float16])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(runtime: Runtime, axis: int, dtype: type) -> None:
    second = [(2, 3), (4, 3)] if axis == 0 else [(2, 5), (4, 5)]
    sets = [[rand(n, 3, dtype=dtype), rand(*s, dtype=dtype, seed=1)] for n, s in zip((2, 4), second)]
    check_op(runtime, "Concat", *sets, axis=axis)


@everywhere
@pytest.mark.parametrize("const", [[0], [1], [0, 2], [0, 1]], ids=str)
def test_concat_with_constants(runtime: Runtime, const: list) -> None:
    """A constant first operand crashes a pass of every release unless it goes through an operator."""
    three = [rand(2, 3, seed=i) for i in range(3)]
    check_op(runtime, "Concat", three, [rand(2, 3, seed=i) if i in const else rand(2, 3, seed=9) for i in range(3)],
             axis=1, const=const)  # fmt: skip


@everywhere
@pytest.mark.parametrize("const", [[], [1]], ids=["input", "constant"])
def test_split_by_sizes(runtime: Runtime, const: list) -> None:
    check_op(runtime, "Split", [rand(6, 4), vec(1, 2, 3)], [rand(6, 5), vec(1, 2, 3)], outputs=3, axis=0, const=const)


@everywhere
def test_split_evenly(runtime: Runtime) -> None:
    check_op(runtime, "Split", [rand(6, 4)], [rand(9, 4)], outputs=3, axis=0, opset=13)
    check_op(runtime, "Split", [rand(6, 4)], [rand(6, 8)], outputs=2, axis=-1, opset=11)
    check_op(runtime, "Split", [rand(6, 4)], opset=11, outputs=2, axis=1, split=[1, 3])


@everywhere
def test_split_unevenly(runtime: Runtime) -> None:
    check_op(runtime, "Split", [rand(7, 4)], [rand(7, 5)], outputs=3, axis=0, num_outputs=3)
    check_op(runtime, "Split", [rand(7, 4)], [rand(8, 4)], outputs=3, axis=0, num_outputs=3)


SLICES = [
    ([1], [3], [0], [1]),
    ([-3], [BIG], [0], [1]),
    ([0], [-1], [1], [1]),
    ([-1], [SMALL], [0], [-1]),
    ([3], [0], [0], [-1]),
    ([BIG], [-BIG], [1], [-2]),
    ([1, 0], [BIG, 3], [-1, 0], [2, 1]),
    ([3, 1], [SMALL, BIG], [0, 1], [-1, 3]),
    ([-100], [100], [0], [1]),
    ([-100], [2], [0], [1]),
    ([-5, -1], [3, 0], [0, 1], [1, -2]),
    ([-100], [-2], [1], [1]),
    ([-100], [-2], [1], [3]),
    ([-9], [SMALL], [0], [-1]),
    ([-100, -5], [SMALL, -100], [1, 0], [-2, -1]),
]
BEFORE_THE_FIRST = ([-100], [2], [0], [1]), ([-5, -100], [3, -1], [0, 1], [1, 1]), ([-100], [-2], [1], [3])


@everywhere
@pytest.mark.parametrize("bounds", SLICES, ids=str)
def test_slice_by_constants(runtime: Runtime, bounds: tuple) -> None:
    extra = [vec(*v) for v in bounds]
    check_op(runtime, "Slice", [rand(4, 6), *extra], [rand(7, 9), *extra], const=[1, 2, 3, 4])


@everywhere
@pytest.mark.parametrize("bounds", SLICES, ids=str)
@pytest.mark.parametrize("const", [[3, 4], [4], []], ids=["bounds", "axes", "everything"])
def test_slice_at_run_time(runtime: Runtime, bounds: tuple, const: list) -> None:
    extra = [vec(*v) for v in bounds]
    check_op(runtime, "Slice", [rand(4, 6), *extra], [rand(7, 9), *extra], const=const)


@in_runtimes(*RUNTIMES, *ONEDNN[:2])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.bool_, np.uint8])
@pytest.mark.parametrize("rank", [2, 3, 4])
def test_slice_at_run_time_from_before_the_first(runtime: Runtime, dtype: type, rank: int) -> None:
    for bounds in BEFORE_THE_FIRST:
        extra = [vec(*v) for v in bounds]
        sets = [[rand(*shape[:rank], dtype=dtype), *extra] for shape in ((4, 6, 2, 3), (7, 9, 2, 3))]
        for const in ([3, 4], [2, 3, 4]):
            check_op(runtime, "Slice", *sets, const=const)


@in_runtimes(*RUNTIMES, *ONEDNN[:2])
@pytest.mark.parametrize(
    ("bounds", "const"),
    [
        *((([3], [1], [0], [step]), const) for step in (1, 2) for const in ([3, 4], [1, 3, 4], [2, 3, 4])),
        (([2], [-100], [0], [2]), [2, 3, 4]),
        (([2], [-100], [0], [1]), [1, 2, 3, 4]),
        (([100], [-2], [1], [1]), [3, 4]),
        (([-1], [1], [0], [1]), [1, 3, 4]),
        (([2, 1], [3, 1], [1, 0], [1, 3]), [1, 3, 4]),
        (([2, 4], [0, 9], [0, 1], [1, -1]), [3, 4]),
    ],
    ids=str,
)
def test_slice_that_ends_before_its_start(runtime: Runtime, bounds: tuple, const: list) -> None:
    extra = [vec(*v) for v in bounds]
    check_op(runtime, "Slice", [rand(4, 6), *extra], [rand(7, 9), *extra], [rand(1, 1), *extra], const=const)


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.bool_, np.float16, np.float64])
def test_slice_types(runtime: Runtime, dtype: type) -> None:
    x = rand(4, 6, dtype=dtype)
    check_op(runtime, "Slice", [x, vec(1), vec(4), vec(1), vec(2)], const=[1, 2, 3, 4])
    check_op(runtime, "Slice", [x, vec(-1), vec(SMALL), vec(1), vec(-1)], const=[1, 2, 3, 4])


@everywhere
def test_slice_opset_1(runtime: Runtime) -> None:
    check_op(runtime, "Slice", [rand(4, 6)], [rand(7, 6)], opset=7, starts=[1, -2], ends=[BIG, 100])


@everywhere
def test_slice_ends_from_a_shape(runtime: Runtime) -> None:
    """A causal mask's corner: the slice's end is another input's size."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], start=1, end=2),
        helper.make_node("Slice", ["table", "zero", "s", "axis"], ["y"]),
        helper.make_node("Add", ["x", "y"], ["z"]),
    ]
    constants = {"table": rand(1, 16), "zero": vec(0), "axis": vec(1)}
    sets = [{"x": rand(2, 5)}, {"x": rand(3, 9)}]
    inputs = {"x": [s["x"] for s in sets]}
    check_model(runtime, graph_model(nodes, inputs, ["z"], constants=constants), sets)


PADS: list[tuple[str, list[int]]] = [
    ("constant", [0, 1, 2, 3]),
    ("constant", [1, 0, 0, 2]),
    ("constant", [-1, 1, 0, -2]),
    ("reflect", [2, 1, 1, 2]),
    ("edge", [2, 1, 0, 5]),
    ("wrap", [1, 2, 2, 1]),
    ("wrap", [0, 9, 0, 9]),
]


@everywhere
@pytest.mark.parametrize(("mode", "pads"), PADS, ids=str)
@pytest.mark.parametrize("const", [[1], []], ids=["constant", "input"])
def test_pad(runtime: Runtime, mode: str, pads: list, const: list) -> None:
    sets = [[rand(3, 4), vec(*pads)], [rand(5, 6), vec(*pads)]]
    check_op(runtime, "Pad", *sets, mode=mode, const=const)


@everywhere
@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad_images(runtime: Runtime, mode: str) -> None:
    pads = vec(0, 0, 1, 2, 0, 0, 2, 1)
    check_op(runtime, "Pad", [rand(2, 3, 5, 6), pads], [rand(1, 3, 7, 8), pads], mode=mode, const=[1])


@everywhere
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 3, 2, 3, 2)], ids=str)
def test_pad_every_dimension(runtime: Runtime, shape: tuple) -> None:
    pads = vec(*range(len(shape)), *[1] * len(shape))
    check_op(runtime, "Pad", [rand(*shape), pads, np.array(2.5, np.float32)], const=[1, 2])


@everywhere
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.bool_, np.float16, np.float64])
def test_pad_types(runtime: Runtime, dtype: type) -> None:
    x, value = rand(2, 3, dtype=dtype), np.array(1, dtype)
    check_op(runtime, "Pad", [x, vec(1, 0, 0, 2), value], const=[1, 2])
    check_op(runtime, "Pad", [x, vec(1, 0, 0, 2), value], const=[1])


@everywhere
def test_pad_with_a_number_that_no_float_holds(runtime: Runtime) -> None:
    value = np.array(2**53 + 1, np.int64)
    check_op(runtime, "Pad", [rand(2, 3, dtype=np.int64), vec(1, 0, 0, 2), value], const=[1, 2])


@everywhere
@pytest.mark.parametrize("const", [[1, 2, 3], [2, 3], [2]], ids=["constant", "pads", "axes"])
def test_pad_axes(runtime: Runtime, const: list) -> None:
    extra: list[Any] = [vec(1, 2), np.array(0.5, np.float32), vec(-1)]
    check_op(runtime, "Pad", [rand(2, 3), *extra], [rand(4, 5), *extra], const=const)


def test_pad_opset_2() -> None:
    check_op(CURRENT, "Pad", [rand(2, 3)], [rand(4, 3)], opset=7, pads=[1, 0, 0, 2], value=1.5)


def test_pad_mode_unknown() -> None:
    check_refused(CURRENT, "Pad", [rand(2, 3), vec(1, 0, 0, 2)], const=[1], mode="mirror", match="mirror")


@in_runtimes(*ONEDNN)
@pytest.mark.parametrize("const", [[1], []], ids=["constant", "input"])
def test_center_crop_pad(runtime: Runtime, const: list) -> None:
    sets = [[rand(5, 8), vec(8, 5)], [rand(10, 3), vec(8, 5)]]
    check_op(runtime, "CenterCropPad", *sets, const=const, axes=[-2, -1])


@in_runtimes(
    CURRENT, PADDLE_23, Runtime("2.3", "paddle-2.3.2", onednn=True), Runtime("2.6", "paddle-2.6.2", onednn=True)
)
def test_joined_behind_a_size_of_1_with_onednn(runtime: Runtime) -> None:
    """2.3's oneDNN takes the first operand to lie otherwise than it does."""
    for shape in ((2, 3), (2, 1, 4), (2, 3, 4), (2, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 6, 2)):
        for axis in range(1, len(shape)):
            first = rand(*(1 if i == axis else d for i, d in enumerate(shape)))
            check_op(runtime, "Concat", [first, rand(*shape, seed=1), first], axis=axis)
            check_op(runtime, "Concat", [first, rand(*shape, seed=1)], [rand(*shape), rand(*shape)], axis=axis)


@everywhere
def test_columns_joined_with_others(runtime: Runtime) -> None:
    """Behind a first column alone, oneDNN in 2.3 lays the result out by columns."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"]),
        helper.make_node("Mul", ["c", "s"], ["m"]),
        helper.make_node("Concat", ["m", "t"], ["a"], axis=1),
        helper.make_node("Concat", ["m", "m", "b"], ["y"], axis=1),
        helper.make_node("Gather", ["a", "i"], ["g"], axis=1),
    ]
    sets = [{"x": rand(5, n), "c": rand(n, 1, seed=1), "b": rand(n, 3, seed=2), "s": rand(1)} for n in (2, 3, 4)]
    inputs = {name: [one[name] for one in sets] for name in sets[0]}
    check_model(runtime, graph_model(nodes, inputs, ["a", "y", "g"], constants={"i": np.array([0, 2])}), sets)
