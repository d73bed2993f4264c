"""``mconv.to_static`` on every Paddle from 2.6.2 on, run in the Paddle of the article."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.managed import require, run_in


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("version", ["2.6.2", "3.0.0", "3.1.1", "3.2.2", "3.3.1"])
def test_the_article_on(version: str, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    where = require(f"paddle-{version}")
    done = run_in(where, Path(__file__).with_name("article.py"), tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["paddle"] == version and found["heavy"] == []
    assert len(found["reports"]) == 9
    for report in found["reports"]:
        proof = report["verification"]
        assert proof["status"] == "passed" and proof["runtime"] == "paddle-2.3.2", report["source"]
        assert all(row["max_abs"] <= 1e-5 for row in proof["outputs"])
        if version != "2.6.2" and report["source"]["class"] != "Tupled":  # no parameters: the Predictor loads no .json
            assert proof["original"]["status"] == "passed", report["source"]
    names = [p["paddle_name"] for p in found["reports"][0]["inputs"]]
    assert names == ["input_ids", "token_type_ids", "attention_mask"]
    files = {p.name for p in tmp_path.iterdir() if p.name.startswith("pb_model")}
    assert files == {f"pb_model.{e}" for e in ("pdmodel", "pdiparams", "report.json", "provenance.json")}
