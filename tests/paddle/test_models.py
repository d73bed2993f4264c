"""Models that Paddle 3.0 to 3.3 saved: converted without Paddle, and run by the releases they are for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv import api
from mconv.api import downgrade, serve_check
from mconv.paddle.load import load
from mconv.program import targets
from mconv.program.program import Program
from mconv.program.targets import PADDLE_2_6
from mconv.runtimes import Worker
from tests.managed import require
from tests.paddle import compare, fixtures

ZOO = Path(__file__).parent / "zoo.py"
COMMON = ZOO.with_name("common.py")
RUNTIMES = ("paddle-2.3.2", "paddle-2.6.2", "current")


def _operators(program: Program) -> Counter[str]:
    return Counter(op.type for _, op in program.ops())


@pytest.mark.parametrize("target", ["2.3", "2.6", "3"])
@pytest.mark.parametrize("name", fixtures.MODELS)
def test_all_writers_agree(name: str, target: str, tmp_path: Path) -> None:
    """The same model, saved by 3.0, 3.1, 3.2 and 3.3, becomes the same operators."""
    made = {}
    for version in fixtures.VERSIONS:
        loaded = load(fixtures.unpack(version, name, tmp_path / version), target=targets.get(target))
        assert loaded.writer == version
        made[version] = _operators(loaded.program)
    assert len({tuple(sorted(m.items())) for m in made.values()}) == 1, made


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", fixtures.MODELS)
def test_same_numbers(name: str, runtime: str, tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    """Equal to the .json in Paddle 3, at two sizes of batch and length."""
    source = fixtures.unpack("3.3", name, tmp_path)
    feeds = fixtures.feeds(name)
    # without oneDNN: with it, 3.3.1 crashes on its own .json of the U-Net (conv and leaky_relu)
    want = workers("current").run(source, source.with_suffix(".pdiparams"), feeds, onednn=False)
    made = downgrade(source, tmp_path / "out")
    got = workers(runtime).run(made.program, made.params, feeds)
    for left, right in zip(want.outputs, got.outputs):
        assert len(left) == len(right)
        for w, g in zip(left, right):
            assert compare.close(w, g) is None


def test_without_paddle(tmp_path: Path) -> None:
    """Converting imports neither Paddle nor another framework."""
    source = fixtures.unpack("3.3", "bert", tmp_path)
    code = (
        "import sys; from mconv import api; api.downgrade(sys.argv[1], sys.argv[2]); "
        "found = {'paddle', 'torch', 'onnx', 'onnxruntime'} & set(sys.modules); sys.exit(', '.join(found) or 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(source), str(tmp_path / "out")], check=True)


def test_attributes_instead_of_tensors(tmp_path: Path) -> None:
    """No reshape takes its shape from a tensor: under oneDNN that would be wrong (batch and length are open)."""
    for name in ("bert", "gpt", "crnn"):
        program = load(fixtures.unpack("3.3", name, tmp_path)).program
        shapes = [
            op for _, op in program.ops() if op.type == "reshape2" and (op.input("Shape") or op.input("ShapeTensor"))
        ]
        assert shapes == []


def test_parameters_stay_one_file(tmp_path: Path) -> None:
    source = fixtures.unpack("3.3", "unet", tmp_path)
    made = downgrade(source, tmp_path / "out", link=True)
    assert made.linked
    assert made.params.samefile(source.with_suffix(".pdiparams"))
    copied = downgrade(source, tmp_path / "copy")
    assert copied.params.read_bytes() == source.with_suffix(".pdiparams").read_bytes()


def test_batch_norm_writes_back(tmp_path: Path) -> None:
    """The statistics come out under the name they go in by: what Paddle's fusion passes look for."""
    program = load(fixtures.unpack("3.3", "crnn", tmp_path)).program
    norms = [op for _, op in program.ops() if op.type == "batch_norm"]
    assert norms and all(op.input("Mean") == op.output("MeanOut") for op in norms)


