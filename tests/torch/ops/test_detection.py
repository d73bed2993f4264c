"""Torchvision's operators, by the schemas that it registers; what they compute is written out here."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.torch.checks import CURRENT, PADDLE_23, PADDLE_26, Family, Place, places, rand


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
def _library() -> torch.library.Library:
    """The operators, where torchvision is not installed."""
    try:
        import torchvision  # noqa: F401

        pytest.skip("torchvision is installed: its own operators are asked for in the zoo")
    except ImportError:
        pass
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor"
    )
    library.impl("roi_align", _roi_align, "CPU")

    @torch.library.register_fake("torchvision::nms", lib=library)
    def nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
        return dets.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.long)

    @torch.library.register_fake("torchvision::roi_align", lib=library)
    def roi_align(input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned):  # type: ignore[no-untyped-def]
        return input.new_empty((rois.size(0), input.size(1), pooled_height, pooled_width))

    return library


def _boxes(x: torch.Tensor) -> torch.Tensor:
    low = x[:, :2].abs() * 3
    return torch.cat([low, low + x[:, 2:].abs() * 4 + 0.5], 1)


def _chosen(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    boxes, scores = _boxes(x), x.sum(1)
    keep = torch.ops.torchvision.nms(boxes, scores, 0.3)
    return boxes[keep], scores[keep]


def _found(x: torch.Tensor) -> torch.Tensor:
    """Those of a score, which may be none."""
    boxes, scores = _boxes(x), x.sum(1)
    there = scores > 0.5
    boxes, scores = boxes[there], scores[there]
    return boxes[torch.ops.torchvision.nms(boxes, scores, 0.3)]


def _pooled(x: torch.Tensor) -> torch.Tensor:
    image = torch.sin(torch.arange(2 * 3 * 9 * 8.0)).reshape(2, 3, 9, 8)
    rois = torch.cat([(x[:, :1] > 0).float(), _boxes(x) * 0.4], 1)
    return torch.ops.torchvision.roi_align(image, rois, 1.0, 2, 3, 2, True)


SETS = ([rand(12, 4)], [rand(17, 4, seed=1)], [np.abs(rand(9, 4)) * np.float32(-1)])


@places(CURRENT, PADDLE_26, PADDLE_23)
@pytest.mark.parametrize("function", [_chosen, _found, _pooled], ids=lambda f: f.__name__[1:])
def test_torchvision(function: object, place: Place) -> None:
    assert _library() is not None
    Family({"y": function}, *SETS).check(place)  # type: ignore[dict-item]
