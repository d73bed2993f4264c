"""Taking and putting elements by index, reductions, order."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch
from torch import nn

from tests.torch.checks import CURRENT, PADDLE_23, Family, Runtime, everywhere, in_runtimes, ints, rand


class Table(nn.Module):
    def __init__(self, **options: Any):
        super().__init__()
        self.table = nn.Embedding(9, 4, **options)

    def forward(self, ids: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return self.table(ids)


TAKEN = Family(
    {
        "embedding": Table(),
        "embedding_padding": Table(padding_idx=0),
        "rows": lambda i, x: x[i[:, 0] % 3],
        "columns": lambda i, x: x[:, i[:, 0] % 3],
        "matrix": lambda i, x: x[:, i % 3],
        "pairs": lambda i, x: x[i % 3, i % 2],
        "pairs_broadcast": lambda i, x: x[(i % 3)[:, :1], (i % 3)[:1]],
        "apart": lambda i, x: x.unsqueeze(1)[i[:, 0] % 3, :, i[:, 1] % 3],
        "behind": lambda i, x: x[:, i[:, 0] % 3, i[:, 1] % 2],
        "negative": lambda i, x: x[-(i[:, 0] % 3)],
        "constant": lambda i, x: x[:, torch.tensor([2, 0, -1])],
        "last_token": lambda i, x: i[torch.arange(i.shape[0]), (i != 0).sum(1) - 1],
        "itself": lambda i, x: i[torch.arange(i.shape[0])[:, None, None], torch.arange(i.shape[1])[None]],
        "index_select": lambda i, x: torch.index_select(x, 1, i[:, 0] % 3),
        "gather": lambda i, x: torch.gather(i, 1, i % 5),
        "take": lambda i, x: torch.take(x, i),
    },
    [ints(4, 5, low=0, high=8), rand(3, 3, 4)],
    [ints(6, 7, low=0, high=8), rand(3, 3, 4, seed=1)],
)
# torch fixes the sizes of these
OF_FIXED_SIZE = Family(
    {"take_along": lambda i: torch.take_along_dim(i, i.argsort(1), 1)},
    [ints(4, 5, low=0, high=8)],
    [ints(4, 5, low=0, high=8, seed=1)],
)
CHOSEN = Family(
    {
        "masked": lambda x: x[x > 0],
        "masked_rows": lambda x: x[x[:, 0, 0] > 0],
        "masked_select": lambda x: torch.masked_select(x, x > 0.5),
        "nonzero": lambda x: torch.nonzero(x > 1),
        "masked_scatter": lambda x: x.masked_scatter(x > 0, torch.arange(1000.0)),
    },
    [rand(3, 4, 5)],
    [rand(5, 4, 5)],
)
PUT = Family(
    {
        "index_put": lambda x: x.index_put((torch.tensor([0, 2]),), torch.tensor(9.0)),
        "index_put_rows": lambda x: x.index_put((torch.tensor([0, 2]),), x[:2] * 2),
        "index_put_columns": lambda x: _with(x, lambda y: y.__setitem__((slice(None), torch.tensor([1, 3])), 7.0)),
        "index_put_pairs": lambda x: x.index_put((torch.tensor([0, 2]), torch.tensor([1, -1])), x[:2, 0]),
        "accumulate": lambda x: x.index_put((torch.tensor([0, 0]),), x[:2], accumulate=True),
        "mask": lambda x: _with(x, lambda y: y.__setitem__(y > 0, 0.5)),
        "mask_rows": lambda x: _with(x, lambda y: y.__setitem__(y[:, 0, 0] > 0, -1.0)),
        "scatter": lambda x: x.scatter(1, (x[:, :2] > 0).long(), x[:, 1:3]),
        "scatter_larger": lambda x: x.scatter(1, (x[:, :1, :2] > 0).long(), x),
        "scatter_value": lambda x: x.scatter(2, (x[:, :, :1] > 0).long() + 2, 5.0),
        "scatter_add": lambda x: x.scatter_add(1, (x > 0).long(), x),
        "scatter_sum": lambda x: x.scatter_reduce(1, (x > 0).long(), x, "sum", include_self=False),
        "scatter_mean": lambda x: x.scatter_reduce(1, (x > 0).long(), x, "mean"),
        "index_add": lambda x: torch.index_add(x, 1, torch.tensor([0, 2]), x[:, :2]),
        "index_copy": lambda x: torch.index_copy(x, 2, torch.tensor([0, 2]), x[:, :, :2] * 3),
        "index_fill": lambda x: torch.index_fill(x, 1, torch.tensor([0, 2]), 1.0),
        "put": lambda x: torch.ops.aten.put(x, torch.tensor([[3, -1], [0, 7]]), x[0, :2, 1:3]),
        "put_added": lambda x: torch.ops.aten.put(x, torch.tensor([3, -1, 3]), x[0, :3, 0], True),
        "put_one": lambda x: torch.ops.aten.put(x[0, 0, 0], torch.tensor([0]), x[1, 1, 1:2]),
        "put_nothing": lambda x: torch.ops.aten.put(x, torch.tensor([], dtype=torch.int64), x[0, 0, :0]),
        "diagonal": lambda x: torch.diagonal_scatter(x, -x[:, :, 0], 0, 1, 2),
        "diagonal_turned": lambda x: torch.diagonal_scatter(x, 2 * x[:, 0, :3], -2, 2, 1),
        "diagonal_below": lambda x: torch.diagonal_scatter(x[0], x[0, 1:, 1], -1),
        "diagonal_nothing": lambda x: torch.diagonal_scatter(x[0], x[0, 0, :0], 5),
    },
    [rand(3, 4, 5)],
    [rand(5, 4, 5)],
)


def _with(x: torch.Tensor, change: object) -> torch.Tensor:
    y = x.clone()
    change(y)  # type: ignore[operator]
    return y


def _whole(x: torch.Tensor) -> torch.Tensor:
    return (x * 10).long()


def _holes(x: torch.Tensor) -> torch.Tensor:
    """NaN in many places, but nowhere everywhere along a dimension."""
    return torch.where((x * 7 % 1 < 0.4) & (x < x.amax(1, keepdim=True)) & (x < x.amax(2, keepdim=True)), np.nan, x)


EXTREMES = Family(
    {
        "amax": lambda x: x.scatter_reduce(0, (x > 0).long(), x, "amax"),
        "amin": lambda x: x.scatter_reduce(0, (x > 0).long(), x, "amin", include_self=False),
        "amax_integers": lambda x: _whole(x).scatter_reduce(1, (x > 0).long(), _whole(x), "amax", include_self=False),
        "prod": lambda x: x.scatter_reduce(0, (x > 0).long(), x, "prod"),
        "index_reduce": lambda x: x.index_reduce(0, torch.tensor([0, 2, 0]), x[:3] * 2, "amax"),
    },
    [rand(3, 4)],
    [rand(5, 4, seed=1)],
)
REDUCED = Family(
    {
        "sum": torch.sum,
        "sum_dim": lambda x: x.sum(1),
        "sum_dims": lambda x: x.sum((0, 2), keepdim=True),
        "mean": torch.mean,
        "mean_dim": lambda x: x.mean((1, 2)),
        "mean_keep": lambda x: x.mean(-1, keepdim=True),
        "prod": lambda x: x.prod(1),
        "max": torch.max,
        "max_dim": lambda x: x.max(1),
        "min_dim": lambda x: x.min(-1, keepdim=True),
        "amax": lambda x: x.amax((0, 1)),
        "amin": lambda x: x.amin(2),
        "aminmax": lambda x: torch.aminmax(x, dim=1),
        "argmax": torch.argmax,
        "argmax_dim": lambda x: x.argmax(1),
        "argmin_keep": lambda x: x.argmin(-1, keepdim=True),
        "logsumexp": lambda x: torch.logsumexp(x, (1, 2)),
        "var": lambda x: x.var(),
        "var_dim": lambda x: x.var(1),
        "var_batch": lambda x: x.var(0, keepdim=True),
        "var_biased": lambda x: x.var((1, 2), unbiased=False),
        "var_correction": lambda x: torch.var(x, 2, correction=2),
        "std": lambda x: x.std(-1),
        "var_mean": lambda x: torch.var_mean(x, 1),
        "std_mean": lambda x: torch.std_mean(x, (0, 2)),
        "norm": torch.norm,
        "norm1": lambda x: x.norm(1, -1),
        "norm3": lambda x: x.norm(3, 1, keepdim=True),
        "norm_inf": lambda x: torch.linalg.vector_norm(x, float("inf"), 1),
        "norm_0": lambda x: torch.linalg.vector_norm(torch.relu(x), 0, 1),
        "normalize": lambda x: nn.functional.normalize(x, dim=-1),
        "cosine": lambda x: nn.functional.cosine_similarity(x, x.flip(1), dim=-1),
        "cumsum": lambda x: x.cumsum(1),
        "cumprod": lambda x: x.cumprod(-1),
        "count_nonzero": lambda x: torch.count_nonzero(torch.relu(x), 1),
        "sum_int": lambda x: (x * 3).to(torch.int32).sum(1),
        "any": lambda x: (x > 1.5).any(),
        "softmax_sum": lambda x: (x.exp() / x.exp().sum(-1, keepdim=True)).sum(-1),
    },
    [rand(2, 5, 6)],
    [rand(4, 7, 6)],
)
ORDERED = Family(
    {
        "sort": lambda x: torch.sort(x, -1),
        "sort_down": lambda x: torch.sort(x, 1, descending=True),
        "sort_stable": lambda x: torch.sort(torch.round(x), dim=1, stable=True),
        "argsort": lambda x: x.argsort(-1),
        "topk": lambda x: torch.topk(x, 3, -1),
        "topk_small": lambda x: torch.topk(x, 2, 1, largest=False),
        "topk_values": lambda x: torch.topk(x, 2)[0],
        "msort": lambda x: torch.msort(x),
        "cummax": lambda x: torch.cummax(torch.round(x), 1),
        "cummin": lambda x: torch.cummin(x, -1),
        "logcumsumexp": lambda x: torch.logcumsumexp(x * 20, 1),
        "kthvalue": lambda x: torch.kthvalue(x, 2, 1),
        "median": torch.median,
        "median_dim": lambda x: torch.median(x, 1, keepdim=True),
        "all_true": lambda x: torch.ops.aten._is_all_true(x > -9),
        "nanmedian": lambda x: torch.nanmedian(_holes(x)),
        "nanmedian_dim": lambda x: torch.nanmedian(_holes(x), 1),
        "nanmedian_last": lambda x: torch.nanmedian(_holes(x), -1, keepdim=True),
        "nanmedian_of_none": lambda x: torch.nanmedian(torch.where(x[:, :1] > 0, np.nan, _holes(x)), 1)[0],
        "nanmedian_whole": lambda x: torch.nanmedian((x * 1000).long(), 1),
        "nanmedian_infinite": lambda x: torch.nanmedian(torch.where(x > 0, np.inf, _holes(x)), 1)[0],
        "nanmedian_nothing": lambda x: (torch.nanmedian(x[:, :0]), torch.nanmedian(x[:0], 1)[0]),
        "nanmedian_none_found": lambda x: torch.nanmedian(x[x > 99]),
        "mode": lambda x: torch.mode(torch.round(x), 1),
        "mode_last": lambda x: torch.mode(torch.round(x * 3).long(), -1, keepdim=True),
        "mode_small": lambda x: (torch.mode((x * 2).to(torch.int8), 0), torch.mode(x > 0, 0)),
        "mode_different": lambda x: torch.mode(x, 1),
        "mode_nothing": lambda x: torch.mode(x[:0], 1),
    },
    [rand(2, 5, 6)],
    [rand(4, 7, 6)],
)
DISTANCES = Family(
    {
        "cdist": lambda x: torch.cdist(x, x.flip(0) + 1),
        "cdist1": lambda x: torch.cdist(x, x.flip(0) + 1, p=1.0),
        "cdist3": lambda x: torch.cdist(x, x.flip(0) + 1, p=3.0),
        "cdist_inf": lambda x: torch.cdist(x, x.flip(0) + 1, p=float("inf")),
        "pdist": lambda x: nn.functional.pdist(x[0]),
        "dist": lambda x: torch.dist(x, x.flip(0) + 1),
        "dist1": lambda x: torch.dist(x, x[:1] + 1, 1.0),
        "dist3": lambda x: torch.dist(x, x.flip(0) + 1, 3.5),
        "dist0": lambda x: torch.dist(x, x.relu(), 0.0),
        "dist_inf": lambda x: (torch.dist(x, x.flip(0), np.inf), torch.dist(x, x.flip(0) + 1, -np.inf)),
        "dist_nothing": lambda x: torch.dist(x[:0], x[:1], 3.0),
        "pairwise": lambda x: nn.functional.pairwise_distance(x, x.flip(0)),
    },
    [rand(2, 4, 6)],
    [rand(5, 4, 6)],
)


class Bags(nn.Module):
    def __init__(self, mode: str, padding: Optional[int] = None):
        super().__init__()
        self.bag = nn.EmbeddingBag(9, 4, mode=mode, padding_idx=padding)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        return self.bag(ids, offsets)


DISTINCT = Family(
    {
        "unique": lambda i: torch.unique(i),
        "unique_all": lambda i: torch.unique(i, return_inverse=True, return_counts=True),
        "unique_rows": lambda i: torch.unique(i, dim=0, return_counts=True),
        "runs": lambda i: torch.unique_consecutive(i.flatten(), return_inverse=True, return_counts=True),
    },
    [ints(6, 2, low=0, high=2)],
    [ints(8, 2, low=0, high=2, seed=1)],
)
BAGS = Family(
    {"sum": Bags("sum"), "mean": Bags("mean"), "max": Bags("max"), "padded": Bags("mean", 0)},
    [ints(7, low=0, high=8), np.array([0, 2, 2, 5])],
    [ints(9, low=0, high=8), np.array([0, 4, 6])],
)


@everywhere
def test_taken(runtime: Runtime) -> None:
    TAKEN.check(runtime)


@everywhere
def test_taken_of_fixed_size(runtime: Runtime) -> None:
    OF_FIXED_SIZE.check(runtime)


@everywhere
def test_chosen(runtime: Runtime) -> None:
    CHOSEN.check(runtime)


@everywhere
def test_put(runtime: Runtime) -> None:
    PUT.check(runtime)


@everywhere
def test_put_extremes(runtime: Runtime) -> None:
    EXTREMES.check(runtime)


@everywhere
def test_reduced(runtime: Runtime) -> None:
    REDUCED.check(runtime)


@everywhere
def test_ordered(runtime: Runtime) -> None:
    ORDERED.check(runtime)


@everywhere
def test_distinct(runtime: Runtime) -> None:
    DISTINCT.check(runtime)


@everywhere
def test_distances(runtime: Runtime) -> None:
    DISTANCES.check(runtime)


@in_runtimes(CURRENT, PADDLE_23)
def test_embedding_bags(runtime: Runtime) -> None:
    BAGS.check(runtime)
