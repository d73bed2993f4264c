"""Programs: read, edited, written; what is damaged is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mconv.errors import CorruptModelError, MconvError
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.program import Op, Program, Var
from tests import damaged
from tests.golden import Case, case
from tests.program.checking import use

MLP = case("2.3.2-mlp").program_file.read_bytes()
OLD = case("1.8.5-mlp_custom").program_file.read_bytes()


def test_golden_round_trip(golden: Case) -> None:
    """Byte for byte, also through a copy and through the containers that a pass edits."""
    data = golden.program_file.read_bytes()
    program = Program.from_bytes(data)
    assert program.to_bytes() == data
    assert program.copy().to_bytes() == data
    program.main.ops = [Op(op.desc) for op in program.main.ops]
    program.main.vars = dict(program.main.vars)
    assert program.to_bytes() == data
    use(program)


def test_golden_ports(golden: Case) -> None:
    """Inputs and outputs are those of the model's own recording, in its order."""
    program = Program.from_bytes(golden.program_file.read_bytes())
    assert [p.name for p in program.feeds] == list(golden.inputs) == golden.call["feed"]
    assert len(program.fetches) == len(golden.outputs)
    for port, array in zip(program.feeds, golden.inputs.values()):
        assert port.dtype is not None
        assert port.dtype.numpy == array.dtype
        assert len(port.shape) == array.ndim
        assert all(want in (-1, have) for have, want in zip(array.shape, port.shape))


def test_fetches_follow_col() -> None:
    program = Program.from_bytes(case("2.3.2-multi").program_file.read_bytes())
    names = [p.name for p in program.fetches]
    assert names == case("2.3.2-multi").call["fetch"]
    program.main.ops.reverse()
    assert [p.name for p in program.fetches] == names


@pytest.mark.parametrize(
    ("path", "tag"),
    [("program", b""), ("block", b""), ("variable", b""), ("operator", b"")],
)
def test_unknown_fields_survive(path: str, tag: bytes) -> None:
    """Fields that a newer Paddle may add, at every level, come out again."""
    new = damaged.field(99, b"from the future") + damaged.number(98, 7)
    var = damaged.field(3, damaged.field(1, b"x") + damaged.field(2, damaged.number(1, 7)) + new)
    op = damaged.field(4, damaged.field(3, b"relu") + new)
    data = damaged.field(1, damaged.BLOCK + (var if path == "variable" else b"") + (op if path == "operator" else b""))
    if path == "block":
        data = damaged.field(1, damaged.BLOCK + new)
    if path == "program":
        data += new
    program = Program.from_bytes(data)
    assert program.to_bytes() == data
    program.main.add_var(Var.tensor("y", DType.FP32, (2,)))
    assert new in program.to_bytes()
    assert new in program.copy().to_bytes()


def build() -> Program:
    program = Program()
    block = program.main
    for name, kind in (("feed", VarKind.FEED_MINIBATCH), ("fetch", VarKind.FETCH_LIST)):
        block.add_var(Var.of_kind(name, kind, persistable=True))
    block.add_var(Var.tensor("x", DType.FP32, (-1, 4)))
    block.add_var(Var.tensor("y", DType.FP32, (-1, 4)))
    block.add_var(Var.tensor("w", DType.FP32, (4,), persistable=True))
    block.ops += [
        Op.make("feed", {"X": ["feed"]}, {"Out": ["x"]}, [("col", AttrType.INT, 0)]),
        Op.make("elementwise_add", {"X": ["x"], "Y": ["w"]}, {"Out": ["y"]}, [("axis", AttrType.INT, -1)]),
        Op.make("fetch", {"X": ["y"]}, {"Out": ["fetch"]}, [("col", AttrType.INT, 0)]),
    ]
    return program


def test_writing_is_deterministic() -> None:
    data = build().to_bytes()
    assert all(build().to_bytes() == data for _ in range(5))
    assert Program.from_bytes(data).to_bytes() == data


