"""Operators on complex numbers, which a conversion holds as pairs of real tensors (:mod:`mconv.emit.complex`).

What treats all elements alike (views, indices, sums) is converted once for each part, by the converter that real
tensors have. What does not has a converter of its own here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any, Callable, Optional

from mconv.emit import arithmetic, logical, matmul, scale, unary
from mconv.emit import complex as C
from mconv.emit.complex import COMPLEX, Complex
from mconv.emit.einsum import einsum
from mconv.emit.shape import expand_to
from mconv.errors import UnsupportedError
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext
from mconv.torch.registry import Converter

# each part by itself
_BY_PARTS = frozenset((
    "_reshape_alias", "_to_copy", "_unsafe_index", "_unsafe_view", "add", "alias", "alias_copy", "as_strided",
    "cat", "clone", "constant_pad_nd", "contiguous", "copy", "cumsum", "detach", "diagonal", "empty", "empty_like",
    "expand", "flip", "full", "full_like", "gather", "index", "index_put", "index_select", "lift_fresh",
    "lift_fresh_copy", "masked_fill", "mean", "narrow", "new_empty", "new_full", "new_ones", "new_zeros", "neg",
    "ones_like", "permute", "repeat", "reshape", "roll", "rsub", "scalar_tensor", "select", "select_scatter",
    "slice", "slice_scatter", "split", "split_with_sizes", "squeeze", "stack", "sub", "sum", "t", "tile",
    "transpose", "tril", "triu", "unbind", "unfold", "unsqueeze", "view", "where", "zeros", "zeros_like", "ones",
    "masked_select", "scatter_add", "index_add",
))  # fmt: skip
Own = Callable[..., Any]
_OWN: dict[str, Own] = {}
# operands that are numbers, of which the imaginary part is 0 where they are real
_NUMBERS = frozenset({"fill_value", "value", "s"})


def complex_op(*names: str) -> Callable[[Own], Own]:
    """Register a function as the converter of all overloads of ``aten.<name>`` where complex numbers are concerned."""

    def register(function: Own) -> Own:
        _OWN.update(dict.fromkeys(names, function))
        return function

    return register


def concerned(node: Any, arguments: Any) -> bool:
    """Whether a node takes or gives complex numbers."""
    value = node.meta.get("val")
    values = value if isinstance(value, (list, tuple)) else [value]
    return any(str(getattr(v, "dtype", "")).startswith("torch.complex") for v in values) or _holds(arguments)


def _holds(argument: Any) -> bool:
    if isinstance(argument, dict):
        return any(_holds(a) for a in argument.values())
    if isinstance(argument, (list, tuple)):
        return any(_holds(a) for a in argument)
    return isinstance(argument, (Complex, complex))


def find(name: str, converter: Optional[Converter]) -> Converter:
    """What converts ``aten.<overload>`` of complex numbers.

    Args:
        converter: what converts it of real ones.

    Raises:
        UnsupportedError: the operator is not known for complex numbers.
    """
    base = name.removeprefix("aten.").split(".")[0]
    if base in _OWN:
        own = _OWN[base]
        parameters = list(inspect.signature(own).parameters.values())[1:]
        named = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        return Converter(own, frozenset(named if len(named) == len(parameters) else _FACTORS))
    if base not in _BY_PARTS or converter is None:
        raise UnsupportedError("it has complex numbers")
    return Converter(functools.partial(_by_parts, converter=converter, base=base), converter.parameters)


def _by_parts(ctx: AtenContext, *, converter: Converter, base: str, **arguments: Any) -> Any:
    parts = []
    for which in (0, 1):
        ctx.by_parts = True  # the node's results have the type of their parts
        try:
            given = {k: _part(ctx, v, which, k) for k, v in arguments.items()}
            parts.append(converter.function(ctx, **given))
        finally:
            ctx.by_parts = False
    if base in ("ones", "ones_like", "new_ones"):
        parts[1] = scale(ctx, parts[0], 0.0)
    if isinstance(parts[0], (list, tuple)):
        return [Complex(re, im) for re, im in zip(*parts)]
    return Complex(*parts)


def _part(ctx: AtenContext, argument: Any, which: int, name: str) -> Any:
    if isinstance(argument, (list, tuple)):
        return type(argument)(_part(ctx, a, which, name) for a in argument)
    if isinstance(argument, Complex):
        return (argument.re, argument.im)[which]
    if isinstance(argument, complex) or (name in _NUMBERS and isinstance(argument, (int, float))):
        return complex(argument).imag if which else complex(argument).real
    if isinstance(argument, DType):
        return C.real_dtype(argument)
    if isinstance(argument, Value) and argument.dtype.is_float and which:
        return scale(ctx, argument, 0.0)  # a real operand beside complex ones
    return argument


def _dtype(ctx: AtenContext) -> DType:
    """The type of the parts of the result."""
    return C.real_dtype(ctx.out_dtype)


def _real_or_complex(x: Any, ctx: AtenContext) -> Any:
    """An operand: numbers as complex ones, tensors as they are."""
    return x if isinstance(x, (Value, Complex)) else C.of(ctx, x, _dtype(ctx))


# making and taking apart ---------------------------------------------------------------------------------------------


# of one operand, by aten's names
_OF_ONE: dict[tuple[str, ...], Callable[[AtenContext, Any], Any]] = {
    ("view_as_real", "view_as_real_copy"): C.as_pairs,
    ("view_as_complex", "view_as_complex_copy"): C.from_pairs,
    ("real",): lambda ctx, x: x.re,
    ("imag",): lambda ctx, x: x.im,
    ("_conj", "_conj_physical", "conj_physical"): C.conjugate,
    ("resolve_conj", "resolve_neg"): lambda ctx, x: x,
    ("abs",): C.size,
    ("angle",): C.angle,
    ("exp",): C.exponential,
    ("log",): lambda ctx, x: Complex(unary(ctx, "log", C.size(ctx, x)), C.angle(ctx, x)),
}


def _of_one(emit: Callable[[AtenContext, Any], Any]) -> Own:
    return lambda ctx, self: emit(ctx, self)


for _names, _emit in _OF_ONE.items():
    complex_op(*_names)(_of_one(_emit))


@complex_op("complex")
def complex_(ctx: AtenContext, real: Value, imag: Value) -> Complex:
    return Complex(*(expand_to(ctx, v, ctx.out_shape) for v in (real, imag)))


@complex_op("polar")
def polar(ctx: AtenContext, abs: Value, angle: Value) -> Complex:
    return C.polar(ctx, abs, angle)


@complex_op("_to_copy", "to")
def to_copy(ctx: AtenContext, self: Any, dtype: Optional[DType] = None) -> Any:
    if ctx.out_dtype in COMPLEX:
        return C.of(ctx, self, _dtype(ctx))
    if ctx.out_dtype is DType.BOOL:
        nothing = C.equal(ctx, self, C.of(ctx, 0, self.re.dtype))
        return logical(ctx, "logical_not", nothing)
    return ctx.cast(self.re, ctx.out_dtype)  # as PyTorch, which warns


# arithmetic ----------------------------------------------------------------------------------------------------------


def _sum(op: str) -> Own:
    def convert(ctx: AtenContext, self: Any, other: Any, alpha: Any = 1) -> Complex:
        x, y = (C.of(ctx, v, _dtype(ctx)) for v in (self, other))
        if alpha != 1:
            y = C.times(ctx, y, C.of(ctx, alpha, _dtype(ctx)), _dtype(ctx))
        if op == "rsub":
            x, y = y, x
        kind = "add" if op == "add" else "sub"
        return Complex(*(arithmetic(ctx, kind, p, q) for p, q in ((x.re, y.re), (x.im, y.im))))

    return convert


for _name in ("add", "sub", "rsub"):
    _OWN[_name] = _sum(_name)


@complex_op("mul")
def mul(ctx: AtenContext, self: Any, other: Any) -> Complex:
    return C.times(ctx, _real_or_complex(self, ctx), _real_or_complex(other, ctx), _dtype(ctx))


@complex_op("div")
def div(ctx: AtenContext, self: Any, other: Any) -> Complex:
    return C.quotient(ctx, _real_or_complex(self, ctx), _real_or_complex(other, ctx), _dtype(ctx))


@complex_op("reciprocal")
def reciprocal(ctx: AtenContext, self: Complex) -> Complex:
    return C.quotient(ctx, C.of(ctx, 1, _dtype(ctx)), self, _dtype(ctx))


@complex_op("pow")
def pow_(ctx: AtenContext, self: Any, exponent: Any) -> Complex:
    if not isinstance(self, Complex) or not isinstance(exponent, (int, float)):
        raise ctx.refuse("a power whose exponent is no number")
    return C.power(ctx, self, exponent)


@complex_op("sgn")
def sgn(ctx: AtenContext, self: Complex) -> Complex:
    away = C.size(ctx, self)
    none = ctx.cast(C.equal(ctx, self, C.of(ctx, 0, self.re.dtype)), away.dtype)
    return C.quotient(ctx, self, arithmetic(ctx, "add", away, none), _dtype(ctx))


@complex_op("eq", "ne")
def compared(ctx: AtenContext, self: Any, other: Any) -> Value:
    dtype = next(v.re.dtype for v in (self, other) if isinstance(v, Complex))
    same = C.equal(ctx, *(C.of(ctx, v, dtype) for v in (self, other)))
    return logical(ctx, "logical_not", same) if str(ctx.node.target).startswith("aten.ne.") else same


# products of matrices ------------------------------------------------------------------------------------------------


# names of what is multiplied
_FACTORS = ("self", "input", "mat2", "other", "weight", "vec", "tensor", "bias")


@complex_op("mm", "bmm", "matmul", "mv", "dot", "vdot", "linear")
def products(ctx: AtenContext, **operands: Any) -> Complex:
    x, y = list(operands.values())[:2]
    kind = str(ctx.node.target).split(".")[1]
    if kind == "vdot":
        x = C.conjugate(ctx, x) if isinstance(x, Complex) else x
    turned = kind == "linear"
    made = C.product(ctx, lambda u, v: matmul(ctx, u, v, trans_y=turned), x, y, _dtype(ctx))
    bias = operands.get("bias")
    return made if bias is None else _sum("add")(ctx, made, bias)


@complex_op("einsum")
def einsum_(ctx: AtenContext, equation: str, tensors: Sequence[Any], path: Any = None) -> Complex:
    """Of more than two operands, the real and imaginary parts of each in every combination."""
    dtype = _dtype(ctx)
    terms: list[tuple[complex, list[Value]]] = [(1, [])]
    for tensor in tensors:
        parts = [(1, tensor.re), (1j, tensor.im)] if isinstance(tensor, Complex) else [(1, tensor)]
        terms = [(f * g, [*values, ctx.cast(v, dtype)]) for f, values in terms for g, v in parts]
    sums: dict[bool, Optional[Value]] = {True: None, False: None}
    for factor, values in terms:
        made = einsum(ctx, equation, values)
        real, sign = factor.imag == 0, factor.real + factor.imag
        known = sums[real]
        if known is None:
            sums[real] = made if sign > 0 else scale(ctx, made, -1.0)
        else:
            sums[real] = arithmetic(ctx, "add" if sign > 0 else "sub", known, made)
    re, im = sums[True], sums[False]
    assert re is not None and im is not None
    return Complex(re, im)
