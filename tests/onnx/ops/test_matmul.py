"""Matrix products, Einstein sums and losses."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
from onnx import helper, numpy_helper

from mconv.emit import matmul, transpose, unary
from mconv.emit.einsum import einsum
from mconv.errors import UnsupportedError
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_3
from tests.onnx.checks import (
    CURRENT,
    ONEDNN,
    PADDLE_23,
    Runtime,
    check_model,
    check_op,
    everywhere,
    graph_model,
    in_runtimes,
    ints,
    rand,
)


@everywhere
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3), (3, 4), (5, 3), (3, 4)),
        ((3,), (3,), (3,), (3,)),
        ((3,), (3, 4), (3,), (3, 6)),
        ((2, 3), (3,), (5, 3), (3,)),
        ((2, 1, 3, 4), (5, 4, 2), (7, 1, 3, 4), (5, 4, 2)),
        ((3, 4), (2, 4, 5), (3, 4), (6, 4, 5)),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.int32])
def test_matmul(runtime: Runtime, shapes: tuple, dtype: type) -> None:
    a, b, c, d = (rand(*s, dtype=dtype, high=9, seed=i) for i, s in enumerate(shapes))
    check_op(runtime, "MatMul", [a, b], [c, d], expected=[[np.matmul(a, b)], [np.matmul(c, d)]])


@everywhere
@pytest.mark.parametrize("trans", [(0, 0), (1, 0), (0, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("bias", [(), (4,), (1, 4), None], ids=str)
@pytest.mark.parametrize("const", [True, False], ids=["const", "input"])
def test_gemm(runtime: Runtime, trans: tuple, bias: tuple, const: bool) -> None:
    ws = rand(*((4, 3) if trans[1] else (3, 4)), seed=1)
    c = [] if bias is None else [rand(*bias, seed=2)]
    sets = [[rand(*((3, n) if trans[0] else (n, 3))), ws, *c] for n in (2, 5)]
    check_op(
        runtime,
        "Gemm",
        *sets,
        transA=trans[0],
        transB=trans[1],
        alpha=0.5,
        beta=2.0,
        const=[1, 2] if const and c else [],
    )


@everywhere
@pytest.mark.parametrize("how", [{}, {"alpha": 0.5}, {"beta": 2.0}, {"transB": 1, "alpha": 2.0}], ids=str)
def test_gemm_in_double_precision(runtime: Runtime, how: dict) -> None:
    w, c = rand(4, 4, dtype=np.float64, seed=1), rand(4, dtype=np.float64, seed=2)
    check_op(
        runtime, "Gemm", [rand(3, 4, dtype=np.float64), w, c], [rand(2, 4, dtype=np.float64), w, c], const=[1, 2], **how
    )


@everywhere
@pytest.mark.parametrize("inner", [(1, 1), (1, 4)], ids=["one", "may-be-one"])
@pytest.mark.parametrize(("view", "rows"), [("gemm", 33), ("transposed", 34), ("reshaped", 35)])
def test_one_product_per_element(runtime: Runtime, inner: tuple, view: str, rows: int) -> None:
    """A right operand of one row, as a column in memory: Paddle 3.3.1's oneDNN (3.6.2) reads what lies behind it.

    It keeps what it prepares for a size, right or wrong: each case has its own.
    """
    rows += 10 * len(set(inner))
    lead = () if view == "gemm" else (2, 3)
    x = [rand(*lead, 5, k) for k in inner]
    y = [rand(*lead, rows, k, seed=1) for k in inner]
    expected = [[a @ np.swapaxes(b, -1, -2)] for a, b in zip(x, y)]
    nodes = [helper.make_node("Gemm", ["x", "y"], ["z"], transB=1)]
    if view != "gemm":
        nodes = [helper.make_node("Transpose", ["y"], ["t"], perm=[0, 1, 3, 2])]
        nodes += [helper.make_node("MatMul", ["x", "t"], ["z"])]
    if view == "reshaped":  # which the passes fuse with the product
        nodes = [helper.make_node("Reshape", ["flat", "shape"], ["y"]), *nodes]
    feeds = [{"x": a, **({"flat": b.reshape(6, rows, -1)} if view == "reshaped" else {"y": b})} for a, b in zip(x, y)]
    inputs = {name: [feed[name] for feed in feeds] for name in feeds[0]}
    constants = {"shape": np.array([2, 3, rows, -1])} if view == "reshaped" else {}
    check_model(runtime, graph_model(nodes, inputs, ["z"], constants=constants), feeds, expected)


@in_runtimes(CURRENT, PADDLE_23)
@pytest.mark.parametrize("opset", [1, 6])
def test_gemm_before_opset_7(runtime: Runtime, opset: int) -> None:
    a, b, c = rand(2, 3), rand(3, 4, seed=1), rand(4, seed=2)
    check_op(runtime, "Gemm", [a, b, c], opset=opset, broadcast=1, expected=[[a @ b + c]])


@everywhere
@pytest.mark.parametrize(
    "equation, shapes, more",
    [
        ("ij,jk->ik", [(2, 3), (3, 4)], [(5, 3), (3, 4)]),
        ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], [(6, 3, 4), (6, 4, 5)]),
        ("bhid,bhjd->bhij", [(2, 2, 3, 4), (2, 2, 5, 4)], [(3, 2, 7, 4), (3, 2, 8, 4)]),
        ("...ij,...jk->...ik", [(2, 5, 3, 4), (2, 5, 4, 2)], [(3, 5, 3, 4), (3, 5, 4, 2)]),
        ("i,j", [(3,), (4,)], [(5,), (4,)]),
        ("i,i", [(3,), (3,)], [(5,), (5,)]),
        ("ij->ji", [(2, 3)], [(5, 3)]),
        ("ij->", [(2, 3)], [(5, 3)]),
        ("ii->i", [(3, 3)], [(3, 3)]),
        ("ii", [(3, 3)], [(3, 3)]),
        ("...ii->...i", [(2, 3, 3)], [(4, 3, 3)]),
        ("ba", [(2, 3)], [(5, 3)]),
        ("bn,anm,bm->ba", [(2, 3), (4, 3, 5), (2, 5)], [(6, 3), (4, 3, 5), (6, 5)]),
        ("ijk,jil->kl", [(2, 3, 4), (3, 2, 5)], [(2, 3, 6), (3, 2, 5)]),
        ("bhwc,hkc->bhwk", [(2, 3, 4, 5), (3, 6, 5)], [(7, 3, 4, 5), (3, 6, 5)]),
        ("ab,cd->acbd", [(2, 3), (4, 5)], [(2, 6), (4, 5)]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_einsum(runtime: Runtime, equation: str, shapes: list, more: list) -> None:
    sets = [[rand(*s, seed=i) for i, s in enumerate(group)] for group in (shapes, more)]
    check_op(
        runtime, "Einsum", *sets, equation=equation, expected=[[np.asarray(np.einsum(equation, *s))] for s in sets]
    )


@pytest.mark.parametrize(
    "equation, reason",
    [("ijk->k", "does not fit"), ("ij->k", "not made of"), ("ij,j", "2 operands"), ("i-", "no equation")],
)
def test_einsum_that_makes_no_sense(equation: str, reason: str) -> None:
    # not through a model: ONNX's own shape inference crashes on some of these
    b = Builder(PADDLE_3)
    x = b.feed("x", DType.FP32, (2, 3))
    with pytest.raises(UnsupportedError, match=reason):
        einsum(b, equation, [x])


# behind a convolution, whose elements lie in blocks where oneDNN computes --------------------------------------------

BETWEEN: dict[str, str] = {
    "nothing": "a = Identity(c)",
    "relu": "a = Relu(c)",
    "transposed": "a = Transpose<perm = [0, 1, 3, 2]>(c)",
    "heads": "s = Constant<value_ints: ints = [0, 2, -1, 4]>() d = Reshape(c, s) a = Transpose<perm = [0, 1, 3, 2]>(d)",
    "joined": "a = Concat<axis = 1>(c, c)",
    "split": "a, rest = Split<axis = 1, num_outputs = 2>(c)",
    "softmax": "a = Softmax(c)",
    "resized": 'f = Constant<value_floats: floats = [1.0, 1.0, 2.0, 1.0]>() a = Resize<mode = "nearest">(c, , f)',
    "pooled": "a = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(c)",
    "normalised": "g = Constant<value: tensor = float[4] {1, 2, 3, 4}>() a = LayerNormalization(c, g)",
    "of channels": "a = LRN<size = 3>(c)",
    "a sum": "g = Constant<value: tensor = float[4] {1, 2, 3, 4}>() a = Add(c, g)",
    "repeated": "s = Constant<value_ints: ints = [1, 3, 1, 1]>() m = Constant<value_ints: ints = [1]>() h = ReduceMax(c, m) a = Expand(h, s)",
}  # fmt: skip


@in_runtimes(*ONEDNN)
@pytest.mark.parametrize("between", BETWEEN.values(), ids=list(BETWEEN))
def test_products_behind_a_convolution(runtime: Runtime, between: str) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 9, opset_import: ["" : 18]>
        g (float[n, 3, 4, 4] x, float[8, 3, 1, 1] w) => (float[n, p, q, r] y, float[n, p, q, s] z, float[n, p, t, u] v) {{
          c = Conv(x, w) {between} b = Transpose<perm = [0, 1, 3, 2]>(a)
          y = MatMul(b, a) z = MatMul(a, b) o = Neg(b) v = MatMul(o, a) }}""")
    model.graph.input.pop()
    model.graph.initializer.append(numpy_helper.from_array(rand(8, 3, 1, 1, seed=1), "w"))
    check_model(runtime, model, [{"x": rand(n, 3, 4, 4)} for n in (1, 3)])


