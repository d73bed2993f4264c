"""What graphs do around a selection, beside one operator: chains, control flow, sequences, cells and boxes.

Each is the body of a graph in ONNX's text form, with the selected rows ``r`` [n, 4], their positions ``p`` [n], their
number ``n`` (int64 [1]), all rows ``x`` [5, 4], and ``zero``, ``one``, ``two`` and ``all`` (int64 [1]: 0, 1, 2 and -1).
"""

from __future__ import annotations

from typing import Any

import numpy as np

FRONT = """<ir_version: 9, opset_import: ["" : 17, "com.microsoft" : 1]>
chain (float[5] mask, float[5, 4] x) => (OUTPUTS) {
  zero = Constant<value_ints: ints = [0]>()
  one = Constant<value_ints: ints = [1]>()
  two = Constant<value_ints: ints = [2]>()
  all = Constant<value_ints: ints = [-1]>()
  positions = NonZero(mask)
  p = Reshape(positions, all)
  r = Gather<axis = 0>(x, p)
  sizes = Shape(r)
  n = Slice(sizes, zero, one)
"""
SCALARS = "i0 = Squeeze(zero, zero) i1 = Squeeze(one, zero) n0 = Squeeze(n, zero) yes = Constant<value: tensor = bool {1}>()\n"
TURN = "(int64 i, bool go"

