"""Which of equal scores are taken is open: said as that, and not as a wrong answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mconv import api
from mconv.errors import UnprovedError
from mconv.torch.ties import ties


class Chosen(torch.nn.Module):
    """A detector's head: the positions with the highest scores, and what is there; *weight* 0 is an untrained one."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: torch.Tensor) -> Any:
        scores = x.mean(-1) * self.weight
        positions = scores.topk(10, dim=1).indices
        return x.gather(1, positions.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


@pytest.mark.parametrize(
    "weight, found", [(0.0, ["test_ties.py:25 takes 10 of 126 numbers, of which 126 are equal"]), (1.0, [])]
)
def test_equal_scores_are_found(weight: float, found: list[str]) -> None:
    torch.manual_seed(0)
    with ties() as noted:
        Chosen(weight)(torch.randn(2, 126, 8))
    assert noted.found == found


def test_all_of_equal_scores_leave_nothing_open() -> None:
    with ties() as noted:
        torch.zeros(2, 10).topk(10)
        torch.tensor([3.0, 3.0, 1.0, 0.0]).topk(2)
    assert noted.found == []


def test_an_order_of_equal_numbers_is_open_unless_it_is_stable() -> None:
    with ties() as noted:
        torch.tensor([[1.0, 2.0], [1.0, 3.0]]).argsort(dim=0)
        torch.sort(torch.zeros(3, 4), 1)
        torch.zeros(5).sort(stable=True)
        torch.arange(5).argsort(0, descending=True)
    assert [found.partition(" ")[2] for found in noted.found] == [
        "orders 2 numbers, of which 2 are equal",
        "orders 4 numbers, of which 4 are equal",
    ]


def test_a_choice_among_equal_scores_is_no_wrong_answer(tmp_path: Path) -> None:
    with pytest.raises(UnprovedError, match=r"test_ties.py:25 takes 10 of 126 .* cannot be compared") as caught:
        api.torch2paddle(Chosen(0.0), tmp_path / "out", inputs=["x:float32[batch,126,8]"], target="3")
    assert caught.value.exit_code == 15 and (tmp_path / "out" / "inference.pdmodel").exists()
    assert api.torch2paddle(Chosen(1.0), tmp_path / "b", inputs=["x:float32[batch,126,8]"], target="3").verification
