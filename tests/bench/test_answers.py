"""What counts as the same answer."""

from __future__ import annotations

from typing import Any

import pytest

from mconv.bench.answers import difference
from mconv.proof.compare import Tolerance


@pytest.mark.parametrize(
    ("wanted", "got", "reason"),
    [
        ({"y": [1.0, 2.0]}, {"y": [1.0, 2.0 + 1e-6]}, ""),
        ({"y": [1.0, 2.0]}, {"y": [1.0, 2.1]}, "y: 1 of 2 elements differ"),
        ({"y": "[[0.5, 0.25]]"}, {"y": "[[0.5, 0.2500001]]"}, ""),
        ({"y": "[[0.5, 0.25]]"}, {"y": "array([[0.5, 0.25]], dtype=float32)"}, ""),
        ({"y": "[[0.5]]"}, {"y": "[0.5]"}, "y: shape [1]"),
        ({"label": '["cat"]'}, {"label": '["dog"]'}, "label: "),
        ({"y": [1]}, {"z": [1]}, "the fields are z, not y"),
        ({"y": [1], "t": 5}, {"y": [1], "t": 9}, ""),
        ([{"label": "a", "score": 0.5}], [{"label": "a", "score": 0.9}], "[0].score: 1 of 1 elements differ"),
        ([[1], [1, 2]], [[1], [1, 3]], "[1]: 1 of 2 elements differ"),
        ([["a"]], [["a"], ["b"]], "2 elements, not 1"),
        ({"y": None}, {"y": [1]}, "y: [1] instead of null"),
        ({"y": "a" * 500}, {"y": "b"}, "…"),
        (float("nan"), float("nan"), ""),
    ],
)
def test_difference(wanted: Any, got: Any, reason: str) -> None:
    found = difference(wanted, got, Tolerance(), ("t",))
    assert (reason in found) if reason else not found
