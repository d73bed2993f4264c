"""``inference.yml`` of PaddleX: what it says, the settings it becomes, and that a service then reads pictures and outputs as
RapidOCR, which has the same models and PaddleOCR's own steps around them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv import api
from mconv.errors import CorruptModelError
from mconv.program.dtypes import DType
from mconv.proof.service import png
from mconv.serving import paddlex
from mconv.serving.image_settings import ImageOptions, ImageSettings, settle
from mconv.serving.kinds import ModelInput
from mconv.serving.scaffold import Service, options_from, plan
from tests.proof.services import post, running
from tests.serving import ppocr
from tests.serving.generated import load, model

PICTURE = {"x": (DType.FP32, (-1, 3, -1, -1))}
INPUT = [ModelInput("x", DType.FP32, (None, 3, None, None))]


def settled(folder: Path, options: ImageOptions = ImageOptions()) -> ImageSettings:
    return settle(INPUT, options, folder, paddlex.find(folder))


def operators(*ops: Any, **post: Any) -> dict[str, Any]:
    return {"PreProcess": {"transform_ops": list(ops)}, "PostProcess": post}


IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (operators({"ResizeImage": {"resize_short": 256}}, {"CropImage": {"size": 224}},
                   {"NormalizeImage": {"scale": 0.00392156862745098, **IMAGENET, "order": "", "channel_num": 3}}, ppocr.CHW),
         {"height": 224, "width": 224, "fit": "crop", "short_edge": 256, "order": "rgb", "library": "opencv",
          "resample": "bilinear", "scale": 1 / 255, **IMAGENET}),
        (operators({"ResizeImage": {"size": [192, 48], "interpolation": "BICUBIC", "backend": "pil"}}, "ToCHWImage"),
         {"height": 48, "width": 192, "fit": "stretch", "library": "pillow", "resample": "bicubic"}),
        (operators(ppocr.DECODE, {"RecResizeImg": {"image_shape": [3, 48, 320]}}),
         {"height": 48, "width": None, "fit": "pad", "widths": (320, 3200), "order": "bgr", "mean": [0.5] * 3}),
        (operators({"DetResizeForTest": {"resize_long": 960}}), {"edge": 960, "limit": "shortest", "height": None}),
        ({"Global": {"model_name": "PP-OCRv5_mobile_det"}, **operators({"DetResizeForTest": {"resize_long": 960}})},
         {"edge": 960, "limit": "longest", "fit": "pad"}),
        (operators({"DetResizeForTest": None}), {"edge": 736, "limit": "shortest"}),
        (operators({"DetResizeForTest": {"limit_type": "resize_long", "limit_side_len": 512}}), {"edge": 512, "limit": "long"}),
        (operators({"DetResizeForTest": {"image_shape": [480, 640]}}), {"height": 480, "width": 640, "fit": "stretch"}),
        (operators({"NormalizeImage": None}), IMAGENET),
    ],
)  # fmt: skip
def test_settings(content: Any, wanted: dict[str, Any], tmp_path: Path) -> None:
    found = settled(ppocr.write(tmp_path, content))
    assert {k: getattr(found, k) for k in wanted} == {
        k: pytest.approx(v) if k == "scale" else v for k, v in wanted.items()
    }


def test_options_come_first(tmp_path: Path) -> None:
    folder = ppocr.write(tmp_path, ppocr.rec())
    found = settled(folder, ImageOptions(size="32x?", order="rgb", library="pillow"))
    assert (found.height, found.widths, found.order, found.library, found.mean) == (
        32,
        None,
        "rgb",
        "pillow",
        [0.5] * 3,
    )


def test_what_a_service_does_not_do_is_said(tmp_path: Path) -> None:
    folder = ppocr.write(tmp_path, operators({"TableMasterResize": {"size": 480}}, {"ResizeImage": {"size": 32}}))
    (note,) = [n for n in settled(folder).notes if "TableMasterResize" in n]
    assert "image_input.py" in note


@pytest.mark.parametrize(
    "content",
    [
        "PreProcess: {transform_ops: [", "PreProcess: {transform_ops: 3}", {"PreProcess": {"transform_ops": [3]}},
        {"PreProcess": {"transform_ops": [{"a": None, "b": None}]}}, operators({"ResizeImage": [1]}),
        operators({"ResizeImage": {"size": "x"}}), operators({"ResizeImage": {"size": [1, 2, 3]}}),
        operators({"ResizeImage": {"interpolation": "BEST", "size": 3}}), operators({"CropImage": {"size": -4}}),
        operators({"NormalizeImage": {"scale": "__import__('os')"}}), operators({"NormalizeImage": {"scale": "1/0"}}),
        operators({"NormalizeImage": {"mean": 3}}), operators({"RecResizeImg": {"image_shape": [3, 48]}}),
        operators({"DecodeImage": {"img_mode": "CMYK"}}), operators({"DetResizeForTest": {"limit_type": "no"}}),
        operators({"NormalizeImage": {"mean": [0.5, 0.5]}}), operators({"NormalizeImage": {"std": [0, 0, 0]}}),
        operators({"DetResizeForTest": {"image_shape": 32}}), operators({"DetResizeForTest": {"image_shape": "32"}}),
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
        ) + "PreProcess: {transform_ops: [*a8]}",
        "PreProcess: {transform_ops: [0x" + "F" * 6000 + "]}", "PreProcess: {transform_ops: [{CropImage: {size: .nan}}]}",
        {"PreProcess": {"transform_ops": []}, "PostProcess": [1]}, "\x00", "a: &a [*a, *a]\nPreProcess: {transform_ops: *a}",
        "PreProcess: {transform_ops: [{CropImage: {size: true}}]}", "PreProcess: {transform_ops: [{x: !!bool q}]}",
    ],
)  # fmt: skip
def test_damaged(content: Any, tmp_path: Path) -> None:
    with pytest.raises(CorruptModelError, match="inference.yml"):
        settled(ppocr.write(tmp_path, content))


@pytest.mark.parametrize(
    "after",
    [
        {"Topk": {"label_list": 5}}, {"Topk": {"label_list": "ab"}}, {"Topk": {"label_list": [None, None]}},
        {"Topk": {"label_list": {"0": "a"}}}, {"Topk": {"label_list": ["a\nb", "c"]}},
        {"name": "CTCLabelDecode", "character_dict": True}, {"name": "CTCLabelDecode", "character_dict": ["a\nb", "c"]},
        {"name": "CTCLabelDecode", "character_dict": ["\\ud83d"]},
        {"name": "DBPostProcess", "thresh": float("nan")}, {"name": "DBPostProcess", "unclip_ratio": float("inf")},
        {"name": "DBPostProcess", "box_thresh": -1}, {"name": "DBPostProcess", "use_dilation": "false"},
        {"name": "DBPostProcess", "max_candidates": "many"},
    ],
)  # fmt: skip
def test_damaged_readings_of_outputs(after: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    text = json.dumps({"PreProcess": {"transform_ops": []}, "PostProcess": after}).replace("NaN", ".nan")
    (folder / "inference.yml").write_text(text.replace("Infinity", ".inf").replace("\\\\ud83d", "\\ud83d"))
    with pytest.raises(CorruptModelError, match="inference.yml"):
        planned(folder, {"y": (-1, 2)})


def test_texts_of_json(tmp_path: Path) -> None:
    """JSON is YAML, and writes what is beyond 16 bits in two halves."""
    content = json.dumps(operators(Topk={"label_list": ["\U0001f600 smile", 7]}))
    assert planned(ppocr.write(tmp_path, content), {"y": (-1, 2)}).files["labels.txt"] == "\U0001f600 smile\n7\n"


@pytest.mark.parametrize("content", ["", "arch: YOLO\nPreprocess: []\n", "[1, 2]", "Deploy: {transforms: []}"])
def test_of_another_kind(content: str, tmp_path: Path) -> None:
    assert paddlex.find(ppocr.write(tmp_path, content)) is None
    assert paddlex.find(tmp_path / "nothing") is None and paddlex.find(None) is None


# as RapidOCR -------------------------------------------------------------------------------------------------

Read = Callable[..., tuple[Any, Any]]


def planned(folder: Path, outputs: dict[str, Any]) -> Service:
    return plan(*model(PICTURE, fetches=list(outputs), outputs=outputs), options_from({}), beside=folder)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """(inputs, answers) of the service that an ``inference.yml`` makes of a model with these outputs."""

    def make(content: Any, answer: str, **outputs: Any) -> tuple[Any, Any]:
        made = planned(ppocr.write(tmp_path / "model", content), outputs)
        (tmp_path / "service").mkdir()
        inputs = load(made, tmp_path / "service", "image_input.py", monkeypatch).Inputs()
        return inputs, load(made, tmp_path / "service", answer, monkeypatch).Answers()

    return make


def request(*pictures: np.ndarray) -> dict[str, str]:
    return {str(i): base64.b64encode(png(one)).decode() for i, one in enumerate(pictures)}


def run(part: str, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    return np.asarray(onnxruntime.InferenceSession(str(ppocr.onnx_file(part))).run(None, {"x": x})[0])


def test_a_recogniser_answers_texts(service: Read) -> None:
    from rapidocr_onnxruntime.ch_ppocr_rec.text_recognize import TextRecognizer

    lines = [ppocr.line(text) for text in (*ppocr.LINES, "one long line of text, longer than any of the others here")]
    theirs = TextRecognizer.__new__(TextRecognizer)
    theirs.rec_image_shape = [3, 48, 320]
    inputs, answers = service(ppocr.rec(), "text_answer.py", y=(-1, -1, len(ppocr.characters()) + 2))
    for picture, text in zip(lines, (*ppocr.LINES, "one long line of text, longer than any of the others here")):
        sent: dict[str, Any] = {}
        x = inputs.read(request(picture), sent)["x"]
        ratio = max(320 / 48, picture.shape[1] / picture.shape[0])
        assert np.abs(x[0] - theirs.resize_norm_img(picture[:, :, ::-1], ratio)).max() < 1e-5
        found = answers.read({"y": run("rec", x)}, sent)
        assert json.loads(found["text"])[0].replace(" ", "") == text.replace(" ", "")
        assert 0.8 < json.loads(found["score"])[0] <= 1
    nothing = answers.read({"y": np.eye(6625, dtype="float32")[[[0, 0, 0]]]}, {})
    assert nothing == {"text": '[""]', "score": "[0.0]"}


def test_a_detector_answers_boxes(service: Read) -> None:
    from rapidocr_onnxruntime.ch_ppocr_det.utils import DBPostProcess, DetPreProcess

    inputs, answers = service(ppocr.DET, "box_answer.py", y=(-1, 1, -1, -1))
    before = DetPreProcess(736, "min")
    after = DBPostProcess(thresh=0.3, box_thresh=0.5, unclip_ratio=1.6, use_dilation=True)
    for seed, size in enumerate([(640, 480), (900, 700), (333, 517)]):
        picture = ppocr.page(5, size, seed)
        sent: dict[str, Any] = {}
        x = inputs.read(request(picture), sent)["x"]
        assert np.abs(x - before(picture[:, :, ::-1])).max() < 1e-5
        found = answers.read({"y": run("det", x)}, sent)
        ((boxes,), (scores,)) = (json.loads(found[key]) for key in ("boxes", "score"))
        theirs, sure = after(run("det", x), picture.shape[:2])
        assert len(boxes) == len(theirs) >= 4
        order = np.lexsort((theirs[:, 0, 0], theirs[:, 0, 1] // 10))
        assert np.abs(np.array(boxes) - theirs[order]).max() <= 2  # RapidOCR cuts corners to whole numbers in between
        assert np.abs(np.array(scores) - np.array(sure)[order]).max() < 0.02
    blank = np.full((64, 64, 3), 255, np.uint8)
    sent = {}
    x = inputs.read(request(blank, ppocr.page(3)), sent)["x"]
    (none, some) = json.loads(answers.read({"y": run("det", x)}, sent)["boxes"])
    assert none == [] and len(some) == 3


def test_labels_of_a_classifier(tmp_path: Path) -> None:
    folder = ppocr.write(tmp_path, ppocr.CLS)
    assert planned(folder, {"y": (-1, 2)}).files["labels.txt"] == "0_degree\n180_degree\n"
    other = planned(folder, {"y": (-1, 3)})
    assert "labels.txt" not in other.files and any("2 labels" in note for note in other.notes)


def test_what_is_read_is_answered_alone(tmp_path: Path) -> None:
    """The outputs of a recogniser are megabytes; those that nothing reads are the answer."""
    made = planned(ppocr.write(tmp_path / "rec", ppocr.rec()), {"y": (-1, -1, len(ppocr.characters()) + 2)})
    assert "\nOUTPUTS = False or " in made.files["web_service.py"]
    assert (
        "\nOUTPUTS = True or "
        in planned(ppocr.write(tmp_path / "cls", ppocr.CLS), {"y": (-1, 2)}).files["web_service.py"]
    )


def test_another_number_of_characters_is_said(tmp_path: Path) -> None:
    made = planned(ppocr.write(tmp_path, ppocr.rec()), {"y": (-1, -1, 97)})
    assert "text_answer.py" not in made.files and any("97" in note for note in made.notes)


# where the model goes -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PP-OCRv4's recogniser as PaddleX has it: the folder of an inference model, with its ``inference.yml``."""
    folder = tmp_path_factory.mktemp("rec") / "PP-OCRv4_mobile_rec"
    api.onnx2paddle(ppocr.onnx_file("rec"), folder, verify=False)
    return ppocr.write(folder, ppocr.rec())


