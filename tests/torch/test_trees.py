"""What a module returns besides tensors, lists and dictionaries: taken apart, exported, and named alike both times."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from mconv.torch.exporting import export, named_leaves  # noqa: E402


@dataclasses.dataclass
class Record:
    mean: torch.Tensor
    count: int
    more: Any = None


class Plain:
    def __init__(self, x: torch.Tensor):
        self.x, self.inner, self.name = x, {"twice": x * 2, "label": "none"}, "plain"


class Slotless(torch.nn.Module):
    def __init__(self, make: Any):
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor) -> Any:
        return self.make(x)


def _cache(x: torch.Tensor) -> Any:
    transformers = pytest.importorskip("transformers")
    cache = transformers.DynamicCache()
    cache.update(x[None, None], x[None, None] * 2, 0)
    return {"hidden": x + 1, "cache": cache}


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda x: Record(x * 1, 3, [x + 1]), ["mean", "more_0"]),
        (lambda x: {"d": Record(x * 1, 3), "o": Plain(x * 4)}, ["d_mean", "o_x", "o_inner_twice"]),
        (lambda x: (x * 1, [Plain(x + 2), None]), ["output_0", "output_1_0_x", "output_1_0_inner_twice"]),
        (_cache, ["hidden", "cache_layers_0_keys", "cache_layers_0_values"]),
    ],
    ids=["dataclass", "mixed", "nested", "DynamicCache"],
)
def test_outputs(make: Any, names: list[str]) -> None:
    net, x = Slotless(make), torch.arange(6.0).reshape(2, 3)
    wanted = [(n, v) for n, v in named_leaves(net(x)) if isinstance(v, torch.Tensor)]
    assert [n for n, _ in wanted] == names
    made = export(net, {"x": x}, {"x": ["rows", None]})
    assert [n for n in made.outputs if n in names] == names
    other = torch.randn(5, 3)
    got = {n: v for n, v in named_leaves(made.run([other])) if isinstance(v, torch.Tensor)}
    for name, value in named_leaves(net(other)):
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(got[name], value)
    torch.export.save(made.program, io.BytesIO())
