"""Small models that ask for endless work or memory: one line, in seconds, in little memory; or the conversion."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mconv import budget
from mconv.errors import MconvError
from mconv.onnx.convert import convert
from tests.measure import ends
from tests.onnx.make import model, node, port

MEGABYTES = 700
CASES: dict[str, Callable[[], onnx.ModelProto]] = {}
I64 = TensorProto.INT64


def case(name: str) -> Callable[[Callable[[], onnx.ModelProto]], None]:
    def keep(make: Callable[[], onnx.ModelProto]) -> None:
        CASES[name] = make

    return keep


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def one(
    op: str, inputs: str = "x", dims: Sequence[Any] = (2, 3), weights: Any = None, opset: int = 17, **attributes: Any
):
    return lambda: model([node(op, inputs, "y", **attributes)], [port("x", dims=dims)], weights=weights, opset=opset)


BIG = 1 << 40
for _op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
    CASES[f"a {_op} of 2^40"] = one(_op, "n", weights={"n": np.array(BIG)})
_MEL = {"m": np.array(1 << 30), "d": np.array(1 << 30), "r": np.array(16000), "l": np.float32(0), "u": np.float32(8000)}
CASES["a Mel matrix"] = one("MelWeightMatrix", "m d r l u", weights=_MEL)
CASES["a DFT"] = one("DFT", dims=[1, 200_000, 1], axis=1)
CASES["a DFT by its length"] = one("DFT", "x n", dims=[1, 8, 1], weights={"n": np.array(1 << 30)}, axis=1)
CASES["an STFT"] = one(
    "STFT",
    "x s w n",
    dims=[1, 1 << 30, 1],
    weights={"s": np.array(1), "n": np.array(1 << 30), "w": np.ones(4, np.float32)},
)
CASES["an AffineGrid"] = one("AffineGrid", "x n", dims=[1, 2, 3], weights={"n": ints(1, 1, 1 << 30, 1 << 30)}, opset=20)
CASES["a MaxPool with indices"] = lambda: model(
    [node("MaxPool", "x", "y z", kernel_shape=[2, 2], storage_order=1)],
    [port("x", dims=[1 << 30, 1, 5, 5])],
    [port("y", dims=None), port("z", I64, None)],
)
CASES["a MaxPool of 2^31 positions"] = lambda: model(
    [node("MaxPool", "x", "y z", kernel_shape=[30000, 30000], dilations=[2, 2])],
    [port("x", dims=[1, 1, 60000, 60000])],
    [port("y", dims=None), port("z", I64, None)],
)
CASES["a MaxPool of a large kernel"] = one("MaxPool", dims=[1, 1, "h", "w"], kernel_shape=[1 << 30, 1 << 30])
CASES["a Tile of 2^40"] = one("Tile", "x n", weights={"n": ints(BIG, BIG)})
CASES["a Tile of a constant"] = one("Tile", "c n", weights={"c": np.ones(60000, np.float32), "n": ints(1 << 30)})
CASES["an Expand of 2^40"] = one("Expand", "c n", weights={"c": np.ones(1, np.float32), "n": ints(BIG, 2)})
CASES["ConstantOfShape of 2^60"] = one("ConstantOfShape", "n", weights={"n": ints(1 << 30, 1 << 30)})
CASES["EyeLike of 2^31"] = one("EyeLike", dims=[(1 << 31) - 1, (1 << 31) - 1])
CASES["a Range of 2^40"] = one("Range", "a b c", weights={"a": ints(0)[0], "b": ints(BIG)[0], "c": ints(1)[0]})
CASES["a OneHot of 2^40"] = one("OneHot", "i d v", weights={"i": ints(0, 1), "d": ints(BIG), "v": np.float32([0, 1])})
CASES["GroupNormalization of 2^30 channels"] = one(
    "GroupNormalization", "x s b", dims=[1, 1 << 30, 2], opset=18, num_groups=1,
    weights={"s": np.ones(1, np.float32), "b": np.ones(1, np.float32)},
)  # fmt: skip
CASES["a Conv of constants"] = lambda: model(
    [node("Conv", "c w", "y", pads=[30000, 0, 30000, 0], strides=[60000, 1])],
    weights={"c": np.ones((1, 1, 250, 250), np.float32), "w": np.ones((250, 1, 250, 1), np.float32)},
)
CASES["a ConvTranspose"] = one(
    "ConvTranspose", "x w", dims=[1, 1, 3, 3], strides=[1 << 30, 1 << 30], weights={"w": np.ones((1, 1, 3, 3), np.float32)}
)  # fmt: skip
CASES["GatherND"] = one(
    "GatherND", "c i", weights={"c": np.ones((60000, 1), np.float32), "i": np.zeros((60000, 1), np.int64)}
)
CASES["a Resize to 2^40"] = one(
    "Resize", "x r r n", dims=[1, 1, 2, 2], weights={"r": np.float32([]), "n": ints(1, 1, BIG, 9)}
)
CASES["a Resize by 2^30"] = one("Resize", "x r s", dims=[1, 1, 2, 2], weights={"r": np.float32([]), "s": np.float32([1, 1, 2.0**30, 2])},
                                mode="cubic")  # fmt: skip
CASES["a Resize with an endless reach"] = one(
    "Resize", "x r s", dims=[1, 1, 9, 9], opset=18, mode="cubic", antialias=1,
    weights={"r": np.float32([]), "s": np.float32([1, 1, 1e-30, 1e-30])},
)  # fmt: skip
CASES["RoiAlign with 2^30 samples"] = lambda: model(
    [node("RoiAlign", "x r b", "y", sampling_ratio=1 << 30, mode="max", output_height=4, output_width=4)],
    [port("x", dims=[1, 1, 9, 9]), port("r", dims=["n", 4]), port("b", I64, ["n"])],
)
CASES["SpaceToDepth of 2^20"] = one("SpaceToDepth", dims=[1, 1, "h", "w"], blocksize=1 << 20)
CASES["DepthToSpace of 2^30 channels"] = one("DepthToSpace", dims=[1, 1 << 30, "h", "w"], blocksize=2, mode="CRD")
CASES["an LSTM of 2^30"] = lambda: model(
    [node("LSTM", "x w r", "y", hidden_size=1 << 30)],
    [port("x", dims=[3, 1, 4]), port("w", dims=[1, 4 << 30, 4]), port("r", dims=[1, 4 << 30, 1 << 30])],
)
CASES["a Split into 2^30"] = one("Split", dims=[1 << 30], opset=18, num_outputs=1 << 30)
CASES["a sequence of 2^30"] = one("SplitToSequence", dims=[1 << 30], axis=0)
CASES["Col2Im"] = one(
    "Col2Im", "x i b", dims=[1, 4, 4], opset=18, weights={"i": ints(1 << 30, 1 << 30), "b": ints(2, 2)}
)
CASES["a pad of 2^40"] = one("Pad", "c p", weights={"c": np.ones(2, np.float32), "p": ints(BIG, BIG)})


@case("a shape that is squared seventy times")
def _squared() -> onnx.ModelProto:
    nodes = [node("Shape", "x", "s0")]
    nodes += [node("Mul", f"s{i} s{i}", f"s{i + 1}") for i in range(70)]
    return model([*nodes, node("ConstantOfShape", "s70", "y")], [port("x", dims=["n", 4])])


@case("products of symbolic sizes")
def _products() -> onnx.ModelProto:
    nodes = [node("Shape", "x", "s0")]
    for i in range(40):
        nodes += [node("Add", f"s{i} one", f"a{i}"), node("Mul", f"a{i} s{i}", f"s{i + 1}")]
    return model([*nodes, node("ConstantOfShape", "s40", "y")], [port("x", dims=["n", "m"])], weights={"one": ints(1)})


@case("sparse constants")
def _sparse() -> onnx.ModelProto:
    values = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    sparse = helper.make_sparse_tensor(values, helper.make_tensor("i", I64, [1], [0]), [1 << 20, 1 << 20])
    return model([node("Constant", "", "c", sparse_value=sparse), node("Add", "x c", "y")])


def nested(depth: int, width: int) -> onnx.GraphProto:
    """Ifs in the branches of an If."""
    name = f"b{depth}"
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    if not depth:
        return helper.make_graph([helper.make_node("Relu", ["x"], [name])], "g", [], [output])
    inner = [nested(depth - 1, width) for _ in range(2)]
    made = helper.make_node("If", ["c"], [name], then_branch=inner[0], else_branch=inner[1])
    return helper.make_graph([made], "g", [], [output])


@case("2^10 nested Ifs")
def _nested() -> onnx.ModelProto:
    graph = nested(10, 2)
    graph.output[0].name = "b10"
    return model([graph.node[0]], [port("x"), port("c", TensorProto.BOOL, [])], [port("b10", dims=None)])


def tiled() -> onnx.ModelProto:
    nodes = [node("Tile", f"t{i} n", f"t{i + 1}") for i in range(61)]
    return model([node("Identity", "x", "t0"), *nodes], [port("x", dims=[2, 3])], [port("t61", dims=None)],
                 weights={"n": ints(1000, 1)})  # fmt: skip


def a_tree_of_ifs() -> onnx.ModelProto:
    graph = nested(12, 2)
    return model([graph.node[0]], [port("x"), port("c", TensorProto.BOOL, [])], [port("b12", dims=None)])


CASES["a chain of Tiles"] = tiled
CASES["2^12 nested Ifs"] = a_tree_of_ifs


@case("loops in loops that are written out")
def _unrolled() -> onnx.ModelProto:
    def body(depth: int) -> onnx.GraphProto:
        i, go, a = f"i{depth}", f"go{depth}", f"a{depth}"
        inside = [node("Add", f"{a} {a}", f"r{depth}")] if not depth else [
            helper.make_node("Loop", ["turns", "", a], [f"r{depth}"], body=body(depth - 1))
        ]  # fmt: skip
        nodes = [*inside, node("Identity", go, f"go_on{depth}")]
        ports = [port(i, I64, []), port(go, TensorProto.BOOL, []), port(a, dims=[3])]
        return helper.make_graph(
            nodes, "g", ports, [port(f"go_on{depth}", TensorProto.BOOL, []), port(f"r{depth}", dims=[3])]
        )

    made = helper.make_node("Loop", ["turns", "", "x"], ["y"], body=body(5))
    return model([made], [port("x", dims=[3])], weights={"turns": np.array(32)})


@case("a function that doubles")
def _doubles() -> onnx.ModelProto:
    functions = []
    for i in range(14):
        inner = "Relu" if not i else f"f{i - 1}"
        domain = "own" if i else ""
        body = [helper.make_node(inner, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{i}", ["a"], ["c"], body, opsets))
    return model([node("f13", "x", "y", domain="own")], domains=["own"], functions=functions)


@case("5,000 functions in a chain")
def _chain() -> onnx.ModelProto:
    functions = []
    for i in range(5000):
        body = [helper.make_node(f"f{i + 1}" if i < 4999 else "Relu", ["a"], ["b"], domain="own" if i < 4999 else "")]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{i}", ["a"], ["b"], body, opsets))
    return model([node("f0", "x", "y", domain="own")], domains=["own"], functions=functions)


@case("a tensor of 300 dimensions")
def _dimensions() -> onnx.ModelProto:
    return model([node("Add", "x w", "y")], tensors=[helper.make_tensor("w", TensorProto.FLOAT, [1] * 300, [1.0])])


CASES["300 dimensions by Unsqueeze"] = one("Unsqueeze", "x n", weights={"n": np.arange(300)})
CASES["300 dimensions by Reshape"] = one("Reshape", "x n", weights={"n": np.ones(300, np.int64)})
CASES["an Einsum of 10,000 letters"] = one("Einsum", "x x", equation="ab,bc->" + "ad" * 5000)


def outcome(name: str, folder: Path) -> tuple[str, float, float]:
    """What came of a conversion in a forked process: the error's class and message, seconds and megabytes."""
    path = folder / "m.onnx"
    path.write_bytes(CASES[name]().SerializeToString())
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with budget.command():
                made = convert(path)
                text = f"converted {len(made.params)}"
        except MconvError as e:
            text = f"{type(e).__name__} {e.message}"
        except BaseException as e:  # noqa: BLE001 - the finding
            text = f"BUG {type(e).__name__} {e}"
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(write, f"{used / 1024} {text}".encode()[:60000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the process died: {status}"
    megabytes, text = said.split(" ", 1)
    return text, float(megabytes)


# what takes seconds of a processor each
LONG = {"2^12 nested Ifs", "SpaceToDepth of 2^20"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] if n in LONG else []) for n in CASES])
def test_a_model_that_asks_for_too_much(name: str, tmp_path: Path) -> None:
    with ends():
        text, megabytes = outcome(name, tmp_path)
    assert not text.startswith("BUG"), text
    assert megabytes < MEGABYTES, (text, megabytes)
    assert "\n" not in text and len(text) < 1000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a chain of Tiles", "(Tile): a tensor of more than 2^60"),
        pytest.param("2^12 nested Ifs", "(If): ", marks=pytest.mark.long),
    ],
)
def test_is_beyond_the_limit(name: str, said: str, tmp_path: Path) -> None:
    text, _ = outcome(name, tmp_path)
    assert text.startswith("LimitError node ") and said in text


def test_weights_in_parts_are_joined(tmp_path: Path) -> None:
    """An LSTM's gates, joined by the graph as PyTorch's exporter leaves them: work of their sizes, not of their pairs."""
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {"axes": ints(0)}
    nodes = []
    for layer in "ab":
        parts = {f"{layer}{i}": (1, rows, 128) for i, rows in enumerate((128, 128, 256))}
        weights.update({n: rng.standard_normal(shape).astype(np.float32) for n, shape in parts.items()})
        w, t, y = f"w_{layer}", f"t_{layer}", f"y_{layer}"
        nodes += [
            node("Concat", " ".join(parts), w, axis=1),
            node("Squeeze", f"{w} axes", t),
            node("Gemm", f"x {t}", y, transB=1),
        ]
    nodes.append(node("Add", "y_a y_b", "y"))
    onnx.save(model(nodes, [port("x", dims=["n", 128])], weights=weights), tmp_path / "m.onnx")
    converted = convert(tmp_path / "m.onnx")
    assert "concat" not in {op.type for _, op in converted.program.ops()}
