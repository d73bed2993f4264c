"""What the importer does beside translating operation by operation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import pytest

from mconv.errors import CorruptModelError, NotAModelError, UnsupportedError, UsageError
from mconv.paddle import pir_reader as reader
from mconv.paddle.importer import Importer
from mconv.paddle.load import load, obstacles
from mconv.paddle.operation import Operation, OperationBlock, TensorType
from mconv.paddle.pir_reader import PirProgram
from mconv.paddle.registry import paddle_op
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.program.stored import write_model
from mconv.program.targets import PADDLE_1_8, PADDLE_2_3, PADDLE_2_6
from mconv.runtimes import Worker
from tests.measure import calls
from tests.paddle import fixtures

_TYPES = {"float32": "0.t_f32", "int64": "0.t_i64", "bool": "0.t_bool", "float64": "0.t_f64", "int32": "0.t_i32"}


class Maker:
    """Writes a PIR program operation by operation."""

    def __init__(self) -> None:
        self.ops: list[dict] = []
        self.count = 0
        self.types: dict[int, tuple[str, list[int]]] = {}

    def op(self, kind_: str, inputs: list[int], outs: list[tuple[str, list[int]]], /, **attrs: Any) -> Any:
        ids = []
        for kind in outs:
            self.count += 1
            ids.append(self.count)
            self.types[self.count] = kind
        results = [{"%": i, "TT": self.tensor(self.types[i])} for i in ids]
        pairs = [{"N": k, "AT": self.attr(v)} for k, v in attrs.items()]
        self.ops.append({"#": kind_, "A": pairs, "I": [{"%": i} for i in inputs], "O": results, "OA": []})
        return ids[0] if len(ids) == 1 else ids

    @staticmethod
    def tensor(kind: tuple[str, list[int]]) -> dict:
        return {"#": "0.t_dtensor", "D": [{"#": _TYPES[kind[0]]}, kind[1], "NCHW", [], 0]}

    def attr(self, value: Any) -> dict:
        if isinstance(value, bool):
            return {"#": "0.a_bool", "D": value}
        if isinstance(value, int):
            return {"#": "0.a_i32", "D": value}
        if isinstance(value, float):
            return {"#": "0.a_f64", "D": value} if math.isfinite(value) else {"#": "0.a_f64", "VD": str(value).upper()}
        if isinstance(value, list):
            return {"#": "0.a_array", "D": [self.attr(v) for v in value]}
        if value in _TYPES:
            return {"#": "1.a_dtype", "D": value}
        return {"#": "0.a_str", "D": value}

    def data(self, name: str, shape: list[int], dtype: str = "float32") -> int:
        return self.op("1.data", [], [(dtype, shape)], name=name, shape=shape, dtype=dtype)

    def full(self, value: float, shape: Optional[list[int]] = None, dtype: str = "float32") -> int:
        return self.op("1.full", [], [(dtype, shape or [])], shape=shape or [], value=float(value), dtype=dtype)

    def ints(self, *values: int) -> int:
        return self.op("1.full_int_array", [], [("int64", [len(values)])], value=list(values), dtype="int64")

    def fetch(self, value: int, col: int = 0) -> None:
        self.op("1.fetch", [value], [self.types[value]], name=f"fetch_name_{col}", col=col)

    def write(self, folder: Path) -> Path:
        block = {"args": [], "ops": self.ops}
        document = {
            "base_code": {"magic": "pir", "trainable": True, "version": 4},
            "program": {"regions": [{"blocks": [block]}]},
        }
        path = folder / "m.json"
        path.write_text(json.dumps(document))
        return path


def _ops(program: Program) -> list[str]:
    return [op.type for op in program.main.ops if op.type not in ("feed", "fetch")]


def test_all_that_is_missing_is_listed(tmp_path: Path) -> None:
    m = Maker()
    x = m.data("x", [-1, 4])
    for _ in range(2):
        x = m.op("1.i0", [x], [("float32", [-1, 4])])
    x = m.op("1.relu", [x], [("float32", [-1, 4])])
    x = m.op("1.no_such_operation", [x], [("float32", [-1, 4])])
    m.fetch(m.op("1.softplus", [x], [("float32", [-1, 4])], beta=1.0, threshold=20.0, invented=True))
    with pytest.raises(UnsupportedError) as caught:
        load(m.write(tmp_path))
    rows = {r["operator"]: (r["count"], r["reason"]) for r in caught.value.rows}
    assert rows == {
        "pd_op.i0": (2, "Paddle 2.3.2 has no operator i0"),
        "pd_op.no_such_operation": (1, "mconv does not know this operation"),
        "pd_op.softplus": (1, "softplus has no attribute invented (here True)"),
    }
    assert caught.value.hint == "a newer Paddle may have it: --target 3"


def test_names_of_inputs_and_outputs(tmp_path: Path) -> None:
    m = Maker()
    x, y = m.data("first", [-1, 4]), m.data("second", [-1, 4])
    total = m.op("1.add", [x, y], [("float32", [-1, 4])])
    m.fetch(m.op("1.relu", [total], [("float32", [-1, 4])]), 0)
    m.fetch(x, 1)
    path = m.write(tmp_path)
    program = load(path).program
    assert [p.name for p in program.feeds] == ["first", "second"]
    assert [p.name for p in program.fetches] == ["relu_0.tmp", "fetch_name_1"]
    assert [p.name for p in load(path, output_names=["a", "b"]).program.fetches] == ["a", "b"]
    for names in (["a"], ["a", "a"], ["a", ""]):
        with pytest.raises(UsageError):
            load(path, output_names=names)


def test_a_scalar_is_one_number_where_there_are_no_scalars(tmp_path: Path) -> None:
    """Stacking two 0-d tensors gives two elements, in 2.3 too."""
    m = Maker()
    x = m.data("x", [3])
    sums = [m.op("1.sum", [x, m.ints()], [("float32", [])], dtype="float32", keepdim=False) for _ in range(2)]
    m.count += 1
    vector = m.count
    kinds = [m.tensor(("float32", []))] * 2
    m.ops.append(
        {
            "#": "0.combine",
            "A": [],
            "I": [{"%": s} for s in sums],
            "O": [{"%": vector, "TT": {"#": "0.t_vec", "D": kinds}}],
        }
    )
    m.fetch(m.op("1.stack", [vector], [("float32", [2])], axis=0))
    path = m.write(tmp_path)
    old, new = load(path).program, load(path, target=PADDLE_2_6).program
    assert "stack" not in _ops(old) and old.fetches[0].shape == (2,)
    assert new.fetches[0].shape == (2,)


def test_shape_arithmetic_becomes_attributes(tmp_path: Path) -> None:
    """reshape(x, [shape(x)[0] * 2, 2]) of [?, 4]: one -1, no operator but the reshape."""
    m = Maker()
    x = m.data("x", [-1, 4])
    shape = m.op("1.shape64", [x], [("int64", [2])])
    size = m.op("1.slice", [shape, m.ints(0), m.ints(1)], [("int64", [])], axes=[0], infer_flags=[1], decrease_axis=[0])
    size = m.op("1.scale", [size, m.full(2.0, [1], "float32")], [("int64", [])], bias=0.0, bias_after_scale=True)
    two = m.full(2, [], "int64")
    m.count += 1
    vector = m.count
    kinds = [m.tensor(("int64", []))] * 2
    m.ops.append(
        {
            "#": "0.combine",
            "A": [],
            "I": [{"%": size}, {"%": two}],
            "O": [{"%": vector, "TT": {"#": "0.t_vec", "D": kinds}}],
        }
    )
    stacked = m.op("1.stack", [vector], [("int64", [2])], axis=0)
    m.fetch(m.op("1.reshape", [x, stacked], [("float32", [-1, 2])]))
    program = load(m.write(tmp_path)).program
    assert _ops(program) == ["reshape2"]
    assert program.main.ops[1].attr("shape") == [-1, 2]


def test_in_place_operations_change_what_is_read_later(tmp_path: Path) -> None:
    m = Maker()
    x = m.data("x", [-1, 4])
    y = m.op("1.relu", [x], [("float32", [-1, 4])])
    m.op("1.exp_", [y], [("float32", [-1, 4])])
    m.fetch(m.op("1.tanh", [y], [("float32", [-1, 4])]))
    program = load(m.write(tmp_path)).program
    assert _ops(program) == ["relu", "exp", "tanh"]
    assert program.main.ops[3].input("X") == program.main.ops[2].output("Out")


@pytest.mark.parametrize("runtime", ["current", "paddle-2.3.2"])
def test_what_a_branch_writes_in_place_is_read_after_it(
    runtime: str, tmp_path: Path, workers: Callable[[str], Worker]
) -> None:
    flags, numbers = TensorType(DType.BOOL, (1,)), TensorType(DType.FP32, (1,))
    inner = OperationBlock(
        [], [Operation("pd_op.increment_", {"value": 2.0}, [2], [(4, numbers)]), Operation("cf.yield", {}, [], [])]
    )
    other = OperationBlock([], [Operation("cf.yield", {}, [], [])])
    ops = [
        Operation("pd_op.data", {"name": "flag", "dtype": DType.BOOL, "shape": [1]}, [], [(1, flags)]),
        Operation("pd_op.data", {"name": "x", "dtype": DType.FP32, "shape": [1]}, [], [(5, numbers)]),
        Operation("pd_op.increment", {"value": 1.0}, [5], [(2, numbers)]),
        Operation("pd_op.if", {}, [1], [], [[inner], [other]]),
        Operation("pd_op.fetch", {"name": "y", "col": 0}, [2], [(6, numbers)]),
    ]
    program, params, _ = Importer(PirProgram(max(reader.VERSIONS), OperationBlock([], ops)), {}, PADDLE_2_3).run()
    files = write_model(program, params.items(), tmp_path)
    feeds = [{"flag": np.array([f]), "x": np.float32([3])} for f in (True, False)]
    found = workers(runtime).run(*files, feeds, engine="executor").outputs
    assert [float(out[0][0]) for out in found] == [6.0, 4.0]


def test_numbers_that_a_float_cannot_carry(tmp_path: Path) -> None:
    m = Maker()
    x = m.data("x", [-1], "int64")
    big = m.full(float(2**40 + 1), [], "int64")
    m.fetch(m.op("1.add", [x, big], [("int64", [-1])]))
    program = load(m.write(tmp_path)).program
    fill = next(op for op in program.main.ops if op.type == "fill_constant")
    assert fill.attr("str_value") == str(2**40 + 1)


def test_constants_are_in_the_program(tmp_path: Path) -> None:
    m = Maker()
    x = m.data("x", [-1, 3])
    values = m.op(
        "1.assign_value", [], [("float32", [3])], shape=[3], dtype="float32", values=[1.5, -2.0, float("inf")]
    )
    m.fetch(m.op("1.multiply", [x, values], [("float32", [-1, 3])]))
    loaded = load(m.write(tmp_path))
    op = next(op for op in loaded.program.main.ops if op.type == "assign_value")
    assert op.attr("fp32_values") == [1.5, -2.0, math.inf]


def test_a_large_constant_becomes_a_parameter(tmp_path: Path) -> None:
    count = 1 << 17
    m = Maker()
    x = m.data("x", [-1, count])
    numbers = np.arange(count, dtype=np.float32)
    values = m.op("1.assign_value", [], [("float32", [count])], shape=[count], dtype="float32", values=numbers.tolist())
    m.fetch(m.op("1.multiply", [x, values], [("float32", [-1, count])]))
    (source,) = load(m.write(tmp_path)).params.values()
    assert np.array_equal(source.array(), numbers)


def test_unsaved_buffer(tmp_path: Path) -> None:
    """One that nothing reads is left out; one that is read has no value anywhere."""
    m = Maker()
    x = m.data("x", [-1, 2])
    m.count += 1
    buffer = m.count
    m.types[buffer] = ("float32", [2])
    m.ops.insert(
        0, {"#": "p", "A": [0, 1, 1, "mask"], "O": {"%": buffer, "TT": m.tensor(("float32", [2]))}, "OA": [0, 1, 0]}
    )
    y = m.op("1.relu", [x], [("float32", [-1, 2])])
    m.fetch(y)
    assert "mask" not in load(m.write(tmp_path)).params
    m.ops.pop()
    m.fetch(m.op("1.add", [y, buffer], [("float32", [-1, 2])]))
    with pytest.raises(UnsupportedError, match="kinds of operation") as caught:
        load(m.write(tmp_path))
    assert caught.value.rows[0]["reason"] == "the buffer 'mask' is read, and not saved with the model"


def test_training_mode_is_refused(tmp_path: Path) -> None:
    m = Maker()
    x = m.data("x", [-1, 2])
    p = m.full(0.5, [1])
    kinds = [("float32", [-1, 2]), ("float32", [-1, 2])]
    out, _ = m.op("1.dropout", [x, 0, p], kinds, is_test=False, mode="upscale_in_train", seed=0, fix_seed=False)
    m.fetch(out)
    with pytest.raises(UnsupportedError) as caught:
        load(m.write(tmp_path))
    assert "layer.eval()" in caught.value.rows[0]["reason"]


def test_parameters_of_another_model(tmp_path: Path) -> None:
    path = fixtures.unpack("3.3", "LeNet", tmp_path)
    fixtures.unpack("3.3", "unet", tmp_path / "other").with_suffix(".pdiparams").replace(path.with_suffix(".pdiparams"))
    with pytest.raises(CorruptModelError):
        load(path)
    path.with_suffix(".pdiparams").unlink()
    with pytest.raises(NotAModelError):
        load(path)


def test_sizes_do_not_grow_with_depth(tmp_path: Path) -> None:
    """Residual sums of inputs of unrelated sizes, layer upon layer: linear time, and still no shape tensor."""

    def loaded(depth: int) -> tuple[Program, int]:
        m = Maker()
        kind = ("float32", [-1, -1, 4])
        x, y = m.data("x", [-1, -1, 4]), m.data("y", [-1, -1, 4])
        for _ in range(depth):
            x = m.op("1.add", [x, y], [kind])
            wide = m.op("1.reshape", [x, m.ints(0, 0, 2, 2)], [("float32", [-1, -1, 2, 2])])
            y = m.op("1.reshape", [wide, m.ints(0, -1, 4)], [kind])
        m.fetch(m.op("1.add", [x, y], [kind]))
        (tmp_path / str(depth)).mkdir()
        path = m.write(tmp_path / str(depth))
        return calls(lambda: load(path).program)

    _, few = loaded(30)
    program, many = loaded(60)
    assert many < 2.5 * few
    assert not any(op.input("Shape") or op.input("ShapeTensor") for op in program.main.ops if op.type == "reshape2")


def test_obstacles() -> None:
    cases = (("bert", (PADDLE_1_8, PADDLE_2_3)), ("LeNet", (PADDLE_1_8, PADDLE_2_3)), ("unet", (PADDLE_2_3,)))
    for name, known in cases:
        program = reader.parse(fixtures.program("3.3", name))
        assert [obstacles(program, target) for target in known] == [None] * len(known)
    error = obstacles(program, PADDLE_1_8)
    assert error is not None and error.rows


def test_one_function_for_an_operation() -> None:
    with pytest.raises(ValueError, match="two functions"):

        @paddle_op("reshape")
        def again(ctx: Any, x: Any) -> Any:
            return x
