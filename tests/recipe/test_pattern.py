"""A recipe whose source is a pattern: one run for each model, in folders below the recipe's; and the one that is shipped for
folders of OCR models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mconv import api
from mconv.errors import MconvError, NotAModelError, UsageError
from mconv.recipe import api as recipes
from mconv.recipe.load import load_each
from tests.onnx.make import mlp
from tests.recipe.conftest import Write, tree
from tests.serving import ocr_pages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two models, of which one is damaged, and a file that is none."""
    folder = tmp_path / "models"
    folder.mkdir()
    mlp(folder / "b.onnx", seed=1)
    mlp(folder / "a.onnx", seed=2)
    (folder / "README.md").write_text("two models\n")
    return folder


@pytest.mark.long
def test_each_model_gets_its_own_run(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("source: {path: 'models/*'}\n")  # with the steps that each one needs
    out = tmp_path / "build"
    result = recipes.run([path], out=out)
    assert result.ok and [recipe.name for recipe in result.recipes] == ["many/a", "many/b"]
    assert [s.name for s in result.recipes[0].steps] == ["onnx2paddle", "to-serving"]
    a, b = (out / "many" / name / "serving_server" for name in "ab")
    assert a.joinpath("inference.pdiparams").read_bytes() != b.joinpath("inference.pdiparams").read_bytes()
    kept = tree(out, times=True)
    assert recipes.run([path], out=out).nothing_done and tree(out, times=True) == kept
    mlp(models / "c.onnx", seed=3)
    (models / "b.onnx").write_bytes(b"\x08\x08")  # a damaged one does not stop the others
    result = recipes.run([path], out=out)
    assert [(recipe.name, recipe.ok) for recipe in result.recipes] == [
        ("many/a", True),
        ("many/b", False),
        ("many/c", True),
    ]
    with pytest.raises(MconvError, match="1 of 3 recipes failed: many/b"):
        result.require()


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ({"path": "nothing/*"}, NotAModelError, r"many\.yaml: source: .*nothing/\*: no model is called so"),
        ({"path": "models/*.md"}, NotAModelError, "no model is called so"),
        ({"path": "models/*", "sha256": "0" * 64}, UsageError, r"source\.sha256: is of one model"),
        ({"path": "models/*", "weights": "w.pt"}, UsageError, r"source\.weights: is of one model"),
    ],
)
def test_patterns_that_mean_nothing(
    models: Path, write: Write, source: dict[str, str], error: type[MconvError], says: str
) -> None:
    path = write("many", source=source)
    with pytest.raises(error, match=says):
        load_each(path)


def test_two_of_one_name_and_a_file_that_is_called_like_a_pattern(models: Path, write: Write) -> None:
    (models / "more").mkdir()
    mlp(models / "more" / "a.onnx", seed=4)
    shutil.copytree(models / "more", models / "less")
    with pytest.raises(UsageError, match="would both go to many/a"):
        load_each(write("many", source="models/[lm]*/a.onnx"))
    mlp(models / "x[1].onnx", seed=5)
    (one,) = load_each(write("one", source="models/x[1].onnx"))
    assert one.name == "one" and one.source.path == "models/x[1].onnx"


@pytest.mark.runtime
@pytest.mark.long
def test_the_shipped_recipe_makes_one_service_of_ocr_folders(tmp_path: Path) -> None:
    """As its comments say: the folders into models/, run, scaffold; the service's pages are read in tests/proof."""
    shutil.copytree(ROOT / "recipes" / "ocr", tmp_path / "ocr")
    ocr_pages.models(tmp_path / "ocr" / "models")
    result = recipes.run([tmp_path / "ocr" / "ocr.yaml"], out=tmp_path / "build")
    result.require()
    parts = [f"PP-OCRv4_{part}" for part in ("cls", "det", "rec")]
    assert [recipe.name for recipe in result.recipes] == [f"ocr/{part}" for part in parts]
    made = [tmp_path / "build" / recipe.name / "convert" for recipe in result.recipes]
    answers = {"cls": "labels.txt", "det": "box_answer.py", "rec": "text_answer.py"}
    for folder, part in zip(made, ("cls", "det", "rec")):
        assert (folder / "service" / answers[part]).is_file()
    for server in ("paddle-serving", "triton"):
        found = api.scaffold(made, tmp_path / server, pipeline="ocr", server=server)
        assert found.kind == "ocr" and (found.folder / "crops.py").is_file() == (server == "paddle-serving")
