"""Losses, as far as a model computes them when it is used."""

from __future__ import annotations

from typing import Optional

from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.ops.norm import log_softmax, softmax
from mconv.exporters.onnx.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.value import Value


def reduced(ctx: Context, x: Value, reduction: str) -> Value:
    if reduction == "none":
        return x
    if reduction == "batchmean":
        count = ctx.cast(ctx.dim(x, 0), x.dtype)
        return ctx.op("Div", ctx.reduce("ReduceSum", x, None), ctx.reshape(count, []))
    return ctx.reduce("ReduceMean" if reduction == "mean" else "ReduceSum", x, None)


@paddle_op("bce_loss")
def bce_loss(ctx: Context, X: Value, Label: Value) -> Value:
    """Paddle bounds the logarithms by -100."""
    one = ctx.const(1.0, X.dtype)
    low = ctx.const(-100.0, X.dtype)
    yes = ctx.op("Max", ctx.op("Log", X), low)
    no = ctx.op("Max", ctx.op("Log", ctx.op("Sub", one, X)), low)
    both = ctx.op("Add", ctx.op("Mul", Label, yes), ctx.op("Mul", ctx.op("Sub", one, Label), no))
    return ctx.op("Neg", both)


@paddle_op("log_loss", outputs=["Loss"])
def log_loss(ctx: Context, Predicted: Value, Labels: Value, *, epsilon: float = 1e-7) -> Value:
    one = ctx.const(1.0, Predicted.dtype)
    yes = ctx.op("Mul", Labels, ctx.op("Log", ctx.op("Add", Predicted, epsilon)))
    rest = ctx.op("Add", ctx.op("Sub", one, Predicted), epsilon)
    no = ctx.op("Mul", ctx.op("Sub", one, Labels), ctx.op("Log", rest))
    return ctx.op("Sub", ctx.op("Neg", yes), no)


@paddle_op("sigmoid_cross_entropy_with_logits")
def sigmoid_cross_entropy(
    ctx: Context,
    X: Value,
    Label: Value,
    pos_weight: Optional[Value] = None,
    *,
    ignore_index: int = -100,
    normalize: bool = False,
) -> Value:
    zero = ctx.const(0.0, X.dtype)
    if pos_weight is None:
        first = ctx.op("Sub", ctx.op("Max", X, zero), ctx.op("Mul", X, Label))
        loss = ctx.op("Add", first, ctx.op("Softplus", ctx.op("Neg", ctx.op("Abs", X))))
    else:  # -w·y·log σ(x) - (1-y)·log σ(-x)
        yes = ctx.op("Mul", ctx.op("Mul", pos_weight, Label), ctx.op("Softplus", ctx.op("Neg", X)))
        loss = ctx.op("Add", yes, ctx.op("Mul", ctx.op("Sub", ctx.const(1.0, X.dtype), Label), ctx.op("Softplus", X)))
    ignored = ctx.op("Equal", Label, float(ignore_index))
    loss = ctx.op("Where", ignored, zero, loss)
    if not normalize:
        return loss
    kept = ctx.reduce("ReduceSum", ctx.cast(ctx.op("Not", ignored), X.dtype), None)
    return ctx.op("Div", loss, ctx.op("Max", kept, 1e-5))


@paddle_op("kldiv_loss", outputs=["Loss"])
def kldiv_loss(ctx: Context, X: Value, Target: Value, *, reduction: str = "mean", log_target: bool = False) -> Value:
    if log_target:
        loss = ctx.op("Mul", ctx.op("Exp", Target), ctx.op("Sub", Target, X))
    else:
        positive = ctx.op("Greater", Target, 0.0)
        safe = ctx.op("Where", positive, Target, ctx.const(1.0, X.dtype))
        terms = ctx.op("Mul", Target, ctx.op("Sub", ctx.op("Log", safe), X))
        loss = ctx.op("Where", positive, terms, ctx.const(0.0, X.dtype))
    return reduced(ctx, loss, reduction)


@paddle_op("huber_loss", outputs=["Out", "Residual"])
def huber_loss(ctx: Context, X: Value, Y: Value, *, delta: float) -> tuple[Value, Value]:
    rest = ctx.op("Sub", Y, X)
    size = ctx.op("Abs", rest)
    near = ctx.op("Mul", ctx.op("Mul", rest, rest), 0.5)
    far = ctx.op("Mul", ctx.op("Sub", size, 0.5 * delta), delta)
    return ctx.op("Where", ctx.op("Greater", size, delta), far, near), rest


@paddle_op("hinge_loss", outputs=["Loss"])
def hinge_loss(ctx: Context, Logits: Value, Labels: Value) -> Value:
    sign = ctx.op("Sub", ctx.op("Mul", Labels, 2.0), 1.0)
    return ctx.op("Relu", ctx.op("Sub", ctx.const(1.0, Logits.dtype), ctx.op("Mul", sign, Logits)))


@paddle_op("l1_norm")
def l1_norm(ctx: Context, X: Value) -> Value:
    return ctx.reduce("ReduceL1", X, None)


@paddle_op("label_smooth")
def label_smooth(ctx: Context, X: Value, PriorDist: Optional[Value] = None, *, epsilon: float = 0.0) -> Value:
    kept = ctx.op("Mul", X, 1.0 - epsilon)
    if PriorDist is not None:
        return ctx.op("Add", kept, ctx.op("Mul", PriorDist, epsilon))
    classes = ctx.cast(ctx.dim(X, -1), X.dtype)
    return ctx.op("Add", kept, ctx.op("Div", ctx.const(epsilon, X.dtype), classes))


