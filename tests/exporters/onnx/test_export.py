"""What is emitted: opsets, folded constants, names, sizes, refusals, plugins, where weights lie."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mconv import api
from mconv.artifacts.hashing import hash_file
from mconv.artifacts.passing import Passing
from mconv.errors import UnsupportedError, UsageError
from mconv.exporters.onnx import export, registry, write
from mconv.exporters.onnx.graph import OLDEST, newest
from mconv.exporters.onnx.writer import ir_version
from mconv.program.builder import Builder
from mconv.program.dims import Sym
from mconv.program.dtypes import AttrType, DType
from mconv.program.files import load_program, locate, records
from mconv.program.params import ArraySource
from mconv.program.program import Op
from mconv.program.targets import PADDLE_3
from tests.exporters.onnx.checking import program_of, session
from tests.golden import case

X = np.arange(12, dtype=np.float32).reshape(2, 6) / 6


def operators(
    op: str, inputs: dict[str, Any], outputs: dict[str, tuple[str, int]], opset: int, **attributes: Any
) -> Counter[str]:
    made = export(
        *program_of(op, inputs, outputs, attributes, [k for k in inputs if k != "X" and k != "Input"]), opset=opset
    )
    return Counter(n.op_type for n in made.nodes)


@pytest.mark.parametrize(
    ("opset", "op", "attributes", "there"),
    [
        (13, "gelu", {"approximate": False}, "Erf"),
        (20, "gelu", {"approximate": False}, "Gelu"),
        (11, "hard_swish", {}, "HardSigmoid"),
        (14, "hard_swish", {}, "HardSwish"),
        (11, "unsqueeze2", {"axes": [0]}, "Unsqueeze"),
    ],
)
def test_the_form_is_that_of_the_opset(opset: int, op: str, attributes: dict[str, Any], there: str) -> None:
    rank = 3 if op == "unsqueeze2" else 2
    assert there in operators(op, {"X": X}, {"Out": ("float32", rank)}, opset, **attributes)


def test_layer_norm_by_opset() -> None:
    inputs = {"X": X, "Scale": X[0], "Bias": X[1]}
    found = operators("layer_norm", inputs, {"Y": ("float32", 2)}, 17, begin_norm_axis=1)
    assert found == {"LayerNormalization": 1}
    assert "LayerNormalization" not in operators("layer_norm", inputs, {"Y": ("float32", 2)}, 16, begin_norm_axis=1)


def test_the_lowest_opset_that_can_say_it() -> None:
    """A sum of scattered rows is there from 16 on; a bit from 18 on."""
    inputs = {"X": X, "Index": np.array([[0], [0]]), "Updates": X}
    program, params = program_of("scatter_nd_add", inputs, {"Out": ("float32", 2)}, {}, ["Index", "Updates"])
    assert export(program, params, opset=11).opset == 16
    with pytest.raises(UnsupportedError, match="opset 16"):
        export(program, params, opset=11, latest=15)
    bits = program_of("bitwise_and", {"X": X.astype(np.int32), "Y": X.astype(np.int32)}, {"Out": ("int32", 2)}, {})
    assert export(*bits, opset=11).opset == 18


def test_a_convolution_takes_its_bias() -> None:
    b = Builder(PADDLE_3)
    x = b.feed("x", DType.FP32, (Sym.named("n"), 3, 8, 8))
    w = b.param(ArraySource(np.ones((4, 3, 3, 3), np.float32)), "w")
    bias = b.param(ArraySource(np.ones(4, np.float32)), "bias")
    y = b.op("conv2d", Input=x, Filter=w, strides=[1, 1], paddings=[1, 1], dilations=[1, 1], groups=1,
             padding_algorithm="EXPLICIT", data_format="NCHW", result=(DType.FP32, (Sym.named("n"), 4, 8, 8)))  # fmt: skip
    y = b.op("elementwise_add", X=y, Y=bias, axis=1, result=(DType.FP32, y.shape))
    b.fetch(y, "y")
    made = export(*b.finish(), opset=13)
    assert [(n.op_type, list(n.input)) for n in made.nodes] == [("Conv", ["x", "w", "bias"])]
    assert [v.name for v in made.outputs] == ["y"]


def test_shapes_are_no_chains() -> None:
    """A shape that is computed of the input's own sizes becomes numbers."""
    b = Builder(PADDLE_3)
    n = Sym.named("n")
    x = b.feed("x", DType.FP32, (n, 6))
    sizes = b.op("shape", Input=x, result=(DType.INT32, (2,)))
    rows = b.op("slice", Input=sizes, axes=[0], starts=[0], ends=[1], infer_flags=[1], decrease_axis=[],
                result=(DType.INT32, (1,)))  # fmt: skip
    rest = [b.op("fill_constant", shape=[1], value=float(v), dtype=2, result=(DType.INT32, (1,))) for v in (2, 3)]
    b.fetch(b.op_outputs("reshape2", X=x, ShapeTensor=[rows, *rest], shape=[-1, 2, 3],
                         results={"Out": (DType.FP32, (n, 2, 3))})[0], "y")  # fmt: skip
    made = export(*b.finish(), opset=13)
    assert [node.op_type for node in made.nodes] == ["Reshape"]
    (shape,) = made.initializers.values()
    assert np.asarray(shape).tolist() == [0, 2, 3]


