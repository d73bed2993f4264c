"""The operators of a ProgramDesc in the normal form."""

from __future__ import annotations

import pytest

from mconv.paddle.constants import InlineBuilder
from mconv.paddle.desc_reader import SPELLINGS, DescReader
from mconv.paddle.operation import TensorType
from mconv.paddle.registry import Unsupported
from mconv.program import signatures, targets
from mconv.program.dtypes import AttrType, DType
from mconv.program.program import Op
from mconv.program.signatures import Signature
from mconv.program.targets import PADDLE_2_3
from mconv.program.value import Value
from tests.paddle.test_legalize import program


@pytest.mark.parametrize("op", sorted(SPELLINGS))
def test_a_spelling_names_what_the_operator_has(op: str) -> None:
    known: list[Signature] = [s for t in targets.TARGETS.values() if (s := signatures.find(t, op)) is not None]
    assert known, "no Paddle has it"
    inputs = {name for s in known for name in s.inputs}
    outputs = {name for s in known for name in s.outputs}
    attrs = {name for s in known for name in s.attrs}
    for name, row in SPELLINGS[op]:
        slots = [slot for slot in row.inputs if slot is not None]
        assert {n for slot in slots for n in (slot.input, slot.other) if n} <= inputs, name
        assert {o for o in row.outputs if o} <= outputs, name
        assert {slot.attr for slot in slots if slot.attr} | {a for a in row.attrs.values() if a} <= attrs, name


def read(op: Op, **variables: tuple[DType, tuple[int, ...]]):  # type: ignore[no-untyped-def]
    whole = program(op, **variables)
    return DescReader(whole, InlineBuilder(PADDLE_2_3)).read(op, whole.main)


def test_names_operands_and_results() -> None:
    op = Op.make(
        "cummax",
        {"x": ["x"]},
        {"out": ["y"], "indices": ["i"]},
        [("axis", AttrType.INT, 1), ("dtype", AttrType.INT, 3)],
    )
    operation, (x,), outputs = read(op, i=(DType.INT64, (-1, 4)))
    assert operation.name == "pd_op.cummax" and operation.attrs == {"axis": 1, "dtype": DType.INT64}
    assert isinstance(x, Value) and x.name == "x" and x.shape is not None and x.shape[1] == 4
    assert [kind for _, kind in operation.outputs] == [
        TensorType(DType.FP32, (-1, 4)),
        TensorType(DType.INT64, (-1, 4)),
    ]
    assert outputs == [("out", ["y"]), ("indices", ["i"])]


def test_an_attribute_that_is_an_operand_in_pir() -> None:
    op = Op.make("clip", {"X": ["x"]}, {"Out": ["y"]}, [("min", AttrType.FLOAT, -0.5), ("max", AttrType.FLOAT, 2.0)])
    operation, (x, low, high), _ = read(op)
    assert operation.attrs == {} and low.const.tolist() == [-0.5] and high.const.tolist() == [2.0]
    op = Op.make(
        "clip",
        {"X": ["x"], "Min": ["low"]},
        {"Out": ["y"]},
        [("min", AttrType.FLOAT, 0.0), ("max", AttrType.FLOAT, 2.0)],
    )
    _, (x, low, high), _ = read(op, low=(DType.FP32, (1,)))
    assert low.name == "low" and not low.is_const and high.const.tolist() == [2.0]


def test_all_axes_are_none() -> None:
    op = Op.make(
        "reduce_max", {"X": ["x"]}, {"Out": ["y"]},
        [("dim", AttrType.INTS, [0]), ("reduce_all", AttrType.BOOLEAN, True), ("keep_dim", AttrType.BOOLEAN, False)],
    )  # fmt: skip
    operation, (x, axis), _ = read(op)
    assert operation.name == "pd_op.max" and axis.const.tolist() == [] and operation.attrs == {"keepdim": False}


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (Op.make("nonsense", {"X": ["x"]}, {"Out": ["y"]}), "does not know"),
        (Op.make("relu", {"X": ["nowhere"]}, {"Out": ["y"]}), "no tensor with a type"),
        (Op.make("scale", {"X": ["x"]}, {"Out": ["y"]}, [("bias", AttrType.VAR, "x")]), "given as a variable"),
    ],
)
def test_what_cannot_be_read(op: Op, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        read(op)


def test_a_constant_is_known_unless_it_is_written_again() -> None:
    def fill() -> Op:
        attrs = [
            ("shape", AttrType.LONGS, [2]),
            ("dtype", AttrType.INT, 3),
            ("value", AttrType.FLOAT, 7.0),
            ("str_value", AttrType.STRING, "7"),
        ]
        return Op.make("fill_constant", {}, {"Out": ["c"]}, attrs)

    once = program(fill(), c=(DType.INT64, (2,)))
    value = DescReader(once, InlineBuilder(PADDLE_2_3)).value("c", once.main)
    assert value.name == "c" and value.const.tolist() == [7, 7]
    twice = program(
        fill(),
        Op.make("increment", {"X": ["c"]}, {"Out": ["c"]}, [("step", AttrType.FLOAT, 1.0)]),
        c=(DType.INT64, (2,)),
    )
    assert not DescReader(twice, InlineBuilder(PADDLE_2_3)).value("c", twice.main).is_const
