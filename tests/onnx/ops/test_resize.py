"""Resizing in every mode, with sizes that change from run to run and with scales and sizes that come in at run time."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from mconv.errors import MconvError
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program.targets import PADDLE_3
from tests.onnx.checks import (
    CURRENT,
    ONEDNN,
    RUNTIMES,
    check_op,
    check_refused,
    everywhere,
    in_runtimes,
    node_model,
    rand,
)

IMAGES = [rand(2, 1, 4, 5), rand(1, 1, 5, 3)]
_seen: dict[str, list[list[np.ndarray]]] = {}  # ONNX's evaluator is slow, and runtimes share what it says
WAYS = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
SCALES = [(2.0, 3.0), (0.5, 0.5), (1.5, 2.25), (0.6, 1.0)]
BROKEN = [(3.3, 0.9), (2.6, 1.7), (0.3, 1.25), (0.75, 2.6)]


def by_definition(op: str, sets, **how):
    """ONNX's own evaluator; None where onnxruntime is asked: of corners and a broken scale the evaluator has its own idea."""
    if how.get("coordinate_transformation_mode") == "align_corners":
        return None
    key = f"{op} {how} {[[None if v is None else (v.shape, v.tobytes()) for v in s] for s in sets]}"
    if key in _seen:
        return _seen[key]
    const = how.get("const", ())
    model = node_model(op, sets, **how)
    feeds = [{f"x{i}": v for i, v in enumerate(s) if v is not None and i not in const} for s in sets]
    _seen[key] = [ReferenceEvaluator(model).run(None, f) for f in feeds]
    return _seen[key]


@everywhere
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scales", SCALES, ids=str)
def test_scales(runtime, mode, way, scales):
    """Known scales, sizes known at run time only."""
    sets = [[x, None, np.array([1, 1, *scales], np.float32)] for x in IMAGES]
    how = {"const": (2,), "mode": mode, "coordinate_transformation_mode": way}
    # what a single row is taken from, ONNX's text and onnxruntime see alike, its evaluator does not
    expected = None if way == "pytorch_half_pixel" else by_definition("Resize", sets, **how)
    check_op(runtime, "Resize", *sets, expected=expected, **how)


@everywhere
@pytest.mark.parametrize("way", ["half_pixel", "asymmetric", "align_corners"])
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("scales", SCALES, ids=str)
def test_nearest(runtime, way, rounding, scales):
    sets = [[x, None, np.array([1, 1, *scales], np.float32)] for x in IMAGES]
    how = {"const": (2,), "mode": "nearest", "coordinate_transformation_mode": way, "nearest_mode": rounding}
    # by 0.6, a row is taken by the last bit of its position: onnxruntime's, in float32
    expected = None if 0.6 in scales else by_definition("Resize", sets, **how)
    check_op(runtime, "Resize", *sets, expected=expected, **how)


@in_runtimes(*RUNTIMES, ONEDNN[0])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("scales", BROKEN, ids=str)
def test_broken_scales(runtime, way, mode, scales):
    """Sizes are made whole as ONNX Runtime does, and a single row made smaller has no elements."""
    sets = [
        [rand(*shape), None, np.array([1, 1, *scales], np.float32)]
        for shape in ((1, 2, 5, 7), (2, 2, 10, 3), (1, 2, 1, 1))
    ]
    for rounding in ("round_prefer_floor", "ceil") if mode == "nearest" else ("",):
        how = {"nearest_mode": rounding} if rounding else {}
        check_op(runtime, "Resize", *sets, const=(2,), mode=mode, coordinate_transformation_mode=way, **how)
        check_op(runtime, "Resize", sets[0], const=(2,), mode=mode, coordinate_transformation_mode=way, **how)


@everywhere
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("way", WAYS)
def test_known_sizes(runtime, mode, way):
    sets = [[x, None, None, np.array([1, 2, 7, 8], np.int64)] for x in (rand(1, 2, 4, 5), rand(1, 2, 3, 5))]
    how = {"const": (3,), "mode": mode, "coordinate_transformation_mode": way}
    check_op(runtime, "Resize", *sets, expected=by_definition("Resize", sets, **how), **how)


@everywhere
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_sizes_at_run_time(runtime, mode):
    sets = [[x, None, None, np.array([*x.shape[:2], 5 + i, 8], np.int64)] for i, x in enumerate(IMAGES)]
    check_op(runtime, "Resize", *sets, expected=by_definition("Resize", sets, mode=mode), mode=mode)


