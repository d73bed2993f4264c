"""Layers: convolution, pooling, normalisation, interpolation, padding, embedding, recurrence."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv import emit
from mconv.emit.pad import pad as emit_pad
from mconv.pir.importer import Context
from mconv.pir.ops.reduce import reduce
from mconv.pir.registry import Unsupported, pir_op
from mconv.program import dims as D
from mconv.program.builder import Value
from mconv.program.dtypes import DType


@pir_op("conv2d_transpose", "depthwise_conv2d_transpose", "conv2d_transpose_bias")
def conv2d_transpose(
    ctx: Context,
    x: Value,
    filter: Value,
    *operands: Any,
    strides: list[int],
    paddings: list[int],
    output_padding: list[int],
    padding_algorithm: str,
    groups: int,
    dilations: list[int],
    data_format: str,
) -> Value:
    name = ctx.pir.name.partition(".")[2]
    bias = operands[0] if name.endswith("_bias") else None
    sizes = ctx.ints(operands[-1], "the size of the output")
    made: Value = ctx.op(
        "conv2d_transpose" if bias is not None else name,
        Input=x,
        Filter=filter,
        strides=strides,
        paddings=paddings,
        output_padding=output_padding,
        output_size=sizes,
        padding_algorithm=padding_algorithm,
        groups=groups,
        dilations=dilations,
        data_format=data_format,
        result={"Output": ctx.spec()},
    )[0]
    if bias is None:
        return made
    channels = (1, -1, 1, 1) if data_format != "NHWC" else (1, 1, 1, -1)
    shaped = emit.reshape(ctx.b, bias, tuple(d if d > 0 else (bias.shape or (1,))[0] for d in channels))
    return emit.binary(ctx.b, "elementwise_add", made, shaped)


@pir_op("conv3d_transpose")
def conv3d_transpose(
    ctx: Context,
    x: Value,
    filter: Value,
    *,
    strides: list[int],
    paddings: list[int],
    output_padding: list[int],
    output_size: list[int],
    padding_algorithm: str,
    groups: int,
    dilations: list[int],
    data_format: str,
) -> Value:
    made: Value = ctx.op(
        "conv3d_transpose",
        Input=x,
        Filter=filter,
        strides=strides,
        paddings=paddings,
        output_padding=output_padding,
        output_size=output_size,
        padding_algorithm=padding_algorithm,
        groups=groups,
        dilations=dilations,
        data_format=data_format,
        result={"Output": ctx.spec()},
    )[0]
    return made


@pir_op("pool2d", "pool3d")
def pool(
    ctx: Context,
    x: Value,
    size: Any = None,
    *,
    strides: list[int],
    paddings: list[int],
    ceil_mode: bool,
    exclusive: bool,
    data_format: str,
    pooling_type: str,
    global_pooling: bool,
    adaptive: bool,
    padding_algorithm: str,
    kernel_size: Optional[list[int]] = None,
) -> Value:
    op = ctx.pir.name.partition(".")[2]
    made: Value = ctx.op(
        op,
        X=x,
        ksize=kernel_size if kernel_size is not None else ctx.ints(size, "the size of the window"),
        strides=strides,
        paddings=paddings,
        ceil_mode=ceil_mode,
        exclusive=exclusive,
        data_format=data_format,
        pooling_type=pooling_type,
        global_pooling=global_pooling,
        adaptive=adaptive,
        padding_algorithm=padding_algorithm,
        result=ctx.spec(like=_spatial(x, data_format)),
    )
    return made


def _spatial(x: Value, data_format: str) -> Any:
    """The shape of *x* with its spatial sizes unknown."""
    if x.shape is None:
        return None
    last = data_format.endswith("C")
    return [d if i == 0 or i == (len(x.shape) - 1 if last else 1) else D.Sym.fresh("pool") for i, d in enumerate(x.shape)]


@pir_op("lp_pool2d")
def lp_pool2d(
    ctx: Context,
    x: Value,
    size: Any = None,
    *,
    kernel_size: Optional[list[int]] = None,
    norm_type: float,
    strides: list[int],
    paddings: list[int],
    ceil_mode: bool,
    exclusive: bool,
    data_format: str,
    pooling_type: str,
    global_pooling: bool,
    adaptive: bool,
    padding_algorithm: str,
) -> Value:
    """The p-th root of the sum of p-th powers in the window: an average that counts every place, times its size."""
    if not norm_type or np.isinf(norm_type):
        raise Unsupported(f"lp_pool2d with the norm {norm_type}")
    b = ctx.b
    window = kernel_size if kernel_size is not None else ctx.ints(size)
    powers: Value = ctx.op("pow", X=x, factor=norm_type, result=(x.dtype, x.shape))
    if ceil_mode:
        raise Unsupported("lp_pool2d with ceil_mode")
    mean = ctx.op(
        "pool2d",
        X=powers,
        ksize=window,
        strides=strides,
        paddings=paddings,
        ceil_mode=ceil_mode,
        exclusive=False,
        data_format=data_format,
        pooling_type="avg",
        global_pooling=global_pooling,
        adaptive=adaptive,
        padding_algorithm=padding_algorithm,
        result=ctx.spec(),
    )
    total = emit.scale(b, mean, float(np.prod(window)))
    made: Value = ctx.op("pow", X=total, factor=1.0 / norm_type, result=ctx.spec())
    return made


@pir_op("batch_norm_", "batch_norm", "sync_batch_norm_")
def batch_norm(
    ctx: Context,
    x: Value,
    mean: Value,
    variance: Value,
    scale: Optional[Value],
    bias: Optional[Value],
    *,
    is_test: bool,
    momentum: float,
    epsilon: float,
    data_format: str,
    use_global_stats: bool,
    trainable_statistics: bool,
) -> tuple:
    b = ctx.b
    if not (is_test or use_global_stats):
        raise Unsupported("batch normalisation in training mode (call layer.eval() before saving)")
    channels = mean.shape or (1,)
    scale = scale if scale is not None else b.constant(np.ones(channels, mean.dtype.numpy), mean.dtype)  # type: ignore[arg-type]
    bias = bias if bias is not None else b.constant(np.zeros(channels, mean.dtype.numpy), mean.dtype)  # type: ignore[arg-type]
    y = b.variable("batch_norm.tmp", x.dtype, x.shape)
    saved = [b.variable("batch_norm.saved", mean.dtype, mean.shape) for _ in range(2)]
    # the running statistics are written back where they came from, as Paddle's own programs have it and as its
    # fusion passes look for it
    b.raw_op(
        "batch_norm",
        {"X": [x], "Scale": [scale], "Bias": [bias], "Mean": [mean], "Variance": [variance]},
        {"Y": [y], "MeanOut": [mean], "VarianceOut": [variance], "SavedMean": [saved[0]], "SavedVariance": [saved[1]]},
        is_test=True,
        momentum=momentum,
        epsilon=epsilon,
        data_layout=data_format,
        use_global_stats=use_global_stats,
        trainable_statistics=False,
    )
    return y, mean, variance, None, None, None


@pir_op("layer_norm")
def layer_norm(
    ctx: Context, x: Value, scale: Optional[Value], bias: Optional[Value], *, epsilon: float, begin_norm_axis: int
) -> tuple:
    arguments = {"Scale": _flat(ctx, scale), "Bias": _flat(ctx, bias)}
    made = ctx.op(
        "layer_norm",
        X=x,
        **arguments,
        epsilon=epsilon,
        begin_norm_axis=begin_norm_axis,
        result={"Y": (x.dtype, x.shape)},
    )
    return made[0], None, None


def _flat(ctx: Context, x: Optional[Value]) -> Optional[Value]:
    return x if x is None or x.rank == 1 else emit.reshape(ctx.b, x, (D.product(x.shape or ()),))


@pir_op("rms_norm")
def rms_norm(
    ctx: Context, x: Value, scale: Optional[Value], *, normalized_shape: list[int], epsilon: float
) -> tuple:
    """x / sqrt(mean(x²) + epsilon) · scale, over the last dimensions."""
    axes = list(range(-len(normalized_shape), 0))
    return root_mean_square(ctx, x, scale, axes, epsilon), None


def root_mean_square(ctx: Context, x: Value, scale: Optional[Value], axes: list[int], epsilon: float) -> Value:
    b = ctx.b
    wide = b.cast(x, DType.FP32) if x.dtype in (DType.FP16, DType.BF16) else x
    mean = reduce(ctx, "reduce_mean", emit.unary(b, "square", wide), axes, True)
    factor = emit.unary(b, "rsqrt", emit.scale(b, mean, 1.0, float(epsilon)))
    made = b.cast(emit.binary(b, "elementwise_mul", wide, factor), x.dtype)
    return made if scale is None else emit.binary(b, "elementwise_mul", made, b.cast(scale, x.dtype))


@pir_op("dropout")
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


@pir_op("embedding")
def embedding(ctx: Context, ids: Value, weight: Value, *, padding_idx: int, sparse: bool = False) -> Value:
    shape = (*(ids.shape or ()), (weight.shape or ())[1])
    made: Value = ctx.op("lookup_table_v2", W=weight, Ids=ids, padding_idx=padding_idx, result=(weight.dtype, shape))
    if not ids.rank and not ctx.has_0d:
        return ctx.reshaped(made, shape)
    return made


@pir_op("rnn")
def rnn(
    ctx: Context,
    x: Value,
    states: list[Value],
    weights: list[Value],
    lengths: Optional[Value] = None,
    dropout_state: Optional[Value] = None,
    *,
    dropout_prob: float,
    is_bidirec: bool,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    mode: str,
    seed: int,
    is_test: bool,
) -> tuple:
    width = hidden_size * (2 if is_bidirec else 1)
    out = (x.dtype, (*(x.shape or ())[:2], width))
    specs = {"Out": out, "State": [(s.dtype, s.shape) for s in states], "DropoutState": (DType.UINT8, (0,))}
    made, final, state = ctx.op(
        "rnn",
        Input=x,
        PreState=states,
        WeightList=weights,
        SequenceLength=lengths,
        dropout_prob=dropout_prob,
        is_bidirec=is_bidirec,
        input_size=input_size,
        hidden_size=hidden_size,
        num_layers=num_layers,
        mode=mode,
        seed=seed,
        is_test=True,
        result=specs,
    )
    return made, state, list(final), None


@pir_op("bilinear_interp", "nearest_interp", "bicubic_interp", "linear_interp", "trilinear_interp")
def interpolate(
    ctx: Context,
    x: Value,
    out_size: Optional[Value],
    size_tensor: Optional[list[Value]],
    scale_tensor: Optional[Value],
    *,
    data_format: str,
    out_d: int,
    out_h: int,
    out_w: int,
    scale: list[float],
    interp_method: str,
    align_corners: bool,
    align_mode: int,
) -> Value:
    op = ctx.pir.name.partition(".")[2] + "_v2"
    arguments: dict[str, Any] = {}
    sizes = [out_d, out_h, out_w]
    at = {1: [2], 2: [1, 2], 3: [0, 1, 2]}[(x.rank or 3) - 2]
    for given in (out_size, size_tensor):
        if given is None:
            continue
        known = ctx.dims(given)  # type: ignore[arg-type]
        if known is not None and D.is_static(known):
            for i, d in zip(at, known):
                sizes[i] = int(d)  # type: ignore[arg-type]
        elif given is out_size:
            arguments["OutSize"] = ctx.tensor(out_size)
        else:
            arguments["SizeTensor"] = [ctx.one(ctx.b.cast(v, DType.INT32)) for v in size_tensor or ()]
        scale = []
    if scale_tensor is not None and not arguments:
        number = ctx.number(scale_tensor)
        if number is None:
            arguments["Scale"] = scale_tensor
        else:
            scale = [float(number)] * len(at)
    made: Value = ctx.op(
        op,
        X=x,
        data_layout=data_format,
        out_d=sizes[0],
        out_h=sizes[1],
        out_w=sizes[2],
        scale=scale,
        interp_method=interp_method,
        align_corners=align_corners,
        align_mode=align_mode,
        **arguments,
        result=ctx.spec(like=_spatial(x, data_format)),
    )
    return made


@pir_op("pad")
def pad(ctx: Context, x: Value, pad_value: Any, *, paddings: list[int], pad_from_left_axis: bool = True) -> Value:
    number = ctx.number(pad_value)
    if number is None:
        raise Unsupported("a value of padding that is computed at run time")
    pairs = list(zip(paddings[::2], paddings[1::2]))
    if not pad_from_left_axis and len(pairs) == x.rank:
        pairs = pairs[::-1]
    # not the operator of that name, which hangs or crashes under oneDNN in 2.6 and 3
    return emit_pad(ctx.b, x, [p for p, _ in pairs], [p for _, p in pairs], "constant", ctx.b.constant(np.array(number).astype(x.dtype.numpy), x.dtype))


@pir_op("pad3d")
def pad3d(ctx: Context, x: Value, paddings: Any, *, mode: str, pad_value: float, data_format: str) -> Value:
    known = ctx.dims(paddings)
    arguments: dict[str, Any] = {}
    if known is not None and D.is_static(known):
        arguments["paddings"] = [int(d) for d in known]  # type: ignore[arg-type]
    else:
        arguments["Paddings"] = ctx.tensor(paddings)
    made: Value = ctx.op(
        "pad3d", X=x, **arguments, mode=mode, value=float(pad_value), data_format=data_format, result=ctx.spec()
    )
    return made


@pir_op("prelu")
def prelu(ctx: Context, x: Value, alpha: Value, *, data_format: str, mode: str) -> Value:
    if not alpha.rank:
        alpha = ctx.one(alpha)
    made: Value = ctx.op("prelu", X=x, Alpha=alpha, data_format=data_format, mode=mode, result=(x.dtype, x.shape))
    return made


@pir_op("rrelu")
def rrelu(ctx: Context, x: Value, *, lower: float, upper: float, is_test: bool) -> tuple:
    if not is_test:
        raise Unsupported("rrelu in training mode (call layer.eval() before saving)")
    made: Value = ctx.op("leaky_relu", X=x, alpha=(lower + upper) / 2, result=(x.dtype, x.shape))
    return made, None


@pir_op("swiglu")
def swiglu(ctx: Context, x: Value, y: Optional[Value] = None) -> Value:
    b = ctx.b
    if y is None:
        shape = x.shape or ()
        half = D.floordiv(shape[-1], 2)
        x, y = b.op("split", X=x, axis=len(shape) - 1, num=2, sections=[], result={"Out": [(x.dtype, (*shape[:-1], half))] * 2})[0]
    return emit.binary(b, "elementwise_mul", emit.unary(b, "silu", x), y)


@pir_op("softmax", "log_softmax")
def softmax(ctx: Context, x: Value, *, axis: int) -> Value:
    op = ctx.pir.name.partition(".")[2].rstrip("_")
    made: Value = ctx.op(op, X=x, axis=axis, result=(x.dtype, x.shape))
    return made


@pir_op("cross_entropy_with_softmax")
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
    made = ctx.op(
        "softmax_with_cross_entropy",
        Logits=logits,
        Label=label,
        soft_label=soft_label,
        use_softmax=use_softmax,
        numeric_stable_mode=numeric_stable_mode,
        ignore_index=ignore_index,
        axis=axis,
        result={"Softmax": (logits.dtype, shape), "Loss": (logits.dtype, loss)},
    )
    return made[0], made[1]


@pir_op("kldiv_loss")
def kldiv_loss(ctx: Context, x: Value, target: Value, *, reduction: str, log_target: bool = False) -> Any:
    sig = ctx.b.operators["kldiv_loss"]["attrs"]
    if not log_target or "log_target" in sig:
        return ctx.generic()
    b = ctx.b
    # exp(t)·(t - x), reduced
    loss = emit.binary(b, "elementwise_mul", emit.unary(b, "exp", target), emit.binary(b, "elementwise_sub", target, x))
    if reduction == "none":
        return loss
    if reduction == "batchmean":
        total = reduce(ctx, "reduce_sum", loss, [], False)
        n = b.cast(emit.shape.dim_tensor(b, (x.shape or (1,))[0]), x.dtype)
        return emit.binary(b, "elementwise_div", total, emit.reshape(b, n, ()))
    return reduce(ctx, {"mean": "reduce_mean", "sum": "reduce_sum"}[reduction], loss, [], False)


@pir_op("bilinear")
def bilinear(ctx: Context, x: Value, y: Value, weight: Value, bias: Optional[Value] = None) -> Value:
    if bias is not None and bias.rank == 1:
        bias = emit.reshape(ctx.b, bias, (1, (bias.shape or (1,))[0]))
    made: Value = ctx.op("bilinear_tensor_product", X=x, Y=y, Weight=weight, Bias=bias, result=ctx.spec())
    return made


@pir_op("nll_loss")
def nll_loss(ctx: Context, x: Value, label: Value, weight: Optional[Value] = None, *, ignore_index: int, reduction: str) -> tuple:
    made = ctx.op(
        "nll_loss",
        X=x,
        Label=label,
        Weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        result={"Out": ctx.spec(0), "Total_weight": (x.dtype, ())},
    )
    return made[0], made[1]


@pir_op("deformable_conv")
def deformable_conv(
    ctx: Context,
    x: Value,
    offset: Value,
    filter: Value,
    mask: Optional[Value] = None,
    **attrs: Any,
) -> Value:
    op = "deformable_conv_v1" if mask is None else "deformable_conv"
    inputs: dict[str, Any] = {"Input": x, "Offset": offset, "Filter": filter}
    if mask is not None:
        inputs["Mask"] = mask
    made: Value = ctx.op(op, **inputs, **attrs, result={"Output": ctx.spec()})[0]
    return made
