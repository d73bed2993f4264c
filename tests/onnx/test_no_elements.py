"""Tensors that a model says to have no elements give what they give in ONNX Runtime, in every Paddle."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.onnx import no_elements
from tests.onnx.checks import CURRENT, ONEDNN, PADDLE_23, PADDLE_26, PLAIN, Runtime, in_runtimes, worker

# the reason is said: in how many dimensions nothing is collected is known, their sizes are not
REFUSED = frozenset({"a loop of no turns"})
NO_CASE = frozenset({"one convolved"})  # ONNX Runtime does not run it


def _check(runtime: Runtime, pairs: Iterable[tuple[str, str]]) -> None:
    found = {pair: no_elements.outcome(*pair, runtime.target, worker(runtime.name), runtime.onednn) for pair in pairs}
    wanted = {p: "refused" if p[1] in REFUSED else "no case" if p[1] in NO_CASE else "works" for p in found}
    assert {p: (s, r) for p, (s, r) in found.items() if s != wanted[p]} == {}


@in_runtimes(CURRENT, ONEDNN[0])
def test_each_front_and_each_body(runtime: Runtime) -> None:
    _check(runtime, no_elements.pairs())


@pytest.mark.slow
@in_runtimes(CURRENT, PLAIN, PADDLE_26, PADDLE_23, *ONEDNN[:2])
def test_all_pairs(runtime: Runtime) -> None:
    _check(runtime, no_elements.pairs(every=True))
