"""The same recipes on a Ray cluster that is started on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from mconv.errors import MissingDependencyError, UsageError
from mconv.recipe import api as recipes
from mconv.recipe.results import Event
from tests.recipe.conftest import Write, states, tree


@pytest.mark.slow
def test_the_same_recipes_on_ray(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    paths = [write("a"), write("bb"), write("bad", source="nothing.onnx")]
    here = recipes.run(paths, out=tmp_path / "here", jobs=2)
    events: list[Event] = []
    there = recipes.run(paths, out=tmp_path / "there", executor="ray", progress=events.append)
    assert [r.status for r in here.recipes] == [r.status for r in there.recipes] == ["done", "done", "failed"]
    assert tree(tmp_path / "there") == tree(tmp_path / "here") != {}
    assert {e.recipe for e in events if e.status == "done"} == {"a", "bb"}
    before = tree(tmp_path / "there", times=True)
    again = recipes.run(paths[:1], out=tmp_path / "there", executor="ray")
    assert states(again) == ["onnx2paddle cached", "to-serving cached"]
    assert {k: v for k, v in tree(tmp_path / "there", times=True).items() if k.startswith("a/")} == {
        k: v for k, v in before.items() if k.startswith("a/")
    }
    # what was done here needs not be done there
    assert recipes.run(paths[:2], out=tmp_path / "here", executor="ray").nothing_done


def test_without_ray_it_is_said(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="Ray, which is not installed"):
        recipes.run([write("a")], out=tmp_path / "out", executor="ray")
    with pytest.raises(UsageError, match="executors are local, ray"):
        recipes.run([write("a")], out=tmp_path / "out", executor="slurm")
    with pytest.raises(UsageError, match="at least 1"):
        recipes.run([write("a")], out=tmp_path / "out", jobs=0)
