"""Detection: what chooses among boxes, in batches and with nothing found, and what makes boxes, against the real Paddle."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.errors import UnsupportedError
from mconv.exporters.onnx import export
from mconv.onnx.convert import convert
from mconv.paddle.load import load
from mconv.program import targets
from mconv.program.targets import PADDLE_3
from tests.exporters.onnx.checking import check, exported, program_of
from tests.proof import detectors

pytest.importorskip("onnxruntime")
F, I32 = "float32", "int32"


def boxes(seed: int, images: int, count: int, size: float = 100.0) -> np.ndarray:
    """[images, count, 4], many of which overlap."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0.2, 0.8, (images, count, 2)) * size
    half = rng.uniform(0.05, 0.2, (images, count, 2)) * size
    return np.concatenate([centre - half, centre + half], -1).astype(np.float32)


def scores(seed: int, images: int, classes: int, count: int) -> np.ndarray:
    """All different, so that their order is no accident."""
    rng = np.random.default_rng(seed)
    values = rng.permutation(images * classes * count).astype(np.float32)
    return (values / values.size).reshape(images, classes, count)


def feeds_of_nms(images: tuple[int, ...], counts: tuple[int, ...]) -> list[dict[str, np.ndarray]]:
    made = []
    for k, (n, m) in enumerate(zip(images, counts)):
        made.append({"BBoxes": boxes(k, n, m), "Scores": scores(k, n, 3, m)})
    nothing = {"BBoxes": boxes(9, images[0], counts[0]), "Scores": np.zeros((images[0], 3, counts[0]), np.float32)}
    return [*made, nothing]


NMS = {
    "usual": {"background_label": -1, "score_threshold": 0.3, "nms_top_k": 100, "nms_threshold": 0.4, "keep_top_k": 20},
    "few of each image": {"background_label": -1, "score_threshold": 0.1, "nms_top_k": -1, "nms_threshold": 0.7, "keep_top_k": 4},
    "few of each class": {"background_label": -1, "score_threshold": 0.1, "nms_top_k": 3, "nms_threshold": 0.9, "keep_top_k": -1},
    "a class for nothing": {"background_label": 1, "score_threshold": 0.2, "nms_top_k": 30, "nms_threshold": 0.5, "keep_top_k": 10},
    "pixels": {"background_label": 0, "score_threshold": 0.2, "nms_top_k": 30, "nms_threshold": 0.5, "keep_top_k": 10, "normalized": False},
}  # fmt: skip


@pytest.mark.runtime
@pytest.mark.parametrize("images", [(1, 1), (2, 3)], ids=["one image", "a batch"])
@pytest.mark.parametrize("name", NMS)
def test_nms(name: str, images: tuple[int, ...], tmp_path: Path, workers: Any) -> None:
    """The same boxes in the same order, how many of each image, and which they are."""
    attributes = {"nms_eta": 1.0, "normalized": True, **NMS[name]}
    feeds = feeds_of_nms(images, (12, 25))
    outputs = {"Out": (F, 2), "Index": (I32, 2), "NmsRoisNum": (I32, 1)}
    program, params = program_of("multiclass_nms3", feeds[0], outputs, attributes, dynamic=images[0] > 1)
    for name_, axis in (("BBoxes", 1), ("Scores", 2)):
        program.main.vars[name_].desc.type.lod_tensor.tensor.dims[axis] = -1
    check(tmp_path, workers("current"), program, params, feeds, (11, 13, 22))


