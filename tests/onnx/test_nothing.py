"""ONNX operators behind a selection that finds nothing: the committed table, and a share of it on every run."""

from __future__ import annotations

import json

import pytest

from tests.managed import require
from tests.onnx import nothing, nothing_chains

TABLE = json.loads(nothing.TABLE.read_text())
CHAINS = json.loads(nothing.CHAINS.read_text())
PARTS = 6


def test_the_table_has_no_faults() -> None:
    for target, operators in TABLE.items():
        for operator, cases in operators.items():
            assert not nothing.FAULTS & set(cases), f"{operator} for {target}: {cases}"


def test_all_chains_are_listed() -> None:
    assert {t: sorted(cases) for t, cases in CHAINS.items()} == dict.fromkeys(TABLE, sorted(nothing_chains.CHAINS))
    assert not nothing.FAULTS & {s for cases in CHAINS.values() for s in cases.values()}


@pytest.mark.runtime
@pytest.mark.parametrize(
    "target", ["2.3", pytest.param("2.6", marks=pytest.mark.slow), pytest.param("3", marks=pytest.mark.slow)]
)
def test_chains(target: str) -> None:
    require(nothing.RUNTIMES[target])
    found = nothing.run_chains(target)
    assert {n: s for n, (s, _) in found.items()} == CHAINS[target], {n: f for n, f in found.items() if f[0] != "works"}


def check(target: str, operators: list[str]) -> None:
    require(nothing.RUNTIMES[target])
    found = nothing.run(target, operators)
    assert sorted(found) == sorted(operators)
    for operator, result in found.items():
        assert not nothing.FAULTS & set(result["cases"]), f"{operator}: {result['reasons']}"
        listed = TABLE[target][operator].get("works", 0)
        assert result["cases"].get("works", 0) >= listed, f"{operator}: {result['reasons']}"


@pytest.mark.runtime
@pytest.mark.parametrize("target", list(nothing.RUNTIMES))
def test_a_share(target: str) -> None:
    check(target, sorted(TABLE[target])[list(TABLE).index(target) :: 20])


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("target", list(nothing.RUNTIMES))
def test_all(target: str, part: int) -> None:
    check(target, sorted(TABLE[target])[part::PARTS])
