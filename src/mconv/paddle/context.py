"""What a translation function works with, and the translation that the table gives."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Optional, Protocol, Union

import numpy as np

from mconv import emit
from mconv.emit.zero_size import counted, vanishes
from mconv.paddle import sizes, table
from mconv.paddle.attributes import means_nothing
from mconv.paddle.constants import InlineBuilder
from mconv.paddle.operation import Operation, OperationBlock, TensorType, Type
from mconv.paddle.registry import UNKNOWN, Unsupported
from mconv.printable import printable
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.typecheck import fits, name_of
from mconv.program.value import Results, Value
from mconv.program.value import Spec as OutputSpec

Operand = Union[Value, list, None]
Number = Union[bool, int, float]  # what PIR's Scalar holds
Spec = tuple[DType, tuple[D.Dim, ...]]

# attributes of every operation that say nothing about what it computes
NOISE = frozenset({"struct_name", "place", "op_role", "chunk_id", "op_callstack", "stop_gradient", "persistable"})


class ImporterState(Protocol):
    """What a translation function may ask of the importer around it.

    Attributes:
        values: what the results of operations are, by their numbers.
        problems: operation and reason of what could not be said → how often.
        outputs: position, value and name of each output of the model.
    """

    @property
    def b(self) -> InlineBuilder: ...

    values: dict[int, Operand]
    problems: dict[tuple[str, str], int]
    outputs: list[tuple[int, Value, str]]

    def walk(self, block: OperationBlock) -> list[Operand]:
        """Translate the operations of a block in place; gives what it yields."""
        ...


class Context:
    """What a translation function works with: the builder, and the operation at hand."""

    def __init__(self, importer: ImporterState, op: Operation, operands: list[Operand]):
        self.importer = importer
        self.b: InlineBuilder = importer.b
        self.operation = op
        self.operands = operands
        self._specs: dict[int, Any] = {}

    @property
    def name(self) -> str:
        """The operation's name without its dialect: ``matmul``."""
        return self.operation.name.partition(".")[2]

    @property
    def has_0d(self) -> bool:
        return self.b.target.has_0d

    def has(self, op: str) -> bool:
        """Whether the target has this ProgramDesc operator."""
        return op in self.b.operators

    def op(self, op_type: str, *, result: Optional[OutputSpec] = None, **operands: Any) -> Value:
        """:meth:`Builder.op`; the sizes of what comes out can be read at run time afterwards."""
        return emit.bind_shape(self.b, self.b.op(op_type, result=result, **operands))

    def op_outputs(self, op_type: str, *, results: Results, **operands: Any) -> tuple[Value, ...]:
        """:meth:`Builder.op_outputs`, likewise."""
        made = self.b.op_outputs(op_type, results=results, **operands)
        return tuple(emit.bind_shape(self.b, v) for v in made)

    def spec(self, index: int = 0, like: Optional[Sequence[D.Dim]] = None) -> Spec:
        """(element type, shape) of an output.

        Args:
            like: what the shape is, as far as it is known in symbols; the file's own numbers win.

        Raises:
            Unsupported: the file gives no such output, or none that is a dense tensor.
        """
        found = self.any_spec(index, like)
        if not isinstance(found, tuple):
            raise Unsupported(f"output {index} is no tensor in the file")
        return found

    def specs(self, index: int = 0) -> list[Spec]:
        """:meth:`spec` of each element of an output that is a vector."""
        found = self.any_spec(index)
        if not isinstance(found, list) or not all(isinstance(one, tuple) for one in found):
            raise Unsupported(f"output {index} is no vector of tensors in the file")
        return found

    def any_spec(self, index: int = 0, like: Optional[Sequence[D.Dim]] = None) -> Any:
        """:meth:`spec`, a list of them for a vector, None for an output not given or no dense tensor."""
        if index not in self._specs:
            kind = self.operation.outputs[index][1] if index < len(self.operation.outputs) else None
            if like is None:
                like = self._known_sizes[index] if index < len(self._known_sizes) else None
            self._specs[index] = self._spec(kind, like)
        return self._specs[index]

    @functools.cached_property
    def _known_sizes(self) -> Sequence[Any]:
        return sizes.of(self.name, self.operands, self.operation.attrs)

    def _spec(self, kind: Type, like: Any = None) -> Any:
        if isinstance(kind, list):
            likes = like if isinstance(like, list) and len(like) == len(kind) else [None] * len(kind)
            return [self._spec(k, one) for k, one in zip(kind, likes)]
        if not isinstance(kind, TensorType):
            return None
        if kind.dtype is None:
            raise Unsupported("an element type that ProgramDesc lacks")
        known = sizes.spread(like, len(kind.shape)) or [None] * len(kind.shape)
        self._check_carried([k for d, k in zip(kind.shape, known) if d < 0 and k is not None])
        dims = [
            d if d >= 0 else k if k is not None else D.Sym.fresh(self.operation.name) for d, k in zip(kind.shape, known)
        ]
        return kind.dtype, tuple(dims)

    def _check_carried(self, dims: Sequence[D.Dim]) -> None:
        """Sizes that are computed of ones from data: what the operator makes of padding has to be padding alone."""
        given: set[D.Dim] = set()
        for operand in self.operands:
            for value in operand if isinstance(operand, list) else [operand]:
                given.update(value.shape or () if value is not None else ())
        if any(d not in given and counted(self.b, [d]) and not vanishes(self.b, d) for d in dims):
            raise Unsupported(
                "a size that comes from data may be 0, and the result may have elements then, or none where it is not"
            )

    @property
    def rank(self) -> int:
        """The number of dimensions of the first output."""
        return len(self.spec()[1])

    def ints(self, operand: Operand, what: str = "a shape or axis") -> list[int]:
        """An operand that has to be known now.

        Raises:
            Unsupported: it is computed at run time.
        """
        dims = self.dims(operand)
        if dims is None or not D.is_static(dims):
            raise Unsupported(f"{what} is computed at run time")
        return D.numbers(dims)

    def dims(self, operand: Operand) -> Optional[list[D.Dim]]:
        """The elements of an integer operand as dimensions, or None."""
        if operand is None:
            return None
        if isinstance(operand, list):
            parts = [self.dims(o) for o in operand]
            return None if any(p is None for p in parts) else [d for p in parts for d in p or ()]
        return emit.dims_of(operand)

    def int(self, operand: Operand, what: str = "an axis") -> int:
        return self.ints(operand, what)[0]

    def number(self, operand: Operand) -> Optional[float]:
        """A scalar operand's value where it is known now (an int stays one)."""
        if not isinstance(operand, Value) or not operand.is_const or operand.size != 1:
            return None
        return np.asarray(operand.const).reshape(-1)[0].item()

    def tensor(self, operand: Operand, dtype: DType = DType.INT32) -> Value:
        """An integer operand as a 1-D tensor of *dtype*, for ShapeTensor and its kind."""
        if isinstance(operand, list):
            parts = [emit.reshape(self.b, self.b.cast(o, dtype), (1,)) for o in operand]
            return emit.concat(self.b, parts, 0)
        if operand is None:
            raise Unsupported("an operand is missing in the file")
        known = emit.dims_of(operand)
        if known is not None and operand.name is None:
            return emit.shape_tensor(self.b, known, dtype)
        return self.b.cast(operand, dtype)

    def reshaped(self, x: Value, shape: Sequence[D.Dim]) -> Value:
        """*x*, which the operator may have given other ones than stated among its dimensions, brought to *shape*."""
        shape = tuple(shape)
        if x.name is None:
            return emit.reshape(self.b, x, shape)
        return emit.reshape(self.b, Value(x.name, x.dtype, None), shape)

    def one(self, x: Value) -> Value:
        """A tensor of one element with shape [1]; without 0-d tensors it is one already."""
        if x.shape == (1,):
            return x
        if x.rank == 0 and x.name is not None and not self.has_0d:
            return Value(x.name, x.dtype, (1,), data=x.data)
        return emit.reshape(self.b, x, (1,))

    def note(self, text: str) -> None:
        if text not in self.b.notes:
            self.b.notes.append(text)

    def blocks(self) -> list[OperationBlock]:
        """The operation's own blocks, one for each region."""
        if any(len(region) != 1 for region in self.operation.regions):
            raise Unsupported("a region of the operation has not one block")
        return [region[0] for region in self.operation.regions]

    def generic(self) -> Any:
        """The translation that the table gives for this operation."""
        return table_op(self, self.name, self.operands)


