"""PP-OCRv4 as PaddleX has it: the real weights of ``rapidocr-onnxruntime``, the ``inference.yml`` in its real form, and
pictures of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw, ImageFont

LINES = ("Paddle Serving 0.9.0", "hello, world", "Invoice 2024-11, total 1,234.50")
DECODE = {"DecodeImage": {"channel_first": False, "img_mode": "BGR"}}
CHW: dict[str, Any] = {"ToCHWImage": None}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "scale": "1./255.", "order": "hwc"}
DET = {
    "Global": {"model_name": "PP-OCRv4_mobile_det"},
    "PreProcess": {
        "transform_ops": [
            DECODE, {"DetLabelEncode": None}, {"DetResizeForTest": {"limit_side_len": 736, "limit_type": "min"}},
            {"NormalizeImage": HALF}, CHW, {"KeepKeys": {"keep_keys": ["image", "shape"]}},
        ]
    },
    "PostProcess": {
        "name": "DBPostProcess", "thresh": 0.3, "box_thresh": 0.5, "max_candidates": 1000, "unclip_ratio": 1.6,
        "use_dilation": True,
    },
}  # fmt: skip
CLS = {
    "Global": {"model_name": "PP-LCNet_x0_25_textline_ori"},
    "PreProcess": {
        "transform_ops": [
            {"ResizeImage": {"size": [192, 48]}},
            {"NormalizeImage": {**HALF, "scale": 1 / 255, "order": ""}},
            CHW,
        ]
    },
    "PostProcess": {"Topk": {"topk": 1, "label_list": ["0_degree", "180_degree"]}},
}


def package() -> Path:
    return Path(pytest.importorskip("rapidocr_onnxruntime").__file__).parent


def onnx_file(part: str) -> Path:
    (path,) = (package() / "models").glob(f"*_{part}_infer.onnx")
    return path


def characters() -> list[str]:
    """The dictionary that is stored in the recogniser."""
    import onnx

    (said,) = [p.value for p in onnx.load(str(onnx_file("rec"))).metadata_props if p.key == "character"]
    return said.splitlines()


def rec() -> dict[str, Any]:
    return {
        "Global": {"model_name": "PP-OCRv4_mobile_rec"},
        "PreProcess": {
            "transform_ops": [
                DECODE, {"MultiLabelEncode": {"gtc_encode": "NRTRLabelEncode"}},
                {"RecResizeImg": {"image_shape": [3, 48, 320]}}, {"KeepKeys": {"keep_keys": ["image"]}},
            ]
        },
        "PostProcess": {"name": "CTCLabelDecode", "character_dict": characters()},
    }  # fmt: skip


def write(folder: Path, content: Any) -> Path:
    """A folder with that ``inference.yml``."""
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    (folder / "inference.yml").write_text(text, encoding="utf-8")
    return folder


def drawn(size: tuple[int, int], texts: list[tuple[int, int, str]], points: int = 28) -> np.ndarray:
    """uint8[height, width, 3] of black text on white: (x, y, text)."""
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(points)
    for x, y, text in texts:
        ImageDraw.Draw(image).text((x, y), text, fill="black", font=font)
    return np.array(image)


def line(text: str) -> np.ndarray:
    """A picture of one line."""
    return drawn((16 * len(text) + 24, 44), [(10, 4, text)])


def page(lines: int = 5, size: tuple[int, int] = (640, 480), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = [(int(rng.integers(10, 120)), 20 + 80 * i, LINES[i % len(LINES)]) for i in range(lines)]
    return drawn(size, rows, 26 + int(rng.integers(0, 8)))
