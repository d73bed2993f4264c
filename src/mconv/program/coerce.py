"""Attribute values as plain Python of the type that a signature wants."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from mconv.errors import BuildError
from mconv.program.dtypes import AttrType
from mconv.program.program import Block

_INT32 = (-(2**31), 2**31 - 1)


def coerce(op: str, name: str, kind: AttrType, value: Any) -> Any:
    """The attribute's value as plain Python of the right type, or a BuildError that names it."""
    try:
        if kind in (AttrType.INT, AttrType.LONG):
            return _int(value, kind is AttrType.INT)
        if kind in (AttrType.INTS, AttrType.LONGS):
            return [_int(v, kind is AttrType.INTS) for v in value]
        if kind in (AttrType.FLOAT, AttrType.FLOAT64):
            return _float(value)
        if kind in (AttrType.FLOATS, AttrType.FLOAT64S):
            return [_float(v) for v in value]
        if kind is AttrType.BOOLEAN:
            return _bool(value)
        if kind is AttrType.BOOLEANS:
            return [_bool(v) for v in value]
        if kind is AttrType.STRING:
            return _str(value)
        if kind is AttrType.STRINGS:
            return [_str(v) for v in value]
        if kind is AttrType.BLOCK:
            return value.idx if isinstance(value, Block) else _int(value, True)
        if kind is AttrType.BLOCKS:
            return [v.idx if isinstance(v, Block) else _int(v, True) for v in value]
        if kind in (AttrType.SCALARS, AttrType.VARS):
            return [v.item() if isinstance(v, np.generic) else v for v in value]
        return value.item() if isinstance(value, np.generic) else value
    except (TypeError, ValueError) as e:
        shown = repr(value)
        shown = shown if len(shown) < 80 else shown[:77] + "..."
        raise BuildError(f"{op}: attribute {name} is {kind.name}, not {shown} ({e})") from None


def _int(value: Any, narrow: bool) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError("an integer is needed")
    value = int(value)
    if narrow and not _INT32[0] <= value <= _INT32[1]:
        raise ValueError("out of the range of int32")
    return cast("int", value)


def _float(value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError("a number is needed")
    return float(value)


def _bool(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError("true or false is needed")
    return bool(value)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is needed")
    return value
