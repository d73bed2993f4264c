"""``Program``, ``Block``, ``Op`` and ``Var``: Paddle's ProgramDesc as plain data in this process.

Each is a thin view of its protobuf message, so fields that mconv does not know survive a round trip. The lists
``Program.blocks``, ``Block.ops`` and ``Block.vars`` are ordinary Python containers; they are put back into the
message when the program is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional, cast

from mconv import budget
from mconv.errors import CorruptModelError
from mconv.program import messages, wire
from mconv.program.block import Block, Op, Var
from mconv.program.dtypes import DType
from mconv.program.soundness import check

__all__ = ["Block", "Op", "Port", "Program", "Var"]


class Port:
    """One input or output of an inference program: the feed or fetch operator and its variable."""

    __slots__ = ("col", "op", "var")

    def __init__(self, col: int, op: Op, var: Var):
        self.col = col
        self.op = op
        self.var = var

    @property
    def name(self) -> str:
        return self.var.name

    @property
    def dtype(self) -> Optional[DType]:
        return self.var.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.var.shape or ()


_OPERATIONS_OF_A_BLOCK = 3 << 18  # beside its operators: about 4096 (a tree of 2^11 branches) exhaust a budget


class Program:
    """A ProgramDesc. Block 0 is the main one; control flow operators name others by index."""

    def __init__(self, desc: Any = None):
        if desc is None:
            desc = messages.ProgramDescMessage()
            desc.blocks.add(idx=0, parent_idx=-1)
        self.desc = desc
        self.blocks: list[Block] = [Block(b) for b in desc.blocks]

    @classmethod
    def from_bytes(cls, data: wire.Buffer, where: str = "the program") -> Program:
        """Parse a serialized ProgramDesc.

        Args:
            data: the content of a ``__model__`` or ``.pdmodel`` file; a mapped file will do.
            where: what to call the file in an error.

        Raises:
            CorruptModelError: not a ProgramDesc, truncated, or inconsistent in itself.
        """
        wire.check(data, where)
        desc = messages.ProgramDescMessage()
        try:
            desc.ParseFromString(data if isinstance(data, bytes) else bytes(data))
            program = cls(desc)
            check(program.blocks, where, empty=not program.desc.ByteSize())
        except (messages.DecodeError, RecursionError):
            raise CorruptModelError(
                f"{where}: not a Paddle program, or a damaged one ({len(data)} bytes do not parse as a ProgramDesc)",
                "compare the file's size with the original's, or save the model again",
            ) from None
        except UnicodeDecodeError as e:
            raise CorruptModelError(f"{where}: a name in the program is not UTF-8 text ({e.reason})") from None
        return program

    def to_bytes(self) -> bytes:
        """Serialize; the same program always gives the same bytes."""
        self._sync()
        return cast("bytes", self.desc.SerializeToString(deterministic=True))

    def _sync(self) -> None:
        blocks = []
        for block in self.blocks:
            desc = messages.BlockDescMessage()
            desc.CopyFrom(block.desc)
            del desc.vars[:]
            del desc.ops[:]
            desc.vars.extend(v.desc for v in block.vars.values())
            desc.ops.extend(o.desc for o in block.ops)
            blocks.append(desc)
        del self.desc.blocks[:]
        self.desc.blocks.extend(blocks)
        for block, stored in zip(self.blocks, self.desc.blocks):
            block.desc = stored

    def copy(self) -> Program:
        """An independent copy."""
        self._sync()
        desc = messages.ProgramDescMessage()
        desc.CopyFrom(self.desc)
        return Program(desc)

    @property
    def version(self) -> int:
        """The version of Paddle that wrote it, e.g. 2006002 for 2.6.2; 0 for 1.x and development builds."""
        return cast("int", self.desc.version.version)

    @version.setter
    def version(self, value: int) -> None:
        self.desc.version.version = value

    @property
    def main(self) -> Block:
        return self.blocks[0]

    def add_block(self, parent: Block) -> Block:
        """Append an empty sub-block.

        Raises:
            LimitError: so many have been made before that the budget is exhausted.
        """
        budget.work(_OPERATIONS_OF_A_BLOCK, "a sub-block")
        desc = messages.BlockDescMessage(idx=len(self.blocks), parent_idx=parent.idx)
        block = Block(desc)
        self.blocks.append(block)
        return block

    def find_var(self, name: str, block: Optional[Block] = None) -> Optional[Var]:
        """The variable as seen from *block* (default: the main one), looking outwards."""
        block = block or self.main
        for _ in range(len(self.blocks) + 1):
            if name in block.vars:
                return block.vars[name]
            if not 0 <= block.parent_idx < len(self.blocks):
                return None
            block = self.blocks[block.parent_idx]
        return None

    def rename(self, names: dict[str, str]) -> None:
        """Replace the names of variables that are keys of *names*, in all blocks and operators."""
        for _, op in self.ops():
            op.rename(names)
        for block in self.blocks:
            if names.keys() & block.vars.keys():
                for name, var in block.vars.items():
                    var.desc.name = names.get(name, name)
                block.vars = {var.name: var for var in block.vars.values()}

    def ops(self) -> Iterator[tuple[Block, Op]]:
        """Every operator of every block."""
        for block in self.blocks:
            for op in block.ops:
                yield block, op

    def below(self, op: Op) -> Iterator[Block]:
        """The blocks of a branch or a loop, and those in them."""
        for index in op.blocks:
            yield self.blocks[index]
            for inner in self.blocks[index].ops:
                yield from self.below(inner)

    def reads(self, op: Op) -> set[str]:
        """What an operator reads, and the operators of its branch or loop."""
        return {n for each in (op, *(o for block in self.below(op) for o in block.ops)) for n in each.input_names}

    def named(self) -> set[str]:
        """The variables that operators read or write."""
        return {n for _, op in self.ops() for n in op.names}

    @property
    def feeds(self) -> list[Port]:
        """The inputs, in the order of the feed operators' ``col``."""
        return self._ports("feed", lambda op: op.output("Out"))

    @property
    def fetches(self) -> list[Port]:
        """The outputs, in the order of the fetch operators' ``col``."""
        return self._ports("fetch", lambda op: op.input("X"))

    def _ports(self, kind: str, names: Any) -> list[Port]:
        ports = []
        for op in self.main.ops:
            if op.type != kind:
                continue
            given = names(op)
            if len(given) != 1:
                raise CorruptModelError(f"a {kind} operator of the program names {len(given)} variables instead of one")
            name = given[0]
            var = self.main.vars.get(name)
            if var is None:
                raise CorruptModelError(
                    f"the program's {kind} operator names the variable {name!r}, which does not exist"
                )
            col = op.attr("col", 0)
            if not isinstance(col, int):
                raise CorruptModelError(f"the {kind} operator of {name!r} has {col!r} as its position (col)")
            ports.append(Port(col, op, var))
        return sorted(ports, key=lambda p: p.col)

    @property
    def parameters(self) -> list[Var]:
        """The stored variables, sorted by name: the order of the records in a combined parameter file."""
        found = {v.name: v for b in self.blocks for v in b.vars.values() if v.is_parameter}
        # Paddle sorts by std::string, that is by bytes
        return [found[name] for name in sorted(found, key=lambda n: n.encode("utf-8", "surrogateescape"))]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.blocks))
