"""Torch's arithmetic of open sizes: the quick steps give what the slow ones give, and it is bounded."""

from __future__ import annotations

from typing import Any

import pytest
import sympy
import torch

from mconv.errors import UnsupportedError
from mconv.torch import size_arithmetic
from mconv.torch.exporting import export

H, W = (sympy.Symbol(name, integer=True, positive=True) for name in "hw")


def _windows(x: Any) -> Any:
    """Pads to windows of four and puts them side by side, as Swin does."""
    height, width = x.shape[2:]
    x = torch.nn.functional.pad(x, (0, (4 - width % 4) % 4, 0, (4 - height % 4) % 4))
    rows, columns = x.shape[2] // 4, x.shape[3] // 4
    x = x.reshape(x.shape[0], -1, rows, 4, columns, 4).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(x.shape[0], -1, rows, columns).mean(1)


class Windows(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return _windows(x)


@pytest.mark.parametrize("sum_, divisor", [
    (8 * H * W + 4 * H, 4 * H), (H * W + H, H), (H**2 + H, H), (6 * H, 3), (H * W + W + H + 1, H + 1), (H + 1, 2),
])  # fmt: skip
def test_a_quotient_is_simplified_as_by_sympy(sum_: Any, divisor: Any) -> None:
    made = size_arithmetic._simplified(sympy.simplify)(sum_ / divisor)
    assert sympy.expand(made - sympy.simplify(sum_ / divisor)) == 0
    assert not [p for p in made.atoms(sympy.Pow) if p.exp.is_negative]


def test_bounds_of_an_expression_are_torchs() -> None:
    from torch.utils._sympy import interp, value_ranges
    from torch.utils._sympy.functions import FloorDiv, Mod
    from torch.utils._sympy.value_ranges import ValueRanges

    inner = FloorDiv(H + 3, 4) * FloorDiv(W - 1, 2) + Mod(H, 4)
    ranges = {H: ValueRanges(2, 64), W: ValueRanges(3, 96)}
    analysis = value_ranges.SymPyValueRangeAnalysis
    for e in (inner, inner * inner + inner, sympy.Ge(inner, 0), FloorDiv(inner, 3) + inner, sympy.Max(inner, H)):
        assert size_arithmetic._interpreted()(analysis, ranges, e) == interp.sympy_interp(analysis, ranges, e)


def test_a_trace_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_arithmetic, "SECONDS", 0.0)
    with pytest.raises(UnsupportedError, match=r"torch.export cannot trace Windows \(torch's arithmetic") as caught:
        export(Windows(), {"x": torch.randn(2, 1, 24, 40)}, {"x": ["batch", None, "height", "width"]})
    assert "--input" in str(caught.value.hint)


def test_windows_of_padded_images_stay_open() -> None:
    made = export(Windows(), {"x": torch.randn(2, 1, 24, 40)}, {"x": ["batch", None, "height", "width"]})
    x = torch.randn(3, 1, 50, 30)
    torch.testing.assert_close(made.run([x]), _windows(x))
