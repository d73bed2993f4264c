"""What exporters take apart is put together again, in every way they write it, and computes the same."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import helper

from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program.targets import PADDLE_2_3
from tests.onnx.checks import Runtime, check_model, everywhere, graph_model, rand

WIDTH = 16
CONSTANTS = {
    "half": 0.5, "one": 1.0, "two": 2.0, "three": 3.0, "six": 6.0, "sixth": 1 / 6, "zero": 0.0, "eps": 1e-5,
    "root2": math.sqrt(2), "invroot2": 1 / math.sqrt(2), "c": 0.044715, "k": math.sqrt(2 / math.pi), "s": 0.5,
}  # fmt: skip
VECTORS = {"square": rand(WIDTH, WIDTH, seed=5), "w": rand(WIDTH, low=0.5, high=1.5, seed=3), "v": rand(WIDTH, seed=4)}
SETS = [{"x": rand(2, 3, WIDTH, high=5.0, seed=1)}, {"x": rand(1, 5, WIDTH, seed=2)}]

# what it is → (the operators that must be there, those that must not) and the ways to write it. A way is lines of
# "result = Operator inputs…"; the last one gives y.
_MEAN = "m = ReduceMean x axes=-1; d = Sub x m; "
WAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "layer_norm": (
        ("layer_norm",),
        ("reduce_mean", "elementwise_add", "sqrt"),
        (
            _MEAN + "p = Pow d two; q = ReduceMean p axes=-1; e = Add q eps; r = Sqrt e; n = Div d r; t = Mul n w; y = Add t v",
            _MEAN + "p = Mul d d; q = ReduceMean p axes=-1; e = Add eps q; r = Sqrt e; n = Div d r; t = Mul w n; y = Add v t",
            _MEAN + "p = Mul d d; q = ReduceMean p axes=-1; e = Add q eps; r = Sqrt e; i = Reciprocal r; n = Mul d i; t = Mul n w; y = Add t v",
            _MEAN + "p = Mul d d; q = ReduceMean p axes=-1; e = Add q eps; r = Sqrt e; y = Div d r",
            # as the first BERT exports compute the difference: once for each use
            "m = ReduceMean x axes=-1; d = Sub x m; f = Sub x m; p = Pow f two; q = ReduceMean p axes=-1; e = Add q eps; "
            "r = Sqrt e; n = Div d r; t = Mul n w; y = Add t v",
        ),
    ),
    "gelu": (
        ("gelu",),
        ("erf",),
        (
            "d = Div x root2; e = Erf d; a = Add e one; m = Mul x a; y = Mul m half",
            "d = Mul x invroot2; e = Erf d; a = Add one e; h = Mul x half; y = Mul h a",
            "d = Div x root2; e = Erf d; a = Add e one; m = Mul half a; y = Mul x m",
        ),
    ),
    "gelu (tanh)": (
        ("gelu",),
        ("tanh",),
        (
            "p = Pow x three; q = Mul p c; a = Add x q; b = Mul a k; t = Tanh b; o = Add t one; h = Mul x half; y = Mul h o",
            # the half of a gated unit, as in FLAN-T5: more is multiplied to it
            "p = Pow x three; q = Mul p c; a = Add x q; b = Mul a k; t = Tanh b; o = Add t one; h = Mul x half; g = Mul h o; "
            "y = Mul g w",
            "s2 = Mul x x; s3 = Mul s2 x; q = Mul c s3; a = Add x q; b = Mul k a; t = Tanh b; o = Add one t; m = Mul x o; y = Mul half m",
        ),
    ),
    "swish": (("swish",), ("sigmoid",), ("s1 = Sigmoid x; y = Mul x s1", "s1 = Sigmoid x; y = Mul s1 x")),
    "hard_swish": (
        ("hard_swish",),
        ("hard_sigmoid", "clip", "relu6"),
        (
            "h = HardSigmoid x alpha=0.16666667 beta=0.5; y = Mul x h",
            "a = Add x three; b = Clip a zero six; m = Mul x b; y = Div m six",
            "a = Add x three; b = Clip a zero six; d = Div b six; y = Mul x d",
            "a = Add x three; b = Clip a zero six; m = Mul b sixth; y = Mul m x",
        ),
    ),
    "mish": (("mish",), ("softplus", "tanh"), ("p = Softplus x; t = Tanh p; y = Mul x t", "p = Softplus x; t = Tanh p; y = Mul t x")),
}  # fmt: skip
CASES = [pytest.param(kind, way, id=f"{kind}-{i}") for kind, (_, _, ways) in WAYS.items() for i, way in enumerate(ways)]


def written(way: str) -> onnx.ModelProto:
    nodes = []
    for line in way.split(";"):
        result, _, rest = line.strip().partition(" = ")
        op, *parts = rest.split()
        attrs = dict(p.split("=") for p in parts if "=" in p)
        values = {k: [int(v)] if k == "axes" else float(v) for k, v in attrs.items()}
        nodes.append(helper.make_node(op, [p for p in parts if "=" not in p], [result], **values))
    used = {i for n in nodes for i in n.input}
    constants = {n: np.array(v, np.float32) for n, v in CONSTANTS.items()} | VECTORS
    return graph_model(
        nodes, {"x": [s["x"] for s in SETS]}, ["y"], constants={n: v for n, v in constants.items() if n in used},
        opsets=[helper.make_opsetid("", 17)],
    )  # fmt: skip


@everywhere
@pytest.mark.parametrize(("kind", "way"), CASES)
def test_put_together(kind: str, way: str, runtime: Runtime) -> None:
    wanted, gone, _ = WAYS[kind]
    made = check_model(runtime, written(way), SETS)
    operators = Counter(op.type for op in made.program.main.ops)
    assert operators["feed"] == operators["fetch"] == 1
    assert all(operators[op] == 1 for op in wanted) and not any(operators[op] for op in gone), operators
    assert made.fused == {wanted[0]: 1}


@pytest.mark.parametrize(
    "way",
    [
        "d = Div x root2; e = Erf d; a = Add e two; m = Mul x a; y = Mul m half",
        "d = Div x two; e = Erf d; a = Add e one; m = Mul x a; y = Mul m half",
        "p = Pow x three; q = Mul p k; a = Add x q; b = Mul a k; t = Tanh b; o = Add t one; h = Mul x half; y = Mul h o",
        "a = Add x two; b = Clip a zero six; m = Mul x b; y = Div m six",
        "h = HardSigmoid x alpha=0.2 beta=0.5; y = Mul x h",
        "m = ReduceMean x axes=-2; d = Sub x m; p = Mul d d; q = ReduceMean p axes=-2; e = Add q eps; r = Sqrt e; y = Div d r",
        "m = ReduceMean x axes=-1; d = Sub x m; p = Mul x x; q = ReduceMean p axes=-1; e = Add q eps; r = Sqrt e; y = Div d r",
        "m = ReduceMean x axes=-1; d = Sub x m; p = Mul d d; q = ReduceMean p axes=-1; e = Add q one; r = Sqrt e; y = Div d r",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(way: str) -> None:
    """Another constant, another axis, another input: the pieces stay, and are right."""
    from tests.onnx.checks import CURRENT

    assert not check_model(CURRENT, written(way), SETS).fused


@everywhere
def test_a_piece_that_something_else_reads_stays(runtime: Runtime) -> None:
    model = written("s1 = Sigmoid x; y = Mul x s1")
    model.graph.output.append(helper.make_tensor_value_info("s1", 1, None))
    made = check_model(runtime, model, SETS)
    assert "sigmoid" in {op.type for op in made.program.main.ops} and not made.fused


@everywhere
@pytest.mark.parametrize("also", ["b = Tanh p", "b = Add p v"])
@pytest.mark.parametrize("shift", ["s1 = Mul p half", "s0 = Mul p half; s1 = Add s0 one"])
def test_a_product_that_is_scaled_and_read_otherwise_too(runtime: Runtime, also: str, shift: str) -> None:
    """Paddle's own pass would move the factor into the product, and take it away from its other readers."""
    model = written(f"p = MatMul x square; {shift}; {also}; y = Add s1 b")
    check_model(runtime, model, SETS)


