"""What Paddle 3 computes otherwise than older ones, or than oneDNN in them: ``python tests/paddle/variants.py FOLDER``
saves all of it as PIR.

Beside ``zoo.py``, whose way of saving and whose inputs these use.
"""

from __future__ import annotations

import sys
from typing import Any

import common  # by their plain names: this file runs as a script
import paddle
import paddle.nn.functional as F
from paddle import nn

import zoo

VARIANTS: dict[str, Any] = {}
common.MODELS = VARIANTS
ROWS = {"x": ([None, 5, 6], "float32")}
PICKED = {**ROWS, "i": ([3], "int64", 3)}


@common.common(ROWS)
def listed_from_the_end(self, x):
    return x[[0, -1]], x[:, [-1, 0]], x[..., [0, -1]], x[[0, -1], [-2, 1]], x[[0, -1], :, [2, -3]]


@common.common(PICKED)
def picked_from_the_end(self, x, i):
    i = i - 2  # -1 and 0
    pairs = paddle.stack([i, i], -1)
    return (
        x[i], x[:, i], x[i, :, i], paddle.gather(x, i, 1), paddle.gather_nd(x, pairs), paddle.index_select(x, i, 2),
    )  # fmt: skip


@common.common(PICKED)
def put_from_the_end(self, x, i):
    last, rows = paddle.full([1], -1, "int64") + 0 * i[:1], paddle.full([1, 5, 6], 2.0)
    along = paddle.zeros_like(x[:, :1]).astype("int64") - 1 + 0 * i[0]
    return (
        paddle.scatter(x, last, rows), paddle.scatter_nd_add(x, last.unsqueeze(1), rows),
        paddle.index_add(x, last, 1, x[:, :1]), paddle.put_along_axis(x, along, 9.0, 1),
    )  # fmt: skip


@common.common(ROWS)
def nothing_is_set(self, x):
    y, z = x.clone(), x.clone()
    y[2:1] = 5.0
    z[:, 1:3:-1] = 5.0
    return y, z


@common.common(
    {"x": ([None, 1, None, None], "float32", 2)},
    conv=lambda: nn.Conv2D(1, 4, 3),
    norm=lambda: nn.BatchNorm2D(4, use_global_stats=False),
    last=lambda: nn.BatchNorm2D(1, use_global_stats=False, data_format="NHWC"),
    rows=lambda: nn.BatchNorm1D(4, use_global_stats=False),
)
def normalised_by_the_batch(self, x):
    y = self.norm(self.conv(F.pad(x, [1, 1, 1, 1])))
    return y, self.last(x.transpose([0, 2, 3, 1])), self.rows(y.mean([2, 3]))


@common.common(ROWS)
def middle_of_a_row(self, x):
    volume = x.unsqueeze([1, 2])
    return (
        F.interpolate(x, size=[1], mode="linear", data_format="NCW"),
        F.interpolate(volume, size=[3, 1, 4], mode="trilinear", data_format="NCDHW"),
    )


@common.common(ROWS)
def nearest(self, x):
    image, volume = x.unsqueeze(1), x.unsqueeze([1, 2])
    return (
        F.interpolate(image, size=[7, 9]), F.interpolate(image, scale_factor=0.6), F.interpolate(image, scale_factor=2),
        F.interpolate(x.unsqueeze(-1), size=[7, 9], data_format="NHWC"), F.interpolate(image, size=[10, 3]),
        F.interpolate(volume, size=[3, 7, 9], data_format="NCDHW"),
    )  # fmt: skip


@common.common(ROWS)
def divided_by_a_number(self, x):
    return x / paddle.full([], 0.3), x[0, 0] / paddle.full([], 3.0)


@common.common({"x": ([None, 4, None, None], "float32", 2)})
def gram(self, x):
    pixels = x.reshape([0, 4, -1])
    return paddle.matmul(pixels.transpose([0, 2, 1]), pixels)


@common.common({"x": ([None, 4, None, None], "float32", 2)})
def pooled_by_the_norm(self, x):
    powers, last = x * x + 0.1, (x * x + 0.1).transpose([0, 2, 3, 1])
    return (
        F.lp_pool2d(powers, 3.0, 2, stride=3, padding=1, ceil_mode=True),
        F.lp_pool2d(powers, 0.5, [1, 3], stride=[4, 2], padding=[0, 0, 1, 0], ceil_mode=True),
        F.lp_pool2d(last, 2.0, 3, stride=2, padding=1, ceil_mode=True, data_format="NHWC"),
        F.lp_pool2d(last, 2.0, 3, stride=2, padding=1, data_format="NHWC"),
    )


@common.common({"x": ([None, 4, None, None], "float32", 2)})
def pooled_with_channels_last(self, x):
    last = (x * x + 0.1).transpose([0, 2, 3, 1])
    return (
        F.max_pool2d(last, 2, data_format="NHWC"),
        F.avg_pool2d(last, 3, stride=2, padding=1, data_format="NHWC") * 2.0 + 1.0,
        F.max_pool3d(last.unsqueeze(1), [1, 2, 2], data_format="NDHWC"),
    )


if __name__ == "__main__":
    zoo.MODELS = VARIANTS
    sys.exit(zoo.main([*sys.argv[1:2], *(sys.argv[2:] or VARIANTS)]))
