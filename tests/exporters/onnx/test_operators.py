"""Operators one by one, with the attributes that models seldom have, against the real Paddle: two sizes and none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv.errors import UnsupportedError
from mconv.exporters.onnx import export
from mconv.program.dtypes import DType
from mconv.program.program import Var
from mconv.runtimes import Worker
from tests.exporters.onnx.checking import check, program_of

pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(3)
F = "float32"


def f(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def p(*shape: int) -> np.ndarray:
    return RNG.uniform(0.2, 2, shape).astype(np.float32)


def i(*shape: int, high: int = 5) -> np.ndarray:
    return RNG.integers(0, high, shape).astype(np.int64)


# name: (operator, inputs at the first size, outputs, attributes, stored inputs)
CASES: dict[str, tuple[Any, ...]] = {
    "add to the middle": ("elementwise_add", {"X": f(2, 3, 4), "Y": f(3)}, {"Out": (F, 3)}, {"axis": 1}, ["Y"]),
    "floordiv of negative": ("elementwise_floordiv", {"X": i(2, 6) - 3, "Y": i(1, 6) + 1}, {"Out": ("int64", 2)}, {}, ["Y"]),
    "mod of negative": ("elementwise_mod", {"X": f(2, 6), "Y": p(1, 6)}, {"Out": (F, 2)}, {}, ["Y"]),
    "mul flattens": ("mul", {"X": f(2, 3, 4), "Y": f(12, 5)}, {"Out": (F, 2)}, {"x_num_col_dims": 1}, ["Y"]),
    "mul of rows": ("mul", {"X": f(2, 3, 4), "Y": f(4, 5)}, {"Out": (F, 3)}, {"x_num_col_dims": 2}, ["Y"]),
    "matmul by alpha": ("matmul", {"X": f(2, 3, 4), "Y": f(5, 4)}, {"Out": (F, 3)}, {"transpose_X": False, "transpose_Y": True, "alpha": 0.5, "head_number": 1}, ["Y"]),
    "matmul of a matrix": ("matmul_v2", {"X": f(2, 4), "Y": f(5, 4)}, {"Out": (F, 2)}, {"trans_x": False, "trans_y": True}, ["Y"]),
    "scale before": ("scale", {"X": f(2, 3)}, {"Out": (F, 2)}, {"scale": 2.0, "bias": 1.5, "bias_after_scale": False}),
    "scale of integers": ("scale", {"X": i(2, 3)}, {"Out": ("int64", 2)}, {"scale": 3.0, "bias": 2.0}),
    "round of halves": ("round", {"X": (i(2, 9) - 4).astype(np.float32) / 2}, {"Out": (F, 2)}, {}),
    "clip": ("clip", {"X": f(2, 5)}, {"Out": (F, 2)}, {"min": -0.5, "max": 0.25}),
    "gelu": ("gelu", {"X": f(2, 5)}, {"Out": (F, 2)}, {"approximate": False}),
    "gelu by tanh": ("gelu", {"X": f(2, 5)}, {"Out": (F, 2)}, {"approximate": True}),
    "softplus of beta": ("softplus", {"X": f(2, 5)}, {"Out": (F, 2)}, {"beta": 3.0, "threshold": 2.0}),
    "prelu of channels": ("prelu", {"X": f(2, 3, 4, 4), "Alpha": p(1, 3, 1, 1)}, {"Out": (F, 4)}, {"mode": "channel", "data_format": "NCHW"}, ["Alpha"]),
    "maxout": ("maxout", {"X": f(2, 6, 4, 4)}, {"Out": (F, 4)}, {"groups": 2, "axis": 1}),
    "logit": ("logit", {"X": RNG.uniform(0.05, 0.95, (2, 5)).astype(np.float32)}, {"Out": (F, 2)}, {"eps": 0.1}),
    "dropout of old": ("dropout", {"X": f(2, 5)}, {"Out": (F, 2)}, {"dropout_prob": 0.25, "is_test": True, "dropout_implementation": "downgrade_in_infer"}),
    "sum over an axis": ("reduce_sum", {"X": f(2, 3, 4)}, {"Out": (F, 2)}, {"dim": [1], "keep_dim": False, "reduce_all": False}),
    "max of all": ("reduce_max", {"X": f(2, 3, 4)}, {"Out": (F, 0)}, {"dim": [0], "keep_dim": False, "reduce_all": True}),
    "mean of integers": ("reduce_mean", {"X": f(2, 3, 4)}, {"Out": (F, 3)}, {"dim": [-1, 1], "keep_dim": True}),
    "argmax": ("arg_max", {"X": f(2, 3, 4)}, {"Out": ("int64", 2)}, {"axis": 1, "keepdims": False, "dtype": 3}),
    "top k": ("top_k_v2", {"X": f(2, 6)}, {"Out": (F, 2), "Indices": ("int64", 2)}, {"k": 2, "axis": 1}),
    "argsort down": ("argsort", {"X": f(2, 6)}, {"Out": (F, 2), "Indices": ("int64", 2)}, {"axis": -1, "descending": True}),
    "cumsum backwards": ("cumsum", {"X": f(2, 6)}, {"Out": (F, 2)}, {"axis": 1, "exclusive": True, "reverse": True}),
    "norm of 3": ("p_norm", {"X": f(2, 3, 4)}, {"Out": (F, 2)}, {"porder": 3.0, "axis": 1, "keepdim": False}),
    "softmax of the middle": ("softmax", {"X": f(2, 3, 4)}, {"Out": (F, 3)}, {"axis": 1}),
    "layer norm of two axes": ("layer_norm", {"X": f(2, 3, 4), "Scale": p(12), "Bias": f(12)}, {"Y": (F, 3)}, {"begin_norm_axis": 1, "epsilon": 1e-5}, ["Scale", "Bias"], ["Mean", "Variance"]),
    "group norm": ("group_norm", {"X": f(2, 6, 4, 5), "Scale": p(6), "Bias": f(6)}, {"Y": (F, 4)}, {"groups": 3, "epsilon": 1e-5, "data_layout": "NCHW"}, ["Scale", "Bias"], ["Mean", "Variance"]),
    "conv same": ("conv2d", {"Input": f(2, 3, 7, 8), "Filter": f(4, 3, 3, 3)}, {"Output": (F, 4)}, {"strides": [2, 2], "paddings": [0, 0], "padding_algorithm": "SAME", "dilations": [1, 1], "groups": 1, "data_format": "NCHW"}, ["Filter"]),
    "conv last": ("conv2d", {"Input": f(2, 7, 8, 3), "Filter": f(4, 3, 3, 3)}, {"Output": (F, 4)}, {"strides": [1, 1], "paddings": [1, 2, 0, 1], "padding_algorithm": "EXPLICIT", "dilations": [1, 1], "groups": 1, "data_format": "NHWC"}, ["Filter"]),
    "conv back": ("conv2d_transpose", {"Input": f(2, 3, 4, 5), "Filter": f(3, 2, 3, 3)}, {"Output": (F, 4)}, {"strides": [2, 2], "paddings": [1, 1], "output_padding": [1, 0], "padding_algorithm": "EXPLICIT", "dilations": [1, 1], "groups": 1, "data_format": "NCHW"}, ["Filter"]),
    "mean pool of ceil": ("pool2d", {"X": f(2, 3, 7, 7)}, {"Out": (F, 4)}, {"pooling_type": "avg", "ksize": [3, 3], "strides": [2, 2], "paddings": [1, 1], "exclusive": False, "ceil_mode": True, "adaptive": False, "global_pooling": False, "padding_algorithm": "EXPLICIT", "data_format": "NCHW"}),
    "mean pool inside": ("pool2d", {"X": f(2, 3, 7, 7)}, {"Out": (F, 4)}, {"pooling_type": "avg", "ksize": [3, 3], "strides": [2, 2], "paddings": [1, 1], "exclusive": True, "ceil_mode": False, "adaptive": False, "global_pooling": False, "padding_algorithm": "EXPLICIT", "data_format": "NCHW"}),
    "adaptive pool, uneven": ("pool2d", {"X": f(2, 3, 7, 5)}, {"Out": (F, 4)}, {"pooling_type": "avg", "ksize": [3, 2], "strides": [1, 1], "paddings": [0, 0], "adaptive": True, "exclusive": True, "ceil_mode": False, "global_pooling": False, "padding_algorithm": "EXPLICIT", "data_format": "NCHW"}),
    "resize to one": ("bilinear_interp_v2", {"X": f(2, 3, 4, 5)}, {"Out": (F, 4)}, {"out_h": 3, "out_w": 1, "interp_method": "bilinear", "align_corners": False, "align_mode": 0, "data_layout": "NCHW"}),
    "resize by scale": ("nearest_interp_v2", {"X": f(2, 3, 4, 5)}, {"Out": (F, 4)}, {"scale": [1.5, 2.0], "out_h": -1, "out_w": -1, "interp_method": "nearest", "align_corners": False, "data_layout": "NCHW"}),
    "grid sample": ("grid_sampler", {"X": f(2, 3, 4, 5), "Grid": f(2, 3, 3, 2)}, {"Output": (F, 4)}, {"mode": "bilinear", "padding_mode": "border", "align_corners": False}),
    "embedding with padding": ("lookup_table_v2", {"W": f(7, 4), "Ids": i(2, 3)}, {"Out": (F, 3)}, {"padding_idx": 2}, ["W"]),
    "slice from the end": ("slice", {"Input": f(4, 3, 5)}, {"Out": (F, 2)}, {"axes": [1], "starts": [-1], "ends": [3], "decrease_axis": [1], "infer_flags": [1]}),
    "strides backwards": ("strided_slice", {"Input": f(2, 6)}, {"Out": (F, 2)}, {"axes": [1], "starts": [5], "ends": [0], "strides": [-2], "infer_flags": [1]}),
    "set value": ("set_value", {"Input": f(2, 6)}, {"Out": (F, 2)}, {"axes": [1], "starts": [1], "ends": [5], "steps": [2], "shape": [1], "fp32_values": [3.0], "dtype": 5, "decrease_axes": [], "none_axes": []}),
    "unsqueeze one by one": ("unsqueeze2", {"X": f(2, 3)}, {"Out": (F, 4)}, {"axes": [0, -1]}),
    "flatten the middle": ("flatten_contiguous_range", {"X": f(2, 3, 4, 5)}, {"Out": (F, 3)}, {"start_axis": 1, "stop_axis": 2}),
    "pad of the front": ("pad3d", {"X": f(2, 3, 2, 4, 5)}, {"Out": (F, 5)}, {"paddings": [1, 2, 0, 1, 1, 0], "mode": "reflect", "data_format": "NCDHW"}),
    "where": ("where", {"Condition": f(2, 5) > 0, "X": f(2, 5), "Y": f(2, 5)}, {"Out": (F, 2)}, {}),
    "positions": ("where_index", {"Condition": f(3, 5) > 0}, {"Out": ("int64", 2)}, {}),
    "gather by pairs": ("gather_nd", {"X": f(5, 5), "Index": i(3, 2, high=2)}, {"Out": (F, 1)}, {}),
    "one hot": ("one_hot_v2", {"X": i(2, 3)}, {"Out": (F, 3)}, {"depth": 5, "dtype": 5}),
    "tile to more dimensions": ("tile", {"X": f(2, 3)}, {"Out": (F, 3)}, {"repeat_times": [2, 1, 2]}),
    "windows as columns": ("unfold", {"X": f(2, 3, 5, 6)}, {"Y": (F, 3)}, {"kernel_sizes": [2, 3], "strides": [1, 2], "paddings": [1, 0, 1, 0], "dilations": [1, 1]}),
    "roll": ("roll", {"X": f(4, 5)}, {"Out": (F, 2)}, {"shifts": [1, -2], "axis": [0, 1]}),
    "pixel shuffle": ("pixel_shuffle", {"X": f(2, 8, 3, 4)}, {"Out": (F, 4)}, {"upscale_factor": 2, "data_format": "NCHW"}),
    "product of columns": ("cumprod", {"X": f(3, 4)}, {"Out": (F, 2)}, {"dim": 1}),
}  # fmt: skip
# what Paddle 3.3.1 itself refuses or crashes on where there is nothing
NOT_OF_NOTHING = {
    "matmul by alpha",    "max of all", "argmax", "adaptive pool, uneven", "resize to one", "resize by scale", "grid sample", "conv back",
    "group norm", "layer norm of two axes", "gather by pairs", "mean pool of ceil", "mean pool inside",
    "conv same", "conv last", "maxout", "prelu of channels", "pixel shuffle", "pad of the front", "roll",
}  # fmt: skip


def _sized(array: np.ndarray, rows: int) -> np.ndarray:
    """The same kind of array with another first dimension."""
    return np.resize(array, (rows, *array.shape[1:]))


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str, tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    op, inputs, outputs, attributes, *rest = CASES[name]
    weights, unread = [*rest, (), ()][:2]
    program, params = program_of(op, inputs, outputs, attributes, weights, unread=unread)
    sizes = [None, 3] + ([] if name in NOT_OF_NOTHING else [0])
    feeds = []
    for rows in sizes:
        given = {k: v if rows is None else _sized(v, rows) for k, v in inputs.items() if k not in weights}
        feeds.append(given or {})
    if not any(feeds):
        feeds = feeds[:1]
    check(tmp_path, workers("current"), program, params, feeds)


POOLS = {
    "the stride above the kernel": {"ksize": [2, 1], "strides": [3, 4], "paddings": [0, 0]},
    "a window from the padding on": {"ksize": [3, 2], "strides": [3, 2], "paddings": [1, 1]},
}


@pytest.mark.parametrize("how", POOLS)
@pytest.mark.parametrize("kind", ["max", "avg", "avg with padding", "lp", "index", "unread", "3d"])
@pytest.mark.parametrize("known", [True, False])
def test_windows_of_ceil_mode_that_start_outside(
    how: str, kind: str, known: bool, tmp_path: Path, workers: Callable[[str], Worker]
) -> None:
    """Paddle keeps them, ONNX does not; some sizes have one, others none."""
    attributes: dict[str, Any] = {"ceil_mode": True, "adaptive": False, "global_pooling": False, **POOLS[how]}
    outputs, unread, name = {"Out": (F, 4)}, [], "pool2d"
    if kind == "3d":
        name, outputs = "max_pool3d_with_index", {"Out": (F, 5), "Mask": ("int32", 5)}
        attributes |= {n: [*attributes[n], attributes[n][0]] for n in ("ksize", "strides", "paddings")}
    elif kind in ("index", "unread"):
        name = "max_pool2d_with_index"
        if kind == "unread":
            unread = ["Mask"]
        else:
            outputs["Mask"] = ("int32", 4)
    else:
        attributes |= {"pooling_type": kind[:3], "padding_algorithm": "EXPLICIT", "data_format": "NCHW"}
        attributes["exclusive"] = kind == "avg"
    if kind == "lp":
        name, outputs = "lp_pool2d", {"out": (F, 4)}
        attributes |= {"kernel_size": attributes.pop("ksize"), "norm_type": 3.0}
    x = "x" if kind == "lp" else "X"
    for size in [(6, 8), (7, 9), (8, 5)]:
        feed = {x: (p if kind == "lp" else f)(2, 3, *size, *[6] * (kind == "3d"))}
        program, params = program_of(name, feed, outputs, attributes, unread=unread)
        if not known:
            program.main.vars[x] = Var.tensor(x, DType.FP32, [-1, 3, *[-1] * (feed[x].ndim - 2)])
        check(tmp_path, workers("current"), program, params, [feed], opsets=(11, 13, 22))


RATIOS: dict[str, Any] = {"scale": [0.25, 0.4], "out_h": -1, "out_w": -1}


@pytest.mark.parametrize(
    "how, size",
    [
        ({"out_h": 1, "out_w": 5}, (5, 4)),
        ({"out_h": 3, "out_w": 1}, (5, 4)),
        ({"out_h": 3, "out_w": 1}, (4, 1)),
        (RATIOS, (5, 4)),
    ],
    ids=str,
)
def test_bicubic_to_one_element(
    how: dict[str, Any], size: tuple[int, int], tmp_path: Path, workers: Callable[[str], Worker]
) -> None:
    feed = {"X": f(2, 3, *size)}
    attributes = {"interp_method": "bicubic", "align_corners": False, "align_mode": 0, "data_layout": "NCHW", **how}
    program, params = program_of("bicubic_interp_v2", feed, {"Out": (F, 4)}, attributes)
    check(tmp_path, workers("current"), program, params, [feed], opsets=(11, 13, 22))


def tree(steps: int, batch: int, beams: int) -> dict[str, np.ndarray]:
    return {"Ids": i(steps, batch, beams, high=50), "Parents": i(steps, batch, beams, high=beams)}


def regions(count: int, size: float) -> np.ndarray:
    """[count, 4]; halves too, whose rounding shows, and one that lies outside."""
    low = RNG.integers(-4, int(size), (count, 2)) / 2
    found = np.concatenate([low, low + RNG.integers(0, int(size), (count, 2)) / 2], 1)
    found[-1] += 4 * size
    return found.astype(np.float32)


def pooled(count: int, *size: int) -> dict[str, np.ndarray]:
    numbers = np.array([count - 2, 2], np.int32)
    return {"X": f(2, 12, *size), "ROIs": regions(count, min(size)), "RoisNum": numbers}


def classes(rows: int, classes_: int) -> dict[str, np.ndarray]:
    return {"X": 9 * f(rows, 4), "Label": i(rows, 1, high=classes_), "W": 3 * f(classes_ - 1, 4), "Bias": f(classes_ - 1, 1)}  # fmt: skip


# name: (operator, several sets of inputs, outputs, attributes, stored inputs, outputs that nobody reads, open axes)
OPEN: dict[str, tuple[Any, ...]] = {
    "beams of any number of steps": ("gather_tree", [tree(3, 2, 4), tree(7, 2, 4), tree(1, 2, 4)], {"Out": ("int64", 3)}, {}, [], [], {}),
    "a bin for each plane": ("psroi_pool", [pooled(5, 9, 8), pooled(3, 6, 11)], {"Out": (F, 4)}, {"pooled_height": 2, "pooled_width": 3, "output_channels": 2, "spatial_scale": 0.5}, [], [], {"X": (2, 3)}),
    "a tree of 6 classes": ("hierarchical_sigmoid", [classes(5, 6), classes(2, 6)], {"Out": (F, 2)}, {"num_classes": 6}, ["W", "Bias"], ["PreOut", "W_Out"], {}),
    "a tree of 8 classes": ("hierarchical_sigmoid", [classes(4, 8), classes(9, 8)], {"Out": (F, 2)}, {"num_classes": 8}, ["W", "Bias"], ["PreOut", "W_Out"], {}),
    "uneven windows": ("fractional_max_pool2d", [{"x": f(2, 3, 11, 7)}, {"x": f(4, 3, 11, 7)}], {"out": (F, 4)}, {"output_size": [4, 3], "kernel_size": [0, 0], "random_u": 0.7, "return_mask": False}, [], ["mask"], {}),
    "windows that overlap": ("fractional_max_pool2d", [{"x": f(2, 3, 11, 7)}, {"x": f(1, 3, 11, 7)}], {"out": (F, 4)}, {"output_size": [4, 3], "kernel_size": [3, 2], "random_u": 0.3, "return_mask": False}, [], ["mask"], {}),
    "uneven windows of three axes": ("fractional_max_pool3d", [{"x": f(2, 2, 5, 7, 9)}, {"x": f(1, 2, 5, 7, 9)}], {"out": (F, 5)}, {"output_size": [2, 3, 5], "kernel_size": [0, 0, 0], "random_u": 0.9, "return_mask": False}, [], ["mask"], {}),
    "real": ("real", [{"X": (f(2, 3) + 1j * f(2, 3)).astype("complex64")}, {"X": (f(5, 3) + 1j * f(5, 3)).astype("complex64")}], {"Out": (F, 2)}, {}, [], [], {}),
    "parts of float64": ("as_real", [{"X": (f(2, 3) + 1j * f(2, 3)).astype("complex128")}, {"X": (f(0, 3) + 1j * f(0, 3)).astype("complex128")}], {"Out": ("float64", 3)}, {}, [], [], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPEN)
def test_open_sizes(name: str, tmp_path: Path, workers: Callable[[str], Worker]) -> None:
    op, sets, outputs, attributes, weights, unread, opened = OPEN[name]
    program, params = program_of(op, sets[0], outputs, attributes, weights, unread=unread)
    for variable, axes in opened.items():
        for axis in axes:
            program.main.vars[variable].desc.type.lod_tensor.tensor.dims[axis] = -1
    feeds = [{k: v for k, v in given.items() if k not in weights} for given in sets]
    check(tmp_path, workers("current"), program, params, feeds)


def test_a_complex_input_is_a_pair_and_said(tmp_path: Path) -> None:
    program, params = program_of("imag", {"X": (f(2, 3) + 1j * f(2, 3)).astype("complex64")}, {"Out": (F, 2)}, {})
    made = export(program, params, opset=13)
    assert [(v.name, v.dtype, v.shape[1:] if v.shape else None) for v in made.inputs] == [("X", DType.FP32, (3, 2))]
    assert any("a last dimension of 2" in note for note in made.notes)


@pytest.mark.parametrize(
    ("attributes", "read", "reason"),
    [
        ({"random_u": 0.0}, False, "at random"),
        ({"random_u": 0.5}, True, "indices of uneven windows"),
        ({"random_u": 0.5, "output_size": [9, 2], "kernel_size": [0, 0]}, False, "without an element"),
    ],
    ids=["random", "indices", "more windows than elements"],
)
def test_windows_that_are_refused(attributes: dict[str, Any], read: bool, reason: str) -> None:
    outputs = {"out": (F, 4), **({"mask": ("int32", 4)} if read else {})}
    attributes = {"output_size": [2, 2], "kernel_size": [0, 0], **attributes}
    program, params = program_of("fractional_max_pool2d", {"x": f(2, 3, 5, 4)}, outputs, attributes)
    with pytest.raises(UnsupportedError) as error:
        export(program, params, opset=13)
    assert any(reason in row["reason"] for row in error.value.rows)


BACKWARDS = [(5, -1, -1), (2147483647, -1, -2), (6, -4, -1), (5, -6, -1), (5, -9, -1), (-1, -7, -2), (5, 0, -1), (-9, -1, -1), (1, 4, 1)]  # fmt: skip


@pytest.mark.parametrize("computed", [False, True], ids=["numbers", "tensors"])
@pytest.mark.parametrize(("runtime", "version"), [("paddle-2.3.2", 2003002), ("paddle-2.6.2", 2006002), ("current", 3003001)])  # fmt: skip
def test_where_a_step_backwards_ends(
    runtime: str, version: int, computed: bool, tmp_path: Path, workers: Callable[[str], Worker]
) -> None:
    """To -1 is through the first element before Paddle 3, and up to the last since."""
    for start, end, step in BACKWARDS:
        inputs: dict[str, Any] = {"Input": f(6, 2)}
        attributes = {"axes": [0], "starts": [start], "ends": [end], "strides": [step], "infer_flags": [1]}
        if computed:
            inputs |= {"EndsTensor": np.array([end], np.int32)}
            attributes["infer_flags"] = [-1]
        program, params = program_of("strided_slice", inputs, {"Out": (F, 2)}, attributes, dynamic=not computed)
        program.version = version
        feeds = [inputs] if computed else [inputs, {"Input": f(7, 2)}]
        check(tmp_path, workers(runtime), program, params, feeds)


@pytest.mark.parametrize(("runtime", "version"), [("paddle-2.3.2", 2003002), ("paddle-2.6.2", 2006002), ("current", 3003001)])  # fmt: skip
def test_where_what_is_set_backwards_ends(
    runtime: str, version: int, tmp_path: Path, workers: Callable[[str], Worker]
) -> None:
    for start, end, step in BACKWARDS:
        bounds = {"axes": [0], "starts": [start], "ends": [end], "steps": [step], "decrease_axes": [], "none_axes": []}
        inputs = {"Input": f(6, 2), "ValueTensor": np.full(1, 3, np.float32)}
        program, params = program_of(
            "set_value", inputs, {"Out": (F, 2)}, {**bounds, "shape": [], "dtype": 5}, ["ValueTensor"]
        )
        program.version = version
        check(tmp_path, workers(runtime), program, params, [{"Input": f(6, 2)}, {"Input": f(7, 2)}])


@pytest.mark.parametrize("layout, shape", [("NCHW", (2, 3, 4, 5)), ("NHWC", (2, 4, 5, 3)), ("NCHW", (4, 3))])
def test_batch_norm_by_the_batch(
    layout: str, shape: tuple[int, ...], tmp_path: Path, workers: Callable[[str], Worker]
) -> None:
    """``use_global_stats=False`` in inference."""
    stored = {"Scale": p(3), "Bias": f(3), "Mean": f(3), "Variance": p(3)}
    flags = {"is_test": True, "trainable_statistics": True, "use_global_stats": False, "data_layout": layout}
    program, params = program_of(
        "batch_norm",
        {"X": f(*shape), **stored},
        {"Y": (F, len(shape))},
        {"epsilon": 1e-3, "momentum": 0.9, **flags},
        list(stored),
        unread=["SavedMean", "SavedVariance", "ReserveSpace"],
    )
    op = next(op for op in program.main.ops if op.type == "batch_norm")
    op.set_output("MeanOut", ["Mean"])
    op.set_output("VarianceOut", ["Variance"])
    check(tmp_path, workers("current"), program, params, [{"X": f(*shape)}, {"X": f(5, *shape[1:])}])
