"""Types of 8 bits and fewer: carried by wider ones, rounded and wrapped as ONNX does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api
from mconv.errors import CorruptModelError
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel, read
from mconv.onnx.types import WIDENED
from mconv.program.small_types import E8M0, SMALL, SmallFloat, SmallInteger
from mconv.program.targets import PADDLE_3
from tests.onnx.checks import Runtime, everywhere, graph_model, run
from tests.onnx.make import port

FLOATS = [number for number, kind in SMALL.items() if isinstance(kind, SmallFloat) and kind is not E8M0]
INTEGERS = [number for number, kind in SMALL.items() if isinstance(kind, SmallInteger)]


def named(number: int) -> str:
    return SMALL[number].name


def numpy_type(number: int) -> Any:
    return helper.tensor_dtype_to_np_dtype(number)


def around(number: int) -> np.ndarray:
    """Every number of a type, the middle between each two, what lies next to these, and what is beyond."""
    every = np.arange(1 << SMALL[number].bits, dtype=np.uint8).view(np.uint8)
    tensor = TensorProto(data_type=number, dims=[len(every)], int32_data=_packed(every, SMALL[number].bits))
    values = numpy_helper.to_array(tensor).astype(np.float32)
    values = np.unique(values[np.isfinite(values)])
    middle = (values[1:] + values[:-1]) / 2
    top = values[-1]
    beyond = np.array([top * 1.01, top * 1.06, top * 1.1, top * 1.13, top * 1.3, top * 2, 1e30, np.inf], np.float32)
    made = np.concatenate([values, middle, beyond, -beyond, [np.nan]]).astype(np.float32)
    with np.errstate(invalid="ignore"):
        return np.concatenate([made, np.nextafter(made, np.float32(np.inf)), np.nextafter(made, np.float32(-np.inf))])


def _packed(values: np.ndarray, bits: int) -> list[int]:
    step = 8 // bits
    held = np.concatenate([values, np.zeros(-len(values) % step, np.uint8)]).reshape(-1, step).astype(np.int64)
    return [int(sum(int(v) << (bits * i) for i, v in enumerate(row))) for row in held & ((1 << bits) - 1)]


def check(runtime: Runtime, numbers: list[int], x: np.ndarray, expected: dict[int, np.ndarray], **how: Any) -> None:
    """Cast to each of the types and back to the type of *x*, exactly."""
    back = helper.np_dtype_to_tensor_dtype(x.dtype)
    nodes = []
    for number in numbers:
        nodes.append(helper.make_node("Cast", ["x"], [f"small{number}"], to=number, **how))
        nodes.append(helper.make_node("Cast", [f"small{number}"], [f"y{number}"], to=back))
    outputs = [f"y{number}" for number in numbers]
    model = graph_model(nodes, {"x": [x, x[::2]]}, outputs, opsets=[helper.make_opsetid("", 25)])
    whole, half = run(runtime, model, [{"x": x}, {"x": x[::2]}])
    for number, got, again in zip(numbers, whole, half):
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got, expected[number], named(number))
        np.testing.assert_array_equal(again, expected[number][::2], named(number))


@everywhere
@pytest.mark.parametrize("saturate", [1, 0])
def test_every_number_and_what_lies_between(runtime: Runtime, saturate: int) -> None:
    x = np.concatenate([around(number) for number in FLOATS])
    expected = {}
    for number in FLOATS:
        kind = numpy_type(number)
        with np.errstate(over="ignore", invalid="ignore"):
            saturated = saturate and named(number) != "float4e2m1"  # which does by itself
            expected[number] = (numpy_helper.saturate_cast(x, kind) if saturated else x.astype(kind)).astype(np.float32)
    check(runtime, FLOATS, x, expected, saturate=saturate)


@everywhere
def test_integers_wrap_from_integers_and_are_cut_off_from_floats(runtime: Runtime) -> None:
    x = np.arange(-40, 41, dtype=np.int32)
    check(runtime, INTEGERS, x, {n: x.astype(numpy_type(n)).astype(np.int32) for n in INTEGERS})
    for number in INTEGERS:
        low, high = SMALL[number].range
        cut = np.array([low, low + 0.75, 0.25, high - 0.25, high], np.float32)
        check(runtime, [number], cut, {number: np.trunc(cut)})


def quantised(number: int, folder: Path, rows: int, where: str) -> tuple[Path, np.ndarray]:
    """A model that multiplies by weights of a small type, stored in one of the ways that there are."""
    rng = np.random.default_rng(rows)
    kind = SMALL[number]
    codes = rng.integers(0, 1 << kind.bits, (rows, 5)).astype(np.uint8)
    if isinstance(kind, SmallFloat):
        codes &= 0x07 if kind.bits == 4 else 0x37  # numbers between 0 and a few
    packed = np.array(_packed(codes.reshape(-1), kind.bits), np.uint8)
    stored = TensorProto(name="q", data_type=number, dims=[rows, 5])
    if where == "int32_data":
        stored.int32_data.extend(packed.tolist())
    else:
        stored.raw_data = packed.tobytes()
    values = numpy_helper.to_array(stored).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    scale = np.array([0.5, 1, 2, 0.25, 0.125], np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [port("x", dims=["n", rows])],
        [port("y", dims=["n", 5])],
        [stored, numpy_helper.from_array(scale, "s")],
    )
    path = folder / "m.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13)
    onnx.save(made, path, save_as_external_data=where == "external", size_threshold=0, location="m.bin")
    return path, values


@pytest.mark.parametrize("where", ["int32_data", "raw_data", "external"])
@pytest.mark.parametrize("rows", [3, 1201])  # an odd number of them shares the last byte; large ones stay in the file
@pytest.mark.parametrize("number", [n for n in SMALL if SMALL[n] is not E8M0], ids=named)
def test_weights_are_read_however_they_are_stored(number: int, rows: int, where: str, tmp_path: Path) -> None:
    path, weights = quantised(number, tmp_path, rows, where)
    model = read(path)
    held = model.source(model.proto.graph.initializer[0])
    whole = held.array()
    assert held.dtype is WIDENED[number] and whole.dtype == held.dtype.numpy
    np.testing.assert_array_equal(whole, weights)
    assert b"".join(bytes(c) for c in held.chunks(1000)) == whole.tobytes()
    for start, stop in ((0, 1), (1, 3), (rows - 2, rows), (2, 2)):
        np.testing.assert_array_equal(held.rows(start, stop), whole[start:stop])


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("where", ["int32_data", "raw_data", "external"])
def test_weights_that_are_too_short_or_too_long_are_damaged(change: int, where: str, tmp_path: Path) -> None:
    path, _ = quantised(22, tmp_path, 1201, where)
    held = onnx.load(path, load_external_data=False)
    held.graph.initializer[0].dims[0] += 2 * change
    path.write_bytes(held.SerializeToString())
    with pytest.raises(CorruptModelError, match="^q: "):
        convert(path, PADDLE_3)


@pytest.mark.parametrize("number", [17, 22, 25], ids=named)
def test_a_model_with_such_weights_is_proved(number: int, tmp_path: Path) -> None:
    path, _ = quantised(number, tmp_path, 8, "raw_data")
    result = api.onnx2paddle(path, tmp_path / "out", target="3", runtime="current")
    assert result.verification["status"] == "passed", result.verification


@pytest.mark.parametrize("number", [18, 22], ids=named)
def test_inputs_and_outputs_of_such_types_are_proved_by_onnxs_reference(number: int, tmp_path: Path) -> None:
    nodes = [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])]
    graph = helper.make_graph(nodes, "g", [port("x", number, ["n", 3])], [port("y", number, [3, "n"])])
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=13), path)
    result = api.onnx2paddle(path, tmp_path / "out", target="3", runtime="current")
    assert result.verification["status"] == "passed", result.verification
    assert convert(OnnxModel(onnx.load(path)), PADDLE_3).widened["x"] == (named(number), WIDENED[number].label)
