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

from mconv.onnx.convert import convert
from mconv.onnx.reader import OnnxModel
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
    places = [0, 1, ROWS // 2, ROWS - 1]
    with (tmp_path / "weights.bin").open("wb") as file:
        for row in places:
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
    got = workers("paddle-2.3.2").run(*files, {"x": np.array([*places, 7])}, timeout=300).outputs[0][0]
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
    made = convert(OnnxModel(model(nodes, inputs, weights=weights)), target)
    write_model(made.program, made.params.items(), tmp_path)
    assert _attribute_bytes(made.program) <= 1024
    assert any(source.nbytes == values.nbytes for source in made.params.values())
