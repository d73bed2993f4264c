"""Models with branches, loops and lists, which whatever Paddle runs this saves: ``python loops.py FOLDER``.

Beside each ``NAME.pdmodel`` or ``NAME.json`` is ``NAME.npz``: ``K.in.INPUT`` and ``K.out.N`` of two or more input sets.
"""

import sys

import numpy as np
import paddle
from paddle import nn

F, WHOLE = "float32", "int64"


class Greedy(nn.Layer):
    """A decoder of one cell: the best token goes in again, until the end or so many steps; the tokens in a list."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.cell = nn.GRUCell(8, 8)
        self.head = nn.Linear(8, 12)

    def forward(self, state, steps):
        token = paddle.zeros([state.shape[0]], "int64")
        tokens, logits = [], []
        i = paddle.zeros([1], "int64")
        while i < steps:
            out, state = self.cell(self.embedding(token), state)
            scores = self.head(out)
            token = paddle.argmax(scores, -1)
            tokens.append(token)
            logits.append(scores)
            i = i + 1
        return paddle.stack(tokens, 1), paddle.stack(logits, 1)


class Structure(nn.Layer):
    """As SLANet's head: attention on a map in each step, one-hot of the best one into the next, a tensor that grows."""

    def __init__(self):
        super().__init__()
        self.score = nn.Linear(8, 1)
        self.cell = nn.GRUCell(8 + 6, 8)
        self.head = nn.Linear(8, 6)

    def forward(self, features, length):
        batch = features.shape[0]
        hidden = paddle.zeros([batch, 8])
        chars = paddle.zeros([batch], "int64")
        found = paddle.zeros([batch, 1, 6])
        i = paddle.zeros([1], "int64")
        while i < length:
            weights = nn.functional.softmax(self.score(paddle.tanh(features + hidden.unsqueeze(1))), 1)
            context = (weights * features).sum(1)
            one_hot = nn.functional.one_hot(chars, 6)
            hidden, _ = self.cell(paddle.concat([context, one_hot], 1), hidden)
            step = self.head(hidden)
            chars = paddle.argmax(step, 1)
            found = paddle.concat([found, step.unsqueeze(1)], 1)
            i = i + 1
        return nn.functional.softmax(found, -1)


class Nested(nn.Layer):
    """A loop with a branch in it, in a branch; the ways give other values, and a loop that may have no turn."""

    def forward(self, x, steps):
        y = x * 2
        if paddle.sum(x) > 0:
            i = paddle.zeros([1], "int64")
            while i < steps:
                if paddle.mean(y) > 1:
                    y = y * 0.5 - x
                else:
                    y = y + paddle.abs(x)
                i = i + 1
        else:
            y = paddle.exp(x) - y
        return y, paddle.max(y)


class Early(nn.Layer):
    """Until it is small enough: how often follows from the numbers."""

    def forward(self, x):
        turns = paddle.zeros([1], "int64")
        while paddle.max(paddle.abs(x)) > 0.1:
            x = x / 2
            turns = turns + 1
        return x, turns


def _floats(*shape):
    return np.random.default_rng(len(shape) + shape[0]).standard_normal(shape).astype(np.float32)


def _steps(n):
    return np.array([n], np.int64)


MODELS = {
    "greedy": (
        Greedy,
        {"state": ([None, 8], F), "steps": ([1], WHOLE)},
        [(_floats(2, 8), _steps(3)), (_floats(3, 8), _steps(7))],
    ),
    "structure": (
        Structure,
        {"features": ([None, None, 8], F), "length": ([1], WHOLE)},
        [(_floats(1, 5, 8), _steps(4)), (_floats(2, 9, 8), _steps(6)), (_floats(2, 9, 8), _steps(0))],
    ),
    "nested": (
        Nested,
        {"x": ([None, 4], F), "steps": ([1], WHOLE)},
        [(np.abs(_floats(2, 4)), _steps(3)), (-np.abs(_floats(3, 4)), _steps(5)), (np.abs(_floats(2, 4)), _steps(0))],
    ),
    "early": (Early, {"x": ([None, 4], F)}, [(_floats(2, 4),), (_floats(3, 4) * 30,), (_floats(2, 4) * 0,)]),
}


def main(folder):
    for name, (kind, inputs, sets) in MODELS.items():
        paddle.seed(7)
        layer = kind()
        layer.eval()
        specs = [paddle.static.InputSpec(shape, dtype, key) for key, (shape, dtype) in inputs.items()]
        static = paddle.jit.to_static(layer, input_spec=specs)
        data = {}
        for k, values in enumerate(sets):
            data.update({f"{k}.in.{key}": v for key, v in zip(inputs, values)})
            made = layer.forward(*map(paddle.to_tensor, values)) if not hasattr(static, "nothing") else None
            made = made if isinstance(made, (list, tuple)) else [made]
            data.update({f"{k}.out.{n}": v.numpy() for n, v in enumerate(made)})
        paddle.jit.save(static, f"{folder}/{name}")
        np.savez(f"{folder}/{name}.npz", **data)


if __name__ == "__main__":
    main(sys.argv[1])
