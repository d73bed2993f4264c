"""Builds a Program for a target, checking every operator against the target's signature table as it is made."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

import numpy as np

from mconv import budget
from mconv.errors import BuildError
from mconv.program import dims as D
from mconv.program import signatures
from mconv.program.coerce import coerce
from mconv.program.constant_outputs import depending, tied
from mconv.program.dead import eliminate_dead
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.final_names import final_names
from mconv.program.named_source import NamedSource, ReshapedSource, UnsharedSource
from mconv.program.operands import arguments, check_names, main_output
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Block, Op, Program, Var
from mconv.program.targets import DEFAULT, Target
from mconv.program.value import Results, Spec, Value
from mconv.program.widening import widened


class Builder:
    """Makes the operators of one program.

    Args:
        target: the Paddle that will load it.

    Attributes:
        open_sizes_repeat: whether an open size that meets another one may be 1 and the other not. A source that is
            Paddle's own has the very operator in which they meet.
        small_sizes: whether what is cut from an open size is carried where that may be too small for it (see
            emit/vanishing.py).
    """

    open_sizes_repeat = True
    small_sizes = False

    def __init__(self, target: Target = DEFAULT):
        self.target = target
        self.program = Program()
        self.program.version = self.target.version
        self.block: Block = self.program.main
        self.kinds: set[str] = set()  # types of operators that were appended: what is not among them is not there
        self.params: dict[str, TensorSource] = {}
        self.notes: list[str] = []
        # symbol → the value and axis whose size it is, so that a size can be read at run time
        # (axis None: the number that a tensor of one element holds)
        self.origins: dict[D.Sym, tuple[Value, Optional[int]]] = {}
        # sizes that come from data → how much of them is no padding (see emit/zero_size.py), and what is done for
        # them after an operator and before an output; all of it empty in a program without such sizes
        self.counts: dict[D.Sym, D.Dim] = {}
        self.vanishing: list[D.Dim] = []  # those among them that open sizes may be too small for
        self.unpadded: dict[str, Value] = {}  # variable → what it was before padding
        self.zero_padded: set[str] = set()  # variables whose padding is zeros
        self.before_op: Optional[Callable[[str, dict[str, Any]], None]] = None
        self.after_op: Optional[Callable[[str, Mapping[str, Any], tuple[Value, ...]], tuple[Value, ...]]] = None
        self.before_fetch: Optional[Callable[[Value], Value]] = None
        self._names: dict[str, int] = {}
        self._used: set[str] = {"feed", "fetch", ""}
        self._const_names: dict[tuple[Any, ...], str] = {}
        self._feeds: list[Value] = []
        self._fetches: list[tuple[Value, str]] = []
        self._called: dict[str, str] = {}
        self._made: dict[tuple[Any, ...], Value] = {}
        main = self.program.main
        main.add_var(Var.of_kind("feed", VarKind.FEED_MINIBATCH, persistable=True))
        main.add_var(Var.of_kind("fetch", VarKind.FETCH_LIST, persistable=True))

    # names -----------------------------------------------------------------------------------------------------

    def unique(self, hint: str) -> str:
        """A variable name that is not taken: *hint* itself, or *hint* with a number."""
        name = hint
        while name in self._used:
            self._names[hint] = self._names.get(hint, -1) + 1
            name = f"{hint}_{self._names[hint]}"
        self._used.add(name)
        return name

    def reserve(self, name: str) -> None:
        """Keep *name* free for an input or output that will be made later."""
        self._used.add(name)

    # inputs, constants, outputs ----------------------------------------------------------------------------------

    def feed(self, name: str, dtype: DType, shape: Sequence[D.Dim]) -> Value:
        """An input of the model; inputs are fed in the order of these calls."""
        main = self.program.main
        value = Value(name, dtype, shape)
        self._used.add(name)
        var = Var.tensor(name, dtype, self._stored_shape(value.shape))
        var.desc.need_check_feed = True
        var.desc.stop_gradient = True
        main.add_var(var)
        for axis, dim in enumerate(value.shape or ()):
            if isinstance(dim, D.Sym):
                self.origins.setdefault(dim, (value, axis))
        op = Op.make("feed", {"X": ["feed"]}, {"Out": [name]}, [("col", AttrType.INT, len(self._feeds))])
        main.ops.insert(len(self._feeds), op)
        self._feeds.append(value)
        return value

    def fetch(self, value: Value, name: str) -> None:
        """Make *value* an output of the model, called *name*; outputs come in the order of these calls."""
        self._fetches.append((value, name))

    def param(self, source: TensorSource, name: str) -> Value:
        """A stored constant under its own name (made unique)."""
        return Value(None, source.dtype, source.shape, source=NamedSource(source, name))

    def unshared(self, value: Value) -> Value:
        """A constant as a parameter that no other operator reads; anything else as it is."""
        if not value.is_const:
            return value
        source = value.source
        if source is None:
            assert value._const is not None
            source = ArraySource(value._const, value.dtype)
        return Value(
            None, value.dtype, value.shape, source=UnsharedSource(source, getattr(source, "name", "") or "weight")
        )

    def constant(self, array: Any, dtype: Optional[DType] = None) -> Value:
        """A constant known now; it becomes a parameter when an operator reads it."""
        array = np.asarray(array) if dtype is None else np.asarray(array, dtype.numpy)
        budget.memory(array.nbytes, "a constant")
        return Value(None, dtype or DType.of(array.dtype), array.shape, const=array)

    def _materialize(self, value: Value) -> str:
        if value.name is not None:
            return value.name
        source = value.source
        hint, own = "constant", False
        if isinstance(source, NamedSource):
            # a weight is not another one that happens to be equal: passes fold into a weight only for its one reader
            own = isinstance(source, UnsharedSource) or source.dtype.is_float and math.prod(source.shape) > 1
            hint, source = source.name, source.source
        if source is None:
            assert value._const is not None, "a value without a name is a constant"
            source = ArraySource(value._const, value.dtype)
        key: Optional[tuple[Any, ...]] = None
        if source.nbytes <= 4096 and not own:  # equal small constants are one parameter
            raw = b"".join(bytes(c) for c in source.chunks())
            key = (source.dtype, tuple(source.shape), hashlib.sha1(raw).digest())
        if key is not None and key in self._const_names:
            value.name = self._const_names[key]
            return value.name
        name = self.unique(hint)
        shape = self._stored_shape(source.shape)
        if source.nbytes == 0:
            # a parameter file cannot carry an empty tensor for every runtime
            self._add_empty(name, source.dtype, shape)
        else:
            if tuple(shape) != tuple(source.shape):
                source = ReshapedSource(source, shape)
            self.program.main.add_var(Var.tensor(name, source.dtype, shape, persistable=True))
            self.params[name] = source
        value.name = name
        if key is not None and source.nbytes:
            self._const_names[key] = name
        return name

    def _add_empty(self, name: str, dtype: DType, shape: Sequence[int]) -> None:
        main = self.program.main
        main.add_var(Var.tensor(name, dtype, shape))
        attrs: list[tuple[str, AttrType, Any]] = [
            ("shape", AttrType.LONGS, list(shape)),
            ("dtype", AttrType.INT, int(dtype)),
            ("value", AttrType.FLOAT, 0.0),
        ]
        main.ops.insert(len(self._feeds), Op.make("fill_constant", {}, {"Out": [name]}, attrs))

    def _stored_shape(self, shape: Optional[Sequence[D.Dim]]) -> tuple[int, ...]:
        if shape is not None and len(shape) == 0 and not self.target.has_0d:
            return (1,)
        return D.to_paddle(shape)

    def once(self, key: tuple[Any, ...], make: Callable[[], Value]) -> Value:
        """The value of *make*, emitted only the first time in this block."""
        key = (self.block.idx, *key)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @property
    def operators(self) -> Mapping[str, Any]:
        """The operators of the target, by name."""
        return signatures.table(self.target)

    def signature(self, op_type: str) -> Mapping[str, Mapping[str, str]]:
        """The ``inputs``, ``outputs`` and ``attrs`` of an operator of the target.

        Raises:
            BuildError: the target has no such operator.
        """
        self._signature(op_type)
        signature: Mapping[str, Mapping[str, str]] = self.operators[op_type]
        return signature

    # operators ---------------------------------------------------------------------------------------------------

    def op(self, op_type: str, *, result: Optional[Spec] = None, **operands: Any) -> Value:
        """Append an operator, of whose outputs one is read.

        Args:
            op_type: Paddle's name of it.
            result: element type and shape of the output, ``(dtype, shape)``; None: as those of the first input. The
                output is ``Out``, ``Y``, or the first one of the signature that is neither intermediate nor optional.
            operands: inputs (a Value, a list of Values, or None for one left out) and attributes, told apart by the
                signature. An attribute of None is left out.

        Returns:
            The output. Others that the signature demands are made beside it.

        Raises:
            BuildError: the target has no such operator, input, output or attribute, an input is missing, or an
                attribute has another type; the message names them.
        """
        if isinstance(result, Mapping):
            raise BuildError(f"{op_type}: op() gives one output; op_outputs(…, results=…) gives those that are named")
        sig = self._signature(op_type)
        results = None if result is None else {main_output(op_type, sig): result}
        (made,) = self._append(op_type, sig, results, operands)
        return made

    def op_outputs(self, op_type: str, *, results: Results, **operands: Any) -> tuple[Value, ...]:
        """Append an operator whose outputs are named: several of them, or one of several variables.

        Args:
            op_type: Paddle's name of it.
            results: output → ``(dtype, shape)``, or a list of these for an output of several variables.
            operands: as for :meth:`op`.

        Returns:
            The outputs in the mapping's order, those of a list one after the other.

        Raises:
            BuildError: as for :meth:`op`.
        """
        return self._append(op_type, self._signature(op_type), results, operands)

    def _signature(self, op_type: str) -> signatures.Signature:
        sig = signatures.find(self.target, op_type)
        if sig is None:
            raise BuildError(f"Paddle {self.target.paddle} has no operator {op_type!r}")
        return sig

    def _append(
        self, op_type: str, sig: signatures.Signature, results: Optional[Results], operands: dict[str, Any]
    ) -> tuple[Value, ...]:
        budget.work(OPERATIONS_OF_AN_OP, op_type)
        known = self.without_elements(op_type, results, operands)
        if known is not None:
            return known
        wider = self._widened(op_type, results, operands)
        if wider is not None:
            return wider
        if self.before_op is not None:
            self.before_op(op_type, operands)
        x = operands.get("X")
        if op_type in _FUSED and isinstance(x, Value) and not x.is_const and x.dtype not in (DType.FP32, DType.BF16):
            operands["X"] = self.op("assign", X=x)
        given, attrs = arguments(op_type, sig, operands, self.target.paddle)
        inputs = {key: [self._materialize(v) for v in values] for key, values in given.items()}
        if results is None:
            first = next((values[0] for values in given.values() if values), None)
            if first is None:
                raise BuildError(f"{op_type}: the result must be given, there is no input to take it from")
            results = {main_output(op_type, sig): (first.dtype, first.shape)}
        outputs, made = self._outputs(op_type, sig, results)
        self.block.ops.append(Op.make(op_type, inputs, outputs, attrs))
        self.kinds.add(op_type)
        return made if self.after_op is None else self.after_op(op_type, operands, made)

    def without_elements(
        self, op_type: str, results: Optional[Results], operands: Mapping[str, Any]
    ) -> Optional[tuple[Value, ...]]:
        """What an operator gives in whose operands or results there are no elements; None: it is appended as it is, as
        in Paddle's own programs. Importers of others give what :mod:`mconv.emit.no_elements` knows."""
        return None

    def _widened(
        self, op_type: str, results: Optional[Results], operands: dict[str, Any]
    ) -> Optional[tuple[Value, ...]]:
        return widened(self, op_type, results, operands)

    def cast(self, x: Value, dtype: DType) -> Value:
        """*x* in another element type, as C casts."""
        if x.dtype is dtype:
            return x
        if x.is_const and x.size is not None and x.size <= _FOLD and DType.BF16 not in (dtype, x.dtype):
            with np.errstate(invalid="ignore", over="ignore"):
                return self.constant(np.asarray(x.const).astype(dtype.numpy), dtype)
        made = self.op("cast", X=x, in_dtype=int(x.dtype), out_dtype=int(dtype), result=(dtype, x.shape))
        if dtype.is_int and x.dtype.is_int:
            made.data = x.data
        return made

    def _outputs(
        self, op_type: str, sig: signatures.Signature, results: Results
    ) -> tuple[dict[str, list[str]], tuple[Value, ...]]:
        outputs: dict[str, list[str]] = {}
        made: list[Value] = []
        for key, spec in results.items():
            if key not in sig.outputs:
                raise BuildError(f"Paddle {self.target.paddle}: operator {op_type!r} has no output {key!r}")
            if isinstance(spec, list) and "*" not in sig.outputs[key]:
                raise BuildError(f"{op_type}: output {key} is one variable")
            values = [self._new(op_type, s) for s in (spec if isinstance(spec, list) else [spec])]
            outputs[key] = [v.name for v in values if v.name]
            made += values
        for key, flags in sig.outputs.items():
            if key not in outputs and "?" not in flags:
                name = self.unique(f"{op_type}.{key.lower()}")
                self.block.add_var(Var.tensor(name, None, ()))
                outputs[key] = [name]
        return outputs, tuple(made)

    def _new(self, op_type: str, spec: Spec) -> Value:
        dtype, shape = spec
        name = self.unique(f"{op_type}_{self._next(op_type)}.tmp")
        self.block.add_var(Var.tensor(name, dtype, self._stored_shape(shape)))
        return Value(name, dtype, shape)

    def _next(self, op_type: str) -> int:
        key = "\0" + op_type
        self._names[key] = self._names.get(key, -1) + 1
        return self._names[key]

    # control flow --------------------------------------------------------------------------------------------------

    def variable(self, hint: str, dtype: DType, shape: Optional[Sequence[D.Dim]]) -> Value:
        """A variable of the current block that an operator will write by name (see :meth:`raw_op`)."""
        name = self.unique(hint)
        self.block.add_var(Var.tensor(name, dtype, self._stored_shape(shape)))
        return Value(name, dtype, shape)

    def raw_op(self, op_type: str, inputs: dict[str, list[Value]], outputs: dict[str, list[Value]], **attrs: Any) -> Op:
        """Append an operator that writes into existing variables; checked like :meth:`op`."""
        sig = self._signature(op_type)
        for given, known, what in (
            (inputs, sig.inputs, "input"),
            (outputs, sig.outputs, "output"),
            (attrs, sig.attrs, "attribute"),
        ):
            check_names(op_type, given, known, what, self.target.paddle)
        op = Op.make(
            op_type,
            {k: [self._materialize(v) for v in values] for k, values in inputs.items()},
            {k: [v.name or "" for v in values] for k, values in outputs.items()},
            [(k, sig.attrs[k], coerce(op_type, k, sig.attrs[k], v)) for k, v in attrs.items()],
        )
        self.block.ops.append(op)
        self.kinds.add(op_type)
        return op

    # the end -------------------------------------------------------------------------------------------------------

    def finish(self) -> tuple[Program, dict[str, TensorSource]]:
        """The finished program and its parameters, by name in the file's order.

        What does not reach an output is removed.
        """
        main = self.program.main
        feeds = {v.name for v in self._feeds}
        wanted: dict[str, str] = {}  # variable → the output's name
        ports: list[str] = []
        fetches = self._fetches
        if self.before_fetch is not None:
            fetches = [(self.before_fetch(value), name) for value, name in fetches]
        varying = depending(self.program, feeds)
        for value, name in fetches:
            source = self._materialize(value)
            if source not in varying:
                value = tied(self, value, self._feeds)
                source = self._materialize(value)
            if source in self.params or source in feeds or source in wanted or source not in main.vars:
                source = self._materialize(self.op("assign", X=value))
            wanted[source] = name
            ports.append(source)
        for col, source in enumerate(ports):
            attrs: list[tuple[str, AttrType, Any]] = [("col", AttrType.INT, col)]
            main.ops.append(Op.make("fetch", {"X": [source]}, {"Out": ["fetch"]}, attrs))
        eliminate_dead(self.program)
        fixed = set(self.params) | {v.name for v in self._feeds if v.name} | {"feed", "fetch"}
        self.program.rename(final_names(self.program, wanted, self._called, fixed, self.unique))
        return self.program, {v.name: self.params[v.name] for v in self.program.parameters}

    def varies(self, value: Value) -> bool:
        """Whether *value* may differ from run to run; a constant, and what is computed of constants, does not."""
        if value.is_const:
            return False
        return self.block is not self.program.main or value.name in depending(
            self.program, {v.name for v in self._feeds}
        )

    def call(self, value: Value, name: str) -> None:
        """Ask for the variable of *value* to be called *name* in the finished program, if it can be."""
        if value.name in self.block.vars and value.name not in self._called and not value.is_const:
            self._called[value.name] = name


OPERATIONS_OF_AN_OP = 1 << 17  # 100 microseconds
# oneDNN's passes (2.6, 3) fuse these into the operator before them whatever its type, and then refuse to load what is
# not float32 ("activation fuses require use_onednn"); a copy in between keeps the two apart
_FUSED = frozenset(
    "abs clip gelu hard_sigmoid hard_swish leaky_relu mish relu relu6 sigmoid sqrt swish tanh".split()  # noqa: SIM905
)
_FOLD = 1 << 16  # elements up to which a constant is computed here rather than at run time
