"""What PyTorch models compute of the rows that a mask selects, where it selects none."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

from tests.torch.checks import CURRENT, PADDLE_23, PADDLE_26, Family, Runtime, everywhere, in_runtimes, rand

torch = pytest.importorskip("torch")
F = torch.nn.functional
W, B, IMAGE = (torch.from_numpy(rand(*s, seed=1)) for s in ((3, 4), (3,), (2, 1, 2, 2)))

# functions of the selected rows [n, 4], by what becomes of their number
BY_ROW: dict[str, Callable[[Any], Any]] = {
    "itself": lambda v: v,
    "relu": F.relu,
    "gelu": F.gelu,
    "exp": torch.exp,
    "add": lambda v: v + B.sum(),
    "add_row": lambda v: v + W[0],
    "sub_self": lambda v: v - v * 2,
    "div": lambda v: 1 / (v.abs() + 1),
    "clamp": lambda v: v.clamp(-0.5, 0.5),
    "less": lambda v: v < 0.5,
    "where": lambda v: torch.where(v > 0, v, v * 0.1),
    "linear": lambda v: F.linear(v, W, B),
    "matmul": lambda v: v @ W.T,
    "softmax": lambda v: F.softmax(v, -1),
    "log_softmax": lambda v: F.log_softmax(v, 1),
    "layer_norm": lambda v: F.layer_norm(v, (4,)),
    "group_norm": lambda v: F.group_norm(v, 2),
    "normalize": lambda v: F.normalize(v, dim=1),
    "conv2d": lambda v: F.conv2d(v.reshape(-1, 1, 2, 2), IMAGE),
    "max_pool2d": lambda v: F.max_pool2d(v.reshape(-1, 1, 2, 2), 2),
    "interpolate": lambda v: F.interpolate(v.reshape(-1, 1, 2, 2), scale_factor=2.0),
    "reshape": lambda v: v.reshape(-1, 2, 2),
    "flatten": lambda v: v.flatten(),
    "permute": lambda v: v.permute(1, 0),
    "unsqueeze": lambda v: v.unsqueeze(1),
    "slice": lambda v: v[:, 1:3],
    "flip": lambda v: v.flip(0),
    "split": lambda v: torch.split(v, 2, 1),
    "stack": lambda v: torch.stack([v, v], 1),
    "concat_beside": lambda v: torch.cat([v, v * 2], 1),
    "concat_below": lambda v: torch.cat([v, v * 2], 0),
    "expand": lambda v: v.unsqueeze(0).expand(3, -1, -1),
    "repeat": lambda v: v.repeat(1, 2),
    "pad_row": lambda v: F.pad(v, (1, 1)),
    "sum_rows": lambda v: v.sum(1),
    "mean_rows": lambda v: v.mean(1, keepdim=True),
    "amax_rows": lambda v: v.amax(1),
    "argmax_rows": lambda v: v.argmax(1),
    "topk_rows": lambda v: v.topk(2, dim=1),
    "sort": lambda v: v.sort(dim=0).values,
    "cumsum": lambda v: v.cumsum(0),
    "gather": lambda v: v.gather(1, (v > 0).long()),
    "embedding": lambda v: F.embedding((v[:, 0] > 0.5).long(), W),
    "one_hot": lambda v: F.one_hot((v[:, 0] > 0.5).long(), 3),
    "mask_again": lambda v: v[v[:, 1] > 0],
    "bmm": lambda v: torch.bmm(v.reshape(-1, 2, 2), v.reshape(-1, 2, 2)),
    "mode_rows": lambda v: torch.mode(v.round(), dim=1).values,
    "nanmedian_rows": lambda v: torch.nanmedian(v, dim=1).values,
    "gcd": lambda v: torch.gcd((v * 10).long(), torch.tensor(6)),
    "lcm": lambda v: torch.lcm((v * 10).long(), torch.tensor(6)),
    "diagonal_scatter": lambda v: torch.diagonal_scatter(v.reshape(-1, 2, 2), v[:, :2], 0, 1, 2),
}
OVER_ROWS: dict[str, Callable[[Any], Any]] = {
    "sum": lambda v: v.sum(0),
    "sum_all": lambda v: v.sum(),
    "mean": lambda v: v.mean(0),
    "prod": lambda v: v.prod(0),
    "any": lambda v: (v > 0).any(0),
    "all": lambda v: (v > 0).all(0),
    "gram": lambda v: v.T @ v,
    "norm": lambda v: torch.linalg.vector_norm(v, dim=0),
    "number": lambda v: torch.full((1,), 1.0) * v.shape[0],
    "pad": lambda v: F.pad(v, (0, 0, 1, 2)),
    "dist": lambda v: torch.dist(v, v * 2 + 1),
    "concat_rows": lambda v: torch.cat([v, W], 0),
    "largest_of_joined": lambda v: torch.cat([v, W - 5], 0).amax(0),
    "mean_of_joined": lambda v: torch.cat([v, W], 0).mean(0),
    "mean_of_padded": lambda v: F.pad(v, (0, 0, 1, 2), value=-3.0).mean(0),
    "sum_of_two": lambda v: torch.cat([v, v[v[:, 1] > 0]], 0).sum(0),
    "bincount": lambda v: torch.bincount((v[:, 0] > 0.5).long(), minlength=5),
    "einsum": lambda v: torch.einsum("nc,nd->cd", v, v),
    "scatter": lambda v: torch.zeros(5, 4).index_add(0, (v[:, 0] > 0.5).long(), v),
}


def behind(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: function(x[x[:, 0] > 0])


def family(functions: dict[str, Callable[[Any], Any]]) -> Family:
    some, none = rand(5, 4), -np.abs(rand(5, 4)) - 0.1
    some[:, 0] = [0.7, -0.4, 0.2, -0.1, 0.9]
    return Family({name: behind(f) for name, f in functions.items()}, [some], [none.astype(np.float32)])


ROWS, WHOLE = family(BY_ROW), family(OVER_ROWS)  # exported once for all runtimes


@pytest.mark.slow  # a minute of exporting
@everywhere
def test_row_by_row(runtime: Runtime) -> None:
    ROWS.check(runtime)


@everywhere
def test_over_all_rows(runtime: Runtime) -> None:
    WHOLE.check(runtime)


GRU, LSTM = torch.nn.GRU(4, 3, batch_first=True).eval(), torch.nn.LSTM(4, 3).eval()
EYE = torch.eye(2)


def assigned(x: Any) -> Any:
    y = x.clone()
    y[x > 0] = 0.5
    y[x[:, 0] > 0] = y[x[:, 0] > 0] * 2
    return y


SELECTIONS = {
    "where_one": lambda x: torch.where(x > 0)[1] * 2,
    "assigned": assigned,
    "unique": lambda x: torch.unique((x[x[:, 0] > 0] * 3).long()),
    "unique_counts": lambda x: torch.unique((x[x[:, 0] > 0] * 3).long(), return_counts=True)[1],
    "twice": lambda x: (lambda v: v[v[:, 1] > 0])(x[x[:, 0] > 0]).sum(0),
    "gru_batch": lambda x: GRU(x[x[:, 0] > 0].unsqueeze(1))[0],
    "lstm_batch": lambda x: LSTM(x[x[:, 0] > 0].unsqueeze(0))[1][1],
    "inverse": lambda x: torch.linalg.inv(x[x[:, 0] > 0].reshape(-1, 2, 2) + 9 * EYE),
    "det": lambda x: torch.linalg.det(x[x[:, 0] > 0].reshape(-1, 2, 2)),
    "attention": lambda x: (lambda v: F.scaled_dot_product_attention(v[None], v[None], v[None]))(x[x[:, 0] > 0]),
    "bincount_open": lambda x: torch.bincount((x[x[:, 0] > 0][:, 0] > 0.5).long()),
    "meshgrid": lambda x: torch.meshgrid(x[x[:, 0] > 0][:, 0], x[:, 1], indexing="ij")[0],
    "scatter_none": lambda x: x.scatter(0, torch.zeros_like(x[x[:, 0] > 0]).long(), x[x[:, 0] > 0]),
    "repeat_interleave": lambda x: torch.repeat_interleave(x, (x[:, 0] > 0).long(), 0),
    "masked_select": lambda x: torch.masked_select(x, x > 0) * 2,
    "nonzero": lambda x: torch.nonzero(x > 0) + 1,
    "index_put": lambda x: torch.index_put(x, (x[:, 0] > 0,), torch.zeros(4)),
    "masked_scatter": lambda x: x.masked_scatter(x > 0, -x),
    "scores": lambda x: (lambda keep: x[keep].sigmoid() @ W.T)(torch.where(x[:, 0] > 0)[0]),
}


OTHERS = Family(SELECTIONS, [rand(5, 4)], [-np.abs(rand(5, 4)) - np.float32(0.1)])


@in_runtimes(CURRENT, PADDLE_26, PADDLE_23)
def test_other_selections(runtime: Runtime) -> None:
    OTHERS.check(runtime)
