"""Models in several runtimes: the same answers, in turns; one that is wrong is not in the ranking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mconv import api
from mconv.bench.latency import FAILED, OK, WRONG, Plan
from mconv.bench.result import Bench
from mconv.errors import (
    MissingDependencyError,
    NotAModelError,
    RuntimeFailedError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from tests.bench.models import linear

HERE = {"runtimes": ["current"], "loops": 6, "rounds": 2, "warmup": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model as ONNX and as Paddle's, beside each other."""
    folder = tmp_path_factory.mktemp("linear")
    linear(folder / "x.onnx")
    api.onnx2paddle(folder / "x.onnx", folder / "paddle", verify=False)
    return folder


def lanes(found: Bench) -> dict[tuple[str, str, str], list[str]]:
    return {(m.model, m.runtime.split()[0], m.how): [s.status for s in m.sizes] for m in found.contenders}


def test_every_runtime_that_can_run_it_is_measured(model: Path) -> None:
    files = [model / "paddle", model / "x.onnx"]
    everywhere = {**HERE, "runtimes": ["current", "onnxruntime", "openvino"]}
    found = api.bench_models(files, shapes=["x[1,4]", "x[5,4]"], **everywhere)
    paddle, onnx = map(str, files)
    assert lanes(found) == {
        (paddle, "Paddle", ""): [OK, OK],
        (paddle, "Paddle", "oneDNN"): [OK, OK],
        (paddle, "OpenVINO", ""): [OK, OK],
        (onnx, "ONNX", ""): [OK, OK],
        (onnx, "OpenVINO", ""): [OK, OK],
    }
    assert found.reference.startswith("ONNX Runtime")
    assert found.input_sets == [{"x": [1, 4]}, {"x": [5, 4]}] and api.judge_bench(found)[1] is None
    for lane in found.contenders:
        assert lane.load_seconds is not None and lane.peak_bytes and lane.bare_bytes
        assert lane.peak_bytes >= lane.bare_bytes > 1e6
        for size in lane.sizes:
            assert size.figures is not None and size.figures.count == 6
            assert 0 < size.figures.least <= size.figures.p50 <= size.figures.p99 <= size.figures.most
            assert size.per_second == pytest.approx(1e3 / size.figures.mean)
            assert size.cpu_ms is not None and size.cpu_ms >= 0 and size.max_abs is not None and size.max_abs < 1e-4
    for index in range(2):
        assert min(lane.sizes[index].relative or 0 for lane in found.contenders) == 1


@pytest.mark.parametrize(
    "named, paddle, onnx",
    [
        (["current"], {"Paddle"}, {"ONNX", "OpenVINO"}),  # no Paddle runs an ONNX file: it is measured as ever
        (["openvino"], {"OpenVINO"}, {"OpenVINO"}),
        (["current", "onnxruntime"], {"Paddle"}, {"ONNX"}),
        (["onnxruntime"], set(), {"ONNX"}),
    ],
)
def test_only_what_is_named_is_measured(model: Path, named: list[str], paddle: set[str], onnx: set[str]) -> None:
    files = [model / "paddle", model / "x.onnx"]
    found = api.bench_models(files, **{**HERE, "runtimes": named})
    measured = {str(file): {runtime for name, runtime, _ in lanes(found) if name == str(file)} for file in files}
    assert measured == {str(files[0]): paddle, str(files[1]): onnx}
    missed = [note for note in found.notes if "not measured" in note]
    assert missed == ([] if paddle else [f"{files[0]}: not measured, none of onnxruntime runs it"])


