"""Ten pages of text as a camera, a scanner or a screenshot gives them, the three models of PP-OCRv4 as folders of PaddleX,
and RapidOCR, which has the same models in ONNX Runtime and PaddleOCR's steps around them."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional
from unittest import mock

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mconv import api
from tests.serving import ppocr

CLS = {
    "Global": {"model_name": "ch_ppocr_mobile_v2.0_cls"},
    "PreProcess": {
        "transform_ops": [ppocr.DECODE, {"ClsResizeImg": {"image_shape": [3, 48, 192]}}, ppocr.CHW],
    },
    "PostProcess": {"Topk": {"topk": 1, "label_list": ["0_degree", "180_degree"]}},
}
Line = tuple[int, int, str]


@contextlib.contextmanager
def whole_processor() -> Iterator[None]:
    """OpenVINO's kernels ask the processor, those of its oneDNN the switch of ``make test-processors``: with AVX-512 in the
    first alone, the detector's fault (OpenVINO 2026.4 on an AMD EPYC)."""
    with mock.patch.dict(os.environ):
        for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
            os.environ.pop(name, None)
        yield


def models(folder: Path) -> dict[str, Path]:
    """The stages of PP-OCRv4 as inference models with their ``inference.yml``."""
    made = {}
    for part, content in (("det", ppocr.DET), ("cls", CLS), ("rec", ppocr.rec())):
        made[part] = folder / f"PP-OCRv4_{part}"
        api.onnx2paddle(ppocr.onnx_file(part), made[part], verify=False)
        ppocr.write(made[part], content)
    return made


def font(family: Optional[str], points: int) -> Any:
    """A font of the system, or Pillow's own; the test is skipped where there is none of that family."""
    if family is None:
        return ImageFont.load_default(points)
    if shutil.which("fc-match") is None:
        pytest.skip("fontconfig is not installed")
    found = subprocess.run(["fc-match", "-f", "%{family}|%{file}", family], capture_output=True, text=True, check=True)
    families, _, file = found.stdout.partition("|")
    if not families.startswith(family.split(":")[0]):
        pytest.skip(f"the font {family} is not installed")
    return ImageFont.truetype(file, points)


def drawn(
    size: tuple[int, int],
    lines: Sequence[Line],
    points: int = 28,
    family: Optional[str] = None,
    paper: Any = "white",
    ink: Any = "black",
) -> Image.Image:
    image = Image.new("RGB", size, paper)
    letters = font(family, points)
    for x, y, text in lines:
        ImageDraw.Draw(image).text((x, y), text, fill=ink, font=letters)
    return image


def _two_columns() -> Image.Image:
    left = [(40, 40 + 60 * i, text) for i, text in enumerate(("Quantity 12", "Unit price 9.50", "Total 114.00"))]
    right = [(420, 44 + 60 * i, text) for i, text in enumerate(("Order 2024-117", "Customer 0815", "Paid by card"))]
    return drawn((760, 320), [*left, *right], 30, "Liberation Sans")


def _small() -> Image.Image:
    rows = ("All prices include tax and shipping.", "Returns within fourteen days.", "Call 0800 123456 for help.")
    return drawn((420, 150), [(12, 14 + 34 * i, row) for i, row in enumerate(rows)], 13, "DejaVu Sans")


def _large() -> Image.Image:
    rows = ("Annual report", "Chapter one: markets", "Revenue grew by 14 percent", "Costs were flat", "Outlook: stable")
    return drawn((2480, 1754), [(200, 180 + 300 * i, row) for i, row in enumerate(rows)], 96, "Liberation Serif")


def _tall() -> Image.Image:
    """Text from below to above, beside text as usual."""
    image = drawn((500, 560), [(120, 60, "Figure 3: growth"), (120, 460, "Source: own data")], 32)
    side = drawn((380, 44), [(10, 2, "Million per year")], 32).rotate(90, expand=True)
    image.paste(side, (20, 90))
    return image


def _slanted() -> Image.Image:
    page = drawn(
        (640, 400), [(60, 80, "Slanted receipt 4711"), (60, 180, "Coffee and cake 7.80"), (60, 280, "Thank you")], 34
    )
    return page.rotate(6, resample=Image.Resampling.BICUBIC, fillcolor="white")


PAGES: dict[str, Callable[[], Image.Image]] = {
    "plain": lambda: Image.fromarray(ppocr.page(5, (640, 480), 1)),
    "two columns": _two_columns,
    "small letters": _small,
    "a scanned sheet": _large,
    "Chinese": lambda: drawn(
        (640, 360), [(40, 40, "北京欢迎你"), (40, 130, "发票号码：20241126"), (40, 220, "深度学习与文字识别")], 40, "Noto Sans CJK SC"
    ),
    "Chinese and Latin": lambda: drawn(
        (720, 260), [(30, 30, "飞桨 PaddlePaddle 2.3"), (30, 140, "版本 Version 0.9.0 发布")], 36, "Noto Serif CJK SC", "#fff6e0", "#203060"
    ),
    "from below to above": _tall,
    "slanted": _slanted,
    "upside down": lambda: drawn((560, 220), [(40, 40, "This page was scanned"), (40, 130, "the wrong way round")], 34).rotate(180),
    "a strip": lambda: drawn((900, 48), [(10, 6, "One line of text in a long and low picture, page 17 of 20")], 30),
}  # fmt: skip
EMPTY = (Image.new("RGB", (300, 200), "white"), Image.new("L", (1, 1), 255), Image.new("RGB", (40, 900), (9, 30, 60)))


def png(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, options.pop("format", "PNG"), **options)
    return file.getvalue()


def reference(image: Image.Image) -> tuple[list[str], np.ndarray, list[float]]:
    """What RapidOCR reads: texts, boxes [texts, 4, 2], scores."""
    from rapidocr_onnxruntime import RapidOCR

    found, _ = _engine(RapidOCR)(np.array(image.convert("RGB"))[:, :, ::-1])
    rows = found or []
    return [r[1] for r in rows], np.array([r[0] for r in rows], float).reshape(-1, 4, 2), [float(r[2]) for r in rows]


_made: list[Any] = []


def _engine(kind: Any) -> Any:
    if not _made:
        _made.append(kind(intra_op_num_threads=1, inter_op_num_threads=1))
    return _made[0]


def equal(texts: Sequence[str], boxes: Any, scores: Sequence[float], image: Image.Image) -> None:
    """That this is what RapidOCR reads on the page."""
    wanted, expected, sure = reference(image)
    assert list(texts) == wanted
    assert len(boxes) == len(expected)
    if wanted:
        assert np.abs(np.array(boxes, float) - expected).max() <= 2
        assert np.abs(np.array(scores) - np.array(sure)).max() < 0.02