def table_op(ctx: Context, name: str, operands: Sequence[Operand]) -> Any:
    """Translate by the table's row for *name* (an in-place form has the row of the other).

    Raises:
        Unsupported: there is no row, the target lacks the operator, or an attribute says what it cannot.
    """
    row = table.ROWS.get(name) or (table.ROWS.get(name[:-1]) if name.endswith("_") else None)
    if row is None:
        raise Unsupported(UNKNOWN)
    if row.op not in ctx.b.operators:
        raise Unsupported(f"Paddle {ctx.b.target.paddle} has no operator {row.op}")
    sig = ctx.b.signature(row.op)
    arguments: dict[str, Any] = {}
    scalar = False
    for slot, operand in zip(row.inputs, operands):
        if operand is None or slot is None:
            continue
        if slot.attr is None:
            arguments[slot.input] = operand
            scalar = scalar or any(v.rank == 0 for v in (operand if isinstance(operand, list) else [operand]))
            continue
        _either(ctx, row, slot, operand, sig, arguments)
    for key, value in ctx.operation.attrs.items():
        if key in NOISE or value is None and key != "dtype":
            continue
        _attribute(row, row.attrs.get(key, key), value, sig, arguments)
    for key, value in row.fixed.items():
        if key in sig["attrs"]:
            arguments[key] = value
    results: dict[str, Any] = {}
    main = next((o for o in operands if isinstance(o, Value)), None)
    for index, output in enumerate(row.outputs):
        like = main.shape if row.same and main is not None and index == 0 else None
        spec = ctx.any_spec(index, like)
        if output is not None and spec is not None and not (isinstance(spec, list) and not spec):
            results[output] = spec
    if not results:
        raise Unsupported("nothing comes out")
    made = iter(ctx.op_outputs(row.op, results=results, **arguments))
    by_name = {k: [next(made) for _ in s] if isinstance(s, list) else next(made) for k, s in results.items()}
    found: list[Any] = []
    for output in row.outputs:
        value = by_name.get(output) if output else None
        if scalar and not row.same and not ctx.has_0d and isinstance(value, Value) and value.shape:
            value = ctx.reshaped(value, value.shape)  # the operator saw [1] for what has no dimension
        found.append(value)
    return tuple(found)


