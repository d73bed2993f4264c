"""Special functions, by series and approximations that are right to float32."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.types import highest
from mconv.program.dtypes import DType
from mconv.program.value import Value

# Lanczos' approximation with g = 7 and 9 coefficients (Numerical Recipes; as in many libraries)
_LANCZOS = (
    0.99999999999980993,
    676.5203681218851,
    -1259.1392167224028,
    771.32342877765313,
    -176.61502916214059,
    12.507343278686905,
    -0.13857109526572012,
    9.9843695780195716e-6,
    1.5056327351493116e-7,
)
# M. Giles, "Approximating the erfinv function", GPU Computing Gems, 2011: single precision
_ERFINV_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
                -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_ERFINV_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
               0.00943887047, 1.00167406, 2.83297682)  # fmt: skip
_SHIFT = 8  # steps of the recurrence before the asymptotic series of digamma is taken
_TERMS = 40  # of the power series of the Bessel functions, right up to 20


def _double(ctx: Context, x: Value) -> Value:
    return ctx.cast(x, DType.FP64)


def _horner(ctx: Context, x: Value, coefficients: tuple[float, ...]) -> Value:
    made = ctx.const(coefficients[0], x.dtype)
    for c in coefficients[1:]:
        made = ctx.op("Add", ctx.op("Mul", made, x), c)
    return made


def _log_gamma(ctx: Context, x: Value) -> Value:
    """Of numbers above 0, in double precision."""
    y = ctx.op("Sub", x, 1.0)
    total = ctx.const(_LANCZOS[0], DType.FP64)
    for i, c in enumerate(_LANCZOS[1:], 1):
        total = ctx.op("Add", total, ctx.op("Div", ctx.const(c, DType.FP64), ctx.op("Add", y, float(i))))
    t = ctx.op("Add", y, 7.5)
    first = ctx.op("Sub", ctx.op("Mul", ctx.op("Add", y, 0.5), ctx.op("Log", t)), t)
    return ctx.op("Add", ctx.op("Add", first, ctx.op("Log", total)), 0.5 * math.log(2 * math.pi))


@paddle_op("lgamma")
def lgamma(ctx: Context, X: Value) -> Value:
    x = _double(ctx, X)
    one = ctx.const(1.0, DType.FP64)
    small = ctx.op("Less", x, 0.5)
    above = _log_gamma(ctx, ctx.op("Where", small, ctx.op("Sub", one, x), x))
    # reflection: log|gamma(x)| = log(pi / |sin(pi x)|) - log gamma(1 - x); the remainder keeps the sine exact
    rest = ctx.op("Sub", x, ctx.op("Floor", x))
    sine = ctx.op("Sin", ctx.op("Mul", rest, math.pi))
    reflected = ctx.op("Sub", ctx.op("Sub", ctx.const(math.log(math.pi), DType.FP64), ctx.op("Log", sine)), above)
    return ctx.cast(ctx.op("Where", small, reflected, above), X.dtype)


@paddle_op("digamma")
def digamma(ctx: Context, X: Value) -> Value:
    x = _double(ctx, X)
    small = ctx.op("Less", x, 0.5)
    y = ctx.op("Where", small, ctx.op("Sub", ctx.const(1.0, DType.FP64), x), x)
    made = _psi(ctx, 0, y)
    rest = ctx.op("Mul", ctx.op("Sub", x, ctx.op("Floor", x)), math.pi)
    cotangent = ctx.op("Div", ctx.op("Cos", rest), ctx.op("Sin", rest))
    reflected = ctx.op("Sub", made, ctx.op("Mul", cotangent, math.pi))
    return ctx.cast(ctx.op("Where", small, reflected, made), X.dtype)


def _psi(ctx: Context, n: int, y: Value) -> Value:
    """The derivative of order *n* of digamma above 0: the recurrence, then the asymptotic series."""
    bernoulli = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66)
    sign = -1.0 if n % 2 == 0 else 1.0
    factorial = math.factorial(n)
    total = None
    for i in range(_SHIFT):
        power = ctx.op("Pow", ctx.op("Add", y, float(i)), -float(n + 1))
        term = ctx.op("Mul", power, sign * factorial)
        total = term if total is None else ctx.op("Add", total, term)
    z = ctx.op("Add", y, float(_SHIFT))
    if n == 0:
        series = ctx.op("Sub", ctx.op("Log", z), ctx.op("Div", ctx.const(0.5, DType.FP64), z))
    else:
        first = ctx.op("Mul", ctx.op("Pow", z, -float(n)), sign * math.factorial(n - 1))
        series = ctx.op("Add", first, ctx.op("Mul", ctx.op("Pow", z, -float(n + 1)), sign * factorial / 2))
    for k, b in enumerate(bernoulli, 1):
        factor = b * math.factorial(2 * k + n - 1) / math.factorial(2 * k)
        series = ctx.op("Add", series, ctx.op("Mul", ctx.op("Pow", z, -float(2 * k + n)), sign * factor))
    return ctx.op("Add", series, total)


@paddle_op("polygamma", outputs=["out"])
def polygamma(ctx: Context, x: Value, *, n: int) -> Value:
    """Of numbers above 0, as Paddle has it (by Hurwitz' zeta)."""
    if n == 0:
        return digamma(ctx, x)
    return ctx.cast(_psi(ctx, n, _double(ctx, x)), x.dtype)


@paddle_op("erfinv")
def erfinv(ctx: Context, X: Value) -> Value:
    x = ctx.cast(X, DType.FP32)
    one = ctx.const(1.0, DType.FP32)
    product = ctx.op("Mul", ctx.op("Sub", one, x), ctx.op("Add", x, 1.0))
    w = ctx.op("Neg", ctx.op("Log", product))
    near = _horner(ctx, ctx.op("Sub", w, 2.5), _ERFINV_NEAR)
    far = _horner(ctx, ctx.op("Sub", ctx.op("Sqrt", w), 3.0), _ERFINV_FAR)
    made = ctx.op("Mul", ctx.op("Where", ctx.op("Less", w, 5.0), near, far), x)
    end = ctx.op("Equal", ctx.op("Abs", x), 1.0)
    made = ctx.op("Where", end, ctx.op("Mul", x, float("inf")), made)
    return ctx.cast(made, X.dtype)


def _bessel(name: str, order: int, scaled: bool) -> None:
    @paddle_op(name, outputs=["out"])
    def convert(ctx: Context, x: Value) -> Value:
        """The power series below 20, the asymptotic one above."""
        y = _double(ctx, x)
        size = ctx.op("Abs", y)
        quarter = ctx.op("Mul", ctx.op("Mul", ctx.op("Min", size, 20.0), ctx.op("Min", size, 20.0)), 0.25)
        series = tuple(1 / (math.factorial(k) * math.factorial(k + order)) for k in reversed(range(_TERMS)))
        small = _horner(ctx, quarter, series)
        if order:
            small = ctx.op("Mul", small, ctx.op("Mul", ctx.op("Min", size, 20.0), 0.5))
        small = ctx.op("Mul", small, ctx.op("Exp", ctx.op("Neg", ctx.op("Min", size, 20.0))))
        inverse = ctx.op("Reciprocal", ctx.op("Max", size, 20.0))
        terms, mu = [1.0], 4.0 * order * order
        for k in range(1, 12):
            terms.append(-terms[-1] * (mu - (2 * k - 1) ** 2) / (8 * k))
        large = _horner(ctx, inverse, tuple(reversed(terms)))
        large = ctx.op("Mul", large, ctx.op("Sqrt", ctx.op("Mul", inverse, 1 / (2 * math.pi))))
        made = ctx.op("Where", ctx.op("Less", size, 20.0), small, large)
        if not scaled:
            made = ctx.op("Mul", made, ctx.op("Exp", size))
        if order:
            made = ctx.op("Mul", made, ctx.op("Sign", y))
        return ctx.cast(made, x.dtype)


for _name, _order, _scaled in (("i0", 0, False), ("i0e", 0, True), ("i1", 1, False), ("i1e", 1, True)):
    _bessel(_name, _order, _scaled)


@paddle_op("sequence_mask", outputs=["Y"])
def sequence_mask(
    ctx: Context, X: Value, MaxLenTensor: Optional[Value] = None, *, maxlen: int = -1, out_dtype: int = int(DType.INT64)
) -> Value:
    x = ctx.cast(X, DType.INT64)
    if MaxLenTensor is not None:
        length = ctx.scalar(ctx.vector(MaxLenTensor))
    elif maxlen > 0:
        length = ctx.const(maxlen, DType.INT64)
    else:
        length = ctx.reduce("ReduceMax", x, None)
    steps = ctx.arange(length)
    return ctx.cast(ctx.op("Less", steps, ctx.unsqueeze(x, [ctx.rank(x)])), DType(out_dtype))


@paddle_op("histogram")
def histogram(
    ctx: Context,
    X: Value,
    Weight: Optional[Value] = None,
    *,
    bins: int = 100,
    min: int = 0,
    max: int = 0,
    density: bool = False,
) -> Value:
    """How many elements lie in each of the even bins; the last one has its upper end."""
    x = ctx.cast(ctx.op("Reshape", X, [-1]), DType.FP32)
    if density or Weight is not None:
        raise Unsupported("weights or a density")
    if min == max:
        low, high = ctx.reduce("ReduceMin", x, None), ctx.reduce("ReduceMax", x, None)
        flat = ctx.op("Equal", low, high)
        low = ctx.op("Where", flat, ctx.op("Sub", low, 1.0), low)
        high = ctx.op("Where", flat, ctx.op("Add", high, 1.0), high)
    else:
        low, high = ctx.const(float(min), DType.FP32), ctx.const(float(max), DType.FP32)
    inside = ctx.op("Not", ctx.op("Or", ctx.op("Less", x, low), ctx.op("Greater", x, high)))
    width = ctx.op("Sub", high, low)
    position = ctx.op("Div", ctx.op("Mul", ctx.op("Sub", x, low), float(bins)), width)
    number = ctx.op("Min", ctx.cast(ctx.op("Floor", position), DType.INT64), bins - 1)
    number = ctx.op("Where", inside, number, ctx.const(-1, DType.INT64))
    same = ctx.op("Equal", ctx.unsqueeze(number, [1]), np.arange(bins, dtype=np.int64))
    return ctx.reduce("ReduceSum", ctx.cast(same, DType.INT64), [0])


@paddle_op("repeat_interleave")
def repeat_interleave(
    ctx: Context, X: Value, RepeatsTensor: Optional[Value] = None, *, Repeats: int = 0, dim: int = 0
) -> Value:
    """Result i is the element before whose end i lies."""
    axis = ctx.axis(dim, ctx.rank(X))
    if RepeatsTensor is None:
        spread = ctx.unsqueeze(X, [axis + 1])
        times = [1] * (ctx.rank(X) + 1)
        times[axis + 1] = Repeats
        tiled = ctx.op("Tile", spread, times)
        sizes = [ctx.dim(X, i) for i in range(ctx.rank(X))]
        sizes[axis] = ctx.op("Mul", sizes[axis], Repeats)
        return ctx.reshape(tiled, ctx.vector(sizes))
    ends = ctx.op("CumSum", ctx.cast(RepeatsTensor, DType.INT64), ctx.const(0, DType.INT64))
    total = ctx.reduce("ReduceSum", ctx.cast(RepeatsTensor, DType.INT64), None)
    steps = ctx.arange(total)
    passed = ctx.op("Not", ctx.op("Greater", ctx.unsqueeze(ends, [0]), ctx.unsqueeze(steps, [1])))
    at = ctx.reduce("ReduceSum", ctx.cast(passed, DType.INT64), [1])
    return ctx.op("Gather", X, at, axis=axis)


@paddle_op("mode", outputs=["Out", "Indices"])
def mode(ctx: Context, X: Value, *, axis: int = -1, keepdim: bool = False) -> tuple[Value, Value]:
    """The most frequent element, of several the smallest, and where it is for the last time."""
    rank = ctx.rank(X)
    where = ctx.axis(axis, rank)
    order = [i for i in range(rank) if i != where] + [where]
    x = ctx.transpose(X, order)
    same = ctx.op("Equal", ctx.unsqueeze(x, [rank]), ctx.unsqueeze(x, [rank - 1]))
    count = ctx.reduce("ReduceSum", ctx.cast(same, DType.INT64), [rank])
    best = ctx.op("Equal", count, ctx.reduce("ReduceMax", count, [rank - 1], True))
    beyond = ctx.const(highest(x.dtype), x.dtype)
    value = ctx.reduce("ReduceMin", ctx.op("Where", best, x, beyond), [rank - 1], True)
    steps = ctx.arange(ctx.dim(x, -1))
    at = ctx.reduce("ReduceMax", ctx.op("Where", ctx.op("Equal", x, value), steps, ctx.const(-1, DType.INT64)),
                    [rank - 1], True)  # fmt: skip
    found = []
    for v in (value, at):
        v = ctx.squeeze(v, [rank - 1])
        found.append(ctx.unsqueeze(v, [where]) if keepdim else v)
    return found[0], found[1]
