"""Workers: models run in another process, in every Paddle, and its crashes are results."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from mconv import api
from mconv.emit.shape import expand_to
from mconv.errors import UnsupportedError, UsageError
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.files import locate, write_model
from mconv.program.program import Program
from mconv.program.targets import PADDLE_2_3
from mconv.runtimes import Worker, WorkerError
from mconv.runtimes.outcome import last_words
from mconv.runtimes.selfcheck import expected, write_check_model
from mconv.runtimes.worker_process import SCRIPT
from tests.golden import CASES, Case, case
from tests.managed import require, save_model
from tests.onnx.checks import graph_model
from tests.paddle.fixtures import unpack
from tests.runtimes.models import identity

Workers = Callable[[str], Worker]
RUNTIMES = ["current", "paddle-2.3.2", "paddle-2.6.2", "paddle-1.8.5"]
PAIRS = [(r, c) for r in RUNTIMES for c in CASES if r != "paddle-1.8.5" or c.version == "1.8.5"]


@pytest.mark.runtime
@pytest.mark.parametrize(("runtime", "golden"), PAIRS, ids=str)
def test_golden_models_give_their_outputs(workers: Workers, runtime: str, golden: Case) -> None:
    files = locate(golden.model)
    result = workers(runtime).run(files.program, files.params, golden.inputs)
    assert runtime in ("current", f"paddle-{result.version}")
    assert result.engine == "predictor"
    assert len(result.outputs) == 1
    for got, wanted in zip(result.outputs[0], golden.outputs, strict=True):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


@pytest.mark.runtime
def test_an_older_paddle_names_the_operator_it_lacks(workers: Workers) -> None:
    files = locate(case("2.3.2-mlp").model)
    with pytest.raises(WorkerError, match="matmul_v2 has not been registered") as caught:
        workers("paddle-1.8.5").run(files.program, files.params, case("2.3.2-mlp").inputs)
    assert (caught.value.stage, caught.value.signal) == ("load", None)


@pytest.mark.parametrize("engine", ["predictor", "executor"])
def test_several_shapes_with_one_loading(workers: Workers, tmp_path: Path, engine: str) -> None:
    program, params = write_check_model(tmp_path)
    worker = workers("current")
    sets = [{"x": np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)} for rows in (1, 2, 5)]
    first = worker.run(program, params, sets, engine=engine)
    for feed, (got,) in zip(sets, first.outputs, strict=True):
        np.testing.assert_allclose(got, expected(feed["x"]), atol=1e-6)
    started = worker.starts
    again = worker.run(program, params, sets[0], engine=engine)
    assert worker.starts == started
    assert first.load_seconds > 0 and again.load_seconds == 0
    np.testing.assert_array_equal(again.outputs[0][0], first.outputs[0][0])


def test_a_changed_file_is_loaded_again(workers: Workers, tmp_path: Path) -> None:
    program, params = write_check_model(tmp_path)
    x = {"x": np.ones((1, 4), np.float32)}
    before = workers("current").run(program, params, x).outputs[0][0]
    params.write_bytes(params.read_bytes()[:-48] + bytes(48))
    after = workers("current").run(program, params, x).outputs[0][0]
    assert not np.array_equal(before, after)


@pytest.mark.runtime
@pytest.mark.parametrize("shape", [(2, 3), ()], ids=["matrix", "scalar"])
@pytest.mark.parametrize("dtype", list(DType), ids=lambda d: d.label)
@pytest.mark.parametrize("runtime", ["current", "paddle-2.6.2", "paddle-2.3.2"])
def test_every_type_arrives_and_returns_unchanged(
    workers: Workers, tmp_path: Path, runtime: str, dtype: DType, shape: tuple[int, ...]
) -> None:
    program, params = identity(tmp_path, dtype, shape)
    x = (np.arange(np.prod(shape, dtype=int)) + 1).reshape(shape).astype(dtype.numpy)
    result = workers(runtime).run(program, params, {"x": x}, ir_optim=False)
    assert result.dtypes == [[dtype.label]]
    np.testing.assert_array_equal(result.outputs[0][0], x, strict=True)


def test_the_predictor_says_what_it_cannot_carry(workers: Workers, tmp_path: Path) -> None:
    program, params = identity(tmp_path, DType.INT16, (2,))
    with pytest.raises(WorkerError, match="input x: the Predictor of Paddle .* takes no int16"):
        workers("current").run(program, params, {"x": np.ones(2, np.int16)}, engine="predictor")


@pytest.mark.runtime
@pytest.mark.parametrize("engine", ["predictor", "executor"])
@pytest.mark.parametrize("runtime", ["paddle-2.6.2", "paddle-2.3.2", "paddle-1.8.5"])
def test_paddle_before_3_is_not_crashed_by_json(workers: Workers, tmp_path: Path, runtime: str, engine: str) -> None:
    program = unpack("3.3", "LeNet", tmp_path)
    with pytest.raises(WorkerError, match="does not know .json, the format of Paddle 3; `mconv downgrade`"):
        workers(runtime).run(program, program.with_suffix(".pdiparams"), {}, engine=engine)


def test_internal_variables_can_be_fetched(workers: Workers, tmp_path: Path) -> None:
    program, params = write_check_model(tmp_path)
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    result = workers("current").run(program, params, {"x": x}, fetch=["sum", "product"], ir_optim=False)
    assert result.names == ["y", "sum", "product"]
    y, total, product = result.outputs[0]
    np.testing.assert_array_equal(np.maximum(total, 0), y)
    assert not np.array_equal(product, total)


def test_internal_variables_with_separate_parameters(workers: Workers) -> None:
    golden = case("1.8.5-mlp_separate")
    files = locate(golden.model)
    program = Program.from_bytes(files.program.read_bytes())
    hidden = next(op for op in program.main.ops if op.type == "relu").output("Out")[0]
    result = workers("current").run(files.program, None, golden.inputs, fetch=[hidden])
    np.testing.assert_allclose(result.outputs[0][0], golden.outputs[0], atol=1e-6)
    assert result.names[1] == hidden and (result.outputs[0][1] >= 0).all()


@pytest.mark.runtime
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_internal_variables_by_the_executor(workers: Workers, runtime: str) -> None:
    """The program that fetches them lies elsewhere than the parameters."""
    golden = case("1.8.5-mlp_custom" if runtime == "paddle-1.8.5" else "2.3.2-mlp")
    files = locate(golden.model)
    program = Program.from_bytes(files.program.read_bytes())
    hidden = next(op for op in program.main.ops if op.type == "relu").output("Out")[0]
    result = workers(runtime).run(files.program, files.params, golden.inputs, engine="executor", fetch=[hidden])
    assert result.engine == "executor" and result.names[1] == hidden
    np.testing.assert_allclose(result.outputs[0][0], golden.outputs[0], atol=1e-6)


@pytest.mark.runtime
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_executor_combines_separate_parameters(workers: Workers, runtime: str) -> None:
    golden = case("1.8.5-bert_separate")
    files = locate(golden.model)
    result = workers(runtime).run(files.program, None, golden.inputs, engine="executor")
    assert result.engine == "executor"
    np.testing.assert_allclose(result.outputs[0][0], golden.outputs[0], atol=1e-6)


@pytest.mark.parametrize("engine", ["predictor", "executor"])
def test_a_pir_model_runs(workers: Workers, tmp_path: Path, engine: str) -> None:
    prefix = save_model("current", "mlp", tmp_path)
    program, params = prefix.with_suffix(".json"), prefix.with_suffix(".pdiparams")
    x = np.ones((3, 8), np.float32)
    result = workers("current").run(program, params, {"x": x}, engine=engine)
    assert result.outputs[0][0].shape == (3, 4)
    assert result.names == ["fetch_name_0"]
    with pytest.raises(UnsupportedError, match="cannot be fetched"):
        workers("current").run(program, params, {"x": x}, fetch=["relu_0.tmp_0"])


@pytest.mark.parametrize("engine", ["predictor", "executor"])
def test_a_pir_model_without_parameters_runs(workers: Workers, tmp_path: Path, engine: str) -> None:
    program = save_model("current", "scale", tmp_path).with_suffix(".json")
    assert locate(program).params is None
    result = workers("current").run(program, None, {"x": np.full((2, 3), 255, np.uint8)}, engine=engine)
    np.testing.assert_allclose(result.outputs[0][0], np.full((2, 3), 0.5), atol=1e-6)


@pytest.mark.runtime
def test_a_crash_is_a_result_and_the_next_request_works(workers: Workers, tmp_path: Path) -> None:
    prefix = save_model("paddle-2.6.2", "bert", tmp_path)
    program, params = prefix.with_suffix(".pdmodel"), prefix.with_suffix(".pdiparams")
    ids = np.ones((2, 5), np.int64)
    feed = {"input_ids": ids, "token_type_ids": 0 * ids, "attention_mask": ids}
    assert workers("paddle-2.6.2").run(program, params, feed).outputs[0][0].shape == (2, 3)
    worker = workers("paddle-2.3.2")
    with pytest.raises(WorkerError, match="SIGSEGV.*model.pdmodel") as caught:
        worker.run(program, params, feed)
    assert (caught.value.signal, caught.value.stage, caught.value.timed_out) == ("SIGSEGV", "run", False)
    starts = worker.starts
    golden = case("2.3.2-mlp")
    files = locate(golden.model)
    result = worker.run(files.program, files.params, golden.inputs)
    np.testing.assert_allclose(result.outputs[0][0], golden.outputs[0], atol=1e-6)
    assert worker.starts == starts + 1


def test_a_timeout_ends_the_process(tmp_path: Path) -> None:
    program, params = write_check_model(tmp_path)
    with require("current").worker() as worker:
        with pytest.raises(WorkerError, match=r"within 0\.2 s") as caught:
            worker.run(program, params, {"x": np.ones((1, 4), np.float32)}, timeout=0.2)
        assert caught.value.timed_out and caught.value.hint
        assert worker.run(program, params, {"x": np.ones((1, 4), np.float32)}).outputs[0][0].shape == (1, 3)
        assert worker.starts == 2


def test_a_process_killed_from_outside_is_reported(tmp_path: Path) -> None:
    program, params = write_check_model(tmp_path)
    with require("current").worker() as worker:

        def kill() -> None:
            while worker._process is None:
                time.sleep(0.01)
            time.sleep(0.2)  # it is importing paddle now
            os.kill(worker._process.pid, signal.SIGKILL)

        threading.Thread(target=kill).start()
        with pytest.raises(WorkerError, match="SIGKILL") as caught:
            worker.run(program, params, {"x": np.ones((1, 4), np.float32)})
        assert caught.value.signal == "SIGKILL" and "most likely it ran out of memory" in caught.value.message
        assert "--input" in (caught.value.hint or "")


@pytest.mark.runtime
@pytest.mark.parametrize("runtime", RUNTIMES[:3])
def test_out_of_memory_is_said_as_that(workers: Workers, tmp_path: Path, runtime: str) -> None:
    """An operator that asks for 480 GB: no crash, no killed neighbours, one line that says what to do."""
    b = Builder(PADDLE_2_3)
    b.fetch(b.op("reduce_sum", X=expand_to(b, b.feed("x", DType.FP32, (1, 1)), (60000, 2000000)), dim=[1]), "y")
    program, _ = b.finish()
    path, params = write_model(program, [], tmp_path)
    with pytest.raises(WorkerError, match="ran out of memory on .*inference.pdmodel") as caught:
        workers(runtime).run(path, params, {"x": np.ones((1, 1), np.float32)})
    assert "--input" in (caught.value.hint or "") and caught.value.signal is None


def test_a_worker_may_have_what_is_free() -> None:
    """What it has no memory for fails in it, instead of ending some process of the machine."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import worker_frames, resource, numpy\n"
        "worker_frames.bound_memory(); most = resource.getrlimit(resource.RLIMIT_DATA)[0]\n"
        "print(most)\n"
        "try: numpy.empty(max(most, 1), 'u1')\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    most, told = done.stdout.split()
    assert told == "refused" and int(most) > 1 << 30, done.stderr


