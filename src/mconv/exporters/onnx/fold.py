"""What is known at conversion time is computed then: constants by numpy, and integers that follow from sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np

from mconv.exporters.onnx.types import numbers
from mconv.program import dims as D
from mconv.program.dtypes import FROM_ONNX, DType
from mconv.program.value import Value

_LARGEST = 1 << 16  # elements, read or made: larger results belong into the model's own work


def _quotient(a: Any, b: Any) -> Any:
    if a.dtype.kind in "iu":
        if not np.all(b):
            raise ValueError("a division by 0")
        return (np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype)
    return a / b


def _unsqueezed(x: Any, axes: Any) -> Any:
    axes = np.reshape(axes, -1).tolist()
    return np.expand_dims(x, tuple(axes))


def _squeezed(x: Any, axes: Any = None) -> Any:
    return np.squeeze(x, None if axes is None else tuple(np.reshape(axes, -1).tolist()))


def _reshaped(x: Any, shape: Any) -> Any:
    wanted = [x.shape[i] if d == 0 else int(d) for i, d in enumerate(shape.tolist())]
    return x.reshape(wanted)


def _sliced(x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    index: list[slice] = [slice(None)] * x.ndim
    axes = range(len(starts)) if axes is None else axes.tolist()
    for k, axis in enumerate(axes):
        step = 1 if steps is None else int(steps[k])
        end: Optional[int] = int(ends[k])
        if step < 0 and end is not None and end < -x.shape[axis]:
            end = None
        index[axis] = slice(int(starts[k]), end, step)
    return x[tuple(index)]


def _expanded(x: Any, shape: Any) -> Any:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist()))).copy()


_PLAIN: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _quotient,
    "Neg": np.negative,
    "Abs": np.abs,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Reciprocal": lambda x: (1 / x).astype(x.dtype),
    "Not": np.logical_not,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Where": np.where,
    "Max": lambda *xs: np.maximum.reduce(np.broadcast_arrays(*xs)),
    "Min": lambda *xs: np.minimum.reduce(np.broadcast_arrays(*xs)),
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Expand": _expanded,
    "Tile": lambda x, repeats: np.tile(x, repeats.tolist()),
    "Range": lambda start, limit, delta: np.arange(start, limit, delta, dtype=start.dtype),
    "Identity": lambda x: x,
    "Shape": lambda x: np.asarray(x.shape, np.int64),
}


def computed(op: str, inputs: Sequence[Optional[Value]], attributes: dict[str, Any]) -> Optional[np.ndarray]:
    """The result of a node whose inputs are all constants and few elements; None where it is left to the model."""
    if not inputs or any(v is None or not v.is_const or v.dtype is DType.BF16 for v in inputs):
        return None
    if any((v.size or 0) > _LARGEST for v in inputs if v is not None):
        return None
    if op in ("Expand", "Tile", "Range") and _made(op, inputs) > _LARGEST:
        return None
    arrays = [np.asarray(v.const) for v in inputs if v is not None]
    with np.errstate(all="ignore"):
        if op in _PLAIN and not (attributes.keys() - {"axes"}):
            if "axes" in attributes:
                arrays.append(np.asarray(attributes["axes"]))
            made = _PLAIN[op](*arrays)
        elif op == "Cast":
            dtype = attributes["to"] if isinstance(attributes["to"], DType) else FROM_ONNX[attributes["to"]]
            if dtype is DType.BF16:
                return None
            made = arrays[0].astype(dtype.numpy)
        elif op == "Concat":
            made = np.concatenate(arrays, attributes["axis"])
        elif op == "Gather":
            made = np.take(arrays[0], arrays[1], attributes.get("axis", 0))
        elif op == "Transpose":
            made = np.transpose(arrays[0], attributes["perm"])
        else:
            return None
    return np.ascontiguousarray(made).reshape(np.shape(made))


def _made(op: str, inputs: Sequence[Optional[Value]]) -> int:
    numbers = [np.asarray(v.const).reshape(-1) for v in inputs if v is not None]
    if op == "Range":
        return abs(int((float(numbers[1][0]) - float(numbers[0][0])) / float(numbers[2][0] or 1))) + 1
    return math.prod(max(1, int(d)) for d in numbers[1]) * max(1, numbers[0].size)


def sizes(op: str, inputs: Sequence[Optional[Value]], attributes: dict[str, Any], out: Value) -> Optional[list[D.Dim]]:
    """The elements of an integer result that follow from sizes, as dimensions; None where they do not."""
    if op == "Shape":
        shape = inputs[0].shape if inputs[0] is not None else None
        return list(shape) if shape is not None else None
    if not out.dtype.is_int or out.rank is None or out.rank > 1:
        return None
    given = [None if v is None else v.data for v in inputs]
    if not given or any(g is None for g in given):
        return None
    first = list(given[0] or ())
    if op in ("Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape"):
        return first
    if op == "Concat":
        return [d for g in given for d in g or ()]
    rest = [list(g or ()) for g in given[1:]]
    known = [numbers(r) or [] for r in rest] if all(numbers(r) is not None for r in rest) else None
    if op == "Gather" and known is not None and attributes.get("axis", 0) == 0:
        return [first[i] for i in known[0]] if all(-len(first) <= i < len(first) for i in known[0]) else None
    if op == "Slice" and known is not None and (len(known) < 3 or known[2] in ([0], [-1])):
        step = known[3][0] if len(known) > 3 else 1
        return first[known[0][0] : known[1][0] : step] if step > 0 else None
    if op in ("Add", "Sub", "Mul", "Div") and (len(first) == len(rest[0]) or 1 in (len(first), len(rest[0]))):
        count = max(len(first), len(rest[0]))
        pairs = zip(first * (count // len(first) if first else 1), rest[0] * (count // len(rest[0]) if rest[0] else 1))
        return [_ARITHMETIC[op](a, b) for a, b in pairs]
    return None


_ARITHMETIC: dict[str, Callable[[D.Dim, D.Dim], D.Dim]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: D.floordiv(a, b),
}
