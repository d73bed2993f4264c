"""What is cut from an open size that is too small for it has no elements: ``x[:, 1:]`` of one row, halves of one row.

Each front makes ``e`` [n, k, 4] of the input ``v`` [n, m, 4], where ``k`` is 0 for one of the sizes of ``m``; what
reads it is what :mod:`tests.onnx.no_elements` has behind a size that is always 0. ONNX Runtime says what comes out.

    python -m tests.onnx.small_sizes --target 2.3 [--onednn] [--all]
"""

from __future__ import annotations

import sys
from typing import Any, Optional

import numpy as np

from tests.onnx import no_elements

HEAD = no_elements.HEAD.replace("(float[n, 3, 4] x)", "(float[n, 3, 4] x, float[n, m, 4] v)")
# name → the sizes of ``m``, for the first of which there is nothing, and how ``e`` is made
FRONTS: dict[str, tuple[tuple[int, ...], str]] = {
    "behind the first": ((1, 4), "large = Constant<value_ints: ints = [99]>() e = Slice(v, one, large, one)"),
    "before the last": ((1, 4, 2), "e = Slice(v, zero, all, one)"),
    "rows that one has not": ((2, 5, 3), "four_ = Constant<value_ints: ints = [4]>() e = Slice(v, two, four_, one)"),
    "every other": ((1, 4), "large = Constant<value_ints: ints = [99]>() e = Slice(v, one, large, one, two)"),
    "backwards": ((1, 4), "b_ = Constant<value_ints: ints = [-2]>() f_ = Constant<value_ints: ints = [-99]>() e = Slice(v, b_, f_, one, all)"),
    "second of two": ((1, 5, 2), "first_, e = Split<axis = 1, num_outputs = 2>(v)"),
    "cropped": ((2, 5), "p_ = Constant<value_ints: ints = [0, -1, 0, 0, -1, 0]>() e = Pad(v, p_)"),
    "half of the size": ((1, 4), "s_ = Shape(v) m_ = Slice(s_, one, two) h_ = Div(m_, two) e = Slice(v, zero, h_, one)"),
    "two cuts": ((2, 1, 5), "large = Constant<value_ints: ints = [99]>() c_ = Slice(v, one, large, one) e = Slice(c_, zero, all, one)"),
}  # fmt: skip
# ONNX Runtime has one of several right answers, or none
UNTRIED = frozenset({"scattered", "one convolved"})
BODIES = {name: body for name, body in no_elements.BODIES.items() if name not in UNTRIED}


def model(front: str, body: str) -> Any:
    """The model of a pair of names."""
    return no_elements.parsed(HEAD, FRONTS[front][1], BODIES[body])


def feeds(front: str) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        {k: rng.uniform(-1, 1, (n, size, 4)).astype(np.float32) for k, size in (("x", 3), ("v", m))}
        for n, m in zip((2, 3, 1), FRONTS[front][0])
    ]


def outcome(front: str, body: str, target: str, worker: Any, onednn: Optional[bool] = None) -> tuple[str, str]:
    """As :func:`tests.onnx.random_graphs.compared` says."""
    from tests.onnx.random_graphs import compared

    return compared(model(front, body), feeds(front), target, worker, onednn)


def pairs(every: bool = False) -> list[tuple[str, str]]:
    """Each body behind one front and each front before one body, or all with all."""
    return no_elements.paired(list(FRONTS), list(BODIES), every)


if __name__ == "__main__":
    sys.exit(no_elements.main(__doc__, pairs, outcome))
