"""Layers: linear, convolution, pooling, normalisation, resizing, attention, recurrent."""

from __future__ import annotations

from typing import Any, Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.onnx.checks import ONEDNN
from tests.torch.checks import Family, Runtime, everywhere, in_runtimes, rand


def _warmed(*layers: nn.Module) -> nn.Module:
    """With running statistics and weights that differ from their start."""
    model = nn.Sequential(*layers)
    torch.manual_seed(0)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.dtype.is_floating_point:
            tensor.data.uniform_(0.5, 1.5) if "var" in name else tensor.data.normal_(0, 0.5)
    return model


PRODUCTS = Family(
    {
        "linear": nn.Linear(6, 4),
        "linear_no_bias": nn.Linear(6, 4, bias=False),
        "matmul": lambda x: x @ x.transpose(1, 2),
        "matmul_vector": lambda x: x @ torch.arange(6.0),
        "matmul_4d": lambda x: x[:, None] @ x[None].transpose(2, 3),
        "bmm": lambda x: torch.bmm(x, x.transpose(1, 2)),
        "mm": lambda x: torch.mm(x[0], x[1].t()),
        "mv": lambda x: torch.mv(x[0], x[0, 0]),
        "dot": lambda x: torch.dot(x[0, 0], x[0, 1]),
        "outer": lambda x: torch.outer(x[0, 0], x[0, 1]),
        "addmm": lambda x: torch.addmm(x[0, :, :1], x[0], x[1].t(), beta=0.5, alpha=2),
        "baddbmm": lambda x: torch.baddbmm(x[:, :, :1], x, x.transpose(1, 2), beta=0.5, alpha=2),
        "einsum_heads": lambda x: torch.einsum("bld,bmd->blm", x, x),
        "einsum_ellipsis": lambda x: torch.einsum("...ld,...md->...lm", x, x),
        "einsum_sum": lambda x: torch.einsum("bld->bd", x),
        "tensordot": lambda x: torch.tensordot(x, torch.ones(6, 2), dims=1),
        "bilinear": lambda x: F.bilinear(x, x, torch.ones(2, 6, 6)),
    },
    [rand(2, 5, 6)],
    [rand(4, 7, 6)],
)