def test_the_description_goes_where_the_model_goes(recogniser: Path, tmp_path: Path) -> None:
    text = (recogniser / "inference.yml").read_bytes()
    api.downgrade(recogniser, tmp_path / "same")
    api.half(recogniser, tmp_path / "half", target="2.6", verify=False)
    api.to_serving(recogniser, out=tmp_path)
    for folder in ("same", "half", "serving_server"):
        assert (tmp_path / folder / "inference.yml").read_bytes() == text
        assert api.check(tmp_path / folder, sources=[recogniser / "inference.yml"]).ok
    (recogniser / "inference.yml").write_bytes(text + b"# changed\n")
    try:
        assert not api.check(tmp_path / "same", sources=[recogniser / "inference.yml"]).ok
    finally:
        (recogniser / "inference.yml").write_bytes(text)
    # a service that is made later finds it there
    assert "text_answer.py" in api.scaffold(tmp_path / "serving_server").files
    # it describes the model of its own name, no other one in the folder
    for path in sorted(recogniser.glob("inference.pd*")):
        (recogniser / f"other{path.suffix}").write_bytes(path.read_bytes())
    api.downgrade(recogniser / "other.pdmodel", tmp_path / "other")
    assert not (tmp_path / "other" / "inference.yml").exists()
    for path in recogniser.glob("other.*"):
        path.unlink()