def test_closing_ends_the_process_and_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    golden = case("1.8.5-mlp_separate")
    with require("current").worker() as worker:
        worker.run(locate(golden.model).program, None, golden.inputs, engine="executor")  # makes files of its own
        assert list(tmp_path.iterdir())
        assert worker._process is not None
        pid = worker._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        ({"z": np.ones((1, 4), np.float32)}, "the model's inputs are x; missing: x; not among them: z"),
        ({}, "missing: x"),
        ({"x": np.ones((1, 7), np.float32)}, "InvalidArgument.*7"),
    ],
    ids=["unknown", "missing", "shape"],
)
def test_a_wrong_input_is_an_error_of_the_run(workers: Workers, tmp_path: Path, feed: dict, message: str) -> None:
    program, params = write_check_model(tmp_path)
    with pytest.raises(WorkerError, match=message) as caught:
        workers("current").run(program, params, feed)
    assert caught.value.stage == "run"
    assert "\n" not in caught.value.message


def test_what_cannot_be_asked_for_is_a_usage_error(workers: Workers, tmp_path: Path) -> None:
    program, params = write_check_model(tmp_path)
    with pytest.raises(UsageError, match="no variable nowhere"):
        workers("current").run(program, params, {"x": np.ones((1, 4), np.float32)}, fetch=["sum", "nowhere"])
    with pytest.raises(UsageError, match="no input set"):
        workers("current").run(program, params, [])
    with pytest.raises(UsageError, match="no such file"):
        workers("current").run(tmp_path / "gone.pdmodel", params, {})