@everywhere
@pytest.mark.parametrize(
    "way",
    [
        "p = MatMul x square; a = Mul p half; q = MatMul a square; b = Mul q half; y = Add a b",
        "t = Tanh x; p = MatMul x square; a = Mul p half; q = MatMul t square; y = Add a q",
        "p = MatMul x square; a = Mul p half; b = Add square one; q = MatMul a b; y = Tanh q",
    ],
    ids=["both scaled", "one scaled", "read otherwise"],
)
def test_a_weight_of_several_products_of_which_one_is_scaled(runtime: Runtime, way: str) -> None:
    """Paddle's own pass would multiply the weight, for all that read it (PEGASUS-X: queries of tokens and of globals)."""
    check_model(runtime, written(way), SETS)


@everywhere
@pytest.mark.parametrize(
    ("axes", "keep", "pooled"), [([2, 3], 1, True), ([-1, -2], 1, True), ([2, 3], 0, False), ([1, 2], 1, False)]
)
def test_the_mean_of_a_plane_is_pooling(runtime: Runtime, axes: list[int], keep: int, pooled: bool) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("ReduceMean", ["c"], ["m"], axes=axes, keepdims=keep),
    ]
    nodes.append(helper.make_node("Relu", ["m"], ["y"]))
    sets = [{"x": rand(2, 3, 6, 5, seed=1)}, {"x": rand(1, 3, 9, 4, seed=2)}]
    opset = [helper.make_opsetid("", 17)]  # the last with axes as an attribute
    inputs, constants = {"x": [s["x"] for s in sets]}, {"w": rand(4, 3, 2, 2, seed=3)}
    made = check_model(runtime, graph_model(nodes, inputs, ["y"], opsets=opset, constants=constants), sets)
    types = [op.type for op in made.program.main.ops]
    assert ("pool2d" in types) == pooled and ("reduce_mean" in types) != pooled
    # a reduction behind a convolution reads a copy in Paddle 2.3; pooling reads what the convolution gives
    assert not pooled or "assign" not in types


