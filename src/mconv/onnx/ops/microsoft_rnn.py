"""com.microsoft's recurrent layers on weights of 8 bits."""

from __future__ import annotations

from typing import Any, Optional

from mconv.emit import arithmetic, cells
from mconv.emit import quantize as q
from mconv.emit.expr import Expr
from mconv.emit.shape import reshape, transpose
from mconv.onnx.context import Context, Result
from mconv.onnx.ops.rnn import Attributes, Layer, convert_layer
from mconv.onnx.registry import onnx_op
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Value


@onnx_op("DynamicQuantizeLSTM", domain="com.microsoft")
@attributes_of(Attributes)
def dynamic_quantize_lstm(
    ctx: Context,
    x: Value,
    w: Value,
    r: Value,
    b: Optional[Value] = None,
    sequence_lens: Optional[Value] = None,
    initial_h: Optional[Value] = None,
    initial_c: Optional[Value] = None,
    p: Optional[Value] = None,
    w_scale: Optional[Value] = None,
    w_zero: Optional[Value] = None,
    r_scale: Optional[Value] = None,
    r_zero: Optional[Value] = None,
    *,
    input_forget: int = 0,
    **attributes: Any,
) -> Result:
    """An LSTM whose inputs are quantised as a whole, and whose hidden state is at each step, by their own ranges.

    ONNX Runtime's own operator (contrib_ops, ``DynamicQuantizeLSTM``): *w* is [directions, input, 4 · hidden] and *r*
    [directions, hidden, 4 · hidden], the other way round than those of ``LSTM``; scales and zero points are of a
    direction, [directions], or of each column of it, [directions, 4 · hidden].
    """

    if w_scale is None or w_zero is None or r_scale is None or r_zero is None:
        raise ctx.refuse("its weights have no scale or zero point")
    if ctx.rank(w) != 3 or ctx.rank(r) != 3:
        raise ctx.refuse("its weights do not have three dimensions")

    def product(direction: int, weight: Value, scale: Value, zero: Value) -> cells.Product:
        assert weight.shape is not None
        own = Expr(ctx, weight).slice(0, direction, direction + 1).reshape(*weight.shape[1:]).value
        factor, point = (_of(ctx, v, direction) for v in (scale, zero))

        def times(given: Expr) -> Expr:
            small, small_scale, small_zero = q.dynamic(ctx, given.value)
            exact = ctx.cast(q.product(ctx, small, small_zero, own, point), DType.FP32)
            return Expr(ctx, arithmetic(ctx, "mul", exact, arithmetic(ctx, "mul", small_scale, factor)))

        return times

    plain_w, plain_r = (transpose(ctx, v, [0, 2, 1]) for v in (w, r))
    layer = Layer("LSTM", Attributes(**attributes), x, plain_w, plain_r, b, sequence_lens, [initial_h, initial_c], p)
    layer.input_forget = bool(input_forget)
    layer.products = [(product(d, w, w_scale, w_zero), product(d, r, r_scale, r_zero)) for d in range(layer.directions)]
    return convert_layer(ctx, layer)


def _of(ctx: Context, parameter: Value, direction: int) -> Value:
    """A scale or zero point of one direction: of the whole, or one for each column."""
    own = Expr(ctx, parameter).slice(0, direction, direction + 1)
    return reshape(ctx, own.value, () if ctx.rank(parameter) == 1 else tuple(own.shape[1:]))
