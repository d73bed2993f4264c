"""PIR program → Program: walks the operations and has each one translated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np

from mconv import emit
from mconv.emit.zero_size import counted
from mconv.errors import UnsupportedError, UsageError
from mconv.paddle.constants import InlineBuilder
from mconv.paddle.context import Context, Operand
from mconv.paddle.convert import convert
from mconv.paddle.effects import overwritten
from mconv.paddle.operation import Operation, OperationBlock, OtherType, TensorType, Type
from mconv.paddle.pir_reader import PirProgram
from mconv.paddle.registry import Unsupported
from mconv.passes import shared
from mconv.printable import require_visible
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program, Var
from mconv.program.targets import DEFAULT, TARGETS, Target
from mconv.program.value import Value

# atoms in the formula of a size, beyond which it gets a name of its own
_LONG = 12


def _weight(dim: D.Dim, limit: int) -> int:
    """How many atoms a size is made of; counting ends above *limit*."""
    if not isinstance(dim, D.Sym):
        return 0
    count = 0
    for monomial in dim.terms:
        for atom in monomial:
            count += 1
            for argument in atom[1:] if isinstance(atom, tuple) else ():
                count += _weight(argument, limit - count)
                if count > limit:
                    return count
    return count


class Importer:
    """Translates one program.

    Args:
        program: what the reader gave.
        params: the parameters by name.
        target: the Paddle that will load the result.
    """

    def __init__(self, program: PirProgram, params: dict[str, TensorSource], target: Target = DEFAULT):
        self.pir = program
        self.b = InlineBuilder(target)
        self.params = params
        self.values: dict[int, Operand] = {0: None}
        self.problems: dict[tuple[str, str], int] = {}
        self.outputs: list[tuple[int, Value, str]] = []
        self._unsaved: dict[str, str] = {}
        self._names: dict[D.Sym, D.Sym] = {}

    def run(self, output_names: Optional[Sequence[str]] = None) -> tuple[Program, dict[str, TensorSource], list[str]]:
        """The program, its parameters in the file's order, and what is worth telling.

        Raises:
            UnsupportedError: operations that the target cannot say; ``rows`` lists all of them.
            UsageError: *output_names* does not fit the outputs.
        """
        for op in self.pir.block.ops:
            if op.name == "pd_op.data":
                self.b.reserve(op.attrs.get("name", ""))
        for name, _kind in self.pir.parameters:
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
                program.main.add_var(
                    Var.tensor(name, source.dtype, self.b._stored_shape(source.shape), persistable=True)
                )
        shared.keep(program, self.b.params)
        ordered = {v.name: self.b.params[v.name] for v in program.parameters}
        return program, ordered, list(dict.fromkeys(self.b.notes))

    def _fetch(self, output_names: Optional[Sequence[str]]) -> None:
        found = sorted(self.outputs, key=lambda o: o[0])
        names = list(output_names) if output_names is not None else [self._output_name(v, n) for _, v, n in found]
        if len(names) != len(found):
            raise UsageError(f"{len(names)} output names for {len(found)} outputs")
        if len(set(names)) != len(names) or not all(names):
            raise UsageError(f"output names must be given once each: {', '.join(names)}")
        for name in output_names or ():
            require_visible(name, "output names")
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
        listed = ", ".join(dict.fromkeys(str(r["operator"]) for r in rows))
        paddle = self.b.target.paddle
        newest = list(TARGETS.values())[-1]
        hint = f"a newer Paddle may have it: --target {newest}" if self.b.target != newest else None
        return UnsupportedError(f"Paddle {paddle} cannot run {len(rows)} kinds of operation: {listed}", hint, rows)

    def walk(self, block: OperationBlock) -> list[Operand]:
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

    def _parameter(self, op: Operation) -> None:
        name = op.attrs["parameter_name"]
        ident, kind = op.outputs[0]
        if op.attrs["stored"]:
            if name not in self.params:
                self.problems[op.name, f"{name!r} is no tensor that a ProgramDesc can hold"] = 1
                self.values[ident] = self._placeholder(kind)
                return
            self.values[ident] = self.b.stored(self.params[name], name)
            return
        assert isinstance(kind, TensorType)
        # its value is nowhere; that matters only if something reads it
        self._unsaved[name] = op.name
        self.values[ident] = Value(name, kind.dtype or DType.FP32, kind.shape)

    def _translate(self, op: Operation, operands: list[Operand]) -> None:
        ctx = Context(self, op, operands)
        try:
            results = convert(ctx)
        except Unsupported as e:
            key = (op.name, str(e))
            self.problems[key] = self.problems.get(key, 0) + 1
            results = [self._placeholder(kind) for _, kind in op.outputs]
        for (ident, kind), result in zip(op.outputs, results):
            if ident:
                self.values[ident] = self._settle(result, kind)
        self._alias(op)

    def _settle(self, result: Operand, kind: Type) -> Operand:
        """What the file says of a value beside what the translation found out."""
        if isinstance(result, list):
            kinds = kind if isinstance(kind, list) else [None] * len(result)
            return [self._settle(r, k) for r, k in zip(result, kinds)]
        if not isinstance(result, Value) or result.shape is None:
            return result
        shape = result.shape
        if isinstance(kind, TensorType) and len(kind.shape) == len(shape):
            # a selection of which the file says how much it finds may still find nothing
            shape = tuple(d if d >= 0 and not counted(self.b, [s]) else s for d, s in zip(kind.shape, shape))
        if result.name is not None:
            result.shape = shape
            emit.bind_shape(self.b, result)
            result.shape = tuple(self._short(result, axis, d) for axis, d in enumerate(shape))
        return result

    def _short(self, value: Value, axis: int, dim: D.Dim) -> D.Dim:
        """A size whose formula has grown long under a name of its own: it can be read off *value*."""
        if not isinstance(dim, D.Sym) or _weight(dim, _LONG) <= _LONG or self.b.block is not self.b.program.main:
            return dim
        if dim not in self._names:
            name = D.Sym.fresh("size")
            self._names[dim] = name
            self.b.origins[name] = (value, axis)
        return self._names[dim]

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

    def _alias(self, op: Operation) -> None:
        """An operation that writes into its operand: who reads that operand later sees the result."""
        ident = overwritten(op)
        if ident is not None:
            self.values[ident] = self.values[op.outputs[0][0]]
