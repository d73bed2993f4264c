"""Operators of a ``.pdmodel`` that the target lacks go through the converters of a ``.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import numpy as np
import pytest

from mconv.errors import UnsupportedError
from mconv.paddle.legalize import legalize
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.params import ArraySource
from mconv.program.program import Op, Program, Var
from mconv.program.stored import write_model
from mconv.program.targets import PADDLE_2_3
from mconv.runtimes import Worker
from tests.paddle.test_legalize import only, program

I, B = AttrType.INT, AttrType.BOOLEAN  # noqa: E741


def cummax(**names: str) -> Op:
    return Op.make(
        "cummax",
        {"x": [names.get("x", "x")]},
        {"out": [names.get("out", "y")], "indices": ["i"]},
        [("axis", I, 1), ("dtype", I, 3)],
    )


def run(built: Program, worker: Worker, folder: Path, **feeds: np.ndarray) -> list[np.ndarray]:
    built.main.add_var(Var.tensor("unused", DType.FP32, (1,), persistable=True))  # 2.3 wants a parameter
    folder.mkdir()
    files = write_model(built, [("unused", ArraySource(np.zeros(1, np.float32)))], folder)
    return worker.run(*files, feeds).outputs[0]


NUMBERS = np.array([[1, 3, 2, 3], [-1, -2, 0, -5]], np.float32)


@pytest.mark.runtime
def test_cummax_in_2_3(workers: Callable[[str], Worker], tmp_path: Path) -> None:
    """It was refused from a .pdmodel, and emulated from a .json."""
    built = program(cummax(), i=(DType.INT64, (-1, 4)))
    done = legalize(built, PADDLE_2_3)
    assert done.changes["cummax expressed in older operators"] == 1
    for rows in (1, 2):
        (got,) = run(built, workers("paddle-2.3.2"), tmp_path / str(rows), x=NUMBERS[:rows])
        np.testing.assert_array_equal(got, np.maximum.accumulate(NUMBERS[:rows], 1))


@pytest.mark.runtime
@pytest.mark.parametrize("within", [False, True], ids=["read behind", "into its own operand"])
def test_in_place(workers: Callable[[str], Worker], tmp_path: Path, within: bool) -> None:
    """A result that has the operand's own name is written last, when nothing reads the operand any more."""
    first = Op.make("assign", {"X": ["x"]}, {"Out": ["t"]})
    last = Op.make("elementwise_add", {"X": ["t"], "Y": ["x"]}, {"Out": ["y"]}, [("axis", I, -1)])
    both = [first, cummax(x="t", out="t"), last] if within else [cummax(out="t"), last]
    built = program(*both, i=(DType.INT64, (-1, 4)), t=(DType.FP32, (-1, 4)))
    legalize(built, PADDLE_2_3)
    (got,) = run(built, workers("paddle-2.3.2"), tmp_path / "m", x=NUMBERS)
    np.testing.assert_array_equal(got, np.maximum.accumulate(NUMBERS, 1) + NUMBERS)


def test_the_operators_around_stay_what_they_are() -> None:
    before = Op.make("relu", {"X": ["x"]}, {"Out": ["t"]}, [("something_new", AttrType.STRING, "kept")])
    raw = before.desc.SerializeToString()
    built = program(before, cummax(x="t"), i=(DType.INT64, (-1, 4)), t=(DType.FP32, (-1, 4)))
    legalize(built, PADDLE_2_3)
    assert only(built, "relu").desc.SerializeToString() == raw
    assert built.main.ops[0].type == "feed" and built.main.ops[-1].type == "fetch"
    assert set(built.main.ops[-2].outputs.get("Out", ())) <= {"y", *built.main.vars}


def test_a_result_that_nothing_makes_and_something_reads_is_refused() -> None:
    """The softmax that flash attention gives besides, which no converter computes."""
    operands = {"q": ["x"], "k": ["x"], "v": ["x"]}
    results = {"out": ["y"], "softmax": ["s"], "softmax_lse": ["l"], "seed_offset": ["o"]}
    attrs = [("causal", B, False), ("is_test", B, True), ("return_softmax", B, False), ("dropout", AttrType.FLOAT, 0.0)]
    wide = (DType.FP32, (2, 5, 2, 8))
    kinds = {"x": wide, "y": wide, "s": wide, "l": wide, "o": (DType.INT64, (2,))}
    built = program(Op.make("flash_attn", operands, results, attrs), **kinds)
    legalize(built, PADDLE_2_3)
    assert "flash_attn" not in {op.type for _, op in built.ops()}
    built = program(Op.make("flash_attn", operands, results, attrs), **kinds)
    built.main.ops.insert(2, Op.make("relu", {"X": ["s"]}, {"Out": ["l"]}))
    with pytest.raises(UnsupportedError) as caught:
        legalize(built, PADDLE_2_3)
    assert [(r["operator"], r["reason"]) for r in caught.value.rows] == [("flash_attn", "its result softmax is read")]


@pytest.mark.runtime
def test_in_a_block(workers: Callable[[str], Worker], tmp_path: Path) -> None:
    """An operator of a branch is replaced in the branch, with its constants."""
    built = program(
        Op.make("reduce_all", {"X": ["flags"]}, {"Out": ["flag"]}, [("reduce_all", B, True), ("dim", AttrType.INTS, [0])]),
        flags=(DType.BOOL, (-1, 4)), flag=(DType.BOOL, (1,)), i=(DType.INT64, (-1, 4)), t=(DType.FP32, (-1, 4)),
    )  # fmt: skip
    main = built.main
    main.ops.insert(1, Op.make("cast", {"X": ["x"]}, {"Out": ["flags"]}, [("in_dtype", I, 5), ("out_dtype", I, 0)]))
    main.ops.insert(1, Op.make("assign", {"X": ["x"]}, {"Out": ["y"]}))
    inner = built.add_block(main)
    inner.add_var(Var.tensor("t", DType.FP32, (-1, 4)))
    inner.ops += [cummax(out="t"), Op.make("assign", {"X": ["t"]}, {"Out": ["y"]})]
    main.add_var(Var.of_kind("scope", VarKind.STEP_SCOPES))
    branch = Op.make(
        "conditional_block",
        {"Cond": ["flag"], "Input": ["x"]},
        {"Out": ["y"], "Scope": ["scope"]},
        [("is_scalar_condition", B, True), ("sub_block", AttrType.BLOCK, inner.idx)],
    )
    main.ops.insert(len(main.ops) - 1, branch)
    legalize(built, PADDLE_2_3)
    worker = workers("paddle-2.3.2")
    for x, want in ((NUMBERS + 9, np.maximum.accumulate(NUMBERS + 9, 1)), (NUMBERS * 0, NUMBERS * 0)):
        (got,) = run(built, worker, tmp_path / str(want[0, 1]), x=x)
        np.testing.assert_array_equal(got, want)