@pytest.mark.runtime
@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("images", [(1, 1), (2, 3)], ids=["one image", "a batch"])
@pytest.mark.parametrize(
    "more",
    [
        {"keep_top_k": 10, "nms_top_k": 8, "background_label": -1, "normalized": True},
        {"keep_top_k": -1, "nms_top_k": -1, "background_label": 0, "normalized": False},
    ],
    ids=["few", "all"],
)
def test_matrix_nms(
    more: dict[str, Any], images: tuple[int, ...], gaussian: bool, tmp_path: Path, workers: Any
) -> None:
    attributes = {
        "score_threshold": 0.2,
        "post_threshold": 0.1,
        "use_gaussian": gaussian,
        "gaussian_sigma": 1.5,
        **more,
    }
    feeds = feeds_of_nms(images, (12, 25))
    outputs = {"Out": (F, 2), "Index": (I32, 2), "RoisNum": (I32, 1)}
    program, params = program_of("matrix_nms", feeds[0], outputs, attributes, dynamic=images[0] > 1)
    for name, axis in (("BBoxes", 1), ("Scores", 2)):
        program.main.vars[name].desc.type.lod_tensor.tensor.dims[axis] = -1
    check(tmp_path, workers("current"), program, params, feeds, (11, 13, 22), tolerance=1e-4)


@pytest.mark.runtime
def test_the_first_nms(tmp_path: Path, workers: Any) -> None:
    """Nothing found is [[-1]]."""
    attributes = {"nms_eta": 1.0, "normalized": True, **NMS["usual"]}
    feeds = feeds_of_nms((1, 1), (12, 25))
    program, params = program_of("multiclass_nms", feeds[0], {"Out": (F, 2)}, attributes, dynamic=False)
    for name, axis in (("BBoxes", 1), ("Scores", 2)):
        program.main.vars[name].desc.type.lod_tensor.tensor.dims[axis] = -1
    check(tmp_path, workers("paddle-2.6.2"), program, params, feeds, (13, 22))


@pytest.mark.runtime
def test_plain_nms(tmp_path: Path, workers: Any) -> None:
    program, params = program_of(
        "nms", {"Boxes": boxes(1, 1, 9)[0]}, {"KeepBoxesIdxs": ("int64", 1)}, {"iou_threshold": 0.3}
    )
    check(tmp_path, workers("current"), program, params, [{"Boxes": boxes(k, 1, n)[0]} for k, n in ((1, 9), (2, 30))])


def test_what_cannot_be_said() -> None:
    attributes = {**NMS["usual"], "nms_eta": 0.9, "normalized": True}
    program, params = program_of(
        "multiclass_nms3", feeds_of_nms((1,), (12,))[0], {"Out": (F, 2)}, attributes, unread=["Index"]
    )
    with pytest.raises(UnsupportedError) as e:
        export(program, params, opset=13)
    assert "nms_eta" in e.value.rows[0]["reason"]


YOLO = {"anchors": [10, 13, 16, 30], "class_num": 3, "conf_thresh": 0.4, "downsample_ratio": 8}


@pytest.mark.runtime
@pytest.mark.parametrize(
    "more",
    [
        {"clip_bbox": True, "scale_x_y": 1.0, "iou_aware": False, "iou_aware_factor": 0.5},
        {"clip_bbox": False, "scale_x_y": 1.05, "iou_aware": False, "iou_aware_factor": 0.5},
        {"clip_bbox": True, "scale_x_y": 1.0, "iou_aware": True, "iou_aware_factor": 0.4},
    ],
    ids=["usual", "scaled", "aware"],
)
def test_yolo_box(more: dict[str, Any], tmp_path: Path, workers: Any) -> None:
    channels = 2 * (8 + more["iou_aware"])
    rng = np.random.default_rng(1)
    feeds = []
    for n, h, w in ((2, 4, 5), (1, 7, 3)):
        size = np.array([[h * 8, w * 8]] * n, np.int32)
        feeds.append({"X": rng.standard_normal((n, channels, h, w)).astype(np.float32), "ImgSize": size})
    program, params = program_of("yolo_box", feeds[0], {"Boxes": (F, 3), "Scores": (F, 3)}, {**YOLO, **more})
    for axis in (2, 3):
        program.main.vars["X"].desc.type.lod_tensor.tensor.dims[axis] = -1
    check(tmp_path, workers("current"), program, params, feeds, (11, 13, 22))


