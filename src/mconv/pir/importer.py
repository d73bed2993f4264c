"""PIR program → Program: walks the operations and has each one translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from mconv import emit
from mconv.errors import BuildError, UnsupportedError, UsageError
from mconv.pir import table
from mconv.pir.constants import PirBuilder
from mconv.pir.reader import OtherType, PirBlock, PirOp, PirProgram, TensorType, Type
from mconv.pir.registry import Unsupported, handlers
from mconv.program import dims as D
from mconv.program import targets
from mconv.program.builder import Value
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program, Var

Operand = Union[Value, list, None]

# attributes of every operation that say nothing about what it computes
_NOISE = frozenset({"struct_name", "place", "op_role", "chunk_id", "op_callstack", "stop_gradient", "persistable"})


class Context:
    """What a translation function works with: the builder, and the operation at hand."""

    def __init__(self, importer: Importer, op: PirOp, operands: list[Operand]):
        self.importer = importer
        self.b: PirBuilder = importer.b
        self.pir = op
        self.operands = operands
        self._specs: dict[int, Any] = {}

    @property
    def has_0d(self) -> bool:
        return self.b.target.has_0d

    def has(self, op: str) -> bool:
        """Whether the target has this ProgramDesc operator."""
        return op in self.b.operators

    def op(self, op_type: str, **operands: Any) -> Any:
        """:meth:`Builder.op`; the sizes of what comes out can be read at run time afterwards."""
        made = self.b.op(op_type, **operands)
        for value in made if isinstance(made, tuple) else (made,):
            for v in value if isinstance(value, list) else (value,):
                emit.bind_shape(self.b, v)
        return made

    def spec(self, index: int = 0, like: Optional[Sequence[D.Dim]] = None) -> Any:
        """(element type, shape) of an output, a list of them for a vector; None for an output not given.

        Args:
            like: what the shape is, as far as it is known in symbols; the file's own numbers win.
        """
        if index not in self._specs:
            kind = self.pir.outputs[index][1] if index < len(self.pir.outputs) else None
            self._specs[index] = self._spec(kind, like)
        return self._specs[index]

    def _spec(self, kind: Type, like: Optional[Sequence[D.Dim]] = None) -> Any:
        if isinstance(kind, list):
            return [self._spec(k) for k in kind]
        if not isinstance(kind, TensorType):
            return None
        if kind.dtype is None:
            raise Unsupported("an element type that ProgramDesc lacks")
        known = list(like) if like is not None and len(like) == len(kind.shape) else [None] * len(kind.shape)
        dims = [d if d >= 0 else k if k is not None else D.Sym.fresh(self.pir.name) for d, k in zip(kind.shape, known)]
        return kind.dtype, tuple(dims)

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
        return [int(d) for d in dims]  # type: ignore[arg-type]

    def dims(self, operand: Operand) -> Optional[list[D.Dim]]:
        """The elements of an integer operand as dimensions, or None."""
        if operand is None:
            return None
        if isinstance(operand, list):
            parts = [self.dims(o) for o in operand]
            return None if any(p is None for p in parts) else [d for p in parts for d in p or ()]
        return emit.shape.dims_of(operand)

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
        assert isinstance(operand, Value)
        known = emit.shape.dims_of(operand)
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

    def blocks(self) -> list[PirBlock]:
        """The operation's own blocks, one for each region."""
        return [region[0] for region in self.pir.regions]

    def generic(self) -> Any:
        """The translation that the table gives for this operation."""
        return table_op(self, self.pir.name.partition(".")[2], self.operands)


