"""What torch assumed of open sizes while it traced: the guards of an exported program.

``torch.export`` keeps a size open and yet fixes what is computed of it: a program whose guards hold
``(height - 1) // 4 + 1 == 16`` is right for heights from 61 to 64 and for no other, though its ``range_constraints``
say nothing of it. Where found: ``ShapeEnv.guards`` behind the symbols of the placeholders (torch 2.5 to 2.13).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

_NEAR = (1, 2, 3, 4, 5, 7, 8, 12, 16, 32, 64)  # how far from the traced sizes others are looked for
_MOST = 150  # sizes that are looked at


@dataclass(frozen=True)
class Restriction:
    """A condition on the sizes under which an exported program is right.

    Attributes:
        text: in the user's names: ``height//4 == 16``.
        labels: the names of the dimensions in it.
        fixes: whether it leaves those dimensions no other size of another order than the traced one.
        least: whether it only excludes sizes of 0 and 1.
    """

    text: str
    labels: tuple[str, ...]
    fixes: bool
    least: bool
    _condition: Any
    _symbols: tuple[tuple[str, Any], ...]

    @property
    def plain(self) -> bool:
        """Whether it says that a dimension has one size, whatever it is traced with."""
        return (
            self.fixes
            and getattr(self._condition, "rel_op", "") == "=="
            and any(side.is_Symbol for side in self._condition.args)
        )

    @property
    def baked(self) -> bool:
        """Whether it says that a size that is computed is one number: the graph's shapes have that number then, though
        its operators may do without."""
        if self.plain or getattr(self._condition, "rel_op", "") != "==":
            return False
        number = [side for side in self._condition.args if side.is_Integer]
        return bool(number) and not any("Mod" in type(side).__name__ for side in self._condition.args)

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it holds at these sizes (name → size)."""
        try:
            found = self._condition.xreplace({symbol: _number(sizes[label]) for label, symbol in self._symbols})
        except (
            ZeroDivisionError,
            AssertionError,
        ):  # it says nothing of such sizes; torch asserts that none is negative
            return True
        return str(found) != "False"


def restrictions(
    program: Any, dims: Mapping[str, Sequence[Optional[str]]], traced: Mapping[str, int], inputs: Sequence[str]
) -> list[Restriction]:
    """The guards of an exported program.

    Args:
        program: as ``torch.export.export`` gave it.
        dims: input → names of its dimensions, None for a fixed one.
        traced: name of a dimension → its size in the trace.
        inputs: the program's inputs, in the order of its placeholders.
    """
    symbols, numbers, env = _symbols(program, dims, inputs)
    found = [_settled(label, size) for label, size in numbers.items()]
    by_symbol: dict[Any, list[str]] = {}
    for label, symbol in symbols.items():
        by_symbol.setdefault(symbol, []).append(label)
    for guard in env.guards if env is not None else ():
        condition = env.replace(guard.expr)
        free = sorted(condition.free_symbols, key=str)
        if not free or any(s not in by_symbol for s in free):
            continue
        pairs = tuple((by_symbol[s][0], s) for s in free)
        found.append(_described(condition, pairs, traced))
    for symbol, labels in by_symbol.items():  # two sizes that torch takes for one
        for other in labels[1:]:
            found.append(_tied(labels[0], other, symbol))
    unique = {r.text: r for r in found}
    return list(unique.values())


def _symbols(
    program: Any, dims: Mapping[str, Sequence[Optional[str]]], inputs: Sequence[str]
) -> tuple[dict[str, Any], dict[str, int], Any]:
    """Names of dimensions → torch's symbol, or the number that it became; and what keeps the guards."""
    user = set(program.graph_signature.user_inputs)
    nodes = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in user]
    nodes = [n for n in nodes if hasattr(n.meta.get("val"), "shape")]
    symbols: dict[str, Any] = {}
    numbers: dict[str, int] = {}
    env = None
    for node, name in zip(nodes, inputs):
        for label, size in zip(dims.get(name, ()), node.meta["val"].shape):
            expression = getattr(getattr(size, "node", None), "expr", None)
            if label is not None and expression is not None and expression.is_Symbol:
                symbols.setdefault(label, expression)
                env = size.node.shape_env
            elif label is not None and (isinstance(size, int) or (expression is not None and expression.is_Integer)):
                numbers.setdefault(label, int(size))
    return symbols, numbers, env


def _described(condition: Any, pairs: tuple[tuple[str, Any], ...], traced: Mapping[str, int]) -> Restriction:
    sides = condition.args if condition.is_Relational else (condition,)
    texts = [str(side.xreplace({symbol: _symbol(label) for label, symbol in pairs})) for side in sides]
    texts = [re.sub(r"^(?:Python)?Mod\((.+), (\w+)\)$", r"\1 % \2", text) for text in texts]
    text = f" {condition.rel_op} ".join(texts) if condition.is_Relational else texts[0]
    made = Restriction(text, tuple(n for n, _ in pairs), False, _least(condition), condition, pairs)
    sizes = {label: traced[label] for label, _ in pairs if label in traced}
    if len(sizes) < len(pairs):
        return made
    tried = (
        {**sizes, label: size * times // 4} for label, size in sizes.items() for times in (1, 2, 8, 12, 16) if size > 3
    )
    return Restriction(text, made.labels, not any(map(made.holds, tried)), made.least, condition, pairs)


def _least(condition: Any) -> bool:
    """Whether a guard only says that something is not 0 or 1, which torch asks for of every size."""
    if not condition.is_Relational:
        return False
    small = [a for a in condition.args if a.is_Integer and abs(int(a)) <= 2]
    return bool(small) and condition.rel_op != "=="


def _settled(label: str, size: int) -> Restriction:
    import sympy  # type: ignore[import-untyped,unused-ignore]

    symbol = _symbol(label)
    return Restriction(f"{label} == {size}", (label,), True, False, sympy.Eq(symbol, size), ((label, symbol),))


def _tied(label: str, other: str, symbol: Any) -> Restriction:
    import sympy

    second = sympy.Symbol(f"{symbol}_other", integer=True, positive=True)
    pairs = ((label, symbol), (other, second))
    return Restriction(f"{label} == {other}", (label, other), False, False, sympy.Eq(symbol, second), pairs)


def _symbol(label: str) -> Any:
    import sympy

    return sympy.Symbol(label, integer=True, positive=True)


def _number(size: int) -> Any:
    import sympy

    return sympy.Integer(size)


def breaking(
    one: Restriction, all_of_them: Sequence[Restriction], traced: Mapping[str, int]
) -> Iterator[dict[str, int]]:
    """Sizes at which *one* does not hold, near the traced ones; those about sizes of 0 and 1 hold."""
    others = [r for r in all_of_them if r.least]
    labels = [label for label in one.labels if label in traced]
    steps = [(*_NEAR, *(-n for n in _NEAR))] * len(labels)
    for moved in itertools.islice(_moves(steps), _MOST):
        sizes = {**traced, **{label: traced[label] + m for label, m in zip(labels, moved)}}
        if min(sizes[label] for label in labels) < 2:
            continue
        known = all(set(r.labels) <= set(sizes) for r in others)
        if not one.holds(sizes) and known and all(r.holds(sizes) for r in others):
            yield sizes


def _moves(steps: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """One size changed at a time, then several."""
    for index, choices in enumerate(steps):
        for choice in choices:
            yield tuple(choice if i == index else 0 for i in range(len(steps)))
    if len(steps) > 1:
        yield from itertools.product(*steps)


__all__ = ["Restriction", "breaking", "restrictions"]
