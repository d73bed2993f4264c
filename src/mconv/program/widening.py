"""Operators in types that the kernels of Paddle's CPU lack: computed in a wider one."""

from __future__ import annotations

from typing import Any, Optional

from mconv.errors import UnsupportedError
from mconv.program import signatures
from mconv.program.dtypes import DType
from mconv.program.operands import Appends
from mconv.program.value import Results, Spec, Value

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


def widened(
    b: Appends, op_type: str, results: Optional[Results], operands: dict[str, Any]
) -> Optional[tuple[Value, ...]]:
    """Run an operator in a wider type that its kernel takes and cast back; None when not needed.

    The CPU has no kernel for many operators in small types (float16, int8, bool, …). Integers wrap around in
    the cast back as they would have in the small type.
    """
    known = signatures.cpu_dtypes(b.target, op_type)
    key = next((k for k in ("X", "Input", "W", "Logits") if isinstance(operands.get(k), (Value, list, tuple))), None)
    if op_type == "cast" or known is None or key is None or not operands[key]:
        return None
    main = operands[key] if isinstance(operands[key], Value) else operands[key][0]
    narrow = main.dtype
    # oneDNN's kernels, which are of float32, end at six dimensions: "could not construct a memory descriptor"
    deep = narrow is DType.FP32 and max(main.rank or 0, _rank(results)) > _ONEDNN_RANK
    if narrow in known and not (deep and DType.FP64 in known):
        return None
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

    def swap(spec: Spec) -> Spec:
        return (wide, spec[1]) if spec[0] is narrow else spec

    wider = {k: widen(o) for k, o in operands.items()}
    for key in ("in_dtype", "out_dtype", "dtype"):
        if wider.get(key) == int(narrow):
            wider[key] = int(wide)
    if results is None:
        return (b.cast(b.op(op_type, result=(wide, main.shape), **wider), narrow),)
    specs = {k: [swap(s) for s in spec] if isinstance(spec, list) else swap(spec) for k, spec in results.items()}
    made = b.op_outputs(op_type, results=specs, **wider)
    return tuple(b.cast(v, spec[0]) for v, spec in zip(made, _flat(results)))


def _flat(results: Results) -> list[Spec]:
    return [s for spec in results.values() for s in (spec if isinstance(spec, list) else [spec])]


def _rank(results: Optional[Results]) -> int:
    """The largest rank among the outputs of an operator."""
    return max((len(shape or ()) for _, shape in _flat(results or {})), default=0)
