"""What is made of a folder of PaddleX, in ``paddlex`` itself: it loads, and reads as the folder that it was made of."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from mconv import api
from tests.environments import environment
from tests.serving import ocr_pages, ppocr

pytestmark = pytest.mark.slow
NEEDS = ("paddlex[ocr-core]==3.7.2", "paddlepaddle==3.3.1")
# model folders → what they answer to a picture; without oneDNN, with which Paddle 3.3 runs no interpolation
SCRIPT = """
import json, os, sys
os.environ.update(PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK="True", PADDLE_PDX_ENABLE_MKLDNN_BYDEFAULT="False")
import yaml
from paddlex import create_model
from paddlex.inference.models.hpi import get_hpi_info
name, picture, *folders = sys.argv[1:]
found = []
for folder in folders:
    (result,) = create_model(name, model_dir=folder, device="cpu").predict(picture)
    content = result.json["res"]
    found.append({key: content[key] for key in ("rec_text", "rec_score", "dt_polys", "dt_scores") if key in content})
    with open(os.path.join(folder, "inference.yml"), encoding="utf-8") as file:
        info = get_hpi_info(yaml.safe_load(file))
    found[-1]["ranges"] = info and info.backend_configs.paddle_infer.trt_dynamic_shapes
print(json.dumps(found))
"""


def answers(name: str, picture: Path, *folders: Path) -> list[dict[str, Any]]:
    python = environment("paddlex", NEEDS, "3.11")
    done = subprocess.run(
        [str(python), "-c", SCRIPT, name, str(picture), *map(str, folders)],
        capture_output=True, text=True, timeout=600, env={"PATH": os.environ["PATH"], "HOME": str(picture.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("part", "name"), [("rec", "PP-OCRv4_mobile_rec"), ("det", "PP-OCRv4_mobile_det")], ids=["rec", "det"]
)
def test_converted_folders_read_the_same(part: str, name: str, tmp_path: Path) -> None:
    source = ocr_pages.models(tmp_path / "models")[part]
    api.downgrade(source, tmp_path / "3", target="3")
    api.downgrade(source, tmp_path / "2.3", target="2.3")
    api.convert(source, tmp_path / "out", verify=False)
    # the inputs' names and sizes are those of the result, in the ranges for TensorRT, too
    ranges = [[1, 3, 48, 160], [1, 3, 48, 320], [8, 3, 48, 3200]]
    infer = {"paddle_infer": {"trt_dynamic_shapes": {"x": ranges}}}
    said = {**yaml.safe_load((source / "inference.yml").read_text()), "Hpi": {"backend_configs": infer}}
    ppocr.write(source, said)
    api.edit(source, tmp_path / "edited", renames={"x": "picture"}, dims={"batch": 1}, verify=False)
    picture = tmp_path / "picture.png"
    Image.fromarray(ppocr.line(ppocr.LINES[2]) if part == "rec" else ppocr.page(5, (640, 480), 1)).save(picture)
    first, *others = answers(
        name,
        picture,
        source,
        tmp_path / "3",
        tmp_path / "2.3",
        tmp_path / "out" / "serving_server",
        tmp_path / "edited",
    )
    assert first.pop("ranges") == {"x": ranges}
    assert [other.pop("ranges") for other in others] == [None] * 3 + [
        {"picture": [[1, *sizes] for _, *sizes in ranges]}
    ]
    if part == "rec":
        assert first["rec_text"].replace(" ", "") == ppocr.LINES[2].replace(" ", "")
    else:
        assert len(first["dt_polys"]) == 5
    for other in others:
        assert {k: v for k, v in other.items() if not k.endswith(("score", "scores"))} == {
            k: v for k, v in first.items() if not k.endswith(("score", "scores"))
        }
        score = "rec_score" if part == "rec" else "dt_scores"
        assert other[score] == pytest.approx(first[score], abs=1e-4)
