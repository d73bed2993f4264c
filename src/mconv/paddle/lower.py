"""Operators of an existing program that a target lacks, by the converters that a ``.json`` goes through, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable

from mconv.emit.selection import without_padding
from mconv.paddle.constants import InlineBuilder
from mconv.paddle.context import Context, Operand
from mconv.paddle.convert import convert
from mconv.paddle.desc_reader import DescReader
from mconv.paddle.operation import OperationBlock
from mconv.paddle.registry import Unsupported
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Program
from mconv.program.targets import Target
from mconv.program.value import Value


@dataclass
class Lowered:
    """What :func:`lower` did.

    Attributes:
        changes: how many operators were replaced, by type.
        refused: operators (their ``id``) that stay where they were, and why.
        parameters: constants that became parameters.
    """

    changes: dict[str, int] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    parameters: dict[str, TensorSource] = field(default_factory=dict)


class _SplicingBuilder(InlineBuilder):
    """Emits into an existing program: operators at the end of the block that is put together anew, constants before
    those of the operator at hand."""

    def __init__(self, program: Program, target: Target):
        super().__init__(target)
        self.program = program
        self.block = self.home = program.main
        for block in program.blocks:
            self._used.update(block.vars)
        for _, op in program.ops():
            self._used.update(op.input_names, op.output_names)
        self._feeds = [Value(p.name, p.dtype, p.shape) for p in program.feeds if p.dtype is not None]

    def enter(self, block: Block) -> None:
        """The next operators go to the end of *block*."""
        self.block = self.home = block
        self._inline.clear()

    def begin(self) -> int:
        """Where the operators of the next conversion begin."""
        self._head = len(self.home.ops)
        return self._head

    def _insertion(self) -> tuple[Block, int]:
        return self.home, self._head

    def values(self) -> Iterator[Value]:
        """Every value that a later conversion may read."""
        yield from (value for value, _ in self.origins.values())
        yield from self._made.values()
        yield from self.unpadded.values()


class _Lowering:
    """What a :class:`Context` asks of the importer around it; an operator of a ProgramDesc has no blocks here."""

    def __init__(self, program: Program, target: Target, scalars: frozenset[str]):
        self.program = program
        self.b = _SplicingBuilder(program, target)
        self.reader = DescReader(program, self.b, scalars)
        self.values: dict[int, Operand] = {}
        self.problems: dict[tuple[str, str], int] = {}
        self.outputs: list[tuple[int, Value, str]] = []
        self.read = {name for _, op in program.ops() for name in op.input_names}

    def walk(self, block: OperationBlock) -> list[Operand]:
        raise Unsupported("an operator with blocks of its own")

    def replace(self, op: Op, block: Block) -> None:
        """Append what says *op* in the target's operators.

        Raises:
            Unsupported: it cannot be said; the text is the reason.
        """
        start = self.b.begin()
        operation, operands, outputs = self.reader.read(op, block)
        results = convert(Context(self, operation, operands))
        self._bind(op, block, start, results, outputs)

    def _bind(
        self, op: Op, block: Block, start: int, results: list[Operand], outputs: list[tuple[str, list[str]]]
    ) -> None:
        """Give the results the names that the program has for them."""
        b = self.b
        names: dict[str, str] = {}
        copies: list[tuple[Value, str]] = []
        before = set(op.input_names)
        for (output, variables), result in zip(outputs, [*results, *[None] * len(outputs)]):
            values = result if isinstance(result, list) else [result] * len(variables)
            if len(values) != len(variables):
                raise Unsupported(f"{len(variables)} variables for {len(values)} results {output}")
            for name, value in zip(variables, values):
                if not isinstance(value, Value):
                    if name in self.read:
                        raise Unsupported(f"its result {output} is read")
                    continue
                value = self._as_declared(value, name, block)
                made = {n for o in block.ops[start:] for n in o.output_names}
                own = value.name in made and value.name in block.vars and not value.is_const
                if own and value.name not in names and name not in before:
                    names[value.name or ""] = name
                else:
                    copies.append((value, name))
        for value, name in copies:
            b.raw_op("assign", {"X": [value]}, {"Out": [Value(name, value.dtype, value.shape)]})
        for emitted in block.ops[start:]:
            _rename(self.program, emitted, names)
        for value in b.values():
            if value.name in names:
                value.name = names[value.name]
        for name in names:
            del block.vars[name]

    def _as_declared(self, value: Value, name: str, block: Block) -> Value:
        var = self.program.find_var(name, block)
        value = without_padding(self.b, value)
        if var is None or var.dtype is None or var.shape is None:
            return value
        if value.rank is not None and value.rank != (0 if name in self.reader.scalars else len(var.shape)):
            # Paddle's own description is wrong (slogdeterminant of 2.6)
            var.desc.type.lod_tensor.tensor.dims[:] = self.b._stored_shape(value.shape)
        return self.b.cast(value, var.dtype)


def _rename(program: Program, op: Op, names: dict[str, str]) -> None:
    op.rename(names)
    for index in op.blocks:
        for inner in program.blocks[index].ops:
            _rename(program, inner, names)


def lower(
    program: Program, target: Target, wanted: Callable[[Op, Block], bool], scalars: frozenset[str] = frozenset()
) -> Lowered:
    """Replace the operators that *wanted* picks, in place, by others of *target*; all others stay what they are.

    Args:
        scalars: variables that had no dimension in the source.
    """
    done = Lowered()
    picked = [block for block in program.blocks if any(wanted(op, block) for op in block.ops)]
    if not picked:
        return done
    lowering = _Lowering(program, target, scalars)
    for block in picked:
        ops = list(block.ops)
        block.ops[:] = []
        lowering.b.enter(block)
        for op in ops:
            if not wanted(op, block):
                block.ops.append(op)
                continue
            length = len(block.ops)
            try:
                lowering.replace(op, block)
            except Unsupported as e:
                del block.ops[length:]
                block.ops.append(op)
                done.refused[id(op)] = str(e)
            else:
                done.changes[op.type] = done.changes.get(op.type, 0) + 1
    done.parameters = dict(lowering.b.params)
    return done
