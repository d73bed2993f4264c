"""What people write with paddle, in small: ``python tests/paddle/common.py FOLDER`` saves all of it as PIR.

Beside ``zoo.py``, whose way of saving and whose inputs these use. Paddle 3.3.1 itself does not come to an end with the
``.json`` of a layer over a cell of one's own (``nn.RNN(nn.GRUCell(…))``): its loop takes and gives nothing, all of it is
written in place. What it was saved from gives the numbers.
"""

from __future__ import annotations

import sys
from typing import Any, Callable

import paddle
import paddle.nn.functional as F
from paddle import nn

import zoo  # by its plain name: this file runs as a script

Inputs = dict[str, tuple]
SEQUENCE: Inputs = {"x": ([None, None, 8], "float32")}
IMAGE: Inputs = {"x": ([None, 3, None, None], "float32", 2)}
IDS: Inputs = {"ids": ([None, None], "int64", 50)}
MODELS: dict[str, Callable[[], tuple[nn.Layer, Inputs]]] = {}


class Written(nn.Layer):
    """A layer whose forward is a function; its parts are made by functions without arguments."""

    def __init__(self, parts: dict[str, Callable[[], Any]]):
        super().__init__()
        for name, make in parts.items():
            setattr(self, name, make())


def common(inputs: Inputs, **parts: Callable[[], Any]) -> Callable[[Callable], Callable]:
    def register(forward: Callable) -> Callable:
        kind = type(forward.__name__, (Written,), {"forward": forward})
        MODELS[forward.__name__] = lambda: (kind(parts), inputs)
        return forward

    return register


@common(SEQUENCE, rnn=lambda: nn.GRU(8, 6, num_layers=2, direction="bidirect"))
def gru_both_ways(self, x):
    return self.rnn(x)


@common({**SEQUENCE, "lengths": ([None], "int64", 4)}, rnn=lambda: nn.LSTM(8, 6))
def lstm_with_lengths(self, x, lengths):
    y, (h, c) = self.rnn(x, sequence_length=lengths)
    return y, h, c


@common(SEQUENCE, q=lambda: nn.Linear(8, 8, bias_attr=False))
def one_weight_scaled_twice(self, x):
    """Paddle's passes would multiply the weight, once for each of its products."""
    return F.softmax(self.q(x) * 3.0) + self.q(F.tanh(x)) * 0.25


@common(IMAGE, c=lambda: nn.Conv2D(3, 4, 3), a=lambda: nn.BatchNorm2D(4), b=lambda: nn.BatchNorm2D(4))
def one_filter_normalised_twice(self, x):
    return self.a(self.c(x)) + self.b(self.c(x * 0.5))


@common(SEQUENCE, rnn=lambda: nn.SimpleRNN(8, 6))
def simple_rnn(self, x):
    return self.rnn(x)


@common(
    {"x": ([None, 8], "float32"), "h": ([None, 6], "float32")},
    gru=lambda: nn.GRUCell(8, 6),
    lstm=lambda: nn.LSTMCell(8, 6),
)
def cells(self, x, h):
    y, (_, c) = self.lstm(x)
    return self.gru(x, h)[0], y, c


@common(IDS, words=lambda: nn.Embedding(50, 8, padding_idx=0))
def bag_of_words(self, ids):
    mask = (ids != 0).astype("float32").unsqueeze(-1)
    return (self.words(ids) * mask).sum(1) / paddle.clip(mask.sum(1), 1)


@common({"a": SEQUENCE["x"], "b": SEQUENCE["x"]}, weight=lambda: paddle.create_parameter([8, 5], "float32"))
def einsum(self, a, b):
    return paddle.einsum("bqd,bkd->bqk", a, b), paddle.einsum("bqd,dh->bqh", a, self.weight)


