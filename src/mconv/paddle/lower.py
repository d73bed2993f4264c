"""Operators of newer Paddle in terms of older ones. A rule leaves alone what it cannot express."""

from __future__ import annotations

import math
from typing import Optional

from mconv.passes.rewrite import Rule, Site, make
from mconv.program.dtypes import AttrType
from mconv.program.program import Op

I, F, S, L, B = AttrType.INT, AttrType.FLOAT, AttrType.STRING, AttrType.INTS, AttrType.BOOLEAN  # noqa: E741


def _one(names: list[str]) -> str:
    return names[0] if names else ""


def _channel_shuffle(site: Site, op: Op) -> Optional[list[Op]]:
    if op.attr("data_format", "NCHW") != "NCHW":
        return None
    return [make("shuffle_channel", {"X": op.input("X")}, {"Out": op.output("Out")}, group=(I, op.attr("groups", 1)))]


def _pixel_unshuffle(site: Site, op: Op) -> Optional[list[Op]]:
    """Patches of r × r without overlap, taken in the order channel, row, column, are im2col's columns."""
    x, out = _one(op.input("X")), _one(op.output("Out"))
    shape, r = site.shape(x), op.attr("downscale_factor", 1)
    if op.attr("data_format", "NCHW") != "NCHW" or not shape or len(shape) != 4 or min(shape[1:]) <= 0:
        return None
    n, c, h, w = shape
    columns = site.temporary(out, (n, c * r * r, (h // r) * (w // r)))
    return [
        make(
            "unfold",
            {"X": x},
            {"Y": columns},
            kernel_sizes=(L, [r, r]),
            strides=(L, [r, r]),
            paddings=(L, [0, 0, 0, 0]),
            dilations=(L, [1, 1]),
        ),
        _reshape(site, columns, out, [0, c * r * r, h // r, w // r]),
    ]


def _reshape(site: Site, x: str, out: str, shape: list[int]) -> Op:
    xshape = site.temporary(x, (0, *(site.shape(x) or ())))
    return make("reshape2", {"X": x}, {"Out": out, "XShape": xshape}, shape=(L, shape))


def _transpose(site: Site, x: str, perm: list[int]) -> tuple[str, Op]:
    shape = site.shape(x) or ()
    out = site.temporary(x, [shape[i] for i in perm])
    xshape = site.temporary(x, (0, *shape))
    return out, make("transpose2", {"X": x}, {"Out": out, "XShape": xshape}, axis=(L, perm))


def _rrelu(site: Site, op: Op) -> Optional[list[Op]]:
    if not op.attr("is_test", False):
        return None
    alpha = (op.attr("lower", 0.125) + op.attr("upper", 1.0 / 3)) / 2
    return [make("leaky_relu", {"X": op.input("X")}, {"Out": op.output("Out")}, alpha=(F, alpha))]


def _masked_fill(site: Site, op: Op) -> Optional[list[Op]]:
    x, mask, value = _one(op.input("x")), _one(op.input("mask")), _one(op.input("value"))
    if not (x and mask and value) or site.shape(x) != site.shape(mask):
        return None
    zeros, filled = site.temporary(x), site.temporary(x)
    return [
        make("fill_any_like", {"X": x}, {"Out": zeros}, value=(F, 0.0), dtype=(I, -1)),
        make("elementwise_add", {"X": zeros, "Y": value}, {"Out": filled}, axis=(I, -1)),
        make("where", {"Condition": mask, "X": filled, "Y": x}, {"Out": op.output("out")}),
    ]


def _swiglu(site: Site, op: Op) -> Optional[list[Op]]:
    x, y = _one(op.input("x")), _one(op.input("y"))
    out = op.output("out")
    if not x or not out:
        return None
    ops = []
    if not y:
        gate, y = site.temporary(out[0]), site.temporary(out[0])
        ops.append(make("split", {"X": x}, {"Out": [gate, y]}, axis=(I, -1), num=(I, 2)))
        x = gate
    active = site.temporary(out[0])
    ops.append(make("silu", {"X": x}, {"Out": active}))
    ops.append(make("elementwise_mul", {"X": active, "Y": y}, {"Out": out}, axis=(I, -1)))
    return ops


def _flash_attn(site: Site, op: Op) -> Optional[list[Op]]:
    """softmax(q · kᵀ / √d + mask) · v on [batch, length, heads, d]."""
    q, k, v, mask = (_one(op.input(name)) for name in ("q", "k", "v", "attn_mask"))
    shape = site.shape(q)
    if not shape or len(shape) != 4 or shape[3] <= 0 or site.shape(k) is None or op.attr("causal", False):
        return None
    if op.attr("dropout", 0.0) and not op.attr("is_test", False):
        return None
    if (site.shape(k) or ())[2:3] != shape[2:3]:  # grouped heads
        return None
    ops = []
    turned = []
    for name in (q, k, v):
        out, turn = _transpose(site, name, [0, 2, 1, 3])
        turned.append(out)
        ops.append(turn)
    b, s, h, d = shape
    length = (site.shape(k) or shape)[1]
    scaled = site.temporary(turned[0])
    scores, weights = (site.temporary(q, (b, h, s, length)) for _ in range(2))
    numbers = {"scale": (F, 1 / math.sqrt(d)), "bias": (F, 0.0), "bias_after_scale": (B, True)}
    ops += [  # in the form of emit.attention.attend
        make("scale", {"X": turned[0]}, {"Out": scaled}, **numbers),
        make("matmul_v2", {"X": scaled, "Y": turned[1]}, {"Out": scores}, trans_x=(B, False), trans_y=(B, True)),
    ]
    if mask:
        masked = site.temporary(scores)
        ops.append(make("elementwise_add", {"X": scores, "Y": mask}, {"Out": masked}, axis=(I, -1)))
        scores = masked
    ops.append(make("softmax", {"X": scores}, {"Out": weights}, axis=(I, -1)))
    product = site.temporary(q, (b, h, s, d))
    ops.append(
        make("matmul_v2", {"X": weights, "Y": turned[2]}, {"Out": product}, trans_x=(B, False), trans_y=(B, False))
    )
    turned_back, turn = _transpose(site, product, [0, 2, 1, 3])
    turn.set_output("Out", op.output("out"))
    del site.block.vars[turned_back]
    return [*ops, turn]


def _view_shape(site: Site, op: Op) -> Optional[list[Op]]:
    dims = op.attr("dims")
    x, out = _one(op.input("input")), _one(op.output("out"))
    return None if not dims or not x or not out else [_reshape(site, x, out, list(dims))]


# operator that the target may lack → what it says there
RULES: dict[str, Rule] = {
    "channel_shuffle": _channel_shuffle,
    "flash_attn": _flash_attn,
    "masked_fill": _masked_fill,
    "pixel_unshuffle": _pixel_unshuffle,
    "rrelu": _rrelu,
    "swiglu": _swiglu,
    "view_shape": _view_shape,
}
