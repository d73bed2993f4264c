"""Saves models with the Paddle of the interpreter that runs this: ``python make_models.py OUT [all]``.

Run in a managed runtime by test_legalize.py. Every model is saved as a ProgramDesc with its inputs (``in_<i>``) and
what the running Paddle computes for them (``out_<i>``) in ``io.npz``.
"""

import os
import sys

os.environ["FLAGS_enable_pir_api"] = "0"

import numpy as np
import paddle
import paddle.nn as nn
import paddle.nn.functional as F

paddle.seed(1)
rng = np.random.RandomState(0)


def floats(*shape):
    return rng.randn(*shape).astype("float32")


def ints(high, *shape):
    return rng.randint(0, high, shape).astype("int64")


class Function(nn.Layer):
    """A function of one tensor, and a parameter, so that there is one."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = self.create_parameter([1])

    def forward(self, x):
        y = self.function(x)
        return [*y, self.weight * 1.0] if isinstance(y, (list, tuple)) else [y, self.weight * 1.0]


class Bert(nn.Layer):
    def __init__(self, layers=2, width=32):
        super().__init__()
        self.word, self.position, self.kind = (nn.Embedding(n, width) for n in (50, 64, 2))
        self.norm = nn.LayerNorm(width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.pool, self.classify = nn.Linear(width, width), nn.Linear(width, 3)

    def forward(self, ids, kinds, mask):
        weight = (1 - mask.unsqueeze([1, 2]).astype("float32")) * -1e4
        positions = paddle.cumsum(paddle.ones_like(ids), -1) - 1
        hidden = self.encoder(self.norm(self.word(ids) + self.position(positions) + self.kind(kinds)), weight)
        return self.classify(paddle.tanh(self.pool(hidden[:, 0]))), hidden


class Conv(nn.Layer):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2D(3, 8, 3, padding=1), nn.BatchNorm2D(8), nn.ReLU(), nn.MaxPool2D(2),
            nn.Conv2D(8, 16, 3, groups=8, stride=2), nn.Hardswish(), nn.AdaptiveAvgPool2D(1), nn.Flatten(),
            nn.Linear(16, 10), nn.Softmax(),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


class UNet(nn.Layer):
    def __init__(self):
        super().__init__()
        self.down, self.up, self.head = (
            nn.Conv2D(3, 8, 3, padding=1),
            nn.Conv2DTranspose(8, 8, 2, 2),
            nn.Conv2D(16, 2, 1),
        )
        self.group, self.instance = nn.GroupNorm(4, 8), nn.InstanceNorm2D(8)

    def forward(self, x):
        a = F.gelu(self.group(self.down(x)))
        b = F.avg_pool2d(a, 2)
        c = self.up(self.instance(b))
        d = F.interpolate(b, size=[8, 8], mode="bilinear", align_corners=False)
        e = F.interpolate(b, size=paddle.shape(a)[2:], mode="nearest")
        return self.head(paddle.concat([a, c + d + e], 1))


class Recurrent(nn.Layer):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell(4, 6, direction="bidirect")

    def forward(self, x):
        return self.cell(x)[0]


class SetValue(nn.Layer):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x):
        y = self.line(x) * 2
        y[:, 0:2] = 1.5
        y[:, 2, ::2] = x[:, 0, ::2]
        return y


class Branch(nn.Layer):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x):
        if paddle.mean(x) > 0:
            y = self.line(x)
        else:
            y = x * 2
        return y


class Loop(nn.Layer):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x):
        k = paddle.zeros([1], "int64")
        while k < 3:
            x = self.line(x)
            k += 1
        return x


x = floats(2, 3, 4)
image = floats(1, 4, 4, 4)
CORE = {
    "bert": lambda: (Bert(), [ints(50, 2, 7), ints(2, 2, 7), np.ones((2, 7), "int64")]),
    "conv": lambda: (Conv(), [floats(2, 3, 16, 16)]),
    "set_value": lambda: (SetValue(), [x]),
}
MORE = {
    "unet": lambda: (UNet(), [floats(1, 3, 8, 8)]),
    "lstm": lambda: (Recurrent(nn.LSTM), [floats(2, 5, 4)]),
    "gru": lambda: (Recurrent(nn.GRU), [floats(2, 5, 4)]),
    "branch": lambda: (Branch(), [floats(2, 4)]),
    "loop": lambda: (Loop(), [floats(2, 4)]),
}
FUNCTIONS = {
    # scalars (0-d tensors)
    "sum": (paddle.sum, x), "mean": (paddle.mean, x), "std": (paddle.std, x), "logsumexp": (paddle.logsumexp, x),
    "median": (paddle.median, x), "norm": (paddle.norm, x), "numel": (paddle.numel, x), "amax": (paddle.amax, x),
    "scalar_index": (lambda x: x[0, 1, 2], x), "subtract_mean": (lambda x: x - x.mean(), x),
    "stack_scalars": (lambda x: paddle.stack([x[0, 0, 0], x[0, 0, 1]]), x),
    "unbind_scalars": (lambda x: list(paddle.unbind(x[0, 0])), x),
    "unsqueeze_scalar": (lambda x: x.sum().unsqueeze([0, 1]), x), "squeeze_to_scalar": (lambda x: x[0, 0, :1].squeeze(), x),
    "reshape_to_scalar": (lambda x: x[0, 0, :1].reshape([]), x), "gather_scalar": (lambda x: paddle.gather(x, paddle.to_tensor(1), 1), x),
    "embed_scalar": (lambda x: F.embedding(x[0], paddle.ones([5, 4])), ints(5, 3)), "one_hot_scalar": (lambda x: F.one_hot(x[0], 5), ints(5, 3)),
    "constant_scalar": (lambda x: x + paddle.to_tensor(2.5), x), "argmax": (paddle.argmax, x), "clip_tensor": (lambda x: paddle.clip(x, x.min(), x.mean()), x),
    "compare": (lambda x: paddle.where(x > 0, x, x * 2), x), "mod": (lambda x: x % 3, ints(9, 2, 3)), "arange": (lambda x: paddle.arange(paddle.shape(x)[1]), x),
    # attributes of other types, or of types above 12
    "all": (lambda x: paddle.all(x > 0, axis=[1, 2]), x), "any": (lambda x: paddle.any(x > 0), x), "amax_axes": (lambda x: paddle.amax(x, axis=[1, 2]), x),
    "constant_int": (lambda x: x + paddle.to_tensor([1, 2, 3, 4], dtype="int32").astype("float32"), x),
    "constant_bool": (lambda x: x * paddle.to_tensor([True, False, True, True]).astype("float32"), x),
    "constant_double": (lambda x: x + paddle.to_tensor([1, 2, 3, 4], dtype="float64").astype("float32"), x),
    # intermediate outputs left out
    "reshape": (lambda x: paddle.reshape(x, [paddle.shape(x)[0], -1, 2]), x), "transpose": (lambda x: x.transpose([1, 0, 2]), x),
    "unsqueeze": (lambda x: x.unsqueeze(1).squeeze(1), x), "flatten": (lambda x: x.flatten(1), x), "expand": (lambda x: x.unsqueeze(1).expand([-1, 3, -1, -1]), x),
    "pad": (lambda x: F.pad(x.unsqueeze(0), [1, 1, 2, 0]), x), "lrn": (lambda x: F.local_response_norm(x, 3), image),
    "instance_norm": (F.instance_norm, x), "batch_norm": (lambda x: F.batch_norm(x, paddle.zeros([3]), paddle.ones([3])), x),
    "layer_norm": (lambda x: F.layer_norm(x, 4), x), "conv1d": (lambda x: F.conv1d(x, paddle.ones([2, 3, 2])), x), "dropout": (lambda x: F.dropout(x, 0.5, training=False), x),
    # inputs and outputs that the Predictor of 2.3.2 cannot pass
    "bool_output": (paddle.isnan, x), "bool_input": (lambda x: paddle.all(x, axis=1), x > 0), "double": (lambda x: x * 2, x.astype("float64")),
    # operators that 2.3.2 does not have
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), image), "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), image),
    "rrelu": (lambda x: F.rrelu(x, training=False), x), "masked_fill": (lambda x: paddle.masked_fill(x, x > 0, 0.5), x),
    # nothing to do
    "topk": (lambda x: list(paddle.topk(x, 2)), x), "einsum": (lambda x: paddle.einsum("bij,bkj->bik", x, x), x), "slice": (lambda x: x[:, 1:, ::2], x),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x), floats(2, 5, 2, 8)), "unique": (paddle.unique, ints(4, 9)),
}  # fmt: skip


def save(folder, model, inputs, dynamic):
    model.eval()
    results = model(*[paddle.to_tensor(i) for i in inputs])
    results = list(results) if isinstance(results, (list, tuple)) else [results]
    spec = [
        paddle.static.InputSpec([None, *i.shape[1:]] if dynamic else i.shape, str(i.dtype), f"in{k}")
        for k, i in enumerate(inputs)
    ]
    paddle.jit.save(paddle.jit.to_static(model, input_spec=spec), os.path.join(folder, "inference"))
    arrays = {f"in_{k}_in{k}": i for k, i in enumerate(inputs)}
    arrays.update({f"out_{k}": r.numpy() for k, r in enumerate(results)})
    np.savez(os.path.join(folder, "io.npz"), **arrays)


if __name__ == "__main__":
    out = sys.argv[1]
    models = {**CORE, **MORE} if sys.argv[2:] == ["all"] else CORE
    for name, make in models.items():
        save(os.path.join(out, name), *make(), dynamic=name in CORE)
    if sys.argv[2:] == ["all"]:
        for name, (function, data) in FUNCTIONS.items():
            save(os.path.join(out, name), Function(function), [data], dynamic=False)
