"""What is chosen as the largest magnitude, against the distributions' own properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mconv.errors import UsageError
from mconv.program.dtypes import DType
from mconv.proof import calibration, labelled
from mconv.proof.calibration import METHODS, Histogram
from mconv.proof.feeds import InputSpec
from mconv.proof.labelled import Labelled

RANDOM = np.random.default_rng(4)


def histogram(*arrays: np.ndarray) -> Histogram:
    found = Histogram()
    for array in arrays:
        found.add(array.astype(np.float32))
    return found


def error(array: np.ndarray, limit: float) -> float:
    step = limit / 127
    return float(((array - np.clip(np.rint(array / step), -127, 127) * step) ** 2).mean())


NORMAL = RANDOM.normal(size=50000)
OUTLIER = np.concatenate([NORMAL, [40.0, -60.0]])


def test_the_width_grows_with_what_comes() -> None:
    at_once, grown = histogram(OUTLIER), histogram(NORMAL / 16, NORMAL, OUTLIER)
    assert at_once.counts.sum() == len(OUTLIER) and grown.counts.sum() == 2 * len(NORMAL) + len(OUTLIER)
    assert at_once.largest == grown.largest == 60.0
    assert grown.top >= 60.0 and grown.counts.nonzero()[0].max() < calibration.BINS


@pytest.mark.parametrize("method", METHODS)
def test_even_numbers_are_not_cut_off(method: str) -> None:
    uniform = RANDOM.uniform(-3, 3, 50000)
    assert METHODS[method](histogram(uniform)) == pytest.approx(3.0, rel=0.02)


def test_outliers() -> None:
    found = histogram(OUTLIER)
    assert calibration.largest(found) == 60.0
    for method in ("percentile", "kl"):
        assert 2.5 < METHODS[method](found) < 12.0
    limits = np.linspace(1, 60, 200)
    best = min(error(OUTLIER, limit) for limit in limits)
    assert error(OUTLIER, calibration.mean_squared_error(found)) <= 1.1 * best
    assert calibration.percentile(found, 50.0) == pytest.approx(
        0.6745, abs=0.05
    )  # of a normal distribution's magnitude
    assert calibration.percentile(found, 100.0) == 60.0


@pytest.mark.parametrize("method", METHODS)
def test_zeros_of_a_relu_do_not_count(method: str) -> None:
    positive = np.abs(NORMAL)
    assert METHODS[method](histogram(np.concatenate([positive, np.zeros(200000)]))) == pytest.approx(
        METHODS[method](histogram(positive)), rel=0.25
    )


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_zeros_and_what_is_no_number(method: str) -> None:
    assert METHODS[method](histogram(np.zeros(10))) == 0.0
    assert METHODS[method](histogram(np.array([np.nan, np.inf, 1.0]))) == pytest.approx(1.0, rel=0.01)


# data -----------------------------------------------------------------------------------------------------------------

SPECS = [InputSpec("x", DType.FP32, (-1, 2)), InputSpec("y", DType.INT64, (-1,))]


def arrays(rows: int) -> dict[str, np.ndarray]:
    return {
        "x": np.arange(rows * 2, dtype=np.float32).reshape(rows, 2),
        "y": np.arange(rows),
        "is": np.arange(rows) % 3,
    }


def test_many_rows_are_several_runs_and_a_quarter_is_held_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **arrays(150))
    sets = labelled.load(tmp_path / "x.npz", SPECS, "is")
    assert [s.rows for s in sets] == [32, 32, 32, 32, 22]
    kept, back = labelled.held_back(sets, SPECS)
    assert sum(s.rows for s in kept) == 118 and [s.rows for s in back] == [32]
    assert np.array_equal(back[0].labels, np.arange(96, 128) % 3)  # type: ignore[arg-type]


def test_a_folder_and_few_rows(tmp_path: Path) -> None:
    for i, rows in enumerate((8, 5)):
        np.savez(tmp_path / f"{i}.npz", **arrays(rows))
    kept, back = labelled.held_back(labelled.load(tmp_path, SPECS, "is"), SPECS)
    assert [(s.rows, len(s.labels)) for s in (*kept, *back)] == [(6, 6), (4, 4), (2, 2), (1, 1)]  # type: ignore[arg-type]
    one = [Labelled({"x": np.zeros((1, 2), np.float32), "y": np.zeros(1, np.int64)})]
    assert labelled.held_back(one, SPECS) == (one, [])


def test_sizes_that_are_fixed_are_not_parted(tmp_path: Path) -> None:
    specs = [InputSpec("x", DType.FP32, (50, 2))]
    np.savez(tmp_path / "x.npz", x=arrays(50)["x"])
    assert [s.rows for s in labelled.load(tmp_path / "x.npz", specs)] == [50]


def test_accuracy() -> None:
    scores = [np.array([[0, 1, 2], [5, 1, 2]], np.float32), np.array([[0, 3, 2]], np.float32)]
    sets = [Labelled({}, np.array([2, 1])), Labelled({}, np.array([[1]]))]
    assert labelled.accuracy(scores, sets) == 2 / 3
    assert labelled.accuracy(scores, [Labelled({}), Labelled({})]) is None
    with pytest.raises(UsageError, match="--labels"):
        labelled.accuracy(scores, [Labelled({}, np.arange(5)), sets[1]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"is": None}, "holds no labels called 'is'"),
        ({"is": np.ones(4, np.float32)}, "are float32, not numbers of classes"),
        ({"x": None}, "misses the input x"),
        ({"more": np.ones(4)}, "arrays that are no input: more"),
    ],
)
def test_data_that_do_not_fit(change: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    held = {k: v for k, v in {**arrays(4), **change}.items() if v is not None}
    np.savez(tmp_path / "x.npz", **held)
    with pytest.raises(UsageError, match=said):
        labelled.load(tmp_path / "x.npz", SPECS, "is")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.npz"):
        labelled.load(tmp_path, SPECS)
