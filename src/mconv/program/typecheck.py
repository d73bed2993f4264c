"""Whether a value from a file is of the type that a Python annotation names: options and attributes are declared once,
and what comes from outside is held against that declaration before it is used."""

from __future__ import annotations

import math
import os
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Union


def fits(value: Any, hint: Any) -> bool:
    """Whether *value* is what *hint* says: ``int`` (true and false are none), ``float`` (finite or not; an int is one),
    ``list[int]``, ``Optional[str]``, ``Mapping[str, int]``, a class, …; of a hint that says something else, True."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin is Union:
        return any(fits(value, one) for one in inside)
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and _has_float(value)
    if hint is str:
        return isinstance(value, str)
    if origin is os.PathLike:
        return isinstance(value, os.PathLike)
    if origin is list:
        return isinstance(value, list) and all(fits(v, inside[0]) for v in value)
    if origin is tuple:
        each = inside[:1] * len(value) if inside[1:] == (...,) else inside
        return isinstance(value, tuple) and len(value) == len(each) and all(map(fits, value, each))
    if origin in (Sequence, typing.Sequence):
        return (
            isinstance(value, Sequence)
            and not isinstance(value, (str, bytes))
            and all(fits(v, inside[0]) for v in value)
        )
    if origin in (Mapping, typing.Mapping, dict):
        pairs = value.items() if isinstance(value, Mapping) else ()
        return isinstance(value, Mapping) and all(fits(k, inside[0]) and fits(v, inside[1]) for k, v in pairs)
    return isinstance(value, hint) if isinstance(hint, type) else True


def _has_float(value: Union[int, float]) -> bool:
    """Whether a number can be a float: an int of a thousand digits cannot."""
    try:
        math.isnan(value)
    except OverflowError:
        return False
    return True


def name_of(hint: Any) -> str:
    """An annotation for a message: ``a number``, ``a list of whole numbers``."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "nothing"}
    if hint in words:
        return words[hint]
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Union:
        return " or ".join(dict.fromkeys(name_of(one) for one in inside if one is not type(None)))
    if origin in (list, tuple, Sequence, typing.Sequence):
        plural = {int: "whole numbers", float: "numbers", str: "texts", bool: "true or false"}
        return f"a list of {plural.get(inside[0], 'values')}" if inside else "a list"
    if origin in (Mapping, typing.Mapping, dict):
        return "a mapping"
    if origin is os.PathLike:
        return "a path"
    return str(getattr(hint, "__name__", hint))
