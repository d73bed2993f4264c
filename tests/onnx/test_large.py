"""Models over 2 GB, and constants that would make a program large."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv.emit import weights
from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
from mconv.program import files, targets
from mconv.program.dtypes import DType
from mconv.program.params import ArraySource, FileSource
from mconv.program.program import Program
from mconv.program.stored import write_model
from tests.onnx.make import model, node, port

ROWS, WIDTH = 600_000, 1024
_CONVERT = """
import sys
from mconv import api
from tests.measure import peak_megabytes
api.onnx2paddle(sys.argv[1], sys.argv[2], verify=False, limit="8G")  # the file is sparse
print(peak_megabytes())
"""


@pytest.mark.slow
@pytest.mark.runtime
def test_a_model_over_two_gigabytes(tmp_path: Path, workers: Callable[[str], Any]) -> None:
    """Its weights go from the external file to the parameters without ever being in memory; Paddle 2.3.2 reads them."""
    size = ROWS * WIDTH * 4
    assert size > 2**31
    positions = [0, 1, ROWS // 2, ROWS - 1]
    with (tmp_path / "weights.bin").open("wb") as file:
        for row in positions:
            file.seek(row * WIDTH * 4)
            file.write(np.full(WIDTH, row + 1, "<f4").tobytes())
    table = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[ROWS, WIDTH], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(size))):
        table.external_data.add(key=key, value=value)
    made = model([node("Gather", "w x", "y")], [port("x", TensorProto.INT64, ("n",))], tensors=[table])
    onnx.save(made, tmp_path / "m.onnx")
    arguments = [str(tmp_path / "m.onnx"), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", _CONVERT, *arguments],
        capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < 200
    files = [tmp_path / "out" / f"inference.{e}" for e in ("pdmodel", "pdiparams")]
    assert files[1].stat().st_size > size
    got = workers("paddle-2.3.2").run(*files, {"x": np.array([*positions, 7])}, timeout=300).outputs[0][0]
    np.testing.assert_array_equal(got[:, 0], [1, 2, ROWS // 2 + 1, ROWS, 0])
    np.testing.assert_array_equal(got[:, 0], got[:, -1])


def _attribute_bytes(program: Program) -> int:
    """The size of the largest attribute of any operator."""
    return max(a.ByteSize() for _, op in program.ops() for a in op.desc.attrs)


@pytest.mark.parametrize("target", ["2.3", "3"])
@pytest.mark.parametrize("form", ["initializer", "Constant", "of an If", "folded"])
def test_a_constant_over_a_kilobyte_becomes_a_parameter(form: str, target: str, tmp_path: Path) -> None:
    """Not an attribute: programs are limited to 64 MB by the protobuf of older Paddle."""
    values = np.random.default_rng(0).standard_normal((65, 4)).astype(np.float32)
    assert values.nbytes > 1024
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(values, "w"))
    inputs, weights = [port("x", dims=("n", 4))], {}
    nodes = [node("MatMul", "x t", "y")]
    turn = node("Transpose", "w", "t", perm=[1, 0])
    if form == "initializer":
        nodes, weights = [turn, *nodes], {"w": values}
    elif form == "Constant":
        nodes = [constant, turn, *nodes]
    elif form == "folded":
        nodes, weights = (
            [node("Add", "v w", "u"), node("Transpose", "u", "t", perm=[1, 0]), *nodes],
            {"v": values, "w": values},
        )
    else:
        branches = {
            f"{name}_branch": helper.make_graph(
                [constant, turn, node("MatMul", "x t", f"y_{name}")], name, [], [port(f"y_{name}", dims=None)]
            )
            for name in ("then", "else")
        }
        inputs.append(port("c", TensorProto.BOOL, ()))
        nodes = [helper.make_node("If", ["c"], ["y"], **branches)]
    made = convert(OnnxModel(model(nodes, inputs, weights=weights)), targets.get(target))
    write_model(made.program, made.params.items(), tmp_path)
    assert _attribute_bytes(made.program) <= 1024
    assert any(source.nbytes == values.nbytes for source in made.params.values())


def test_a_matrix_is_transposed_without_being_in_memory(tmp_path: Path) -> None:
    """256 MB that lie transposed in the result: more than the whole conversion takes."""
    wide, narrow = 16384, 4096
    size = wide * narrow * 4
    positions = [0, 77, wide - 1]
    with (tmp_path / "weights.bin").open("wb") as file:
        for row in positions:
            file.seek(row * narrow * 4)
            file.write((np.arange(narrow, dtype="<f4") + row).tobytes())
        file.truncate(size)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[wide, narrow], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    made = model([node("Gemm", "x w", "y", transB=1)], [port("x", TensorProto.FLOAT, ("n", narrow))], tensors=[tensor])
    onnx.save(made, tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-c", _CONVERT, str(tmp_path / "m.onnx"), str(tmp_path / "out")],
        capture_output=True, text=True, timeout=600, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) * (1 << 20) < size * 0.95
    (record,) = files.records(files.locate(tmp_path / "out"), files.load_program(files.locate(tmp_path / "out")))
    assert record.shape == (narrow, wide)
    stored = record.array()
    for row in positions:
        np.testing.assert_array_equal(stored[:, row], np.arange(narrow, dtype=np.float32) + row)
    assert not stored[:, 1].any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 7), (130, 67), (67, 130), (64, 128)])
def test_tiles_of_any_size_make_up_the_whole(
    shape: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matrix = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    (tmp_path / "w").write_bytes(b"offset" + matrix.tobytes())
    for tile, read in ((1, 1), (4 * shape[0] * 5, 4 * shape[1] * 70), (1 << 20, 1 << 20)):
        monkeypatch.setattr(weights, "_TILE", tile)
        monkeypatch.setattr(weights, "_READ", read)
        for source in (ArraySource(matrix), FileSource(tmp_path / "w", 6, DType.INT32, shape)):
            turned = weights.TransposedSource(source)
            assert b"".join(bytes(piece) for piece in turned.chunks(64)) == matrix.T.tobytes()
            np.testing.assert_array_equal(turned.array(), matrix.T)


def test_matrices_share_what_they_are_transposed_in_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_TILE", 1 << 12)
    matrices = [np.arange(100 * 60, dtype=np.int32).reshape(100, 60) + 10_000 * i for i in range(3)]
    turning = [weights.TransposedSource(ArraySource(m)).chunks(64) for m in matrices]
    made: list[bytes] = [b""] * 3
    for pieces in zip(*turning):  # all at the same time
        made = [so_far + bytes(piece) for so_far, piece in zip(made, pieces)]
    assert made == [m.T.tobytes() for m in matrices]
    assert sum(room.nbytes for room in weights._spare) <= weights._TILE
