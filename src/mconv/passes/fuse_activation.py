"""Activations that exporters write as arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Optional

from mconv.passes.graph import Found, Graph, attrs_equal, first, out
from mconv.program.dtypes import AttrType, DType
from mconv.program.program import Op


class _Term:
    """A product taken apart: a number times factors, and the operators that multiply."""

    def __init__(self) -> None:
        self.number = 1.0
        self.factors: list[str] = []
        self.ops: list[Op] = []


def _product(g: Graph, op: Op, depth: int = 3) -> _Term:
    """*op* as a product: through multiplications and scales that only it reads."""
    term = _Term()

    def take(name: str, left: int) -> None:
        inner = g.by(name, "elementwise_mul", "scale", "elementwise_div")
        if inner is not None and left and len(g.consumers.get(name, [])) == 1 and _is_product(g, inner):
            split(inner, left - 1)
            return
        number = g.number(name)
        if number is None:
            term.factors.append(name)
        else:
            term.number *= number

    def split(node: Op, left: int) -> None:
        term.ops.append(node)
        if node.type == "scale":
            term.number *= node.attr("scale", 1.0)
            take(first(node, "X"), left)
        elif node.type == "elementwise_div":
            term.number /= g.number(first(node, "Y")) or math.nan
            take(first(node, "X"), left)
        else:
            take(first(node, "X"), left)
            take(first(node, "Y"), left)

    split(op, depth)
    return term


def _is_product(g: Graph, op: Op) -> bool:
    if op.type == "scale":
        return op.attr("bias", 0.0) == 0.0
    return op.type != "elementwise_div" or g.number(first(op, "Y")) is not None


def _plus(g: Graph, op: Optional[Op], number: float) -> Optional[str]:
    """What *op* adds *number* to, or None."""
    added, x = g.plus(op) if op is not None else (None, "")
    return x if attrs_equal(added, number) else None


def _made(g: Graph, kind: str, ops: list[Op], x: str, result: str, attrs: list) -> Found:
    inner = [out(o) for o in ops if out(o) != result]
    if g.dtype(x) is not DType.FP32 or not g.inside(inner, ops):
        return None
    return ops, Op.make(kind, {"X": [x]}, {"Out": [result]}, attrs)


def _one_plus(g: Graph, op: Op, kinds: tuple[str, ...]) -> Iterator[tuple[_Term, str, Op, Op, str]]:
    """Products ``number · x · (1 + f(…))`` with f of *kinds*: (term, x, the addition, f, f's input).

    More may be multiplied to it outside, such as the other half of a gated unit.
    """
    if not _is_product(g, op):
        return
    term = _product(g, op)
    if len(term.factors) != 2:
        return
    for x, factor in (term.factors, term.factors[::-1]):
        added = g.by(factor, "scale", "elementwise_add")
        inner = _plus(g, added, 1.0)
        f = g.by(inner, *kinds) if inner else None
        if added is not None and f is not None:
            yield term, x, added, f, first(f, "X")


def gelu_erf(g: Graph, op: Op) -> Found:
    """``x/2 · (1 + erf(x/√2))``."""
    for term, x, added, erf, argument in _one_plus(g, op, ("erf",)):
        divided = g.by(argument, "scale", "elementwise_div", "elementwise_mul")
        if divided is None or not attrs_equal(term.number, 0.5) or not _is_product(g, divided):
            continue
        inner = _product(g, divided, 0)
        if inner.factors == [x] and attrs_equal(inner.number, 1 / math.sqrt(2)):
            ops = [divided, erf, added, *term.ops]
            return _made(g, "gelu", ops, x, out(op), [("approximate", AttrType.BOOLEAN, False)])
    return None


def gelu_tanh(g: Graph, op: Op) -> Found:
    """``x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))``."""
    for term, x, added, tanh, argument in _one_plus(g, op, ("tanh",)):
        outer = g.by(argument, "scale", "elementwise_mul")
        if outer is None or not attrs_equal(term.number, 0.5) or not _is_product(g, outer):
            continue
        poly = _product(g, outer, 0)
        if len(poly.factors) != 1 or not attrs_equal(poly.number, math.sqrt(2 / math.pi)):
            continue
        total = g.by(poly.factors[0], "elementwise_add")
        cubic = g.other(total, x) if total is not None else None
        cube = g.by(cubic, "scale", "elementwise_mul") if cubic else None
        if total is None or cube is None:
            continue
        third = _product(g, cube)
        powers = _cubed(g, third, x)
        if powers is not None and attrs_equal(third.number, 0.044715):
            ops = [*powers, *third.ops, total, outer, tanh, added, *term.ops]
            return _made(g, "gelu", ops, x, out(op), [("approximate", AttrType.BOOLEAN, True)])
    return None


def _cubed(g: Graph, term: _Term, x: str) -> Optional[list[Op]]:
    """The operators besides the product's own that make x³ of its factors, or None."""
    extra: list[Op] = []
    power = 0
    for factor in term.factors:
        op = g.by(factor, "pow", "elementwise_pow", "square")
        if factor == x:
            power += 1
        elif op is not None and first(op, "X") == x:
            exponent = g.exponent(op)
            if exponent not in (2.0, 3.0):
                return None
            power += int(exponent)
            extra.append(op)
        else:
            return None
    return extra if power == 3 else None


