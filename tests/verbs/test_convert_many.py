"""Several sources in one call: each in a folder of its own, one table, the exit code of the worst."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.errors import CorruptModelError, NotAModelError, UsageError
from mconv.verbs.convert_many import name_of
from tests.golden import GOLDEN
from tests.serving import ocr_pages, ppocr


def mconv(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mconv", *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five folders of PaddleX: PP-OCRv4's detector, classifier and recogniser, two of them under other names as well."""
    folder = tmp_path_factory.mktemp("many") / "models"
    made = ocr_pages.models(folder)
    for part, name in (("det", "PP-OCRv4_server_det"), ("cls", "textline_ori")):
        shutil.copytree(made[part], folder / name)
    (folder / "README.md").write_text("five models\n")
    return folder


NAMES = ["PP-OCRv4_cls", "PP-OCRv4_det", "PP-OCRv4_rec", "PP-OCRv4_server_det", "textline_ori"]


def test_five_folders_to_services(models: Path, tmp_path: Path) -> None:
    """A folder of folders and a list of them come to the same: a service of each, set up by its ``inference.yml``."""
    made = api.convert_many(str(models), tmp_path / "a", pipeline={}, verify=False)
    assert made.ok and [Path(one.source).name for one in made.models] == NAMES
    for one in made.models:
        folder = Path(one.out)
        assert folder == tmp_path / "a" / Path(one.source).name and one.service == str(folder / "service")
        answer = {"det": "box_answer.py", "rec": "text_answer.py"}.get(folder.name.rpartition("_")[2], "labels.txt")
        assert (folder / "service" / answer).is_file()
        assert (folder / "serving_server" / "inference.yml").read_bytes() == (
            models / folder.name / "inference.yml"
        ).read_bytes()
    again = api.convert_many([str(models / name) for name in NAMES[:2]], tmp_path / "b", verify=False)
    assert [Path(one.source).name for one in again.models] == NAMES[:2]
    for name in NAMES[:2]:
        first, second = (tmp_path / part / name / "serving_server" / "inference.pdmodel" for part in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_one_that_fails_does_not_stop_the_others(models: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "inference.pdmodel").write_bytes(b"x")
    folder = ppocr.write(tmp_path / "broken", "PreProcess: {transform_ops: 3}")
    for file in (models / "PP-OCRv4_cls").glob("inference.pd*"):
        shutil.copy(file, folder / file.name)
    sources = [str(bad), str(folder), str(models / "PP-OCRv4_cls"), str(models / "README.md")]
    made = api.convert_many(sources, tmp_path / "out", pipeline={}, verify=False)
    assert [one.ok for one in made.models] == [False, False, True, False]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["PP-OCRv4_cls"]
    assert all(one.reason and one.exit_code for one in made.models if not one.ok)
    with pytest.raises(CorruptModelError, match="3 of 4 were not converted"):
        made.require()


def test_from_the_command_line(models: Path, tmp_path: Path) -> None:
    good, bad = models / "PP-OCRv4_cls", tmp_path / "bad"
    bad.mkdir()
    (bad / "inference.pdmodel").write_bytes(b"x")
    done = mconv("convert", str(good), str(bad), str(tmp_path / "out"), "--no-verify", "--json")
    assert done.returncode == CorruptModelError.exit_code and "1 of 2 were not converted" in done.stderr
    found = json.loads(done.stdout)
    assert [one["ok"] for one in found["models"]] == [True, False] and not found["ok"]
    one = mconv("convert", str(good), str(tmp_path / "one"), "--no-verify")
    assert one.returncode == 0 and (tmp_path / "one" / "serving_server").is_dir()


def test_names_that_meet_are_refused(models: Path, tmp_path: Path) -> None:
    other = tmp_path / "PP-OCRv4_cls"
    shutil.copytree(models / "PP-OCRv4_cls", other)
    with pytest.raises(UsageError, match="would both go to"):
        api.convert_many([str(models), str(other)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_shell_makes_of_a_star(tmp_path: Path) -> None:
    """Weights that lie beside their model are no models of their own: ONNX's external data, and Paddle's of any era."""
    folder = tmp_path / "models"
    folder.mkdir()
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    external = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
    onnx.save_model(model, str(folder / "net.onnx"), **external)
    api.onnx2paddle(folder / "net.onnx", tmp_path / "made", verify=False)
    for suffix in (".pdmodel", ".pdiparams"):
        shutil.copy(tmp_path / "made" / f"inference{suffix}", folder / f"two{suffix}")
    for file in (GOLDEN / "paddle-1.8.5/mlp_separate/inference_model").iterdir():  # one file per parameter
        shutil.copy(file, folder / file.name)
    files = sorted(map(str, folder.iterdir()))
    assert len(files) > 6 and {"net.onnx.data", "two.pdiparams", "__model__"} <= {Path(f).name for f in files}
    done = mconv("convert", *files, tmp_path / "out", "--no-verify", "--json")
    assert done.returncode == 0, done.stderr
    assert [Path(one["source"]).name for one in json.loads(done.stdout)["models"]] == [
        "__model__",
        "net.onnx",
        "two.pdmodel",
    ]
    # weights without their program, or of another model, are still said to be none
    alone = mconv("convert", folder / "net.onnx.data", folder / "two.pdmodel", tmp_path / "alone", "--no-verify")
    assert alone.returncode == NotAModelError.exit_code and "net.onnx.data: no kind of model" in alone.stderr


@pytest.mark.parametrize(
    ("source", "name"),
    [("a/b.onnx", "b"), ("m/", "m"), ("x/model.pdmodel", "model"), ("v1.5", "v1.5"), ("a/../c", "c")],
)
def test_names(source: str, name: str) -> None:
    assert name_of(source) == name
