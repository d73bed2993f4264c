"""What an emulation rounds is rounded to the nearest, as a GPU and numpy do it, in every Paddle."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

from mconv.passes.half_rounding import rounded
from mconv.program import dims as D
from mconv.program.bfloat16 import from_bits, to_bits
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.program import Var
from mconv.program.stored import ModelFiles, write_model
from mconv.program.targets import PADDLE_2_3


def rounding(dtype: DType, folder: Path) -> ModelFiles:
    """A program that rounds its input."""
    b = Builder(PADDLE_2_3)
    b.fetch(b.op("assign", X=b.feed("x", DType.FP32, (D.Sym.named("n"),))), "y")
    program, params = b.finish()
    names: list[str] = []

    def new(kind: DType) -> str:
        names.append(f"inside_{len(names)}")
        program.main.add_var(Var.tensor(names[-1], kind, (-1,)))
        return names[-1]

    ops = program.main.ops
    (at,) = (i for i, op in enumerate(ops) if op.type == "assign")
    ops[at : at + 1] = rounded(ops[at].input("X")[0], ops[at].output("Out")[0], dtype, new)
    return write_model(program, params.items(), folder)


def numbers() -> np.ndarray:
    random = np.random.default_rng(0)
    spread = random.normal(size=4000) * 10.0 ** random.integers(-4, 5, 4000)
    ties = [1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, -(1 + 3 * 2**-11)]
    edges = [0, -0.0, 65504, 65519, 65520, -7e4, 2**-14, 1e30, np.inf, -np.inf, np.nan]
    return np.array([*spread, *ties, *edges], np.float32)


@pytest.mark.runtime
@pytest.mark.parametrize("dtype", [DType.FP16, DType.BF16], ids=lambda d: d.label)
@pytest.mark.parametrize("runtime", ["paddle-2.3.2", "paddle-2.6.2", "current"])
def test_to_the_nearest(runtime: str, dtype: DType, workers: Callable[[str], Any], tmp_path: Path) -> None:
    x = numbers()
    with np.errstate(over="ignore"):
        half = x.astype(np.float16).astype(np.float32) if dtype is DType.FP16 else from_bits(to_bits(x))
    program, params = rounding(dtype, tmp_path)
    sets = [{"x": x}, {"x": x[:0]}, {"x": np.array([-3.38e38, 3.3e38, 1e-8, -6e-8], np.float32)}]
    run = workers(runtime).run(program, params, sets, ir_optim=False, onednn=False)
    (got,), (empty,), (far,) = run.outputs
    # below the least normal number the runtime's cast may cut off
    tiny = 2.0**-24 if dtype is DType.FP16 else 2.0**-133
    np.testing.assert_allclose(got, half, rtol=0, atol=tiny)
    normal = ~(np.abs(half) < 2.0**-14)
    np.testing.assert_array_equal(got[normal], half[normal])
    assert empty.shape == (0,)
    if dtype is DType.FP16:
        assert list(far[:2]) == [-np.inf, np.inf]
    else:
        np.testing.assert_allclose(far, sets[2]["x"], rtol=2**-7)
    assert np.abs(far[2:]).max() <= 2.0**-23
