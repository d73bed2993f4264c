"""Element by element."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np

from mconv import emit
from mconv.emit import integer
from mconv.paddle.context import Context, Number
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

_BINARY = {
    "add": "elementwise_add",
    "subtract": "elementwise_sub",
    "multiply": "elementwise_mul",
    "divide": "elementwise_div",
    "remainder": "elementwise_mod",
    "floor_divide": "elementwise_floordiv",
    "maximum": "elementwise_max",
    "minimum": "elementwise_min",
    "fmax": "elementwise_fmax",
    "fmin": "elementwise_fmin",
    "elementwise_pow": "elementwise_pow",
    "bitwise_and": "bitwise_and",
    "bitwise_or": "bitwise_or",
    "bitwise_xor": "bitwise_xor",
    "copysign": "copysign",
    "heaviside": "elementwise_heaviside",
}


@paddle_op(*_BINARY)
def binary(ctx: Context, x: Value, y: Value) -> Value:
    name = ctx.name.rstrip("_")
    op = _BINARY[name]
    if name == "copysign" and op in ctx.b.operators and x.dtype.is_float:
        return ctx.generic()[0]
    if name == "copysign":
        out, _ = ctx.spec()
        return emit.elementwise.copysign(ctx.b, ctx.b.cast(x, out), ctx.b.cast(y, out))
    if op not in ctx.b.operators:
        if name == "heaviside":
            return emit.elementwise.heaviside(ctx.b, x, y)
        raise Unsupported(f"Paddle {ctx.b.target.paddle} has no operator {op}")
    if x.dtype.is_int and name in ("add", "subtract", "multiply", "maximum", "minimum"):
        kind = {"add": "add", "subtract": "sub", "multiply": "mul", "maximum": "max", "minimum": "min"}[name]
        return emit.arithmetic(ctx.b, kind, x, y)
    if name == "floor_divide":
        return integer.floor_divide(ctx.b, x, y, of_quotient=True)
    if name == "remainder":
        return integer.modulo(ctx.b, x, y)
    dtype, _ = ctx.spec()
    return emit.binary(ctx.b, op, x, y, dtype=dtype if dtype is not x.dtype else None)


@paddle_op("equal", "not_equal", "less_than", "less_equal", "greater_than", "greater_equal")
def compare(ctx: Context, x: Value, y: Value) -> Value:
    op = ctx.name.rstrip("_")
    if x.dtype is DType.BOOL and op not in ("equal", "not_equal"):
        x, y = ctx.b.cast(x, DType.INT32), ctx.b.cast(y, DType.INT32)
    return emit.compare(ctx.b, op, x, y)


@paddle_op("logical_and", "logical_or", "logical_xor")
def logical(ctx: Context, x: Value, y: Value) -> Value:
    return emit.logical(ctx.b, ctx.name.rstrip("_"), truth(ctx, x), truth(ctx, y))


@paddle_op("logical_not")
def logical_not(ctx: Context, x: Value) -> Value:
    return emit.logical(ctx.b, "logical_not", truth(ctx, x))


def truth(ctx: Context, x: Value) -> Value:
    """*x* as bool: what is not zero is true (as a cast has it)."""
    return ctx.b.cast(x, DType.BOOL)


@paddle_op("scale")
def scale(ctx: Context, x: Value, factor: Value, *, bias: Number, bias_after_scale: bool) -> Value:
    b = ctx.b
    number = ctx.number(factor)
    if number is None:
        product = emit.binary(
            b, "elementwise_mul", x, b.cast(ctx.reshaped(factor, ()) if not x.shape else factor, x.dtype)
        )
        return product if not bias else emit.scale(b, product, 1.0, float(bias))
    known = ctx.dims(x)
    whole = float(number).is_integer() and float(bias).is_integer()
    if x.is_const and known is not None and whole and emit.foldable(x):
        f, add = int(number), int(bias)
        out = [int(d) * f + add if bias_after_scale else (int(d) + add) * f for d in known]  # type: ignore[arg-type]
        return b.constant(np.array(out).reshape(np.asarray(x.const).shape).astype(x.dtype.numpy), x.dtype)
    if number == 1.0 and not bias:
        return x
    made = ctx.op(
        "scale",
        X=x,
        scale=float(number),
        bias=float(bias),
        bias_after_scale=bias_after_scale,
        result=(x.dtype, x.shape),
    )
    if known is not None and whole:
        f, add = int(number), int(bias)
        made.data = tuple(d * f + add if bias_after_scale else (d + add) * f for d in known)
    return made


@paddle_op("abs")
def absolute(ctx: Context, x: Value) -> Value:
    if x.dtype in (DType.INT32, DType.INT64):
        # oneDNN's passes fuse abs into an integer operator before it, which 3 then refuses
        return emit.maximum(ctx.b, x, emit.scale(ctx.b, x, -1.0))
    kind, _ = ctx.spec()
    return ctx.op("abs", X=x, result=(kind, x.shape))


@paddle_op("cast")
def cast(ctx: Context, x: Value, *, dtype: Optional[DType]) -> Value:
    kind, _ = ctx.spec()
    return ctx.b.cast(x, kind)


@paddle_op("pow")
def power(ctx: Context, x: Value, *, y: Number) -> Value:
    return ctx.op("pow", X=x, factor=float(y), result=(x.dtype, x.shape))


@paddle_op("clip")
def clip(ctx: Context, x: Value, low: Optional[Value] = None, high: Optional[Value] = None) -> Value:
    b = ctx.b
    bounds = [None if v is None else ctx.number(v) for v in (low, high)]
    exact = x.dtype in (DType.FP32, DType.FP16, DType.BF16) or all(
        n is not None and (abs(n) < 2**24 or math.isinf(n)) for n in bounds
    )
    if None not in bounds and exact:
        top = float(np.finfo(np.float32).max)
        lo, hi = (min(max(float(n), -top), top) for n in bounds)  # type: ignore[arg-type]
        if x.dtype.is_float:
            return ctx.op("clip", X=x, min=lo, max=hi, result=(x.dtype, x.shape))
    for value, op in ((low, "elementwise_max"), (high, "elementwise_min")):
        if value is not None:
            x = emit.binary(b, op, x, _like(ctx, value, x))
    return x


def _like(ctx: Context, value: Value, x: Value) -> Value:
    """A scalar operand in the type of *x*, one dimension at most."""
    number = ctx.number(value)
    if number is None:
        return ctx.b.cast(value, x.dtype)
    if x.dtype.is_int:
        info = np.iinfo(x.dtype.numpy)
        number = int(min(max(number, info.min), info.max))
    return ctx.b.constant(np.array(number).astype(x.dtype.numpy), x.dtype)


@paddle_op("where")
def where(ctx: Context, condition: Value, x: Value, y: Value) -> Value:
    return emit.where(ctx.b, condition, x, y)


@paddle_op("masked_fill")
def masked_fill(ctx: Context, x: Value, mask: Value, value: Value) -> Value:
    return emit.where(ctx.b, mask, ctx.b.cast(value, x.dtype), x)


@paddle_op("lerp")
def lerp(ctx: Context, x: Value, y: Value, weight: Value) -> Value:
    b = ctx.b
    weight = b.cast(weight, x.dtype)
    difference = emit.binary(b, "elementwise_sub", y, x)
    return emit.binary(b, "elementwise_add", x, emit.binary(b, "elementwise_mul", weight, difference))


@paddle_op("isclose", "allclose")
def close(ctx: Context, x: Value, y: Value, rtol: Value, atol: Value, *, equal_nan: bool) -> Value:
    op = ctx.name
    tolerances = [ctx.number(rtol), ctx.number(atol)]
    if None in tolerances:
        raise Unsupported("a tolerance that is computed at run time")
    shape = D.broadcast(x.shape, y.shape)
    x, y = (emit.expand_to(ctx.b, v, shape, (x, y)) for v in (x, y))  # type: ignore[arg-type]
    return ctx.op(
        op,
        Input=x,
        Other=y,
        rtol=repr(tolerances[0]),
        atol=repr(tolerances[1]),
        equal_nan=equal_nan,
        result=ctx.spec(like=shape if op == "isclose" else ()),
    )


@paddle_op("add_n")
def add_n(ctx: Context, values: list[Value]) -> Value:
    return ctx.op("sum", X=values, result=(values[0].dtype, values[0].shape))


@paddle_op("trunc_divide")
def trunc_divide(ctx: Context, x: Value, y: Value) -> Value:
    return integer.trunc_divide(ctx.b, x, y)


@paddle_op("bitwise_left_shift", "bitwise_right_shift")
def shift(ctx: Context, x: Value, y: Value, *, is_arithmetic: bool) -> Value:
    b = ctx.b
    op = ctx.name.rstrip("_")
    if op in b.operators:
        return ctx.op(op, x=x, y=y, is_arithmetic=is_arithmetic, result=ctx.spec())
    if not is_arithmetic:
        raise Unsupported(f"Paddle {b.target.paddle} has no operator {op}")
    return integer.shift(b, x, y, left=True) if op == "bitwise_left_shift" else integer.shift_right(b, x, y)


@paddle_op("gammaln")
def gammaln(ctx: Context, x: Value) -> Value:
    return emit.unary(ctx.b, "lgamma", x)


@paddle_op("round")
def rounded(ctx: Context, x: Value, *, decimals: int = 0) -> Value:
    if x.dtype.is_int:
        return x
    if not decimals:
        return emit.unary(ctx.b, "round", x)
    factor = float(10.0**decimals)
    return emit.scale(ctx.b, emit.unary(ctx.b, "round", emit.scale(ctx.b, x, factor)), 1.0 / factor)
