"""Symbolic dimensions: integer polynomials over the sizes that are known only at run time.

A dimension is an ``int`` or a :class:`Sym`. Shape arithmetic (``Shape → Gather → Mul → Concat → Reshape``) is
followed through these, so that a reshape which 0, -1 and constants can express is written with attributes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Union, cast

from mconv.errors import LimitError

Dim = Union[int, "Sym"]
Shape = tuple[Any, ...]  # of Dim

_counter = itertools.count()


class ShapeError(ValueError):
    """Shapes that contradict each other."""


_ELEMENTS = 1 << 60
_MOST = 20_000  # names that a size may be written with; those of models have a handful


class Sym:
    """A polynomial with integer coefficients in atoms; compare with ``==``, which is exact on the canonical form.

    ``terms`` maps a monomial (sorted tuple of atoms, ``()`` for the constant term) to its coefficient. An atom is a
    name or a tuple ``(function, argument, …)`` such as a floor division that does not come out even.
    """

    __slots__ = ("_hash", "terms", "weight")

    def __init__(self, terms: dict[tuple[Any, ...], int]):
        self.terms = terms
        self.weight = sum(1 + sum(map(_weight, monomial)) for monomial in terms)  # how many names it is written with
        if self.weight > _MOST:
            raise _too_long(self.weight)
        self._hash = hash(frozenset(terms.items()))

    @classmethod
    def named(cls, name: Union[str, tuple[Any, ...]]) -> Sym:
        """The size called *name*, or that a function gives; the same name is the same size."""
        return cls({(name,): 1})

    @classmethod
    def fresh(cls, hint: str = "d") -> Sym:
        """A size of which nothing is known."""
        return cls.named(f"{hint}#{next(_counter)}")

    @property
    def is_name(self) -> bool:
        """Whether it is a name and nothing computed."""
        return len(self.terms) == 1 and all(
            c == 1 and len(m) == 1 and isinstance(m[0], str) for m, c in self.terms.items()
        )

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sym) and self.terms == other.terms

    def __add__(self, other: Dim) -> Dim:
        return _make(_sum(self.terms, _terms(other)))

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return _make({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Dim) -> Dim:
        return self + (-other)

    def __rsub__(self, other: Dim) -> Dim:
        return (-self) + other

    def __mul__(self, other: Dim) -> Dim:
        out: dict[tuple[Any, ...], int] = {}
        if isinstance(other, Sym) and self.weight * other.weight > _MOST:
            raise _too_long(self.weight * other.weight)
        for (m1, c1), (m2, c2) in itertools.product(self.terms.items(), _terms(other).items()):
            key = tuple(sorted(m1 + m2, key=repr))
            out[key] = out.get(key, 0) + c1 * c2
        return _make(out)

    __rmul__ = __mul__

    def __floordiv__(self, other: Dim) -> Dim:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Dim) -> Dim:
        return floordiv(other, self)

    def __mod__(self, other: Dim) -> Dim:
        return self - floordiv(self, other) * other

    def __rmod__(self, other: Dim) -> Dim:
        return other - floordiv(other, self) * self

    def __repr__(self) -> str:
        def monomial(m: tuple[Any, ...], c: int) -> str:
            factors = [a if isinstance(a, str) else f"{a[0]}({', '.join(map(repr, a[1:]))})" for a in m]
            return "*".join(([str(c)] if c != 1 or not factors else []) + factors)

        return " + ".join(monomial(m, c) for m, c in self.terms.items()) or "0"


def _weight(atom: Any) -> int:
    if not isinstance(atom, tuple):
        return 1
    return 1 + sum(a.weight if isinstance(a, Sym) else 1 for a in atom[1:])


def _too_long(weight: int) -> LimitError:
    return LimitError(f"a size that is computed of {weight} sizes: {_MOST} are the most")


def _terms(value: Dim) -> dict[tuple[Any, ...], int]:
    if isinstance(value, Sym):
        return value.terms
    return {(): int(value)} if value else {}


def _sum(a: dict[tuple[Any, ...], int], b: dict[tuple[Any, ...], int]) -> dict[tuple[Any, ...], int]:
    out = dict(a)
    for m, c in b.items():
        out[m] = out.get(m, 0) + c
    return out


def _make(terms: dict[tuple[Any, ...], int]) -> Dim:
    terms = {m: c for m, c in terms.items() if c}
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    return Sym(terms)


def function(name: str, *args: Dim) -> Dim:
    """An opaque function of dimensions: equal names and arguments are equal sizes."""
    return Sym.named((name, *args))


def sign(dim: Dim) -> int:
    """1 for a dimension that is never below 0 where the named sizes are not, -1 for one that is never above, else 0.

    ``-8 * floordiv(-n, 8)``, *n* rounded up to a multiple of 8, is of the first kind.
    """
    if not isinstance(dim, Sym):
        return -1 if dim < 0 else 1
    signs = {(1 if c > 0 else -1) * math.prod(map(_atom_sign, m)) for m, c in dim.terms.items()}
    return signs.pop() if len(signs) == 1 else 0


def _atom_sign(atom: Any) -> int:
    if not isinstance(atom, tuple):
        return 1
    name, *args = atom
    if name == "carried":
        return 1
    signs = [sign(a) for a in args]
    if name == "floordiv":  # rounded down, a quotient below 0 stays below it
        return math.prod(signs)
    for wins in {"max": (1,), "min": (-1,)}.get(name, ()):
        if wins in signs:
            return wins
    return signs[0] if len(set(signs)) == 1 else 0


def exact_div(a: Dim, b: Dim) -> Optional[Dim]:
    """``a / b`` when the polynomials divide evenly, else None."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    if a == b:
        return 1
    divisor = _terms(b)
    if len(divisor) != 1:
        # try a = k * b for an integer k
        ta = _terms(a)
        first = next(iter(divisor))
        if first in ta and ta[first] % divisor[first] == 0:
            k = ta[first] // divisor[first]
            if _make({m: c * k for m, c in divisor.items()}) == a:
                return k
        return None
    ((mono, coef),) = divisor.items()
    out: dict[tuple[Any, ...], int] = {}
    for m, c in _terms(a).items():
        if c % coef:
            return None
        rest = list(m)
        for atom in mono:
            if atom not in rest:
                return None
            rest.remove(atom)
        out[tuple(rest)] = c // coef
    return _make(out)


