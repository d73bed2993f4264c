"""The two spellings of Paddle's operators: what PIR's operation, its operands and attributes are called in ProgramDesc.

``ROWS`` are the operations that need nothing but other names; ``SPELLED`` are the names of those that have a converter
in ``ops/`` besides, for reading them off a ProgramDesc. What they are read from, and how a line is written:
:mod:`mconv.paddle.spellings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from mconv.paddle.spellings import OTHERS, SAME, SPELLED_LINES, UNARY


@dataclass(frozen=True)
class Slot:
    """Where an operand goes: an input (or the other of two), an attribute, or whichever fits."""

    input: str
    attr: Optional[str] = None
    other: Optional[str] = None


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        op: the ProgramDesc operator.
        inputs: where each operand goes; None = nowhere.
        outputs: what each result is called; None = not wanted.
        attrs: PIR's name of an attribute → the operator's; None = drop.
        defaults: attributes that a target may lack as long as they have this value (``...``: any).
        fixed: attributes that PIR does not have.
        same: whether the first output has the first input's shape.
    """

    op: str
    inputs: tuple[Optional[Slot], ...]
    outputs: tuple[Optional[str], ...]
    attrs: Mapping[str, Optional[str]]
    defaults: Mapping[str, Any]
    fixed: Mapping[str, Any]
    same: bool


def _slot(token: str) -> Optional[Slot]:
    if token == "-":
        return None
    name, _, attr = token.partition("=")
    name, _, other = name.partition("|")
    return Slot(name, attr or None, other or None)


def _value(text: str) -> Any:
    words = {"False": False, "True": True, "...": ...}
    return words[text] if text in words else float(text) if text[0].isdigit() else text


def _parse(line: str, same: bool) -> tuple[str, Row]:
    name, op, inputs, outputs, *rest = line.split()
    attrs: dict[str, Optional[str]] = {}
    defaults: dict[str, Any] = {}
    fixed: dict[str, Any] = {}
    for item in rest[0].split(",") if rest else ():
        for sign, into in ((":", attrs), ("?", defaults), ("!", fixed)):
            key, found, value = item.partition(sign)
            if found:
                into[key] = (None if value == "-" else value) if sign == ":" else _value(value)
                break
    return name, Row(
        name if op == "=" else op,
        tuple(_slot(t) for t in inputs.split(",")) if inputs != "-" else (),
        tuple(None if t == "-" else t for t in outputs.split(",")),
        attrs,
        defaults,
        fixed,
        same,
    )


def _rows() -> Iterator[tuple[str, Row]]:
    for name in UNARY.split():
        yield _parse(f"{name} = X Out", True)
    for text, same in ((SAME, True), (OTHERS, False)):
        for line in text.strip().splitlines():
            yield _parse(line, same)


ROWS: Mapping[str, Row] = dict(_rows())
SPELLED: Sequence[tuple[str, Row]] = [_parse(line, False) for line in SPELLED_LINES.strip().splitlines()]
