"""Torchvision's operators, by the schemas that it registers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.torch.checks import CURRENT, PADDLE_23, PADDLE_26, Family, Runtime, in_runtimes, rand
from tests.torch.torchvision_ops import library


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


@in_runtimes(CURRENT, PADDLE_26, PADDLE_23)
@pytest.mark.parametrize("function", [_chosen, _found, _pooled], ids=lambda f: f.__name__[1:])
def test_torchvision(function: object, runtime: Runtime) -> None:
    assert library() is not None
    Family({"y": function}, *SETS).check(runtime)  # type: ignore[dict-item]
