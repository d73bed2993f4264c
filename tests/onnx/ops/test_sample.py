"""Sampling of images."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.onnx.checks import CURRENT, check_model, check_op, check_refused, everywhere, graph_model, rand

MODES = {2: ["linear", "nearest", "cubic"], 3: ["linear", "nearest"]}


@everywhere
@pytest.mark.parametrize("k, mode", [(k, m) for k in MODES for m in MODES[k]])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [0, 1])
def test_grid_sample(runtime, k, mode, padding, align):
    sizes = ([5, 6, 4], [3, 4, 5])
    sets = []
    for n, size in zip((1, 2), sizes):
        grid = rand(n, *[3] * k, k, low=-1.5, high=1.5)
        sets.append([rand(n, 2, *size[:k]), grid])
    check_op(runtime, "GridSample", *sets, mode=mode, padding_mode=padding, align_corners=align)


@everywhere
def test_halves(runtime):
    """A regular grid meets the middles between elements."""
    line = np.linspace(-1, 1, 9, dtype=np.float32)
    grid = np.stack(np.meshgrid(line, line), -1)[None]
    check_op(runtime, "GridSample", [rand(1, 1, 5, 5), grid], mode="nearest", align_corners=1)


@everywhere
def test_grid_sample_16(runtime):
    sets = [[rand(n, 2, 4, 5), rand(n, 3, 3, 2, low=-1.2, high=1.2)] for n in (1, 2)]
    check_op(runtime, "GridSample", *sets, opset=16, mode="bicubic")


@everywhere
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("align", [0, 1])
def test_affine_grid(runtime, k, align):
    sets = [[rand(2, k, k + 1, seed=i), np.array([2, 3, *[4, 5, 3][:k]], np.int64)] for i in range(2)]
    check_op(runtime, "AffineGrid", *sets, const=(1,), align_corners=align)


@everywhere
@pytest.mark.parametrize("align", [0, 1])
def test_affine_grid_of_an_image(runtime, align):
    """Spatial transformers take the size from the image."""
    nodes = [
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("AffineGrid", ["theta", "size"], ["grid"], align_corners=align),
        helper.make_node("GridSample", ["x", "grid"], ["y"], align_corners=align),
    ]
    feeds = [{"x": rand(*s), "theta": rand(s[0], 2, 3, low=-0.7, high=0.7)} for s in ((2, 3, 4, 5), (3, 3, 6, 4))]
    model = graph_model(nodes, {n: [f[n] for f in feeds] for n in ("x", "theta")}, ["y"])
    check_model(runtime, model, feeds)


@everywhere
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("aligned", ["half_pixel", "output_half_pixel"])
@pytest.mark.parametrize("images", [1, 3])
def test_roi_align(runtime, ratio, aligned, images):
    sets = []
    for count in (4, 2):
        corners = np.sort(rand(count, 2, 2, low=0, high=16), axis=1).reshape(count, 4)
        sets.append([rand(images, 3, 8, 9), corners, np.array([2, 0, 1, 0][:count], np.int64) % images])
    how = {"output_height": 2, "output_width": 3, "sampling_ratio": ratio, "spatial_scale": 0.5}
    check_op(runtime, "RoiAlign", *sets, coordinate_transformation_mode=aligned, opset=16, **how)


def test_roi_align_max_of_any_number():
    sets = [[rand(1, 3, 8, 9), rand(2, 4, low=0, high=8), np.zeros(2, np.int64)]]
    check_refused(CURRENT, "RoiAlign", *sets, match="samples", mode="max", opset=16)


@everywhere
@pytest.mark.parametrize("images", [1, 2])
def test_max_roi_pool(runtime, images):
    sets = []
    for count in (4, 2):
        corners = np.sort(np.round(rand(count, 2, 2, low=0, high=7)), axis=1).reshape(count, 4)
        index = (np.array([1, 0, 1, 0][:count]) % images).astype(np.float32)
        sets.append([rand(images, 3, 8, 8), np.concatenate([index[:, None], corners], 1)])
    check_op(runtime, "MaxRoiPool", *sets, pooled_shape=[2, 3])


@everywhere
@pytest.mark.parametrize("const", [(1, 2), (2,)], ids=["known", "image"])
def test_col2im(runtime, const):
    image, block = np.array([5, 6], np.int64), np.array([2, 3], np.int64)
    sets = [[rand(n, 2 * 6, 7 * 6), image, block] for n in (1, 2)]
    if 1 in const:
        check_op(runtime, "Col2Im", *sets, const=const, pads=[1, 1, 2, 1])
    else:
        check_refused(runtime, "Col2Im", *sets, const=const, match="run time")