class Importer:
    """Translates one program.

    Args:
        program: what the reader gave.
        params: the parameters by name.
        target: the Paddle that will load the result.
    """

    def __init__(self, program: PirProgram, params: dict[str, TensorSource], target: str = targets.DEFAULT_TARGET):
        self.pir = program
        self.b = PirBuilder(target)
        self.params = params
        self.values: dict[int, Operand] = {0: None}
        self.problems: dict[tuple[str, str], int] = {}
        self.outputs: list[tuple[int, Value, str]] = []
        self._unsaved: dict[str, str] = {}

    def run(self, output_names: Optional[Sequence[str]] = None) -> tuple[Program, dict[str, TensorSource], list[str]]:
        """The program, its parameters in the file's order, and what is worth telling.

        Raises:
            UnsupportedError: operations that the target cannot say; ``rows`` lists all of them.
            UsageError: *output_names* does not fit the outputs.
        """
        for op in self.pir.block.ops:
            if op.name == "pd_op.data":
                self.b.reserve(op.attrs.get("name", ""))
        for name, kind in self.pir.parameters:
            self.b.reserve(name)
        with np.errstate(all="ignore"):
            self.walk(self.pir.block)
        read = {n for _, op in self.b.program.ops() for n in op.input_names}
        for name in read & self._unsaved.keys():
            self.problems["builtin.parameter", f"the buffer {name!r} is read, and not saved with the model"] = 1
        if self.problems:
            raise self._refusal()
        self._fetch(output_names)
        program, params = self.b.finish()
        for name, source in self.b.params.items():  # also those that nothing reads: the file holds them
            if name not in params and name in self.params:
                program.main.add_var(Var.tensor(name, source.dtype, self.b._stored_shape(source.shape), persistable=True))
        ordered = {v.name: self.b.params[v.name] for v in program.parameters}
        return program, ordered, list(dict.fromkeys(self.b.notes))

    def _fetch(self, output_names: Optional[Sequence[str]]) -> None:
        found = sorted(self.outputs, key=lambda o: o[0])
        names = list(output_names) if output_names is not None else [self._output_name(v, n) for _, v, n in found]
        if len(names) != len(found):
            raise UsageError(f"{len(names)} output names for {len(found)} outputs")
        if len(set(names)) != len(names) or not all(names):
            raise UsageError(f"output names must be given once each: {', '.join(names)}")
        for (_, value, _), name in zip(found, names):
            self.b.fetch(value, name)

    @staticmethod
    def _output_name(value: Value, name: str) -> str:
        # fetch_name_<i> is what Paddle calls every output; the variable says more
        return value.name if value.name and name.startswith("fetch_name_") and ".tmp" in value.name else name

    def _refusal(self) -> UnsupportedError:
        rows = [
            {"operator": name, "count": count, "reason": reason}
            for (name, reason), count in sorted(self.problems.items(), key=lambda p: (-p[1], p[0]))
        ]
        listed = ", ".join(dict.fromkeys(r["operator"] for r in rows))
        paddle = self.b.target.paddle
        newer = [t for t in targets.TARGETS if t > self.b.target.name] if self.b.target.name != "3" else []
        hint = f"a newer Paddle may have it: --target {newer[-1]}" if newer else None
        return UnsupportedError(f"Paddle {paddle} cannot run {len(rows)} kinds of operation: {listed}", hint, rows)

    def walk(self, block: PirBlock) -> list[Operand]:
        """Translate a block into the builder's current one; gives what its ``cf.yield`` hands out."""
        given: list[Operand] = []
        for op in block.ops:
            operands = [self.values.get(i) for i in op.inputs]
            if op.name == "cf.yield":
                given = operands
            elif op.name == "builtin.parameter":
                self._parameter(op)
            else:
                self._translate(op, operands)
        return given

    def _parameter(self, op: PirOp) -> None:
        name = op.attrs["parameter_name"]
        ident, kind = op.outputs[0]
        if op.attrs["stored"]:
            self.values[ident] = self.b.stored(self.params[name], name)
            return
        assert isinstance(kind, TensorType)
        # its value is nowhere; that matters only if something reads it
        self._unsaved[name] = op.name
        self.values[ident] = Value(name, kind.dtype or DType.FP32, kind.shape)

    def _translate(self, op: PirOp, operands: list[Operand]) -> None:
        ctx = Context(self, op, operands)
        try:
            results = self._dispatch(ctx, op, operands)
        except (Unsupported, UnsupportedError, BuildError) as e:
            reason = e.message if isinstance(e, UnsupportedError) else str(e)
            key = (op.name, reason)
            self.problems[key] = self.problems.get(key, 0) + 1
            results = [self._placeholder(kind) for _, kind in op.outputs]
        for (ident, kind), result in zip(op.outputs, results):
            if ident:
                self.values[ident] = self._settle(result, kind)
        self._alias(op)

    def _dispatch(self, ctx: Context, op: PirOp, operands: list[Operand]) -> list[Operand]:
        handler = handlers().get(op.name)
        if handler is None and op.name.endswith("_"):
            handler = handlers().get(op.name[:-1])
        attrs = {k: v for k, v in op.attrs.items() if k not in _NOISE}
        if handler is None:
            dialect, _, name = op.name.partition(".")
            if dialect != "pd_op":
                raise Unsupported(f"an operation of the dialect {dialect!r}")
            result = table_op(ctx, name, operands)
        else:
            count = handler.operands
            if count is not None and (len(operands) > count and any(o is not None for o in operands[count:])):
                raise Unsupported(f"{len(operands)} operands, {count} are known")
            if handler.attrs is not None:
                unknown = [f"{k}={v!r}" for k, v in attrs.items() if k not in handler.attrs]
                if unknown:
                    raise Unsupported(f"attribute {', '.join(unknown)}")
            missing = sorted(handler.needed - attrs.keys())
            if len(operands) < handler.required or missing:
                raise Unsupported(f"{', '.join(missing) or 'an operand'} is missing in the file")
            result = handler.function(ctx, *(operands[:count] if count is not None else operands), **attrs)
        return list(result) if isinstance(result, tuple) else [result]

    def _settle(self, result: Operand, kind: Type) -> Operand:
        """What the file says of a value beside what the translation found out."""
        if isinstance(result, Value) and isinstance(kind, TensorType):
            if result.shape is None or len(result.shape) != len(kind.shape):
                pass
            elif any(d >= 0 and d != s for d, s in zip(kind.shape, result.shape)):
                result.shape = tuple(d if d >= 0 else s for d, s in zip(kind.shape, result.shape))
            emit.bind_shape(self.b, result) if result.name else None
        return result

    def _placeholder(self, kind: Type) -> Operand:
        """Stands for what could not be translated, so that the rest is looked at too."""
        if isinstance(kind, list):
            return [self._placeholder(k) for k in kind]
        if isinstance(kind, TensorType):
            shape = [d if d >= 0 else D.Sym.fresh("lost") for d in kind.shape]
            return Value(self.b.unique("lost"), kind.dtype or DType.FP32, shape)
        if isinstance(kind, OtherType):
            return Value(self.b.unique("lost"), kind.dtype or DType.FP32, None)
        return None

    def _alias(self, op: PirOp) -> None:
        """An operation that writes into its operand: who reads that operand later sees the result."""
        if not op.name.endswith("_") or op.name in ("pd_op.batch_norm_", "pd_op.sync_batch_norm_", "pd_op.array_write_"):
            return
        index = 1 if op.name == "pd_op.assign_out_" else 0
        if index < len(op.inputs) and op.inputs[index] and op.outputs:
            self.values[op.inputs[index]] = self.values[op.outputs[0][0]]