def _pixels(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(x.shape[0], 4, -1)


# of what a reshape gives, which both operands read
GRAM = Family(
    {
        "pixels": lambda x: _pixels(x).transpose(1, 2) @ _pixels(x),
        "channels": lambda x: torch.matmul(_pixels(x).permute(0, 1, 2), _pixels(x).permute(0, 2, 1)),
        "scaled": lambda x: torch.bmm(x.flatten(2).transpose(1, 2), x.flatten(2)) / x.shape[2],
        "einsum": lambda x: torch.einsum("bci,bcj->bij", _pixels(x), _pixels(x)),
        "image": lambda x: x[0, 0].t() @ x[0, 0],
        "inserted": lambda x: (x[0, 0][None].transpose(1, 2) @ x[0, 0][None]).relu(),
        "heads": lambda x: (lambda f: f.permute(0, 1, 3, 2) @ f)(x.reshape(x.shape[0], 2, 2, -1)),
    },
    [rand(2, 4, 6, 4)],
    [rand(1, 4, 3, 8)],
)
CONVOLUTIONS_2D = Family(
    {
        "plain": nn.Conv2d(4, 6, 3),
        "padded": nn.Conv2d(4, 6, (3, 5), stride=2, padding=(1, 2), bias=False),
        "dilated": nn.Conv2d(4, 6, 3, dilation=2, padding="same"),
        "same_even": nn.Conv2d(4, 6, 4, padding="same"),
        "valid": nn.Conv2d(4, 6, 3, padding="valid"),
        "grouped": nn.Conv2d(4, 6, 3, groups=2),
        "depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4),
        "multiplied": nn.Conv2d(4, 8, 3, padding=1, groups=4),
        "reflecting": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        "transposed": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
        "transposed_grouped": nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False),
        "transposed_dilated": nn.ConvTranspose2d(4, 6, 3, dilation=2),
        "weight_norm": nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
        "spectral": nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 6, 3)).eval(),
        "unbatched": lambda x: F.conv2d(x[0], torch.ones(2, 4, 3, 3)),
        "by_input": lambda x: F.conv2d(x, x[:1, :, :3, :3]),
        "unfold": nn.Unfold(2, stride=2),
        "max_pool": nn.MaxPool2d(2),
        "max_pool_padded": nn.MaxPool2d(3, 2, 1),
        "max_pool_ceil": nn.MaxPool2d(3, 2, ceil_mode=True),
        "max_pool_dilated": nn.MaxPool2d(2, 1, dilation=2),
        "max_pool_indices": nn.MaxPool2d(2, return_indices=True),
        "avg_pool": nn.AvgPool2d(2),
        "avg_pool_padded": nn.AvgPool2d(3, 2, 1),
        "avg_pool_exclusive": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        "avg_pool_ceil": nn.AvgPool2d(3, 2, ceil_mode=True),
        "avg_pool_divisor": nn.AvgPool2d(3, 2, 1, divisor_override=5),
        "lp_pool": nn.LPPool2d(2, 2),
        "adaptive_one": nn.AdaptiveAvgPool2d(1),
        "adaptive": nn.AdaptiveAvgPool2d((2, 3)),
        "adaptive_max": nn.AdaptiveMaxPool2d((2, 2)),
        "adaptive_max_indices": nn.AdaptiveMaxPool2d((2, 3), return_indices=True),
        "global_max": lambda x: F.adaptive_max_pool2d(x, 1),
        "batch_norm": _warmed(nn.BatchNorm2d(4)),
        "batch_norm_plain": _warmed(nn.BatchNorm2d(4, affine=False)),
        "batch_statistics": nn.BatchNorm2d(4, track_running_stats=False),
        "conv_bn_relu": _warmed(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
        "instance_norm": _warmed(nn.InstanceNorm2d(4, affine=True)),
        "instance_norm_plain": nn.InstanceNorm2d(4),
        "group_norm": _warmed(nn.GroupNorm(2, 4)),
        "local_response": nn.LocalResponseNorm(3),
        "pixel_shuffle": nn.PixelShuffle(2),
        "layer_norm_channels": lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    },
    [rand(2, 4, 12, 10)],
    [rand(3, 4, 15, 13)],
)
FIXED_2D = Family(
    {
        "fold": lambda x: F.fold(F.unfold(x, 3, stride=2, padding=1), (12, 10), 3, stride=2, padding=1),
        "pixel_unshuffle": nn.PixelUnshuffle(2),
        "adaptive_even": nn.AdaptiveAvgPool2d((3, 5)),
        "flattened": nn.Sequential(nn.Conv2d(4, 2, 3), nn.Flatten(), nn.Linear(160, 3)),
        "grid": lambda x: F.grid_sample(x, torch.tanh(x[:, :2].permute(0, 2, 3, 1) * 2), align_corners=False),
        "grid_nearest": lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1), mode="nearest", align_corners=False),
        "grid_cubic": lambda x: F.grid_sample(
            x, x[:, :2].permute(0, 2, 3, 1), mode="bicubic", padding_mode="reflection", align_corners=True
        ),
        "grid_volume": lambda x: F.grid_sample(x[:, None], x[:, :3, None].permute(0, 2, 3, 4, 1), align_corners=False),
        "grid_border": lambda x: F.grid_sample(
            x, x[:, :2].permute(0, 2, 3, 1), padding_mode="border", align_corners=True
        ),
    },
    [rand(2, 4, 12, 10)],
    [rand(3, 4, 12, 10)],
)
CONVOLUTIONS_1D = Family(
    {
        "conv": nn.Conv1d(4, 6, 3, padding=1),
        "causal": lambda x: F.conv1d(F.pad(x, (4, 0)), torch.ones(2, 4, 3), dilation=2),
        "transposed": nn.ConvTranspose1d(4, 6, 4, stride=2, padding=1),
        "max_pool": nn.MaxPool1d(3, 2, 1),
        "avg_pool": nn.AvgPool1d(3, 2, 1),
        "adaptive": nn.AdaptiveAvgPool1d(3),
        "adaptive_one": nn.AdaptiveMaxPool1d(1),
        "batch_norm": _warmed(nn.BatchNorm1d(4)),
        "instance_norm": nn.InstanceNorm1d(4),
        "group_norm": _warmed(nn.GroupNorm(2, 4)),
        "linear": lambda x: F.interpolate(x, scale_factor=2, mode="linear"),
        "nearest": lambda x: F.interpolate(x, scale_factor=2),
    },
    [rand(2, 4, 10)],
    [rand(3, 4, 13)],
)
CONVOLUTIONS_3D = Family(
    {
        "conv": nn.Conv3d(2, 3, 3, padding=1),
        "transposed": nn.ConvTranspose3d(2, 3, 2, stride=2),
        "max_pool": nn.MaxPool3d(2),
        "avg_pool": nn.AvgPool3d(2),
        "adaptive": nn.AdaptiveAvgPool3d(1),
        "batch_norm": _warmed(nn.BatchNorm3d(2)),
        "nearest": lambda x: F.interpolate(x, scale_factor=2),
        "trilinear": lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"),
    },
    [rand(2, 2, 4, 6, 4)],
    [rand(3, 2, 6, 4, 8)],
)
NORMALISED = Family(
    {
        "layer_norm": _warmed(nn.LayerNorm(6)),
        "layer_norm_plain": nn.LayerNorm(6, elementwise_affine=False),
        "layer_norm_no_bias": _warmed(nn.LayerNorm(6, bias=False)),
        "rms_norm": _warmed(nn.RMSNorm(6)),
        "rms_norm_eps": _warmed(nn.RMSNorm(6, eps=1e-3)),
        "batch_norm_2d": lambda x: F.batch_norm(x.flatten(0, 1), torch.ones(6), torch.ones(6)),
        "t5": lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
    },
    [rand(2, 5, 6)],
    [rand(4, 7, 6)],
)
RESIZED = Family(
    {
        "nearest": lambda x: F.interpolate(x, scale_factor=2),
        "nearest_size": lambda x: F.interpolate(x, size=(9, 5)),
        "nearest_exact": lambda x: F.interpolate(x, size=(9, 5), mode="nearest-exact"),
        "bilinear": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        "bilinear_corners": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        "bilinear_size": lambda x: F.interpolate(x, size=(9, 5), mode="bilinear"),
        "bilinear_half": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear"),
        "bilinear_odd": lambda x: F.interpolate(x, scale_factor=1.5, mode="bilinear"),
        "bilinear_like": lambda x: F.interpolate(x[:, :, ::2, ::2], size=x.shape[2:], mode="bilinear"),
        "bilinear_recomputed": lambda x: F.interpolate(
            x, scale_factor=1.5, mode="bilinear", recompute_scale_factor=True
        ),
        "antialiased": lambda x: F.interpolate(x, size=(5, 4), mode="bilinear", antialias=True),
        "antialiased_corners": lambda x: F.interpolate(
            x, size=(5, 11), mode="bilinear", antialias=True, align_corners=True
        ),
        "antialiased_scaled_corners": lambda x: F.interpolate(
            x, scale_factor=(0.6, 1.7), mode="bilinear", antialias=True, align_corners=True
        ),
        "antialiased_row": lambda x: F.interpolate(x, size=(1, 3), mode="bicubic", antialias=True, align_corners=True),
        "bicubic": lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"),
        "bicubic_corners": lambda x: F.interpolate(x, size=(9, 5), mode="bicubic", align_corners=True),
        "bicubic_antialiased": lambda x: F.interpolate(x, size=(5, 4), mode="bicubic", antialias=True),
        "area": lambda x: F.interpolate(x, size=(2, 2), mode="area"),
    },
    [rand(2, 3, 8, 6)],
    [rand(3, 3, 12, 10)],
)


