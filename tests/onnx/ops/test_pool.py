"""Pooling over one to three dimensions, with sizes that change from run to run."""

from __future__ import annotations

import numpy as np
import pytest

from tests.onnx.checks import CURRENT, check_op, check_refused, everywhere, rand

WINDOWS = [
    {"kernel_shape": 3},
    {"kernel_shape": 3, "strides": 2, "pads": 1},
    {"kernel_shape": 2, "strides": 2, "ceil_mode": 1},
    {"kernel_shape": 3, "strides": 2, "pads": 1, "ceil_mode": 1},
    {"kernel_shape": 3, "strides": 2, "auto_pad": "SAME_UPPER"},
    {"kernel_shape": 2, "auto_pad": "VALID"},
]


def attributes(k: int, attrs: dict) -> dict:
    single = ("ceil_mode", "auto_pad", "count_include_pad", "storage_order", "p")
    return {n: v if n in single else [v] * (2 * k if n == "pads" else k) for n, v in attrs.items()}


def images(k: int, **how) -> list[np.ndarray]:
    return [rand(2, 3, *[8, 7, 6][:k], **how), rand(3, 3, *[9, 10, 7][:k], **how)]


@everywhere
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("attrs", [*WINDOWS, {"kernel_shape": 3, "dilations": 2}], ids=str)
def test_max_pool(runtime, k, attrs):
    check_op(runtime, "MaxPool", *[[x] for x in images(k)], **attributes(k, attrs))


@everywhere
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("attrs", WINDOWS[:3], ids=str)
@pytest.mark.parametrize("order", [0, 1])
def test_max_pool_with_index(runtime, k, attrs, order):
    attrs = {**attributes(k, attrs), "storage_order": order}
    check_op(runtime, "MaxPool", *[[x] for x in images(k)], outputs=2, types=[1, 7], **attrs)


@everywhere
def test_max_pool_with_index_dilated(runtime):
    sets = [[rand(n, 3, 9, 8)] for n in (1, 2)]
    attrs = {"kernel_shape": [3, 2], "dilations": [2, 2], "pads": [1, 0, 1, 0], "strides": [1, 2]}
    check_op(runtime, "MaxPool", *sets, outputs=2, types=[1, 7], **attrs)


@everywhere
@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int8])
def test_max_pool_types(runtime, dtype):
    low = 0 if dtype == np.uint8 else -20
    sets = [[x] for x in images(2, dtype=dtype, low=low, high=100)]
    check_op(runtime, "MaxPool", *sets, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


@everywhere
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize(
    "attrs", [{"dilations": [2, 1]}, {"ceil_mode": 1}, {"ceil_mode": 1, "dilations": [1, 2]}], ids=str
)
def test_max_pool_of_small_integers_pads_with_the_smallest(runtime, dtype, attrs):
    """Of windows that hold nothing above zero: a 0 as padding would be their largest."""
    low, high = (0, 3) if dtype == np.uint8 else (-128, -100)
    sets = [[x] for x in images(2, dtype=dtype, low=low, high=high)]
    check_op(runtime, "MaxPool", *sets, kernel_shape=[3, 2], strides=[2, 3], pads=[1, 1, 1, 1], **attrs)


@everywhere
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("attrs", WINDOWS, ids=str)
@pytest.mark.parametrize("count", [0, 1])
def test_average_pool(runtime, k, attrs, count):
    if attrs.get("auto_pad") == "SAME_UPPER" and count:
        pytest.skip("onnxruntime and ONNX differ")
    attrs = {**attributes(k, attrs), "count_include_pad": count}
    check_op(runtime, "AveragePool", *[[x] for x in images(k)], **attrs)


@everywhere
def test_average_pool_uneven(runtime):
    attrs = {"kernel_shape": [4, 3], "pads": [1, 0, 2, 1], "count_include_pad": 1, "strides": [2, 1]}
    check_op(runtime, "AveragePool", *[[x] for x in images(2)], **attrs)


@everywhere
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("sizes", [((2, 2), (2, 2)), ((5, 4), (8, 7)), ((6, 9), (6, 9))], ids=str)
def test_average_pool_no_window_starts_in_the_padding(runtime, count, sizes):
    attrs = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [3, 3], "dilations": [1, 1]}
    attrs.update(count_include_pad=count, ceil_mode=1)
    sets = [[rand(1, 2, *size)] for size in sizes]
    check_op(runtime, "AveragePool", *sets, expected=[[average_by_definition(x, **attrs)] for (x,) in sets], **attrs)
    if not count:  # the largest instead of the mean
        del attrs["count_include_pad"]
        check_op(runtime, "MaxPool", *sets, **attrs)


@everywhere
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 1, 0]], ids=str)
def test_average_pool_dilated(runtime, count, ceil, pads):
    attrs = {"kernel_shape": [3, 2], "dilations": [2, 2], "pads": pads, "strides": [1, 2]}
    attrs.update(count_include_pad=count, ceil_mode=ceil)
    sets = [[x] for x in images(2)]
    expected = [[average_by_definition(x, **attrs)] for (x,) in sets]
    check_op(runtime, "AveragePool", *sets, expected=expected, **attrs)


def average_by_definition(x, kernel_shape, dilations, pads, strides, count_include_pad, ceil_mode):
    """Window by window: what lies beyond the padding is never counted."""
    k = len(kernel_shape)
    begin, end = pads[:k], pads[k:]
    sizes = []
    for n, w, d, p, q, s in zip(x.shape[2:], kernel_shape, dilations, begin, end, strides):
        steps = (n + p + q - d * (w - 1) - 1) / s
        size = int(np.ceil(steps) if ceil_mode else np.floor(steps)) + 1
        sizes.append(size - (ceil_mode and (size - 1) * s >= n + p))  # no window starts in the end's padding
    out = np.zeros((*x.shape[:2], *sizes))
    for at in np.ndindex(*sizes):
        total, count = np.zeros(x.shape[:2]), 0
        for offset in np.ndindex(*kernel_shape):
            cell = [a * s - p + o * d for a, s, p, o, d in zip(at, strides, begin, offset, dilations)]
            if all(0 <= i < n for i, n in zip(cell, x.shape[2:])):
                total, count = total + x[(..., *cell)], count + 1
            elif count_include_pad and all(-p <= i < n + q for i, n, p, q in zip(cell, x.shape[2:], begin, end)):
                count += 1
        out[(..., *at)] = total / count
    return out.astype(x.dtype)


def test_same_lower_average_of_unknown_size():
    attrs = {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]}
    check_refused(CURRENT, "AveragePool", *[[x] for x in images(2)], match="SAME_LOWER", **attrs)


@everywhere
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_lp_pool(runtime, k, p):
    attrs = attributes(k, {"kernel_shape": 3, "strides": 2, "pads": 1, "p": p})
    check_op(runtime, "LpPool", *[[x] for x in images(k)], **attrs)


@everywhere
@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_global(runtime, op, k):
    check_op(runtime, op, *[[x] for x in images(k)])


@everywhere
def test_max_unpool(runtime):
    sets = []
    for n in (1, 2):
        index = np.stack([np.arange(6).reshape(2, 3) * 4 + (i % 3) + i * 24 for i in range(n * 2)])
        sets.append([rand(n, 2, 2, 3), index.reshape(n, 2, 2, 3).astype(np.int64)])
    check_op(runtime, "MaxUnpool", *sets, kernel_shape=[2, 2], strides=[2, 2])
