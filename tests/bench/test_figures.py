"""Percentiles are times that were measured."""

from __future__ import annotations

import numpy as np
import pytest

from mconv.bench.figures import figures


def test_percentiles_are_the_nearest_ranks() -> None:
    found = figures([i / 1e3 for i in np.random.default_rng(0).permutation(np.arange(1, 201))])
    assert (found.count, found.least, found.p50, found.p90, found.p95, found.p99, found.most) == pytest.approx(
        (200, 1, 100, 180, 190, 198, 200)
    )
    assert found.mean == pytest.approx(100.5)


@pytest.mark.parametrize("times", [[0.25], [0.25, 0.25, 0.25]])
def test_of_few_times_each_percentile_is_one_of_them(times: list[float]) -> None:
    found = figures(times)
    assert {found.least, found.p50, found.p90, found.p95, found.p99, found.most, found.mean} == {250.0}


def test_no_times_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no times"):
        figures([])
