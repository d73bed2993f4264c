"""Made-up inputs are sensible and repeatable; given ones are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.errors import LimitError, UnsupportedError, UsageError
from mconv.program.dtypes import DType
from mconv.program.files import load_program, locate
from mconv.proof.feeds import InputSpec, load_feeds, random_feeds, specs_of
from tests.golden import Case, case

IDS = InputSpec("input_ids", DType.INT64, ("batch", "seq"), limit=50)
BERT = [
    IDS,
    InputSpec("token_type_ids", DType.INT64, ("batch", "seq"), limit=2),
    InputSpec("attention_mask", DType.INT64, ("batch", "seq")),
    InputSpec("position_ids", DType.INT64, ("batch", "seq"), limit=32),
]


def test_bert() -> None:
    first, second = random_feeds(BERT)
    assert {a.shape for a in first.values()} == {(2, 12)} and {a.shape for a in second.values()} == {(3, 19)}
    for feed in (first, second):
        assert all(a.dtype == np.int64 for a in feed.values())
        assert 0 <= feed["input_ids"].min() < feed["input_ids"].max() < 50
        assert set(np.unique(feed["token_type_ids"])) == {0, 1}
        np.testing.assert_array_equal(feed["position_ids"][0], np.arange(feed["position_ids"].shape[1]))
    assert (first["attention_mask"] == 1).all()
    assert set(np.unique(second["attention_mask"])) == {0, 1} and (second["attention_mask"][:, 0] == 1).all()


def test_the_same_seed_gives_the_same_values() -> None:
    specs = [*BERT, InputSpec("x", DType.FP32, (-1, 8))]
    for a, b in zip(random_feeds(specs, seed=3), random_feeds(specs, seed=3)):
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    other = random_feeds(specs, seed=4)[0]
    assert not np.array_equal(other["x"], random_feeds(specs, seed=3)[0]["x"])


@pytest.mark.parametrize("dtype", list(DType), ids=lambda d: d.label)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (-1, None)], ids=str)
def test_every_type_and_rank(dtype: DType, shape: tuple) -> None:
    for feed in random_feeds([InputSpec("value", dtype, shape)]):
        assert feed["value"].dtype == dtype.numpy and feed["value"].ndim == len(shape)
    assert len(random_feeds([InputSpec("value", dtype, shape)])) == (2 if None in shape else 1)


def test_bfloat16_is_rounded_to_its_bits() -> None:
    (bits,) = (f["x"] for f in random_feeds([InputSpec("x", DType.BF16, (64,))]))
    (exact,) = (f["x"] for f in random_feeds([InputSpec("x", DType.FP32, (64,))]))
    np.testing.assert_allclose((bits.astype(np.uint32) << 16).view(np.float32), exact, rtol=2**-8)


def test_images_are_multiples_of_32_and_not_square() -> None:
    shapes = [f["image"].shape for f in random_feeds([InputSpec("image", DType.FP32, (-1, 3, -1, -1))])]
    assert shapes == [(2, 3, 64, 96), (3, 3, 96, 64)]  # a height taken for a width shows


def test_equal_names_are_equal_dimensions() -> None:
    specs = [InputSpec("a", DType.FP32, ("n", 4, "w")), InputSpec("b", DType.FP32, ("w", "n"))]
    for feed in random_feeds(specs):
        n, _, w = feed["a"].shape
        assert feed["b"].shape == (w, n)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("2.3.2-bert", {"input_ids": 50, "token_type_ids": 2, "attention_mask": None}),
        ("1.8.5-bert_separate", {"input_ids": 50, "position_ids": 32, "token_type_ids": 2}),
        ("2.3.2-mlp", {"x": None}),
    ],
)
def test_the_tables_an_input_indexes_are_found(text: str, limits: dict) -> None:
    specs = specs_of(load_program(locate(case(text).model)))
    assert {s.name: s.limit for s in specs} == limits


def test_golden_inputs_are_read_as_they_are(golden: Case) -> None:
    specs = specs_of(load_program(locate(golden.model)))
    (feed,) = load_feeds(golden.folder / "io.npz", specs)
    assert list(feed) == [s.name for s in specs]
    for name, array in golden.inputs.items():
        np.testing.assert_array_equal(feed[name], array, strict=True)


def test_several_sets_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    arrays = {f"{i}/input_ids": np.full((1, i + 1), i, np.int32) for i in range(11)}
    np.savez(path, **arrays)
    sets = load_feeds(path, [IDS])
    assert [s["input_ids"].shape[1] for s in sets] == list(range(1, 12))
    assert sets[0]["input_ids"].dtype == np.int64


X = InputSpec("x", DType.FP32, (-1, 8))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no inputs"),
        ({"z": np.ones((1, 8), np.float32)}, "misses the input x"),
        ({"x": np.ones((1, 8), np.float32), "z": np.ones(1)}, "no input: z"),
        ({"x": np.ones((1, 7), np.float32)}, r"has shape \[1, 7\], the model takes \[\?, 8\]"),
        ({"x": np.ones(8, np.float32)}, "has shape"),
        ({"x": np.ones((1, 8), bool)}, "is bool, the model takes float32"),
        ({"x": np.ones((1, 8), np.complex64)}, "is complex64"),
    ],
    ids=["nothing", "missing", "unknown", "dim", "rank", "bool", "complex"],
)
def test_wrong_files_are_usage_errors(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UsageError, match=message):
        load_feeds(tmp_path / "x.npz", [X])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"], ids=["empty", "zip", "text"])
def test_what_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UsageError, match="not a readable .npz"):
        load_feeds(tmp_path / "x.npz", [X])
    with pytest.raises(UsageError, match="no such file"):
        load_feeds(tmp_path / "gone.npz", [X])


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match="not a readable .npz"):
        load_feeds(tmp_path / "x.npz", [X])


def test_n_counts_samples_in_the_first_place_and_points_elsewhere() -> None:
    images, points = (InputSpec(name, DType.FP32, shape) for name, shape in (("x", ("N", 3)), ("p", ("batch", "n", 3))))
    assert [f["x"].shape for f in random_feeds([images])] == [(2, 3), (3, 3)]
    assert [f["p"].shape for f in random_feeds([points])] == [(2, 12, 3), (3, 19, 3)]


@pytest.mark.parametrize("shape", [(10**9, 10**9, 10**9), (10**12,), (1 << 30,), tuple("abcdefghijklmnopqrstuvwxyz")])
def test_inputs_beyond_what_a_run_may_hold_are_refused_before_memory_is_taken(shape: tuple[Any, ...]) -> None:
    with pytest.raises(LimitError, match="input x of shape .* takes more than"):
        random_feeds([InputSpec("x", DType.FP32, shape)])


def test_inputs_of_more_dimensions_than_arrays_have_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="input x has 70 dimensions"):
        random_feeds([InputSpec("x", DType.FP32, (1,) * 70)])
