"""ONNX's numbers of 8 bits and fewer that numpy lacks: what their bits mean.

A float of few bits is a sign, an exponent with a bias, and a mantissa whose leading 1 is not stored (facts: ONNX's
"Float stored in 8 bits", the OCP's formats of 8 bits and of microscaling). ``fn`` has no infinity, ``uz`` has no
negative zero and one NaN in its place.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from mconv.program.dtypes import DType

if TYPE_CHECKING:  # see dtypes.py
    import numpy as np


@dataclass(frozen=True)
class SmallFloat:
    """A float of few bits.

    Attributes:
        exponent, mantissa: bits of each; no mantissa and no sign: powers of two alone.
        bias: what is subtracted from the stored exponent.
        infinite: its largest exponent holds infinities and NaNs, as IEEE has it.
        nan: it has a NaN.
        numpy: the name of ml_dtypes' type.
        signed_zero: the bits of a negative zero are that.
    """

    name: str
    numpy: str
    exponent: int
    mantissa: int
    bias: int
    infinite: bool = False
    nan: bool = True
    signed_zero: bool = True

    @property
    def bits(self) -> int:
        return self.exponent + self.mantissa + bool(self.mantissa)

    @property
    def least(self) -> int:
        """The exponent of the smallest number that has all of its digits."""
        return 1 - self.bias if self.mantissa else -self.bias

    @property
    def largest(self) -> float:
        """The largest finite number."""
        import numpy as np

        values = _values(self)
        return float(values[np.isfinite(values)].max())


E4M3FN = SmallFloat("float8e4m3fn", "float8_e4m3fn", 4, 3, 7)
E4M3FNUZ = SmallFloat("float8e4m3fnuz", "float8_e4m3fnuz", 4, 3, 8, signed_zero=False)
E5M2 = SmallFloat("float8e5m2", "float8_e5m2", 5, 2, 15, infinite=True)
E5M2FNUZ = SmallFloat("float8e5m2fnuz", "float8_e5m2fnuz", 5, 2, 16, signed_zero=False)
E2M1 = SmallFloat("float4e2m1", "float4_e2m1fn", 2, 1, 1, nan=False)
E8M0 = SmallFloat("float8e8m0", "float8_e8m0fnu", 8, 0, 127)


@functools.cache
def _values(kind: SmallFloat) -> np.ndarray:
    """What each pattern of bits means, float32."""
    import numpy as np

    codes = np.arange(1 << kind.bits)
    if not kind.mantissa:
        return np.where(codes == 255, np.nan, np.ldexp(1.0, codes - kind.bias)).astype(np.float32)
    top = (1 << kind.exponent) - 1
    exponent = (codes >> kind.mantissa) & top
    fraction = (codes & ((1 << kind.mantissa) - 1)) / (1 << kind.mantissa)
    size = np.where(exponent == 0, np.ldexp(fraction, 1 - kind.bias), np.ldexp(1 + fraction, exponent - kind.bias))
    negative = codes >> (kind.bits - 1) == 1
    if kind.infinite:
        size = np.where(exponent == top, np.where(fraction == 0, np.inf, np.nan), size)
    elif kind.nan and kind.signed_zero:
        size = np.where(codes & (len(codes) // 2 - 1) == len(codes) // 2 - 1, np.nan, size)
    made = np.where(negative, -size, size)
    return np.where(negative & (size == 0), -0.0 if kind.signed_zero else np.nan, made).astype(np.float32)


@dataclass(frozen=True)
class SmallInteger:
    """An integer of 2 or 4 bits."""

    name: str
    bits: int
    signed: bool

    @property
    def numpy(self) -> str:
        """The name of ml_dtypes' type."""
        return self.name

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest."""
        return (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if self.signed else (0, (1 << self.bits) - 1)


def meaning(kind: Union[SmallFloat, SmallInteger]) -> np.ndarray:
    """What each byte holds: [256, numbers in a byte], the lowest bits first; float32, int8 or uint8."""
    import numpy as np

    codes = np.arange(256)[:, None] >> np.arange(0, 8, kind.bits) & ((1 << kind.bits) - 1)
    if isinstance(kind, SmallFloat):
        values: np.ndarray = _values(kind)[codes]
        return values
    low, _ = kind.range
    return ((codes - low) % (1 << kind.bits) + low).astype(np.int8 if kind.signed else np.uint8)


def carrier(kind: Union[SmallFloat, SmallInteger]) -> DType:
    """The type of Paddle's that holds every number of *kind*."""
    if isinstance(kind, SmallFloat):
        return DType.FP32
    return DType.INT8 if kind.signed else DType.UINT8


# by their number in ONNX's TensorProto.DataType
SMALL: dict[int, Union[SmallFloat, SmallInteger]] = {
    17: E4M3FN, 18: E4M3FNUZ, 19: E5M2, 20: E5M2FNUZ, 23: E2M1, 24: E8M0,
    21: SmallInteger("uint4", 4, False), 22: SmallInteger("int4", 4, True),
    25: SmallInteger("uint2", 2, False), 26: SmallInteger("int2", 2, True),
}  # fmt: skip
