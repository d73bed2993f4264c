"""Random graphs give what ONNX Runtime gives, or are refused with a reason: a few always, more with ``slow``."""

from __future__ import annotations

import pytest

from tests.onnx import random_graphs
from tests.onnx.checks import CURRENT, ONEDNN, PADDLE_23, PADDLE_26, Runtime, in_runtimes, worker

SEEDS = range(60)


def _check(runtime: Runtime, seeds: range) -> None:
    found = {}
    for seed in seeds:
        graph = random_graphs.graph(seed)
        if graph.nodes:
            found[seed] = random_graphs.outcome(graph, runtime.target, worker(runtime.name), runtime.onednn)
    faults = {seed: result for seed, result in found.items() if result[0] not in ("works", "refused", "no case")}
    assert not faults
    assert sum(status == "works" for status, _ in found.values()) > 0.8 * len(found)


@in_runtimes(CURRENT, ONEDNN[0])
def test_a_few(runtime: Runtime) -> None:
    _check(runtime, SEEDS[:20])


@pytest.mark.slow
@in_runtimes(CURRENT, PADDLE_26, PADDLE_23, *ONEDNN[:2])
def test_many(runtime: Runtime) -> None:
    _check(runtime, SEEDS)
