"""The second half of ``make demo``: PP-OCRv4's recognition model, ONNX → inference model → Paddle Serving model, and
the text that the source and the converted model read from the same pictures, side by side.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mconv import api, runtimes
from mconv.cli.failing import render_error
from mconv.cli.output import out
from mconv.errors import MconvError

LINES = ["Model -> Inference Model -> Serving Model", "mconv to-serving ./pb_model", "PaddlePaddle 2.3.2", "2 + 2 = 4"]
HEIGHT = 48  # of a line, in pixels: what PP-OCRv4's recognition takes


def picture(text: str) -> np.ndarray:
    """*text* as a picture of one line: float32 [1, 3, 48, width] in [-1, 1]."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=32)
    width = int(font.getlength(text)) + 32
    image = Image.new("RGB", (width, HEIGHT), "white")
    ImageDraw.Draw(image).text((16, 4), text, fill="black", font=font)
    pixels = np.asarray(image, np.float32)[:, :, ::-1]  # the model was trained on BGR
    return np.ascontiguousarray((pixels / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None].copy()


def read(scores: np.ndarray, characters: list[str]) -> str:
    """CTC's greedy reading of [1, steps, classes]: repeated classes once, class 0 is the blank."""
    best = scores[0].argmax(-1)
    return "".join(characters[c] for i, c in enumerate(best) if c and (i == 0 or c != best[i - 1]))


def rows(work: Path) -> list[list[str]]:
    import onnxruntime
    import rapidocr_onnxruntime

    source = Path(rapidocr_onnxruntime.__file__).parent / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    characters = ["", *session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
    start = time.perf_counter()
    api.onnx2paddle(source, work / "rec", verify=False)
    served: Any = api.to_serving(work / "rec", out=work)
    out.note(f"PP-OCRv4 rec → inference model → serving_server/ + serving_client/: {time.perf_counter() - start:.1f} s")
    found = []
    name = session.get_inputs()[0].name
    pictures = [picture(line) for line in LINES]
    with runtimes.find("paddle-2.3.2").worker() as worker:
        run = worker.run(served.program, served.params, [{name: p} for p in pictures])
    for line, image, outputs in zip(LINES, pictures, run.outputs):
        want = session.run(None, {name: image})[0]
        texts = read(want, characters), read(outputs[0], characters)
        worst = float(np.abs(want - outputs[0]).max())
        found.append([line, *texts, f"{worst:.1e}", "the same" if texts[0] == texts[1] else "DIFFERENT"])
    return found


def main() -> int:
    out.configure(json="--json" in sys.argv[1:])
    work = Path(tempfile.mkdtemp(prefix="mconv-demo-"))
    try:
        found = rows(work)
    finally:
        shutil.rmtree(work)
    columns = ["in the picture", "read by onnxruntime", "read by Paddle 2.3.2, converted", "largest difference", ""]
    out.table(columns, found, title="PP-OCRv4 recognition, ONNX → Paddle Serving", right=["largest difference"])
    if out.json:
        print(json.dumps([dict(zip(columns[:-1], row)) for row in found], indent=2, ensure_ascii=False))
    return 0 if all(row[-1] == "the same" for row in found) else 10


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MconvError as error:
        sys.exit(render_error(error, "demo"))
