"""Operators put into an existing program in the place of one that its target lacks."""

from __future__ import annotations

from collections.abc import Iterator

from mconv.emit.selection import without_padding
from mconv.paddle.constants import InlineBuilder
from mconv.paddle.context import Context, Operand
from mconv.paddle.convert import convert
from mconv.paddle.desc_reader import DescReader
from mconv.paddle.operation import OperationBlock
from mconv.paddle.registry import Unsupported
from mconv.program.program import Block, Op, Program
from mconv.program.targets import Target
from mconv.program.value import Value


class SplicingBuilder(InlineBuilder):
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
            self.kinds.add(op.type)
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


class Lowering:
    """What a :class:`Context` asks of the importer around it; an operator of a ProgramDesc has no blocks here."""

    def __init__(self, program: Program, target: Target, scalars: frozenset[str]):
        self.program = program
        self.b = SplicingBuilder(program, target)
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
            for each in (emitted, *(o for inner in self.program.below(emitted) for o in inner.ops)):
                each.rename(names)
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