def test_everything_that_cannot_be_said_is_one_table() -> None:
    program, params = program_of("relu", {"X": X}, {"Out": ("float32", 2)}, {})
    out = program.main.ops[-1].input("X")[0]
    for op in ("svd", "digamma_of_nothing"):
        program.main.ops.insert(-1, Op.make(op, {"X": [out]}, {"Out": [out]}))
    program.main.ops.insert(-1, Op.make("relu", {"X": [out]}, {"Out": [out]}, [("strange", AttrType.INT, 7)]))
    with pytest.raises(UnsupportedError) as caught:
        export(program, params, opset=13)
    assert {row["operator"]: row["reason"] for row in caught.value.rows} == {
        "svd": "mconv has no ONNX form of it",
        "digamma_of_nothing": "mconv has no ONNX form of it",
        "relu": "an attribute strange=7",
    }


@pytest.mark.parametrize(("attribute", "value"), [("strides", [0, 1]), ("dilations", [1, -1]), ("groups", 0)])
def test_numbers_that_onnx_would_divide_by(attribute: str, value: Any) -> None:
    """Its inference, native code, dies of them."""
    attributes = {"strides": [1, 1], "paddings": [0, 0], "dilations": [1, 1], "groups": 1, attribute: value}
    inputs = {"Input": np.ones((1, 1, 4, 4), np.float32), "Filter": np.ones((1, 1, 2, 2), np.float32)}
    with pytest.raises(UnsupportedError, match="conv2d"):
        export(*program_of("conv2d", inputs, {"Output": ("float32", 4)}, attributes, ["Filter"]), opset=13)


def test_outputs_that_are_inputs_or_fetched_twice(tmp_path: Path) -> None:
    program, params = program_of("relu", {"X": X}, {"Out": ("float32", 2)}, {})
    for name in ("X", "out.Out"):
        at = [("col", AttrType.INT, len(program.fetches))]
        program.main.ops.append(Op.make("fetch", {"X": [name]}, {"Out": ["fetch"]}, at))
    write(export(program, params, opset=13), tmp_path / "m.onnx")
    running = session(tmp_path / "m.onnx")
    first, second, third = running.run(None, {"X": X - 1})
    np.testing.assert_array_equal(first, np.maximum(X - 1, 0))
    np.testing.assert_array_equal(second, X - 1)
    np.testing.assert_array_equal(third, first)
    assert [o.name for o in running.get_outputs()] == ["out.Out", "X.out1", "out.Out.out2"]


def test_weights_beside_the_file(tmp_path: Path) -> None:
    """As above 2 GB: aligned, and read by ONNX Runtime and onnx."""
    weight = np.arange(600, dtype=np.float32).reshape(6, 100) / 600
    program, params = program_of("matmul_v2", {"X": X, "Y": weight}, {"Out": ("float32", 2)}, {}, ["Y"])
    made = export(program, params, opset=13)
    data = write(made, tmp_path / "m.onnx", external=True)
    assert data == tmp_path / "m.onnx.data" and data.stat().st_size == weight.nbytes
    np.testing.assert_allclose(session(tmp_path / "m.onnx").run(None, {"X": X})[0], X @ weight, rtol=1e-5)
    write(made, tmp_path / "whole.onnx")
    whole, apart = (onnx.load(str(tmp_path / n)) for n in ("whole.onnx", "m.onnx"))
    for model in (whole, apart):
        (stored,) = model.graph.initializer
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(stored), weight)