@paddle_op("softmax_with_cross_entropy", outputs=["Softmax", "Loss"])
def softmax_with_cross_entropy(
    ctx: Context,
    Logits: Value,
    Label: Value,
    *,
    soft_label: bool = False,
    use_softmax: bool = True,
    ignore_index: int = -100,
    axis: int = -1,
) -> tuple[Value, Value]:
    where = ctx.axis(axis, ctx.rank(Logits))
    probabilities = softmax(ctx, Logits, axis=where) if use_softmax else Logits
    logs = log_softmax(ctx, Logits, axis=where) if use_softmax else ctx.op("Log", Logits)
    if soft_label:
        return probabilities, ctx.op("Neg", ctx.reduce("ReduceSum", ctx.op("Mul", Label, logs), [where], True))
    label = ctx.cast(Label, DType.INT64)
    if ctx.rank(Label) < ctx.rank(Logits):
        label = ctx.unsqueeze(label, [where])
    ignored = ctx.op("Equal", label, ignore_index)
    safe = ctx.op("Where", ignored, ctx.const(0, DType.INT64), label)
    picked = ctx.op("Neg", ctx.op("GatherElements", logs, safe, axis=where))
    return probabilities, ctx.op("Where", ignored, ctx.const(0.0, logs.dtype), picked)


@paddle_op("cross_entropy", outputs=["Y"])
def cross_entropy(ctx: Context, X: Value, Label: Value, *, soft_label: bool = False, ignore_index: int = -100) -> Value:
    return softmax_with_cross_entropy(
        ctx, X, Label, soft_label=soft_label, use_softmax=False, ignore_index=ignore_index
    )[1]


@paddle_op("nll_loss", outputs=["Out", "Total_weight"])
def nll_loss(
    ctx: Context,
    X: Value,
    Label: Value,
    Weight: Optional[Value] = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> tuple[Value, Value]:
    label = ctx.cast(Label, DType.INT64)
    ignored = ctx.op("Equal", label, ignore_index)
    safe = ctx.op("Where", ignored, ctx.const(0, DType.INT64), label)
    picked = ctx.squeeze(ctx.op("GatherElements", X, ctx.unsqueeze(safe, [1]), axis=1), [1])
    if Weight is None:
        weight = ctx.full_like(picked, 1.0)
    else:
        weight = ctx.op("Gather", Weight, safe, axis=0)
    weight = ctx.op("Where", ignored, ctx.const(0.0, X.dtype), weight)
    loss = ctx.op("Neg", ctx.op("Mul", picked, weight))
    total = ctx.reduce("ReduceSum", weight, None)
    if reduction == "none":
        return loss, total
    summed = ctx.reduce("ReduceSum", loss, None)
    return (ctx.op("Div", summed, total) if reduction == "mean" else summed), total


@paddle_op("iou_similarity")
def iou_similarity(ctx: Context, X: Value, Y: Value, *, box_normalized: bool = True) -> Value:
    if not box_normalized:
        raise Unsupported("boxes in pixels")
    a, b = ctx.split(X, [1] * 4, 1), [ctx.transpose(v, [1, 0]) for v in ctx.split(Y, [1] * 4, 1)]

    def side(low: int, high: int) -> Value:
        far, near = ctx.op("Min", a[high], b[high]), ctx.op("Max", a[low], b[low])
        return ctx.op("Relu", ctx.op("Sub", far, near))

    def area(v: list[Value]) -> Value:
        return ctx.op("Mul", ctx.op("Sub", v[2], v[0]), ctx.op("Sub", v[3], v[1]))

    inter = ctx.op("Mul", side(0, 2), side(1, 3))
    union = ctx.op("Sub", ctx.op("Add", area(a), area(b)), inter)
    return ctx.op("Div", inter, union)


@paddle_op("hierarchical_sigmoid")
def hierarchical_sigmoid(
    ctx: Context, X: Value, Label: Value, W: Value, Bias: Optional[Value] = None, *, num_classes: int
) -> Value:
    """The path of a class in the complete binary tree is its code ``label + num_classes`` without the first bit.

    As Paddle, a level that a shorter path has not got counts as log 2 (``phi/kernels/cpu/hsigmoid_loss_kernel.cc``).
    """
    levels = (num_classes - 1).bit_length()
    if not levels:
        raise Unsupported(f"{num_classes} classes")
    code = ctx.op("Add", ctx.op("Reshape", ctx.cast(Label, DType.INT64), [-1, 1]), num_classes)
    halves = [2**level for level in range(levels)]
    above = ctx.op("Div", code, [2 * half for half in halves])  # of each level, the node that decides
    inside = ctx.op("Greater", above, 0)
    node = ctx.op("Where", inside, ctx.op("Sub", above, 1), ctx.const(0, DType.INT64))
    weights = ctx.op("Gather", W, node, axis=0)  # [batch, level, feature]
    score = ctx.reduce("ReduceSum", ctx.op("Mul", weights, ctx.unsqueeze(X, [1])), [2])
    if Bias is not None:
        score = ctx.op("Add", score, ctx.op("Gather", ctx.op("Reshape", Bias, [-1]), node, axis=0))
    score = ctx.clip(ctx.op("Where", inside, score, ctx.const(0.0, X.dtype)), -40.0, 40.0)
    right = ctx.cast(ctx.op("Mod", ctx.op("Div", code, halves), 2), X.dtype)
    terms = ctx.op("Sub", ctx.op("Softplus", score), ctx.op("Mul", right, score))
    return ctx.reduce("ReduceSum", terms, [1], True)
