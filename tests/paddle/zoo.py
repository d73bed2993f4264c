"""Models that users bring, saved by the installed Paddle as PIR: ``python tests/paddle/zoo.py FOLDER [NAME…]``.

A model is a function that gives a layer and its inputs ``name → (shape, dtype, how many different values)``; ``None``
in a shape is a size that is not known when saving, and the inputs are made at two of each.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

MODELS: dict[str, Callable[[], tuple[nn.Layer, dict[str, tuple]]]] = {}
IMAGE = {"image": ([None, 3, 64, 64], "float32")}


def model(function: Callable[[], tuple[nn.Layer, dict[str, tuple]]]) -> Callable[[], tuple[nn.Layer, dict[str, tuple]]]:
    MODELS[function.__name__] = function
    return function


def _vision(name: str, inputs: dict[str, tuple] = IMAGE, **arguments: Any) -> None:
    def make() -> tuple[nn.Layer, dict[str, tuple]]:
        return getattr(paddle.vision.models, name)(**arguments), inputs

    MODELS[name] = make


_vision("LeNet", {"image": ([None, 1, 28, 28], "float32")})
_vision("alexnet", {"image": ([None, 3, 224, 224], "float32")}, num_classes=10)
for _name in "vgg11 squeezenet1_1 densenet121 shufflenet_v2_x0_25 mobilenet_v2 mobilenet_v3_small resnet18 resnext50_32x4d wide_resnet50_2".split():
    _vision(_name, {"image": ([None, 3, 96, 96], "float32")}, num_classes=10)
_vision("mobilenet_v3_large", {"image": ([None, 3, 96, 96], "float32")}, num_classes=10, scale=0.5)
_vision("mobilenet_v1", num_classes=10, scale=0.25)
_vision("googlenet", {"image": ([None, 3, 224, 224], "float32")}, num_classes=10)
_vision("inception_v3", {"image": ([None, 3, 128, 128], "float32")}, num_classes=10)


class Bert(nn.Layer):
    """Embeddings of words, positions and segments, encoder layers, pooler; ERNIE adds a task embedding."""

    def __init__(self, layers: int = 2, width: int = 64, heads: int = 4, words: int = 200, tasks: int = 0):
        super().__init__()
        self.word = nn.Embedding(words, width)
        self.position = nn.Embedding(64, width)
        self.segment = nn.Embedding(2, width)
        self.task = nn.Embedding(tasks, width) if tasks else None
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.pooler = nn.Linear(width, width)
        self.classifier = nn.Linear(width, 3)

    def forward(self, input_ids, token_type_ids):
        mask = ((input_ids == 0).astype("float32") * -1e4).unsqueeze([1, 2])
        position = paddle.cumsum(paddle.ones_like(input_ids), -1) - 1
        x = self.word(input_ids) + self.position(position) + self.segment(token_type_ids)
        if self.task is not None:
            x = x + self.task(paddle.zeros_like(input_ids))
        x = self.encoder(self.dropout(self.norm(x)), mask)
        pooled = paddle.tanh(self.pooler(x[:, 0]))
        return x, self.classifier(pooled)


_IDS = {"input_ids": ([None, None], "int64", 200), "token_type_ids": ([None, None], "int64", 2)}


@model
def bert() -> tuple[nn.Layer, dict[str, tuple]]:
    return Bert(), _IDS


@model
def ernie() -> tuple[nn.Layer, dict[str, tuple]]:
    return Bert(tasks=3), _IDS


class Gpt(nn.Layer):
    """A decoder: causal mask made of the length, tied output embedding."""

    def __init__(self, width: int = 64, heads: int = 4, words: int = 200):
        super().__init__()
        self.word = nn.Embedding(words, width)
        self.position = nn.Embedding(64, width)
        self.layers = nn.LayerList()
        for _ in range(2):
            self.layers.append(nn.LayerList([
                nn.LayerNorm(width), nn.MultiHeadAttention(width, heads), nn.LayerNorm(width),
                nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)),
            ]))  # fmt: skip
        self.norm = nn.LayerNorm(width)

    def forward(self, input_ids):
        length = input_ids.shape[1]
        mask = paddle.triu(paddle.full([length, length], -1e4), 1)
        x = self.word(input_ids) + self.position(paddle.arange(length))
        for first, attention, second, feed in self.layers:
            y = first(x)
            x = x + attention(y, y, y, mask)
            x = x + feed(second(x))
        return paddle.matmul(self.norm(x), self.word.weight, transpose_y=True)


@model
def gpt() -> tuple[nn.Layer, dict[str, tuple]]:
    return Gpt(), {"input_ids": ([None, None], "int64", 200)}


class Crnn(nn.Layer):
    """Text recognition: convolutions, bidirectional LSTM over the width, CTC head."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Layer] = []
        for before, after, pool in ((1, 16, (2, 2)), (16, 32, (2, 2)), (32, 32, (2, 1)), (32, 48, (4, 1))):
            layers += [
                nn.Conv2D(before, after, 3, padding=1),
                nn.BatchNorm2D(after),
                nn.ReLU(),
                nn.MaxPool2D(pool, pool),
            ]
        self.features = nn.Sequential(*layers)
        self.rnn = nn.LSTM(48, 24, num_layers=2, direction="bidirect")
        self.head = nn.Linear(48, 30)

    def forward(self, image):
        x = self.features(image).squeeze(2).transpose([0, 2, 1])
        x, _ = self.rnn(x)
        return F.softmax(self.head(x), axis=-1)


