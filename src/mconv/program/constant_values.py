"""The value that an input has for good: ``--const sr=16000``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.errors import UsageError


def array_of(
    name: str, value: Any, dtype: Optional[np.dtype], label: str, dims: Optional[Sequence[Optional[int]]]
) -> np.ndarray:
    """What an input holds that is given *value*.

    Args:
        value: number, bool, or nested lists of them; a single one fills the declared shape, open sizes are 1.
        dtype: of the input; None where numpy has no such type.
        label: what the type is called.
        dims: the declared shape, None for an open size; None where nothing is declared.

    Raises:
        UsageError: the input cannot hold the value.
    """
    try:
        given = np.asarray(value)
        if dtype is None or given.dtype.kind not in "biuf":
            raise ValueError
        with np.errstate(all="ignore"):
            array = given.astype(dtype)
        exact = dtype.kind == "f" or bool((array == given).all())
    except (ValueError, TypeError, OverflowError):
        exact = False
    if not exact:
        raise UsageError(f"--const {name}: {value!r} is no value of {label}", f"as in --const {name}=1")
    if dims is None:
        return array
    if array.ndim == 0 and dims:
        return np.full([1 if d is None else d for d in dims], array)
    if array.ndim != len(dims) or any(d is not None and d != s for d, s in zip(dims, array.shape)):
        wanted = ", ".join("?" if d is None else str(d) for d in dims)
        raise UsageError(f"--const {name}: it has shape {list(array.shape)}, the input [{wanted}]")
    return array
