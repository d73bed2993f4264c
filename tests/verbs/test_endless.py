"""Models that never come to an end, or take ever more memory: the proof ends them, and nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mconv import watch
from tests.onnx.make import model, node, port

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.skipif(not watch.resident(), reason="the system does not tell what a process holds")


class Turns(torch.nn.Module):
    """Turns until the sum is negative, which it never is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.abs(x)
        while bool(torch.sum(y) >= 0):
            y = y * 0.5
        return y


class Grows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.abs(x)
        while bool(torch.sum(y) >= 0):
            y = torch.cat([y, y], 0)
        return y


class Large(torch.nn.Module):
    """A size that is computed: no number of it stands in the code."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.size(1)
        return x + torch.sum(torch.ones([n * n * n * n, n * 2]))


def loop(folder: Path, grows: bool) -> list[str]:
    """2^40 turns, which ONNX Runtime takes one after the other."""
    step = node("Concat", "c c", "c2", axis=0) if grows else node("Add", "c c", "c2")
    body = helper.make_graph(
        [step, node("Identity", "go", "go2")],
        "body",
        [port("i", TensorProto.INT64, []), port("go", TensorProto.BOOL, []), port("c", dims=["n", 4])],
        [port("go2", TensorProto.BOOL, []), port("c2", dims=["m", 4])],
    )
    made = model(
        [helper.make_node("Loop", ["turns", "", "x"], ["l"], body=body), node("ReduceSum", "l", "y", keepdims=0)],
        weights={"turns": np.array(2**40)},
        outputs=[port("y", dims=[])],
    )
    onnx.save(made, folder / "m.onnx")
    return ["onnx2paddle", "m.onnx", "out"]


def script(folder: Path, made: torch.nn.Module) -> list[str]:
    torch.jit.script(made.eval()).save(folder / "m.pt")
    return ["torch2paddle", "m.pt", "out", "--input", "x:float32[?,60]"]


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("case", "said"),
    [
        pytest.param("turns", "was not done after 3 s", marks=pytest.mark.slow),
        ("grows", "of memory"),
        pytest.param("large", "of memory", marks=pytest.mark.slow),
        ("loop that turns", "was not done after 3 s"),
        pytest.param("loop that grows", "of memory", marks=pytest.mark.slow),
    ],
)
def test_the_proof_ends_it(case: str, said: str, tmp_path: Path) -> None:
    if case.startswith("loop"):
        command = loop(tmp_path, case.endswith("grows"))
    else:
        command = script(tmp_path, {"turns": Turns, "grows": Grows, "large": Large}[case]())
    (source,) = tmp_path.iterdir()
    done = subprocess.run(
        [sys.executable, "-m", "mconv", *command, "--timeout", "3" if "turns" in case else "60", "--limit", "100M"],
        cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 14, done.stderr
    assert said in done.stderr and "hint: " in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [source.name]
