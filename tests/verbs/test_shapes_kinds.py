"""The shapes of models that Paddle's collector knows by running them alone: of every kind the file is the collector's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.program.files import load_program, locate
from mconv.proof.feeds import specs_of
from tests.exporters.onnx import loops_models
from tests.managed import require, run_in
from tests.verbs import shape_models
from tests.verbs.collected import RUNTIMES, Job, at_points, collect, differences, save_sets
from tests.verbs.shape_models import GROUPS, TEXTS

pytestmark = pytest.mark.runtime
POINTS = ("minimum", "optimum", "maximum")


def texts(points: shape_models.Points) -> dict[str, list[str]]:
    """``--min``, ``--opt`` and ``--max``."""
    return {
        option: [f"{name}[{','.join(map(str, shapes[at]))}]" for name, shapes in points.items()]
        for at, option in enumerate(POINTS)
    }


def compared(jobs: list[Job], target: str, options: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Model → where its file is not the collector's."""
    collect(target, jobs)
    found = {}
    for job, given in zip(jobs, options):
        mine = job.out.with_suffix(".mine.pbtxt")
        api.shapes(job.model, mine, target=target, **given)
        assert len(mine.read_text()) > 200
        if differences(mine, job.out, target):
            found[job.out.stem] = differences(mine, job.out, target)
    return found


@pytest.mark.parametrize("target", RUNTIMES)
@pytest.mark.parametrize("group", [pytest.param(g, marks=pytest.mark.long) for g in GROUPS])
def test_models_of_onnx(group: str, target: str, tmp_path: Path) -> None:
    require(RUNTIMES[target])
    jobs, options = [], []
    for name in GROUPS[group]:
        model = tmp_path / name
        api.onnx2paddle(shape_models.save(name, tmp_path), model, target=target, verify=False)
        inputs = {spec.name for spec in specs_of(load_program(locate(model)))}
        points = {n: p for n, p in TEXTS[name][1].items() if n in inputs}
        jobs.append(Job(model, at_points(model, points), tmp_path / f"{name}.pbtxt"))
        options.append(texts(points))
        if "lengths" in points or name == "nonzero":
            sets = shape_models.feeds(name)
            jobs.append(Job(model, sets, tmp_path / f"{name}_fed.pbtxt"))
            options.append({"feeds": save_sets(sets, tmp_path / f"{name}.npz")})
    assert compared(jobs, target, options) == {}


@pytest.mark.parametrize("target", RUNTIMES)
def test_one_of_each(target: str, tmp_path: Path) -> None:
    """A branch in a branch, a loop with a list, and rows that the numbers decide: the quick form of the tables."""
    require(RUNTIMES[target])
    jobs: list[Job] = []
    options: list[dict[str, Any]] = []
    said: list[str] = []
    for name in ("if_in_if", "loop", "nonzero"):
        api.onnx2paddle(shape_models.save(name, tmp_path), tmp_path / name, target=target, verify=False)
        jobs.append(Job(tmp_path / name, at_points(tmp_path / name, TEXTS[name][1]), tmp_path / f"{name}.pbtxt"))
        options.append({**texts(TEXTS[name][1]), "progress": said.append})
    assert compared(jobs, target, options) == {}
    missing = [line for line in said if line.startswith("no shapes of where_index_1.tmp: never computed, or without")]
    assert bool(missing) is (target == "2.6")  # no element is above the limit


def test_lists_in_paddle_3(tmp_path: Path) -> None:
    """The same file as in 2.6, whose program it is."""
    require(RUNTIMES["2.6"])
    pytest.importorskip("paddle")
    api.onnx2paddle(shape_models.save("loop", tmp_path), tmp_path / "loop", target="2.6", verify=False)
    found = [
        api.shapes(tmp_path / "loop", target=target, runtime=runtime, **texts(TEXTS["loop"][1])).texts
        for target, runtime in (("2.6", RUNTIMES["2.6"]), ("3", "current"))
    ]
    assert found[0] == found[1]


@pytest.mark.long
@pytest.mark.parametrize("target", RUNTIMES)
def test_loops_that_paddle_saved(target: str, tmp_path: Path) -> None:
    """Decoders, a loop in a branch, a loop that ends early: counters and lists as Paddle itself writes them."""
    script = Path(loops_models.__file__).with_name("loops.py")
    done = run_in(require(RUNTIMES[target]), script, tmp_path)
    assert done.returncode == 0, done.stderr
    jobs, options = [], []
    for file in sorted(tmp_path.glob("*.npz")):
        sets: dict[str, dict[str, np.ndarray]] = {}
        for key, array in np.load(file).items():
            number, kind, name = key.split(".", 2)
            if kind == "in":
                sets.setdefault(number, {})[name] = array
        jobs.append(Job(file.with_suffix(".pdmodel"), list(sets.values()), file.with_suffix(".pbtxt")))
        options.append({"feeds": save_sets(jobs[-1].sets, tmp_path / f"{file.stem}.sets.npz")})
    assert len(jobs) == 4
    assert compared(jobs, target, options) == {}


@pytest.mark.long
@pytest.mark.parametrize("target", RUNTIMES)
def test_sequences_end_to_end(target: str, tmp_path: Path) -> None:
    """Inputs with one and with two levels of LoD."""
    jobs: list[Job] = []
    rows = (3, 7, 7, 12)
    for levels in (1, 2):
        saved = tmp_path / f"saved{levels}"
        script = Path(__file__).parents[1] / "proof" / "save_lod.py"
        done = run_in(require("paddle-1.8.5"), script, saved, levels)
        assert done.returncode == 0, done.stderr
        api.convert(saved, tmp_path / f"made{levels}", target=target, verify=False)
        sets = [{"words": np.arange(n)[:, None] if levels == 1 else np.ones((n, 8), np.float32)} for n in rows]
        jobs.append(Job(tmp_path / f"made{levels}" / "serving_server", sets, tmp_path / f"lod{levels}.pbtxt"))
    options = [{"feeds": save_sets(job.sets, job.out.with_suffix(".npz"))} for job in jobs]
    assert compared(jobs, target, options) == {}
