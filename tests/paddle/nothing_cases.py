"""What people write around a selection, beside one call of every function: chains, matrices, cells, loops, boxes.

A case is a function of what is selected and of other operands, and the arrays; the first one is selected from.
"""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import paddle.vision.ops as V
from cases import f, i, q, spd
from paddle import nn

_boxes = np.float32([[1, 1, 6, 6], [2, 2, 7, 7], [0, 0, 3, 4]])
_matrices = np.stack([spd(3), spd(3) + 1])


def _chosen(x, condition):
    return paddle.gather(x, paddle.nonzero(condition).flatten())


def _cells(kind):
    """A layer of cells over rows as a batch."""
    return lambda x: getattr(nn, kind)(4, 5)(x)[0]


def _rows_in_turn(x):
    """The rows added up one after the other."""
    total, k = paddle.zeros([4]), paddle.zeros([1], "int64")
    count = paddle.shape(x)[0:1].astype("int64")
    k, total = paddle.static.nn.while_loop(
        lambda k, total: k < count, lambda k, total: [k + 1, total * 0.5 + paddle.gather(x, k).flatten()], [k, total]
    )
    return total


def _selected_in_turn(x, y):
    """In each turn the rows of y that are above a rising number, summed."""
    total, k = paddle.zeros([4]) + x.sum() * 0, paddle.zeros([1], "int64")

    def turn(k, total):
        return [k + 1, total + _chosen(y, y[:, 0] > k.astype("float32") - 1).sum(0)]

    return paddle.static.nn.while_loop(lambda k, total: k < 4, turn, [k, total])[1]


def _grown_in_turn(x):
    """Rows joined to themselves, three times; and those above 0 of those above 0."""
    three = paddle.full([1], 3, "int64")
    k, more = paddle.static.nn.while_loop(
        lambda k, y: k < three, lambda k, y: [k + 1, paddle.concat([y, x])], [paddle.zeros([1], "int64"), x]
    )
    k, less = paddle.static.nn.while_loop(
        lambda k, y: k < three, lambda k, y: [k + 1, _chosen(y, y[:, 0] > 0)], [paddle.zeros([1], "int64"), x]
    )
    return more, more.sum(0), less, less.sum(0)


def _nested(x, y):
    """A branch in a loop, each of which selects."""

    def turn(k, total):
        part = paddle.static.nn.cond(
            (k == 1).all(),
            lambda: _chosen(x, x[:, 0] > 0).sum(0),
            lambda: _chosen(y, y[:, 1] > k.astype("float32")).sum(0),
        )
        return [k + 1, total + part]

    return paddle.static.nn.while_loop(
        lambda k, total: k < 3, turn, [paddle.zeros([1], "int64"), paddle.zeros([4]) + x.sum() * 0]
    )[1]


def _selected_in_branch(x, y):
    """On either way rows of y that are chosen there."""
    return paddle.static.nn.cond(
        x.sum() != 0, lambda: _chosen(y, y[:, 0] > 0) * 2, lambda: _chosen(y, y[:, 0] > 99.0) + 1
    )


def _branch_over_rows(x):
    return paddle.static.nn.cond(paddle.shape(x)[0] > 0, lambda: x * 2 + 1, lambda: x - 1)


