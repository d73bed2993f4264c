"""Layers to save: given to mconv as ``layers.py:Name``, and imported by the tests."""

from __future__ import annotations

import collections

import paddle
from paddle import nn


class Bert(nn.Layer):
    """A classifier with the parameters of PaddleNLP's BertForSequenceClassification, in their order."""

    def __init__(self, vocab=40, hidden=16, layers=2, classes=3):
        super().__init__()
        self.word = nn.Embedding(vocab, hidden)
        self.kind = nn.Embedding(2, hidden)
        self.position = nn.Embedding(64, hidden)
        self.norm = nn.LayerNorm(hidden)
        layer = nn.TransformerEncoderLayer(hidden, 2, 32, 0.1, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(hidden, classes)

    def forward(self, input_ids, token_type_ids=None, position_ids=None, attention_mask=None):
        if position_ids is None:
            position_ids = paddle.cumsum(paddle.ones_like(input_ids), axis=1) - 1
        x = self.word(input_ids) + self.position(position_ids)
        if token_type_ids is not None:
            x = x + self.kind(token_type_ids)
        mask = None
        if attention_mask is not None:
            mask = (1.0 - attention_mask.unsqueeze([1, 2]).astype("float32")) * -1e4
        x = self.encoder(self.norm(x), mask)
        return self.head(paddle.tanh(x[:, 0]))

    def pooled(self, input_ids):
        """Another method to save."""
        return self.word(input_ids).mean(axis=1)


class Conv(nn.Layer):
    """Convolution, batch norm (in training mode it would give something else), pooling."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2D(channels, 8, 3, padding=1)
        self.norm = nn.BatchNorm2D(8)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(8, 5)

    def forward(self, image):
        x = nn.functional.relu(self.norm(self.conv(image)))
        return self.head(self.drop(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


class Lstm(nn.Layer):
    """Several outputs, nested."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 5, direction="bidirect")

    def forward(self, ids):
        return self.lstm(self.table(ids))


class Named(nn.Layer):
    """A dictionary whose order is not the alphabet's, with None in it; no ``self``; keyword-only inputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(this, x, *, shift, scale=None, flag=False):
        y = this.linear(x) + shift
        if scale is not None:
            y = y * scale
        return {"zeta": y, "alpha": y.sum(axis=-1), "nothing": None, "many": [y - 1, y - 2]}


Pair = collections.namedtuple("Pair", ["second", "first"])


class Tupled(nn.Layer):
    def forward(self, x):
        return Pair(x + 1, x * 2)


class Unused(nn.Layer):
    """The second input is not used."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x, mask):
        return self.linear(x)


class Same(nn.Layer):
    """Outputs that are inputs, parameters, and one another."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        y = self.linear(x)
        return {"x2": x, "a": y, "b": y, "weight": self.linear.weight}


class Conditional(nn.Layer):
    """Control flow on data."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        y = self.linear(x)
        if y.sum() > 0:
            y = y * 2
        else:
            y = y - 10
        return y


class Deep(nn.Layer):
    """A mistake inside: the second layer wants another width."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.LayerList([nn.Linear(4, 8), nn.Linear(9, 2)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Untraceable(nn.Layer):
    """Runs, and cannot become static: numpy decides."""

    def forward(self, x):
        return x * sorted(x.numpy().tolist())[0][0]


class Plain(nn.Layer):
    """No parameters."""

    def forward(self, x):
        return paddle.tanh(x)


class Nothing(nn.Layer):
    def forward(self, x):
        return None


class Star(nn.Layer):
    def forward(self, *parts):
        return paddle.concat(list(parts), axis=-1)


class Baked(nn.Layer):
    """What a tracer cannot see: the result depends on how often it has been called."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x + float(self.calls > 3)


class Ports(nn.Layer):
    """Types that the Predictor of Paddle 2.3 cannot pass, scalars, and a size, which is a number until it is traced."""

    def forward(self, x, keep, small):
        return {"flag": x > 0, "any": keep.any(), "rows": x.shape[0], "small": small, "short": small.astype("int16")}


class Random(nn.Layer):
    """Dropout that is always on."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return nn.functional.dropout(self.linear(x), 0.5, training=True)


class NoForward(nn.Layer):
    def encode(self, x):
        return x * 2


def make(kind="Conv", **arguments):
    """A factory with an argument."""
    return globals()[kind](**arguments)


def fails():
    raise RuntimeError("no such luck\nsecond line")


def leaves():
    raise SystemExit(0)


def imports():
    import a_package_that_is_not_there  # noqa: F401


def pair():
    return Conv(), None


number = 3
made = Plain()