def test_what_is_named_and_cannot_be_had_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeFailedError, match="none of onnxruntime runs .*paddle$"):
        api.bench_models([model / "paddle"], **{**HERE, "runtimes": ["onnxruntime"]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="OpenVINO is not installed"):
        api.bench_models([model / "paddle"], **{**HERE, "runtimes": ["openvino"]})


def test_a_wrong_answer_is_no_result(model: Path, tmp_path: Path) -> None:
    wrong = linear(tmp_path / "wrong.onnx", weight=1.01)
    found = api.bench_models([model / "x.onnx", wrong], engines=["onnxruntime"], **HERE)
    right, bad = found.contenders
    assert right.sizes[0].status == OK and right.sizes[0].relative == 1
    assert bad.sizes[0].status == WRONG and bad.sizes[0].relative is None and "differ" in bad.sizes[0].reason
    failure = api.judge_bench(found)[1]
    assert isinstance(failure, VerificationError) and "wrong.onnx: a wrong answer" in failure.message


def test_inputs_and_outputs_are_matched_by_position_where_names_differ(model: Path, tmp_path: Path) -> None:
    other = linear(tmp_path / "other.onnx", input_name="pixels")
    found = api.bench_models([model / "x.onnx", other], engines=["onnxruntime"], **HERE)
    assert [m.sizes[0].status for m in found.contenders] == [OK, OK]


def test_inputs_of_a_file_are_what_is_measured(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.ones((7, 4), np.float32))
    found = api.bench_models([model / "x.onnx"], feeds=tmp_path / "x.npz", engines=["onnxruntime"], **HERE)
    assert found.input_sets == [{"x": [7, 4]}] and found.contenders[0].sizes[0].status == OK


def test_a_runtime_that_cannot_run_it_is_a_row_with_the_reason(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "inference.pdmodel").write_bytes((model / "paddle" / "inference.pdmodel").read_bytes())
    (broken / "inference.pdiparams").write_bytes(b"no parameters")
    found = api.bench_models([model / "x.onnx", broken], engines=["onnxruntime"], **HERE)
    assert [m.sizes[0].status for m in found.contenders] == [OK, FAILED, FAILED]
    assert all("cannot load" in m.sizes[0].reason for m in found.contenders if m.failed)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (["x[1,4,4]"], "2 dimensions, not 3"),
        (["z[1,4]"], "no input 'z'"),
        (["x 1,4"], "--shape 'x 1,4': not the name of an input"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(model: Path, shapes: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        api.bench_models([model / "x.onnx"], shapes=shapes, **HERE)


def test_sizes_that_the_model_does_not_take_say_what_to_give(model: Path) -> None:
    with pytest.raises(RuntimeFailedError, match="nothing to compare with") as caught:
        api.bench_models([model / "x.onnx"], shapes=["x[1,7]"], **HERE)
    assert "--shape" in (caught.value.hint or "")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("no model")
    with pytest.raises((NotAModelError, UnsupportedError)):
        api.bench_models([tmp_path / "x.txt"], **HERE)
    with pytest.raises(UsageError, match="--loops 0: at least 1"):
        api.bench_models([tmp_path / "x.txt"], loops=0)


@pytest.mark.parametrize(("loops", "rounds", "turns"), [(50, 5, [10] * 5), (7, 3, [3, 2, 2]), (2, 5, [1, 1])])
def test_all_runs_are_done_in_turns(loops: int, rounds: int, turns: list[int]) -> None:
    assert Plan(loops=loops, rounds=rounds).turns() == turns


@pytest.mark.runtime
@pytest.mark.long
def test_the_managed_paddle_is_measured_with_and_without_onednn_and_its_passes(model: Path) -> None:
    found = api.bench_models(
        [model / "paddle"], runtimes=["paddle-2.3.2", "paddle-2.6.2"], engines=[], loops=4, rounds=2, warmup=1
    )
    assert [(m.runtime, m.how, m.sizes[0].status) for m in found.contenders] == [
        ("Paddle 2.3.2", "", OK),
        ("Paddle 2.3.2", "oneDNN", OK),
        ("Paddle 2.3.2", "oneDNN + fc passes", OK),
        ("Paddle 2.6.2", "", OK),
        ("Paddle 2.6.2", "oneDNN", OK),
    ]
    assert found.reference == "Paddle 2.3.2"


def test_a_model_in_half_precision_is_said_to_be_one_for_gpus(model: Path, tmp_path: Path) -> None:
    api.half(model / "paddle", tmp_path / "half", verify=False)
    found = api.bench_models([model / "x.onnx", tmp_path / "half"], **HERE)
    assert [note for note in found.notes if "kernels on GPUs alone" in note and str(tmp_path / "half") in note]
    with pytest.raises(RuntimeFailedError) as raised:
        api.bench_models([tmp_path / "half"], **HERE)
    assert "kernels on GPUs alone" in (raised.value.hint or "")
