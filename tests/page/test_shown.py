"""How results show themselves: one line in a prompt, verdict and figures in a notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

from mconv import api
from mconv.page.shown import Shown
from tests.onnx.make import mlp
from tests.page.samples import HOSTILE, Elements


def shown(result: object) -> tuple[str, Elements]:
    assert isinstance(result, Shown)
    line = repr(result)
    assert len(line) < 500 and line.isprintable()
    return line, Elements(result._repr_html_())


def test_a_conversion(tmp_path: Path) -> None:
    line, page = shown(api.onnx2paddle(mlp(tmp_path / "m.onnx"), tmp_path / "out", verify=False, target=2.6))
    assert line.startswith("<Report onnx2paddle: m.onnx: Not verified, --no-verify was given") and "Paddle 2.6" in line
    assert "Not verified" in page.text and "Inputs and outputs" in page.text


def test_a_look_at_a_model_and_what_follows(tmp_path: Path) -> None:
    api.onnx2paddle(mlp(tmp_path / "m.onnx"), tmp_path / "out", verify=False)
    line, page = shown(api.inspect(tmp_path / "out"))
    assert line.startswith("<Inspection out: Loads in Paddle") and "float32" in page.text
    line, _ = shown(api.downgrade(tmp_path / "out", tmp_path / "older"))
    assert line.startswith("<Downgraded downgrade: inference.pdmodel: Converted") and "2.3" in line
    line, page = shown(api.to_serving(tmp_path / "out", out=tmp_path / "deploy"))
    assert line.startswith("<ServingResult") and "Inputs and outputs" in page.text


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    path = mlp(tmp_path / f"{HOSTILE.replace('/', '').replace(chr(27), '')}.onnx")
    line, page = shown(api.inspect(path))
    assert "\u202e" not in line and not {"script", "img"} & set(page.names)


@pytest.mark.runtime
def test_a_comparison(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    api.onnx2paddle(path, tmp_path / "out", runtime="current")
    line, page = shown(api.verify(path, tmp_path / "out", runtime="current"))
    assert line.startswith("<Verification verify: m.onnx against out: Both compute the same") and "max abs" in page.text