@in_runtimes(CURRENT, *ONEDNN[:1])
@pytest.mark.parametrize("batch", ["", "n, 2, "])
def test_the_products_of_two_both_ways(runtime: Runtime, batch: str) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 9, opset_import: ["" : 18]>
        g (float[{batch}4, 4] x) => (float[{batch}4, 4] y, float[{batch}4, 4] z) {{
          a = Sin(x) b = Cos(x) y = MatMul(b, a) z = MatMul(a, b) }}""")
    check_model(runtime, model, [{"x": rand(*((n, 2) if batch else ()), 4, 4)} for n in (1, 3)])


def test_a_product_behind_something_else_is_not_copied() -> None:
    """So that what Paddle fuses around attention stays as it is."""
    b = Builder(PADDLE_3)
    x = b.feed("x", DType.FP32, (2, 3, 4, 4))
    q = matmul(b, x, x)
    matmul(b, q, transpose(b, unary(b, "relu", q), [0, 1, 3, 2]))
    assert "assign" not in [op.type for op in b.block.ops]


# losses ----------------------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("op", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", [None, 1, -1], ids=str)
@pytest.mark.parametrize("more", [(), (2, 3)], ids=str)
def test_losses(runtime: Runtime, op: str, reduction: str, weighted: bool, ignore: int, more: tuple) -> None:
    sets = []
    for n in (3, 5):
        labels = ints(n, *more, low=0, high=3)
        if ignore == -1:
            labels[0] = -1
        sets.append([rand(n, 4, *more), labels, *([rand(4, low=0.1, seed=1)] if weighted else [])])
    given = {} if ignore is None else {"ignore_index": ignore}
    check_op(runtime, op, *sets, reduction=reduction, types=[1], **given)


@everywhere
def test_loss_with_log_probabilities(runtime: Runtime) -> None:
    sets = [[rand(n, 4, 2), ints(n, 2, low=0, high=3)] for n in (3, 5)]
    check_op(runtime, "SoftmaxCrossEntropyLoss", *sets, outputs=2)


@in_runtimes(*ONEDNN)
@pytest.mark.parametrize("kind", ["Max", "Mean", "Min", "Sum"])
@pytest.mark.parametrize("axes, sizes", [("1", "1, 3, 1, 1"), ("2", "1, 1, 4, 1"), ("2, 3", "1, 1, 4, 4")])
@pytest.mark.parametrize("channels", [8, 16])
def test_repeated_reductions_behind_a_convolution(
    runtime: Runtime, kind: str, axes: str, sizes: str, channels: int
) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 9, opset_import: ["" : 18]>
        g (float[n, 3, 4, 4] x, float[{channels}, 3, 1, 1] w) => (float[n, p, q, r] y, float[n, t, u, v] z) {{
          s = Constant<value_ints: ints = [{sizes}]>() a = Constant<value_ints: ints = [{axes}]>()
          c = Conv(x, w) h = Reduce{kind}(c, a) y = Expand(h, s)
          f = Reduce{kind}<keepdims = 0>(c, a) g = Unsqueeze(f, a) z = Expand(g, s) }}""")
    model.graph.input.pop()
    model.graph.initializer.append(numpy_helper.from_array(rand(channels, 3, 1, 1, seed=1), "w"))
    check_model(runtime, model, [{"x": rand(n, 3, 4, 4)} for n in (1, 3)])
