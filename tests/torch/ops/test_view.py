"""Views, slices, joints, created tensors, padding."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tests.torch.checks import Family, Runtime, everywhere, ints, rand


def _padded(x: torch.Tensor) -> torch.Tensor:
    """The length rounded up to a multiple of 4, in size expressions whose terms are below 0: ``-4 * (-n // 4)``."""
    more = (4 - x.shape[1] % 4) % 4
    made = x.new_zeros(x.shape[0], (x.shape[1] + more) // 2, 6)
    made[:, -1] = x[:, 0]
    made[:, :-1, 2:] += x[:, :1, 2:]
    made[:, 1:, :1] += x[:, 1:2, 4:5]
    return torch.cat([made, F.pad(x, (0, 0, 0, more))[:, torch.arange(made.shape[1] - 1)]], 1)


def _overlapping(x: torch.Tensor) -> torch.Tensor:
    """Windows of two rows each of a tensor that is transposed in memory, as Longformer has them."""
    (n, m, k), (a, b, c) = x.shape, x.stride()
    return x.as_strided((n - 1, 2, m, k), (a, a, b, c))


VIEWS = Family(
    {
        "view": lambda x: x.view(x.shape[0], -1),
        "view_split": lambda x: x.view(x.shape[0], x.shape[1], 2, 3),
        "heads": lambda x: x.view(x.shape[0], x.shape[1], 2, 3).transpose(1, 2),
        "merge": lambda x: x.reshape(x.shape[0] * x.shape[1], 6),
        "merge_back": lambda x: (x.reshape(-1, 6) * 2).reshape(x.shape[0], x.shape[1], 6),
        "flatten": lambda x: x.flatten(1),
        "flatten_truth": lambda x: (x > 0).flatten(1),
        "flatten_all": lambda x: x.flatten(),
        "unflatten": lambda x: x.unflatten(2, (3, 2)),
        "permute": lambda x: x.permute(2, 0, 1),
        "transpose": lambda x: x.transpose(-1, 0),
        "movedim": lambda x: x.movedim(0, -1),
        "squeeze": lambda x: x[:, None].squeeze(1),
        "squeeze_all": lambda x: x[None].squeeze(),
        "unsqueeze": lambda x: x.unsqueeze(-1).unsqueeze(0),
        "expand": lambda x: x[:, :1].expand(-1, 4, -1),
        "expand_as": lambda x: x[:1].expand_as(x) + x,
        "broadcast_to": lambda x: x.mean(-1, keepdim=True).broadcast_to(x.shape),
        "repeat": lambda x: x.repeat(2, 1, 3),
        "repeat_more": lambda x: x.repeat(3, 1, 1, 1),
        "tile": lambda x: x.tile(2),
        "repeat_interleave": lambda x: x.repeat_interleave(2, dim=1),
        "flip": lambda x: x.flip(1, 2),
        "roll": lambda x: x.roll((1, -2), (1, 2)),
        "roll_flat": lambda x: x.roll(2),
        "clone": lambda x: x.clone().contiguous().detach(),
        "diagonal": lambda x: x.diagonal(1, 1, 2),
        "diagonal_low": lambda x: x.transpose(1, 2).diagonal(-2, 1, 2),
        "unfold": lambda x: x.unfold(2, 3, 2),
        "unfold_length": lambda x: x.unfold(1, 2, 1),
        "strided": lambda x: x.as_strided((x.shape[0], x.shape[1] - 1, 12), (x.stride(0), x.stride(1), 1)),
        "strided_transposed": lambda x: (x.permute(2, 0, 1) * 1).as_strided((4, x.shape[1]), (1, x.shape[0])),
        "padded": _padded,
        "strided_view": lambda x: _overlapping(x.transpose(0, 1)),
        "chunk": lambda x: torch.chunk(x, 2, -1),
        "numel": lambda x: x * x.numel(),
        "size_sum": lambda x: x + x.size(0) * 2 - x.size(1) // 2,
        "channel_shuffle": lambda x: F.channel_shuffle(x.permute(0, 2, 1)[..., None], 3),
    },
    [rand(2, 5, 6)],
    [rand(3, 7, 6)],
)
SLICES = Family(
    {
        "first": lambda x: x[:, 0],
        "last": lambda x: x[:, -1],
        "both": lambda x: x[:, 1:-1],
        "step": lambda x: x[:, ::2],
        "back": lambda x: x[..., -3:],
        "beyond": lambda x: x[:, :, 2:100],
        "half": lambda x: x[:, : x.shape[1] // 2],
        "newaxis": lambda x: x[:, None, :, 1:3],
        "narrow": lambda x: x.narrow(2, 1, 3),
        "select": lambda x: x.select(2, -2),
        "index_of_size": lambda x: x[:, x.shape[1] - 2],
        "split": lambda x: torch.split(x, 2, 2),
        "split_sizes": lambda x: torch.split(x, [1, 2, 3], 2),
        "unbind": lambda x: torch.unbind(x, 2)[1:3],
        "tensor_split": lambda x: torch.tensor_split(x, 3, 2)[1],
        "cat": lambda x: torch.cat([x, x * 2, x[:, :1]], 1),
        "cat_types": lambda x: torch.cat([x, torch.ones(1, dtype=torch.int64).expand(x.shape[0], x.shape[1], 1)], -1),
        "stack": lambda x: torch.stack([x, x + 1], 1),
        "stack_end": lambda x: torch.stack([x, x + 1], -1),
        "hstack": lambda x: torch.hstack([x, x]),
        "select_scatter": lambda x: torch.select_scatter(x, x[:, 0] * 0, 1, 1),
        "slice_scatter": lambda x: torch.slice_scatter(x, x[:, :2] * 0, 1, 1, 3),
        "slice_scatter_end": lambda x: torch.slice_scatter(x, x[:, :, :2] * 0, 2, -2),
        "slice_scatter_step": lambda x: torch.slice_scatter(x, x[:, :, :3] * 0, 2, 0, 6, 2),
        "assigned": lambda x: _assigned(x),
        "cut_even": lambda x: x[:, : x.shape[1] // 2 * 2].reshape(x.shape[0], -1, 2, 6).sum(2),
    },
    [rand(2, 5, 6)],
    [rand(3, 7, 6)],
)


def _assigned(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros_like(x)
    y[:, 1:] = x[:, :-1]
    y[:, 0, 2] = 5.0
    return y


CREATED = Family(
    {
        "zeros": lambda x: torch.zeros(x.shape[0], 3) + x[:, :1],
        "ones_like": lambda x: torch.ones_like(x),
        "full": lambda x: torch.full((x.shape[0], 2), 3.5),
        "full_int": lambda x: torch.full((x.shape[1],), 2**40),
        "full_bool": lambda x: torch.full((x.shape[0], 2), True),
        "full_like": lambda x: torch.full_like(x, x.shape[0]),
        "new_ones": lambda x: x.new_ones(x.shape[1], 2),
        "new_zeros": lambda x: x.new_zeros((3,), dtype=torch.int64) + x.shape[0],
        "new_full": lambda x: x.new_full((x.shape[0],), 0.5),
        "arange": lambda x: torch.arange(x.shape[1]),
        "arange_from": lambda x: torch.arange(2, x.shape[1] + 2),
        "arange_step": lambda x: torch.arange(0, x.shape[1], 2, dtype=torch.float32),
        "arange_down": lambda x: torch.arange(x.shape[1] - 1, -1, -1),
        "arange_float": lambda x: torch.arange(0.5, 4.0, 0.5) + x[0, 0],
        "linspace": lambda x: torch.linspace(0, 1, 5) + x[0, 0],
        "eye": lambda x: torch.eye(x.shape[1]),
        "tril": lambda x: torch.tril(x),
        "triu": lambda x: torch.triu(x, 1),
        "causal": lambda x: torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril(),
        "mask": lambda x: torch.triu(torch.full((x.shape[1], x.shape[1]), float("-inf")), diagonal=1),
        "scalar": lambda x: torch.scalar_tensor(2.5) * x,
        "size": lambda x: torch.tensor(x.shape[1]) * 2,
        "meshgrid": lambda x: torch.meshgrid(torch.arange(x.shape[0]), torch.arange(3), indexing="ij")[0],
        "empty": lambda x: torch.empty_like(x).zero_(),
        "one_hot": lambda x: F.one_hot((x > 0).long(), 3),
    },
    [rand(2, 5)],
    [rand(3, 7)],
)
PADDED = Family(
    {
        "constant": lambda x: F.pad(x, (1, 2), value=1.5),
        "constant2": lambda x: F.pad(x, (1, 0, 2, 1)),
        "crop": lambda x: F.pad(x, (-1, 2, 0, -1)),
        "reflect1": lambda x: F.pad(x[:, 0], (1, 2), mode="reflect"),
        "reflect2": lambda x: F.pad(x, (1, 2, 2, 0), mode="reflect"),
        "replicate": lambda x: F.pad(x, (1, 2, 2, 1), mode="replicate"),
        "replicate3": lambda x: F.pad(x[:, :, None], (1, 2, 2, 1, 1, 1), mode="replicate"),
        "circular": lambda x: F.pad(x, (1, 2, 2, 1), mode="circular"),
        "to_multiple": lambda x: F.pad(x, (0, (-x.shape[-1]) % 4)),
    },
    [rand(2, 3, 5, 6)],
    [rand(3, 3, 6, 7)],
)
WHOLE = Family(
    {
        "view": lambda x: x.view(-1, 2),
        "roll": lambda x: x.roll(1, 1),
        "flip": lambda x: x.flip(0),
        "pad": lambda x: F.pad(x, (1, 1), value=7),
        "cat": lambda x: torch.cat([x, x], 1),
        "bool_pad": lambda x: F.pad(x > 0, (1, 1), value=True),
        "bool_cat": lambda x: torch.cat([x > 0, x > 1], 1),
        "bool_slice": lambda x: (x > 0)[:, 1:],
        "repeat": lambda x: x.repeat(1, 2),
        "tril": lambda x: torch.tril(x),
        "shift": lambda x: _shifted(x),
    },
    [ints(2, 4)],
    [ints(3, 4)],
)


def _shifted(ids: torch.Tensor) -> torch.Tensor:
    out = ids.new_zeros(ids.shape)
    out[:, 1:] = ids[:, :-1].clone()
    out[:, 0] = 2
    return out.masked_fill(out == -1, 1)


@everywhere
def test_views(runtime: Runtime) -> None:
    VIEWS.check(runtime)


@everywhere
def test_slices(runtime: Runtime) -> None:
    SLICES.check(runtime)


@everywhere
def test_created(runtime: Runtime) -> None:
    CREATED.check(runtime)


@everywhere
def test_padded(runtime: Runtime) -> None:
    PADDED.check(runtime)


@everywhere
def test_integers(runtime: Runtime) -> None:
    WHOLE.check(runtime)
