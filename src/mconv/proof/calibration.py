"""From what a tensor holds on calibration data to the magnitude that becomes 127."""

from __future__ import annotations

from typing import Callable

import numpy as np

BINS = 2048
LEVELS = 128


class Histogram:
    """The magnitudes of a tensor over many runs, in bins of one width; the width doubles when a larger one comes.

    Attributes:
        counts: how many magnitudes fall in each bin.
        top: the upper edge of the last bin; 0 before anything was added.
        largest: the largest finite magnitude.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.top = self.largest = 0.0

    def add(self, array: np.ndarray) -> None:
        magnitudes = np.abs(array[np.isfinite(array)]).astype(np.float64)
        largest = float(magnitudes.max(initial=0.0))
        if largest == 0.0:
            self.counts[0] += magnitudes.size
            return
        if self.top == 0.0:
            self.top = largest
        while largest > self.top:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)])
            self.top *= 2
        self.largest = max(self.largest, largest)
        positions = np.minimum((magnitudes / self.top * BINS).astype(np.int64), BINS - 1)
        self.counts += np.bincount(positions, minlength=BINS)

    @property
    def centres(self) -> np.ndarray:
        return (np.arange(BINS) + 0.5) * (self.top / BINS)


def largest(found: Histogram) -> float:
    """Nothing is cut off."""
    return found.largest


def percentile(found: Histogram, percent: float = 99.99) -> float:
    """So many percent of the numbers are not cut off."""
    share = np.cumsum(found.counts) / max(found.counts.sum(), 1)
    position = int(np.searchsorted(share, percent / 100))
    return min(found.largest, (position + 1) * found.top / BINS)


def mean_squared_error(found: Histogram) -> float:
    """What rounding and cutting off cost together is the least, in squares."""
    centres = found.centres
    if not found.largest:
        return 0.0

    def cost(limit: float) -> float:
        step = limit / (LEVELS - 1)
        rounded = np.minimum(np.rint(centres / step), LEVELS - 1) * step
        return float((found.counts * (centres - rounded) ** 2).sum())

    return float(min((found.largest * part for part in np.linspace(1.0, 0.1, 91)), key=cost))


def divergence(found: Histogram) -> float:
    """The distribution that is left tells the most of the one that was: the least Kullback-Leibler divergence."""
    counts = found.counts.astype(np.float64)
    counts[0] = counts[1]  # zeros, which a ReLU makes many of, are said exactly by any scale
    used = int(np.ceil(found.largest / found.top * BINS)) if found.top else 0
    best, position = np.inf, used
    for stop in range(LEVELS, used + 1, 8):
        kept = counts[:stop].copy()
        kept[-1] += counts[stop:].sum()
        edges = np.linspace(0, stop, LEVELS + 1).astype(np.int64)[:-1]
        filled = counts[:stop] > 0
        sums = np.add.reduceat(counts[:stop], edges)
        sizes = np.maximum(np.add.reduceat(filled.astype(np.int64), edges), 1)
        spread = np.where(filled, np.repeat(sums / sizes, np.diff([*edges, stop])), 0.0)
        p, q = kept / max(kept.sum(), 1), spread / max(spread.sum(), 1)
        both = (p > 0) & (q > 0)
        lost = float((p[both] * np.log(p[both] / q[both])).sum()) + float(p[(p > 0) & (q <= 0)].sum()) * 10
        if lost < best:
            best, position = lost, stop
    return found.largest if position >= used else float(position * found.top / BINS)


METHODS: dict[str, Callable[[Histogram], float]] = {
    "minmax": largest,
    "percentile": percentile,
    "mse": mean_squared_error,
    "kl": divergence,
}