def test_a_damaged_program_is_an_error_of_the_loading(workers: Workers, tmp_path: Path) -> None:
    program, params = write_check_model(tmp_path)
    damaged = Program.from_bytes(program.read_bytes())
    damaged.main.ops[3].type = "no_such_operator"
    program.write_bytes(damaged.to_bytes())
    with pytest.raises(WorkerError, match="no_such_operator") as caught:
        workers("current").run(program, params, {"x": np.ones((1, 4), np.float32)})
    assert caught.value.stage == "load"


CRASH = """\
--------------------------------------
C++ Traceback (most recent call last):
--------------------------------------
0   paddle_infer::CreatePredictor(paddle::AnalysisConfig const&)
1   phi::UnsqueezeInferMeta(phi::MetaTensor const&, phi::MetaTensor*)

----------------------
Error Message Summary:
----------------------
FatalError: `Segmentation fault` is detected by the operating system.
  [TimeInfo: *** Aborted at 1 (unix time) try "date -d @1" if you are using GNU date ***]
  [SignalInfo: *** SIGSEGV (@0x0) received by PID 1 (TID 0x1) from PID 0 ***]
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (CRASH, "FatalError: `Segmentation fault` is detected by the operating system. (in phi::UnsqueezeInferMeta)"),
        (
            "ValueError: (InvalidArgument) bad dims.\n  [Hint: a != b.] (at /x/y.h:3)\n  [operator < fc > error]\n",
            "ValueError: (InvalidArgument) bad dims. (operator fc)",
        ),
        (
            "W0101 something\n----------------------\nError Message Summary:\n----------------------\n"
            "NotFoundError: no file. (at /a/b.cc:12)\n",
            "NotFoundError: no file.",
        ),
        ("first\nterminate called after throwing\n\n", "terminate called after throwing"),
        ("", ""),
    ],
    ids=["signal", "exception", "summary", "other", "nothing"],
)
def test_the_line_that_says_what_went_wrong(log: str, words: str) -> None:
    assert last_words(log) == words


@pytest.mark.runtime
def test_operators_that_onednn_leaves_alone(tmp_path: Path) -> None:
    """Paddle's own kernel computes them."""
    weight = np.random.default_rng(1).random((3, 4, 2, 2), dtype=np.float32)
    feed = {"x": np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)}
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    onnx.save(graph_model([node], {"x": [feed["x"]]}, ["y"], constants={"w": weight}), tmp_path / "m.onnx")
    api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "model", verify=False)
    files = locate(tmp_path / "model")
    with require("paddle-2.3.2").worker() as worker:
        runs = [
            worker.run(files.program, files.params, feed, onednn=True, onednn_except=left).outputs[0][0]
            for left in ((), ("conv2d_transpose",))
        ]
        plain = worker.run(files.program, files.params, feed, onednn=False).outputs[0][0]
    np.testing.assert_allclose(runs[0], plain, rtol=1e-5)
    np.testing.assert_array_equal(runs[1], plain)  # the same kernel
    assert runs[0].shape == (1, 4, 16, 16)
