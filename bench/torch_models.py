"""The architectures of ``bench/latency.py`` in PyTorch, as torchvision and transformers have them; random weights.

A weight of one dimension (scales, biases, statistics) is all ones or zeros in an untrained model; with the environment
variable ``MCONV_UNTRAINED`` it stays so, else it is varied as training does.
"""

from __future__ import annotations

import os
from typing import Optional

import torch
from torch import nn


def _finished(model: nn.Module) -> nn.Module:
    if not os.environ.get("MCONV_UNTRAINED"):
        with torch.no_grad():
            for tensor in [*model.parameters(), *model.buffers()]:
                if tensor.dim() == 1 and tensor.is_floating_point():
                    tensor.add_(0.1 * torch.rand_like(tensor))
    return model.eval()


class _Tuple(nn.Module):
    """A transformers model with plain inputs and outputs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model


class _Text(_Tuple):
    def forward(self, input_ids, attention_mask, token_type_ids):
        return tuple(self.model(input_ids, attention_mask, token_type_ids)[:2])


class _Picture(_Tuple):
    def forward(self, pixel_values):
        return self.model(pixel_values)[0]


def bert(layers: int = 12, hidden: int = 768) -> nn.Module:
    """BERT-base of transformers."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=hidden // 64, intermediate_size=4 * hidden
    )
    return _finished(_Text(BertModel(config)))


def vit() -> nn.Module:
    """ViT-B/16 of transformers, 1,000 classes."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    return _finished(_Picture(ViTForImageClassification(ViTConfig(num_labels=1000))))


class _Bottleneck(nn.Module):
    def __init__(self, inside: int, width: int, stride: int):
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.downsample: Optional[nn.Module] = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet50() -> nn.Module:
    """ResNet-50 (v1.5: the stride is in the 3 × 3 convolution), as in torchvision."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(count):
            layers.append(_Bottleneck(inside, width, stride if index == 0 else 1))
            inside = 4 * width
    return _finished(_Named(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))))


class _Named(nn.Module):
    """A picture in, under the name that all architectures have."""

    def __init__(self, layers: nn.Module):
        super().__init__()
        self.layers = layers

    def forward(self, pixel_values):
        return self.layers(pixel_values)


class _Excite(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.relu, self.gate = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x):
        return x * self.gate(self.fc2(self.relu(self.fc1(self.pool(x)))))


def _conv(inside: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation=None) -> nn.Sequential:
    parts = [
        nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=0.001, momentum=0.01),
    ]
    return nn.Sequential(*parts, *([activation()] if activation else []))


class _Inverted(nn.Module):
    def __init__(self, inside, kernel, expanded, out, excite, activation, stride):
        super().__init__()
        layers = [] if expanded == inside else [_conv(inside, expanded, activation=activation)]
        layers.append(_conv(expanded, expanded, kernel, stride, expanded, activation))
        if excite:
            layers.append(_Excite(expanded, _divisible(expanded // 4)))
        self.layers = nn.Sequential(*layers, _conv(expanded, out))
        self.residual = stride == 1 and inside == out

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.residual else y


def _divisible(channels: float, by: int = 8) -> int:
    made = max(by, int(channels + by / 2) // by * by)
    return made + by if made < 0.9 * channels else made


_R, _H = nn.ReLU, nn.Hardswish
_LARGE = [
    (16, 3, 16, 16, False, _R, 1), (16, 3, 64, 24, False, _R, 2), (24, 3, 72, 24, False, _R, 1),
    (24, 5, 72, 40, True, _R, 2), (40, 5, 120, 40, True, _R, 1), (40, 5, 120, 40, True, _R, 1),
    (40, 3, 240, 80, False, _H, 2), (80, 3, 200, 80, False, _H, 1), (80, 3, 184, 80, False, _H, 1),
    (80, 3, 184, 80, False, _H, 1), (80, 3, 480, 112, True, _H, 1), (112, 3, 672, 112, True, _H, 1),
    (112, 5, 672, 160, True, _H, 2), (160, 5, 960, 160, True, _H, 1), (160, 5, 960, 160, True, _H, 1),
]  # fmt: skip


def mobilenetv3() -> nn.Module:
    """MobileNetV3-Large, as in torchvision."""
    torch.manual_seed(0)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(960, 1280), nn.Hardswish(), nn.Linear(1280, 1000)]
    body = [_conv(3, 16, 3, 2, activation=_H), *(_Inverted(*row) for row in _LARGE), _conv(160, 960, activation=_H)]
    return _finished(_Named(nn.Sequential(*body, *head)))


INPUTS = {
    "bert": dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), "int64"),
    **{n: {"pixel_values": "float32"} for n in ("vit", "resnet50", "mobilenetv3")},
}


def export(name: str, path: str) -> None:
    """Save ``path`` as ONNX, by PyTorch's exporter; sizes that vary in use are open."""
    model = {"bert": bert, "vit": vit, "resnet50": resnet50, "mobilenetv3": mobilenetv3}[name]()
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    if name == "bert":
        ids = torch.randint(0, 30000, (2, 16))
        inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
        sizes = {n: {0: batch, 1: length} for n in INPUTS[name]}
    else:
        inputs, sizes = (torch.rand(2, 3, 224, 224),), {"pixel_values": {0: batch}}
    torch.onnx.export(
        model, inputs, path, dynamic_shapes=sizes, dynamo=True, external_data=False, verbose=False,
        input_names=list(INPUTS[name]),
    )  # fmt: skip


if __name__ == "__main__":
    import sys

    export(*sys.argv[1:])