def test_text_form() -> None:
    text = repr(build())
    assert "{Out=[y]} = elementwise_add(X=[x], Y=[w]; axis=-1)" in text
    assert "persist var w : float32[4]" in text
    assert "var x : float32[-1, 4]" in text


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (AttrType.INT, -5),
        (AttrType.FLOAT, 0.5),
        (AttrType.STRING, "größe"),
        (AttrType.STRING, "not\udcffutf8"),
        (AttrType.INTS, [1, -2]),
        (AttrType.FLOATS, [0.25, -1.0]),
        (AttrType.STRINGS, ["a", ""]),
        (AttrType.BOOLEAN, True),
        (AttrType.BOOLEANS, [True, False]),
        (AttrType.LONG, 1 << 40),
        (AttrType.LONGS, [-(1 << 40)]),
        (AttrType.FLOAT64S, [1e300]),
        (AttrType.FLOAT64, 1e300),
        (AttrType.VAR, "x"),
        (AttrType.VARS, ["x", "y"]),
        (AttrType.SCALAR, 3),
        (AttrType.SCALAR, True),
        (AttrType.SCALARS, [1, 2.5, False, 1 + 2j]),
    ],
)
def test_attributes(kind: AttrType, value: object) -> None:
    program = build()
    program.main.ops[1].set_attr("a", value, kind)
    program.main.ops[1].set_attr("axis", 1, AttrType.INT)  # replaced in place
    op = Program.from_bytes(program.to_bytes()).main.ops[1]
    assert op.attr("a") == value
    assert type(op.attr("a")) is type(value)
    assert op.attr_types == {"axis": AttrType.INT, "a": kind}
    assert op.attr("axis") == 1
    op.del_attr("a")
    assert op.attr("a", "none") == "none"


def test_attribute_of_unknown_type_survives() -> None:
    data = damaged.field(1, damaged.BLOCK + damaged.op(attrs=damaged.attr(b"new", 77, damaged.number(60, 1))))
    program = Program.from_bytes(data)
    assert program.main.ops[0].attrs == {}
    assert program.main.ops[0].attr_types == {"new": 77}
    assert program.to_bytes() == data


@pytest.mark.parametrize("data", [MLP, OLD], ids=["2.3.2", "1.8.5"])
def test_truncation_names_the_place(data: bytes) -> None:
    with pytest.raises(CorruptModelError, match=r"^model: .* at offset \d+ of 5000") as e:
        Program.from_bytes(data[:5000], "model")
    assert e.value.hint


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutations(data: st.DataObject) -> None:
    """A changed program is refused or read; nothing else happens, then or later."""
    content = bytearray(data.draw(st.sampled_from([MLP, OLD])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(0, 20))
        content[at : at + length] = data.draw(st.binary(max_size=20))
    try:
        use(Program.from_bytes(bytes(content), "model"))
    except MconvError as e:
        assert "\n" not in e.message


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(content: bytes) -> None:
    for data in (content, MLP[:12] + content, damaged.field(1, damaged.BLOCK + content)):
        try:
            use(Program.from_bytes(data, "model"))
        except MconvError as e:
            assert "\n" not in e.message


def test_blocks_that_share_a_block_are_sound() -> None:
    """Two operators may run one block: what is refused is a block that runs itself."""
    program = build()
    program.add_block(program.main)
    program.add_block(program.blocks[1])
    for block, sub in ((0, 1), (0, 1), (1, 2), (0, 2)):
        op = Op.make("conditional_block", {}, {}, [("sub_block", AttrType.BLOCK, sub)])
        program.blocks[block].ops.append(op)
    assert len(Program.from_bytes(program.to_bytes()).blocks) == 3
    program.blocks[2].ops.append(Op.make("while", {}, {}, [("sub_block", AttrType.BLOCK, 1)]))
    with pytest.raises(CorruptModelError, match="block 1 runs itself"):
        Program.from_bytes(program.to_bytes())


def nested(parents: list[int], runs: list[tuple[int, int]]) -> bytes:
    """A program whose blocks lie in *parents* (of the blocks from 1 on) and run each other as *runs* says."""
    program = build()
    for parent in parents:
        program.add_block(program.main).desc.parent_idx = parent
    for block, sub in runs:
        program.blocks[block].ops.append(Op.make("while", {}, {}, [("sub_block", AttrType.BLOCK, sub)]))
    return program.to_bytes()


@pytest.mark.parametrize(
    ("parents", "runs", "message"),
    [
        ([2, 1], [(0, 1)], "block 1 lies within itself"),
        ([2, 3, 4, 2], [], "block 2 lies within itself"),
        (list(range(3000)), [], "block 64 is nested too deeply"),
        ([0] * 3000, [(i, i + 1) for i in range(3000)], "is nested too deeply: 64 blocks within each other are most"),
        # each block runs the next one twice: 2^40 in all
        ([0] * 40, [(i, i + 1) for i in range(40) for _ in range(2)], "runs blocks more than 20000 times"),
    ],
)
def test_blocks_out_of_proportion(parents: list[int], runs: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(CorruptModelError, match=message):
        Program.from_bytes(nested(parents, runs))


def test_blocks_as_deep_as_they_may_be() -> None:
    deep = nested(list(range(63)), [(i, i + 1) for i in range(63)])
    assert len(Program.from_bytes(deep).blocks) == 64