def _heads(x: torch.Tensor, n: int = 2) -> torch.Tensor:
    return x.view(x.shape[0], x.shape[1], n, -1).transpose(1, 2)


def _masked_rows(x: torch.Tensor) -> torch.Tensor:
    """A mask of [batch, 1, length, length] with rows that see nothing."""
    seen = x[:, :, 0] > -0.5
    return (seen[:, None, None, :] & (x[:, :, 1] > -1)[:, None, :, None]).tril()


def _attention(**options: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: F.scaled_dot_product_attention(_heads(x), _heads(x * 2), _heads(x + 1), **options)


def _float_mask(x: torch.Tensor, value: float) -> torch.Tensor:
    mask = torch.zeros(x.shape[0], 1, 1, x.shape[1]).masked_fill((x[:, :, 0] < 0)[:, None, None], value)
    return F.scaled_dot_product_attention(_heads(x), _heads(x * 2), _heads(x + 1), attn_mask=mask)


ATTENTION = Family(
    {
        "plain": _attention(),
        "causal": _attention(is_causal=True),
        "scaled": _attention(scale=0.7),
        "three_dims": lambda x: F.scaled_dot_product_attention(x, x * 2, x + 1),
        "bool_mask": lambda x: F.scaled_dot_product_attention(
            _heads(x), _heads(x * 2), _heads(x + 1), attn_mask=_masked_rows(x)
        ),
        "float_mask": lambda x: _float_mask(x, -1e9),
        "infinite_mask": lambda x: _float_mask(x, float("-inf")),
        "cross": lambda x: F.scaled_dot_product_attention(_heads(x), _heads(x[:, 1:]), _heads(x[:, 1:])),
        "cross_causal": lambda x: F.scaled_dot_product_attention(
            _heads(x), _heads(x[:, 1:]), _heads(x[:, 1:]), is_causal=True
        ),
        "grouped": lambda x: F.scaled_dot_product_attention(
            _heads(x, 4), _heads(x[..., :4]), _heads(x[..., 4:]), enable_gqa=True
        ),
    },
    [rand(2, 5, 8)],
    [rand(4, 7, 8)],
)


class SelfAttention(nn.Module):
    def __init__(self, padding: bool, weights: bool):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.padding, self.weights = padding, weights

    def forward(self, x: torch.Tensor) -> Any:
        mask = x[:, :, 0] < -1 if self.padding else None
        made = self.attention(x, x, x, key_padding_mask=mask, need_weights=self.weights)
        return made if self.weights else made[0]


MODULES = Family(
    {
        "attention": SelfAttention(False, True),
        "attention_fast": SelfAttention(False, False),
        "attention_padding": SelfAttention(True, True),
        "encoder": nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True),
    },
    [rand(2, 5, 8)],
    [rand(4, 7, 8)],
)