def floordiv(a: Dim, b: Dim) -> Dim:
    """``a // b`` (floor)."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    exact = exact_div(a, b)
    if exact is not None:
        return exact
    if isinstance(b, int) and b > 0 and isinstance(a, Sym):
        # (k*b*x + r) // b = k*x + r // b
        whole = {m: c for m, c in a.terms.items() if c % b == 0}
        rest = {m: c for m, c in a.terms.items() if c % b}
        if whole:
            return _make({m: c // b for m, c in whole.items()}) + floordiv(_make(rest), b)
    return function("floordiv", a, b)


def ceildiv(a: Dim, b: Dim) -> Dim:
    """``a / b`` rounded up."""
    return -floordiv(-a, b)


def maximum(a: Dim, b: Dim) -> Dim:
    return _extreme("max", max, a, b)


def minimum(a: Dim, b: Dim) -> Dim:
    return _extreme("min", min, a, b)


def _extreme(name: str, pick: object, a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return cast("Dim", pick(a, b))  # type: ignore[operator]
    if a == b:
        return a
    return function(name, *sorted((a, b), key=repr))


def symbols(dim: Dim) -> set[Sym]:
    """The named sizes that a dimension is computed of, inside of functions too."""
    found: set[Sym] = set()
    if isinstance(dim, Sym):
        for monomial in dim.terms:
            for atom in monomial:
                if isinstance(atom, tuple):
                    found.add(Sym.named(atom))
                    found.update(*(symbols(a) for a in atom[1:]))
                else:
                    found.add(Sym.named(atom))
    return found


def constants(dim: Dim) -> set[int]:
    """The numbers that a dimension is computed of, inside of functions too; factors are none."""
    if isinstance(dim, int):
        return {dim}
    found = {c for m, c in dim.terms.items() if not m}
    for monomial in dim.terms:
        for atom in monomial:
            if isinstance(atom, tuple):
                found.update(*(constants(a) for a in atom[1:]))
    return found


def substitute(dim: Dim, values: Mapping[Sym, Dim], exact: bool = False) -> Dim:
    """*dim* with other dimensions in place of the named sizes that are keys of *values*.

    Args:
        exact: sizes that broadcast against each other may be 0, which wins, where otherwise the largest does.
    """
    if not isinstance(dim, Sym):
        return dim
    total: Dim = 0
    for monomial, factor in dim.terms.items():
        term: Dim = factor
        for atom in monomial:
            term = term * _substituted(atom, values, exact)
        total = total + term
    return total


def _substituted(atom: Any, values: Mapping[Sym, Dim], exact: bool) -> Dim:
    symbol = Sym.named(atom)
    if symbol in values:
        return values[symbol]
    if not isinstance(atom, tuple):
        return symbol
    name, *args = atom
    args = [substitute(a, values, exact) for a in args]
    if name == "floordiv" and args[1] != 0:
        return floordiv(*args)
    if name == "carried" and isinstance(args[0], int):
        return max(args[0], 1)
    if name in ("max", "min"):
        if name == "min" and 0 in args:
            return 0
        return maximum(*args) if name == "max" else minimum(*args)
    if name == "broadcast":
        if 0 in args:
            return 0
        large = args[0]
        for a in args[1:]:
            large = maximum(large, a)
        if not exact:
            return function(name, *sorted(set(args), key=repr)) if len(set(args)) > 1 else args[0]
        small: Dim = 1
        for a in args:
            small = minimum(small, a)
        return cast("Dim", large * small)
    return function(name, *args)


def product(dims: Iterable[Dim]) -> Dim:
    out: Dim = 1
    for d in dims:
        out = out * d
    return out


def is_static(shape: Optional[Sequence[Dim]]) -> bool:
    """Whether every dimension is a number."""
    return shape is not None and all(isinstance(d, int) for d in shape)


def number(dim: Optional[Dim]) -> int:
    """A dimension that is known to be one.

    Raises:
        TypeError: it is none: whoever asks has not looked.
    """
    if dim is None or isinstance(dim, Sym):
        raise TypeError(f"{dim!r} is no number")
    return int(dim)


def numbers(dims: Optional[Sequence[Dim]]) -> list[int]:
    """Dimensions that are known to be numbers; see :func:`number`."""
    return [number(d) for d in dims or ()]


def to_paddle(shape: Optional[Sequence[Dim]]) -> tuple[int, ...]:
    """The dims of a VarDesc: -1 for what is symbolic (and for an unknown rank, no dims).

    Raises:
        LimitError: it would have more than 2^60 elements, which no runtime counts (they are int64).
    """
    dims = tuple(d if isinstance(d, int) else -1 for d in shape or ())
    size = 1
    for d in dims:
        size *= d or 1
    if abs(size) > _ELEMENTS:
        raise LimitError("a tensor of more than 2^60 elements", "no machine has that much")
    return dims


def broadcast(*shapes: Optional[Sequence[Dim]]) -> Optional[tuple[Dim, ...]]:
    """The shape that numpy's rules give; None when a rank is unknown.

    Two different symbols may be equal or one of them 1 at run time: the result is then a size of its own.

    Raises:
        ShapeError: two static dimensions contradict.
    """
    if any(s is None for s in shapes):
        return None
    rank = max((len(s) for s in shapes if s is not None), default=0)
    out: list[Dim] = []
    for i in range(-rank, 0):
        dims = {s[i] for s in shapes if s is not None and len(s) >= -i and s[i] != 1}
        numbers = {d for d in dims if isinstance(d, int)}
        if len(numbers) > 1:
            raise ShapeError(f"shapes {' and '.join(str(list(s or ())) for s in shapes)} do not broadcast")
        if numbers:
            out.append(numbers.pop())
        elif len(dims) > 1 and len(whole := {d for d in dims if not any(_cut_of(d, o) for o in dims)}) == 1:
            out.append(whole.pop())
        elif len(dims) > 1:
            # flat: a chain of residual sums would otherwise nest without end
            parts = {part for d in dims for part in _broadcast_parts(d)}
            out.append(function("broadcast", *sorted(parts, key=repr)))
        else:
            out.append(dims.pop() if dims else 1)
    return tuple(out)


def _broadcast_parts(dim: Dim) -> Iterable[Dim]:
    """What *dim* is the broadcast size of; itself when it is none."""
    if isinstance(dim, Sym) and len(dim.terms) == 1:
        ((monomial, factor),) = dim.terms.items()
        if factor == 1 and len(monomial) == 1 and isinstance(monomial[0], tuple) and monomial[0][0] == "broadcast":
            return monomial[0][1:]
    return (dim,)


def _cut_of(dim: Dim, other: Dim) -> bool:
    """Whether *dim* is ``min(k, other)``: against *other* it broadcasts only when it is *other* (k is not 1)."""
    if not isinstance(dim, Sym) or len(dim.terms) != 1:
        return False
    ((monomial, factor),) = dim.terms.items()
    if factor != 1 or len(monomial) != 1 or not isinstance(monomial[0], tuple) or monomial[0][0] != "min":
        return False
    args = monomial[0][1:]
    return any(a == other and isinstance(k, int) and k > 1 for a, k in (args, args[::-1]))
