"""Recurrent networks of every kind, layer and direction, against the real Paddle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.emit.recurrent import MODES, Stack, stacked
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.targets import PADDLE_3
from tests.exporters.onnx.checking import check, program_of

pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(5)
INPUT, HIDDEN = 5, 4


def f(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 0.5).astype(np.float32)


@pytest.mark.runtime
@pytest.mark.parametrize("lengths", [False, True], ids=["whole", "lengths"])
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (1, 2), (2, 1), (2, 2)])
@pytest.mark.parametrize("mode", MODES)
def test_networks(mode: str, layers: int, directions: int, lengths: bool, tmp_path: Path, workers: Any) -> None:
    gates = {"LSTM": 4, "GRU": 3}.get(mode, 1)
    b = Builder(PADDLE_3)
    steps, batch = D.Sym.named("steps"), D.Sym.named("batch")
    x = b.feed("x", DType.FP32, (steps, batch, INPUT))
    cells = layers * directions
    states = [b.feed(n, DType.FP32, (cells, batch, HIDDEN)) for n in (("h", "c") if mode == "LSTM" else ("h",))]
    given = b.feed("lengths", DType.INT32, (batch,)) if lengths else None
    weights, biases = [], []
    for cell in range(cells):
        width = INPUT if cell < directions else HIDDEN * directions
        weights += [b.constant(f(gates * HIDDEN, width)), b.constant(f(gates * HIDDEN, HIDDEN))]
        biases += [b.constant(f(gates * HIDDEN)), b.constant(f(gates * HIDDEN))]
    out, last = stacked(b, mode, x, states, weights, biases, Stack(layers, directions == 2, lengths=given))
    for k, value in enumerate([out, *last]):
        b.fetch(value, f"y{k}")
    program, params = b.finish()
    feeds = []
    for n, (length, size) in enumerate(((6, 2), (9, 3))):
        feed = {"x": f(length, size, INPUT), **{s.name: f(cells, size, HIDDEN) for s in states}}
        if lengths:
            feed["lengths"] = np.array([length, 1, length - 2][-size:] if n else [length - 3, length], np.int32)
        feeds.append(feed)

    def standard(made: Any) -> None:
        kinds = [node.op_type for node in made.nodes]
        assert kinds.count(mode if gates > 1 else "RNN") == layers

    check(tmp_path, workers("current"), program, params, feeds, (11, 13, 22), after=standard)


@pytest.mark.runtime
@pytest.mark.parametrize("origin", [False, True])
def test_a_step_of_a_gru(origin: bool, tmp_path: Path, workers: Any) -> None:
    inputs = {"Input": f(3, 12), "HiddenPrev": f(3, 4), "Weight": f(4, 12), "Bias": f(1, 12)}
    program, params = program_of(
        "gru_unit",
        inputs,
        {"Hidden": ("float32", 2)},
        {"activation": 2, "gate_activation": 1, "origin_mode": origin},
        ["Weight", "Bias"],
        unread=["Gate", "ResetHiddenPrev"],
    )
    feeds = [{"Input": f(n, 12), "HiddenPrev": f(n, 4)} for n in (3, 5)]
    check(tmp_path, workers("current"), program, params, feeds)
