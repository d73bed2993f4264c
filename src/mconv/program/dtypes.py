"""``VarType.Type`` and ``AttrType`` of Paddle's framework.proto, and their names and numpy types."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing numpy takes longer than converting most models: only where it is used
    import numpy as np


class VarKind(enum.IntEnum):
    """The values of ``VarType.Type`` that name what a variable holds."""

    LOD_TENSOR = 7
    SELECTED_ROWS = 8
    FEED_MINIBATCH = 9
    FETCH_LIST = 10
    STEP_SCOPES = 11
    LOD_RANK_TABLE = 12
    LOD_TENSOR_ARRAY = 13
    PLACE_LIST = 14
    READER = 15
    RAW = 17
    TUPLE = 18


class DType(enum.IntEnum):
    """The values of ``VarType.Type`` that name an element type; ``str()`` is Paddle's name for it."""

    BOOL = 0
    INT16 = 1
    INT32 = 2
    INT64 = 3
    FP16 = 4
    FP32 = 5
    FP64 = 6
    UINT8 = 20
    INT8 = 21
    BF16 = 22
    COMPLEX64 = 23
    COMPLEX128 = 24

    @property
    def label(self) -> str:
        """Paddle's and numpy's name, e.g. ``float32``."""
        return _LABELS[self]

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _SIZES[self]

    @property
    def numpy(self) -> np.dtype:
        """The numpy type of the raw data; bfloat16 is carried as its uint16 bits."""
        import numpy as np

        return np.dtype("uint16" if self is DType.BF16 else _LABELS[self])

    @property
    def is_float(self) -> bool:
        return self in (DType.FP16, DType.FP32, DType.FP64, DType.BF16)

    @property
    def is_int(self) -> bool:
        """A signed or unsigned integer; BOOL is not one."""
        return self in (DType.INT8, DType.INT16, DType.INT32, DType.INT64, DType.UINT8)

    @classmethod
    def of(cls, dtype: object) -> DType:
        """The type of a numpy dtype or a Paddle/numpy name.

        Raises:
            KeyError: Paddle has no such type (``uint16``, ``uint32``, ``uint64``, strings, …).
        """
        if isinstance(dtype, DType):
            return dtype
        if isinstance(dtype, str) and dtype in _BY_LABEL:
            return _BY_LABEL[dtype]
        import numpy as np

        label = np.dtype(dtype).name  # type: ignore[call-overload]
        return _BY_LABEL[label]


_LABELS = {
    DType.BOOL: "bool",
    DType.INT16: "int16",
    DType.INT32: "int32",
    DType.INT64: "int64",
    DType.FP16: "float16",
    DType.FP32: "float32",
    DType.FP64: "float64",
    DType.UINT8: "uint8",
    DType.INT8: "int8",
    DType.BF16: "bfloat16",
    DType.COMPLEX64: "complex64",
    DType.COMPLEX128: "complex128",
}
_BY_LABEL = {label: dtype for dtype, label in _LABELS.items()}
_SIZES = {
    DType.BOOL: 1,
    DType.INT16: 2,
    DType.INT32: 4,
    DType.INT64: 8,
    DType.FP16: 2,
    DType.FP32: 4,
    DType.FP64: 8,
    DType.UINT8: 1,
    DType.INT8: 1,
    DType.BF16: 2,
    DType.COMPLEX64: 8,
    DType.COMPLEX128: 16,
}


class AttrType(enum.IntEnum):
    """The type tag of an operator's attribute."""

    INT = 0
    FLOAT = 1
    STRING = 2
    INTS = 3
    FLOATS = 4
    STRINGS = 5
    BOOLEAN = 6
    BOOLEANS = 7
    BLOCK = 8
    LONG = 9
    BLOCKS = 10
    LONGS = 11
    FLOAT64S = 12
    VAR = 13
    VARS = 14
    FLOAT64 = 15
    SCALAR = 16
    SCALARS = 17


# AttrType → the field of OpDesc.Attr that carries it
ATTR_FIELDS = {
    AttrType.INT: "i",
    AttrType.FLOAT: "f",
    AttrType.STRING: "s",
    AttrType.INTS: "ints",
    AttrType.FLOATS: "floats",
    AttrType.STRINGS: "strings",
    AttrType.BOOLEAN: "b",
    AttrType.BOOLEANS: "bools",
    AttrType.BLOCK: "block_idx",
    AttrType.LONG: "l",
    AttrType.BLOCKS: "blocks_idx",
    AttrType.LONGS: "longs",
    AttrType.FLOAT64S: "float64s",
    AttrType.VAR: "var_name",
    AttrType.VARS: "vars_name",
    AttrType.FLOAT64: "float64",
    AttrType.SCALAR: "scalar",
    AttrType.SCALARS: "scalars",
}
REPEATED_ATTRS = frozenset(t for t in AttrType if t.name.endswith("S"))


# a type's number in ``onnx.TensorProto.DataType`` (onnx.proto)
TO_ONNX = {
    DType.FP32: 1,
    DType.UINT8: 2,
    DType.INT8: 3,
    DType.INT16: 5,
    DType.INT32: 6,
    DType.INT64: 7,
    DType.BOOL: 9,
    DType.FP16: 10,
    DType.FP64: 11,
    DType.COMPLEX64: 14,
    DType.COMPLEX128: 15,
    DType.BF16: 16,
}
FROM_ONNX = {number: dtype for dtype, number in TO_ONNX.items()}