def table_op(ctx: Context, name: str, operands: Sequence[Operand]) -> Any:
    """Translate by the table's row for *name* (an in-place form has the row of the other).

    Raises:
        Unsupported: there is no row, the target lacks the operator, or an attribute says what it cannot.
    """
    row = table.ROWS.get(name) or (table.ROWS.get(name[:-1]) if name.endswith("_") else None)
    if row is None:
        raise Unsupported("mconv does not know this operation")
    if row.op not in ctx.b.operators:
        raise Unsupported(f"Paddle {ctx.b.target.paddle} has no operator {row.op}")
    sig = ctx.b.operators[row.op]
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
    for key, value in ctx.pir.attrs.items():
        if key in _NOISE or value is None and key != "dtype":
            continue
        _attribute(row, row.attrs.get(key, key), value, sig, arguments)
    for key, value in row.fixed.items():
        if key in sig["attrs"]:
            arguments[key] = value
    results: dict[str, Any] = {}
    main = next((o for o in operands if isinstance(o, Value)), None)
    for index, output in enumerate(row.outputs):
        like = main.shape if row.same and main is not None and index == 0 else None
        spec = ctx.spec(index, like)
        if output is not None and spec is not None and not (isinstance(spec, list) and not spec):
            results[output] = spec
    if not results:
        raise Unsupported("nothing comes out")
    made = ctx.op(row.op, result=results, **arguments)
    by_name = dict(zip(results, made))
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
        known = [int(d) for d in dims] if dims is not None and D.is_static(dims) else None  # type: ignore[arg-type]
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
        if key in row.defaults and _equal(row.defaults[key], value):
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
    if kind == "BOOLEAN":
        return bool(value)
    if kind in ("FLOAT", "FLOAT64"):
        return float(value)
    if kind in ("FLOATS", "FLOAT64S"):
        return [float(v) for v in value]
    if kind in ("INT", "LONG"):
        return int(value)
    return value
