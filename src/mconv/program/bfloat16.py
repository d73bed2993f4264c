"""bfloat16 as numpy carries it: the upper half of a float32, as uint16 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see dtypes.py
    import numpy as np


def to_bits(array: np.ndarray) -> np.ndarray:
    """Numbers as uint16 bits, rounded to the nearest, to even on a tie; what is no number stays none."""
    import numpy as np

    array = np.ascontiguousarray(array, np.float32)
    bits = array.view(np.uint32)
    # (the largest float32 becomes infinite, as it does in every runtime)
    rounded = (bits.astype(np.uint64) + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(array), (bits >> 16) | 1, rounded).astype(np.uint16)


def from_bits(bits: np.ndarray) -> np.ndarray:
    """uint16 bits as float32."""
    import numpy as np

    return (bits.astype(np.uint32) << 16).view(np.float32)
