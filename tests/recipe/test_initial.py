"""``mconv init``: the recipe that it writes runs as it is."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mconv.errors import CorruptModelError, MconvError, NotAModelError, OutputExistsError, UsageError
from mconv.recipe import api as recipes
from mconv.recipe.document import schema
from mconv.recipe.load import load
from tests.cli.conftest import Run
from tests.golden import Case, case
from tests.onnx.make import mlp
from tests.recipe.conftest import states

ROOT = Path(__file__).parents[2]


@pytest.mark.runtime
@pytest.mark.long
def test_an_onnx_file(tmp_path: Path, mconv: Run) -> None:
    mlp(tmp_path / "net.onnx")
    done = mconv("init", "net.onnx")
    assert done.returncode == 0 and "net.yaml written: onnx2paddle, to-serving, verify" in done.stdout, done.stderr
    recipe = load(tmp_path / "net.yaml")
    assert recipe.source.path == "net.onnx" and recipe.inputs == ["x[?,16]"] and len(recipe.source.sha256 or "") == 64
    first = (tmp_path / "net.yaml").read_text().splitlines()[0]
    assert json.loads((tmp_path / first.partition("$schema=")[2]).read_text()) == schema()
    done = mconv("run", "net.yaml", "--set", "target=3", "--set", "verification.runtime=current", timeout=120)
    assert done.returncode == 0, done.stderr
    assert mconv("init", "net.onnx").returncode == OutputExistsError.exit_code
    assert mconv("init", "net.onnx", "--force", "--target", "2.6").returncode == 0
    assert load(tmp_path / "net.yaml").target.name == "2.6"


def test_every_era(golden: Case, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    draft = recipes.init(str(golden.model), out=path)
    assert draft.steps == ["to-serving", "verify"]
    result = recipes.run([path], out=tmp_path / "out", settings=["steps=[to-serving]"])
    assert states(result) == ["to-serving done"]


@pytest.mark.parametrize(
    ("model", "name", "steps", "source"),
    [
        ("net.py:Net", "Net.yaml", ["to-static", "to-serving", "verify"], "net.py:Net"),
        ("torch_net.py:Net", "Net.yaml", ["torch2paddle", "to-serving", "verify"], "torch_net.py:Net"),
        ("paddle.vision.models:resnet50", "resnet50.yaml", ["to-static", "to-serving", "verify"], None),
        ("hf", "hf.yaml", ["torch2paddle", "to-serving", "verify"], "hf"),
        ("nlp", "nlp.yaml", ["to-static", "to-serving", "verify"], "nlp"),
    ],
)
def test_what_needs_code_is_not_run(
    model: str, name: str, steps: list[str], source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, text in (("net.py", "import paddle\n1 / 0\n"), ("torch_net.py", "import torch\n1 / 0\n")):
        (tmp_path / file).write_text(text)
    for folder, weights in (("hf", "model.safetensors"), ("nlp", "model_state.pdparams")):
        (tmp_path / folder).mkdir()
        for file in ("config.json", weights):
            (tmp_path / folder / file).write_text('{"model_type": "bert"}')
    draft = recipes.init(model)
    assert str(draft.path) == name and draft.steps == steps
    recipe = load(tmp_path / name)
    assert [s.name for s in recipe.steps] == steps
    assert (recipe.source.spec or recipe.source.path) == (source or model)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("nothing.onnx", NotAModelError),
        ("nothing.py:f", NotAModelError),
        ("a b:c", UsageError),
        ("text.txt", NotAModelError),
    ],
)
def test_what_is_no_model(model: str, kind: type[MconvError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(kind):
        recipes.init(model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.txt"]


def test_what_is_damaged_is_not_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of a terabyte, which is no program, would keep it busy for an hour."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(case("2.3.2-mlp").model, "m")
    with open("large", "wb") as sparse:
        sparse.truncate(1 << 40)
    Path("m", "inference.pdmodel").unlink()
    Path("m", "inference.pdmodel").symlink_to(tmp_path / "large")
    monkeypatch.setattr("mconv.recipe.remote.pin_of", lambda path: pytest.fail("hashed"))
    with pytest.raises(CorruptModelError, match="cannot be larger"):
        recipes.init("m")


def test_show_and_schema(tmp_path: Path, mconv: Run) -> None:
    done = mconv("init", case("2.3.2-mlp").model, "--out", "-")
    assert done.stdout.startswith("# yaml-language-server: $schema=") and list(tmp_path.iterdir()) == []
    assert json.loads(mconv("init", "--schema").stdout) == schema()
    assert json.loads(mconv("init", "--schema", "--json").stdout) == schema()
    document = json.loads(mconv("init", case("2.3.2-mlp").model, "--json").stdout)
    assert set(document) == {"path", "text", "steps", "notes"} and document["path"] == "mlp.yaml"
    assert mconv("init").returncode == 2 and mconv("init", "x", "--schema").returncode == 2


def test_a_disk_that_is_full_before_the_schema(tmp_path: Path) -> None:
    """The recipe fits, the schema beside it does not: there is neither."""
    mlp(tmp_path / "m.onnx")
    limit = len(recipes.init(tmp_path / "m.onnx", show=True).text.encode()) + 100
    run = subprocess.run(
        [sys.executable, "-B", "-m", "mconv", "init", "m.onnx"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert run.returncode == 6 and "mconv-recipe.schema.json: cannot be written" in run.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
