"""Inputs with a LoD: fed with one in every Paddle, and said where a server cannot pass them on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mconv import api
from mconv.runtimes.worker_feeds import lod_of
from tests.managed import require, run_in


@pytest.mark.parametrize(
    ("rows", "level", "wanted"),
    [
        (7, 1, [[0, 3, 7]]),
        (1, 1, [[0, 1]]),
        (9, 2, [[0, 1, 3], [0, 3, 6, 9]]),
        (1, 2, [[0, 1], [0, 1]]),
        (0, 1, [[0, 0]]),
        (8, 3, [[0, 1, 2], [0, 1, 4], [0, 2, 4, 6, 8]]),
    ],
)
def test_offsets(rows: int, level: int, wanted: list[list[int]]) -> None:
    found = lod_of(rows, level)
    assert found == wanted and found[-1][-1] == rows
    assert all(upper[-1] == len(lower) - 1 for upper, lower in zip(found, found[1:]))


@pytest.mark.runtime
@pytest.mark.parametrize("levels", [1, 2])
def test_sequences_are_proved(tmp_path: Path, levels: int) -> None:
    """A model of Paddle 1.8 against what is made of it, on two sequences at two lengths."""
    require("paddle-2.3.2")
    model = tmp_path / "model"
    done = run_in(require("paddle-1.8.5"), Path(__file__).with_name("save_lod.py"), model, levels)
    assert done.returncode == 0, done.stderr
    made = api.convert(model, tmp_path / "out")
    proof = made.verification
    assert proof["status"] == "passed" and len(proof["input_sets"]) == 2
    assert [row["shape"][0] for row in proof["outputs"]] == [2, 2]  # a row for each sequence
    assert any("more than one level of LoD" in w for w in made.warnings) is (levels > 1)
    np.savez(tmp_path / "x.npz", words=np.zeros((5, 1) if levels == 1 else (5, 8), "i8" if levels == 1 else "f4"))
    assert api.verify(model, tmp_path / "out" / "serving_server", feeds=tmp_path / "x.npz").ok