@pytest.mark.runtime
@pytest.mark.parametrize("order", [False, True])
@pytest.mark.parametrize("step", [0.0, 8.0])
def test_prior_box(order: bool, step: float, tmp_path: Path, workers: Any) -> None:
    attributes = {
        "min_sizes": [10.0, 20.0], "max_sizes": [15.0, 30.0], "aspect_ratios": [2.0, 3.0], "variances": [0.1, 0.1, 0.2, 0.2],
        "flip": True, "clip": not order, "step_w": step, "step_h": step, "offset": 0.5, "min_max_aspect_ratios_order": order,
    }  # fmt: skip
    feeds = [
        {"Input": np.zeros((1, 2, h, w), np.float32), "Image": np.zeros((1, 3, h * 8, w * 8), np.float32)}
        for h, w in ((3, 4), (5, 2))
    ]
    program, params = program_of(
        "prior_box", feeds[0], {"Boxes": (F, 4), "Variances": (F, 4)}, attributes, dynamic=False
    )
    for name in ("Input", "Image"):
        for axis in (2, 3):
            program.main.vars[name].desc.type.lod_tensor.tensor.dims[axis] = -1
    check(tmp_path, workers("current"), program, params, feeds)


@pytest.mark.runtime
@pytest.mark.parametrize("kind", ["encode_center_size", "decode_center_size"])
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("spread", ["tensor", "numbers"])
def test_box_coder(kind: str, normalized: bool, spread: str, tmp_path: Path, workers: Any) -> None:
    rng = np.random.default_rng(2)
    feeds = []
    for count in (6, 9):
        target = (
            boxes(3, 1, 4)[0] if kind.startswith("e") else rng.standard_normal((5, count, 4)).astype(np.float32) * 0.3
        )
        feed = {"PriorBox": boxes(1, 1, count)[0], "TargetBox": target}
        if spread == "tensor":
            feed["PriorBoxVar"] = rng.uniform(0.1, 0.5, (count, 4)).astype(np.float32)
        feeds.append(feed)
    attributes: dict[str, Any] = {"code_type": kind, "box_normalized": normalized, "axis": 0}
    if spread == "numbers":
        attributes["variance"] = [0.1, 0.1, 0.2, 0.2]
    program, params = program_of("box_coder", feeds[0], {"OutputBox": (F, 3)}, attributes)
    if not kind.startswith("e"):
        program.main.vars["TargetBox"].desc.type.lod_tensor.tensor.dims[1] = -1
    check(tmp_path, workers("current"), program, params, feeds, tolerance=1e-4)


@pytest.mark.runtime
@pytest.mark.parametrize("pixel_offset", [True, False])
@pytest.mark.parametrize("images", [1, 2])
def test_proposals(images: int, pixel_offset: bool, tmp_path: Path, workers: Any) -> None:
    """Two sizes of the map; and anchors that are too small, of which one box of zeros is left."""
    rng = np.random.default_rng(6)
    attributes = {
        "pre_nms_topN": 30,
        "post_nms_topN": 8,
        "nms_thresh": 0.6,
        "min_size": 4.0,
        "eta": 1.0,
        "pixel_offset": pixel_offset,
    }
    feeds = []
    for h, w, size in ((4, 5, 60.0), (6, 3, 60.0), (4, 5, 1.0)):
        anchors = boxes(h, 1, h * w * 3, size)[0].reshape(h, w, 3, 4)
        feeds.append(
            {
                "Scores": scores(h, images, 3, h * w).reshape(images, 3, h, w),
                "BboxDeltas": (rng.standard_normal((images, 12, h, w)) * 0.3).astype(np.float32),
                "ImShape": np.array([[50.0, 70.0]] * images, np.float32),
                "Anchors": anchors,
                "Variances": np.full_like(anchors, 0.5),
            }
        )
    outputs = {"RpnRois": (F, 2), "RpnRoiProbs": (F, 2), "RpnRoisNum": (I32, 1)}
    program, params = program_of("generate_proposals_v2", feeds[0], outputs, attributes, dynamic=images > 1)
    for name, axes in (("Scores", (2, 3)), ("BboxDeltas", (2, 3)), ("Anchors", (0, 1)), ("Variances", (0, 1))):
        for axis in axes:
            program.main.vars[name].desc.type.lod_tensor.tensor.dims[axis] = -1
    check(tmp_path, workers("current"), program, params, feeds, (11, 13, 22), tolerance=1e-4)


