"""What a converter works with: the operator at hand, and the forms that depend on the opset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Optional, Protocol, Union

import numpy as np

from mconv.exporters.onnx.errors import NeedsOpset, Unsupported
from mconv.exporters.onnx.graph import Graph, Scope, schema
from mconv.exporters.onnx.types import numbers
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.program import Block, Op, Program, Var
from mconv.program.value import Value

# a Value, or what becomes a constant: a number takes the type of the node's first Value, a list of integers is int64
Operand = Union[Value, np.ndarray, int, float, bool, Sequence[int], None]
# elements of these are computed as int32: runtimes have no arithmetic of them
_NARROW = frozenset({DType.BOOL, DType.UINT8, DType.INT8, DType.INT16})


class ExporterState(Protocol):
    """What a converter may ask of the exporter around it; see :class:`~mconv.exporters.onnx.exporter.Exporter`.

    Attributes:
        program: the program that is read.
        graph: the ONNX graph that is written.
        block: the block that is walked.
        problems: rows on operators that cannot be said.
        notes: what the report tells.
        uses: variable → how often the program reads it.
        inference: whether dropout and normalisation are those of inference.
        has_0d: whether the program knows tensors without dimensions.
        trusts_declared: whether what the program notes of sizes is so: no more where a loop changes them.
        said: operators, by identity, that another one has said with it.
    """

    program: Program
    graph: Graph
    block: Block
    problems: list[dict[str, Any]]
    notes: list[str]
    uses: Counter[str]
    inference: bool
    has_0d: bool
    trusts_declared: bool
    said: set[int]

    def var(self, name: str) -> Optional[Var]: ...

    def read(self, name: str) -> Any: ...

    def write(self, name: str, value: Any) -> None: ...

    def walk(self, block: Block) -> None: ...

    def scope(self) -> AbstractContextManager[Scope]: ...


class Context:
    """What a converter works with.

    Attributes:
        opset: the version of ONNX's operators that is written.
        paddle: the operator at hand.
    """

    def __init__(self, exporter: ExporterState, op: Op):
        self.exporter = exporter
        self.graph = exporter.graph
        self.opset = exporter.graph.opset
        self.paddle = op
        names = [n for v in op.desc.outputs for n in v.arguments]
        self.base = names[0] if names else op.type

    # nodes

    def op(
        self,
        op: str,
        *operands: Operand,
        outputs: int = 1,
        domain: str = "",
        result: Optional[Sequence[tuple[DType, Optional[Sequence[D.Dim]]]]] = None,
        **attributes: Any,
    ) -> Any:
        """Make an ONNX node; the Value that it gives, or a tuple of them where *outputs* is above 1.

        What is known now is computed instead. Attributes that are None are left out.

        Args:
            operands: Values, None for one left out, numbers (of the first Value's type), lists of int64, arrays.
            result: element types and shapes of the outputs where ONNX's inference does not know them.

        Raises:
            NeedsOpset: a newer opset has the operator, the attribute or the type.
            Unsupported: none has, or the operands do not fit together.
        """
        like = next((o.dtype for o in operands if isinstance(o, Value)), DType.FP32)
        values = [self._value(o, like) for o in operands]
        if op == "Reshape" and values[0] is not None and isinstance(operands[1], (list, tuple)):
            values[1] = self._value(self._counted(values[0], operands[1]), like)
        made = self.graph.node(op, values, attributes, outputs=outputs, domain=domain, base=self.base, result=result)
        return made[0] if outputs == 1 else tuple(made)

    @staticmethod
    def _counted(x: Value, dims: Sequence[int]) -> list[int]:
        """*dims* of a Reshape with a number for -1 where it is known: of no element ONNX infers none."""
        copied = [i for i, d in enumerate(dims) if d == 0]
        rest = [s for i, s in enumerate(x.shape or ()) if i not in copied]
        sizes, others = numbers(rest), math.prod(d for d in dims if d > 0)
        if x.shape is None or not sizes or 0 in sizes or list(dims).count(-1) != 1 or math.prod(sizes) % others:
            return list(dims)
        return [math.prod(sizes) // others if d == -1 else d for d in dims]

    def _value(self, operand: Operand, like: DType) -> Optional[Value]:
        if operand is None or isinstance(operand, Value):
            return operand
        if isinstance(operand, np.ndarray):
            return self.graph.const(operand)
        if isinstance(operand, (list, tuple)):
            return self.graph.const(np.asarray(operand, np.int64))
        return self.const(operand, like)

    def const(self, value: Any, dtype: Optional[DType] = None) -> Value:
        """A constant: a number, a list or an array, of *dtype*."""
        if dtype is DType.BF16:
            from mconv.program.bfloat16 import to_bits

            return Value(None, dtype, np.shape(value), const=to_bits(np.asarray(value, np.float32)))
        return self.graph.const(np.asarray(value, None if dtype is None else dtype.numpy), dtype)

    def needs(self, opset: int, what: str) -> None:
        """Say that the operator needs *opset*.

        Raises:
            NeedsOpset: a lower one is written.
        """
        if self.opset < opset:
            raise NeedsOpset(opset, what)

    def note(self, text: str) -> None:
        """Tell the user."""
        self.exporter.notes.append(text)

    def has(self, op: str) -> bool:
        """Whether the opset that is written has the operator."""
        try:
            schema(op, self.opset)
        except (NeedsOpset, Unsupported):
            return False
        return True

    # the program around the operator

    def declared(self, output: str = "Out", index: int = 0) -> Optional[Var]:
        """The variable that the program has for an output."""
        names = self.paddle.output(output)
        return self.exporter.var(names[index]) if index < len(names) else None

    def uses(self, value: Value) -> int:
        """How often the program reads the variable that *value* was made for (fetching it counts)."""
        return self.exporter.uses.get(value.name or "", 0)

    # what is known of a value

    def rank(self, x: Value) -> int:
        """Raises: Unsupported: it is not known."""
        if x.rank is None:
            raise Unsupported("the number of dimensions of an input is not known")
        return x.rank

    def axis(self, axis: int, rank: int) -> int:
        """*axis* counted from the front.

        Raises:
            Unsupported: there is no such axis.
        """
        if not -rank <= axis < max(rank, 1):
            raise Unsupported(f"axis {axis} of {rank} dimensions")
        return axis + rank if axis < 0 else axis

    def axes(self, axes: Sequence[int], rank: int) -> list[int]:
        return [self.axis(int(a), rank) for a in axes]

    def static(self, x: Value, what: str = "a shape") -> tuple[int, ...]:
        """The dimensions of *x*.

        Raises:
            Unsupported: one of them is known only at run time.
        """
        found = numbers(x.shape)
        if found is None:
            raise Unsupported(f"{what} is known only at run time")
        return tuple(found)

    def ints(self, x: Optional[Value], what: str) -> list[int]:
        """The elements of an integer tensor that has to be known now.

        Raises:
            Unsupported: it is computed at run time.
        """
        known = self.known(x)
        if known is None:
            raise Unsupported(f"{what} is computed at run time")
        return known

    def known(self, x: Optional[Value]) -> Optional[list[int]]:
        """The elements of an integer tensor where they are known now."""
        if x is None:
            return None
        if x.is_const and x.dtype.is_int:
            return [int(v) for v in np.asarray(x.const).reshape(-1)]
        return numbers(x.data)

    def number(self, x: Optional[Value], what: str) -> float:
        """The one element of a constant.

        Raises:
            Unsupported: it is computed at run time.
        """
        if x is None or not x.is_const or x.size != 1:
            raise Unsupported(f"{what} is computed at run time")
        return np.asarray(x.const).reshape(-1)[0].item()

    # forms

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


__all__ = ["Context", "Operand"]