# name → outputs with their types, body
CHAINS: dict[str, tuple[str, str]] = {
    "selected twice": ("float[k, 4] y", """
        c = Slice(r, zero, one, one) f = Squeeze(c, one) z = NonZero(f) q = Reshape(z, all) y = Gather<axis = 0>(r, q)"""),
    "selected twice, nothing": ("float[k, 4] y, float[4] s", """
        c = Slice(r, zero, one, one) f = Squeeze(c, one) t = Sub(f, f) z = NonZero(t) q = Reshape(z, all)
        y = Gather<axis = 0>(r, q) s = ReduceSum<keepdims = 0>(y, zero)"""),
    "two joined": ("float[k, 4] y, float[4] s", "y = Concat<axis = 0>(r, r) s = ReduceSum<keepdims = 0>(y, zero)"),
    "two joined of other sizes": ("float[k, 4] y", """
        c = Slice(r, zero, one, one) f = Squeeze(c, one) z = NonZero(f) q = Reshape(z, all) a = Gather<axis = 0>(r, q)
        b = Mul(r, r) y = Concat<axis = 0>(a, b, r)"""),
    "top k of a number": ("float[5, k] y, int64[5, k] w", """
        four = Constant<value_ints: ints = [3]>() k = Min(n, four) y, w = TopK(x, k)"""),
    "slice to a number": ("float[k, 4] y, float[4] s", "y = Slice(x, zero, n, zero) s = ReduceSum<keepdims = 0>(y, zero)"),
    "slice from a number": ("float[k, 4] y", "y = Slice(x, n, Constant_end, zero)"),
    "range": ("int64[k] y", SCALARS + "y = Range(i0, n0, i1)"),
    "zeros": ("float[k, 3] y", """
        three = Constant<value_ints: ints = [3]>() s = Concat<axis = 0>(n, three) y = ConstantOfShape(s)"""),
    "expand": ("float[k, 4] y", """
        a = Slice(x, zero, one, zero) four = Constant<value_ints: ints = [4]>() s = Concat<axis = 0>(n, four)
        y = Expand(a, s)"""),
    "tile": ("float[k, 4] y", "a = Slice(x, zero, one, zero) s = Concat<axis = 0>(n, one) y = Tile(a, s)"),
    "pad": ("float[k, 4] y, float[4] m", """
        q = Constant<value_ints: ints = [1, 0, 0, 0]>() y = Pad(r, q) m = ReduceMean<axes = [0], keepdims = 0>(y)"""),
    "pad of columns": ("float[5, k] y", """
        t = Transpose(r) q = Constant<value_ints: ints = [1, 1, 0, 0]>() y = Pad(t, q)"""),
    "split in two": ("float[k, 2] a, float[k, 2] b", "a, b = Split<axis = 1>(r)"),
    "sequence of parts": ("float[k, 4] y, float[4] s", """
        q = SplitToSequence<axis = 0, keepdims = 1>(x, n_rest) y = SequenceAt(q, i0) s = ReduceSum<keepdims = 0>(y, zero)
        """),
    "sequence of selections": ("float[k, 4] y, float[m, 4] z", SCALARS + """
        q = SequenceConstruct(r, x) y = SequenceAt(q, i0) z = ConcatFromSequence<axis = 0>(q)"""),
    "convolved and reduced": ("float[k, 2] y, float[k, 2, 2] m, float[2, 2, 2] s, float[k] l, int64[k, 2] w", """
        q = Constant<value_ints: ints = [-1, 1, 2, 2]>() i = Reshape(r, q) f = Constant<value: tensor = float[2, 1, 1, 1] {1, -2}>()
        a = Conv(i, f) c = Relu(a) two_three = Constant<value_ints: ints = [2, 3]>() y = ReduceSum<keepdims = 0>(c, two_three)
        m = ReduceMax<axes = [3], keepdims = 0>(a) s = ReduceSum<keepdims = 0>(c, zero) l = ReduceL2<axes = [1, 2, 3], keepdims = 0>(a)
        g = ReduceMin<axes = [2, 3], keepdims = 0>(a) w = Cast<to = 7>(g)"""),
    "convolved, and no rows reduced": ("float[1, 2, 2, 2] y, float m, float[2, 2, 2] s", """
        q = Constant<value_ints: ints = [-1, 1, 2, 2]>() i = Reshape(r, q) f = Constant<value: tensor = float[2, 1, 1, 1] {1, -2}>()
        a = Conv(i, f) c = Sigmoid(a) y = ReduceMax<axes = [0]>(c) m = ReduceProd<keepdims = 0>(a) t = ReduceMin<axes = [0], keepdims = 0>(a) s = Neg(t)"""),
    "distinct, joined to others": ("int64[k] y, int64 c", """
        a = Constant<value_ints: ints = [7, 3, 7]>() j = Concat<axis = 0>(p, a) y = Unique(j) s = Shape(y) c = ReduceSum<keepdims = 0>(s)"""),
    "where twice": ("float[k, 4] y", "c = Greater(r, r) m = Not(c) q = Neg(r) y = Where(m, q, r)"),
    "scatter of rows": ("float[5, 4] y", "u = Unsqueeze(p, one) y = ScatterND(x, u, r)"),
    "scatter added": ("float[5, 4] y", 'u = Unsqueeze(p, one) y = ScatterND<reduction = "add">(x, u, r)'),
    "scatter elements": ("float[5, 4] y", """
        h = Shape(r) f = Expand(u, h) y = ScatterElements<axis = 0>(x, f, r)"""),
    "compress": ("float[k] y", "c = Greater(r, r) m = Not(c) f = Reshape(m, all) y = Compress(r, f)"),
    "unique": ("float[k] y, int64[k] c", "y, fi, inv, c = Unique(r)"),
    "largest": ("float[k] y, int64[k] w", "y = ReduceMax<axes = [1], keepdims = 0>(r) w = ArgMax<axis = 1, keepdims = 0>(r)"),
    "conv": ("float[k, 2, 1, 1] y", """
        w = Constant<value: tensor = float[2, 1, 2, 2] {1, 2, 3, 4, -1, -2, -3, -4}>()
        s = Constant<value_ints: ints = [-1, 1, 2, 2]>() i = Reshape(r, s) c = Conv(i, w) y = Relu(c)"""),
    "batch norm": ("float[k, 4] y", """
        v = Constant<value: tensor = float[4] {1, 2, 3, 4}>() y = BatchNormalization(r, v, v, v, v)"""),
    "attention": ("float[k, 4] y", """
        t = Transpose<perm = [1, 0]>(r) m = MatMul(r, t) s = Softmax(m) y = MatMul(s, r)"""),
    "gram": ("float[4, 4] y", "t = Transpose<perm = [1, 0]>(r) y = MatMul(t, r)"),
    "GRU over an empty batch": ("float[1, 1, k, 2] y, float[1, k, 2] h", """
        w = Constant<value: tensor = float[1, 6, 4] {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}>()
        v = Constant<value: tensor = float[1, 6, 2] {1,2,3,4,5,6,7,8,1,2,3,4}>()
        i = Unsqueeze(r, zero) y, h = GRU<hidden_size = 2, linear_before_reset = 1>(i, w, v)"""),
    "LSTM over no steps": ("float[1, 1, 2] h", """
        w = Constant<value: tensor = float[1, 8, 4] {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}>()
        v = Constant<value: tensor = float[1, 8, 2] {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}>()
        i = Unsqueeze(r, one) y, h = LSTM<hidden_size = 2>(i, w, v)"""),
    "regions": ("float[k, 1, 2, 2] y", """
        q = Constant<value_ints: ints = [1, 1, 5, 4]>() image = Reshape(x, q) b = Abs(r)
        h = Shape(p) bi = ConstantOfShape<value: tensor = int64[1] {0}>(h)
        y = RoiAlign<output_height = 2, output_width = 2, sampling_ratio = 2>(image, b, bi)"""),
    "boxes of some images": ("int64[k, 3] y, float[k] s", """
        a = Abs(x) h = Unsqueeze(a, one) five = Constant<value_ints: ints = [5, 1, 1]>()
        lo = Slice(a, zero, two, one) hi = Add(lo, lo) bx = Concat<axis = 1>(lo, hi) b1 = Reshape(bx, sh)
        m = Reshape(mask, five) most = Constant<value_ints: ints = [3]>()
        t = Constant<value_floats: floats = [0.5]>() y = NonMaxSuppression(b1, m, most, t, t)
        s0 = Slice(y, zero, one, one) s1 = Squeeze(s0, one) s2 = Gather(mask, s1) s = Add(s2, s2)"""),
    "boxes of rows": ("int64[k, 3] y", """
        lo = Slice(r, zero, two, one) la = Abs(lo) hi = Add(la, la) bx = Concat<axis = 1>(la, hi) b1 = Unsqueeze(bx, zero)
        c = Slice(r, zero, one, one) c1 = Transpose<perm = [1, 0]>(c) c2 = Unsqueeze(c1, zero)
        most = Constant<value_ints: ints = [3]>() t = Constant<value_floats: floats = [0.5]>()
        y = NonMaxSuppression(b1, c2, most, t)"""),
    "loop over rows": ("float[4] s, float[k, 4] y", SCALARS + """
        start = Constant<value: tensor = float[4] {0, 0, 0, 0}>()
        s, y = Loop(n0, yes, start) <body = turn (int64 i, bool go, float[4] a) => (bool on, float[4] b, float[4] row) {
            on = Identity(go) row = Gather<axis = 0>(r, i) b = Add(a, row) }>"""),
    "loop that grows from rows": ("float[k, 4] y", SCALARS + """
        three = Constant<value: tensor = int64 {3}>()
        y = Loop(three, yes, r) <body = turn (int64 i, bool go, float[m, 4] a) => (bool on, float[o, 4] b) {
            on = Identity(go) b = Concat<axis = 0>(a, r) }>"""),
    "loop that grows from nothing": ("float[k, 4] y, float[4] s", SCALARS + """
        none = Constant<value_ints: ints = [0, 4]>() start = ConstantOfShape(none)
        y = Loop(n0, yes, start) <body = turn (int64 i, bool go, float[m, 4] a) => (bool on, float[o, 4] b) {
            on = Identity(go) row = Gather<axis = 0>(r, i) u = Unsqueeze(row, zero) b = Concat<axis = 0>(a, u) }>
        s = ReduceSum<keepdims = 0>(y, zero)"""),
    "loop that selects": ("float[k, 4] y", SCALARS + """
        y = Loop(n0, yes, x) <body = turn (int64 i, bool go, float[m, 4] a) => (bool on, float[o, 4] b) {
            on = Identity(go) c = Slice(a, zero, one, one) f = Squeeze(c, one) g = Relu(f) z = NonZero(g)
            q = Reshape(z, all) d = Gather<axis = 0>(a, q) e = Neg(d) b = Add(e, e) }>"""),
    "loop that collects selections": ("float[3, k, 4] y, float[3, 4] s", SCALARS + """
        f = Cast<to = 1>(n0) three = Constant<value: tensor = int64 {40}>()
        w = Loop(three, yes) <body = turn (int64 i, bool go) => (bool on, float[m, 4] d) {
            on = Identity(go) z = NonZero(mask) q = Reshape(z, all) d = Gather<axis = 0>(x, q) }>
        y = Slice(w, zero, t3, zero) s = ReduceSum<keepdims = 0>(y, one)"""),
    "loop that sums selections": ("float[4] s", SCALARS + """
        start = Constant<value: tensor = float[4] {0, 0, 0, 0}>() much = Constant<value: tensor = int64 {40}>()
        s = Loop(much, yes, start) <body = turn (int64 i, bool go, float[4] a) => (bool on, float[4] b) {
            on = Identity(go) z = NonZero(mask) q = Reshape(z, all) d = Gather<axis = 0>(x, q)
            e = ReduceSum<keepdims = 0>(d, zero) b = Add(a, e) }>"""),
    "branch that selects": ("float[k, 4] y, float[4] s", SCALARS + """
        f = ReduceSum<keepdims = 0>(mask, zero) g = Cast<to = 9>(f) l = Not(g)
        y = If(l) <then_branch = yes_ () => (float[m, 4] a) {
            z = NonZero(mask) q = Reshape(z, all) d = Gather<axis = 0>(x, q) a = Neg(d) },
          else_branch = no_ () => (float[o, 4] b) { b = Add(r, r) }>
        s = ReduceSum<keepdims = 0>(y, zero)"""),
    "branch that selects on both ways": ("float[k, 4] y", """
        f = ReduceSum<keepdims = 0>(x, zero) h = ReduceSum<keepdims = 0>(f, zero) g = Cast<to = 9>(h)
        y = If(g) <then_branch = yes_ () => (float[m, 4] a) {
            z = NonZero(mask) q = Reshape(z, all) d = Gather<axis = 0>(x, q) a = Neg(d) },
          else_branch = no_ () => (float[o, 4] b) { b = Add(x, x) }>"""),
    "branch to nothing": ("float[k, 4] y, float[l, 4] w", """
        f = ReduceSum<keepdims = 0>(mask, zero) g = Cast<to = 9>(f)
        y = If(g) <then_branch = yes_ () => (float[m, 4] a) { a = Neg(x) },
          else_branch = no_ () => (float[o, 4] b) { none = Constant<value_ints: ints = [0, 4]>() b = ConstantOfShape(none) }>
        v = Relu(y) w = Concat<axis = 0>(v, y)"""),
    "branch over rows": ("float[k, 4] y", """
        g = Cast<to = 9>(n0)
        y = If(g) <then_branch = yes_ () => (float[m, 4] a) { a = Neg(r) }, else_branch = no_ () => (float[o, 4] b) {
            b = Add(r, r) }>"""),
    "resize of none": ("float[k, 1, 4, 4] y", """
        q = Constant<value_ints: ints = [-1, 1, 2, 2]>() i = Reshape(r, q)
        f = Constant<value_floats: floats = [1.0, 1.0, 2.0, 2.0]>() y = Resize<mode = "nearest">(i, , f)"""),
    "no images": ("float[k, 2] y", """
        q = Constant<value_ints: ints = [-1, 1, 2, 2]>() i = Reshape(r, q) v = Constant<value: tensor = float[1] {1}>()
        b = BatchNormalization(i, v, v, v, v) g = GlobalAveragePool(b) f = Flatten(g) y = Concat<axis = 1>(f, f)"""),
    "sorted": ("float[k, 4] y", "a, w = TopK<axis = 0>(r, n) y = Mul(a, a)"),
    "one hot": ("float[k, 5] y", """
        d = Constant<value_int: int = 5>() v = Constant<value_floats: floats = [0.0, 1.0]>() y = OneHot(p, d, v)"""),
    "largest number of all": ("float y", """
        big = Constant<value: tensor = float[1, 4] {9, 9, 9, 9}>() a = Concat<axis = 0>(r, big) y = ReduceMax<keepdims = 0>(a)"""),
    "mean of what is left": ("float[4] y", """
        s = ReduceSum<keepdims = 0>(r, zero) f = Cast<to = 1>(n) o = Constant<value_floats: floats = [1.0]>() d = Max(f, o)
        y = Div(s, d)"""),
    "boxes of a branch": ("int64[k, 3] y", """
        g = Cast<to = 9>(n0) lo = Slice(x, zero, two, one) la = Abs(lo) hi = Add(la, la) bx = Concat<axis = 1>(la, hi)
        b1 = Unsqueeze(bx, zero) q5 = Constant<value_ints: ints = [1, 1, 5]>() m = Reshape(mask, q5)
        most = Constant<value_ints: ints = [3]>() t = Constant<value_floats: floats = [0.5]>()
        y = If(g) <then_branch = yes_ () => (int64[m, 3] a) { a = NonMaxSuppression(b1, m, most, t, t) },
          else_branch = no_ () => (int64[o, 3] b) { none = Constant<value_ints: ints = [0, 3]>()
            b = ConstantOfShape<value: tensor = int64[1] {0}>(none) }>"""),
    "scan of rows": ("float[4] s, float[k, 4] y", """
        start = Constant<value: tensor = float[4] {0, 0, 0, 0}>()
        s, y = Scan<num_scan_inputs = 1, body = turn (float[4] a, float[4] row) => (float[4] b, float[4] c) {
            b = Add(a, row) c = Identity(b) }>(start, r)"""),
    "a loop in a branch": ("float[k, 4] y", SCALARS + """
        g = Cast<to = 9>(n0)
        y = If(g) <then_branch = yes_ () => (float[m, 4] a) {
            a = Loop(n0, yes, r) <body = turn (int64 i, bool go, float[h, 4] c) => (bool on, float[o, 4] d) {
              on = Identity(go) d = Concat<axis = 0>(c, r) }> },
          else_branch = no_ () => (float[o, 4] b) { b = Identity(r) }>"""),
}  # fmt: skip
# what a body names and the front does not make
HELPERS = {
    "Constant_end": "Constant_end = Constant<value_ints: ints = [5]>()",
    "n_rest": "five_ = Constant<value_ints: ints = [5]>() rest_ = Sub(five_, n) n_rest = Concat<axis = 0>(n, rest_)",
    "i0": "i0 = Squeeze(zero, zero)",
    "n0": "n0 = Squeeze(n, zero)",
    "u": "u = Unsqueeze(p, one)",
    "sh": "sh = Constant<value_ints: ints = [5, 1, 4]>()",
    "t3": "t3 = Constant<value_ints: ints = [3]>()",
}


def model(name: str) -> Any:
    """The model of a chain."""
    import onnx.parser

    outputs, body = CHAINS[name]
    words = set(body.replace("(", " ").replace(")", " ").replace(",", " ").split())
    more = [text for word, text in HELPERS.items() if word in words and f"{word} = " not in body]
    return onnx.parser.parse_model(FRONT.replace("OUTPUTS", outputs) + "\n".join(more) + "\n" + body + "\n}")


def feeds() -> dict[str, np.ndarray]:
    """All inputs but the mask."""
    return {"x": np.random.default_rng(4).standard_normal((5, 4)).astype(np.float32)}