@model
def crnn() -> tuple[nn.Layer, dict[str, tuple]]:
    return Crnn(), {"image": ([None, 1, 32, None], "float32", 16)}


class UNet(nn.Layer):
    def __init__(self) -> None:
        super().__init__()

        def block(before: int, after: int) -> nn.Layer:
            return nn.Sequential(nn.Conv2D(before, after, 3, padding=1), nn.BatchNorm2D(after), nn.LeakyReLU())

        self.down = nn.LayerList([block(3, 8), block(8, 16), block(16, 32)])
        self.up = nn.LayerList([block(48, 16), block(24, 8)])
        self.head = nn.Conv2D(8, 2, 1)

    def forward(self, image):
        kept = []
        x = image
        for i, layer in enumerate(self.down):
            x = layer(x if i == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for layer, skip in zip(self.up, kept[-2::-1]):
            x = F.interpolate(x, size=paddle.shape(skip)[2:], mode="bilinear", align_corners=False)
            x = layer(paddle.concat([x, skip], axis=1))
        return F.sigmoid(self.head(x))


@model
def unet() -> tuple[nn.Layer, dict[str, tuple]]:
    return UNet(), {"image": ([None, 3, None, None], "float32", 16)}


class Yolo(nn.Layer):
    """A backbone, one detection head, boxes and multi-class non-maximum suppression."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Layer] = []
        for before, after in ((3, 8), (8, 16), (16, 32), (32, 32), (32, 32)):
            layers += [nn.Conv2D(before, after, 3, 2, 1), nn.BatchNorm2D(after), nn.Swish()]
        self.backbone = nn.Sequential(*layers)
        self.head = nn.Conv2D(32, 3 * (5 + 4), 1)

    def forward(self, image, size):
        x = self.head(self.backbone(image))
        boxes, scores = paddle.vision.ops.yolo_box(
            x, size, [10, 13, 16, 30, 33, 23], 4, 0.005, 32, clip_bbox=True, scale_x_y=1.0
        )
        out, index, number = paddle._C_ops.multiclass_nms3(
            boxes, scores.transpose([0, 2, 1]), None, 0.01, 40, 20, 0.45, True, 1.0, -1
        )
        return out, number


@model
def yolo() -> tuple[nn.Layer, dict[str, tuple]]:
    return Yolo(), {"image": ([None, 3, 64, 64], "float32"), "size": ([None, 2], "int32", 64)}


class Branches(nn.Layer):
    """A branch on a value and a loop of a length that comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, steps):
        y = self.linear(x)
        if y.sum() > 0:
            y = y * 2
        else:
            y = y - 1
        i = paddle.zeros([], "int64")
        while i < steps.sum():
            y = y + self.linear(y) * 0.1
            i = i + 1
        return y, i


@model
def branches() -> tuple[nn.Layer, dict[str, tuple]]:
    return Branches(), {"x": ([None, 4], "float32"), "steps": ([1], "int64", 5)}


# what is small enough to be kept for every version of Paddle that writes PIR
SMALL = ("LeNet", "bert", "gpt", "crnn", "unet")


def arrays(inputs: dict[str, tuple], which: int) -> dict[str, np.ndarray]:
    """The inputs at one of two sizes."""
    rng = np.random.default_rng(which + 1)
    made = {}
    for name, (shape, dtype, *more) in inputs.items():
        unit = more[0] if more and dtype == "float32" else 1
        sizes = iter(((2, 5, 7), (3, 9, 6))[which])
        first = True
        dims = []
        for d in shape:
            dims.append(d if d is not None else next(sizes) * (1 if first else unit))
            first = False
        if dtype == "float32":
            made[name] = rng.standard_normal(dims).astype(np.float32)
        else:
            made[name] = rng.integers(1, more[0], dims).astype(dtype)
    return made


def save(name: str, folder: Path) -> type[nn.Layer]:
    """Write the model and, beside it, both sets of inputs and what the layer answers; gives the layer's class."""
    paddle.seed(7)
    layer, inputs = MODELS[name]()
    layer.eval()
    for buffer in layer.buffers():  # running statistics other than 0 and 1
        if str(buffer.dtype).endswith("float32") and buffer.ndim:
            buffer.set_value(paddle.rand(buffer.shape) * 0.5 + 0.5)
    specs = [paddle.static.InputSpec(list(shape), dtype, key) for key, (shape, dtype, *_) in inputs.items()]
    data: dict[str, np.ndarray] = {}
    for which in (0, 1):
        feed = arrays(inputs, which)
        answers = layer(*[paddle.to_tensor(a) for a in feed.values()])
        answers = answers if isinstance(answers, (list, tuple)) else [answers]
        data.update({f"{which}_in_{k}": a for k, a in feed.items()})
        data.update({f"{which}_out_{i}": np.asarray(a) for i, a in enumerate(answers)})
    paddle.jit.save(paddle.jit.to_static(layer, input_spec=specs, full_graph=True), str(folder / name))
    np.savez(folder / f"{name}.npz", **data)
    return type(layer)


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    failed: dict[str, Any] = {}
    saved = set()
    for name in arguments[1:] or MODELS:
        try:
            saved.add(save(name, folder))
        except Exception as error:  # noqa: BLE001 - told and counted
            failed[name] = str(error)[-600:]
    missing = [k.__name__ for k in vars(paddle.vision.models).values() if isinstance(k, type) and k not in saved]
    if missing and not arguments[1:]:
        failed["families of paddle.vision.models without a model here"] = missing
    print(json.dumps(failed, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
