"""Who computes and who reads each variable of a block: what the rewriting passes look things up in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Optional

from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program

# the operators that a pattern is made of, and the one that says the same
Found = Optional[tuple[list[Op], Op]]


class Graph:
    """Use and definition of the variables of one block, kept up to date by :meth:`replace`.

    Args:
        params: the parameters' values, for patterns that ask for a constant.
        mentioned: what :func:`mentions` gives for the program, where it is made for more than one block.
    """

    def __init__(
        self,
        program: Program,
        block: Block,
        params: Mapping[str, TensorSource],
        mentioned: Optional[Mapping[str, set[int]]] = None,
    ):
        self.program = program
        self.block = block
        self.params = params
        self.producer: dict[str, Op] = {}
        self.consumers: dict[str, list[Op]] = defaultdict(list)
        self.shared: set[str] = set()  # read in other blocks, or written more than once
        for op in block.ops:
            self._add(op)
        mentioned = mentions(program) if mentioned is None else mentioned
        if mentioned:
            own = {id(block)}
            self.shared.update(n for n in {*self.producer, *self.consumers} if mentioned.get(n, own) - own)
        self.gone: set[int] = set()

    def _add(self, op: Op) -> None:
        for name in op.output_names:
            if name in self.producer:
                self.shared.add(name)
            self.producer[name] = op
        for name in op.input_names:
            self.consumers[name].append(op)

    def by(self, name: str, *types: str) -> Optional[Op]:
        """The operator that computes *name*, if it is of one of *types* and nothing else writes it."""
        op = self.producer.get(name)
        return op if op is not None and op.type in types and name not in self.shared else None

    def only_reader(self, name: str, *types: str) -> Optional[Op]:
        """The one operator that reads *name*, if there is just one and it is of one of *types*."""
        readers = self.consumers.get(name, [])
        if len(readers) != 1 or name in self.shared or readers[0].type not in types:
            return None
        return readers[0]

    def inside(self, names: list[str], ops: list[Op]) -> bool:
        """Whether nothing but *ops* reads any of *names*."""
        members = {id(op) for op in ops}
        return all(
            name not in self.shared and all(id(reader) in members for reader in self.consumers.get(name, []))
            for name in names
        )

    def rank(self, name: str) -> Optional[int]:
        var = self.program.find_var(name, self.block)
        return None if var is None or not var.shape else len(var.shape)

    def shape(self, name: str) -> tuple[int, ...]:
        var = self.program.find_var(name, self.block)
        return () if var is None or var.shape is None else var.shape

    def dtype(self, name: str) -> Optional[DType]:
        var = self.program.find_var(name, self.block)
        return None if var is None else var.dtype

    def number(self, name: str) -> Optional[float]:
        """The value of a parameter of one element."""
        source = self.params.get(name)
        if source is None or source.nbytes != source.dtype.itemsize or source.dtype is DType.BF16:
            return None
        return float(source.array().reshape(-1)[0])

    def other(self, op: Op, name: str) -> Optional[str]:
        """The operand of a binary operator that is not *name* (None when both or neither are)."""
        x, y = first(op, "X"), first(op, "Y")
        if (x == name) == (y == name):
            return None
        return y if x == name else x

    def plus(self, op: Op) -> tuple[Optional[float], str]:
        """The number that a ``scale`` or ``elementwise_add`` adds, and what it adds it to."""
        x, y = first(op, "X"), first(op, "Y")
        if op.type == "scale":
            return (op.attr("bias", 0.0), x) if op.attr("scale", 1.0) == 1.0 else (None, "")
        number = self.number(y)
        return (number, x) if number is not None else (self.number(x), y)

    def exponent(self, op: Op) -> Optional[float]:
        """The number that ``square``, ``pow`` or ``elementwise_pow`` raises to."""
        if op.type == "elementwise_pow":
            return self.number(first(op, "Y"))
        return 2.0 if op.type == "square" else op.attr("factor")

    def replace(self, old: list[Op], new: Op) -> None:
        """Put *new* in the place of the last of *old* and take the others away."""
        ops = self.block.ops
        *others, last = sorted({ops.index(op) for op in old})
        ops[last] = new
        for index in reversed(others):
            del ops[index]
        for op in old:
            for name in op.input_names:
                self.consumers[name] = [c for c in self.consumers[name] if c is not op]
            for name in op.output_names:
                self.producer.pop(name, None)
            self.gone.add(id(op))
        self._add(new)


def mentions(program: Program) -> dict[str, set[int]]:
    """Variable → the blocks, by their identity, whose operators read or write it; empty where there is one block only, in
    which nothing can be mentioned elsewhere."""
    if len(program.blocks) == 1:
        return {}
    found: dict[str, set[int]] = defaultdict(set)
    for block in program.blocks:
        for op in block.ops:
            for name in op.names:
                found[name].add(id(block))
    return found


def first(op: Op, parameter: str, output: bool = False) -> str:
    """The single variable of an input (or output); empty when there is none."""
    names = op.output(parameter) if output else op.input(parameter)
    return names[0] if names else ""


def out(op: Op) -> str:
    """The variable of the output ``Out``."""
    return first(op, "Out", output=True)


def attrs_equal(a: Any, b: float, rtol: float = 1e-4) -> bool:
    return a is not None and abs(a - b) <= rtol * max(abs(b), 1e-12)
