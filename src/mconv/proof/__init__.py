"""Proof: inputs, runners, and the comparison of what they answer."""

from __future__ import annotations

from mconv.proof.compare import Comparison, OutputComparison, Tolerance, compare
from mconv.proof.feeds import InputSpec, load_feeds, random_feeds, specs_of

__all__ = [
    "Comparison",
    "InputSpec",
    "OutputComparison",
    "Tolerance",
    "compare",
    "load_feeds",
    "random_feeds",
    "specs_of",
]