@common(IMAGE)
def resized(self, x):
    return (
        F.interpolate(x, scale_factor=2, mode="nearest"),
        F.interpolate(x, size=[7, 9], mode="bilinear", align_corners=True),
        F.interpolate(x, scale_factor=1.5, mode="bicubic"),
        F.upsample(x, size=[4, 4], mode="area"),
    )


@common(IMAGE, localise=lambda: nn.Linear(3, 6))
def spatial_transformer(self, x):
    theta = self.localise(F.adaptive_avg_pool2d(x, 1).flatten(1)).reshape([-1, 2, 3]) * 0.1
    size = paddle.concat([paddle.shape(x)[0:1], paddle.to_tensor([3, 8, 8], dtype=paddle.shape(x).dtype)])
    return F.grid_sample(x, F.affine_grid(theta, size))


@common(SEQUENCE, rnn=lambda: nn.RNN(nn.GRUCell(8, 6)))
def gru_cell(self, x):
    return self.rnn(x)


@common({**SEQUENCE, "lengths": ([None], "int64", 4)}, rnn=lambda: nn.BiRNN(nn.LSTMCell(8, 6), nn.LSTMCell(8, 6)))
def lstm_cells_with_lengths(self, x, lengths):
    y, ((h, c), _) = self.rnn(x, sequence_length=lengths)
    return y, h, c


@common({"x": ([None, 8], "float32"), "steps": ([1], "int64", 5)}, linear=lambda: nn.Linear(8, 8))
def loop(self, x, steps):
    i = paddle.zeros([1], "int64")
    while i < steps:
        x = paddle.tanh(self.linear(x))
        i = i + 1
    return x


@common({"x": ([None, 4], "float32")}, linear=lambda: nn.Linear(4, 4))
def nested_branches(self, x):
    total = x.sum()
    if total > 0:
        y = x * 3 if total > 5 else x * 2
    else:
        y = self.linear(x)
    return y


@common(IDS, words=lambda: nn.Embedding(50, 8), head=lambda: nn.Linear(8, 50))
def greedy_decoding(self, ids):
    for _ in range(3):
        ids = paddle.concat([ids, self.head(self.words(ids).mean(1)).argmax(-1, keepdim=True)], 1)
    return ids


@common(
    IMAGE,
    first=lambda: nn.Conv2D(3, 8, 3, padding=1),
    norm=lambda: nn.GroupNorm(2, 8),
    depthwise=lambda: nn.Conv2D(8, 8, 3, padding=2, dilation=2, groups=8),
    up=lambda: nn.Conv2DTranspose(8, 4, 3, stride=2, padding=1, output_padding=1),
)
def convolutions(self, x):
    y = F.hardswish(self.depthwise(F.relu6(self.norm(self.first(x)))))
    return F.mish(F.silu(self.up(y))), F.pixel_shuffle(y, 2), F.unfold(x, 3, 1, 1)


@common(
    IMAGE,
    offset=lambda: nn.Conv2D(3, 18, 3, padding=1),
    weight=lambda: paddle.create_parameter([4, 3, 3, 3], "float32"),
)
def deformable(self, x):
    return paddle.vision.ops.deform_conv2d(x, self.offset(x), self.weight, padding=1)


@common(
    SEQUENCE,
    conv=lambda: nn.Conv1D(8, 6, 3, padding=1),
    batch=lambda: nn.BatchNorm1D(6),
    one=lambda: nn.InstanceNorm1D(6),
)
def one_dimension(self, x):
    y = self.batch(F.gelu(self.conv(x.transpose([0, 2, 1]))))
    return F.adaptive_avg_pool1d(y, 1), F.avg_pool1d(y, 2), self.one(y)


@common(
    {"x": ([None, 2, 4, 8, 8], "float32")}, conv=lambda: nn.Conv3D(2, 4, 3, padding=1), norm=lambda: nn.BatchNorm3D(4)
)
def three_dimensions(self, x):
    return F.max_pool3d(F.relu(self.norm(self.conv(x))), 2)


