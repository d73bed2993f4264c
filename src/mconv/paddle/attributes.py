"""Bringing the attributes of an operator to the types that a target's signature asks for."""

from __future__ import annotations

import math
from typing import Any, Optional

from mconv.program.dtypes import ATTR_FIELDS, AttrType, DType
from mconv.program.program import Op
from mconv.program.signatures import Signature

LAST_OLD_TYPE = AttrType.FLOAT64S  # the proto2 parsers before Paddle 2.4 know no attribute type above this one
_SCALAR_TYPES = {
    AttrType.INT: int,
    AttrType.LONG: int,
    AttrType.FLOAT: float,
    AttrType.FLOAT64: float,
    AttrType.BOOLEAN: bool,
}
_LIST_TYPES = {
    AttrType.INTS: int,
    AttrType.LONGS: int,
    AttrType.FLOATS: float,
    AttrType.FLOAT64S: float,
    AttrType.BOOLEANS: bool,
}
# Attributes that newer Paddle gave to operators of 2.3, where the default means the older behaviour. Any other value
# would silently be ignored by the older runtime. (Paddle's own op_compat.yaml and operator makers, by value.)
NEW_MEANINGS: dict[tuple[str, str], Any] = {
    ("quantize_linear", "only_observer"): False,
    ("dequantize_linear", "only_observer"): False,
    ("cumprod", "exclusive"): False,
    ("cumprod", "reverse"): False,
    ("histogram", "density"): False,
    ("kldiv_loss", "log_target"): False,
    ("max_pool2d_with_index", "ceil_mode"): False,
    ("max_pool3d_with_index", "ceil_mode"): False,
    ("put_along_axis", "Include_self"): True,
    ("repeat_interleave", "output_size"): -1,
    ("round", "decimals"): 0,
    ("thresholded_relu", "value"): 0.0,
    ("truncated_gaussian_random", "a"): -2.0,
    ("truncated_gaussian_random", "b"): 2.0,
}
# element type → the typed list of assign_value and set_value before Paddle 2.5 / 2.6
TYPED_VALUES = {
    DType.BOOL: ("bool_values", AttrType.INTS, int),
    DType.FP32: ("fp32_values", AttrType.FLOATS, float),
    DType.FP64: ("fp64_values", AttrType.FLOAT64S, float),
    DType.INT32: ("int32_values", AttrType.INTS, int),
    DType.INT64: ("int64_values", AttrType.LONGS, int),
}


def lacks(op: Op, signature: Signature) -> bool:
    """Whether *op* says in an attribute or input what the target's operator of that name has no word for."""
    if any(arguments and name not in signature.inputs for name, arguments in op.inputs.items()):
        return True
    return any(
        number in ATTR_FIELDS
        and name not in signature.attrs
        and (op.type, name) in NEW_MEANINGS
        and op.attr(name) != NEW_MEANINGS[op.type, name]
        for name, number in op.attr_types.items()
    )


def adapt(op: Op, signature: Signature) -> tuple[int, list[str]]:
    """Convert, or drop where that changes nothing, the attributes that the target reads differently.

    Returns:
        How many were changed, and one sentence for each that cannot be brought down.
    """
    changed, problems = 0, []
    for name, number in op.attr_types.items():
        wanted = signature.attrs.get(name)
        if wanted is None:
            if (op.type, name) in NEW_MEANINGS and number in ATTR_FIELDS:
                default, value = NEW_MEANINGS[op.type, name], op.attr(name)
                if value != default:
                    problems.append(f"attribute {name} = {value!r} does not exist there (only {default!r} can be said)")
            if number > LAST_OLD_TYPE:
                if number in (AttrType.VAR, AttrType.VARS):
                    problems.append(f"attribute {name} is given as a variable")
                op.del_attr(name)
                changed += 1
        elif number != wanted:
            if number not in ATTR_FIELDS:
                problems.append(f"attribute {name} has the type {number}, which mconv does not know")
                continue
            value = _convert(op.attr(name), AttrType(number), wanted)
            if value is None:
                problems.append(f"attribute {name} is {AttrType(number).name}, there it is {wanted.name}")
            else:
                op.set_attr(name, value, wanted)
                changed += 1
    return changed, problems


def _convert(value: Any, have: AttrType, want: AttrType) -> Optional[Any]:
    if want in _SCALAR_TYPES and (have in _SCALAR_TYPES or have is AttrType.SCALAR):
        return _one(value, want)
    if want in _LIST_TYPES and (have in _LIST_TYPES or have is AttrType.SCALARS):
        element = {AttrType.INTS: AttrType.INT, AttrType.FLOATS: AttrType.FLOAT}.get(want, AttrType.LONG)
        if want in (AttrType.FLOAT64S, AttrType.BOOLEANS):
            element = AttrType.FLOAT64 if want is AttrType.FLOAT64S else AttrType.BOOLEAN
        values = [_one(v, element) for v in value]
        return None if any(v is None for v in values) else values
    return None


def _one(value: Any, want: AttrType) -> Optional[Any]:
    """The value as *want* takes it; None where it does not fit."""
    if isinstance(value, complex):
        return None
    python = _SCALAR_TYPES[want]
    if python is int:
        if isinstance(value, float) and (not math.isfinite(value) or value != int(value)):
            return None
        bits = 31 if want is AttrType.INT else 63
        return int(value) if -(1 << bits) <= int(value) < 1 << bits else None
    return python(value)


def typed_values(op: Op) -> Optional[str]:
    """Turn the scalar list ``values`` of assign_value and set_value into the typed list of older Paddle.

    Returns:
        None, or a sentence saying why it cannot be done.
    """
    if op.attr_types.get("values") != AttrType.SCALARS:
        return None
    values = list(op.attr("values"))
    try:
        dtype = DType(op.attr("dtype"))
    except ValueError:
        dtype = None
    if not values:  # set_value with a ValueTensor
        op.del_attr("values")
        return None
    if dtype not in TYPED_VALUES:
        return f"a constant of type {dtype.label if dtype is not None else op.attr('dtype')}"
    name, kind, python = TYPED_VALUES[dtype]
    op.del_attr("values")
    op.set_attr(name, [python(v) for v in values], kind)
    return None
