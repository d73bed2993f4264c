"""Parts of programs, other names, numbers in the place of operators: what is decided, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import onnx
import pytest

from mconv.emit.control import loop
from mconv.emit.elementwise import arithmetic
from mconv.emit.selection import selected
from mconv.errors import UnsupportedError, UsageError
from mconv.onnx import cut as onnx_cut
from mconv.onnx import opset
from mconv.passes import fold
from mconv.passes.constants import fix_inputs, weights_inside
from mconv.passes.cut import before_suppression, cut
from mconv.passes.rename import rename
from mconv.program import dims as D
from mconv.program import open_sizes, targets
from mconv.program.builder import Builder
from mconv.program.dtypes import AttrType, DType
from mconv.program.open_sizes import Sized
from mconv.program.params import TensorSource
from mconv.program.program import Op, Program
from mconv.program.targets import PADDLE_2_3, PADDLE_2_6
from mconv.program.value import Value
from tests.onnx import make

Made = tuple[Program, dict[str, TensorSource]]


def chain(target: str = "2.3") -> Made:
    """y = (x @ w + b) * c and z = |x| * c, of two inputs."""
    b = Builder(targets.get(target))
    x, c = b.feed("x", DType.FP32, (D.Sym.named("n"), 4)), b.feed("c", DType.FP32, (1,))
    w, v = b.param(_source((4, 3)), "w"), b.param(_source((3,)), "v")
    a = b.op("elementwise_add", X=b.op("matmul_v2", X=x, Y=w, trans_x=False, trans_y=False), Y=v, axis=-1)
    b.call(a, "a")
    b.fetch(arithmetic(b, "mul", a, c), "y")
    b.fetch(arithmetic(b, "mul", b.op("abs", X=x), c), "z")
    return b.finish()


def _source(shape: tuple[int, ...]) -> TensorSource:
    from mconv.program.params import ArraySource

    return ArraySource(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


def kinds(program: Program) -> list[str]:
    return sorted(op.type for op in program.main.ops if op.type not in ("feed", "fetch"))


@pytest.mark.parametrize(
    ("inputs", "outputs", "feeds", "left", "params"),
    [
        (None, ["a"], ["x"], ["elementwise_add", "matmul_v2"], ["v", "w"]),
        (["a", "c"], ["y"], ["a", "c"], ["elementwise_mul"], []),
        (None, ["z"], ["x", "c"], ["abs", "elementwise_mul"], []),
        (["c", "x"], None, ["c", "x"], ["abs", "elementwise_add", "elementwise_mul", "elementwise_mul", "matmul_v2"], ["v", "w"]),
        (["a", "x", "c"], ["z", "y"], ["a", "x", "c"], ["abs", "elementwise_mul", "elementwise_mul"], []),
    ],
)  # fmt: skip
def test_parts(inputs: Any, outputs: Any, feeds: list[str], left: list[str], params: list[str]) -> None:
    program, _ = chain()
    made = cut(program, inputs=inputs, outputs=outputs)
    assert [p.name for p in made.feeds] == feeds and kinds(made) == left
    assert [p.name for p in made.fetches] == (outputs or ["y", "z"])
    assert [v.name for v in made.parameters] == params
    assert kinds(program) == ["abs", "elementwise_add", "elementwise_mul", "elementwise_mul", "matmul_v2"]  # as it was
    Program.from_bytes(made.to_bytes())


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["a"], ["y"], "--inputs a: the outputs need 'c', too"),
        (["x", "c"], ["a"], "--inputs: no output depends on 'c'"),
        (None, ["w"], "--outputs: 'w' is a weight"),
        (None, ["nothing"], "--outputs: the model has no variable 'nothing'"),
        (["a", "a"], None, "--inputs: 'a' is named twice"),
        (None, [], "--outputs: none is named"),
    ],
)
def test_no_parts(inputs: Any, outputs: Any, message: str) -> None:
    with pytest.raises(UsageError) as e:
        cut(chain()[0], inputs=inputs, outputs=outputs)
    assert e.value.message.startswith(message)


def looping() -> Made:
    """x is doubled so many times as its first axis has rows."""
    b = Builder(PADDLE_2_3)
    x = b.feed("x", DType.FP32, (D.Sym.named("n"), 4))

    def turn(_: Value, state: list[Value]) -> tuple[Any, list[Value], list[Value]]:
        return None, [arithmetic(b, "add", state[0], state[0])], []

    (made,), _ = loop(b, turn, [x], b.constant(np.array([3], np.int64)))
    b.fetch(made, "y")
    return b.finish()


def test_what_a_loop_writes_is_no_beginning() -> None:
    program, _ = looping()
    inner = next(n for op in program.blocks[1].ops for n in op.output_names if n in program.blocks[1].vars)
    with pytest.raises(UsageError, match="inside of a branch or loop"):
        cut(program, outputs=[inner])
    carried = program.fetches[0].name
    with pytest.raises(UnsupportedError, match="written more than once, or in a branch or loop"):
        cut(program, inputs=[carried])


def test_names_follow_into_loops() -> None:
    program, params = looping()
    old = program.fetches[0].name
    op = next(op for op in program.main.ops if op.blocks)
    op.set_attr("skip_eager_deletion_vars", [old], AttrType.STRINGS)
    rename(program, params, {old: "new", "x": "image"})
    names = {n for _, o in program.ops() for n in (*o.input_names, *o.output_names)}
    assert "new" in names and old not in names and "x" not in names
    assert op.attr("skip_eager_deletion_vars") == ["new"]


@pytest.mark.parametrize("names", [{"x": "c", "c": "x"}, {"w": "kernel"}])
def test_names_may_change_places(names: dict[str, str]) -> None:
    program, params = chain()
    before = {n: s.array() for n, s in params.items()}
    params = rename(program, params, names)
    assert list(params) == [v.name for v in program.parameters]
    assert {names.get(n, n) for n in before} == set(params)
    assert [p.name for p in program.feeds] == [names.get(n, n) for n in ("x", "c")]


def test_the_last_of_two_suppressions() -> None:
    program, _ = chain()
    boxes = {"BBoxes": ["a"], "Scores": ["z"]}
    for name, inputs in (("first", boxes), ("second", {"BBoxes": ["first"], "Scores": ["z"]})):
        program.main.add_var(type(program.main.vars["a"]).tensor(name, DType.FP32, (-1, 6)))
        at = next(i for i, op in enumerate(program.main.ops) if op.type == "fetch")
        program.main.ops.insert(at, Op.make("multiclass_nms3", inputs, {"Out": [name]}))
    fetch = next(op for op in program.main.ops if op.type == "fetch")
    fetch.set_input("X", ["second"])
    assert before_suppression(program) == ["first", "z"]


# what is constant ----------------------------------------------------------------------------------------------------


def sizes(b: Builder, x: Value) -> Value:
    """What follows from the shape alone."""
    return b.op("shape", Input=x, result=(DType.INT32, (2,)))


def of_numbers(b: Builder, x: Value) -> Value:
    """What is as large as numbers say."""
    return b.op("shape", Input=selected(b, b.op("greater_than", X=x, Y=b.constant(np.zeros((1, 1), np.float32))), D.Sym.fresh("k")), result=(DType.INT32, (2,)))  # fmt: skip


def chance(b: Builder, x: Value) -> Value:
    return b.op("uniform_random", shape=[2], min=0.0, max=1.0, seed=0, dtype=int(DType.FP32), result=(DType.FP32, (2,)))


@pytest.mark.parametrize(
    ("what", "shape", "constant"),
    [(sizes, (2, 4), True), (sizes, (-1, 4), False), (of_numbers, (2, 4), False), (chance, (2, 4), False)],
    ids=["fixed", "open", "selected", "random"],
)
def test_what_is_the_same_in_every_run(what: Callable[..., Value], shape: tuple[int, ...], constant: bool) -> None:
    b = Builder(PADDLE_2_3)
    x = b.feed("x", DType.FP32, tuple(D.Sym.named("n") if d < 0 else d for d in shape))
    found = what(b, x)
    out = b.op("assign", X=found)
    b.fetch(arithmetic(b, "add", b.cast(out, DType.FP32), b.cast(out, DType.FP32)), "y")
    program, _ = b.finish()
    seen = fold.examine(program)
    name = next(n for op in program.main.ops if op.type == "assign" for n in op.output("Out"))
    assert (name in seen.constants) == constant


def test_numbers_in_the_place_of_operators() -> None:
    b = Builder(PADDLE_2_6)
    x = b.feed("x", DType.FP32, (2, 4))
    shape = b.op("shape", Input=x, result=(DType.INT32, (2,)))
    b.fetch(b.op("reshape2", X=x, Shape=b.op("assign", X=shape), shape=[-1], result=(DType.FP32, (D.Sym.fresh(), D.Sym.fresh()))), "y")  # fmt: skip
    program, params = b.finish()
    (name,) = fold.examine(program).border
    params, gone = fold.settle(program, params, {name: np.array([4, 2], np.int32)})
    (op,) = [o for o in program.main.ops if o.type == "reshape2"]
    assert gone == 2 and op.attr("shape") == [4, 2] and not op.input("Shape") and not params


def test_an_input_that_is_a_parameter() -> None:
    program, params = chain()
    made = fix_inputs(program, {"x": 0.5})
    assert [p.name for p in program.feeds] == ["c"] and made["x"].array().tolist() == [[0.5] * 4]
    assert program.feeds[0].col == 0
    weights_inside(program, {**params, **made}, PADDLE_2_3)
    assert not program.parameters and kinds(program).count("assign_value") == 3


# names of sizes, opsets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "wanted", "places"),
    [
        (
            [Sized("ids", (None, None), True), Sized("mask", (None, None), True)],
            {"length": 7},
            {("ids", 1), ("mask", 1)},
        ),
        ([Sized("x", (None, 3, None, None))], {"height": 7}, {("x", 2)}),
        ([Sized("x", ("N", 3, "h", "h"))], {"h": 7}, {("x", 2), ("x", 3)}),
        ([Sized("x", ("batch", 3)), Sized("y", ("other", 3))], {"batch": 7}, {("x", 0)}),
        ([Sized("x", ("a", 3)), Sized("y", ("b", 3))], {"batch": 7}, {("x", 0), ("y", 0)}),
        ([Sized("a.b", (None, 3))], {"a.b.0": 7}, {("a.b", 0)}),
    ],
)
def test_names_of_sizes(inputs: list[Sized], wanted: dict[str, int], places: set[tuple[str, int]]) -> None:
    assert open_sizes.resolve(inputs, wanted) == dict.fromkeys(places, 7)


@pytest.mark.parametrize(
    ("node", "old", "new", "same"),
    [
        (make.node("Where", "c x y", "z"), 17, 13, True),
        (make.node("Softmax", "x", "y", axis=1), 13, 11, False),
        (make.node("ReduceSum", "x axes", "y"), 13, 11, False),
        (make.node("LayerNormalization", "x s", "y"), 17, 13, False),
        (make.node("Relu", "x", "y"), 14, 13, True),
        (make.node("Reshape", "x s", "y", allowzero=1), 14, 13, False),
    ],
)
def test_what_means_the_same_in_another_opset(node: Any, old: int, new: int, same: bool) -> None:
    assert opset._same_meaning(node, old, new) is same


def test_a_branch_captures(tmp_path: Path) -> None:
    """What only a branch reads from outside stays, and has its new name in there, too."""
    from onnx import TensorProto, helper

    inner = helper.make_graph([helper.make_node("Identity", ["kept"], ["i"])], "i", [], [make.port("i")])
    nodes = [make.node("Abs", "x", "kept"), make.node("Exp", "x", "gone"), make.node("If", "yes", "y", then_branch=inner, else_branch=inner)]  # fmt: skip
    flag = make.port("yes", TensorProto.BOOL, ())
    model = make.model(nodes, [make.port("x"), flag], [make.port("y"), make.port("gone")])
    infos = {i.name: i for i in (*model.graph.input, *model.graph.output)}
    onnx_cut.cut(model, infos, outputs=["y"])
    onnx_cut.rename(model.graph, {"kept": "other"})
    assert [n.op_type for n in model.graph.node] == ["Abs", "If"]
    assert model.graph.node[1].attribute[0].g.node[0].input[0] == "other"
    onnx.checker.check_model(model)
