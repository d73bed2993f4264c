"""The operators of two graphs side by side, in blocks: by the scopes in their names, by what repeats, or by number.

A pair of lists of operators is cut at the tensors that both models compute under one name: what each does between
two of them belongs together, whatever was fused, folded or expanded there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

MOST = 32  # of what is shown in one block; more are divided again
_CHUNK = 24  # steps of a block where nothing says where one ends
_LEAST = 3  # steps that a repeated block has

Node = Mapping[str, Any]


@dataclass
class Step:
    """What both do up to a tensor that both have.

    Attributes:
        tensor: its name; None behind the last one.
        left, right: the operators of either.
        row: the comparison of the tensor, where there is one.
    """

    tensor: Optional[str]
    left: list[Node]
    right: list[Node]
    row: Optional[Mapping[str, Any]] = None


@dataclass
class Block:
    """Steps that belong together, or blocks of them."""

    title: str
    steps: list[Step] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def all_steps(self) -> list[Step]:
        return [*self.steps, *(step for block in self.blocks for step in block.all_steps())]


def side_by_side(a: Sequence[Node], b: Sequence[Node], rows: Sequence[Mapping[str, Any]]) -> list[Step]:
    """The steps of two graphs, in A's order."""
    compared = {str(row["name"]): row for row in rows}
    there = {name for node in b for name in node["writes"]}
    shared = {name for node in a for name in node["writes"] if name in there or name in compared}
    right = _up_to(b, shared)
    steps = []
    for tensor, nodes in _up_to(a, shared).items():
        steps.append(Step(tensor, nodes, right.pop(tensor, []), compared.get(tensor or "")))
    rest = [node for nodes in right.values() for node in nodes]
    if rest:
        if steps and steps[-1].tensor is None:
            steps[-1].right = rest
        else:
            steps.append(Step(None, [], rest))
    return steps


def _up_to(nodes: Iterable[Node], shared: set[str]) -> dict[Optional[str], list[Node]]:
    """For each of the *shared* tensors the operators since the one before it, in order; under None the last ones."""
    found: dict[Optional[str], list[Node]] = {}
    waiting: list[Node] = []
    for node in nodes:
        waiting.append(node)
        written = [name for name in node["writes"] if name in shared and name not in found]
        for name in written:
            found[name], waiting = waiting, []
    if waiting:
        found[None] = waiting
    return found


def divided(steps: Sequence[Step]) -> list[Block]:
    """Blocks of steps, none with more parts than a reader can see at once."""
    return _by_scope(steps, [_scopes(step) for step in steps], 0)


def _by_scope(steps: Sequence[Step], scopes: Sequence[list[str]], depth: int) -> list[Block]:
    """Neighbours whose names have the same scope at *depth*, each divided again where it is long."""
    runs: list[tuple[str, int, int]] = []
    for at, scope in enumerate(scopes):
        name = "/".join(scope[: depth + 1]) if len(scope) > depth else "/".join(scope)
        if runs and runs[-1][0] == name:
            runs[-1] = (name, runs[-1][1], at + 1)
        else:
            runs.append((name, at, at + 1))
    deeper = any(len(scope) > depth + 1 for scope in scopes)
    if len(runs) == 1:
        if deeper and len(steps) > MOST:
            return _by_scope(steps, scopes, depth + 1)
        return _repeated(steps) if len(steps) > MOST else [Block(_titled(steps, runs[0][0]), list(steps))]
    if len(runs) > 2 * MOST or len(runs) > len(steps) / 2:  # names that say little: hardly two neighbours have one
        return _repeated(steps)
    blocks = []
    for name, start, end in runs:
        inner = steps[start:end]
        block = Block(_titled(inner, name))
        if len(inner) > MOST:
            block.blocks = _by_scope(inner, scopes[start:end], depth + 1)
        else:
            block.steps = list(inner)
        blocks.append(block)
    return blocks


def _repeated(steps: Sequence[Step]) -> list[Block]:
    """Blocks of the period in which the operators repeat; of equal length where none do."""
    words = [tuple(node["operator"] for node in step.left) for step in steps]
    period, start, length = _period(words)
    if not period:
        return _chunks(steps)
    blocks = _pieces(steps[:start])
    count = length // period
    for at in range(count):
        inner = steps[start + at * period : start + (at + 1) * period]
        title = f"block {at + 1} of {count}: {_titled(inner, '')}"
        long = len(inner) > MOST
        blocks.append(Block(title, [] if long else list(inner), _chunks(inner) if long else []))
    return blocks + _pieces(steps[start + count * period :])


def _pieces(steps: Sequence[Step]) -> list[Block]:
    if not steps:
        return []
    return [Block(_titled(steps, ""), list(steps))] if len(steps) <= MOST else _chunks(steps)


def _chunks(steps: Sequence[Step]) -> list[Block]:
    made = [
        Block(_titled(steps[at : at + _CHUNK], ""), list(steps[at : at + _CHUNK]))
        for at in range(0, len(steps), _CHUNK)
    ]
    if len(made) <= 2 * MOST:
        return made
    outer = []
    for at in range(0, len(made), MOST):
        inner = made[at : at + MOST]
        outer.append(Block(_titled([s for b in inner for s in b.steps], ""), [], inner))
    return outer


def _period(words: Sequence[Any]) -> tuple[int, int, int]:
    """The period that covers most, where it begins, and how many steps it covers; zeros where there is none."""
    import numpy as np

    codes = {word: code for code, word in enumerate(dict.fromkeys(words))}
    sequence = np.array([codes[word] for word in words])
    best = (0, 0, 0)
    for period in range(_LEAST, min(len(words) // 2, 200) + 1):
        same = np.concatenate([[False], sequence[period:] == sequence[:-period], [False]])
        edges = np.flatnonzero(np.diff(same.astype(np.int8)))
        runs = edges.reshape(-1, 2)
        if not len(runs):
            continue
        longest = int(np.argmax(runs[:, 1] - runs[:, 0]))
        start, end = map(int, runs[longest])
        covered = (end - start) + period
        whole = covered // period * period
        if covered >= 2 * period and len(set(words[start : start + period])) > 1 and whole > best[2] * 1.1:
            best = (period, start, whole)
    return best if best[2] >= len(words) / 3 else (0, 0, 0)


def _scopes(step: Step) -> list[str]:
    """The parts of the name's scope, the last of which is the operator itself and is left out."""
    named = step.left[-1]["name"] if step.left and step.left[-1]["name"] else step.tensor or ""
    parts = [part for part in re.split(r"[/:]+", str(named)) if part]
    if len(parts) == 1 and parts[0].count(".") > 1:  # encoder.layer.0.output.dense
        parts = re.sub(r"\.(\d+)(?=\.|$)", r"_\1", parts[0]).split(".")
    return parts[:-1]


def _titled(steps: Sequence[Step], scope: str) -> str:
    if scope:
        return scope
    names = [s.tensor for s in (steps[0], steps[-1]) if s.tensor] if steps else []
    return " … ".join(dict.fromkeys(names)) or "the rest"
