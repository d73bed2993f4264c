"""Loops over the rows that a mask selects: over all rows in the result, where the model answers the same then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mconv import api
from mconv.errors import UnsupportedError


class Experts(torch.nn.Module):
    """As transformers writes a mixture of experts; *also* is done for each expert that has a token."""

    also = 0.0

    def __init__(self, count: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.router = torch.nn.Linear(8, count)
        self.experts = torch.nn.ModuleDict({f"expert_{i}": torch.nn.Linear(8, 8) for i in range(count)})

    def forward(self, x: torch.Tensor) -> Any:
        rows = x.reshape(-1, 8)
        self.router = self.router.to(torch.float32)  # in forward, where nothing changes
        chosen = torch.nn.functional.one_hot(self.router(rows).argmax(-1), len(self.experts)).permute(1, 0)
        made = torch.zeros_like(rows)
        for expert in torch.greater(chosen.sum(-1), 0).nonzero():
            (positions,) = torch.where(chosen[expert].squeeze(0))
            made.index_add_(0, positions, self.experts[f"expert_{expert[0]}"](rows[positions]))
            made = made + self.also
        return made.reshape(x.shape)


class Counting(Experts):
    also = 1.0


def test_a_mixture_of_experts_is_converted_whole(tmp_path: Path) -> None:
    made = api.torch2paddle(Experts(), tmp_path / "out", inputs=["x:float32[batch,length,8]"], target="3", via="export")
    assert made.verification is not None and made.verification["status"] == "passed"
    assert not made.reservations


def test_a_loop_that_does_more_than_the_selected_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"test_selected.py:\d+ does something for the rows that its mask leaves"
    ):
        api.torch2paddle(Counting(), tmp_path / "out", inputs=["x:float32[batch,length,8]"], target="3", via="export")
    assert not (tmp_path / "out").exists()


def test_where_no_row_is_ever_left_out_that_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).standard_normal((2, 9, 8)).astype(np.float32))
    made = api.torch2paddle(
        Experts(1), tmp_path / "out", inputs=["x:float32[batch,length,8]"], feeds=tmp_path / "x.npz", target="3",
        via="export",
    )  # fmt: skip
    assert made.verification is not None and made.verification["status"] == "passed in part"
    assert any("loops over what a mask selects" in one["text"] for one in made.reservations)
