"""What a module keeps between calls: found, named, put back."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from mconv.torch.state import State  # noqa: E402
from tests.torch import nets  # noqa: E402


@pytest.mark.parametrize("how", ["replace", "write", "attribute"])
def test_what_changes_is_named_and_put_back(how: str) -> None:
    net = nets.Stream(how).eval()
    outer = torch.nn.Sequential(net)
    state, kept = State(outer), net.cache
    x = torch.randn(1, 3, 5)
    with torch.no_grad():
        first = outer(x)
        assert state.changed() == ["0.cache"]
        assert not torch.equal(outer(x), first)
        state.restore()
        assert state.changed() == [] and net.cache is kept
        torch.testing.assert_close(outer(x), first)


def test_what_is_made_at_the_first_call_goes_again() -> None:
    class Lazy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen: Any = None
            self.register_buffer("table", None)

        def forward(self, x: Any) -> Any:
            self.table = x if self.table is None else self.table
            self.seen = x if self.seen is None else self.seen + x
            return self.seen

    net = Lazy()
    state = State(net)
    net(torch.ones(2))
    assert sorted(state.changed()) == ["seen", "table"]
    state.restore()
    assert net.seen is None and net.table is None


def test_not_a_number_is_the_same_as_itself() -> None:
    net = torch.nn.Module()
    net.register_buffer("gap", torch.tensor([float("nan"), 1.0]))
    assert State(net).changed() == []