class Recurrent(nn.Module):
    """A network of its own name and options, with initial states made of the input when asked for."""

    def __init__(self, kind: str, states: bool = False, **options: Any):
        super().__init__()
        self.net = getattr(nn, kind)(6, 5, **options)
        self.kind, self.states = kind, states
        self.rows = self.net.num_layers * (2 if self.net.bidirectional else 1)

    def forward(self, x: torch.Tensor) -> Any:
        hx = None
        if self.states:
            batch = x if self.net.batch_first else x.transpose(0, 1)
            state = batch[:, 0, :5].expand(self.rows, -1, -1) * 0.5
            hidden = state[:, :, : self.net.proj_size] if self.kind == "LSTM" and self.net.proj_size else state
            hx = (hidden, state + 0.1) if self.kind == "LSTM" else hidden
        return self.net(x, hx)


RECURRENT = Family(
    {
        "lstm": Recurrent("LSTM"),
        "lstm_batch": Recurrent("LSTM", batch_first=True),
        "lstm_deep": Recurrent("LSTM", num_layers=2, bidirectional=True, batch_first=True, dropout=0.3),
        "lstm_states": Recurrent("LSTM", True, num_layers=2, bidirectional=True),
        "lstm_no_bias": Recurrent("LSTM", bias=False),
        "lstm_projected": Recurrent("LSTM", batch_first=True, proj_size=3),
        "lstm_projected_deep": Recurrent("LSTM", num_layers=2, bidirectional=True, proj_size=3),
        "lstm_projected_states": Recurrent(
            "LSTM", True, num_layers=2, bidirectional=True, batch_first=True, proj_size=3
        ),
        "lstm_projected_no_bias": Recurrent("LSTM", True, proj_size=2, bias=False),
        "gru": Recurrent("GRU", batch_first=True),
        "gru_no_bias": Recurrent("GRU", num_layers=2, bias=False),
        "gru_deep": Recurrent("GRU", True, num_layers=2, bidirectional=True, batch_first=True),
        "rnn": Recurrent("RNN", batch_first=True),
        "rnn_relu": Recurrent("RNN", True, nonlinearity="relu", bidirectional=True),
    },
    [rand(2, 5, 6)],
    [rand(4, 7, 6)],
)

FAMILIES = {
    "products": PRODUCTS,
    "gram": GRAM,
    "conv1d": CONVOLUTIONS_1D,
    "conv2d": CONVOLUTIONS_2D,
    "fixed2d": FIXED_2D,
    "conv3d": CONVOLUTIONS_3D,
    "norm": NORMALISED,
    "resize": RESIZED,
    "attention": ATTENTION,
    "modules": MODULES,
    "recurrent": RECURRENT,
}


@everywhere
@pytest.mark.parametrize("family", FAMILIES)
def test_layers(family: str, runtime: Runtime) -> None:
    FAMILIES[family].check(runtime)


@in_runtimes(*ONEDNN)
@pytest.mark.parametrize("family", ["products", "gram"])
def test_with_the_passes_of_onednn(family: str, runtime: Runtime) -> None:
    FAMILIES[family].check(runtime)
