"""Operators in types that the kernels of Paddle's CPU lack: computed in a wider one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mconv.errors import UnsupportedError
from mconv.program import signatures
from mconv.program.dtypes import DType
from mconv.program.value import Value

if TYPE_CHECKING:
    from mconv.program.builder import Builder

_ONEDNN_RANK = 6
_WIDER = {
    DType.BOOL: (DType.INT32, DType.INT64, DType.FP32, DType.FP64),
    DType.INT8: (DType.INT16, DType.INT32, DType.INT64, DType.FP32, DType.FP64),
    DType.UINT8: (DType.INT16, DType.INT32, DType.INT64, DType.FP32, DType.FP64),
    DType.INT16: (DType.INT32, DType.INT64, DType.FP32, DType.FP64),
    DType.INT32: (DType.INT64, DType.FP64),
    DType.INT64: (DType.FP64,),
    DType.FP16: (DType.FP32, DType.FP64),
    DType.BF16: (DType.FP32, DType.FP64),
    DType.FP32: (DType.FP64,),
}


def widened(b: Builder, op_type: str, result: Any, operands: dict[str, Any]) -> Any:
    """Run an operator in a wider type that its kernel takes and cast back; NotImplemented when not needed.

    The CPU has no kernel for many operators in small types (float16, int8, bool, …). Integers wrap around in
    the cast back as they would have in the small type.
    """
    known = signatures.cpu_dtypes(b.target.name, op_type)
    key = next((k for k in ("X", "Input", "W", "Logits") if isinstance(operands.get(k), (Value, list, tuple))), None)
    if op_type == "cast" or known is None or key is None or not operands[key]:
        return NotImplemented
    main = operands[key] if isinstance(operands[key], Value) else operands[key][0]
    narrow = main.dtype
    # oneDNN's kernels, which are of float32, end at six dimensions: "could not construct a memory descriptor"
    deep = narrow is DType.FP32 and max(main.rank or 0, _rank(result)) > _ONEDNN_RANK
    if narrow in known and not (deep and DType.FP64 in known):
        return NotImplemented
    wide = next((d for d in _WIDER.get(narrow, ()) if d in known), None)
    if wide is None:
        raise UnsupportedError(
            f"Paddle {b.target.paddle} has no CPU kernel of {op_type} for {narrow.label}, nor for a wider type"
        )
    if narrow is DType.INT64:
        b.notes.append(f"{op_type} on int64 is computed in {wide.label}: exact up to 2^53")

    def widen(operand: Any) -> Any:
        if isinstance(operand, Value):
            return b.cast(operand, wide) if operand.dtype is narrow else operand
        return [widen(o) for o in operand] if isinstance(operand, (list, tuple)) else operand

    def swap(spec: Any) -> Any:
        if isinstance(spec, list):
            return [swap(s) for s in spec]
        return (wide, spec[1]) if spec[0] is narrow else spec

    if result is None:
        result = (narrow, main.shape)
    specs = {k: swap(s) for k, s in result.items()} if isinstance(result, Mapping) else swap(result)
    wider = {k: widen(o) for k, o in operands.items()}
    for key in ("in_dtype", "out_dtype", "dtype"):
        if wider.get(key) == int(narrow):
            wider[key] = int(wide)
    made = b.op(op_type, result=specs, **wider)

    def back(values: Any, spec: Any) -> Any:
        if isinstance(spec, list):
            return [back(v, s) for v, s in zip(values, spec)]
        return b.cast(values, spec[0])

    if isinstance(result, Mapping):
        return tuple(back(v, s) for v, s in zip(made, result.values()))
    return back(made, result)


def _rank(result: Any) -> int:
    """The largest rank among the outputs of an operator."""
    if isinstance(result, Mapping):
        return max((_rank(spec) for spec in result.values()), default=0)
    if isinstance(result, list):
        return max((_rank(spec) for spec in result), default=0)
    return 0 if result is None or result[1] is None else len(result[1])
