"""``inference.yml`` beside what is made of a model: as it was, but for what it says of inputs that are others now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mconv import api
from tests.serving import ocr_pages, ppocr

RANGES = [[1, 3, 48, 160], [1, 3, 48, 320], [8, 3, 48, 3200]]


def said(shapes: Any, values: Any = None) -> dict[str, Any]:
    paddle = {"trt_dynamic_shapes": shapes, **({} if values is None else {"trt_dynamic_shape_input_data": values})}
    return {"Hpi": {"backend_configs": {"paddle_infer": paddle, "tensorrt": {"dynamic_shapes": shapes}}}}


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PP-OCRv4's, whose input is called x."""
    return ocr_pages.models(tmp_path_factory.mktemp("models"))["rec"]


def source(recogniser: Path, folder: Path, hpi: Any) -> Path:
    for file in recogniser.glob("inference.pd*"):
        folder.mkdir(exist_ok=True)
        (folder / file.name).symlink_to(file)
    return ppocr.write(folder, {**ppocr.rec(), **hpi})


def content(folder: Path) -> Any:
    return yaml.safe_load((folder / "inference.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "hpi", [said({"x": RANGES}), {}, {"Hpi": 3}, {"Hpi": {"backend_configs": {"paddle_infer": None}}}]
)
def test_what_still_fits_stays_byte_for_byte(recogniser: Path, tmp_path: Path, hpi: Any) -> None:
    model = source(recogniser, tmp_path / "m", hpi)
    api.downgrade(model, tmp_path / "down", target="2.6")
    api.half(model, tmp_path / "half", verify=False)
    api.convert(model, tmp_path / "out", verify=False)
    for folder in (tmp_path / "down", tmp_path / "half", tmp_path / "out" / "serving_server"):
        assert (folder / "inference.yml").read_bytes() == (model / "inference.yml").read_bytes()


def test_names_and_sizes_follow_the_inputs(recogniser: Path, tmp_path: Path) -> None:
    model = source(recogniser, tmp_path / "m", said({"x": RANGES}, {"x": [0.5]}))
    api.edit(model, tmp_path / "named", renames={"x": "picture"}, verify=False)
    assert content(tmp_path / "named") == {**ppocr.rec(), **said({"picture": RANGES})}
    api.edit(model, tmp_path / "fixed", dims=["batch=1", "width=320"], verify=False)
    fixed = content(tmp_path / "fixed")["Hpi"]["backend_configs"]
    assert fixed == {"paddle_infer": {"trt_dynamic_shapes": {"x": [[1, 3, 48, 320]] * 3}},
                     "tensorrt": {"dynamic_shapes": {"x": [[1, 3, 48, 320]] * 3}}}  # fmt: skip
    api.to_onnx(tmp_path / "named", tmp_path / "onnx" / "inference.onnx", verify=False)
    assert (tmp_path / "onnx" / "inference.yml").read_bytes() == (tmp_path / "named" / "inference.yml").read_bytes()


def test_ranges_of_other_inputs_go(recogniser: Path, tmp_path: Path) -> None:
    """PaddleX refuses a model whose inputs are not those of the ranges."""
    model = source(recogniser, tmp_path / "m", said({"image": RANGES, "scale_factor": [[1, 2]] * 3}))
    api.downgrade(model, tmp_path / "down", target="2.6")
    assert content(tmp_path / "down")["Hpi"]["backend_configs"] == {"paddle_infer": {}, "tensorrt": {}}
    model = source(recogniser, tmp_path / "other", said({"x": [[1, 3]] * 3}))
    api.downgrade(model, tmp_path / "two", target="2.6")
    assert content(tmp_path / "two")["Hpi"]["backend_configs"] == {"paddle_infer": {}, "tensorrt": {}}
