"""Detection, segmentation, depth, flow and keypoints, as the nets of these kinds on GitHub are written."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.zoo.torch_models import IMAGE, VISION, Sample, _conv_bn, _images, _rng, fields, register

VISION_MODELS: dict[str, Any] = {}
entry = register(VISION_MODELS)


def _pixels(model: Any, side: int, *outputs: str, **fixed: Any) -> Sample:
    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        return {"pixel_values": _rng().standard_normal((n, 3, side, side)).astype(np.float32)}

    dims = {"pixel_values": ("batch", None, None, None)}
    return Sample(fields(model, ("pixel_values",), *outputs, **fixed), feeds, dims)


def _of_one_batch(made: Sample) -> Sample:
    """Of a model whose trace fixes the number of samples."""
    made.dims = {"pixel_values": (None, None, None, None)}
    made.sizes = ((2, 0), (2, 0))
    return made


def _backbone(*widths: int) -> Any:
    """Stages that halve the image, and all of their results."""
    from torch import nn

    class Backbone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = [3, *widths]
            self.stages = nn.ModuleList(_conv_bn(i, o, 3, 2) for i, o in zip(sizes, sizes[1:]))

        def forward(self, x: Any) -> list[Any]:
            found = []
            for stage in self.stages:
                x = stage(x)
                found.append(x)
            return found

    return Backbone()


@entry
def fpn() -> Sample:
    from torch import nn
    from torch.nn import functional as F

    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _backbone(8, 16, 32)
            self.lateral = nn.ModuleList(nn.Conv2d(c, 8, 1) for c in (8, 16, 32))
            self.smooth = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))

        def forward(self, x: Any) -> tuple[Any, ...]:
            maps = [layer(f) for layer, f in zip(self.lateral, self.body(x))]
            for i in (1, 0):
                maps[i] = maps[i] + F.interpolate(maps[i + 1], size=maps[i].shape[-2:], mode="nearest")
            return tuple(layer(m) for layer, m in zip(self.smooth, maps))

    return Sample(Pyramid(), _images(), IMAGE)


@entry
def deeplab() -> Sample:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class DeepLab(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _backbone(8, 16)
            self.aspp = nn.ModuleList(nn.Conv2d(16, 8, 3, padding=d, dilation=d) for d in (1, 2, 4))
            self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU())
            self.merge, self.head = _conv_bn(32, 16, 1), nn.Conv2d(24, 5, 1)

        def forward(self, x: Any) -> Any:
            low, high = self.body(x)
            pooled = F.interpolate(self.pool(high), size=high.shape[2:], mode="bilinear", align_corners=False)
            y = self.merge(torch.cat([*[layer(high) for layer in self.aspp], pooled], 1))
            y = F.interpolate(y, size=low.shape[2:], mode="bilinear", align_corners=False)
            return F.interpolate(
                self.head(torch.cat([y, low], 1)), size=x.shape[2:], mode="bilinear", align_corners=True
            )

    return Sample(DeepLab(), _images(), IMAGE)


@entry
def yolo_nms() -> Sample:
    """An anchor-free head, its boxes decoded, and non-maximum suppression by a matrix of overlaps."""
    import torch
    from torch import nn

    class Yolo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _backbone(8, 16)
            self.box, self.score = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 3, 1)

        def forward(self, x: Any) -> tuple[Any, Any]:
            y = self.body(x)[-1]
            n, _, h, w = y.shape
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            centre = torch.stack([columns, rows], -1).reshape(1, h * w, 2).to(y.dtype) + 0.5
            sides = self.box(y).flatten(2).transpose(1, 2).sigmoid() * 4
            boxes = torch.cat([centre - sides[..., :2], centre + sides[..., 2:]], -1) * 4
            scores = self.score(y).flatten(2).transpose(1, 2).sigmoid()
            best, _ = scores.max(-1)
            best, order = torch.topk(best, 16)
            boxes = torch.gather(boxes, 1, order.unsqueeze(-1).expand(-1, -1, 4))
            low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
            high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
            inner = (high - low).clamp(min=0).prod(-1)
            area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
            overlap = inner / (area[:, :, None] + area[:, None] - inner + 1e-6)
            worse = (overlap * torch.tril(torch.ones(16, 16), -1)).amax(-1)
            return boxes, best * (worse < 0.5)

    return Sample(Yolo(), _images(), IMAGE)


@entry
def centernet() -> Sample:
    import torch
    from torch import nn
    from torch.nn import functional as F

    class CenterNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _backbone(8, 16)
            self.up = nn.ConvTranspose2d(16, 8, 4, 2, 1)
            self.heat, self.size = nn.Conv2d(8, 2, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x: Any) -> tuple[Any, ...]:
            y = torch.relu(self.up(self.body(x)[-1]))
            heat = self.heat(y).sigmoid()
            peaks = heat * (F.max_pool2d(heat, 3, 1, 1) == heat)
            n, classes, h, w = peaks.shape
            scores, index = torch.topk(peaks.flatten(1), 8)
            at = index % (h * w)
            sizes = self.size(y).flatten(2).gather(2, at.unsqueeze(1).expand(-1, 2, -1))
            return scores, (at // w).float(), (at % w).float(), sizes

    return Sample(CenterNet(), _images(), IMAGE)


@entry
def detr() -> Sample:
    import torch
    from torch import nn

    class Detr(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _backbone(8, 16, 32)
            self.rows, self.columns = (nn.Parameter(torch.rand(50, 16)) for _ in range(2))
            self.queries = nn.Parameter(torch.rand(6, 32))
            self.transformer = nn.Transformer(32, 4, 2, 2, 64, batch_first=True)
            self.classes, self.boxes = nn.Linear(32, 5), nn.Linear(32, 4)

        def forward(self, x: Any) -> tuple[Any, Any]:
            y = self.body(x)[-1]
            h, w = y.shape[-2:]
            positions = torch.cat(
                [
                    self.columns[:w].unsqueeze(0).repeat(h, 1, 1),
                    self.rows[:h].unsqueeze(1).repeat(1, w, 1),
                ],
                -1,
            ).flatten(0, 1)
            queries = self.queries.unsqueeze(0).expand(x.shape[0], -1, -1)
            made = self.transformer(y.flatten(2).transpose(1, 2) + positions, queries)
            return self.classes(made), self.boxes(made).sigmoid()

    return Sample(Detr(), _images(), IMAGE)


@entry
def raft() -> Sample:
    """Optical flow: a correlation of all pairs, looked up around the flow so far, and a recurrent update."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Raft(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(_conv_bn(3, 8, 3, 2), nn.Conv2d(8, 16, 3, 2, 1))
            self.gate = nn.Conv2d(16 + 9 + 2 + 16, 16, 3, padding=1)
            self.flow = nn.Conv2d(16, 2, 3, padding=1)

        def forward(self, first: Any, second: Any) -> Any:
            a, b = self.encode(first), self.encode(second)
            n, c, h, w = a.shape
            volume = torch.einsum("bcij,bckl->bijkl", a, b).reshape(n * h * w, 1, h, w) / c**0.5
            rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            start = torch.stack([columns, rows]).float().unsqueeze(0).expand(n, -1, -1, -1)
            at, state = start, torch.tanh(a)
            window = torch.stack(torch.meshgrid(torch.arange(-1.0, 2), torch.arange(-1.0, 2), indexing="xy"), -1)
            scale = torch.tensor([2.0, 2.0]) / torch.stack([torch.tensor(w - 1), torch.tensor(h - 1)])
            for _ in range(2):
                positions = at.permute(0, 2, 3, 1).reshape(n * h * w, 1, 1, 2) + window
                looked = F.grid_sample(volume, positions * scale - 1, align_corners=True)
                found = looked.reshape(n, h, w, 9).permute(0, 3, 1, 2)
                z = torch.sigmoid(self.gate(torch.cat([state, found, at - start, a], 1)))
                state = (1 - z) * state + z * torch.tanh(a + state)
                at = at + self.flow(state)
            return F.interpolate(at - start, scale_factor=4, mode="bilinear", align_corners=True) * 4

    def feeds(n: int, size: int) -> dict[str, np.ndarray]:
        rng = _rng()
        return {k: rng.standard_normal((n, 3, 2 * size, 2 * size)).astype(np.float32) for k in ("first", "second")}

    dims = ("batch", None, "height", "width")
    return Sample(Raft(), feeds, {"first": dims, "second": dims})


