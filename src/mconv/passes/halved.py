"""What a rewriting in half precision gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from mconv.program.params import TensorSource
from mconv.program.program import Program


@dataclass
class Halved:
    """A program in half precision, or with weights in it.

    Attributes:
        program, params: the result.
        half: how many operators compute in half, by type.
        operators: what each of them writes first, in the program's order, but for those that only move numbers.
        floats: operator type → why operators of it stay float32, and how many.
        casts: how many casts were written.
        rounded: tensors in half precision that operators compute, by the names of the source; in the emulation as
            float32 that is rounded.
        saturated: weights, filled tensors and masks with numbers beyond half's range.
    """

    program: Program
    params: dict[str, TensorSource]
    half: dict[str, int] = field(default_factory=dict)
    operators: list[str] = field(default_factory=list)
    floats: dict[str, dict[str, int]] = field(default_factory=dict)
    casts: int = 0
    rounded: list[str] = field(default_factory=list)
    saturated: list[str] = field(default_factory=list)
