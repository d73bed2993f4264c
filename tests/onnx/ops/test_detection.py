"""NonMaxSuppression against onnxruntime's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import Runtime, check_op, everywhere


def boxes(batch: int, count: int, seed: int, *, centered: bool) -> np.ndarray:
    rng = np.random.default_rng(seed)
    corner, extent = rng.uniform(0, 8, (batch, count, 2)), rng.uniform(1, 4, (batch, count, 2))
    parts = [corner, extent] if centered else [corner, corner + extent]
    return np.concatenate(parts, -1).astype(np.float32)


def scores(batch: int, classes: int, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(batch * classes * count).reshape(batch, classes, count).astype(
        np.float32
    ) / (batch * classes * count)


@everywhere
@pytest.mark.parametrize("centered", [False, True], ids=["corners", "centered"])
@pytest.mark.parametrize("const", [[2, 3, 4], []], ids=["constants", "inputs"])
def test_non_max_suppression(runtime: Runtime, centered: bool, const: list) -> None:
    sets = []
    for batch, count in ((2, 12), (1, 20)):
        limits = [np.array([4]), np.array([0.3], np.float32), np.array([0.2], np.float32)]
        sets.append([boxes(batch, count, count, centered=centered), scores(batch, 3, count, count), *limits])
    check_op(runtime, "NonMaxSuppression", *sets, center_point_box=int(centered), const=const, types=[7])


@everywhere
def test_corners_in_any_order(runtime: Runtime) -> None:
    upright = boxes(1, 10, 3, centered=False)
    flipped = np.concatenate([upright[..., 2:], upright[..., :2]], -1)
    limits = [np.array([3]), np.array([0.4], np.float32)]
    check_op(runtime, "NonMaxSuppression", [flipped, scores(1, 2, 10, 1), *limits], const=[2, 3], types=[7])
