"""What a converter works with: the operator at hand, and the forms that depend on the opset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv.exporters.onnx.errors import Unsupported
from mconv.exporters.onnx.nodes import Nodes
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value

# elements of these are computed as int32: runtimes have no arithmetic of them
_NARROW = frozenset({DType.BOOL, DType.UINT8, DType.INT8, DType.INT16})


class Context(Nodes):
    """What a converter works with: nodes, and the forms of them that moved between inputs and attributes from opset to
    opset."""

    def cast(self, x: Value, dtype: DType) -> Value:
        if x.dtype == dtype:
            return x
        return self.op("Cast", x, to=dtype)

    def wide(self, *xs: Value) -> list[Value]:
        """Values of a type that runtimes compute in: narrow integers and truth values as int32."""
        return [self.cast(x, DType.INT32) if x.dtype in _NARROW else x for x in xs]

    def floating(self, x: Value) -> Value:
        """*x* as a floating-point number: an integer as float32."""
        return x if x.dtype.is_float else self.cast(x, DType.FP32)

    def shape(self, x: Value) -> Value:
        """The dimensions of *x*, int64; a constant where they are known."""
        if x.shape is not None and D.is_static(x.shape):
            return self.const(np.asarray(x.shape, np.int64).reshape(-1))
        name = self.graph.name_of(x)
        for scope in self.graph.scope.chain():
            if name in scope.shapes:
                return scope.shapes[name]
        found: Value = self.op("Shape", x)
        self.graph.scope.shapes[name] = found
        return found

    def dim(self, x: Value, axis: int) -> Value:
        """A dimension of *x*, int64 of shape [1]."""
        axis = self.axis(axis, self.rank(x))
        if x.shape is not None and isinstance(x.shape[axis], int):
            return self.const(np.asarray([x.shape[axis]], np.int64))
        return self.op("Gather", self.shape(x), [axis], axis=0)

    def vector(self, x: Union[Value, Sequence[Union[int, Value]]]) -> Value:
        """An int64 vector of a tensor, or of numbers and tensors of one element."""
        if isinstance(x, Value):
            x = self.cast(x, DType.INT64)
            return x if x.rank == 1 else self.reshape(x, [-1])
        parts: list[Value] = []
        for item in x:
            part = self.const([item], DType.INT64) if isinstance(item, int) else self.vector(item)
            parts.append(part)
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def scalar(self, x: Value) -> Value:
        """A tensor of one element without dimensions."""
        return x if x.rank == 0 else self.reshape(x, [])

    def arange(self, end: Value) -> Value:
        """0, 1, … before *end*, an int64 of one element."""
        made: Value = self.op("Range", self.const(0, DType.INT64), self.scalar(end), self.const(1, DType.INT64))
        return made

    def moved_last(self, x: Value, axis: int) -> tuple[Value, list[int]]:
        """*x* with *axis* behind all others, and the permutation that takes it back."""
        order = [i for i in range(self.rank(x)) if i != axis] + [axis]
        return self.transpose(x, order), [order.index(i) for i in range(len(order))]

    def reshape(self, x: Value, dims: Union[Value, Sequence[D.Dim]]) -> Value:
        """*x* in another shape; 0 copies a dimension, -1 takes the rest.

        A computed shape is said by numbers where the sizes are those of *x*, or only one of them is open.
        """
        if isinstance(dims, Value):
            data = dims.data if dims.data is not None else self.known(dims)
            if data is None:
                return self.op("Reshape", x, self.vector(dims))
            known = self._numbers(x, list(data))
            if known is None:
                return self.op("Reshape", x, self.vector(dims))
            dims = known
        known = self._numbers(x, list(dims))
        if known is None:
            raise Unsupported("a shape with two open dimensions")
        if x.shape is not None and self._same(x.shape, known):
            return x
        made: Value = self.op("Reshape", x, known)
        if made.shape is not None and x.shape is not None and D.is_static(made.shape) != D.is_static(x.shape):
            made.shape = self._with_sizes(made.shape, dims)
        return made

    @staticmethod
    def _with_sizes(shape: Sequence[D.Dim], dims: Sequence[D.Dim]) -> tuple[D.Dim, ...]:
        return tuple(w if isinstance(w, D.Sym) and not isinstance(d, int) else d for d, w in zip(shape, dims))

    @staticmethod
    def _same(shape: Sequence[D.Dim], dims: Sequence[int]) -> bool:
        return len(shape) == len(dims) and all(d == 0 or d == s for d, s in zip(dims, shape))

    @staticmethod
    def _numbers(x: Value, dims: Sequence[D.Dim]) -> Optional[list[int]]:
        """*dims* with 0 for a size of *x* at its position and -1 for one that is left; None where more are left."""
        shape, numbers, left = x.shape or (), [], 0
        for i, d in enumerate(dims):
            if isinstance(d, int):
                # a 0 that means no element, where it does not say "as before"
                if d == 0 and i >= len(shape):
                    return None
                numbers.append(d)
                left += d == -1
            elif i < len(shape) and shape[i] == d:
                numbers.append(0)
            else:
                numbers.append(-1)
                left += 1
        if left > 1:
            return None
        if left and len(dims) == len(shape):
            # one open size and all others are as before: it is as before too
            rest = [i for i, n in enumerate(numbers) if n == -1]
            if all(n == 0 or n == shape[i] for i, n in enumerate(numbers) if n != -1):
                numbers[rest[0]] = 0
        return numbers

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        perm = self.axes(perm, self.rank(x))
        if sorted(perm) != list(range(len(perm))) or len(perm) != x.rank:
            raise Unsupported(f"a permutation {list(perm)} of {x.rank} dimensions")
        return x if list(perm) == sorted(perm) else self.op("Transpose", x, perm=perm)

    def unsqueeze(self, x: Value, axes: Sequence[int]) -> Value:
        if not axes:
            return x
        if self.opset >= 13:
            return self.op("Unsqueeze", x, list(axes))
        return self.op("Unsqueeze", x, axes=list(axes))

    def squeeze(self, x: Value, axes: Sequence[int]) -> Value:
        if not axes:
            return x
        return self.op("Squeeze", x, list(axes)) if self.opset >= 13 else self.op("Squeeze", x, axes=list(axes))

    def reduce(self, op: str, x: Value, axes: Optional[Sequence[int]], keep: bool = False) -> Value:
        """A ``Reduce…`` node; None or no axes: all of them."""
        given = list(axes) if axes else None
        since = 13 if op == "ReduceSum" else 18
        if self.opset >= since:
            return self.op(op, x, given, keepdims=int(keep))
        return self.op(op, x, axes=given, keepdims=int(keep))

    def slice(
        self,
        x: Value,
        starts: Union[Value, Sequence[int]],
        ends: Union[Value, Sequence[int]],
        axes: Sequence[int],
        steps: Union[Value, Sequence[int], None] = None,
    ) -> Value:
        if isinstance(steps, (list, tuple)) and all(s == 1 for s in steps):
            steps = None
        return self.op("Slice", x, starts, ends, list(axes), steps)

    def split(self, x: Value, sizes: Sequence[int], axis: int) -> list[Value]:
        """Parts of *x* along *axis*."""
        if len(sizes) == 1:
            return [x]
        if self.opset >= 13:
            return list(self.op("Split", x, list(sizes), axis=axis, outputs=len(sizes)))
        return list(self.op("Split", x, split=list(sizes), axis=axis, outputs=len(sizes)))

    def expand(self, x: Value, dims: Union[Value, Sequence[int]]) -> Value:
        """Broadcast *x* to *dims* (a 1 takes the size of *x*)."""
        known = list(dims) if not isinstance(dims, Value) else None
        same_rank = known is not None and x.shape is not None and len(known) == x.rank
        if same_rank and all(d in (1, -1) or d == s for d, s in zip(known or (), x.shape or ())):
            return x
        return self.op("Expand", x, dims if isinstance(dims, Value) else list(dims))

    def concat(self, xs: Sequence[Value], axis: int) -> Value:
        return xs[0] if len(xs) == 1 else self.op("Concat", *xs, axis=axis)

    def clip(self, x: Value, low: Optional[float] = None, high: Optional[float] = None) -> Value:
        limits = [None if v is None else self.const(v, x.dtype) for v in (low, high)]
        return self.op("Clip", x, *limits)

    def full_like(self, x: Value, value: Any, dtype: Optional[DType] = None) -> Value:
        """A tensor of *x*'s shape filled with *value*."""
        return self.full(self.shape(x), value, x.dtype if dtype is None else dtype)

    def full(self, shape: Value, value: Any, dtype: DType) -> Value:
        """A tensor of *shape* (int64) filled with *value*; a constant where it is small and known."""
        known = self.known(shape)
        if known is not None and any(d < 0 for d in known):
            raise Unsupported(f"a tensor of shape {known}")
        if known is not None and int(np.prod(known)) <= 4096 and dtype is not DType.BF16:
            return self.const(np.full(known, value, dtype.numpy))
        if dtype is DType.BF16 or (dtype is DType.BOOL and self.opset < 9):
            return self.cast(self.full(shape, value, DType.FP32), dtype)
        return self.op("ConstantOfShape", shape, value=np.asarray([value], dtype.numpy))


__all__ = ["Context"]