def test_ir_version_and_sizes(tmp_path: Path) -> None:
    program, params = program_of("relu", {"X": X}, {"Out": ("float32", 2)}, {})
    for opset in range(OLDEST, newest() + 1):
        write(export(program, params, opset=opset), tmp_path / "m.onnx")
        model = onnx.load(str(tmp_path / "m.onnx"))
        assert model.ir_version == ir_version(opset) and model.opset_import[0].version == opset
        assert model.ir_version == onnx.helper.find_min_ir_version_for(list(model.opset_import))
        (sizes,) = [i.type.tensor_type.shape.dim for i in model.graph.output]
        assert (sizes[0].dim_param, sizes[1].dim_value) == ("X_0", 6)


PLUGIN = """
import mconv

@mconv.paddle_op("my_own")
def my_own(ctx, X, *, factor: float = 1.0):
    return ctx.op("Mul", ctx.op("Binarizer", X, domain="ai.onnx.ml", threshold=0.0), factor)
"""


def test_a_converter_of_ones_own(tmp_path: Path) -> None:
    from mconv.exporters.onnx import load_plugin

    (tmp_path / "mine.py").write_text(PLUGIN)
    program, params = program_of("my_own", {"X": X}, {"Out": ("float32", 2)}, {"factor": 3.0})
    with pytest.raises(UnsupportedError, match="my_own"):
        export(program, params, opset=13)
    assert load_plugin(tmp_path / "mine.py") == 1
    try:
        write(export(program, params, opset=13), tmp_path / "m.onnx")
    finally:
        registry._converters.pop("my_own")
    np.testing.assert_array_equal(session(tmp_path / "m.onnx").run(None, {"X": X})[0], (X > 0) * np.float32(3))
    (tmp_path / "none.py").write_text("x = 1\n")
    with pytest.raises(UsageError, match="registers no converter"):
        api.to_onnx(case("2.3.2-mlp").model, tmp_path / "m.onnx", plugins=[tmp_path / "none.py"], force=True)


def test_every_converter_has_the_form() -> None:
    """Unique, with defaults for what may be missing, and no parameter that is both an input and an attribute."""
    known = list(registry.known())
    assert len(known) > 250 and len({c.op for c in known}) == len(known)
    for converter in known:
        names = [i.name for i in converter.inputs]
        assert len(set(names)) == len(names) and not set(names) & set(converter.attributes.values()), converter.op
    with pytest.raises(ValueError, match="already"):
        registry.paddle_op("relu")(lambda ctx, X: X)
    with pytest.raises(ValueError, match="must be named"):
        registry.paddle_op("new")(lambda ctx, *Xs: Xs)


@pytest.mark.parametrize("external", [True, False], ids=["apart", "inside"])
def test_the_file_with_the_weights_is_hashed_while_it_is_written(external: bool, tmp_path: Path) -> None:
    model = locate(case("2.3.2-bert").model)
    program = load_program(model)
    params = {r.name: r for r in records(model, program)}
    made = tmp_path / "m.onnx"
    passing = Passing(tmp_path / "m.onnx.data" if external else made, model.params)
    with passing:
        write(export(program, params, opset=17), made, external=external, passing=passing)
    assert passing.hashes() == {p: hash_file(p) for p in (passing.made, passing.source) if p is not None}
    session(made)


def test_a_node_without_an_input_is_refused() -> None:
    """Cholesky's columns of a matrix without any: onnx's own check raises another error than its inference."""
    program, params = program_of(
        "cholesky", {"X": np.zeros((2, 0, 0), np.float32)}, {"Out": ("float32", 3)}, {"upper": False}
    )
    with pytest.raises(UnsupportedError) as error:
        export(program, params, opset=13)
    assert error.value.rows[0]["operator"] == "cholesky"
