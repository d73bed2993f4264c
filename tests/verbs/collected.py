"""What Paddle's own collector of shapes writes, and how that compares with what mconv does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mconv.program.files import load_program, locate
from mconv.proof.feeds import InputSpec, random_feeds, specs_of
from mconv.proof.indexed import sequence_lengths
from mconv.runtimes.worker_feeds import lod_of
from mconv.serving.shape_ranges import from_paddle
from tests.managed import require, run_in

COLLECTOR = Path(__file__).with_name("collect_shapes.py")
RUNTIMES = {"2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2"}
Sets = Sequence[Mapping[str, np.ndarray]]


def at_points(model: Path, points: Mapping[str, tuple[Any, Any, Any]]) -> Sets:
    """The inputs that ``--min``, ``--opt`` and ``--max`` make up: the usual point twice, so that it is the most frequent."""
    program = load_program(locate(model))
    specs, lengths = specs_of(program), sequence_lengths(program)

    def shape(spec: InputSpec, at: int) -> Any:
        return points[spec.name][at] if spec.name in points else spec.shape

    sets = []
    for at in (0, 1, 1, 2):
        feed = random_feeds([InputSpec(s.name, s.dtype, shape(s, at), s.limit, s.lod) for s in specs])[0]
        sets.append({name: np.ones_like(array) if name in lengths else array for name, array in feed.items()})
    return sets


def save_sets(sets: Sets, path: Path) -> Path:
    np.savez(path, **{f"{number}/{name}": array for number, feed in enumerate(sets) for name, array in feed.items()})
    return path


@dataclass
class Job:
    """A model, what it is fed, and where the collector's file goes."""

    model: Path
    sets: Sets
    out: Path


def collect(target: str, jobs: Sequence[Job]) -> None:
    """Have the collector of the target's Paddle write the files, all in one process."""
    said = []
    for job in jobs:
        found = locate(job.model)
        lods = {
            s.name: [lod_of(len(feed[s.name]), s.lod) for feed in job.sets]
            for s in specs_of(load_program(found))
            if s.lod
        }
        feeds = save_sets(job.sets, job.out.with_suffix(".feeds.npz"))
        files = {"program": found.program, "params": found.params, "feeds": feeds, "out": job.out}
        said.append({**{key: str(path or "") for key, path in files.items()}, "lods": lods})
    jobs[0].out.with_suffix(".json").write_text(json.dumps(said))
    ended = run_in(require(RUNTIMES[target]), COLLECTOR, jobs[0].out.with_suffix(".json"))
    assert ended.returncode == 0, ended.stderr[-2000:]


def never_computed(mine: Path, collected: Path) -> set[str]:
    """The tensors of which the collector of 2.3 has an entry of one dimension that begins at 0, as no operator had computed
    them in some run: a branch that was not taken, what a gradient would need. Ours has their shape where they were, or none.
    """
    ours, theirs = from_paddle(mine).shapes, from_paddle(collected).shapes
    found = {n for n, r in theirs.items() if r.min == (0,) and ours.get(n) != r}
    assert all(ours[n].max[:1] == theirs[n].max for n in found & set(ours))
    return found


def without(text: str, names: set[str]) -> list[str]:
    """The entries of a shape file but for those of *names*."""
    return [part for part in text.split("shape_range_info ") if not any(f'name: "{n}"\n' in part for n in names)]


def differences(mine: Path, collected: Path, target: str) -> list[str]:
    """The entries in which the two files differ, but for :func:`never_computed` in 2.3."""
    wrong = never_computed(mine, collected) if target == "2.3" else set()
    one, other = without(mine.read_text(), wrong), without(collected.read_text(), wrong)
    return sorted(set(one) ^ set(other)) or ([] if one == other else ["in another order"])
