"""What many measured times come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figures:
    """Of a row of times.

    Attributes:
        count: how many there are.
        least, mean, p50, p90, p95, p99, most: milliseconds; a percentile is the smallest measured time that so many percent
            do not exceed.
    """

    count: int
    least: float
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    most: float


def figures(seconds: Sequence[float]) -> Figures:
    """The figures of times in seconds.

    Raises:
        ValueError: there are none.
    """
    if not len(seconds):
        raise ValueError("no times")
    ms = np.sort(np.asarray(seconds, np.float64)) * 1e3

    def at(percent: int) -> float:
        return float(ms[-(-percent * len(ms) // 100) - 1])

    return Figures(len(ms), float(ms[0]), float(ms.mean()), at(50), at(90), at(95), at(99), float(ms[-1]))
