"""A model whose operator the Paddle of the oldest target lacks, and which mconv does not say otherwise."""

from __future__ import annotations

from pathlib import Path

from mconv.program.dtypes import DType
from mconv.program.program import Op, Program, Var

LACKED = "eigvals"  # since Paddle 2.2


def written(folder: Path) -> Path:
    """``newer.pdmodel`` in *folder*, without parameters: the eigenvalues of matrices."""
    program = Program()
    program.main.add_var(Var.tensor("x", DType.FP32, (-1, 3, 3)))
    program.main.add_var(Var.tensor("y", DType.COMPLEX64, (-1, 3)))
    program.main.ops.append(Op.make("feed", {"X": ["feed"]}, {"Out": ["x"]}))
    program.main.ops.append(Op.make(LACKED, {"X": ["x"]}, {"Out": ["y"]}))
    program.main.ops.append(Op.make("fetch", {"X": ["y"]}, {"Out": ["fetch"]}))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "newer.pdmodel").write_bytes(program.to_bytes())
    return folder / "newer.pdmodel"
