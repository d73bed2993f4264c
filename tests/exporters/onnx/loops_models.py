"""Programs with control flow, operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program, Var

Made = tuple[Program, dict[str, TensorSource]]


def _program(inputs: dict[str, tuple[DType, list[int]]]) -> tuple[Program, Block]:
    program = Program()
    program.version = 3003001
    block = program.main
    block.add_var(Var.of_kind("feed", VarKind.FEED_MINIBATCH, persistable=True))
    block.add_var(Var.of_kind("fetch", VarKind.FETCH_LIST, persistable=True))
    for col, (name, (dtype, shape)) in enumerate(inputs.items()):
        block.add_var(Var.tensor(name, dtype, shape))
        block.ops.append(Op.make("feed", {"X": ["feed"]}, {"Out": [name]}, [("col", AttrType.INT, col)]))
    return program, block


def _op(block: Block, kind: str, inputs: dict[str, Any], outputs: dict[str, Any], **attrs: Any) -> None:
    kinds = {bool: AttrType.BOOLEAN, int: AttrType.INT, float: AttrType.FLOAT, list: AttrType.INTS}
    made = [(k, kinds[type(v)], v) for k, v in attrs.items()]
    many = [{k: v if isinstance(v, list) else [v] for k, v in side.items()} for side in (inputs, outputs)]
    block.ops.append(Op.make(kind, *many, made))


def _fetch(block: Block, *names: str) -> None:
    for col, name in enumerate(names):
        block.ops.append(Op.make("fetch", {"X": [name]}, {"Out": ["fetch"]}, [("col", AttrType.INT, col)]))


def _block_op(
    program: Program, kind: str, inputs: dict[str, list[str]], outputs: dict[str, list[str]], sub: Block
) -> None:
    op = Op.make(kind, inputs, outputs)
    desc = op.desc.attrs.add()
    desc.name, desc.type, desc.block_idx = "sub_block", AttrType.BLOCK, sub.idx
    op.set_attr("is_scalar_condition" if kind == "conditional_block" else "is_test", True, AttrType.BOOLEAN)
    program.main.ops.append(op)


def branch_without_else() -> Made:
    """A variable that exists is written again, or not."""
    program, block = _program({"x": (DType.FP32, [-1, 3])})
    for name, dtype, shape in (
        ("y", DType.FP32, [-1, 3]),
        ("sum", DType.FP32, []),
        ("yes", DType.BOOL, []),
        ("zero", DType.FP32, []),
    ):
        block.add_var(Var.tensor(name, dtype, shape))
    block.add_var(Var.of_kind("scope", VarKind.STEP_SCOPES))
    _op(block, "scale", {"X": "x"}, {"Out": "y"}, scale=2.0, bias=0.0, bias_after_scale=True)
    _op(block, "reduce_sum", {"X": "x"}, {"Out": "sum"}, dim=[0], keep_dim=False, reduce_all=True)
    _op(block, "fill_constant", {}, {"Out": "zero"}, shape=[], value=0.0, dtype=int(DType.FP32))
    _op(block, "greater_than", {"X": "sum", "Y": "zero"}, {"Out": "yes"})
    sub = program.add_block(block)
    sub.add_var(Var.tensor("t", DType.FP32, [-1, 3]))
    _op(sub, "exp", {"X": "x"}, {"Out": "t"})
    _op(sub, "assign", {"X": "t"}, {"Out": "y"})
    _block_op(program, "conditional_block", {"Cond": ["yes"], "Input": ["x"]}, {"Out": ["y"], "Scope": ["scope"]}, sub)
    _fetch(block, "y")
    return program, {}


def array_in_any_order(fetch_length: bool = True) -> Made:
    """Elements are written at the end and in the place of others, and read by a number that is fed."""
    program, block = _program({"x": (DType.FP32, [-1, 3]), "at": (DType.INT64, [1])})
    block.add_var(Var.of_kind("array", VarKind.LOD_TENSOR_ARRAY))
    block.vars["array"].desc.type.tensor_array.tensor.data_type = DType.FP32
    for i in range(3):
        block.add_var(Var.tensor(f"i{i}", DType.INT64, [1]))
        _op(block, "fill_constant", {}, {"Out": f"i{i}"}, shape=[1], value=float(i), dtype=int(DType.INT64))
        block.add_var(Var.tensor(f"x{i}", DType.FP32, [-1, 3]))
        _op(block, "scale", {"X": "x"}, {"Out": f"x{i}"}, scale=float(i + 1), bias=0.0, bias_after_scale=True)
        _op(block, "write_to_array", {"X": f"x{i}", "I": f"i{i}"}, {"Out": "array"})
    _op(block, "write_to_array", {"X": "x", "I": "at"}, {"Out": "array"})
    for name, dtype, shape in (
        ("n", DType.INT64, [1]),
        ("one", DType.FP32, [-1, 3]),
        ("all", DType.FP32, [3, -1, 3]),
        ("index", DType.INT32, [3]),
    ):
        block.add_var(Var.tensor(name, dtype, shape))
    _op(block, "lod_array_length", {"X": "array"}, {"Out": "n"})
    _op(block, "read_from_array", {"X": "array", "I": "at"}, {"Out": "one"})
    _op(block, "tensor_array_to_tensor", {"X": "array"}, {"Out": "all", "OutIndex": "index"}, axis=0, use_stack=True)
    _fetch(block, "one", "all", "n")
    return program, {}


def loops(depth: int) -> Made:
    """Loops within each other."""
    program, block = _program({"x": (DType.FP32, [2]), "yes": (DType.BOOL, [1])})
    block.add_var(Var.tensor("y", DType.FP32, [2]))
    _op(block, "assign", {"X": "x"}, {"Out": "y"})
    blocks = [block]
    for _ in range(depth):
        blocks.append(program.add_block(blocks[-1]))
    for outer, inner in zip(blocks, blocks[1:]):
        op = Op.make("while", {"Condition": ["yes"], "X": []}, {"Out": [], "StepScopes": []})
        op.set_attr("sub_block", inner.idx, AttrType.BLOCK)
        outer.ops.append(op)
    _op(blocks[-1], "exp", {"X": "y"}, {"Out": "y"})
    _fetch(block, "y")
    return program, {}


def uninitialised(dtype: DType) -> Made:
    program, block = _program({"at": (DType.INT64, [1])})
    block.add_var(Var.of_kind("array", VarKind.LOD_TENSOR_ARRAY))
    block.add_var(Var.tensor("one", dtype, [3]))
    _op(block, "read_from_array", {"X": "array", "I": "at"}, {"Out": "one"})
    _fetch(block, "one")
    return program, {}


def _x(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


CASES = [
    pytest.param(branch_without_else, [{"x": np.abs(_x(2, 3))}, {"x": -np.abs(_x(4, 3))}], id="branch without else"),
    pytest.param(
        array_in_any_order,
        [{"x": _x(2, 3), "at": np.array([i], np.int64)} for i in (0, 1, 2)],
        id="array in any order",
    ),
]