@everywhere
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_scales_at_run_time(runtime, mode):
    sets = [[x, None, np.array([1, 1, 1.5 + i, 0.7], np.float32)] for i, x in enumerate(IMAGES)]
    check_op(runtime, "Resize", *sets, expected=by_definition("Resize", sets, mode=mode), mode=mode)


@everywhere
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("outside", [0, 1])
def test_antialias(runtime, mode, outside):
    sets = [[x, None, np.array([1, 1, 0.6, 0.45], np.float32)] for x in IMAGES]
    how = {"const": (2,), "mode": mode, "antialias": 1, "exclude_outside": outside}
    check_op(runtime, "Resize", *sets, expected=by_definition("Resize", sets, **how), **how)


@everywhere
@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_aspect_ratio(runtime, policy):
    sets = [[x, None, None, np.array([9, 8], np.int64)] for x in (rand(1, 1, 6, 7), rand(2, 1, 6, 7))]
    how = {"const": (3,), "mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": policy}
    check_op(runtime, "Resize", *sets, expected=by_definition("Resize", sets, **how), **how)


@everywhere
def test_crop(runtime):
    roi = np.array([0.2, 0.1, 0.9, 1.2], np.float32)
    sets = [[x, roi, None, np.array([4, 5], np.int64)] for x in (rand(1, 1, 6, 7), rand(2, 1, 6, 7))]
    way = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.0}
    how = {"const": (1, 3), "mode": "linear", "axes": [2, 3], **way}
    check_op(runtime, "Resize", *sets, expected=by_definition("Resize", sets, **how), **how)


@everywhere
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_crop_of_sizes_of_which_one_is_open(runtime, mode):
    roi = np.array([0.2, 0.1, 0.85, 1.2], np.float32)
    sets = [[x, roi, None, np.array([4, 5], np.int64)] for x in (rand(1, 1, 6, 7), rand(2, 1, 6, 9))]
    way = {"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.0}
    how = {"const": (1, 3), "mode": mode, "axes": [2, 3], **way}
    check_op(runtime, "Resize", *sets, expected=by_definition("Resize", sets, **how), **how)


@everywhere
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_other_ranks(runtime, k, mode):
    sets = [[x, None, np.array([1, 1, *[2.0] * k], np.float32)] for x in (rand(2, 1, *[2] * k), rand(1, 1, *[3] * k))]
    check_op(
        runtime, "Resize", *sets, expected=by_definition("Resize", sets, const=(2,), mode=mode), const=(2,), mode=mode
    )


@everywhere
@pytest.mark.parametrize("op, opset", [("Upsample", 9), ("Resize", 10)])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_before_opset_11(runtime, op, opset, mode):
    sets = [[x, np.array([1, 1, 2, 3], np.float32)] for x in IMAGES]
    check_op(runtime, op, *sets, opset=opset, mode=mode, const=(1,))


@everywhere
def test_nearest_of_integers(runtime):
    sets = [[rand(1, 2, 4, 4, dtype=np.uint8, low=0, high=255), None, np.array([1, 1, 2, 2], np.float32)]]
    check_op(runtime, "Resize", *sets, const=(2,), mode="nearest")


def test_linear_of_integers():
    sets = [[rand(1, 2, 4, 4, dtype=np.uint8, low=0, high=255), None, np.array([1, 1, 2, 2], np.float32)]]
    check_refused(CURRENT, "Resize", *sets, match="uint8", const=(2,), mode="linear")


def test_axes_that_do_not_fit_are_refused() -> None:
    two = np.array([2, 2], np.float32)
    with pytest.raises(MconvError):  # ONNX's own inference knows some of them
        check_op(CURRENT, "Resize", [rand(1, 2, 4, 4), None, two], const=[2], axes=[2, 7], expected=[[two]])


def test_a_stated_shape_of_another_rank_is_not_believed() -> None:
    """Scales come in at run time, and the model states a result of fewer dimensions: no shape to take sizes from."""
    model = node_model("Resize", [[rand(1, 2, 4, 4), None, np.array([1, 1, 2, 2], np.float32)]])
    model.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 4
    try:
        convert(OnnxModel(model), PADDLE_3)
    except MconvError as e:
        assert "\n" not in e.message
