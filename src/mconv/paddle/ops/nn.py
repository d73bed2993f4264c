"""Layers: embedding, recurrence, gates, losses."""

from __future__ import annotations

from typing import Any, Optional, TypedDict

from mconv import emit
from mconv.paddle.context import Context
from mconv.paddle.ops.reduce import reduce
from mconv.paddle.registry import Unsupported, paddle_op
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.schemas import attributes_of
from mconv.program.value import Results, Value


@paddle_op("dropout")
def dropout(
    ctx: Context,
    x: Value,
    seed_tensor: Optional[Value],
    p: Any,
    *,
    is_test: bool,
    mode: str,
    seed: int = 0,
    fix_seed: bool = False,
) -> tuple:
    rate = ctx.number(p)
    if not is_test:
        raise Unsupported("dropout in training mode (call layer.eval() before saving)")
    if mode == "upscale_in_train" or not rate:
        return x, None
    return emit.scale(ctx.b, x, 1.0 - float(rate)), None


@paddle_op("embedding")
def embedding(ctx: Context, ids: Value, weight: Value, *, padding_idx: int, sparse: bool = False) -> Value:
    shape = (*(ids.shape or ()), (weight.shape or ())[1])
    made = ctx.op("lookup_table_v2", W=weight, Ids=ids, padding_idx=padding_idx, result=(weight.dtype, shape))
    if not ids.rank and not ctx.has_0d:
        return ctx.reshaped(made, shape)
    return made


class Recurrent(TypedDict):
    """What is passed on of recurrent layers."""

    dropout_prob: float
    input_size: int
    num_layers: int
    mode: str
    seed: int
    is_test: bool


@paddle_op("rnn")
@attributes_of(Recurrent)
def rnn(
    ctx: Context,
    x: Value,
    states: list[Value],
    weights: list[Value],
    lengths: Optional[Value] = None,
    dropout_state: Optional[Value] = None,
    *,
    is_bidirec: bool,
    hidden_size: int,
    **attributes: Any,
) -> tuple:
    width = hidden_size * (2 if is_bidirec else 1)
    out = (x.dtype, (*(x.shape or ())[:2], width))
    specs: Results = {"Out": out, "State": [(s.dtype, s.shape) for s in states], "DropoutState": (DType.UINT8, (0,))}
    made, *final, state = ctx.op_outputs(
        "rnn",
        Input=x,
        PreState=states,
        WeightList=weights,
        SequenceLength=lengths,
        is_bidirec=is_bidirec,
        hidden_size=hidden_size,
        **{**attributes, "is_test": True},
        results=specs,
    )
    return made, state, final, None


@paddle_op("prelu")
def prelu(ctx: Context, x: Value, alpha: Value, *, data_format: str, mode: str) -> Value:
    if not alpha.rank:
        alpha = ctx.one(alpha)
    return ctx.op("prelu", X=x, Alpha=alpha, data_format=data_format, mode=mode, result=(x.dtype, x.shape))


@paddle_op("rrelu")
def rrelu(ctx: Context, x: Value, *, lower: float, upper: float, is_test: bool) -> tuple:
    if not is_test:
        raise Unsupported("rrelu in training mode (call layer.eval() before saving)")
    made = ctx.op("leaky_relu", X=x, alpha=(lower + upper) / 2, result=(x.dtype, x.shape))
    return made, None


@paddle_op("celu")
def celu(ctx: Context, x: Value, *, alpha: float) -> Any:
    if ctx.has("celu"):
        return ctx.generic()  # 1:1
    return emit.activation.celu(ctx.b, x, alpha)


@paddle_op("swiglu")
def swiglu(ctx: Context, x: Value, y: Optional[Value] = None) -> Value:
    b = ctx.b
    if y is None:
        shape = x.shape or ()
        half = D.floordiv(shape[-1], 2)
        x, y = b.op_outputs(
            "split", X=x, axis=len(shape) - 1, num=2, sections=[], results={"Out": [(x.dtype, (*shape[:-1], half))] * 2}
        )
    return emit.binary(b, "elementwise_mul", emit.unary(b, "silu", x), y)


@paddle_op("cross_entropy_with_softmax")
def cross_entropy(
    ctx: Context,
    logits: Value,
    label: Value,
    *,
    soft_label: bool,
    use_softmax: bool,
    numeric_stable_mode: bool,
    ignore_index: int,
    axis: int,
) -> tuple:
    shape = logits.shape or ()
    rank = len(shape)
    loss = tuple(1 if i == axis % rank else d for i, d in enumerate(shape))
    made = ctx.op_outputs(
        "softmax_with_cross_entropy",
        Logits=logits,
        Label=label,
        soft_label=soft_label,
        use_softmax=use_softmax,
        numeric_stable_mode=numeric_stable_mode,
        ignore_index=ignore_index,
        axis=axis,
        results={"Softmax": (logits.dtype, shape), "Loss": (logits.dtype, loss)},
    )
    return made[0], made[1]


@paddle_op("kldiv_loss")
def kldiv_loss(ctx: Context, x: Value, target: Value, *, reduction: str, log_target: bool = False) -> Any:
    sig = ctx.b.signature("kldiv_loss")["attrs"]
    if not log_target or "log_target" in sig:
        return ctx.generic()
    b = ctx.b
    # exp(t)·(t - x), reduced
    loss = emit.binary(b, "elementwise_mul", emit.unary(b, "exp", target), emit.binary(b, "elementwise_sub", target, x))
    if reduction == "none":
        return loss
    if reduction == "batchmean":
        total = reduce(ctx, "sum", loss, [], False)
        n = b.cast(emit.dim_tensor(b, (x.shape or (1,))[0]), x.dtype)
        return emit.binary(b, "elementwise_div", total, emit.reshape(b, n, ()))
    return reduce(ctx, reduction, loss, [], False)


@paddle_op("bilinear")
def bilinear(ctx: Context, x: Value, y: Value, weight: Value, bias: Optional[Value] = None) -> Value:
    if bias is not None and bias.rank == 1:
        bias = emit.reshape(ctx.b, bias, (1, (bias.shape or (1,))[0]))
    return ctx.op("bilinear_tensor_product", X=x, Y=y, Weight=weight, Bias=bias, result=ctx.spec())


@paddle_op("nll_loss")
def nll_loss(
    ctx: Context, x: Value, label: Value, weight: Optional[Value] = None, *, ignore_index: int, reduction: str
) -> tuple:
    made = ctx.op_outputs(
        "nll_loss",
        X=x,
        Label=label,
        Weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        results={"Out": ctx.spec(0), "Total_weight": (x.dtype, ())},
    )
    return made[0], made[1]
