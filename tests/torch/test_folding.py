"""What is computed while a model is converted draws on the command's budget."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mconv import budget
from mconv.errors import LimitError
from mconv.torch import folding

torch = pytest.importorskip("torch")


def test_what_is_made_of_numbers_draws_on_the_budget() -> None:
    ctx: Any = SimpleNamespace(dim_of=int)
    full = torch.ops.aten.full.default
    node = SimpleNamespace(target=full, name="full", meta={"val": torch.empty(1000, device="meta")})
    with budget.command("1K"), pytest.raises(LimitError, match="computing full takes"):
        folding.evaluate(ctx, node, ([1000], 1.0), {})
