"""Replacing operators of an existing program one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Optional

from mconv.errors import UsageError
from mconv.program.attribute import AttrValue
from mconv.program.dtypes import AttrType, DType
from mconv.program.program import Block, Op, Program, Var


class Site:
    """Where a rule stands: the program, the block, and fresh variables in it."""

    def __init__(self, program: Program, block: Block):
        self.program = program
        self.block = block
        self._count = 0

    def var(self, name: str) -> Optional[Var]:
        return self.program.find_var(name, self.block)

    def shape(self, name: str) -> Optional[tuple[int, ...]]:
        """The declared dimensions, -1 = known only at run time; None where nothing is declared."""
        var = self.var(name)
        return None if var is None else var.shape

    def new(self, like: str, dtype: Optional[DType], shape: Iterable[int]) -> str:
        """Declare a temporary variable whose name begins with *like*; returns the name."""
        while True:
            name = f"{like}.mconv_{self._count}"
            self._count += 1
            if self.var(name) is None:
                self.block.add_var(Var.tensor(name, dtype, shape))
                return name

    def temporary(self, like: str, shape: Optional[Iterable[int]] = None) -> str:
        """A temporary variable of the type of *like*, and of its shape unless another is given."""
        var = self.var(like)
        declared = (var.shape if var is not None else None) or ()
        return self.new(like, None if var is None else var.dtype, declared if shape is None else shape)


def make(type: str, inputs: dict[str, object], outputs: dict[str, object], **attrs: tuple[AttrType, AttrValue]) -> Op:
    """An operator; an argument is a variable's name or a list of them, an attribute its type and value."""

    def lists(side: dict[str, object]) -> dict[str, list[str]]:
        return {k: [v] if isinstance(v, str) else list(v) for k, v in side.items()}  # type: ignore[call-overload]

    return Op.make(type, lists(inputs), lists(outputs), [(name, kind, value) for name, (kind, value) in attrs.items()])


def cast(source: str, result: str, before: DType, after: DType) -> Op:
    types = {"in_dtype": (AttrType.INT, int(before)), "out_dtype": (AttrType.INT, int(after))}
    return make("cast", {"X": source}, {"Out": result}, **types)


def clip(source: str, result: str, low: float, high: float) -> Op:
    return make("clip", {"X": source}, {"Out": result}, min=(AttrType.FLOAT, low), max=(AttrType.FLOAT, high))


def scale(source: str, result: str, factor: float, bias: float = 0.0) -> Op:
    """``source * factor + bias``."""
    numbers = {"scale": (AttrType.FLOAT, factor), "bias": (AttrType.FLOAT, bias)}
    return make("scale", {"X": source}, {"Out": result}, **numbers, bias_after_scale=(AttrType.BOOLEAN, True))


def fill(result: str, dtype: DType, shape: Iterable[int], value: float) -> Op:
    """A ``fill_constant``."""
    sizes, kind = (AttrType.LONGS, list(shape)), (AttrType.INT, int(dtype))
    return make("fill_constant", {}, {"Out": result}, shape=sizes, dtype=kind, value=(AttrType.FLOAT, value))


def declared(block: Block, name: str, dtype: DType, like: Optional[Var]) -> str:
    """Declare a variable of the shape of another one; returns its name."""
    shape = () if like is None or like.shape is None else like.shape
    block.add_var(Var.tensor(name, dtype, shape, lod_level=0 if like is None else like.lod_level))
    return name


def check_keep(program: Program, keep: Collection[str]) -> None:
    """Refuse what names neither an operator nor a variable.

    Raises:
        UsageError: names it.
    """
    known = {op.type for _, op in program.ops()}.union(*(block.vars for block in program.blocks))
    unknown = sorted(set(keep) - known)
    if unknown:
        raise UsageError(
            f"--keep {unknown[0]}: the program has no such operator or variable",
            "mconv inspect MODEL --ops --vars lists them",
        )
