"""Expressions of sizes, as ``torch.export`` writes them: texts that torch hands to sympy, which evaluates them.

A text is parsed here first: arithmetic over numbers, symbols and a list of functions, no deeper, longer or larger in
its value than a size can be.
"""

from __future__ import annotations

import ast
import re
from typing import Optional

from mconv.errors import LimitError

# functions of sizes, by the names that torch's deserializer and sympy know
_FUNCTIONS = frozenset((
    "FloorDiv", "ModularIndexing", "Where", "PythonMod", "Mod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv",
    "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator",
    "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity", "Max", "Min", "Abs", "Pow",
    "sqrt", "floor", "ceiling", "Eq", "Ne", "Le", "Lt", "Ge", "Gt", "And", "Or", "Not", "Xor", "Piecewise",
    "ExprCondPair", "Add", "Mul", "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan",
    "StrictGreaterThan", "Infinity", "NegativeInfinity", "Symbol", "Integer", "Float", "Rational",
    "OpaqueUnaryFn_sqrt", "OpaqueUnaryFn_exp", "OpaqueUnaryFn_log", "BitwiseFn_bitwise_and", "BitwiseFn_bitwise_or",
))  # fmt: skip
_QUOTED = {
    "Symbol": re.compile(r"[A-Za-z_][A-Za-z_0-9]{0,80}"),
    "Float": re.compile(r"[-+]?[\d.]{1,40}(e[-+]?\d{1,3})?|[-+]?(inf|nan)"),
}
_ASSUMPTIONS = frozenset((
    "positive", "negative", "nonnegative", "nonpositive", "integer", "real", "zero", "nonzero", "finite", "extended_real",
    "commutative", "even", "odd", "rational",
))  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z_0-9]{0,80}")
# (^ is a power to sympy, and none to Python)
_OPERATORS = (
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.FloorDiv,
    ast.Mod,
    ast.Pow,
    ast.LShift,
    ast.RShift,
    ast.BitAnd,
    ast.BitOr,
)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
# the second argument is an exponent, a shift or a number of digits
_RAISING = frozenset(("Pow", "PowByNatural", "FloatPow", "LShift", "RShift", "RoundDecimal"))
_NUMERALS = ("Integer", "Float", "Rational", "ToFloat")
_LENGTH, _DEPTH, _NODES = 8_000, 50, 2_000
EXPONENT = 64  # the largest in an expression
SIZE_BITS = 64  # of the value of a symbol
BITS = 2_048  # of any value; sizes have 64


class NoExpression(ValueError):
    """The text is something else than arithmetic on sizes."""


def check(text: str) -> None:
    """Raises NoExpression, or LimitError where an expression of sizes is longer, deeper or larger than one can be."""
    if len(text) > _LENGTH or _nesting(text) > _DEPTH:
        raise LimitError(f"a size that takes {len(text)} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NoExpression(text) from None
    _Bits().of(tree.body, 0)


def _nesting(text: str) -> int:
    depth = most = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        most = max(most, depth)
    return most


class _Bits:
    """How many bits the value of an expression has at the most; the largest numbers are those that are computed first."""

    def __init__(self) -> None:
        self.nodes = 0

    def of(self, node: ast.AST, depth: int) -> int:
        self.nodes += 1
        if depth > _DEPTH or self.nodes > _NODES:
            raise LimitError("a size that is an expression of thousands of terms")
        bits = self._bits(node, depth + 1)
        if bits > BITS:
            raise LimitError(f"a size of {bits} bits")
        return bits

    def _bits(self, node: ast.AST, depth: int) -> int:
        if isinstance(node, ast.Constant):
            return _constant(node)
        if isinstance(node, ast.Name) and _NAME.fullmatch(node.id) and "__" not in node.id:
            return SIZE_BITS
        if isinstance(node, ast.UnaryOp):
            return self.of(node.operand, depth) + 1
        if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
            return self._binary(node, depth)
        if isinstance(node, (ast.BoolOp, ast.Tuple)):
            return max(
                [self.of(v, depth) for v in (node.values if isinstance(node, ast.BoolOp) else node.elts)], default=1
            )
        if isinstance(node, ast.Compare) and all(isinstance(o, _COMPARISONS) for o in node.ops):
            return max(self.of(v, depth) for v in (node.left, *node.comparators))
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        raise NoExpression(type(node).__name__)

    def _binary(self, node: ast.BinOp, depth: int) -> int:
        left, right = self.of(node.left, depth), self.of(node.right, depth)
        if isinstance(node.op, (ast.Pow, ast.LShift, ast.RShift)):
            return raised(left, _number(node.right), isinstance(node.op, ast.Pow))
        if isinstance(node.op, (ast.Mult, ast.Div)):  # a quotient is exact in sympy
            return left + right
        return max(left, right) + 1

    def _call(self, node: ast.Call, depth: int) -> int:
        if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
            raise NoExpression("a call")
        name, arguments = node.func.id, list(node.args)
        if not all(_keyword(name, k) for k in node.keywords):
            raise NoExpression("a keyword")
        quoted = _QUOTED.get(name)
        if (
            quoted
            and arguments
            and isinstance(arguments[0], ast.Constant)
            and quoted.fullmatch(str(arguments[0].value))
        ):
            if name == "Symbol" and len(arguments) > 1:
                raise NoExpression("a symbol of two names")
            arguments = arguments[1:]
        elif name == "Symbol":
            raise NoExpression("a symbol without a name")
        bits = [self.of(a, depth) for a in arguments]
        if name in _RAISING:
            if len(arguments) != 2:
                raise NoExpression(name)
            return raised(bits[0], _number(arguments[1]), "Pow" in name)
        if name in ("Mul", "Rational", "IntTrueDiv", "FloatTrueDiv"):
            return sum(bits, 1)
        return max(bits, default=SIZE_BITS) + len(bits).bit_length()


def raised(bits: int, exponent: Optional[float], power: bool) -> int:
    """Bits of a power or shift of a value.

    Raises:
        LimitError: the exponent is no number, or a large one.
    """
    if exponent is None or abs(exponent) > EXPONENT:
        raise LimitError("a size that is raised to a power without a bound")
    return bits * max(1, int(abs(exponent)) + 1) if power else bits + int(abs(exponent))


def _constant(node: ast.Constant) -> int:
    if isinstance(node.value, (bool, float)):
        return SIZE_BITS
    if isinstance(node.value, int):
        return node.value.bit_length()
    raise NoExpression("a text")


def _number(node: ast.AST) -> Optional[float]:
    """The value of a literal: ``2``, ``-1``, ``0.5``, ``Integer(2)``, ``Rational(1, 2)``, ``1/2``; else None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        return _number(node.operand)  # of which only the size matters
    numeral = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NUMERALS
    if isinstance(node, ast.Call) and numeral and node.args:
        values = [_number(a) for a in node.args]  # None for digits in quotes
        return None if None in values else max(abs(v) for v in values if v is not None)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        parts = [_number(node.left), _number(node.right)]
        return None if None in parts else max(abs(p) for p in parts if p is not None)
    return None


def _keyword(name: str, keyword: ast.keyword) -> bool:
    value = keyword.value
    if not isinstance(value, ast.Constant):
        return False
    if name == "Symbol":
        return keyword.arg in _ASSUMPTIONS and isinstance(value.value, bool)
    if name == "Float":
        return keyword.arg in ("precision", "dps") and isinstance(value.value, int) and 0 < value.value <= 256
    return keyword.arg == "evaluate" and isinstance(value.value, bool)
