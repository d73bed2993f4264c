"""The small model that a freshly installed runtime has to run, written without Paddle and without any file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.files import write_model
from mconv.program.params import ArraySource
from mconv.program.program import Op, Program, Var


def write_check_model(folder: Path) -> tuple[Path, Path]:
    """Write ``y = relu(x · w + b)``, x: float32[-1, 4], y: float32[-1, 3], in operators that every Paddle since 1.8 has.

    Returns:
        The program and the parameters, ``check.pdmodel`` and ``check.pdiparams`` in *folder*.
    """
    program = Program()
    block = program.main
    block.add_var(Var.of_kind("feed", VarKind.FEED_MINIBATCH, persistable=True))
    block.add_var(Var.of_kind("fetch", VarKind.FETCH_LIST, persistable=True))
    block.add_var(Var.tensor("x", DType.FP32, (-1, 4)))
    for name in ("product", "sum", "y"):
        block.add_var(Var.tensor(name, DType.FP32, (-1, 3)))
    values = parameters()
    for name, value in values.items():
        block.add_var(Var.tensor(name, DType.FP32, value.shape, persistable=True))
    column, axis = [("col", AttrType.INT, 0)], [("axis", AttrType.INT, 1)]
    flat = [("x_num_col_dims", AttrType.INT, 1), ("y_num_col_dims", AttrType.INT, 1)]
    block.ops += [
        Op.make("feed", {"X": ["feed"]}, {"Out": ["x"]}, column),
        Op.make("mul", {"X": ["x"], "Y": ["w"]}, {"Out": ["product"]}, flat),
        Op.make("elementwise_add", {"X": ["product"], "Y": ["b"]}, {"Out": ["sum"]}, axis),
        Op.make("relu", {"X": ["sum"]}, {"Out": ["y"]}),
        Op.make("fetch", {"X": ["y"]}, {"Out": ["fetch"]}, column),
    ]
    return write_model(program, [(name, ArraySource(values[name])) for name in sorted(values)], folder, "check")


def parameters() -> dict[str, np.ndarray]:
    """The model's weights."""
    w = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    return {"w": w, "b": np.array([0.5, -0.25, 0], np.float32)}


def expected(x: np.ndarray) -> np.ndarray:
    """What the model has to answer."""
    values = parameters()
    return np.maximum(x @ values["w"] + values["b"], 0)
