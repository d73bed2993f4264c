"""Tensors of which a model itself says that they have no elements, and what graphs do with them.

Each front makes ``e`` [n, 0, 4] of the input ``x`` [n, 3, 4], each body reads it (and ``x``), in ONNX's text form.
ONNX Runtime says what comes out at two sizes of ``n``.

    python -m tests.onnx.no_elements --target 2.3 [--onednn]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, Optional

import numpy as np

HEAD = """<ir_version: 9, opset_import: ["" : 18]>
none (float[n, 3, 4] x) => (OUTPUTS) {
  zero = Constant<value_ints: ints = [0]>() one = Constant<value_ints: ints = [1]>() two = Constant<value_ints: ints = [2]>()
  three = Constant<value_ints: ints = [3]>() all = Constant<value_ints: ints = [-1]>() i0 = Constant<value_int: int = 0>()
  yes = Constant<value: tensor = bool {1}>() half = Constant<value: tensor = float {0.5}>()
"""
# name → how ``e`` is made
FRONTS = {
    "slice": "e = Slice(x, three, one, one)",
    "slice beyond the end": "far_ = Constant<value_ints: ints = [9]>() e = Slice(x, three, far_, one)",
    "negative pad": "p_ = Constant<value_ints: ints = [0, -2, 0, 0, -1, 0]>() e = Pad(x, p_)",
    "gather of no rows": "i_ = Constant<value: tensor = int64[0] {}>() e = Gather<axis = 1>(x, i_)",
    "split": "s_ = Constant<value_ints: ints = [3, 0]>() full, e = Split<axis = 1>(x, s_)",
    "expand": "c_ = Slice(x, zero, one, one) s_ = Constant<value_ints: ints = [1, 0, 1]>() e = Expand(c_, s_)",
    "tile": "r_ = Constant<value_ints: ints = [1, 0, 1]>() e = Tile(x, r_)",
    "top k of none": "e, ei = TopK<axis = 1>(x, zero)",
    "compress": "m_ = Constant<value: tensor = bool[3] {0, 0, 0}>() e = Compress<axis = 1>(x, m_)",
    "zeros": """sh = Shape(x) n_ = Slice(sh, zero, one) s_ = Constant<value_ints: ints = [0, 4]>()
        t_ = Concat<axis = 0>(n_, s_) e = ConstantOfShape(t_)""",
}  # fmt: skip
# name → outputs, and what reads ``e``
BODIES: dict[str, tuple[str, str]] = {
    "itself": ("float[n, 0, 4] y", "y = Identity(e)"),
    "element by element": ("float[n, 0, 4] y, bool[n, 0, 4] z", "a = Relu(e) b = Add(a, half) y = Mul(b, e) z = Greater(b, e)"),
    "with a row": ("float[n, 0, 4] y", "c = Slice(x, zero, one, one) y = Sub(c, e)"),
    "where": ("float[n, 0, 4] y", "m = Greater(e, half) y = Where(m, e, half)"),
    "cast": ("int64[n, 0, 4] y, double[n, 0, 4] z", "y = Cast<to = 7>(e) z = Cast<to = 11>(e)"),
    "joined": ("float[n, 3, 4] y", "a = Relu(e) y = Concat<axis = 1>(a, x, e)"),
    "joined with none": ("float[n, 0, 4] y", "a = Relu(e) y = Concat<axis = 1>(a, e)"),
    "joined elsewhere": ("float[n, 0, 8] y", "y = Concat<axis = 2>(e, e)"),
    "transposed": ("float[4, n, 0] y", "y = Transpose<perm = [2, 0, 1]>(e)"),
    "reshaped": ("float[n, 0] y", "f = Flatten(e) y = Neg(f)"),
    "squeezed": ("float[n, 0, 4] y", "u = Unsqueeze(e, all) y = Squeeze(u, three)"),
    "sum": ("float[n, 4] y, float[n, 3] z", "y = ReduceSum<keepdims = 0>(e, one) a = ReduceSum<keepdims = 0>(x, two) s = ReduceSum<keepdims = 1>(e, one) t = ReduceSum<keepdims = 0>(s, two) z = Add(a, t)"),
    "sum of the full": ("float[n, 0] y", "y = ReduceSum<keepdims = 0>(e, two)"),
    "product": ("float[n, 4] y", "y = ReduceProd<keepdims = 0>(e, one)"),
    "norm": ("float[n, 4] y", "y = ReduceL2<keepdims = 0>(e, one)"),
    "mean of rows": ("float[n, 0, 1] y", "y = ReduceMean(e, two)"),
    "softmax": ("float[n, 0, 4] y", "y = Softmax<axis = 2>(e)"),
    "softmax over none": ("float[n, 0, 4] y", "y = Softmax<axis = 1>(e)"),
    "matrix product": ("float[n, 0, 2] y", "w = Constant<value: tensor = float[4, 2] {1, 2, 3, 4, 5, 6, 7, 8}>() y = MatMul(e, w)"),
    "product over none": ("float[n, 4, 4] y", "t = Transpose<perm = [0, 2, 1]>(e) y = MatMul(t, e)"),
    "scores": ("float[n, 3, 0] s, float[n, 3, 4] y", "t = Transpose<perm = [0, 2, 1]>(e) s = MatMul(x, t) a = Softmax<axis = -1>(s) y = MatMul(a, e)"),
    "einsum": ("float[n, 4, 4] y", 'y = Einsum<equation = "bij,bik->bjk">(e, e)'),
    "layer norm": ("float[n, 0, 4] y", "g = Constant<value: tensor = float[4] {1, 2, 3, 4}>() y = LayerNormalization(e, g, g)"),
    "batch norm": ("float[n, 4, 0] y", "g = Constant<value: tensor = float[4] {1, 2, 3, 4}>() t = Transpose<perm = [0, 2, 1]>(e) y = BatchNormalization(t, g, g, g, g)"),
    "running sum": ("float[n, 0, 4] y", "y = CumSum(e, i0)"),
    "running sum over none": ("float[n, 0, 4] y", "a1 = Constant<value_int: int = 1>() y = CumSum<reverse = 1>(e, a1)"),
    "sorted": ("float[n, 0, 2] y, int64[n, 0, 2] w", "y, w = TopK<axis = 2>(e, two)"),
    "largest": ("int64[n, 0, 1] y", "y = ArgMax<axis = 2>(e)"),
    "tiled": ("float[n, 0, 8] y", "r = Constant<value_ints: ints = [1, 5, 2]>() y = Tile(e, r)"),
    "padded": ("float[n, 2, 4] y", "p = Constant<value_ints: ints = [0, 1, 0, 0, 1, 0]>() y = Pad(e, p, half)"),
    "gathered": ("float[n, 0, 2] y", "i = Constant<value_ints: ints = [1, 3]>() y = Gather<axis = 2>(e, i)"),
    "sliced": ("float[n, 0, 2] y", "y = Slice(e, one, three, two)"),
    "sliced again": ("float[n, 0, 4] y", "a = Relu(e) y = Slice(a, zero, two, one)"),
    "split": ("float[n, 0, 2] y, float[n, 0, 2] z", "y, z = Split<axis = 2, num_outputs = 2>(e)"),
    "places": ("int64[3, k] y", "y = NonZero(e)"),
    "no places, rows": ("float[k, 3, 4] y", "f = ReduceSum<keepdims = 0>(e) u = Unsqueeze(f, zero) z = NonZero(u) q = Reshape(z, all) y = Gather<axis = 0>(x, q)"),
    "its size": ("int64[3] y, float[n, 3, 4] z", "y = Shape(e) c = Cast<to = 1>(y) s = ReduceSum<keepdims = 0>(c) z = Mul(x, s)"),
    "its number": ("int64 y", "y = Size(e)"),
    "expanded": ("float[2, n, 0, 4] y", "a = Unsqueeze(e, zero) s = Constant<value_ints: ints = [2, 1, 1, 1]>() y = Expand(a, s)"),
    "one hot": ("float[n, 0, 4, 3] y", "c = Cast<to = 7>(e) v = Constant<value_floats: floats = [0.0, 1.0]>() y = OneHot(c, three, v)"),
    "scattered": ("float[n, 3, 4] y", "i = Cast<to = 7>(e) y = ScatterElements<axis = 1>(x, i, e)"),
    "gathered by none": ("float[n, 0, 4] y", "i = Cast<to = 7>(e) y = GatherElements<axis = 1>(x, i)"),
    "one convolved": ("float[n, 2, 0] y", "w = Constant<value: tensor = float[2, 4, 1] {1, 2, 3, 4, 5, 6, 7, 8}>() t = Transpose<perm = [0, 2, 1]>(e) y = Conv(t, w)"),
    "resized": ("float[n, 0, 4, 8] y", "a = Unsqueeze(e, two) f = Constant<value_floats: floats = [1.0, 1.0, 4.0, 2.0]>() y = Resize<mode = \"nearest\">(a, , f)"),
    "clipped": ("float[n, 0, 4] y", "y = Clip(e, , half)"),
    "a branch": ("float[n, k, 4] y", """
        f = ReduceSum<keepdims = 0>(x) g = Greater(f, half)
        y = If(g) <then_branch = yes_ () => (float[m, k1, 4] a) { a = Neg(x) }, else_branch = no_ () => (float[o, k2, 4] b) { b = Relu(e) }>"""),
    "a loop": ("float[n, 4] y", """
        t = Constant<value_int: int = 2>() s = ReduceSum<keepdims = 0>(x, one)
        y = Loop(t, yes, s) <body = turn (int64 i, bool go, float[m, 4] a) => (bool on, float[o, 4] b) {
            on = Identity(go) c = ReduceSum<keepdims = 0>(e, one) b = Sub(a, c) }>"""),
    "a loop that carries it": ("float[n, k, 4] y", """
        t = Constant<value_int: int = 2>()
        y = Loop(t, yes, e) <body = turn (int64 i, bool go, float[m, k1, 4] a) => (bool on, float[o, k2, 4] b) {
            on = Identity(go) b = Concat<axis = 1>(a, x) }>"""),
    "a loop of no turns": ("float[n, 3, 4] y, float[0, n, 3, 4] z", """
        y, z = Loop(i0, yes, x) <body = turn (int64 i, bool go, float[m, 3, 4] a) => (bool on, float[o, 3, 4] b, float[p, 3, 4] c) {
            on = Identity(go) b = Neg(a) c = Relu(a) }>"""),
    "LSTM over no steps": ("float[1, n, 2] h", """
        w = Constant<value: tensor = float[1, 8, 4] {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}>()
        v = Constant<value: tensor = float[1, 8, 2] {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}>()
        t = Transpose<perm = [1, 0, 2]>(e) y, h = LSTM<hidden_size = 2>(t, w, v)"""),
    "a sequence": ("float[n, 3, 4] y", "q = SequenceConstruct(e, x, e) y = ConcatFromSequence<axis = 1>(q)"),
    "read by a network": ("float[n, 5] y", """
        w = Constant<value: tensor = float[4, 5] {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2}>()
        a = MatMul(e, w) b = Relu(a) c = ReduceSum<keepdims = 0>(b, one) d = ReduceMean<keepdims = 0>(x, one) f = MatMul(d, w) y = Add(f, c)"""),
}  # fmt: skip


def model(front: str, body: str) -> Any:
    """The model of a pair of names."""
    return parsed(HEAD, FRONTS[front], BODIES[body])


def parsed(head: str, front: str, body: tuple[str, str]) -> Any:
    """The model of a head, what makes ``e`` and what reads it."""
    import onnx.parser

    outputs, text = body
    made = onnx.parser.parse_model(head.replace("OUTPUTS", outputs) + front + "\n" + text + "\n}")
    for output in made.graph.output:  # ONNX Runtime holds them against what comes out
        del output.type.tensor_type.shape.dim[:]
        output.type.tensor_type.ClearField("shape")
    return made


def feeds() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"x": rng.uniform(-1, 1, (n, 3, 4)).astype(np.float32)} for n in (2, 5)]


def outcome(front: str, body: str, target: str, worker: Any, onednn: Optional[bool] = None) -> tuple[str, str]:
    """As :func:`tests.onnx.random_graphs.compared` says."""
    from tests.onnx.random_graphs import compared

    return compared(model(front, body), feeds(), target, worker, onednn)


def pairs(every: bool = False) -> list[tuple[str, str]]:
    """Each body behind one front and each front before one body, or all with all."""
    return paired(list(FRONTS), list(BODIES), every)


def paired(fronts: Sequence[str], bodies: Sequence[str], every: bool) -> list[tuple[str, str]]:
    """Each body behind one front and each front before one body, or all with all."""
    if every:
        return [(f, b) for f in fronts for b in bodies]
    return [*((fronts[i % len(fronts)], b) for i, b in enumerate(bodies)), *((f, "element by element") for f in fronts)]


def main(
    text: Optional[str] = __doc__,
    pairs: Callable[[bool], list[tuple[str, str]]] = pairs,
    outcome: Callable[..., tuple[str, str]] = outcome,
) -> int:
    """Try pairs in a runtime, and print what does not work; *text* is the help."""
    from mconv import runtimes
    from tests.onnx.nothing import RUNTIMES

    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="3", choices=list(RUNTIMES))
    parser.add_argument("--onednn", action="store_true")
    parser.add_argument("--all", action="store_true", help="all pairs")
    args = parser.parse_args()
    counts: dict[str, int] = {}
    with runtimes.find(RUNTIMES[args.target]).worker() as worker:
        for front, body in pairs(args.all):
            status, reason = outcome(front, body, args.target, worker, args.onednn or None)
            counts[status] = counts.get(status, 0) + 1
            if status != "works":
                print(f"{front} / {body}: {status}: {' '.join(reason.split())[:250]}", flush=True)
    print(counts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