CASES = {
    "N.again": (lambda x: _chosen(x, x[:, 0] > 0), f(5, 4)),
    "N.never again": (lambda x: _chosen(x, x[:, 0] > 99), f(5, 4)),
    "N.three times": (lambda x: _chosen(_chosen(x, x[:, 0] > 0), _chosen(x, x[:, 0] > 0)[:, 1] > 9), f(5, 4)),
    "N.masked_select": (lambda x: paddle.masked_select(x, x > 0), f(5, 4)),
    "N.masked_select, sum": (lambda x: paddle.masked_select(x, x > 0).sum(), f(5, 4)),
    "N.masked_select, sort": (lambda x: paddle.sort(paddle.masked_select(x, x > 0)), f(5, 4)),
    "N.where": (lambda x: paddle.where(x > 0), f(5, 4)),
    "N.unique": (lambda x: paddle.unique(x), i(6)),
    "N.unique, twice": (lambda x: paddle.unique(paddle.unique(x) // 2), i(6)),
    "N.unique, inverse": (lambda x: paddle.unique(x, return_inverse=True, return_counts=True), i(6)),
    "N.unique, rows": (lambda x: paddle.unique(x, axis=0), i(5, 2, high=2)),
    "N.x[mask] = v": (lambda x: paddle.static.setitem(x, x > 0, 0.5), f(5, 4)),
    "N.x[nothing] = v": (lambda x, y: paddle.static.setitem(y, y > 99, 0.5) + x.sum(), f(5, 4), f(3, 4)),
    "N.scatter rows": (
        lambda x, y: paddle.scatter_nd_add(y, paddle.ones_like(x[:, :1]).astype("int64"), x), f(2, 4), f(3, 4),
    ),
    "N.k": (lambda x, y: paddle.topk(y, paddle.shape(x)[0:1]), f(4, 2), f(3, 6)),
    "N.slice": (lambda x, y: y[: paddle.shape(x)[0]], f(3, 2), f(6, 4)),
    "N.arange": (lambda x: paddle.arange(0, paddle.shape(x)[0]) * 2, f(3, 2)),
    "N.zeros": (lambda x: paddle.zeros([paddle.shape(x)[0], 3]) + 1, f(3, 2)),
    "N.two joined": (lambda x: paddle.concat([x, _chosen(x, x[:, 0] > 9)]), f(5, 4)),
    "N.two joined, sum": (lambda x: paddle.concat([x, _chosen(x, x[:, 0] > 9)]).sum(0), f(5, 4)),
    "N.GRU": (_cells("GRU"), f(3, 2, 4)),
    "N.LSTM": (_cells("LSTM"), f(3, 2, 4)),
    "N.GRU, no steps": (lambda x: _cells("GRU")(x.unsqueeze(0)), f(3, 4)),
    "N.conv": (lambda x, w: F.relu(F.conv2d(x, w)), f(2, 3, 6, 6), f(4, 3, 3, 3)),
    "N.batch_norm": (lambda x, m, v: F.batch_norm(x, m, v), f(2, 3, 4, 4), f(3), q(3)),
    "N.matmul": (lambda x: paddle.matmul(x, x, transpose_y=True), f(3, 4)),
    "N.attention": (lambda x: F.softmax(paddle.matmul(x, x, transpose_y=True), -1) @ x, f(3, 4)),
    "N.inverse": (paddle.inverse, _matrices),
    "N.cholesky": (paddle.cholesky, _matrices),
    "N.det": (paddle.linalg.det, _matrices),
    "N.slogdet": (paddle.linalg.slogdet, _matrices),
    "N.solve": (lambda x, y: paddle.linalg.solve(x, x[:, :, :2] + y), _matrices, f(1, 3, 2)),
    "N.matrix_power": (lambda x: paddle.linalg.matrix_power(x, 2), _matrices),
    "N.eigvalsh": (paddle.linalg.eigvalsh, _matrices),
    "N.svd": (lambda x: paddle.linalg.svd(x)[1], _matrices),
    "N.qr": (lambda x: paddle.linalg.qr(x)[1], _matrices),
    "N.lu": (lambda x: paddle.linalg.lu(x), _matrices),
    "N.inverse of squares": (lambda x: paddle.inverse(paddle.matmul(x, x, transpose_y=True)), np.eye(3, 4, dtype="float32")),
    "N.kthvalue, rows": (lambda x: paddle.kthvalue(x, 1, 1), f(3, 4)),
    "N.mode, last": (lambda x: paddle.mode(x, -1), i(3, 4).astype("float32")),
    "N.trace": (lambda x: paddle.trace(x, 0, 1, 2), f(2, 3, 4)),
    "N.diagonal": (lambda x: paddle.diagonal(x), f(3, 4)),
    "N.diagonal below": (lambda x: paddle.diagonal(x, -1), f(3, 4)),
    "N.diag": (lambda x: paddle.diag(x), f(3)),
    "N.diag above": (lambda x: paddle.diag(x, 1), f(3)),
    "N.meshgrid": (lambda x: paddle.meshgrid(x, x * 2), f(3)),
    "N.kron": (lambda x: paddle.kron(x, x), f(2, 3)),
    "N.bincount": (lambda x: paddle.bincount(x), i(6)),
    "N.nms": (lambda x: V.nms(x, 0.3), _boxes),
    "N.nms, scores": (lambda x, s: paddle.gather(x, V.nms(x, 0.3, x[:, 0] + s)), _boxes, np.float32([0.5])),
    "N.roi_align": (lambda x, y: V.roi_align(y, x, paddle.shape(x)[0:1], 2), _boxes * 0.2, f(1, 4, 8, 8)),
    "N.interpolate": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), f(2, 3, 4, 4)),
    "N.embedding": (lambda x, w: F.embedding(x, w), i(4), f(5, 3)),
    "N.cumsum": (lambda x: paddle.cumsum(x, 0), f(4, 3)),
    "N.tile": (lambda x: paddle.tile(x, [2, 1]), f(3, 4)),
    "N.expand": (lambda x: paddle.expand(x.unsqueeze(0), [3, -1, -1]), f(3, 4)),
    "N.rows in turn": (_rows_in_turn, f(3, 4)),
    "N.while, selected": (_selected_in_turn, f(3, 4), f(5, 4)),
    "N.while that grows": (_grown_in_turn, f(3, 4)),
    "N.cond in while": (_nested, f(3, 4), f(5, 4)),
    "N.cond, selected": (_selected_in_branch, f(3, 4), f(5, 4)),
    "N.cond over rows": (_branch_over_rows, f(3, 4)),
}  # fmt: skip
