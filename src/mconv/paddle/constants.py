"""A builder that keeps constants in the program, so that the parameter file stays as it is."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from mconv.errors import UnsupportedError
from mconv.paddle.attributes import means_nothing
from mconv.program.attribute import TYPED_VALUES
from mconv.program.builder import Builder
from mconv.program.dtypes import AttrType, DType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Block, Op, Var
from mconv.program.signatures import Signature
from mconv.program.targets import PADDLE_3, Target
from mconv.program.value import Results, Value

# a larger constant becomes a parameter: programs over 64 MiB are refused by older Paddle
MAX_INLINE = 1 << 18
_VIA = {
    DType.UINT8: DType.INT32,
    DType.INT8: DType.INT32,
    DType.INT16: DType.INT32,
    DType.FP16: DType.FP32,
    DType.FP64: DType.FP32,
}


class InlineBuilder(Builder):
    """Writes constants as ``fill_constant`` and ``assign_value`` at the head of the main block.

    A constant that they cannot say (large; doubles that float32 does not hold; complex) becomes a parameter.
    """

    open_sizes_repeat = False

    def __init__(self, target: Target):
        super().__init__(target)
        self._inline: dict[tuple, tuple[str, np.ndarray]] = {}
        self._head = 0  # how many operators have been put where constants are written

    def stored(self, source: TensorSource, name: str) -> Value:
        """A parameter under exactly *name*, whose data nothing looks at."""
        self._used.add(name)
        value = Value(name, source.dtype, source.shape)
        shape = self._stored_shape(source.shape)
        if shape != source.shape:  # a scalar, for a Paddle that wants [1]
            source = ArraySource(source.array().reshape(shape), source.dtype)
        self.program.main.add_var(Var.tensor(name, source.dtype, shape, persistable=True))
        self.params[name] = source
        return value

    def _widened(
        self, op_type: str, results: Optional[Results], operands: dict[str, Any]
    ) -> Optional[tuple[Value, ...]]:
        # the lists of kernels name a complex kernel by its real type in some releases and not in others
        known = [o[0] if isinstance(o, list) and o else o for o in operands.values()]
        if any(isinstance(v, Value) and v.dtype in (DType.COMPLEX64, DType.COMPLEX128) for v in known):
            if op_type in ("gather", "gather_nd") and self.target != PADDLE_3:
                raise UnsupportedError(f"Paddle {self.target.paddle} cannot gather complex numbers")
            return None
        return super()._widened(op_type, results, operands)

    def _append(
        self, op_type: str, sig: Signature, results: Optional[Results], operands: dict[str, Any]
    ) -> tuple[Value, ...]:
        """Without attributes that the target's operator lacks and that say what it does anyway."""
        said = {
            k: v for k, v in operands.items() if k in sig.attrs or k in sig.inputs or not means_nothing(op_type, k, v)
        }
        return super()._append(op_type, sig, results, said)

    def _materialize(self, value: Value) -> str:
        if value.name is not None:
            return value.name
        array = None if value.source is not None else value.const
        if array is None or array.size == 0:
            return super()._materialize(value)
        key = (value.dtype, array.shape, array.tobytes() if array.nbytes <= 4096 else id(array))
        if key not in self._inline:
            name = self._write(array, value.dtype)
            if name is None:
                return super()._materialize(value)
            self._inline[key] = name, array  # kept, as its id is the key
        value.name = self._inline[key][0]
        return value.name

    def _write(self, array: np.ndarray, dtype: DType) -> Optional[str]:
        shape = list(self._stored_shape(array.shape))
        first = array.reshape(-1)[0]
        if dtype is not DType.BF16 and not dtype.name.startswith("COMPLEX") and _uniform(array, first):
            number = float(first)
            text = repr(number) if dtype.is_float else str(int(first))
            with np.errstate(over="ignore"):
                shown = float(np.float32(number))
            return self._emit(
                "fill_constant",
                dtype,
                array.shape,
                [
                    ("shape", AttrType.LONGS, shape),
                    ("dtype", AttrType.INT, int(dtype)),
                    ("value", AttrType.FLOAT, shown),
                    # carries integers and doubles that the float attribute cannot
                    ("str_value", AttrType.STRING, text),
                ],
            )
        via = _VIA.get(dtype, dtype)
        if via not in TYPED_VALUES or array.nbytes > MAX_INLINE:
            return None
        plain = array.astype(via.numpy)
        if dtype is DType.FP64 and not np.array_equal(plain.astype(np.float64), array, equal_nan=True):
            return None
        field, kind, _ = TYPED_VALUES[via]
        values: list[Any] = plain.reshape(-1).tolist()
        if field not in self.signature("assign_value")["attrs"]:
            field, kind = "values", AttrType.SCALARS
        elif via is DType.BOOL:
            values = [int(v) for v in values]
        name = self._emit(
            "assign_value",
            via,
            array.shape,
            [("shape", AttrType.INTS, shape), ("dtype", AttrType.INT, int(via)), (field, kind, values)],
        )
        if via is dtype:
            return name
        attrs: list[tuple[str, AttrType, Any]] = [
            ("in_dtype", AttrType.INT, int(via)),
            ("out_dtype", AttrType.INT, int(dtype)),
        ]
        return self._emit("cast", dtype, array.shape, attrs, {"X": [name]})

    def _emit(
        self, op: str, dtype: DType, shape: Any, attrs: list[tuple[str, AttrType, Any]], inputs: Optional[dict] = None
    ) -> str:
        block, at = self._insertion()
        name = self.unique("constant")
        block.add_var(Var.tensor(name, dtype, self._stored_shape(shape)))
        block.ops.insert(at, Op.make(op, inputs or {}, {"Out": [name]}, attrs))
        self._head += 1
        return name

    def _insertion(self) -> tuple[Block, int]:
        """Where the next constant is written."""
        return self.program.main, len(self._feeds) + self._head


def _uniform(array: np.ndarray, first: Any) -> bool:
    if array.dtype.kind == "f" and np.isnan(first):
        return bool(np.isnan(array).all())
    # a negative zero is another number
    return bool((array == first).all()) and (array.dtype.kind != "f" or first != 0 or not np.signbit(array).any())
