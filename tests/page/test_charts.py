"""What figures are made of names that come from outside."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from mconv.page import bars


@pytest.mark.parametrize("name", ["f.svg", "f.png"])
def test_names_in_other_letters_are_drawn_without_a_word_of_matplotlib(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    figures = {"p50": 1.0, "p95": 2.0, "p99": 3.0}
    lanes = [
        {"label": label, "status": "ok", "tps": 10.0, "figures": figures}
        for label in ("中文模型 $x^2$", "日本語", "plain")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        bars.write({"kind": "service", "threads": 20, "addresses": lanes}, tmp_path / name)
    written = (tmp_path / name).read_bytes()
    assert name.endswith("png") or "中文模型 $x^2$".encode() in written
