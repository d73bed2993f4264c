"""Whether a program that was read contradicts itself."""

from __future__ import annotations

from collections.abc import Sequence

from mconv.errors import CorruptModelError
from mconv.program.block import Block

_DEEPEST = 64  # blocks within each other, which every walk over them is recursive in
_MOST_RUN = 20_000  # blocks that one runs: two operators may run the same one, and twice at each level is 2^levels


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
    _check_within([block.parent_idx for block in blocks], where)
    _check_runs(runs, len(blocks), where)


def _check_name(name: object, what: str, where: str) -> None:
    # of bytes that are no UTF-8, some versions of protobuf raise a UnicodeDecodeError and others give the bytes
    if not isinstance(name, str):
        raise CorruptModelError(f"{where}: the name of {what} is not UTF-8 text")
    if not name:
        raise CorruptModelError(f"{where}: {what} has no name")


def _check_within(parents: Sequence[int], where: str) -> None:
    """Refuse blocks that lie within themselves, or too deep; *parents*: block → the one around it, -1 for none."""
    depths: dict[int, int] = {-1: 0}
    for start in range(len(parents)):
        path: list[int] = []
        block, above = start, set()
        while block not in depths:
            if block in above:
                raise CorruptModelError(f"{where}: block {block} lies within itself")
            above.add(block)
            path.append(block)
            block = max(parents[block], -1)
        for inner in reversed(path):
            depths[inner] = depths[max(parents[inner], -1)] + 1
            if depths[inner] > _DEEPEST:
                raise _too_deep(inner, where)


def _check_runs(runs: dict[int, list[int]], most: int, where: str) -> None:
    """Refuse blocks that run themselves, too deep, or out of all proportion; *runs*: block → blocks that its operators
    run, *most*: how many blocks there are."""
    depths: dict[int, int] = {}  # of what is done
    times: dict[int, int] = {}  # how many blocks are run, each as often as it is named
    for start in runs:
        path: list[tuple[int, int]] = [(start, 0)]  # block, how many of its sub-blocks are done
        on_path = {start}
        while path and path[0][0] not in depths:
            block, at = path[-1]
            below = runs.get(block, [])
            if at == len(below):
                depths[block] = 1 + max((depths[b] for b in below), default=0)
                times[block] = 1 + sum(times[b] for b in below)
                if depths[block] > _DEEPEST:
                    raise _too_deep(block, where)
                if times[block] > max(most, _MOST_RUN):
                    raise CorruptModelError(f"{where}: block {block} runs blocks more than {_MOST_RUN} times")
                on_path.discard(block)
                path.pop()
                continue
            path[-1] = (block, at + 1)
            if below[at] in on_path:
                raise CorruptModelError(f"{where}: block {below[at]} runs itself")
            if below[at] not in depths:
                on_path.add(below[at])
                path.append((below[at], 0))


def _too_deep(block: int, where: str) -> CorruptModelError:
    return CorruptModelError(
        f"{where}: block {block} is nested too deeply: {_DEEPEST} blocks within each other are most"
    )