@pytest.fixture
def zoo(tmp_path: Path) -> Iterator[Path]:
    """Every model of the zoo, as this Paddle saves it (1.3 GB)."""
    require("current")
    folder = tmp_path / "zoo"
    done = subprocess.run([sys.executable, str(ZOO), str(folder)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    yield folder
    shutil.rmtree(folder)


def _wrong(zoo: Path, out: Path, runtimes: Sequence[Worker], **options: Any) -> dict[str, list[str]]:
    """What is wrong with the conversions of all models in *zoo*, at two sizes; nothing when all agree."""
    wrong: dict[str, list[str]] = {}
    for path in sorted(zoo.glob("*.json")):
        made = compare.converted(zoo, path.stem, out / path.stem)
        for worker in runtimes:
            problems = compare.check(zoo, path.stem, made, worker, **options)
            if problems:
                wrong[f"{path.stem} in {worker.runtime.label}"] = problems
    return wrong


@pytest.mark.long
def test_zoo(zoo: Path, workers: Callable[[str], Worker], tmp_path: Path) -> None:
    """Every family of paddle.vision.models and the hand-written ones, against the layer itself, in three Paddles."""
    assert _wrong(zoo, tmp_path, [workers(r) for r in RUNTIMES]) == {}


QUICK = {
    # the operation says nothing of it, and Paddle 3.3.1 never ends the loop
    "loops that write in place": ("gru_cell", "lstm_cells_with_lengths"),
    # what Paddle's passes change for one of its readers
    "parameters of several operators": ("one_weight_scaled_twice", "one_filter_normalised_twice"),
}


@pytest.mark.parametrize("names", QUICK.values(), ids=QUICK)
def test_against_the_layers(names: Sequence[str], tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    require("current")
    folder = tmp_path / "common"
    done = subprocess.run([sys.executable, str(COMMON), str(folder), *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert len(list(folder.glob("*.json"))) == len(names)
    assert _wrong(folder, tmp_path, [workers(r) for r in RUNTIMES]) == {}


@pytest.mark.slow
def test_what_people_write(tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    """Recurrent cells, loops, branches, indexing, sizes that depend on values…: right in three Paddles."""
    require("current")
    folder = tmp_path / "common"
    done = subprocess.run([sys.executable, str(COMMON), str(folder)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert len(list(folder.glob("*.json"))) >= 25
    assert _wrong(folder, tmp_path, [workers(r) for r in RUNTIMES]) == {}


@pytest.mark.slow
def test_zoo_without_optimisation(zoo: Path, workers: Callable[[str], Worker], tmp_path: Path) -> None:
    assert _wrong(zoo, tmp_path, [workers(r) for r in RUNTIMES], ir_optim=False) == {}


@pytest.mark.runtime
def test_served(tmp_path: Path) -> None:
    """What Paddle 3 saved, answered by the real pipeline; its Paddle's own answers are those of the .json (above)."""
    require("paddle-2.3.2")
    source = fixtures.unpack("3.3", "bert", tmp_path)
    served = api.to_serving(source, out=tmp_path)
    np.savez(tmp_path / "x.npz", **fixtures.feeds("bert")[1])
    report = serve_check(served.server, inputs=tmp_path / "x.npz")
    assert (
        report.ok and len(report.forms) == 5 and all(f.max_abs is not None and f.max_abs <= 1e-6 for f in report.forms)
    )


@pytest.mark.slow
@pytest.mark.parametrize("writer", ["paddle-3.0.0", "paddle-3.1.1", "paddle-3.2.2"])
def test_zoo_of_older_writers(writer: str, tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    runtime = require(writer)
    names = ["LeNet", "bert", "gpt", "crnn", "unet", "yolo", "branches", "mobilenet_v3_small"]
    command = [str(runtime.python), str(ZOO), str(tmp_path), *names]
    subprocess.run(command, check=True, capture_output=True, timeout=900, env=runtime.environ())
    wrong = {}
    for name in names:
        problems = compare.check(
            tmp_path, name, compare.converted(tmp_path, name, tmp_path / "out" / name), workers("paddle-2.3.2")
        )
        if problems:
            wrong[name] = problems
    assert wrong == {}


def test_half_precision_is_untouched(tmp_path: Path) -> None:
    """A bfloat16 parameter keeps its bytes and its type."""
    import json

    from mconv.program.dtypes import DType
    from mconv.program.params import ArraySource
    from mconv.program.params_writing import write_combined

    document = json.loads(fixtures.program("3.3", "branches"))
    ops = document["program"]["regions"][0]["blocks"][0]["ops"]
    linear = {"linear_0.b_0": (4,), "linear_0.w_0": (4, 4)}
    names = {op["A"][3]: op for op in ops if op["#"] == "p"}
    text = json.dumps(document).replace("0.t_f32", "0.t_bf16")
    (tmp_path / "m.json").write_text(text)
    sources = {
        n: ArraySource(
            np.arange(int(np.prod(op["O"]["TT"]["D"][1]))).astype(np.uint16).reshape(op["O"]["TT"]["D"][1]), DType.BF16
        )
        for n, op in names.items()
    }
    assert len(names) == len(linear)
    write_combined(tmp_path / "m.pdiparams", sorted(sources.items()))
    loaded = load(tmp_path / "m.json", target=PADDLE_2_6)
    assert {s.dtype for s in loaded.params.values()} == {DType.BF16}
    assert {p.dtype for p in loaded.program.parameters} == {DType.BF16}
