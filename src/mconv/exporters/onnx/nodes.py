"""What a converter works with: the operator at hand, the nodes that it makes, and what is known of values."""

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


class ExporterState(Protocol):
    """What a converter may ask of the exporter around it; see :class:`~mconv.exporters.onnx.exporter.Exporter`.

    Attributes:
        program: the program that is read.
        graph: the ONNX graph that is written.
        block: the block that is walked.
        problems: rows on operators that cannot be said.
        notes: what the report tells.
        uses: variable → how often the program reads it.
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
    has_0d: bool
    trusts_declared: bool
    said: set[int]

    def var(self, name: str) -> Optional[Var]: ...

    def read(self, name: str) -> Any: ...

    def write(self, name: str, value: Any) -> None: ...

    def walk(self, block: Block) -> None: ...

    def scope(self) -> AbstractContextManager[Scope]: ...


class Nodes:
    """The operator at hand, and the nodes that are made for it; see :class:`~mconv.exporters.onnx.context.Context`.

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

    def declared_dtype(self, otherwise: DType) -> DType:
        """The element type that the program has for the output."""
        declared = self.declared()
        return declared.dtype if declared is not None and declared.dtype is not None else otherwise

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

    def size(self, x: Value, axis: int, what: str = "channels are") -> int:
        """A dimension of *x*.

        Raises:
            Unsupported: it is known only at run time.
        """
        size = x.shape[axis] if x.shape else None
        if not isinstance(size, int):
            raise Unsupported(f"{what} known only at run time")
        return size

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
