"""Models whose tensors' shapes are hard to know: branches, loops, lists, recurrent layers, sizes that the numbers decide.

Each is an ONNX model in ONNX's text form, and the shapes of its inputs at the least, the usual and the largest point.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

Points = dict[str, tuple[Any, Any, Any]]
_ROWS: Points = {"x": ((1, 4), (2, 4), (5, 4))}
_STEPS: Points = {"x": ((1, 1, 6), (3, 2, 6), (5, 4, 6))}  # time, batch, size

# name → the graph, and the points
TEXTS: dict[str, tuple[str, Points]] = {
    # two branches, one in the other; with these random rows each is taken at some point
    "if_in_if": (
        """(float[n,4] x) => (float[a,b] y) {
            rows = Shape<start=0, end=1>(x)
            one = Constant<value_ints=[1]>() three = Constant<value_ints=[3]>()
            many = Greater(rows, one) more = Greater(rows, three)
            m1 = Squeeze(many) m2 = Squeeze(more)
            y = If(m1) <
              then_branch = t () => (float[a,b] ty) {
                tx = Relu(x)
                ty = If(m2) <
                  then_branch = u () => (float[a,b] uy) { uz = Neg(tx) uy = Concat<axis=0>(uz, tx) },
                  else_branch = v () => (float[a,b] vy) { vy = Sigmoid(tx) }
                >
              },
              else_branch = e () => (float[a,b] ey) { ez = Abs(x) ey = Exp(ez) }
            >
        }""",
        _ROWS,
    ),
    # counter, a carried tensor, a list of what each turn gives
    "loop": (
        """(float[n,4] x) => (float[n,4] last, float[t,n,4] all, float[t,n,4] twice) {
            rows = Shape<start=0, end=1>(x) n = Squeeze(rows) true = Constant<value=bool[1] {1}>() go = Squeeze(true)
            last, all = Loop(n, go, x) <
              body = b (int64 i, bool c, float[n,4] s) => (bool d, float[n,4] r, float[n,4] o) {
                d = Identity(c) f = Cast<to=1>(i) r = Add(s, f) o = Relu(r)
              }
            >
            twice = Add(all, all)
        }""",
        _ROWS,
    ),
    # a tensor that grows from turn to turn; a float as a counter
    "growing_loop": (
        """(float[n,4] x) => (float[m,4] last, float count) {
            rows = Shape<start=0, end=1>(x) n = Squeeze(rows) true = Constant<value=bool[1] {1}>() go = Squeeze(true)
            zero = Constant<value_float=0.0>() step = Constant<value_float=0.5>()
            last, count = Loop(n, go, x, zero) <
              body = b (int64 i, bool c, float[k,4] s, float f) => (bool d, float[m,4] r, float g) {
                g = Add(f, step) limit = Constant<value_float=1.2>() d = Less(g, limit) r = Concat<axis=0>(s, x)
              }
            >
        }""",
        _ROWS,
    ),
    "if_in_loop": (
        """(float[n,4] x) => (float[n,4] last) {
            rows = Shape<start=0, end=1>(x) n = Squeeze(rows) true = Constant<value=bool[1] {1}>() go = Squeeze(true)
            last = Loop(n, go, x) <
              body = b (int64 i, bool c, float[n,4] s) => (bool d, float[n,4] r) {
                d = Identity(c) two = Constant<value_int=2>() odd = Less(i, two)
                r = If(odd) <
                  then_branch = t () => (float[n,4] ty) { tz = Neg(s) ty = Relu(tz) },
                  else_branch = e () => (float[n,4] ey) { ey = Add(s, s) }
                >
              }
            >
        }""",
        _ROWS,
    ),
    "loop_in_loop": (
        """(float[n,4] x) => (float[n,4] last, float[t,n] sums) {
            rows = Shape<start=0, end=1>(x) n = Squeeze(rows) true = Constant<value=bool[1] {1}>() go = Squeeze(true)
            last, sums = Loop(n, go, x) <
              body = b (int64 i, bool c, float[n,4] s) => (bool d, float[n,4] r, float[n] o) {
                d = Identity(c)
                r = Loop(n, c, s) <
                  body = b2 (int64 j, bool c2, float[n,4] s2) => (bool d2, float[n,4] r2) {
                    d2 = Identity(c2) r2 = Add(s2, x)
                  }
                >
                o = ReduceSum<keepdims=0>(r, axis1)
              }
            >
        }""",
        _ROWS,
    ),
    "loop_in_if": (
        """(float[n,4] x) => (float[n,4] y) {
            rows = Shape<start=0, end=1>(x) lone = Constant<value_ints=[1]>()
            many = Greater(rows, lone) m = Squeeze(many)
            y = If(m) <
              then_branch = t () => (float[n,4] ty) {
                k = Squeeze(rows)
                ty = Loop(k, m, x) < body = b (int64 i, bool c, float[n,4] s) => (bool d, float[n,4] r) { d = Identity(c) r = Relu(s) } >
              },
              else_branch = e () => (float[n,4] ey) { ey = Neg(x) }
            >
        }""",
        _ROWS,
    ),
    "scan": (
        """(float[t,n,4] x) => (float[n,4] last, float[t,n,4] all) {
            first = Gather<axis=0>(x, index0) start = Mul(first, nil)
            last, all = Scan(start, x) <num_scan_inputs=1,
              body = b (float[n,4] s, float[n,4] e) => (float[n,4] r, float[n,4] o) { r = Add(s, e) o = Tanh(r) }
            >
        }""",
        {"x": ((1, 1, 4), (3, 2, 4), (6, 5, 4))},
    ),
    # a list of tensors of several shapes
    "list": (
        """(float[n,4] x) => (float[m,4] y, float[k,4] second) {
            a = Relu(x) b = Concat<axis=0>(x, a) c = Concat<axis=0>(b, x)
            s = SequenceConstruct(a, b, c) y = ConcatFromSequence<axis=0>(s)
            at = Constant<value_int=1>() second = SequenceAt(s, at)
        }""",
        _ROWS,
    ),
    "nonzero": (
        """(float[n,4] x) => (float[m] y, int64[2,m] z, float[k,4] rows) {
            p = Relu(x) z = NonZero(p) t = Transpose<perm=[1,0]>(z) y0 = GatherND(x, t) y = Neg(y0)
            five = Constant<value_float=100.0>() far = Greater(x, five) i = Cast<to=1>(far)
            m = ReduceMax<axes=[1], keepdims=0>(i) yes = Cast<to=9>(m)
            none = Compress<axis=0>(x, yes) rows = Exp(none)
        }""",
        _ROWS,
    ),
    "nms": (
        """(float[1,n,4] boxes, float[1,2,n] scores) => (int64[k,3] y, int64[k] first) {
            most = Constant<value_int=3>() iou = Constant<value_float=0.5>() least = Constant<value_float=0.1>()
            b = Abs(boxes) s = Sigmoid(scores)
            y = NonMaxSuppression(b, s, most, iou, least)
            two = Constant<value_int=2>() first = Gather<axis=1>(y, two)
        }""",
        {"boxes": ((1, 2, 4), (1, 6, 4), (1, 12, 4)), "scores": ((1, 2, 2), (1, 2, 6), (1, 2, 12))},
    ),
    # numbers without dimensions, and small tensors of integers
    "scalars": (
        """(float[n,4] x, float s, int64[n] k) => (float m, float[n,4] y, int64[n] i, int64[two] sizes, float[a,b,c] r) {
            m = ReduceMean<keepdims=0>(x) t = Mul(m, s) y = Add(x, t)
            i0 = ArgMax<axis=1, keepdims=0>(x) i = Add(i0, k)
            sizes = Shape(y) n = Shape<start=0, end=1>(x) two = Constant<value_ints=[2,2]>()
            to = Concat<axis=0>(n, two) r = Reshape(x, to)
        }""",
        {**_ROWS, "k": ((1,), (2,), (5,))},
    ),
    "integers": (
        """(int32[n,4] ids, int64[n] k) => (int32[n,4] y, int64[n] z, int64[n] wide, int64[m] top) {
            three = Constant<value_int=3>() c = Cast<to=6>(three) y = Mul(ids, c) z = Neg(k)
            f = Cast<to=1>(k) n = Shape(k) v, top = TopK(f, n)
            most = Constant<value_int=4611686018427387904>() far = Add(k, most) wide = Neg(far)
        }""",
        {"ids": ((1, 4), (2, 4), (5, 4)), "k": ((1,), (2,), (5,))},
    ),
    "gru": (
        """(float[t,n,6] x) => (float[t,1,n,5] y, float[1,n,5] h) {
            z = Relu(x) y, h = GRU<hidden_size=5, linear_before_reset=1>(z, wg, rg, bg)
        }""",
        _STEPS,
    ),
    "gru_both_lengths": (
        """(float[t,n,6] x, int32[n] lengths) => (float[t,n,10] y, float[2,n,5] h) {
            y0, h = GRU<hidden_size=5, linear_before_reset=1, direction="bidirectional">(x, wg2, rg2, bg2, lengths)
            y1 = Transpose<perm=[0,2,1,3]>(y0) to = Constant<value_ints=[0,0,10]>() y = Reshape(y1, to)
        }""",
        {**_STEPS, "lengths": ((1,), (2,), (4,))},
    ),
    # the other GRU, that Paddle's has not
    "gru_before_reset": (
        """(float[t,n,6] x) => (float[t,1,n,5] y, float[1,n,5] h) {
            y, h = GRU<hidden_size=5, linear_before_reset=0>(x, wg, rg, bg)
        }""",
        _STEPS,
    ),
    "lstm_layers": (
        """(float[t,n,6] x) => (float[t,n,5] y, float[1,n,5] c) {
            y0, h0, c0 = LSTM<hidden_size=5>(x, w1, r1, b1)
            to = Constant<value_ints=[1]>() y1 = Squeeze(y0, to)
            y2, h, c = LSTM<hidden_size=5, direction="reverse">(y1, w2, r1, b1)
            y = Squeeze(y2, to)
        }""",
        _STEPS,
    ),
    "lstm_lengths": (
        """(float[t,n,6] x, int32[n] lengths, float[1,n,5] h0, float[1,n,5] c0) => (float[t,1,n,5] y, float[1,n,5] c) {
            y, h, c = LSTM<hidden_size=5>(x, w1, r1, b1, lengths, h0, c0)
        }""",
        {
            **_STEPS,
            "lengths": ((1,), (2,), (4,)),
            "h0": ((1, 1, 5), (1, 2, 5), (1, 4, 5)),
            "c0": ((1, 1, 5), (1, 2, 5), (1, 4, 5)),
        },
    ),
    "rnn": (
        """(float[t,n,6] x) => (float[t,1,n,5] y, float[1,n,5] h) {
            y, h = RNN<hidden_size=5>(x, w, r, bias)
        }""",
        _STEPS,
    ),
}


GROUPS = {
    "branches": ("if_in_if", "if_in_loop", "loop_in_if"),
    "loops": ("loop", "growing_loop", "loop_in_loop", "scan", "list"),
    "numbers": ("nonzero", "nms", "scalars", "integers"),
    "recurrent": ("gru", "gru_before_reset", "gru_both_lengths", "lstm_layers", "lstm_lengths", "rnn"),
}


def feeds(name: str) -> list[Mapping[str, np.ndarray]]:
    """Input sets in place of made-up ones: those of sequences whose lengths have to be true, and others that give rows in
    some runs and none in others."""
    rng = np.random.default_rng(1)
    rows = np.array([[1, -1, 2, -3], [200, 3, -1, -1]], np.float32)
    if name == "nonzero":
        return [{"x": -np.ones((3, 4), np.float32)}, {"x": rows}]
    sets = []
    for at in range(3):
        shapes = {key: points[at] for key, points in TEXTS[name][1].items()}
        feed = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
        steps, batch = shapes["x"][:2]
        sets.append({**feed, "lengths": (np.arange(batch) % steps + 1)[::-1].astype(np.int32)})
    return sets


def _weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def made(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    return {
        "axis1": np.array([1]),
        "index0": np.array(0),
        "nil": np.zeros((), np.float32),
        "w": made(1, 5, 6), "r": made(1, 5, 5), "bias": made(1, 10),
        "wg": made(1, 15, 6), "rg": made(1, 15, 5), "bg": made(1, 30),
        "wg2": made(2, 15, 6), "rg2": made(2, 15, 5), "bg2": made(2, 30),
        "w1": made(1, 20, 6), "w2": made(1, 20, 5), "r1": made(1, 20, 5), "b1": made(1, 40),
    }  # fmt: skip


def save(name: str, folder: Path) -> Path:
    """The model *name* of :data:`TEXTS` as a file."""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {name} {TEXTS[name][0]}')
    model.graph.initializer.extend(
        numpy_helper.from_array(array, key) for key, array in _weights().items() if key in _read(model.graph)
    )
    onnx.save(model, folder / f"{name}.onnx")
    return folder / f"{name}.onnx"


def _read(graph: Any) -> set[str]:
    """The names that a graph reads, with its bodies."""
    names = {name for node in graph.node for name in node.input}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= _read(attribute.g)
    return names
