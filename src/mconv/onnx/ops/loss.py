"""Losses, which some exported models keep."""

from __future__ import annotations

from typing import Optional

from mconv.emit import loss
from mconv.emit.reduction import log_softmax
from mconv.onnx.context import Context, Result
from mconv.onnx.registry import onnx_op
from mconv.program.value import Value


@onnx_op("NegativeLogLikelihoodLoss", since=12)
def negative_log_likelihood_loss(
    ctx: Context,
    x: Value,
    target: Value,
    weight: Optional[Value] = None,
    *,
    ignore_index: Optional[int] = None,
    reduction: str = "mean",
) -> Value:
    return loss.negative_log_likelihood(ctx, x, target, weight, reduction=reduction, ignore_index=ignore_index)


@onnx_op("SoftmaxCrossEntropyLoss", since=12)
def softmax_cross_entropy_loss(
    ctx: Context,
    scores: Value,
    labels: Value,
    weight: Optional[Value] = None,
    *,
    ignore_index: Optional[int] = None,
    reduction: str = "mean",
) -> Result:
    log_prob = log_softmax(ctx, scores, 1)
    made = loss.negative_log_likelihood(ctx, log_prob, labels, weight, reduction=reduction, ignore_index=ignore_index)
    return made, log_prob
