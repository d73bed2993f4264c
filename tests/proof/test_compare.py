"""The comparison: what counts as equal, and what is said when it is not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mconv.proof.compare import Tolerance, compare

F = np.float32


def one(a, b, **options):
    return compare([[np.asarray(a)]], [[np.asarray(b)]], ["y"], **options)


def test_equal() -> None:
    a = np.linspace(-3, 3, 12, dtype=F).reshape(3, 4)
    (o,) = one(a, a.copy()).outputs
    assert (o.ok, o.max_abs, o.max_rel, o.argmax_same, o.reason) == (True, 0.0, 0.0, True, "")
    assert o.cosine == pytest.approx(1)


def test_figures() -> None:
    (o,) = one(F([[1, 2], [4, 3]]), F([[1, 2.5], [3, 3]])).outputs
    assert (o.max_abs, o.max_rel) == (1.0, 0.25)
    assert o.argmax_same is True and not o.ok and "2 of 4 elements differ" in o.reason
    (o,) = one(F([1, 2]), F([2, 1])).outputs
    assert o.argmax_same is False


@pytest.mark.parametrize(
    ("apart", "found"),
    [
        ([0, 0, 0], {"0": 3}),
        ([0, 2e-8, 3e-8, 5e-3], {"0": 1, "1e-08": 2, "1e-03": 1}),
        ([1e-15, 2e-12, 1e20], {"1e-12": 2, "1e+12": 1}),
        ([np.nan, np.inf, 0], {"0": 1, "inf": 2}),
        ([], {}),
    ],
    ids=str,
)
def test_distribution_of_the_differences(apart: list[float], found: dict[str, int]) -> None:
    a = np.zeros(len(apart))
    (o,) = one(a, a + np.array(apart, float)).outputs
    assert o.distribution == found and sum(o.distribution.values()) == a.size


def test_what_is_allowed_whatever_the_size_of_an_element() -> None:
    (o,) = one(F([0, 100]), F([0, 100])).outputs
    assert o.allowed == pytest.approx(1e-5 * 100)
    assert one(np.int64([3]), np.int64([3])).outputs[0].allowed is None


@pytest.mark.parametrize(
    ("a", "b", "ok"),
    [
        (F([1.0]), F([1.00005]), True),
        (F([1.0]), F([1.001]), False),
        (F([1000.0, 0.0]), F([1000.0, 0.005]), True),  # small beside the largest
        (np.float16([1.0]), np.float16([1.01]), True),
        (np.float16([1.0]), np.float16([1.05]), False),
        (np.int64([5]), np.int64([5]), True),
        (np.int64([2**62]), np.int64([2**62 + 1]), False),  # equal as float64
        (np.array([True]), np.array([False]), False),
        (np.complex64([1 + 1j]), np.complex64([1 + 1.5j]), False),
        (F([]), F([]), True),
        (F(3), F(3), True),
    ],
    ids=str,
)
def test_tolerance_by_type(a, b, ok) -> None:
    assert one(a, b).ok is ok


@pytest.mark.parametrize(
    ("a", "b", "ok"),
    [
        ([np.nan, 1], [np.nan, 1], True),
        ([np.inf, -np.inf], [np.inf, -np.inf], True),
        ([np.inf], [-np.inf], False),
        ([np.nan], [0], False),
        ([0], [np.nan], False),
        ([1e38], [np.inf], False),
    ],
    ids=str,
)
def test_nan_and_infinity(a, b, ok) -> None:
    result = one(F(a), F(b))
    assert result.ok is ok
    assert np.isfinite(result.max_abs) is np.bool_(ok) or np.isfinite(result.max_abs) == ok
    json.dumps(result.to_dict(), allow_nan=False)


def test_types_and_shapes() -> None:
    assert "type int32, the reference has int64" in one(np.int64([1]), np.int32([1])).outputs[0].reason
    assert one(np.int64([1]), np.int32([1]), same_dtype=False).ok
    assert "shape [1], the reference has []" in one(F(1), F([1])).outputs[0].reason
    assert one(F(1), F([1]), scalar_as_one=True).ok
    (o,) = one(np.ones((2, 3), F), np.ones((3, 2), F)).outputs
    assert (o.ok, o.max_abs) == (False, None)


def test_bfloat16_bits() -> None:
    bits = lambda x: (np.asarray(x, F).view(np.uint32) >> 16).astype(np.uint16)  # noqa: E731
    close = compare([[bits([1.0])]], [[bits([1.0625])]], ["y"], dtypes=[["bfloat16"]], got_dtypes=[["bfloat16"]])
    assert close.ok and close.max_abs == 0.0625
    far = compare([[bits([1.0])]], [[bits([2.0])]], ["y"], dtypes=[["bfloat16"]], got_dtypes=[["bfloat16"]])
    assert not far.ok


def test_counts() -> None:
    a = F([1])
    assert "1 outputs, the reference has 2" in compare([[a, a]], [[a]], ["y", "z"]).problems[0]
    assert "0 input sets" in compare([[a]], [], ["y"]).problems[0]
    assert not compare([], [], []).ok  # nothing compared is nothing proved
    assert not compare([[]], [[]], []).ok


def test_the_worst_output_is_named() -> None:
    result = compare([[F([1]), F([1])]], [[F([1]), F([3])]], ["good", "bad"])
    assert result.worst.startswith("output bad, input set 0: ")
    assert compare([[F([1])]], [[F([1])]], ["good"]).worst == ""


def test_a_tighter_tolerance() -> None:
    assert not one(F([1.0]), F([1.00001]), tolerance=Tolerance(1e-6, 1e-6)).ok


@pytest.mark.parametrize(
    ("a", "b", "precision", "ok"),
    [
        (F([4.0, 0.001]), F([4.02, 0.03]), "float16", True),  # a value near 0, beside the scale of the output
        (F([4.0, 0.001]), F([4.0, 0.5]), "float16", False),  # an eighth of the scale is no rounding
        (F([4.0, 0.001]), F([4.02, 0.03]), "float32", False),
        (F([1.0]), F([1.1]), "bfloat16", True),
        (F([1.0]), F([1.3]), "bfloat16", False),
        (F([3e-5, 1e-5]), F([3.001e-5, 1e-5]), "float32", True),
        (
            F([3e-5, 1e-5]),
            F([1e-5, 3e-5]),
            "float32",
            False,
        ),  # probabilities of a large vocabulary, the wrong way round
        (F([2e-3, 1e-3]), F([1e-3, 2e-3]), "float16", False),
        (F([2e-3, 1e-3]), F([2.01e-3, 1.02e-3]), "float16", True),
        (F([1e-8]), F([-3e-8]), "float32", True),  # what cancels is noise in both
        (np.int64([3]), np.int64([4]), "float16", False),
    ],
    ids=str,
)
def test_tolerance_by_the_precision_inside(a, b, precision, ok) -> None:
    assert one(a, b, tolerance=Tolerance().at("float32", precision)).ok is ok


def test_the_lowest_precision_counts() -> None:
    assert Tolerance().at("float16", "bfloat16").precision == "bfloat16"
    assert Tolerance().at("float16").at("float32").precision == "float16"
    assert one(F([1e-4]), F([5e-4]), tolerance=Tolerance.of(1e-3)).ok  # a number that was given is meant