@entry
def superpoint() -> Sample:
    """Keypoints by a softmax over cells of 8 by 8, and descriptors sampled where the best of them are."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class SuperPoint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(*[_conv_bn(i, o, 3, 2) for i, o in ((1, 8), (8, 16), (16, 16))])
            self.score, self.describe = nn.Conv2d(16, 65, 1), nn.Conv2d(16, 8, 1)

        def forward(self, x: Any) -> tuple[Any, ...]:
            y = self.body(x)
            n, _, h, w = y.shape
            cells = torch.softmax(self.score(y), 1)[:, :-1]
            heat = cells.permute(0, 2, 3, 1).reshape(n, h, w, 8, 8).permute(0, 1, 3, 2, 4).reshape(n, h * 8, w * 8)
            scores, index = torch.topk(heat.flatten(1), 12)
            points = torch.stack([index % (w * 8), index // (w * 8)], -1).float()
            size = torch.stack([torch.scalar_tensor(w * 8), torch.scalar_tensor(h * 8)])
            grid = (points / size * 2 - 1).unsqueeze(1)
            found = F.grid_sample(self.describe(y), grid, align_corners=False)[:, :, 0]
            return points, scores, F.normalize(found, dim=1)

    return Sample(SuperPoint(), _images(1), IMAGE)


@entry
def nested_unet() -> Sample:
    """UNet++ with attention gates and deep supervision."""
    import torch
    from torch import nn

    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.grow = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.first = nn.ModuleList(_conv_bn(i, o) for i, o in ((3, 8), (8, 16), (16, 32)))
            self.second = nn.ModuleList(_conv_bn(i, o) for i, o in ((24, 8), (48, 16)))
            self.third = _conv_bn(8 + 8 + 16, 8)
            self.gate = nn.Sequential(nn.Conv2d(16, 8, 1), nn.Sigmoid())
            self.heads = nn.ModuleList(nn.Conv2d(8, 2, 1) for _ in range(2))

        def forward(self, x: Any) -> Any:
            a = self.first[0](x)
            b = self.first[1](self.pool(a))
            c = self.first[2](self.pool(b))
            d = self.second[0](torch.cat([a, self.grow(b)], 1))
            e = self.second[1](torch.cat([b, self.grow(c)], 1))
            f = self.third(torch.cat([a * self.gate(self.grow(e)), d, self.grow(e)], 1))
            return (self.heads[0](d) + self.heads[1](f)) / 2

    return Sample(Nested(), _images(), IMAGE)


@entry
def efficientnet() -> Sample:
    from torch import nn

    class Squeezed(nn.Module):
        def __init__(self, i: int, o: int, stride: int):
            super().__init__()
            wide = 4 * i
            self.grow = nn.Sequential(
                _conv_bn(i, wide, 1, act=nn.SiLU()), _conv_bn(wide, wide, 3, stride, wide, nn.SiLU())
            )
            self.squeeze = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 4, 1), nn.SiLU(), nn.Conv2d(4, wide, 1), nn.Sigmoid()
            )
            self.out, self.same = _conv_bn(wide, o, 1, act=False), i == o and stride == 1

        def forward(self, x: Any) -> Any:
            y = self.grow(x)
            y = self.out(y * self.squeeze(y))
            return x + y if self.same else y

    model = nn.Sequential(
        _conv_bn(3, 8, 3, 2, act=nn.SiLU()), Squeezed(8, 8, 1), Squeezed(8, 16, 2), Squeezed(16, 16, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 10),
    )  # fmt: skip
    return Sample(model, _images(), IMAGE)


@entry
def bisenet() -> Sample:
    """Real-time segmentation: a detail branch, a context branch, attention between them, an argmax at the end."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class BiSeNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detail, self.context = _backbone(8, 16), _backbone(8, 16, 16)
            self.attend = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16), nn.Sigmoid())
            self.head = nn.Conv2d(32, 4, 1)

        def forward(self, x: Any) -> tuple[Any, Any]:
            detail, context = self.detail(x)[-1], self.context(x)[-1]
            context = F.interpolate(context * self.attend(context), detail.shape[2:], mode="bicubic")
            y = F.interpolate(self.head(torch.cat([detail, context], 1)), x.shape[2:], mode="bilinear")
            return y, y.argmax(1)

    return Sample(BiSeNet(), _images(), IMAGE)


