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
def test_max_pool(place, k, attrs):
    check_op(place, "MaxPool", *[[x] for x in images(k)], **attributes(k, attrs))


@everywhere
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("attrs", WINDOWS[:3], ids=str)
@pytest.mark.parametrize("order", [0, 1])
def test_max_pool_with_index(place, k, attrs, order):
    attrs = {**attributes(k, attrs), "storage_order": order}
    check_op(place, "MaxPool", *[[x] for x in images(k)], outputs=2, types=[1, 7], **attrs)


@everywhere
def test_max_pool_with_index_dilated(place):
    sets = [[rand(n, 3, 9, 8)] for n in (1, 2)]
    attrs = {"kernel_shape": [3, 2], "dilations": [2, 2], "pads": [1, 0, 1, 0], "strides": [1, 2]}
    check_op(place, "MaxPool", *sets, outputs=2, types=[1, 7], **attrs)


@everywhere
@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int8])
def test_max_pool_types(place, dtype):
    low = 0 if dtype == np.uint8 else -20
    sets = [[x] for x in images(2, dtype=dtype, low=low, high=100)]
    check_op(place, "MaxPool", *sets, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


@everywhere
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("attrs", WINDOWS, ids=str)
@pytest.mark.parametrize("count", [0, 1])
def test_average_pool(place, k, attrs, count):
    if attrs.get("auto_pad") == "SAME_UPPER" and count:
        pytest.skip("onnxruntime and ONNX differ")
    attrs = {**attributes(k, attrs), "count_include_pad": count}
    check_op(place, "AveragePool", *[[x] for x in images(k)], **attrs)


@everywhere
def test_average_pool_uneven(place):
    attrs = {"kernel_shape": [4, 3], "pads": [1, 0, 2, 1], "count_include_pad": 1, "strides": [2, 1]}
    check_op(place, "AveragePool", *[[x] for x in images(2)], **attrs)


@everywhere
def test_average_pool_dilated(place):
    attrs = {"kernel_shape": [3, 2], "dilations": [2, 2], "pads": [1, 1, 1, 1], "strides": [1, 2]}
    check_op(place, "AveragePool", *[[x] for x in images(2)], **attrs)


def test_same_lower_average_of_unknown_size():
    attrs = {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]}
    check_refused(CURRENT, "AveragePool", *[[x] for x in images(2)], match="SAME_LOWER", **attrs)


@everywhere
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_lp_pool(place, k, p):
    attrs = attributes(k, {"kernel_shape": 3, "strides": 2, "pads": 1, "p": p})
    check_op(place, "LpPool", *[[x] for x in images(k)], **attrs)


@everywhere
@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_global(place, op, k):
    check_op(place, op, *[[x] for x in images(k)])


@everywhere
def test_max_unpool(place):
    sets = []
    for n in (1, 2):
        index = np.stack([np.arange(6).reshape(2, 3) * 4 + (i % 3) + i * 24 for i in range(n * 2)])
        sets.append([rand(n, 2, 2, 3), index.reshape(n, 2, 2, 3).astype(np.int64)])
    check_op(place, "MaxUnpool", *sets, kernel_shape=[2, 2], strides=[2, 2])
