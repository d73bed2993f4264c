"""Which of the sizes that a model takes an exported program does not: both are asked at other sizes than the traced."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mconv.errors import RuntimeFailedError
from mconv.factory.inputs import Input
from mconv.proof.compare import Tolerance
from mconv.proof.torch_runner import TorchRunner, tensor_of
from mconv.torch.exporting import Exported, named_leaves, sizes_of
from mconv.torch.restrictions import Restriction, breaking
from mconv.verbs.torch_inputs import Plan, labels_of

_ASKED = 12  # times that the model is run at most
_PER_RESTRICTION = 2
_SECONDS = 30  # for all of it
# two ways of computing the same in torch; another size gives wholly other numbers, or none
_SAME = Tolerance(1e-3, 1e-3)


@dataclass(frozen=True)
class Lost:
    """Sizes that the model takes and the exported program does not.

    Attributes:
        restriction: what torch assumed.
        feed: inputs at which it does not hold.
    """

    restriction: Restriction
    feed: dict[str, np.ndarray]


def lost(exported: Exported, plan: Plan, runner: TorchRunner, traced: Mapping[str, Any]) -> list[Lost]:
    """The restrictions of a program that are not the model's own.

    Args:
        traced: input → the torch tensor that it was traced with.
    """
    wanted = [r for r in exported.restrictions if not r.least]
    if not wanted or exported.program is None:
        return []
    sizes = sizes_of(traced, plan.dims)
    found: list[Lost] = []
    asked = 0
    seen: list[dict[str, int]] = []
    start = time.monotonic()
    for one in sorted(wanted, key=lambda r: (not r.fixes, len(r.text))):
        if any(not one.holds(s) for s in seen):
            continue  # asked already
        if time.monotonic() - start > _SECONDS:
            break
        for number, other in enumerate(breaking(one, exported.restrictions, sizes)):
            if number >= _PER_RESTRICTION or asked >= _ASKED:
                break
            feed = resized(plan.sets[0], plan.inputs, other)
            asked += 1
            try:
                answers = runner.run([feed])
            except RuntimeFailedError:
                continue
            seen.append(other)
            if one.baked or not _agrees(exported, feed, plan, answers.names, answers.outputs[0]):
                found.append(Lost(one, feed))
            break
    return found


def resized(feed: Mapping[str, np.ndarray], inputs: Sequence[Input], sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The values cut and repeated to other sizes (name of a dimension → size)."""
    made = {}
    for one in inputs:
        array = feed[one.name]
        for axis, label in enumerate(labels_of(one)):
            if label is not None and label in sizes and array.shape[axis] != sizes[label]:
                array = np.take(array, np.arange(sizes[label]) % max(1, array.shape[axis]), axis)
        made[one.name] = array
    return made


def _agrees(
    exported: Exported, feed: Mapping[str, np.ndarray], plan: Plan, names: Sequence[str], wanted: Sequence[np.ndarray]
) -> bool:
    """Whether the exported program answers as the model does."""
    types = {i.name: i.dtype for i in plan.inputs}
    try:
        result = exported.run([tensor_of(np.array(feed[n], order="C"), types[n]) for n in exported.inputs])
    except Exception:  # noqa: BLE001 - whatever a program does at sizes that it was not made for
        return False
    got = {n: v for n, v in named_leaves(result) if hasattr(v, "detach")}
    for name, value in zip(names, wanted):
        if name in got and not same(value, got[name].detach().cpu().float().numpy()):
            return False
    return True


def same(wanted: np.ndarray, got: np.ndarray) -> bool:
    """Whether two arrays are the same but for rounding."""
    if wanted.shape != got.shape:
        return False
    if not wanted.size or wanted.dtype.kind == "c":
        return True
    a, b = wanted.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(a)
    if not (finite == np.isfinite(b)).all():
        return False
    a, b = a[finite], b[finite]
    return bool((np.abs(a - b) <= _SAME.limit(a, "float32")).all())


__all__ = ["Lost", "lost", "resized", "same"]
