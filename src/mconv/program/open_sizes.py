"""What the sizes of a model's inputs are called when they are to be fixed: ``batch``, ``length``, ``x.2``.

ONNX has names for open sizes; Paddle has none. Whatever the model says, each open size is ``INPUT.AXIS``, and the usual
ones have a name that the model has not given to others: the first axis of all inputs is ``batch``, the second of rows of
whole numbers ``length``, the last two of pictures ``height`` and ``width``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union

from mconv.errors import UsageError
from mconv.program.near import near

Size = Union[int, str, None]
_MOST = 2**31 - 1


@dataclass(frozen=True)
class Sized:
    """An input, as far as its sizes go.

    Attributes:
        name: of the input.
        shape: numbers, names, or None (-1) for an open size without a name.
        whole: whether its elements are whole numbers, as those of tokens are.
    """

    name: str
    shape: tuple[Size, ...]
    whole: bool = False

    def open_axes(self) -> list[int]:
        return [i for i, size in enumerate(self.shape) if not isinstance(size, int) or size < 0]


def named(inputs: Sequence[Sized]) -> dict[str, list[tuple[str, int]]]:
    """Name → the dimensions (input, axis) that it stands for, all of them open; the model's own names come first."""
    found: dict[str, list[tuple[str, int]]] = {}
    usual: dict[str, list[tuple[str, int]]] = {}
    for one in inputs:
        for axis in one.open_axes():
            size = one.shape[axis]
            if isinstance(size, str):
                found.setdefault(size, []).append((one.name, axis))
            kind = _usual(one, axis)
            if kind is not None:
                usual.setdefault(kind, []).append((one.name, axis))
    for kind, dimensions in usual.items():
        found.setdefault(kind, dimensions)
    for one in inputs:
        for axis in one.open_axes():
            found.setdefault(f"{one.name}.{axis}", [(one.name, axis)])
    return found


def _usual(one: Sized, axis: int) -> Optional[str]:
    rank = len(one.shape)
    if axis == 0:
        return "batch"
    if one.whole and axis == 1 and rank == 2:
        return "length"
    if not one.whole and rank == 4 and axis in (2, 3):
        return "height" if axis == 2 else "width"
    return None


def parse(texts: Iterable[str], option: str = "--dim") -> dict[str, int]:
    """``NAME=SIZE`` texts.

    Raises:
        UsageError: a text has another form, or gives a name twice.
    """
    found: dict[str, int] = {}
    for text in texts:
        name, equals, size = text.rpartition("=")
        name, size = name.strip(), size.strip()
        if not equals or not name or not re.fullmatch(r"[0-9]{1,10}", size) or not 0 < int(size) <= _MOST:
            raise UsageError(f"{option} {text!r}: not the name of a size and a number", f"{option} batch=1")
        if name in found:
            raise UsageError(f"{option} gives {name!r} twice")
        found[name] = int(size)
    return found


def given(dims: Union[Mapping[str, int], Iterable[str]]) -> dict[str, int]:
    """Name → number, however they were given.

    Raises:
        UsageError: see :func:`parse`.
    """
    if isinstance(dims, Mapping):
        return parse(f"{name}={size}" for name, size in dims.items())
    return parse(dims)


def resolve(inputs: Sequence[Sized], wanted: Mapping[str, int], option: str = "--dim") -> dict[tuple[str, int], int]:
    """Which sizes of which inputs become which numbers.

    Raises:
        UsageError: a name stands for no open size, or two give the same one different numbers.
    """
    names = named(inputs)
    chosen: dict[tuple[str, int], int] = {}
    for name, size in wanted.items():
        if name not in names:
            raise UsageError(f"{option} {name}={size}: {_why(inputs, name)}", near(name, names))
        for dimension in names[name]:
            if chosen.setdefault(dimension, size) != size:
                raise UsageError(
                    f"{option} {name}={size}: axis {dimension[1]} of {dimension[0]!r} is to be {chosen[dimension]}, too"
                )
    return chosen


def _why(inputs: Sequence[Sized], name: str) -> str:
    stem, _, axis = name.rpartition(".")
    one = next((i for i in inputs if i.name == stem), None)
    if one is not None and axis.isdigit():
        if int(axis) >= len(one.shape):
            return f"the input {stem!r} has {len(one.shape)} axes"
        return f"axis {axis} of the input {stem!r} is {one.shape[int(axis)]} already"
    return "no open size of the inputs has this name"
