"""Inputs that a model takes are found by trying; what takes none is one error that says how many were tried."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

from mconv.errors import RuntimeFailedError
from mconv.program.dtypes import DType
from mconv.proof import search
from mconv.proof.feeds import InputSpec, random_feeds
from mconv.proof.notes import rendered

F, I = DType.FP32, DType.INT64  # noqa: E741
IMAGE = [InputSpec("x", F, (None, 3, None, None))]
WAVE = [InputSpec("wave", F, ("batch", "samples"))]
CHUNK = [InputSpec("input", F, (None, None)), InputSpec("state", F, (2, None, 128)), InputSpec("sr", I, ())]
GRAPH = [InputSpec("x", F, ("nodes", 8)), InputSpec("edge_index", I, (2, "edges"))]
ITEMS = [InputSpec("items", F, ("n", 16)), InputSpec("query", F, ("batch", 16))]
PAGE = [
    InputSpec("input_ids", I, ("batch", "length"), 30),
    InputSpec("bbox", I, ("batch", "length", 4)),
    InputSpec("pixel_values", F, ("batch", 3, "height", "width")),
]
Feed = dict[str, np.ndarray]


def _chunk(f: Feed) -> bool:
    return f["input"].shape[1] == 512 and f["state"].shape[1] == len(f["input"]) and int(f["sr"]) == 16000


def _page(f: Feed) -> bool:
    box = f["bbox"]
    return f["pixel_values"].shape[2:] == (224, 224) and bool((box[..., 2:] >= box[..., :2]).all())


CASES: dict[str, tuple[list[InputSpec], Callable[[Feed], bool]]] = {
    "the usual sizes": (IMAGE, lambda f: True),
    "lines of text": (IMAGE, lambda f: f["x"].shape[2] == 48),
    "images of one size": (IMAGE, lambda f: f["x"].shape[2:] == (384, 384)),
    "multiples of 128": (IMAGE, lambda f: f["x"].shape[2] % 128 == 0 == f["x"].shape[3] % 128),
    "windows of 400 samples": (WAVE, lambda f: f["wave"].shape[1] >= 400),
    "a second of sound": (WAVE, lambda f: f["wave"].shape[1] >= 16000),
    "chunks of 512, a state, a rate": (CHUNK, _chunk),
    "indices of nodes": (GRAPH, lambda f: int(f["edge_index"].max()) < len(f["x"])),
    "the best five of the items": (ITEMS, lambda f: len(f["items"]) >= 5),
    "a page": (PAGE, _page),
    "one at a time": (WAVE, lambda f: len(f["wave"]) == 1),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_model_takes_is_found(name: str) -> None:
    specs, takes = CASES[name]

    def run(sets: list[Feed]) -> int:
        if not all(takes(f) for f in sets):
            raise RuntimeFailedError("wrong size")
        return len(sets)

    sets, answer, _ = search.find(specs, run)
    assert answer == len(sets) == 2 and all(takes(f) for f in sets)
    shapes = [{n: a.shape for n, a in f.items()} for f in sets]
    assert shapes[0] != shapes[1] or name == "one at a time"


def test_two_sizes_before_one() -> None:
    """Where the model takes more than one size, both are run, and nothing is said."""
    specs, takes = CASES["windows of 400 samples"]
    sets, _, _ = search.find(specs, lambda s: None if all(map(takes, s)) else _refuse())
    assert len({f["wave"].shape[1] for f in sets}) == 2 and search.alone(specs, sets) == []
    specs, takes = CASES["images of one size"]
    sets, _, _ = search.find(specs, lambda s: None if all(map(takes, s)) else _refuse())
    found = search.alone(specs, sets)
    assert [str(one) for one in found] == ["x[2] = 384", "x[3] = 384"]
    # what was tried before 384, and nothing of what comes after it
    assert all({64, 96, 224} <= set(one.tried) and not {512, 640} & set(one.tried) for one in found)
    (said,) = rendered(search.one_size(found), "--inputs")
    assert "x[2] = 384 (not at 32, 48, 64, " in said and "nothing is known" in said
    assert said.endswith(": --inputs x.npz gives some")
    assert rendered(search.one_size(found), "--feeds")[0].endswith(": --feeds x.npz gives some")
    assert search.one_size([]) == []


def _refuse(text: str = "no", **attributes: Any) -> None:
    error = RuntimeFailedError(text)
    vars(error).update(attributes)
    raise error


@pytest.mark.long
def test_what_takes_nothing_says_how_much_was_tried() -> None:
    tried: list[Any] = []

    def run(sets: list[Feed]) -> None:
        tried.append(sets)
        _refuse(f"attempt {len(tried)}")

    with pytest.raises(RuntimeFailedError, match=r"attempt 1 \(nor with \d+ other sizes and ranges of random inputs\)"):
        search.find(PAGE, run)
    assert 20 < len(tried) <= 200


@pytest.mark.parametrize("attributes", [{"stage": "load"}, {"timed_out": True}])
def test_what_no_input_helps_is_tried_once(attributes: dict[str, Any]) -> None:
    tried: list[Any] = []

    def run(sets: list[Feed]) -> None:
        tried.append(sets)
        _refuse(**attributes)

    with pytest.raises(RuntimeFailedError, match="^no$"):
        search.find(IMAGE, run)
    assert len(tried) == 1


def test_time_is_bounded() -> None:
    tried: list[Any] = []

    def run(sets: list[Feed]) -> None:
        tried.append(sets)
        _refuse()

    with pytest.raises(RuntimeFailedError):
        search.find(IMAGE, run, seconds=0)
    assert len(tried) == 1


def test_out_of_memory_goes_on_with_less() -> None:
    sizes: list[int] = []

    def run(sets: list[Feed]) -> None:
        sizes.append(max(f["x"].size for f in sets))
        if sizes[-1] > 3 * 3 * 32 * 32:
            _refuse("std::bad_alloc")

    search.find(IMAGE, run)
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] <= 3 * 3 * 32 * 32


def test_latents_are_small() -> None:
    """What has other channels than a picture is a picture scaled down: a network for it is given less."""
    assert [f["x"].shape[2:] for f in random_feeds([InputSpec("x", F, (None, 4, None, None))])] == [(16, 24), (24, 16)]
    assert [f["x"].shape[2:] for f in random_feeds(IMAGE)] == [(64, 96), (96, 64)]


def test_a_size_that_another_input_has_is_tried() -> None:
    """Of two that are added, one is fixed: the other takes that size, and the axis beside it stays one of two sizes."""
    specs = [InputSpec("x", DType.FP32, (-1, 7, 4)), InputSpec("y", DType.FP32, (-1, -1, 4))]
    takes = lambda f: f["x"].shape == f["y"].shape  # noqa: E731
    sets, _, _ = search.find(specs, lambda s: None if all(map(takes, s)) else _refuse())
    assert [f["y"].shape[1] for f in sets] == [7, 7] and len({f["y"].shape[0] for f in sets}) == 2
