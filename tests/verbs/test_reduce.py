"""What fails is reduced: to the operator that is wrong, that crashes Paddle, that mconv cannot convert for a defect."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mconv import api
from mconv.errors import RuntimeFailedError, UnsupportedError, VerificationError
from mconv.options.onnx import Onnx2Paddle
from mconv.options.verify import Verify
from mconv.program import files
from mconv.program.dtypes import AttrType
from mconv.program.program import Program
from mconv.verbs.reduce import Graph, Part, Step, smallest
from mconv.verbs.reduce_models import open_source
from mconv.verbs.reduce_run import Reduced, attempt, failure_of, reduce_conversion, reduce_pair, require_same
from mconv.verbs.verify import verify
from tests.golden import case
from tests.managed import require
from tests.onnx import make

pytestmark = pytest.mark.usefixtures("own_registry")

WRONG = "    return ctx.op('scale', X=x, scale=3.0, bias=0.0, bias_after_scale=True)\n"  # the model's own definition: 2
DEFECT = "    return {}['a defect']\n"
# writes far outside of its tensor
CRASH = (
    "    import numpy as np\n"
    "    far = ctx.constant(np.array([2_000_000_000], 'int64'))\n"
    "    return ctx.op('scatter', X=x, Ids=far, Updates=ctx.constant(np.ones((1, 4), 'float32')), overwrite=True)\n"
)


def hundred(path: Path, *, at: int = 60) -> Path:
    """100 operators with weights and branches; ``Double`` of a domain of one's own stands at position *at*."""
    rng = np.random.default_rng(0)
    body = helper.make_function(
        "com.acme", "Double", ["x"], ["y"],
        [helper.make_node("Constant", [], ["two"], value_float=2.0), helper.make_node("Mul", ["x", "two"], ["y"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    nodes, weights, last, older = [], {}, "x", "x"
    for number in range(100):
        out = "y" if number == 99 else f"t{number}"
        if number == at:
            nodes.append(make.node("Double", last, out, domain="com.acme"))
        elif number % 4 == 0:
            weights[f"w{number}"] = np.linalg.qr(rng.standard_normal((4, 4)))[0].astype(np.float32)
            nodes.append(make.node("MatMul", f"{last} w{number}", out))
        elif number % 4 == 1:
            nodes.append(make.node("Add", f"{last} {older}", out))
            older = last
        else:
            nodes.append(make.node("LeakyRelu", last, out, alpha=0.5 + number % 4 / 10))
        last = out
    onnx.save(make.model(nodes, weights=weights, functions=[body], domains=["com.acme"]), path)
    return path


def plugin(folder: Path, body: str) -> Path:
    path = folder / "my_ops.py"
    path.write_text(f"import mconv\n@mconv.onnx_op('Double', domain='com.acme', since=1)\ndef double(ctx, x):\n{body}")
    return path


def reduced(tmp_path: Path, body: str, runtime: str, error: type[BaseException], **more: Any) -> Reduced:
    given = {
        "model": hundred(tmp_path / "m.onnx"), "out": tmp_path / "out", "plugins": [plugin(tmp_path, body)], "target": "2.3",
        "runtime": runtime,
    }  # fmt: skip
    failed = attempt(lambda: api.onnx2paddle(**given))
    assert isinstance(failed, error), failed
    return reduce_conversion(Onnx2Paddle, given, api.onnx2paddle, failed, tmp_path / "small", **more)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(WRONG, VerificationError, id="wrong numbers"),
        pytest.param(CRASH, RuntimeFailedError, id="signal", marks=pytest.mark.slow),
        pytest.param(DEFECT, KeyError, id="defect"),
    ],
)
def test_of_a_hundred_operators_the_one_at_fault_is_left(tmp_path: Path, body: str, error: type[BaseException]) -> None:
    require("paddle-2.3.2")
    found = reduced(tmp_path, body, "paddle-2.3.2", error)
    assert "Double" in found.operators and len(found.operators) <= 3 and found.before == 100
    assert found.fails and found.weights == "random" and found.tried < 40
    small = tmp_path / "small"
    again = attempt(
        lambda: api.onnx2paddle(
            small / "model" / "model.onnx", tmp_path / "again", plugins=[tmp_path / "my_ops.py"],
            feeds=small / "inputs.npz", runtime="paddle-2.3.2",
        )
    )  # fmt: skip
    assert again is not None and str(failure_of(again)) == found.failure
    if error is RuntimeFailedError:
        assert "SIGSEGV" in found.failure


def test_two_models_are_cut_at_the_same_tensors(tmp_path: Path) -> None:
    """``mconv verify A B --reduce``: Paddle against Paddle, of which one was edited wrongly."""
    require("paddle-2.3.2")
    plugin_ = plugin(tmp_path, WRONG.replace("3.0", "2.0"))
    right = api.onnx2paddle(hundred(tmp_path / "m.onnx"), tmp_path / "right", plugins=[plugin_], verify=False)
    folder = Path(right.output["folder"])
    wrong = tmp_path / "wrong"
    shutil.copytree(folder, wrong)
    program = Program.from_bytes((folder / "inference.pdmodel").read_bytes())
    bent = next(op for op in program.main.ops if op.type == "leaky_relu" and op.output_names == ["t71"])
    bent.set_attr("alpha", 0.1, AttrType.FLOAT)
    (wrong / "inference.pdmodel").write_bytes(program.to_bytes())
    for a in (folder, tmp_path / "m.onnx"):
        chosen = Verify(a, wrong, runtime="paddle-2.3.2")
        failed = attempt(lambda: require_same(verify(chosen)))
        assert isinstance(failed, VerificationError)
        found = reduce_pair(chosen, failed, tmp_path / f"small_{a.name}")
        assert [o.lower().replace("_", "") for o in found.operators] == ["leakyrelu"] and found.outputs == ["t71"]
        small = tmp_path / f"small_{a.name}"
        first = small / "a" / "model.onnx"
        assert not api.verify(first if first.exists() else small / "a", small / "b", feeds=small / "inputs.npz").ok


def test_weights_stay_where_they_are_asked_for(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    given = {"model": make.mlp(tmp_path / "m.onnx"), "out": tmp_path / "out"}
    error = VerificationError("planted")

    def call(**said: Any) -> None:
        raise VerificationError("planted")

    own = weights_of(tmp_path / "m.onnx")
    for keep in (False, True):
        out = tmp_path / f"small{keep}"
        found = reduce_conversion(Onnx2Paddle, given, call, error, out, keep_weights=keep)
        assert len(found.operators) == 1 and found.fails and found.weights == ("own" if keep else "random")
        for name, array in weights_of(out / "model" / "model.onnx").items():
            assert array.shape == own[name].shape and np.array_equal(array, own[name]) == keep


def test_nothing_is_left_of_where_it_was_made_nor_of_its_weights(tmp_path: Path) -> None:
    model = onnx.load(hundred(tmp_path / "m.onnx"))
    constant = model.functions[0].node[0].attribute[0]
    constant.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(np.full(4, 2.5, "float32"))))
    held = [model, model.graph, model.graph.node[0], model.functions[0], model.functions[0].node[1]]
    for item in (*held, model.graph.input[0], model.graph.initializer[0]):
        item.doc_string = "/home/somebody"
        if hasattr(item, "metadata_props"):
            helper.set_model_props(item, {"namespace": "/home/somebody"})
    onnx.save(model, tmp_path / "told.onnx")
    whole = open_source(tmp_path / "told.onnx")
    for random in (False, True):
        written = whole.write(Part(("x",), ("y",)), tmp_path / f"part{random}", random_weights=random)
        assert b"somebody" not in written.read_bytes()
        (function,) = onnx.load(written).functions
        held_there = numpy_helper.to_array(function.node[0].attribute[0].t)
        assert held_there.shape == (4,) and np.array_equal(held_there, np.full(4, 2.5)) == (not random)


def test_numbers_that_operators_hold_are_weights_too(tmp_path: Path) -> None:
    """Lists and sparse tensors of ONNX's ``Constant``, and what ``assign_value`` fills in a Paddle program."""
    kept = np.float32([2.5, 3.5, 4.5, 5.5])
    values = numpy_helper.from_array(kept, "sparse_values")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(4), "sparse_places"), [8])
    nodes = [
        helper.make_node("Constant", [], ["list"], value_floats=kept.tolist()),
        helper.make_node("Constant", [], ["few"], sparse_value=sparse),
        helper.make_node("Add", ["x", "list"], ["s"]),
        helper.make_node("Concat", ["s", "few"], ["y"], axis=0),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", 1, [4])], [info("y", 1, [12])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    whole = open_source(tmp_path / "m.onnx")
    for random in (False, True):
        written = whole.write(Part(("x",), ("y",)), tmp_path / f"onnx{random}", random_weights=random)
        assert written.read_bytes().count(kept[2].tobytes()) == (0 if random else 2)
    api.edit(case("2.3.2-mlp").model, tmp_path / "inside", weights="inside", verify=False)
    paddle = open_source(tmp_path / "inside")
    part = paddle.graph.whole()
    assert part is not None
    stored = {}
    for random in (False, True):
        written = paddle.write(part, tmp_path / f"paddle{random}", random_weights=random)
        ops = [op for op in files.load_program(files.locate(written)).main.ops if op.type == "assign_value"]
        stored[random] = [next(op.attr(n) for n in ("values", "fp32_values") if op.attr(n)) for op in ops]
    assert len(stored[True]) == len(stored[False]) > 0
    assert not any(a == b for a, b in zip(stored[True], stored[False]) if len(a) > 1)


def weights_of(path: Path) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_what_is_no_failure_of_the_model_alone_is_said(tmp_path: Path) -> None:
    given = {"model": make.mlp(tmp_path / "m.onnx"), "out": tmp_path / "out", "verify": False}
    with pytest.raises(UnsupportedError, match="by itself it does not fail so"):
        reduce_conversion(Onnx2Paddle, given, lambda **_: None, VerificationError("gone"), tmp_path / "small")
    assert not (tmp_path / "small").exists()


def chain(*kinds: str) -> Graph:
    """``x`` → one operator after the other."""
    steps = [Step(k, (f"t{i - 1}" if i else "x",), (f"t{i}",)) for i, k in enumerate(kinds)]
    names = [f"t{i}" for i in range(len(kinds))]
    return Graph(steps, ["x"], names[-1:], names, names)


@pytest.mark.parametrize(
    ("graph", "needed", "left"),
    [
        (chain(*"aaaaXaaa"), "X", "X"),
        (chain(*"XaaaaaaY"), "XY", "XaaaaaaY"),  # both are needed, with what is between
        (chain("X"), "X", "X"),
        (chain(*"aXYaaXYaX"), "XY", "XY"),
    ],
)  # fmt: skip
def test_nothing_can_be_taken_from_what_is_left(graph: Graph, needed: str, left: str) -> None:
    whole = graph.whole()
    assert whole is not None

    def fails(part: Part) -> bool:
        return needed in "".join(s.kind for s in graph.used(part)) or (
            set(needed) <= {s.kind for s in graph.used(part)} and "XY" not in "".join(s.kind for s in graph.steps)
        )

    part, tried = smallest(graph, whole, fails)
    assert "".join(s.kind for s in graph.used(part)) == left and tried <= 20


def test_a_branch_is_cut_off_and_tries_are_bounded() -> None:
    steps = [
        Step("a", ("x",), ("p",)), Step("b", ("x",), ("q",)), Step("X", ("p",), ("r",)), Step("c", ("q", "r"), ("s",)),
        Step("d", ("s",), ("y",)), Step("e", ("q",), ("z",)),
    ]  # fmt: skip
    names = [n for s in steps for n in s.writes]
    graph = Graph(steps, ["x"], ["y", "z"], names, names)
    whole = graph.whole()
    assert whole is not None
    part, _ = smallest(graph, whole, lambda p: "X" in [s.kind for s in graph.used(p)])
    assert part == Part(("p",), ("r",))
    assert smallest(graph, whole, lambda p: False, tries=3)[0] == whole
    # where nothing but the ends can be cut, nothing goes
    closed = Graph(steps, ["x"], ["y", "z"], [], [])
    assert [s.kind for s in closed.used(smallest(closed, whole, lambda p: True)[0])] == ["b", "e"]