@common(SEQUENCE)
def indexed(self, x):
    first = x[:, 0:1].expand_as(x)
    order = paddle.argsort(x[:, :, 0], axis=-1)
    best, where = paddle.topk(x, 3)
    picked = paddle.take_along_axis(x[:, :, 0], order, 1)
    return x[:, -1], x[:, ::2], x[..., 1:3], paddle.where(x > 0, x, first), picked, best, where, paddle.roll(x, 1, 1)


@common(SEQUENCE)
def assigned(self, x):
    y = x.clone()
    y[:, 0] = 0.0
    y[:, :, 1] = x[:, :, 2]
    return y


@common(SEQUENCE)
def statistics(self, x):
    return (
        x.std(1), x.var(-1), paddle.median(x, 1), x.logsumexp(1), paddle.cumsum(x, 1), paddle.norm(x, p=2, axis=-1),
        F.normalize(x, axis=-1), paddle.quantile(x, 0.5, axis=-1),
    )  # fmt: skip


@common(SEQUENCE, q=lambda: nn.Linear(8, 8), k=lambda: nn.Linear(8, 8))
def causal_attention(self, x):
    q, k = self.q(x).reshape([0, 0, 2, 4]), self.k(x).reshape([0, 0, 2, 4])
    return F.scaled_dot_product_attention(q, k, k, is_causal=True)


@common({"source": SEQUENCE["x"], "target": SEQUENCE["x"]}, layer=lambda: nn.Transformer(8, 2, 1, 1, 16, dropout=0.0))
def transformer(self, source, target):
    return self.layer(source, target)


@common(SEQUENCE, weight=lambda: paddle.create_parameter([8], "float32"))
def rotary(self, x):
    y = x * paddle.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight
    positions = paddle.arange(x.shape[1], dtype="float32").unsqueeze(1)
    angles = positions * (1.0 / (10000 ** (paddle.arange(0, 8, 2, dtype="float32") / 8)))
    sine, cosine, a, b = paddle.sin(angles), paddle.cos(angles), y[..., :4], y[..., 4:]
    return paddle.concat([a * cosine - b * sine, a * sine + b * cosine], -1)


@common(SEQUENCE)
def of_unknown_size(self, x):
    row = x[0, 0]
    return paddle.masked_select(x, x > 0), paddle.nonzero(row > 0), paddle.unique((row * 2).astype("int64"))


@common(SEQUENCE, norm=lambda: nn.LayerNorm(8), slope=lambda: paddle.create_parameter([1], "float32"))
def functional(self, x):
    return (
        F.dropout(self.norm(x), 0.5, training=self.training), F.log_softmax(x, -1), F.one_hot(x.argmax(-1), 8),
        F.pad(x, [1, 2], data_format="NLC"), paddle.stack([x, x * 2], 1), paddle.chunk(x, 2, -1)[0], F.glu(x),
        paddle.split(x, [3, -1], -1)[1], paddle.tile(x, [1, 2, 1]), F.prelu(x, self.slope), paddle.fft.rfft(x, axis=1).abs(),
    )  # fmt: skip


@common(
    SEQUENCE,
    first=lambda: nn.utils.weight_norm(nn.Linear(8, 4)),
    second=lambda: nn.utils.spectral_norm(nn.Linear(8, 4)),
)
def normalised_weights(self, x):
    return self.first(x), self.second(x)


@common({"boxes": ([None, 4], "float32"), "scores": ([None], "float32")})
def suppression(self, boxes, scores):
    """The operator of Paddle 2.3 gives as many boxes as came in."""
    corners = paddle.concat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:].abs() + 0.1], 1)
    return paddle.gather(corners, paddle.vision.ops.nms(corners, 0.3, scores))


if __name__ == "__main__":
    zoo.MODELS = MODELS
    sys.exit(zoo.main([*sys.argv[1:2], *(sys.argv[2:] or MODELS)]))
