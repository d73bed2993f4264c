"""The inputs and outputs of a conversion as its report has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, TypedDict

from mconv.program.program import Port


class PortRow(TypedDict):
    """One input or output: what the source calls it and Paddle, both types, and its sizes (None: open)."""

    name: str
    dtype: Optional[str]
    paddle_name: str
    paddle_dtype: Optional[str]
    shape: Optional[list[Any]]


def row(
    name: str,
    dtype: Optional[str],
    *,
    shape: Optional[Sequence[Any]],
    paddle_name: Optional[str] = None,
    paddle_dtype: Optional[str] = None,
) -> PortRow:
    """What Paddle has under the same name and in the same type, unless it is said; a size of -1 is open."""
    return {
        "name": name,
        "dtype": dtype,
        "paddle_name": name if paddle_name is None else paddle_name,
        "paddle_dtype": dtype if paddle_dtype is None else paddle_dtype,
        "shape": None if shape is None else [None if isinstance(d, int) and d == -1 else d for d in shape],
    }


def row_of(port: Port, name: str, dtype: Optional[str], shape: Sequence[Any]) -> PortRow:
    """Of a feed or fetch of a program."""
    label = None if port.dtype is None else port.dtype.label
    made = row(name, dtype, shape=shape, paddle_name=port.name)
    made["paddle_dtype"] = label
    return made


def renamed(inputs: Sequence[PortRow], outputs: Sequence[PortRow]) -> dict[str, str]:
    """The source's names → Paddle's, where those are others."""
    return {p["name"]: p["paddle_name"] for p in (*inputs, *outputs) if p["name"] != p["paddle_name"]}
