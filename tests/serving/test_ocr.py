"""A service of several models: what lies between them reads ten pages as RapidOCR does, and what is no whole is refused."""

from __future__ import annotations

import base64
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mconv import api
from mconv.errors import CorruptModelError, MconvError, NotAModelError, UnsupportedError, UsageError
from mconv.serving import servers
from mconv.serving.kinds import OCR
from tests.serving import ocr_pages, ppocr


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return ocr_pages.models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def service(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ocr") / "service"
    made = api.scaffold([models["rec"], models["det"], models["cls"]], folder, pipeline="ocr")
    assert (made.kind, made.name, made.notes) == (OCR, "ocr", [])
    return folder


@pytest.fixture
def read(service: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The service's own modules around ONNX Runtime: the bytes of a file → texts, boxes, scores of each page."""
    import onnxruntime

    monkeypatch.chdir(service)
    monkeypatch.syspath_prepend(service)
    before = set(sys.modules)
    ocr = importlib.import_module("ocr_input")
    stages = {name: ocr.stage(name) for name in ocr.STAGES}
    sessions = {name: onnxruntime.InferenceSession(str(ppocr.onnx_file(name))) for name in ocr.STAGES}

    def run(name: str, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": sessions[name].run(None, {"x": next(iter(feed.values()))})[0]}

    def ask(*files: bytes) -> list[Any]:
        answer = ocr.read(stages, run, {str(i): base64.b64encode(f).decode() for i, f in enumerate(files)})
        return [json.loads(answer[key]) for key in ("texts", "boxes", "scores")]

    yield ask
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "x").parent == service:
            del sys.modules[name]


FAST = ("Chinese and Latin", "from below to above")


@pytest.mark.parametrize("page", [p if p in FAST else pytest.param(p, marks=pytest.mark.slow) for p in ocr_pages.PAGES])
def test_a_page_is_read_as_by_the_reference(page: str, read: Any) -> None:
    image = ocr_pages.PAGES[page]()
    (texts,), (boxes,), (scores,) = read(ocr_pages.png(image))
    assert texts
    ocr_pages.equal(texts, boxes, scores, image)


def test_empty_pages_have_no_texts(read: Any) -> None:
    for image in ocr_pages.EMPTY:
        assert read(ocr_pages.png(image)) == [[[]], [[]], [[]]]


@pytest.mark.long
def test_pages_of_one_request_do_not_change_each_other(read: Any) -> None:
    files = [ocr_pages.png(ocr_pages.PAGES[page]()) for page in ("plain", "slanted")]
    files.insert(1, ocr_pages.png(ocr_pages.EMPTY[0]))
    together, alone = read(*files), [read(file) for file in files]
    assert together == [[one[i][0] for one in alone] for i in range(3)]


def test_crops_are_those_of_opencv_5(service: Path, read: Any) -> None:
    """Whichever OpenCV the service has: earlier ones round coordinates to 1/32 of a pixel."""
    import cv2

    if int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip("an earlier OpenCV")
    crops = sys.modules["crops"].Crops()
    page = np.array(ocr_pages.PAGES["slanted"]().convert("RGB"))
    for corners in ([[113, 163], [363, 166], [362, 194], [113, 191]], [[0, 0], [639, 9], [630, 399], [5, 350]]):
        points = np.array(corners, "float32")
        width, height = (
            int(max(np.hypot(*(points[a] - points[b])) for a, b in p)) for p in (((0, 1), (2, 3)), ((0, 3), (1, 2)))
        )
        flat = np.array([[0, 0], [width, 0], [width, height], [0, height]], "float32")
        wanted = cv2.warpPerspective(
            page, cv2.getPerspectiveTransform(points, flat), (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
        )  # fmt: skip
        assert np.abs(crops.cut(page, points).astype(int) - wanted).max() <= 1


# what is made, and of what ---------------------------------------------------------------------------------------


def test_sources_in_any_order_and_form(models: dict[str, Path], service: Path, tmp_path: Path) -> None:
    """Inference models, a converted folder, serving_server/ itself; the last path is the service's folder; no classifier."""
    api.to_serving(models["det"], out=tmp_path / "det")
    api.to_serving(models["rec"], out=tmp_path / "rec")
    made = api.scaffold(
        [tmp_path / "det" / "serving_server", tmp_path / "rec", tmp_path / "out"],
        pipeline="ocr",
        name="lines",
        http_port=9100,
    )
    assert made.folder == tmp_path / "out" and "cls_input.py" not in made.files
    assert sorted(p.name for p in (made.folder / "models").iterdir()) == ["det", "rec"]
    found = servers.read(made.folder)
    assert found is not None and (found.kind, found.name, found.http_port) == (OCR, "lines", 9100)
    assert list(yaml.safe_load((made.folder / "config.yml").read_text())["op"]) == ["det", "rec"]
    for name in ("inference.pdmodel", "inference.pdiparams", "inference.yml"):
        assert (made.folder / "models" / "det" / name).read_bytes() == (service / "models" / "det" / name).read_bytes()
    for file in made.folder.glob("*.py"):
        compile(file.read_text(), file.name, "exec")
        assert not re.search("@[A-Z_]+@", file.read_text()), file


def changed(models: dict[str, Path], part: str, folder: Path, **content: Any) -> Path:
    made = folder / f"{part}-changed"
    made.mkdir()
    for file in models[part].iterdir():
        (made / file.name).symlink_to(file)
    (made / "inference.yml").unlink()
    said = yaml.safe_load((models[part] / "inference.yml").read_text())
    return ppocr.write(made, {**said, **content})


@pytest.mark.parametrize(
    ("sources", "error", "says"),
    [
        (["det"], UsageError, "no text recogniser"),
        (["rec", "cls"], UsageError, "no text detector"),
        (["det", "rec", "rec"], UsageError, "both of the stage rec"),
        (["det", "nothing", "rec"], NotAModelError, "nothing: no such file or folder"),
        (["det", "rec", "plain"], UsageError, "it has no inference.yml"),
        (["det", "rec", {"cls": {"PostProcess": {"Topk": {"label_list": ["cat", "dog"]}}}}], UnsupportedError, "says 180"),
        (["det", "rec", {"cls": {"PostProcess": {"Topk": {"label_list": ["0", "90", "180"]}}}}], UnsupportedError, "3 labels"),
        (["det", {"rec": {"PostProcess": {"name": "CTCLabelDecode", "character_dict": list("abc")}}}], UnsupportedError, "3 characters"),
        (["det", {"rec": {"PostProcess": {"name": "AttnLabelDecode"}}}], UsageError, "of something else"),
        (["det", {"rec": {"PreProcess": {"transform_ops": 3}}}], CorruptModelError, "transform_ops"),
        (["rec", {"det": {"PostProcess": {"name": "DBPostProcess", "thresh": -1}}}], CorruptModelError, "thresh"),
        (["rec", {"det": {"PreProcess": {"transform_ops": [{"DetResizeForTest": {"limit_side_len": 1e9}}]}}}], CorruptModelError, "an edge"),
    ],
)  # fmt: skip
def test_what_is_no_whole_is_refused(
    sources: list[Any], error: type[MconvError], says: str, models: dict[str, Path], tmp_path: Path
) -> None:
    found = []
    for each in sources:
        if isinstance(each, dict):
            ((part, content),) = each.items()
            found.append(changed(models, part, tmp_path, **content))
        elif each == "plain":
            found.append(tmp_path / "plain")
            found[-1].mkdir()
            for file in models["cls"].glob("inference.pd*"):
                (found[-1] / file.name).symlink_to(file)
        else:
            found.append(models.get(each, tmp_path / each))
    with pytest.raises(error, match=says) as raised:
        api.scaffold(found, tmp_path / "out", pipeline="ocr")
    assert not (tmp_path / "out").exists()
    if error is CorruptModelError:  # it names the folder that was given, not the copy that is made of it
        assert str(tmp_path / f"{next(iter(sources[1]))}-changed" / "inference.yml") in raised.value.message


@pytest.mark.parametrize(
    "options",
    [
        {"labels": "x"},
        {"image_size": "32"},
        {"service": "text"},
        {"max_length": 3},
        {"pipeline": "speech"},
        {"pipeline": None},
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        api.scaffold(list(models.values()), tmp_path / "out", **{"pipeline": "ocr", **options})