@entry
def deformable_attention() -> Sample:
    """Deformable DETR's attention: samples of several maps at learned offsets."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Deformable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _backbone(16, 16)
            self.queries = nn.Embedding(5, 16)
            self.centers, self.offsets, self.weights = nn.Linear(16, 2), nn.Linear(16, 2 * 2 * 3 * 2), nn.Linear(16, 12)
            self.out = nn.Linear(16, 4)

        def forward(self, x: Any) -> Any:
            maps = self.body(x)
            n = x.shape[0]
            q = self.queries.weight.unsqueeze(0).expand(n, -1, -1)
            at = self.centers(q).sigmoid()[:, :, None, None, None] + self.offsets(q).view(n, 5, 2, 2, 3, 2) * 0.1
            weights = self.weights(q).view(n, 5, 2, 6).softmax(-1).view(n, 5, 2, 2, 3)
            found = []
            for level, m in enumerate(maps):
                h, w = m.shape[-2:]
                value = m.view(n * 2, 8, h, w)
                grid = (2 * at[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
                found.append(F.grid_sample(value, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
            taken = torch.stack(found, -2).flatten(-2)
            share = weights.transpose(1, 2).reshape(n * 2, 1, 5, 6)
            return self.out((taken * share).sum(-1).view(n, 16, 5).transpose(1, 2))

    return Sample(Deformable(), _images(), IMAGE)


# transformers --------------------------------------------------------------------------------------------------------


@entry
def swin2sr() -> Sample:
    from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

    config = Swin2SRConfig(image_size=16, embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4, upscale=2)
    return _pixels(Swin2SRForImageSuperResolution(config), 16, "reconstruction")


@entry
def depth_anything() -> Sample:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        **{**VISION, "num_hidden_layers": 4}, image_size=56, patch_size=14, out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=32, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8,
        head_hidden_size=8,
    )  # fmt: skip
    model = DepthAnythingForDepthEstimation(config)
    for parameter in model.parameters():  # what it starts with gives depths of 0
        parameter.data.normal_(0.02, 1.0 / parameter[0].numel() ** 0.5) if parameter.dim() > 1 else None
    return _pixels(model, 56, "predicted_depth")
