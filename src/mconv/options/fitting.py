"""Whether what is given for an option is of its type: from Python anything can come, before it is ever looked at."""

from __future__ import annotations

import numbers
import os
import typing
from collections.abc import Callable, Mapping, Sequence, Set, ValuesView
from typing import Any, Union

from mconv.errors import UsageError

_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # bytes: PATH_MAX and NAME_MAX of Linux's own file systems
_WHOLE = 1 << 63
_WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type: "a class"}


class _Unfit(Exception):
    """Of another type; its text, where there is one, says more than that."""


def fitted(name: str, value: Any, hint: Any, *, model: bool = False) -> Any:
    """The value as the code works with it: numbers of numpy as Python's, one text where several may be as a list of it.

    Args:
        name: of the option, for the message.
        hint: its declared type.
        model: what is of any type is at least a model, what makes one, or the path of one or of several.

    Raises:
        UsageError: it is of another type; a path that no system takes; a number of more than 64 bits.
    """
    try:
        return _model(value) if hint is Any and model else _as(value, hint)
    except _Unfit as e:
        wanted = "a model or its path" if hint is Any else _wanted(hint)
        found = str(e) or f"a value of the type {type(value).__name__}, where {wanted} is wanted"
        raise UsageError(f"{name}: {found}") from None


def _as(value: Any, hint: Any) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Union:
        return _one_of(value, inner)
    kind = origin or hint
    if kind is os.PathLike:
        return _path(value)
    if kind is str:
        if isinstance(value, os.PathLike):  # of the texts many are paths
            value = os.fspath(_path(value))
        return _text(value) if isinstance(value, str) else _unfit()
    if kind is bool:
        return _truth(value)
    if kind in (int, float):
        return _number(value, kind)
    if kind is Callable:
        return value if callable(value) else _unfit()
    if kind is Any:
        return _text(value) if isinstance(value, str) else value
    if not isinstance(kind, type):
        return value
    if issubclass(kind, Mapping):
        return _mapping(value, *inner)
    if issubclass(kind, Sequence):
        return _several(value, *inner)
    return value if isinstance(value, kind) else _unfit()


def _model(value: Any) -> Any:
    if isinstance(value, (type(None), numbers.Number, bytes, bytearray, Mapping, Set, range)):
        return _unfit()
    if hasattr(value, "dtype") and not callable(value):  # an array; transformers' models have a dtype, too
        return _unfit()
    if isinstance(value, os.PathLike):
        return _path(value)
    return _several(value) if isinstance(value, (list, tuple)) else _as(value, Any)


def _unfit(why: str = "") -> Any:
    raise _Unfit(why)


def _one_of(value: Any, kinds: Sequence[Any]) -> Any:
    # a text that may be a path has to be one
    paths = any(typing.get_origin(k) is os.PathLike for k in kinds)
    why = ""
    for kind in kinds:
        if kind is str and paths:
            continue
        try:
            return _as(value, kind)
        except _Unfit as e:
            why = why or str(e)
    return _unfit(why)


def _text(value: str) -> str:
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        _unfit(f"{ascii(value[:80])} has half of a surrogate pair, which no file and no system takes")
    return value


def _path(value: Any) -> Any:
    try:
        text = os.fspath(value)
    except Exception:  # noqa: BLE001 - of a class of the caller's
        return _unfit()
    if not isinstance(text, str):
        return _unfit()
    sizes = [len(os.fsencode(part)) for part in _text(text).split("/")]
    if sum(sizes) + len(sizes) - 1 > _LONGEST_PATH or ("://" not in text and max(sizes) > _LONGEST_NAME):
        limits = f"a path has at most {_LONGEST_PATH} bytes, a name in it {_LONGEST_NAME}"
        return _unfit(f"{text[:80]}… ({len(text) - 80} more characters) is too long: {limits}")
    return value


def _truth(value: Any) -> bool:
    if isinstance(value, numbers.Integral) and value not in (0, 1):
        return _unfit()
    # numpy's bool is neither Python's nor a number
    return bool(value) if isinstance(value, numbers.Integral) or type(value).__name__ in ("bool_", "bool") else _unfit()


def _number(value: Any, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if kind is int else numbers.Real):
        return _unfit()
    if isinstance(value, numbers.Integral):
        value = int(value)
        return value if -_WHOLE <= value < _WHOLE else _unfit("a number of more than 64 bits")
    return float(value)


def _several(value: Any, kind: Any = Any) -> Any:
    if isinstance(value, str):
        value = [value]
    elif hasattr(value, "tolist"):  # numpy, without importing it
        value = value.tolist()
    if isinstance(value, (bytes, bytearray)) or not isinstance(value, (Sequence, Set, ValuesView)):
        return _unfit()
    made = [_as(each, kind) for each in value]
    same = isinstance(value, (list, tuple)) and all(a is b for a, b in zip(value, made))
    return value if same else made


def _mapping(value: Any, key: Any = Any, kind: Any = Any) -> Any:
    if not isinstance(value, Mapping):
        return _unfit()
    made = {_as(k, key): _as(v, kind) for k, v in value.items()}
    return value if all(made.get(k) is v for k, v in value.items()) else made


def _wanted(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Union:
        paths = any(typing.get_origin(k) is os.PathLike for k in inner)
        kinds = [k for k in inner if not (k is str and paths)]
        return " or ".join(dict.fromkeys(map(_wanted, kinds)))
    kind = origin or hint
    if kind is os.PathLike:
        return "a path (text, or pathlib's)"
    if kind is type(None):
        return "None"
    if kind is Callable:
        return "a function"
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return "a mapping"
    if isinstance(kind, type) and issubclass(kind, Sequence) and kind is not str:
        return f"a list ({_wanted(inner[0])} each)" if inner and inner[0] is not Any else "a list"
    return str(_WANTED.get(kind) or getattr(kind, "__name__", kind))
