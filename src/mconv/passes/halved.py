"""How a program is rewritten in half precision, and what that gives."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program


@dataclass(frozen=True)
class Form:
    """How a program is rewritten.

    Attributes:
        dtype: ``FP16`` or ``BF16``.
        keep: types of operators, and names of variables, whose operators stay float32.
        beyond: variables that leave half's range: the operators that write or read them stay float32, too.
        precise: variables that are computed in float32: the operators that write them, not those that read them.
        io: what the program takes and gives: ``float`` or ``half``.
        emulate: make the float32 program that computes what the half one does. Its inputs and outputs stay float32.
    """

    dtype: DType = DType.FP16
    keep: Collection[str] = ()
    beyond: Collection[str] = ()
    precise: Collection[str] = ()
    io: str = "float"
    emulate: bool = False


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

    def drop_unused(self, spare: set[str], count: int) -> None:
        """Take out the casts to *spare* variables that nothing reads, and what of the first *count* new variables is left."""
        program = self.program
        read = {n for _, op in program.ops() for n in op.input_names}
        idle = spare - read
        program.main.ops[:] = [op for op in program.main.ops if op.type != "cast" or op.output("Out")[0] not in idle]
        for name in idle:
            program.main.vars.pop(name, None)
        used = program.named()
        new = tuple(f"_cast_auto_mixed.tmp_{n}" for n in range(count))
        for block in program.blocks:
            for name in [n for n in block.vars if n.endswith(new) and n not in used]:
                del block.vars[name]
                self.params.pop(name, None)
