"""Whole models that torch exports, at two sizes each, in the default Predictor of three Paddles.

``zoo_passes.txt`` lists the files (``model.exporter+opset``) that agree with ONNX Runtime everywhere; a sample of
them runs by default, all with ``make test-all``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv.onnx.convert import convert
from mconv.program.stored import write_model

RUNTIMES = ("current", "paddle-2.6.2", "paddle-2.3.2")
PASSES = (Path(__file__).parent / "zoo_passes.txt").read_text().split()
EXCLUDES: dict[str, str] = json.loads((Path(__file__).parent / "zoo_excludes.json").read_text())
SAMPLE = ("mlp.ts17", "resnet18.ts14", "unet.ts11", "lstm.ts14", "gru.ts17", "bert.ts14", "gpt2.ts14", "vit_sdpa.ts17",
          "llama.ts14", "t5_encoder.ts17", "swin.ts14", "mlp.dynamo20", "multihead_attention.dynamo18")  # fmt: skip
TOLERANCE = 1e-4  # of the largest value


def check(name: str, folder: Path, workers: Callable[[str], Any]) -> None:
    pytest.importorskip("torch")
    ort = pytest.importorskip("onnxruntime")
    from tests.zoo.export import export

    model, kind = name.rsplit(".", 1)
    path, sample = export(model, kind, folder)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    feeds = [{k: v for k, v in sample.feeds(*size).items() if k in names} for size in sample.sizes]
    wanted = [session.run(None, feed) for feed in feeds]
    made = convert(path)
    files = write_model(made.program, made.params.items(), folder)
    assert [p.name for p in made.program.feeds] == names
    for runtime in RUNTIMES:
        run = workers(runtime).run(*files, feeds)
        for want, got in zip(wanted, run.outputs):
            for w, g in zip(want, got):
                assert w.shape == g.shape
                worst = np.abs(w - g).max() / max(np.abs(w).max(), 1e-6)
                assert worst < TOLERANCE, f"{runtime}: {worst:.2e}"
                assert (w.argmax(-1) == g.argmax(-1)).mean() > 0.999


@pytest.mark.runtime
@pytest.mark.parametrize("name", SAMPLE)
def test_sample(name: str, tmp_path: Path, workers: Callable[[str], Any]) -> None:
    assert name in PASSES
    check(name, tmp_path, workers)


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("name", [n for n in PASSES if n not in SAMPLE])
def test_every_file(name: str, tmp_path: Path, workers: Callable[[str], Any]) -> None:
    check(name, tmp_path, workers)


def test_every_file_is_on_a_list() -> None:
    """What is not converted cannot be exported, or not be run by ONNX Runtime: 95% of the others would do, all do."""
    pytest.importorskip("torch")
    from tests.zoo.export import KINDS
    from tests.zoo.torch_models import ZOO

    assert sorted([*PASSES, *EXCLUDES]) == sorted(f"{model}.{kind}" for model in ZOO for kind in KINDS)
    assert len(set(PASSES)) == len(PASSES) and all(
        r.startswith(("exporter: ", "onnxruntime: ")) for r in EXCLUDES.values()
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", EXCLUDES)
def test_what_is_excluded_still_cannot_be(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    ort = pytest.importorskip("onnxruntime")
    from tests.zoo.export import export

    model, kind = name.rsplit(".", 1)
    if EXCLUDES[name].startswith("exporter"):
        with pytest.raises(Exception):
            export(model, kind, tmp_path)
        return
    path, sample = export(model, kind, tmp_path)
    with pytest.raises(Exception):
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        for size in sample.sizes:
            session.run(None, {k: v for k, v in sample.feeds(*size).items() if k in names})


def written(shape: tuple[int, ...]) -> np.ndarray:
    """Pictures with text on them, float32 of *shape* in [-1, 1]."""
    from PIL import Image, ImageDraw, ImageFont

    pictures = []
    for i in range(shape[0]):
        image = Image.new("RGB", (shape[3], shape[2]), "white")
        ImageDraw.Draw(image).text((8, 8), f"mconv {i}", fill="black", font=ImageFont.load_default(size=24))
        pictures.append(np.asarray(image, np.float32).transpose(2, 0, 1) / 127.5 - 1)
    return np.stack(pictures)


OCR = {"det": ((1, 3, 64, 160), (2, 3, 96, 192)), "rec": ((1, 3, 48, 160), (3, 3, 48, 320)), "cls": ((1, 3, 48, 192), (4, 3, 48, 192))}  # fmt: skip


@pytest.mark.runtime
@pytest.mark.parametrize("onednn", [None, False], ids=["default", "no-onednn"])
@pytest.mark.parametrize("part", OCR)
def test_pp_ocr_v4(part: str, onednn: bool | None, tmp_path: Path, workers: Callable[[str], Any]) -> None:
    """Real weights: PP-OCRv4 of rapidocr."""
    ort = pytest.importorskip("onnxruntime")
    rapidocr = pytest.importorskip("rapidocr_onnxruntime")
    (path,) = (Path(rapidocr.__file__).parent / "models").glob(f"*_{part}_infer.onnx")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    feeds = [{name: written(shape)} for shape in OCR[part]]
    made = convert(path)
    files = write_model(made.program, made.params.items(), tmp_path)
    for runtime in RUNTIMES:
        run = workers(runtime).run(*files, feeds, onednn=onednn)
        for feed, outputs in zip(feeds, run.outputs):
            want = session.run(None, feed)[0]
            worst = np.abs(want - outputs[0]).max() / np.abs(want).max()
            assert worst < TOLERANCE, f"{runtime}: {worst:.2e}"
            assert part != "det" or want.max() > 0.5  # there is text to be found
            if part != "det":  # a map of probabilities has no classes
                assert (want.argmax(-1) == outputs[0].argmax(-1)).all()