def swish(g: Graph, op: Op) -> Found:
    """``x · sigmoid(x)``."""
    return _times_function(g, op, "sigmoid", "swish", [("beta", AttrType.FLOAT, 1.0)])


def _times_function(g: Graph, op: Op, function: str, kind: str, attrs: list) -> Found:
    for x, factor in ((first(op, "X"), first(op, "Y")), (first(op, "Y"), first(op, "X"))):
        f = g.by(factor, function)
        if f is not None and first(f, "X") == x:
            return _made(g, kind, [f, op], x, out(op), attrs)
    return None


def mish(g: Graph, op: Op) -> Found:
    """``x · tanh(softplus(x))``."""
    for x, factor in ((first(op, "X"), first(op, "Y")), (first(op, "Y"), first(op, "X"))):
        tanh = g.by(factor, "tanh")
        soft = g.by(first(tanh, "X"), "softplus") if tanh is not None else None
        if tanh is not None and soft is not None and first(soft, "X") == x and soft.attr("beta", 1.0) == 1.0:
            return _made(g, "mish", [soft, tanh, op], x, out(op), [("threshold", AttrType.FLOAT, 20.0)])
    return None


def hard_swish(g: Graph, op: Op) -> Found:
    """``x · hard_sigmoid(x)``, or ``x · clip(x + 3, 0, 6) / 6``."""
    attrs = [("threshold", AttrType.FLOAT, 6.0), ("scale", AttrType.FLOAT, 6.0), ("offset", AttrType.FLOAT, 3.0)]
    term = _product(g, op) if _is_product(g, op) else _Term()
    if len(term.factors) != 2:
        return None
    for x, factor in (term.factors, term.factors[::-1]):
        hard = g.by(factor, "hard_sigmoid")
        if hard is not None and first(hard, "X") == x and attrs_equal(term.number, 1.0):
            if not (attrs_equal(hard.attr("slope"), 1 / 6) and attrs_equal(hard.attr("offset"), 0.5)):
                return None
            return _made(g, "hard_swish", [hard, *term.ops], x, out(op), attrs)
        clipped = g.by(factor, "clip", "relu6")
        added = g.by(first(clipped, "X"), "scale", "elementwise_add") if clipped is not None else None
        if clipped is None or added is None or not attrs_equal(term.number, 1 / 6) or _plus(g, added, 3.0) != x:
            continue
        bounds = (
            (0.0, clipped.attr("threshold", 6.0))
            if clipped.type == "relu6"
            else (clipped.attr("min"), clipped.attr("max"))
        )
        if bounds == (0.0, 6.0) and not clipped.input("Min") and not clipped.input("Max"):
            return _made(g, "hard_swish", [added, clipped, *term.ops], x, out(op), attrs)
    return None
