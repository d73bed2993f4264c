"""Program → ONNX: walks the operators in order and has each one said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Optional

import numpy as np

from mconv.errors import CorruptModelError, UnsupportedError
from mconv.exporters.onnx import registry
from mconv.exporters.onnx.context import Context
from mconv.exporters.onnx.errors import NeedsOpset, Unsupported
from mconv.exporters.onnx.finished import Exported, finished
from mconv.exporters.onnx.graph import Graph, Scope, newest
from mconv.exporters.onnx.node_names import rename
from mconv.exporters.onnx.pair import CARRIED, PARTWISE, Pair, is_complex, parts
from mconv.printable import printable
from mconv.program import dims as D
from mconv.program.params import TensorSource
from mconv.program.program import Block, Op, Port, Program, Var
from mconv.program.unsupported import refusal
from mconv.program.value import Value

# what arithmetic with shapes and axes raises where a program's do not fit together
_CONTRADICTIONS = (ValueError, IndexError, OverflowError, ZeroDivisionError, KeyError, TypeError, AttributeError)
_MOVES = frozenset({"assign", "share_data"})  # of whatever a variable holds, tensor arrays too
_DEEPEST = 30  # bodies within each other; each is three messages of protobuf, which reads 100 in all
_HAS_0D = 2005000  # ProgramDesc.version of the first Paddle whose tensors may have no dimension


def export(
    program: Program,
    params: Mapping[str, TensorSource],
    *,
    opset: int,
    latest: Optional[int] = None,
    sizes: Optional[Mapping[str, Sequence[Optional[int]]]] = None,
) -> Exported:
    """Say a program in ONNX's operators.

    Args:
        program: with feeds and fetches.
        params: its stored tensors.
        opset: the version of ONNX's operators; a newer one is taken where an operator needs it.
        latest: the newest that may be taken (default: what the installed onnx knows).
        sizes: input → its dimensions for good, None where one stays open.

    Raises:
        UnsupportedError: operators that ONNX cannot say; ``rows`` lists all of them.
        CorruptModelError: the program contradicts itself.
    """
    highest = newest() if latest is None else latest
    while True:
        exporter = Exporter(program, params, opset, highest, sizes or {})
        try:
            exporter.run()
            break
        except NeedsOpset as e:
            opset = e.opset
    return finished(exporter.graph, exporter.inputs, params, exporter.fetched, exporter.notes)


class Exporter:
    """One attempt to say a program in an opset."""

    def __init__(
        self,
        program: Program,
        params: Mapping[str, TensorSource],
        opset: int,
        latest: int,
        sizes: Mapping[str, Sequence[Optional[int]]],
    ):
        self.program = program
        self.params = params
        self.graph = Graph(opset)
        self.block: Block = program.main
        self.problems: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.latest = latest
        self.sizes = sizes
        self.inputs: list[Value] = []
        self.has_0d = program.version >= _HAS_0D
        self.uses = Counter(n for _, op in program.ops() for n in op.input_names)
        self.trusts_declared = True  # what the program notes of sizes is no more so where a loop changes them
        self.said: set[int] = set()  # operators, by identity, that another one has said with it
        self.fetched: list[tuple[Value, str]] = []

    # the walk

    def run(self) -> None:
        """Walk the program.

        Raises:
            NeedsOpset: a newer opset can say all of it.
            UnsupportedError: ``rows`` names every operator that cannot be said.
        """
        for port in self.program.feeds:
            self.graph.reserve(port.name)
        for name in self.params:
            self.graph.reserve(name)
        for port in self.program.feeds:
            self._feed(port)
        with np.errstate(all="ignore"):
            self.walk(self.program.main)
        for port in self.program.fetches:
            self._fetch(port.name)
        newer = [row["opset"] for row in self.problems if row.get("opset", 0)]
        if newer and max(newer) <= self.latest:
            raise NeedsOpset(max(newer), "an operator")  # what else is refused may be for the lack of these
        if self.problems:
            rows = [{k: v for k, v in row.items() if k != "opset"} for row in self.problems]
            raise refusal(rows, "an operator of your own: --plugin, see docs/operators.md")

    def _fetch(self, name: str) -> None:
        """An output: what its variable holds at the end."""
        row = {"operator": "fetch", "domain": "paddle", "node": name}
        try:
            value = self.read(name)
        except Unsupported as e:
            self.problems.append({**row, "reason": str(e)})
            return
        if not isinstance(value, Value):
            self.problems.append({**row, "reason": f"the output is a {type(value).__name__.lower()} and no tensor"})
            return
        self.fetched.append((value, name))

    def _feed(self, port: Port) -> None:
        var = port.var
        if var.dtype is None or var.shape is None:
            raise CorruptModelError(f"input {port.name!r} of the program is no tensor")
        given = self.sizes.get(port.name, [None] * len(var.shape))
        shape = [
            d if d >= 0 else fixed if fixed is not None else D.Sym.named(f"{port.name}_{axis}")
            for axis, (d, fixed) in enumerate(zip(var.shape, given))
        ]
        carried = CARRIED.get(var.dtype)
        value = Value(port.name, carried or var.dtype, shape if carried is None else [*shape, 2])
        self.graph.known[port.name] = value
        self.graph.scope.env[port.name] = value
        self.inputs.append(value)
        if carried is not None:
            split = registry.find("as_complex")
            assert split is not None
            self.graph.scope.env[port.name] = split.function(Context(self, _named(port.name)), value)
            called = printable(port.name, 80)
            self.notes.append(
                f"input {called} is complex: a last dimension of 2 has its real and imaginary part in ONNX"
            )

    def walk(self, block: Block) -> None:
        """Say the operators of a block in the current scope."""
        outer, self.block = self.block, block
        self.said -= {id(op) for op in block.ops}  # a block may be said more than once
        for number, op in enumerate(block.ops):
            if op.type not in ("feed", "fetch") and id(op) not in self.said:
                self._convert(op, number)
        self.block = outer

    @contextmanager
    def scope(self) -> Iterator[Scope]:
        """A scope for the body of an If or Loop: what is made inside goes into its ``nodes``; it sees what is outside.

        Raises:
            Unsupported: it would be nested deeper than ONNX's files can be.
        """
        if sum(1 for _ in self.graph.scope.chain()) > _DEEPEST:
            raise Unsupported(f"more than {_DEEPEST} branches and loops within each other")
        inner = Scope(self.graph.scope)
        outer, self.graph.scope = self.graph.scope, inner
        try:
            yield inner
        finally:
            self.graph.scope = outer

    def var(self, name: str) -> Optional[Var]:
        return self.program.find_var(name, self.block)

    def read(self, name: str) -> Any:
        """What a variable holds now.

        Raises:
            Unsupported: nothing has been written into it that ONNX can say.
        """
        for scope in self.graph.scope.chain():
            if name in scope.env:
                return scope.env[name]
        if name in self.params:
            source = self.params[name]
            value = Value(name, source.dtype, source.shape, source=source)
            if source.dtype.is_int and len(source.shape) <= 1 and source.nbytes <= 512:
                value.data = tuple(int(v) for v in np.asarray(source.array()).reshape(-1))
            self.graph.scope.env[name] = value
            return value
        raise Unsupported(f"nothing that mconv can say writes the variable {printable(name, 80)!r}")

    def write(self, name: str, value: Any) -> None:
        """Let a variable hold *value* from now on, in the current scope."""
        self.graph.scope.env[name] = value

    # one operator

    def _convert(self, op: Op, number: int) -> None:
        row = {"operator": op.type, "domain": "paddle", "node": (op.output_names or [f"#{number}"])[0]}
        try:
            self._dispatch(op)
        except NeedsOpset as e:
            self.problems.append({**row, "reason": f"it needs {e}", "opset": e.opset})
            self._placeholders(op)
        except (Unsupported, UnsupportedError, *_CONTRADICTIONS) as e:
            reason = e.message if isinstance(e, UnsupportedError) else str(e)
            if isinstance(e, _CONTRADICTIONS):
                reason = f"its inputs and attributes contradict one another ({printable(reason, 200)})"
            self.problems.append({**row, "reason": reason})
            self._placeholders(op)

    def _dispatch(self, op: Op) -> None:
        converter = registry.find(op.type)
        if converter is None:
            raise Unsupported("mconv has no ONNX form of it")
        ctx = Context(self, op)
        if converter.whole:
            converter.function(ctx)
            return
        if op.type in _MOVES:
            moved = self.read(op.input("X")[0])
            if not isinstance(moved, Value):
                self.write(op.output("Out")[0], moved)
                return
        given = {p: names for p, names in op.inputs.items() if names}
        arguments: list[Any] = []
        for expected in converter.inputs:
            names = given.pop(expected.name, [])
            if not names and expected.required:
                raise Unsupported(f"its input {expected.name} is missing")
            if expected.many:
                arguments.append([self.read(n) for n in names])
            elif len(names) > 1:
                raise Unsupported(f"{len(names)} variables in its input {expected.name}")
            else:
                arguments.append(self.read(names[0]) if names else None)
        if given:
            raise Unsupported(f"an input {', '.join(sorted(given))}")
        attributes: dict[str, Any] = {}
        for name, value in op.attrs.items():
            if name in converter.attributes:
                attributes[converter.attributes[name]] = value
            elif value and name not in registry.NOISE:
                raise Unsupported(f"an attribute {name}={printable(repr(value), 60)}")
        missing = sorted(n for n in converter.required if converter.attributes[n] not in attributes)
        if missing:
            raise Unsupported(f"its attribute {missing[0]} is missing")
        start = len(self.graph.scope.nodes)
        if op.type in PARTWISE and any(map(is_complex, arguments)):
            halves = [converter.function(ctx, *half, **attributes) for half in parts(arguments)]
            halves = [h[0] if isinstance(h, tuple) else h for h in halves]
            made: Any = Pair(*halves)
        else:
            self._check(converter, arguments)
            made = converter.function(ctx, *arguments, **attributes)
        results = made if isinstance(made, tuple) else (made,)
        fresh = {n for node in self.graph.scope.nodes[start:] for n in node.output}
        for parameter, result in zip(converter.outputs, results):
            names = op.output(parameter)
            if result is None or not names:
                continue
            for name, value in zip(
                names, result if isinstance(result, list) and len(names) == len(result) else [result]
            ):
                self.write(name, self._settle(ctx, name, value, fresh, start))

    @staticmethod
    def _check(converter: registry.Converter, arguments: list[Any]) -> None:
        for expected, argument in zip(converter.inputs, arguments):
            for value in argument if isinstance(argument, list) else [argument]:
                if expected.tensors and not isinstance(value, (Value, type(None))):
                    raise Unsupported(f"its input {expected.name} is a {type(value).__name__.lower()} and no tensor")

    def _settle(self, ctx: Context, name: str, value: Any, fresh: set[str], start: int) -> Any:
        """Hold what was made against what the program declares, and call it as the program does."""
        if not isinstance(value, Value):
            return value
        var = self.var(name)
        declared = var.shape if var is not None else None
        if value.rank == 0 and (not self.has_0d or declared == (1,)):
            value = ctx.reshape(value, [1])  # Paddle before 2.5 has no tensors without dimensions
        elif value.shape == (1,) and self.has_0d and declared == ():
            value = ctx.reshape(value, [])
        trusted = self.trusts_declared
        if value.shape is None and declared is not None:
            value.shape = tuple(d if d >= 0 and trusted else D.Sym.fresh(name) for d in declared)
        elif trusted and value.shape is not None and declared is not None and len(declared) == len(value.shape):
            value.shape = tuple(d if isinstance(s, D.Sym) and d >= 0 and "#" in repr(s) else s
                                for d, s in zip(declared, value.shape))  # fmt: skip
        nodes = self.graph.scope.nodes[start:]
        made_here = value.name in fresh or any(value.name in node.output for node in nodes[-1:])
        if made_here and value.name != name and value.name not in self._held():
            self._rename(nodes, value, name)
        return value

    def _held(self) -> set[str]:
        return {v.name for v in self.graph.scope.env.values() if isinstance(v, Value) and v.name}

    def _rename(self, nodes: Sequence[Any], value: Value, name: str) -> None:
        old, new = value.name or "", self.graph.unique(name)
        for node in nodes:
            rename(node, {old: new})
        value.name = new
        self.graph.known[new] = value
        self.graph.known.pop(old, None)
        if old in self.graph.scope.shapes:
            self.graph.scope.shapes[new] = self.graph.scope.shapes.pop(old)
        if new != name:
            self.uses[new] = self.uses[name]

    def _placeholders(self, op: Op) -> None:
        """Stand for what could not be said, so that the rest is looked at too."""
        for name in op.output_names:
            var = self.var(name)
            if var is None or var.shape is None or var.dtype is None:
                continue
            shape = [d if d >= 0 else D.Sym.fresh("lost") for d in var.shape]
            lost = Value(self.graph.unique(f"lost.{name}"), var.dtype, shape)
            self.graph.known[lost.name or ""] = lost
            self.write(name, lost)


def _named(base: str) -> Op:
    """An operator that is none of the program's: what is made for it is called after *base*."""
    return Op.make("as_complex", {}, {"Out": [base]}, [])
