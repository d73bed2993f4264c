"""SPEC → layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mconv.dygraph import nlp, source
from mconv.errors import MconvError, MissingDependencyError, NotAModelError, UntrustedError, UsageError

paddle = pytest.importorskip("paddle")
FILE = Path(__file__).parent / "layers.py"


@pytest.mark.parametrize(
    ("spec", "arguments", "kind"),
    [
        (f"{FILE}:Conv", {"channels": 1}, "Conv"),
        (f"{FILE}:make", {"kind": "Bert", "layers": 1}, "Bert"),
        (f"{FILE}:made", {}, "Plain"),
        ("tests.dygraph.layers:Lstm", {}, "Lstm"),
        ("paddle.vision.models:LeNet", {}, "LeNet"),
        ("paddle:nn.Linear", {"in_features": 2, "out_features": 3}, "Linear"),
    ],
)
def test_layers(spec: str, arguments: dict[str, Any], kind: str) -> None:
    assert type(source.load(spec, arguments)).__name__ == kind


@pytest.mark.parametrize(
    ("spec", "arguments", "kind", "message"),
    [
        ("nowhere.py:f", {}, NotAModelError, "no such file"),
        (f"{FILE}:nothing_here", {}, NotAModelError, "has no 'nothing_here'"),
        ("no_such_module:f", {}, NotAModelError, "no module 'no_such_module'"),
        ("paddle.no_such:f", {}, NotAModelError, "no module 'paddle.no_such'"),
        (f"{FILE}:number", {}, NotAModelError, "is a int, not a class or function"),
        (f"{FILE}:pair", {}, NotAModelError, "makes a tuple, not a paddle.nn.Layer"),
        (f"{FILE}:fails", {}, NotAModelError, "RuntimeError: no such luck (layers.py, line"),
        (f"{FILE}:leaves", {}, NotAModelError, "SystemExit"),
        (f"{FILE}:imports", {}, MissingDependencyError, "a_package_that_is_not_there"),
        (f"{FILE}:Conv", {"chanels": 1}, UsageError, "chanels"),
        (f"{FILE}:made", {"a": 1}, UsageError, "takes no --arg"),
        (str(FILE), {}, UsageError, "what makes the layer is not said"),
        (f"{FILE}:os.system('true')", {}, UsageError, "no name of a class or function"),
        ("a b:c", {}, UsageError, "no name of a module"),
        ("", {}, UsageError, "not said"),
        ("model.onnx", {}, NotAModelError, "model.onnx: no such file"),
        ("json", {}, UsageError, "json: what makes the layer is not said"),
        ("bert-base-chinese", {}, (MissingDependencyError, UntrustedError), ""),
    ],
)
def test_bad_specs(spec: str, arguments: dict[str, Any], kind: Any, message: str) -> None:
    with pytest.raises(MconvError) as error:
        source.load(spec, arguments)
    assert isinstance(error.value, kind) and message in error.value.message
    assert "\n" not in error.value.message


def test_files_that_are_no_python(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def f(:\n")
    with pytest.raises(NotAModelError, match=r"SyntaxError.*\(net.py, line 1\)"):
        source.load(f"{tmp_path}/net.py:f", {})
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotAModelError):
        source.load(f"{tmp_path}/bytes.py:f", {})


def test_neighbours_and_equal_names(tmp_path: Path) -> None:
    """A file may import what lies beside it; two files of one name do not stand in for each other."""
    for name, size in (("one", 2), ("two", 3)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"sizes_{name}.py").write_text(f"SIZE = {size}\n")
        (folder / "model.py").write_text(
            f"import paddle\nimport sizes_{name}\n\ndef f():\n    return paddle.nn.Linear(1, sizes_{name}.SIZE)\n"
        )
    shapes = [source.load(f"{tmp_path}/{name}/model.py:f", {}).weight.shape for name in ("one", "two")]
    assert shapes == [[1, 2], [1, 3]]


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="neither a PaddleNLP folder"):
        source.load(str(tmp_path), {})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(MconvError) as error:
        source.load(str(tmp_path), {})
    assert error.value.exit_code == 4
    assert nlp.is_name("ernie/ernie-3.0-base") and not nlp.is_name("../x") and not nlp.is_name("a b")
