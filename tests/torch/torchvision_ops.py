"""Torchvision's operators by the schemas that it registers, for where it is not installed."""

from __future__ import annotations

import functools

import pytest
import torch
from torch.nn import functional as F


def _nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    kept: list[int] = []
    area = (dets[:, 2:] - dets[:, :2]).prod(1)
    for i in torch.argsort(scores, descending=True).tolist():
        low = torch.maximum(dets[kept, :2], dets[i, :2])
        inner = (torch.minimum(dets[kept, 2:], dets[i, 2:]) - low).clamp(min=0).prod(1)
        if not (inner > iou_threshold * (area[kept] + area[i] - inner)).any():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64)


def _roi_align(
    input: torch.Tensor,
    rois: torch.Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> torch.Tensor:
    """By grid_sample: each bin is the mean of its samples."""
    h, w = input.shape[-2:]
    r = sampling_ratio
    made = []
    for roi in rois:
        x1, y1, x2, y2 = roi[1:] * spatial_scale - (0.5 if aligned else 0)
        steps = [(torch.arange(n * r) + 0.5) / (n * r) for n in (pooled_height, pooled_width)]
        ys, xs = y1 + (y2 - y1) * steps[0], x1 + (x2 - x1) * steps[1]
        grid = torch.stack(torch.meshgrid(xs / (w - 1) * 2 - 1, ys / (h - 1) * 2 - 1, indexing="xy"), -1)
        image = input[int(roi[0])][None]
        made.append(F.avg_pool2d(F.grid_sample(image, grid[None], padding_mode="border", align_corners=True), r)[0])
    return torch.stack(made)


@functools.cache
def library() -> torch.library.Library:
    """The operators, where torchvision is not installed."""
    try:
        import torchvision  # noqa: F401

        pytest.skip("torchvision is installed: its own operators are asked for in the zoo")
    except ImportError:
        pass
    made = torch.library.Library("torchvision", "DEF")
    made.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    made.impl("nms", _nms, "CPU")
    made.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor"
    )
    made.impl("roi_align", _roi_align, "CPU")

    @torch.library.register_fake("torchvision::nms", lib=made)
    def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
        return dets.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.long)

    @torch.library.register_fake("torchvision::roi_align", lib=made)
    def roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned):  # type: ignore[no-untyped-def]
        return input.new_empty((rois.size(0), input.size(1), pooled_height, pooled_width))

    return made
