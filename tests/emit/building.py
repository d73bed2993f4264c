"""Building with emit, and what came of it: no Paddle is needed for either."""

from __future__ import annotations

from mconv.program import dims as D
from mconv.program import targets
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

TARGETS = ["1.8", "2.3", "2.6", "3"]
N, M = D.Sym.named("n"), D.Sym.named("m")


def started(target: str = "2.3", **inputs: tuple[DType, tuple[D.Dim, ...]]) -> tuple[Builder, list[Value]]:
    """A builder with these inputs."""
    b = Builder(targets.get(target))
    return b, [b.feed(name, dtype, shape) for name, (dtype, shape) in inputs.items()]


def types(b: Builder) -> list[str]:
    """The types of the operators so far, but for the inputs'."""
    return [op.type for op in b.block.ops if op.type != "feed"]
