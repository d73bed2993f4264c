"""The text form of an input: ``name[1,3,?,640]``, with a type where it matters: ``name:int64[?,?]``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional, Union

from mconv.errors import UsageError
from mconv.program.dtypes import DType

Dim = Union[int, str, None]

_FORM = "the form is {option} 'name[1,3,?,640]'; ? is a size that stays open, a word one that several inputs share"
_TEXT = re.compile(r"(?P<name>.+)\[(?P<dims>[^\[\]]*)\](?:\{(?P<braced>\w+)\}|:(?P<typed>\w+))?", re.DOTALL)
_OPEN = frozenset({"?", "-1", "None", "none"})
_MAX_DIM = 2**31 - 1  # what Paddle's own shape attributes hold
_SHORT = {
    "f16": "float16", "f32": "float32", "f64": "float64", "bf16": "bfloat16", "i8": "int8", "i16": "int16",
    "i32": "int32", "i64": "int64", "u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64",
    "boolean": "bool", "float": "float32", "double": "float64", "half": "float16", "int": "int32", "long": "int64",
}  # fmt: skip
_TYPES = frozenset({d.label for d in DType} | set(_SHORT.values()))


@dataclass(frozen=True)
class InputShape:
    """What the user says of an input.

    Attributes:
        name: its name as far as the text alone tells; see :func:`assign`.
        dims: numbers, symbols (``"batch"``), or None for a size that stays open.
        dtype: the element type that the user expects, in numpy's name, or None.
    """

    name: str
    dims: tuple[Dim, ...]
    dtype: Optional[str] = None


def parse_input(text: str, option: str = "--input") -> InputShape:
    """Parse ``name[dims]``, ``name[dims]:int64``, ``name[dims]{i64}`` or ``name:int64[dims]``.

    The name may hold any character: the last pair of brackets is the shape. ``?``, ``-1`` and ``None`` are open
    sizes; ``name[]`` is a scalar.

    Args:
        option: what messages call it.

    Raises:
        UsageError: the text has another form.
    """
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{option} {text!r}: not the name of an input and its shape", _FORM.format(option=option))
    suffix = match["braced"] or match["typed"]
    dtype = None if suffix is None else _dtype(suffix, f"{option} {text!r}")
    inner = match["dims"].strip()
    dims = tuple(_dim(part.strip(), option, text) for part in inner.split(",")) if inner else ()
    return InputShape(match["name"], dims, dtype)


def _dtype(word: str, where: str) -> str:
    label = _SHORT.get(word.lower(), word.lower())
    if label not in _TYPES:
        raise UsageError(f"{where}: {word!r} is no element type", f"types are {', '.join(sorted(_TYPES))}")
    return label


def _dim(part: str, option: str, text: str) -> Dim:
    if part in _OPEN:
        return None
    if re.fullmatch(r"[0-9]+", part):
        size = int(part) if len(part) < 20 else _MAX_DIM + 1
        if not 0 < size <= _MAX_DIM:
            raise UsageError(f"{option} {text!r}: {part} is no size of a dimension", f"sizes are 1 to {_MAX_DIM}")
        return size
    if re.fullmatch(r"[^\W\d][\w.]*", part):
        return part
    raise UsageError(f"{option} {text!r}: {part!r} is no size of a dimension", _FORM.format(option=option))


def assign(texts: Iterable[str], inputs: Mapping[str, str], option: str = "--input") -> dict[str, InputShape]:
    """Which input of a model each text is about, by name.

    Args:
        texts: see :func:`parse_input`.
        inputs: name → element type of the model's inputs. They settle what the text leaves open: ``ids:int64`` is
            an input of that name if there is one, else ``ids`` of that type.
        option: what messages call it.

    Raises:
        UsageError: a text has another form, names no input or one twice, or expects another type.
    """
    found: dict[str, InputShape] = {}
    for text in texts:
        spec = parse_input(text, option)
        name, dtype = spec.name, spec.dtype
        if name not in inputs and dtype is None and ":" in name:
            stem, _, word = name.rpartition(":")
            if stem in inputs:
                name, dtype = stem, _dtype(word.strip(), f"{option} {text!r}")
        if name not in inputs:
            raise UsageError(f"the model has no input {name!r}", f"its inputs are {', '.join(inputs) or 'none'}")
        if name in found:
            raise UsageError(f"{option} gives {name!r} twice")
        if dtype is not None and dtype != inputs[name]:
            raise UsageError(
                f"input {name!r} is {inputs[name]}, not {dtype}", "the type is the model's: leave it out, or correct it"
            )
        found[name] = InputShape(name, spec.dims, dtype)
    return found
