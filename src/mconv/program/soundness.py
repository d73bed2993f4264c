"""Whether a program that was read contradicts itself."""

from __future__ import annotations

from collections.abc import Sequence

from mconv.errors import CorruptModelError
from mconv.program.block import Block


def check(blocks: Sequence[Block], where: str, *, empty: bool) -> None:
    """Refuse a program that contradicts itself, so that no later step has to; looks at every name once.

    Args:
        empty: whether its message holds nothing at all.

    Raises:
        CorruptModelError: what is wrong, and where.
    """
    if not blocks:
        why = "an empty file" if empty else "not a Paddle program"
        raise CorruptModelError(f"{where}: the program holds no block ({why})")
    runs: dict[int, list[int]] = {}
    for i, block in enumerate(blocks):
        if block.idx != i:
            raise CorruptModelError(f"{where}: block {i} calls itself {block.idx}")
        if block.parent_idx >= len(blocks) or (i > 0 and block.parent_idx < 0) or block.parent_idx == i:
            raise CorruptModelError(f"{where}: block {i} names block {block.parent_idx} as its parent")
        for name in block.vars:
            _check_name(name, f"a variable of block {i}", where)
        for op in block.ops:
            _check_name(op.type, f"an operator of block {i}", where)
            for var in (*op.desc.inputs, *op.desc.outputs):
                arguments = list(var.arguments)
                if arguments or var.parameter:
                    _check_name(var.parameter, f"a parameter of operator {op.type}", where)
                if not all(isinstance(a, str) for a in arguments):
                    raise CorruptModelError(f"{where}: an argument of operator {op.type} is not UTF-8 text")
            for attr in op.desc.attrs:
                _check_name(attr.name, f"an attribute of operator {op.type}", where)
            for sub in op.blocks:
                if not 0 < sub < len(blocks):
                    raise CorruptModelError(f"{where}: operator {op.type} runs block {sub}, which does not exist")
                runs.setdefault(i, []).append(sub)
    _check_acyclic(runs, where)


def _check_name(name: object, what: str, where: str) -> None:
    # of bytes that are no UTF-8, some versions of protobuf raise a UnicodeDecodeError and others give the bytes
    if not isinstance(name, str):
        raise CorruptModelError(f"{where}: the name of {what} is not UTF-8 text")
    if not name:
        raise CorruptModelError(f"{where}: {what} has no name")


def _check_acyclic(runs: dict[int, list[int]], where: str) -> None:
    """Refuse blocks that run themselves; *runs*: block → blocks that its operators run."""
    done: set[int] = set()
    for start in runs:
        path: list[tuple[int, int]] = [(start, 0)]  # block, how many of its sub-blocks are done
        on_path = {start}
        while path and path[0][0] not in done:
            block, at = path[-1]
            below = runs.get(block, [])
            if at == len(below):
                done.add(block)
                on_path.discard(block)
                path.pop()
                continue
            path[-1] = (block, at + 1)
            if below[at] in on_path:
                raise CorruptModelError(f"{where}: block {below[at]} runs itself")
            if below[at] not in done:
                on_path.add(below[at])
                path.append((below[at], 0))
