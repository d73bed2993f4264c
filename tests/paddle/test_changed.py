"""Operators that an older Paddle has by the same name and means otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from mconv.paddle import loadable
from mconv.paddle.legalize import legalize
from mconv.passes.cut import cut
from mconv.program import targets
from mconv.program.dtypes import AttrType, DType
from mconv.program.program import Op, Program
from mconv.program.stored import write_model
from mconv.program.targets import PADDLE_2_3
from mconv.runtimes import Worker
from tests.paddle.test_legalize import program

AXIS = [("axis", AttrType.INT, -1)]


def floordiv(version: int = 2006002) -> Program:
    divide = Op.make("elementwise_floordiv", {"X": ["x"], "Y": ["d"]}, {"Out": ["y"]}, AXIS)
    kind = (DType.INT64, (-1, 4))
    return program(divide, version=version, x=kind, y=kind, d=kind)


@pytest.mark.parametrize(
    ("version", "target", "stays"),
    [(2006002, "2.3", False), (2006002, "2.6", True), (2003002, "2.3", True), (3003001, "3", True)],
)
def test_rounding_down(version: int, target: str, stays: bool) -> None:
    """2.3 rounds a quotient towards zero; a program that 2.3 wrote itself means that."""
    built = floordiv(version)
    assert bool([r for r in loadable.reasons(built, targets.get(target)) if "something else" in r]) is not stays
    legalize(built, targets.get(target))
    kinds = [op.type for _, op in built.ops()]
    assert ("elementwise_floordiv" in kinds) is stays
    assert not [r for r in loadable.reasons(built, targets.get(target)) if "something else" in r]


@pytest.mark.parametrize("kind", ["elementwise_add", "elementwise_mul", "elementwise_sub"])
@pytest.mark.parametrize(("small", "wrong"), [((1, 4), True), ((4,), True), ((-1, 1), True), ((-1, 4), False)])
def test_the_larger_operand_is_the_first(kind: str, small: tuple, wrong: bool) -> None:
    """As 2.3's oneDNN wants it; a program is no less loadable for it."""
    join = Op.make(kind, {"X": ["s"], "Y": ["x"]}, {"Out": ["y"]}, AXIS)
    built = program(join, version=2006002, s=(DType.FP32, small))
    assert not [r for r in loadable.reasons(built, PADDLE_2_3) if "something else" in r]
    legalize(built, PADDLE_2_3)
    last = next(op for _, op in built.ops() if op.type == kind)
    if kind == "elementwise_sub":
        assert (last.input("X") != ["s"]) is wrong and last.input("Y") == ["x"]
    else:
        assert last.input("X") == (["x"] if wrong else ["s"])


@pytest.mark.runtime
@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("kind", ["elementwise_add", "elementwise_mul", "elementwise_sub"])
def test_both_operands_repeat_sizes(kind: str, onednn: bool, workers: Callable[[str], Worker], tmp_path: Path) -> None:
    """The first one has more dimensions, and a size that the second one has more of: 2.3's oneDNN mixes up the elements."""
    join = Op.make(kind, {"X": ["x"], "Y": ["s"]}, {"Out": ["y"]}, AXIS)
    wide = (DType.FP32, (-1, 6, 8, 7))
    built = program(join, version=2006002, x=(DType.FP32, (-1, 1, 8, 1)), s=(DType.FP32, (6, 1, 7)), y=wide)
    built = cut(built, inputs=["x", "s"], outputs=["y"])
    legalize(built, PADDLE_2_3)
    assert "expand_v2" in {op.type for _, op in built.ops()}
    rng = np.random.default_rng(3)
    feeds = [{"x": rng.random((n, 1, 8, 1), np.float32), "s": rng.random((6, 1, 7), np.float32)} for n in (2, 3)]
    paths = write_model(built, [], tmp_path)
    for fed, (got,) in zip(feeds, workers("paddle-2.3.2").run(*paths, feeds, onednn=onednn).outputs):
        want = {"add": np.add, "mul": np.multiply, "sub": np.subtract}[kind.rpartition("_")[2]](fed["x"], fed["s"])
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("infinite", [False, True])
def test_infinity_is_itself(infinite: bool) -> None:
    """Only what is compared with an infinite number is said otherwise: below 2.3's infinity is not equal to itself."""
    value = float("inf") if infinite else 1.0
    fill = Op.make(
        "fill_any_like", {"X": ["x"]}, {"Out": ["c"]}, [("value", AttrType.FLOAT, value), ("dtype", AttrType.INT, 5)]
    )
    equal = Op.make("equal", {"X": ["x"], "Y": ["c"]}, {"Out": ["flags"]}, AXIS)
    cast = Op.make(
        "cast", {"X": ["flags"]}, {"Out": ["y"]}, [("in_dtype", AttrType.INT, 0), ("out_dtype", AttrType.INT, 5)]
    )
    built = program(fill, equal, cast, c=(DType.FP32, (-1, 4)), flags=(DType.BOOL, (-1, 4)))
    legalize(built, PADDLE_2_3)
    kinds = {op.type for _, op in built.ops()}
    assert ("equal" in kinds) is not infinite and ("greater_equal" in kinds) is infinite


def test_what_cannot_be_said_otherwise_is_refused() -> None:
    from mconv.errors import UnsupportedError

    built = floordiv()
    del built.main.vars["d"]
    with pytest.raises(UnsupportedError, match="means something else there"):
        legalize(built, PADDLE_2_3)


@pytest.mark.parametrize(("axis", "version", "moved"), [(1, 2006002, True), (3, 2006002, False), (1, 2003002, False)])
def test_layers_are_normalised_along_the_last_dimension(axis: int, version: int, moved: bool) -> None:
    """2.3's oneDNN refuses to load another; a program of 2.3's own stays as it is."""
    size = {1: 60, 3: 4}[axis]
    outputs = {"Y": ["y"], "Mean": ["mean"], "Variance": ["variance"]}
    attributes = [("begin_norm_axis", AttrType.INT, axis), ("epsilon", AttrType.FLOAT, 1e-5)]
    norm = Op.make("layer_norm", {"X": ["x"], "Scale": ["scale"], "Bias": ["bias"]}, outputs, attributes)
    shapes = {
        "x": (-1, 5, 3, 4),
        "y": (-1, 5, 3, 4),
        "scale": (size,),
        "bias": (size,),
        "mean": (-1,),
        "variance": (-1,),
    }
    built = program(norm, version=version, **{name: (DType.FP32, shape) for name, shape in shapes.items()})
    legalize(built, PADDLE_2_3)
    kinds = [op.type for _, op in built.ops()]
    assert ("reshape2" in kinds) is moved and kinds.count("layer_norm") == 1
    (last,) = (op for _, op in built.ops() if op.type == "layer_norm")
    shape = built.find_var(last.input("X")[0]).shape
    assert shape is not None and (last.attr("begin_norm_axis") == len(shape) - 1) is (moved or axis == 3)
