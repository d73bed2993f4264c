"""Programs for the workers' tests, written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.files import write_model
from mconv.program.params import ArraySource
from mconv.program.program import Op, Program, Var


def identity(folder: Path, dtype: DType, shape: tuple[int, ...]) -> tuple[Path, Path]:
    """``y = x`` in a type, with a parameter that nothing uses (the Predictor wants one)."""
    program = Program()
    block = program.main
    block.add_var(Var.of_kind("feed", VarKind.FEED_MINIBATCH, persistable=True))
    block.add_var(Var.of_kind("fetch", VarKind.FETCH_LIST, persistable=True))
    for name in ("x", "y"):
        block.add_var(Var.tensor(name, dtype, shape))
    block.add_var(Var.tensor("w", DType.FP32, (1,), persistable=True))
    column = [("col", AttrType.INT, 0)]
    block.ops += [
        Op.make("feed", {"X": ["feed"]}, {"Out": ["x"]}, column),
        Op.make("assign", {"X": ["x"]}, {"Out": ["y"]}),
        Op.make("fetch", {"X": ["y"]}, {"Out": ["fetch"]}, column),
    ]
    return write_model(program, [("w", ArraySource(np.ones(1, np.float32)))], folder)