def test_every_verb_puts_it_beside_its_result(recogniser: Path, tmp_path: Path) -> None:
    text = (recogniser / "inference.yml").read_bytes()
    api.convert(recogniser, tmp_path / "out", verify=False, keep_inference=False)
    api.to_onnx(recogniser, tmp_path / "onnx" / "inference.onnx", verify=False)  # as PaddleX looks for it
    api.to_onnx(recogniser, tmp_path / "other" / "rec.onnx", verify=False)
    api.edit(recogniser, tmp_path / "edited", dims={"batch": 1}, verify=False)
    for folder in ("out/serving_server", "onnx", "edited"):
        assert (tmp_path / folder / "inference.yml").read_bytes() == text, folder
    assert not (tmp_path / "other" / "inference.yml").exists()
    # into the folder itself: what is there stays
    api.to_onnx(recogniser, recogniser / "inference.onnx", verify=False)
    assert (recogniser / "inference.yml").read_bytes() == text
    (recogniser / "inference.onnx").unlink()


def test_inspect_says_what_it_is(recogniser: Path) -> None:
    (note,) = [n for n in api.inspect(recogniser).notes if "inference.yml" in n]
    assert "PP-OCRv4_mobile_rec" in note and "DecodeImage → RecResizeImg; outputs read as text" in note
    text = (recogniser / "inference.yml").read_bytes()
    (recogniser / "inference.yml").write_text("PreProcess: {transform_ops: 3}")
    assert any("no list of transform_ops" in n for n in api.inspect(recogniser).notes)
    (recogniser / "inference.yml").write_bytes(text)


@pytest.mark.slow
@pytest.mark.runtime
@pytest.mark.parametrize("part", ["det", "rec"])
def test_the_service_answers_through_paddle_serving(part: str, tmp_path: Path) -> None:
    """From the folder of PaddleX to answers over HTTP, in Paddle 2.3.2."""
    folder = tmp_path / part
    api.onnx2paddle(ppocr.onnx_file(part), folder, verify=False)
    ppocr.write(folder, ppocr.rec() if part == "rec" else ppocr.DET)
    api.convert(folder, tmp_path / "out", pipeline={"name": part})
    pictures = [ppocr.line(text) for text in ppocr.LINES] if part == "rec" else [ppocr.page(5, (640, 480))]
    with running(tmp_path / "out") as pipeline:
        for i, picture in enumerate(pictures):
            sent = request(picture)
            answer = post(pipeline, list(sent), list(sent.values()))
            values = dict(zip(answer["key"], answer["value"]))
            if part == "rec":
                assert json.loads(values["text"])[0].replace(" ", "") == ppocr.LINES[i].replace(" ", "")
            else:
                assert len(json.loads(values["boxes"])[0]) == 5