def _either(ctx: Context, row: table.Row, slot: table.Slot, operand: Operand, sig: Any, arguments: dict) -> None:
    """An operand that is an attribute when it is known now and an input when it is not."""
    assert slot.attr is not None
    known: Any = None
    if isinstance(operand, list) or operand.dtype.is_int:  # type: ignore[union-attr]
        dims = ctx.dims(operand)
        known = D.numbers(dims) if dims is not None and D.is_static(dims) else None
    elif isinstance(operand, Value) and operand.is_const:
        known = np.asarray(operand.const).reshape(-1).tolist()
    kind = sig["attrs"].get(slot.attr)
    if known is not None and kind is not None:
        if kind == "STRING":
            arguments[slot.attr] = repr(known[0])
        else:
            arguments[slot.attr] = _fitting(kind, known if kind.endswith("S") else known[0])
    elif slot.input and slot.input in sig["inputs"]:
        many = "*" in sig["inputs"][slot.input]
        tensor = ctx.tensor(operand) if isinstance(operand, list) or operand.dtype.is_int else operand  # type: ignore[union-attr]
        arguments[slot.input] = [tensor] if many else tensor
    else:
        raise Unsupported(f"{slot.attr} is computed at run time")


def _attribute(row: table.Row, key: Optional[str], value: Any, sig: Any, arguments: dict) -> None:
    if key is None or key in sig["inputs"]:
        return
    kind = sig["attrs"].get(key)
    if kind is None:
        if key in row.defaults and _equal(row.defaults[key], value) or means_nothing(row.op, key, value):
            return
        raise Unsupported(f"{row.op} has no attribute {key} (here {value!r})")
    if key == "dtype" and value is None:
        value = -1
    arguments[key] = _fitting(kind, value)


def _equal(default: Any, value: Any) -> bool:
    return default is ... or default == value


def _fitting(kind: str, value: Any) -> Any:
    """*value* as the attribute's type wants it: PIR and ProgramDesc disagree on widths only."""
    if isinstance(value, DType):
        return int(value)
    hint = _KINDS.get(kind)
    if hint is not None and not fits(value, hint):
        raise Unsupported(f"an attribute is {printable(repr(value), 60)}, not {name_of(hint)}")
    if kind == "BOOLEAN":
        return bool(value)
    if kind in ("FLOAT", "FLOAT64"):
        return float(value)
    if kind in ("FLOATS", "FLOAT64S"):
        return [float(v) for v in value]
    if kind in ("INT", "LONG"):
        return int(value)
    return value


# the type of an attribute → what may be given for it: PIR says true and 1, or 1 and 1.0, as it pleases
_KINDS: dict[str, Any] = {
    "BOOLEAN": Number,
    "FLOAT": Number,
    "FLOAT64": Number,
    "INT": Number,
    "LONG": Number,
    "FLOATS": list[Number],
    "FLOAT64S": list[Number],
    "INTS": list[Union[bool, int]],
    "LONGS": list[Union[bool, int]],
    "STRING": str,
    "STRINGS": list[str],
}