@everywhere
def test_attention_scaling(runtime: Runtime) -> None:
    """Both operands scaled by √s, as scaled_dot_product_attention is exported: one scale is left."""
    nodes = [
        helper.make_node("Mul", ["q", "r"], ["q1"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("Mul", ["kt", "r"], ["k1"]),
        helper.make_node("MatMul", ["q1", "k1"], ["y"]),
    ]
    sets = [{"q": rand(b, 2, n, 8, seed=1), "k": rand(b, 2, n, 8, seed=2)} for b, n in ((1, 3), (2, 5))]
    constants = {"r": np.array(8**-0.25, np.float32)}
    model = graph_model(nodes, {n: [s[n] for s in sets] for n in "qk"}, ["y"], constants=constants)
    made = check_model(runtime, model, sets)
    (scale,) = [op for op in made.program.main.ops if op.type == "scale"]
    assert scale.attr("scale") == pytest.approx(8**-0.5) and made.fused == {"scale": 1}


@everywhere
@pytest.mark.parametrize("way", ["i = Reciprocal r; n = Mul x i", "n = Div x r"])
def test_rms_norm_is_few_operators(runtime: Runtime, way: str) -> None:
    """Paddle has no operator for it that every release of a target loads: it is said in seven at most."""
    made = check_model(runtime, written(f"p = Pow x two; q = ReduceMean p axes=-1; e = Add q eps; r = Sqrt e; {way}; y = Mul n w"), SETS)  # fmt: skip
    kinds = [op.type for op in made.program.main.ops if op.type not in ("feed", "fetch")]
    assert len(kinds) <= 7 and set(kinds) <= {
        "square", "pow", "reduce_mean", "scale", "sqrt", "rsqrt", "reciprocal", "elementwise_div", "elementwise_mul",
    }, kinds  # fmt: skip


@pytest.mark.parametrize("bias", [False, True])
def test_batch_norm_stays_behind_its_convolution(bias: bool) -> None:
    """Paddle's own pass folds the pair: it wants them next to each other, the statistics written back in place."""
    weights = {"k": rand(4, 3, 3, 3), "b": rand(4)} | {
        n: rand(4, low=0.5, high=1.5, seed=i) for i, n in enumerate(("scale", "shift", "mean", "var"))
    }
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"][: 3 if bias else 2], ["c"]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    used = {i for n in nodes for i in n.input}
    model = graph_model(
        nodes, {"x": [rand(n, 3, 8, 8) for n in (1, 2)]}, ["y"], constants={n: v for n, v in weights.items() if n in used}
    )  # fmt: skip
    ops = [op for op in convert(OnnxModel(model), PADDLE_2_3).program.main.ops if op.type not in ("feed", "fetch")]
    kinds = [op.type for op in ops]
    assert kinds == ["conv2d", *["elementwise_add"] * bias, "batch_norm", "relu"]
    norm = ops[-2]
    assert norm.input("X") == ops[-3].output(("Output", "Out")[bias])
    assert norm.input("Mean") == norm.output("MeanOut") and norm.input("Variance") == norm.output("VarianceOut")
    if bias:
        assert ops[1].attr("axis") == 1


@everywhere
@pytest.mark.parametrize(
    ("sizes", "perm", "squeezed"),
    [
        ([0, 4, -1], [0, 2, 1], True),
        ([-1, 4, 8], [0, 2, 1], True),
        ([0, 8, 4], [0, 2, 1], False),
        ([0, 4, -1], None, False),
    ],
)
def test_a_reshape_that_drops_ones_in_front_of_a_transpose(
    runtime: Runtime, sizes: list[int], perm: list[int], squeezed: bool
) -> None:
    """[n, 4, 1, 8] as [n, 4, 8]: what Paddle writes as a squeeze, and its passes know as one."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Reshape", ["c", "sizes"], ["r"])]
    nodes.append(
        helper.make_node("Transpose", ["r"], ["t"], perm=perm) if perm else helper.make_node("Relu", ["r"], ["t"])
    )
    nodes.append(helper.make_node("Relu", ["t"], ["y"]))
    sets = [{"x": rand(n, 3, 2, 9, seed=n)} for n in (2, 1)]
    constants = {"w": rand(4, 3, 2, 2, seed=3), "sizes": np.array(sizes, np.int64)}
    made = check_model(runtime, graph_model(nodes, {"x": [s["x"] for s in sets]}, ["y"], constants=constants), sets)
    assert ("squeeze2" in {op.type for op in made.program.main.ops}) == squeezed