@pytest.mark.runtime
def test_a_pyramid(tmp_path: Path, workers: Any) -> None:
    """Boxes of every size, of two images; some levels get none."""
    from mconv.program.dtypes import DType
    from mconv.program.program import Var

    attributes = {"min_level": 2, "max_level": 5, "refer_level": 4, "refer_scale": 224, "pixel_offset": False}
    sets = []
    for k, (a, b, size) in enumerate(((5, 4, 900.0), (2, 7, 60.0))):
        sets.append({"FpnRois": boxes(k, 1, a + b, size)[0], "RoisNum": np.array([a, b], np.int32)})
    program, params = program_of("distribute_fpn_proposals", sets[0], {"RestoreIndex": (I32, 2)}, attributes)
    block = program.main
    op = next(o for o in block.ops if o.type == "distribute_fpn_proposals")
    fetch = next(o for o in block.ops if o.type == "fetch")
    for parameter, dtype, shape in (("MultiFpnRois", DType.FP32, [-1, 4]), ("MultiLevelRoIsNum", DType.INT32, [-1])):
        names = [f"{parameter}{i}" for i in range(4)]
        op.set_output(parameter, names)
        for name in names:
            block.add_var(Var.tensor(name, dtype, shape))
            made = type(fetch)(type(fetch.desc)())
            made.desc.CopyFrom(fetch.desc)
            made.set_input("X", [name])
            made.set_attr("col", sum(o.type == "fetch" for o in block.ops), 0)  # type: ignore[arg-type]
            block.ops.append(made)
    check(tmp_path, workers("current"), program, params, sets)


@pytest.mark.runtime
@pytest.mark.parametrize("kind", ["nms", "mask", "multiclass_nms3"])
def test_detectors_of_paddle_3(kind: str, tmp_path: Path) -> None:
    """Whole detectors, at two sizes, each with boxes and with nothing in the picture."""
    pytest.importorskip("paddle")
    saved = _saved(tmp_path.parent)
    answers = np.load(saved / f"{kind}.npz")
    found = load(saved / f"{kind}.json", target=PADDLE_3)
    for opset in (13, 22):
        _made, running = exported(found.program, found.params, tmp_path / f"m{opset}.onnx", opset)
        for k, frame in enumerate(detectors.frames()):
            got = running.run(None, {"image": frame})
            assert bool(len(got[0])) == (k % 2 == 0)
            for n, value in enumerate(got):
                wanted = answers[f"{k}.{n}"]
                assert value.shape == wanted.shape
                np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)


@functools.cache
def _saved(folder: Path) -> Path:
    made = folder / "detectors"
    made.mkdir(exist_ok=True)
    script = [sys.executable, str(Path(detectors.__file__)), str(made)]
    subprocess.run(script, check=True, capture_output=True, timeout=300)
    return made


@pytest.mark.runtime
@pytest.mark.parametrize("target", ["2.3", "3"])
def test_an_onnx_detector_and_back(target: str, tmp_path: Path) -> None:
    """Its NonMaxSuppression is a loop in Paddle, and a Loop again."""
    import onnx
    import onnxruntime as ort

    source = detectors.onnx_detector()
    onnx.save(source, tmp_path / "detector.onnx")
    made = convert(tmp_path / "detector.onnx", targets.get(target))
    reference = ort.InferenceSession(source.SerializeToString(), providers=["CPUExecutionProvider"])
    _made, running = exported(made.program, made.params, tmp_path / "m.onnx", 17)
    for frame in detectors.frames():
        for wanted, got in zip(reference.run(None, {"image": frame}), running.run(None, {"image": frame}), strict=True):
            assert got.shape == wanted.shape
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
