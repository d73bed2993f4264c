"""Counting, positions among sorted numbers, repetition by numbers, products of groups of rows."""

from __future__ import annotations

import torch
from torch import nn

from tests.torch.checks import CURRENT, PADDLE_23, PADDLE_26, Family, Runtime, everywhere, in_runtimes, ints, rand

COUNTED = Family(
    {
        "histc": lambda x, i: torch.histc(x, 7, -1, 2),
        "histc_of_range": lambda x, i: torch.histc(x, 5),
        "histc_of_experts": lambda x, i: torch.histc(i.float(), 6, 0, 5),
        "bincount": lambda x, i: torch.bincount(i),
        "bincount_least": lambda x, i: torch.bincount(i, minlength=12),
        "bincount_weights": lambda x, i: torch.bincount(i, x[: i.shape[0], 0]),
    },
    [rand(9, 4), ints(8, low=0, high=6)],
    [rand(11, 4, seed=1), ints(9, low=0, high=6, seed=1)],
)
SORTED = Family(
    {
        "searchsorted": lambda x: torch.searchsorted(torch.sort(x[0]).values, x),
        "searchsorted_right": lambda x: torch.searchsorted(
            torch.arange(-2.0, 2.0, 0.5), x.round(decimals=1), right=True
        ),
        "searchsorted_rows": lambda x: torch.searchsorted(torch.sort(x, -1).values, x.flip(0), out_int32=True),
        "bucketize": lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5])),
        "bucketize_integers": lambda x: torch.bucketize((x * 3).long(), torch.tensor([-1, 0, 2]), right=True),
    },
    [rand(3, 5)],
    [rand(4, 7)],
)
REPEATED = Family(
    {
        "positions": lambda i, x: torch.repeat_interleave(i),
        "rows": lambda i, x: torch.repeat_interleave(x, i, dim=0),
        "columns": lambda i, x: torch.repeat_interleave(x.t(), i, dim=1),
    },
    [ints(6, low=0, high=4), rand(6, 3)],
    [ints(8, low=0, high=4, seed=1), rand(8, 3, seed=1)],
    [ints(5, low=0, high=0), rand(5, 3)],
)


def _grouped(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    """Rows in the order of their experts, some of which have none; whole numbers, which bfloat16 holds."""
    weights = torch.arange(5 * 8 * 8).remainder(5).sub(2).reshape(5, 8, 8).bfloat16()
    order = torch.argsort(i)
    ends = torch.cumsum(torch.histc(i.float(), 5, 0, 4), 0).to(torch.int32)
    return nn.functional.grouped_mm(x[order].sign().bfloat16(), weights, offs=ends).float()


GROUPED = Family(
    {"experts": _grouped}, [rand(7, 8), ints(7, low=0, high=3)], [rand(9, 8), ints(9, low=2, high=4, seed=1)]
)


@everywhere
def test_counted(runtime: Runtime) -> None:
    COUNTED.check(runtime)


@everywhere
def test_sorted(runtime: Runtime) -> None:
    SORTED.check(runtime)


@everywhere
def test_repeated(runtime: Runtime) -> None:
    REPEATED.check(runtime)


@in_runtimes(CURRENT, PADDLE_26, PADDLE_23)
def test_grouped_products(runtime: Runtime) -> None:
    GROUPED.check(runtime)
