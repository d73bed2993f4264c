"""Walks an ONNX graph and builds the Program."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Optional

from mconv import budget
from mconv.emit.known import bind_shape
from mconv.errors import BuildError, CorruptModelError, LimitError, UnsupportedError, UsageError
from mconv.onnx import advice, clean, fold, functions, inference, ports, registry, sanity, wellformed
from mconv.onnx.arguments import given_attributes, given_inputs
from mconv.onnx.context import Context
from mconv.onnx.order import ordered
from mconv.onnx.reader import OnnxModel
from mconv.onnx.scope import FAILED, Failed, Scope, Unreadable
from mconv.onnx.sequence import TensorSequence
from mconv.onnx.types import WIDENED, paddle_dtype, type_name
from mconv.printable import printable
from mconv.program import dims as D
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.targets import DEFAULT, Target
from mconv.program.unsupported import refusal
from mconv.program.value import Value

if TYPE_CHECKING:
    import onnx


_OPERATIONS_OF_A_NODE = 1 << 18  # half a millisecond


@dataclass
class Imported:
    """A converted graph.

    Attributes:
        program: the program, not yet passed through fusion or legalisation.
        params: its parameters by name, in the file's order.
        operators: how often each operator (``domain::Op``, ``Op`` for ai.onnx) was in the graph, sub-graphs included.
        folded: nodes computed at conversion time.
        expanded: operators that were converted through their function body.
        renamed: input and output names of the model that had to be changed → what they became.
        widened: inputs and outputs whose type Paddle lacks → (ONNX's type, Paddle's).
        notes: what a user should know.
        seconds: time by phase.
        fused: operators that were put together from their pieces.
    """

    program: Program
    params: dict[str, TensorSource]
    operators: Counter[str]
    folded: int
    expanded: Counter[str]
    renamed: dict[str, str]
    widened: dict[str, tuple[str, str]]
    notes: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    fused: Counter[str] = field(default_factory=Counter)


class Importer:
    """One conversion.

    Args:
        model: what :func:`mconv.onnx.reader.read` gave.
        target: the Paddle that will load the result.
        shapes: input → dimensions that override the model's: numbers, names (symbols), None (unknown).
        small_sizes: whether open sizes may be too small for what is cut from them; see :mod:`mconv.emit.vanishing`.
    """

    def __init__(
        self,
        model: OnnxModel,
        target: Target = DEFAULT,
        shapes: Optional[dict[str, Sequence[Any]]] = None,
        small_sizes: bool = True,
    ):
        self.given = model.proto
        self.model = model = replace(model, proto=clean.cleaned(model.proto))
        self.graph = model.proto.graph
        self.shapes = shapes or {}
        self.ctx = Context(target, dict(model.opsets) or {"": 1})
        self.ctx.import_graph = self.subgraph
        self.ctx.small_sizes = small_sizes
        self.operators: Counter[str] = Counter()
        self.expanded: Counter[str] = Counter()
        self.folded = 0
        self.unsupported: list[dict[str, Any]] = []
        self.untried = 0  # nodes that read what could not be converted, and have a converter
        self.initializers: dict[int, dict[str, Any]] = {}  # of sub-graphs, by the graph's identity
        self.inferred: dict[str, Any] = {}
        self.suspicious = False
        self.widened: dict[str, tuple[str, str]] = {}
        self.stated = sum(len(graph.node) for graph in clean.graphs_of(model.proto))  # nodes, less those converted
        self.local_functions = {(f.domain, f.name): f for f in model.proto.functions}

    def run(self) -> Imported:
        """Convert.

        Raises:
            CorruptModelError: the graph contradicts itself.
            UnsupportedError: operators that cannot be converted; ``rows`` lists them all.
            UsageError: *shapes* names an input that the model does not have.
        """
        seconds = {}
        start = time.perf_counter()
        sanity.check(self.given)
        known = inference.infer(self.model, self.shapes)
        self.suspicious = known.suspicious
        self.inferred = known.shapes
        seconds["shape inference"] = time.perf_counter() - start
        start = time.perf_counter()
        scope = Scope(inferred=known.shapes, types=known.types)
        self._initializers(self.graph, scope)
        renamed = self._inputs(scope)
        for output in self.graph.output:
            self.ctx.reserve(output.name)
        self._nodes(self.graph, scope)
        for output in self.graph.output:
            if output.name not in scope:
                raise CorruptModelError(f"the graph's output {output.name!r} is computed by no node")
        if self.unsupported:
            own = "a converter of your own can be given with --plugin my_ops.py"
            raise refusal(self.unsupported, own, self.untried)
        for output in self.graph.output:
            value = scope[output.name]
            self._note_widened(output)
            ports.check_output(output, value)
            name = ports.carried_name(output.name)
            if name != output.name:
                renamed[output.name] = name
            self.ctx.fetch(value, name)
        program, params = self.ctx.finish()
        seconds["import"] = time.perf_counter() - start
        return Imported(
            program,
            params,
            self.operators,
            self.folded,
            self.expanded,
            renamed,
            self.widened,
            list(dict.fromkeys(self.ctx.notes)),
            seconds,
        )

    # the graph's ends --------------------------------------------------------------------------------------------

    def _initializers(self, graph: onnx.GraphProto, scope: Scope) -> None:
        if graph.sparse_initializer:
            raise UnsupportedError("the model holds sparse initializers", "make them dense before exporting")
        for tensor in graph.initializer:
            if not tensor.name:
                raise CorruptModelError("an initializer has no name")
            try:
                scope[tensor.name] = self.constant(tensor)
            except UnsupportedError as e:
                scope[tensor.name] = Unreadable(e)

    def constant(self, tensor: onnx.TensorProto, name: str = "") -> Value:
        """A tensor of the model as a Value; its data are read when they are needed."""
        source = self.model.source(tensor, name)
        return self.ctx.param(source, ports.carried_name(tensor.name or name or "constant"))

    def _inputs(self, scope: Scope) -> dict[str, str]:
        renamed = {}
        names = [i.name for i in self.graph.input if i.name not in scope]
        for name in self.shapes:
            if name not in names:
                raise UsageError(f"the model has no input {name!r}", f"its inputs are {', '.join(names) or 'none'}")
        for info in self.graph.input:
            if info.name in scope:
                continue  # an initializer that could be overridden: a constant
            tensor_type = ports.tensor_type(info)
            dtype, _ = paddle_dtype(tensor_type.elem_type, f"input {info.name!r}")
            self._note_widened(info)
            shape = ports.override(
                info.name, ports.declared_dims(info, self.shapes.get(info.name)), self.shapes.get(info.name)
            )
            name = ports.carried_name(info.name)
            if name != info.name:
                renamed[info.name] = name
            scope[info.name] = self.ctx.feed(name, dtype, shape)
        return renamed

    def _note_widened(self, info: onnx.ValueInfoProto) -> None:
        kind = ports.tensor_type(info).elem_type
        if kind in WIDENED:
            self.widened[info.name] = (type_name(kind), WIDENED[kind].label)

    # nodes -------------------------------------------------------------------------------------------------------

    def _nodes(self, graph: Any, scope: Scope) -> None:
        scope.producers.update({name: node for node in graph.node for name in node.output})
        for node in ordered(graph, scope):
            self._node(node, scope)

    def _node(self, node: onnx.NodeProto, scope: Scope) -> None:
        self.stated -= 1
        if self.stated < 0:  # of a function's body, or of a loop that is unrolled: those of the file are free
            budget.work(_OPERATIONS_OF_A_NODE, "converting what functions and loops expand to")
        if not self._convert_into(node, scope):
            for name in filter(None, node.output):
                scope[name] = FAILED

    def _convert_into(self, node: onnx.NodeProto, scope: Scope) -> bool:
        """Whether the node's outputs are in *scope* now; if not, the reason has been noted."""
        domain = registry.normal_domain(node.domain)
        self.operators[f"{domain}::{node.op_type}" if domain else node.op_type] += 1
        inputs: list[Optional[Value]] = []
        for name in node.input:
            value = scope[name] if name else None
            if isinstance(value, Failed):
                self._behind(node)
                return False
            if isinstance(value, Unreadable):
                self._unsupported(node, str(value.error))
                return False
            inputs.append(value)
        try:
            wellformed.check(node, sanity.schema_of(node, self.ctx.opsets), inputs)
            if self.suspicious:
                self._judge(node, inputs)
            outputs = self._convert(node, domain, inputs, scope)
        except (CorruptModelError, D.ShapeError) as e:
            raise self._located(node, getattr(e, "message", str(e))) from None
        except LimitError as e:
            raise LimitError(self._located(node, e.message).message, e.hint) from None
        except MemoryError:
            raise LimitError(self._located(node, "it takes more memory than there is").message) from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            self._judge(node, inputs)
            problem = sanity.reference_refuses(node, self.ctx.opsets, inputs)
            if problem is not None:
                raise self._located(node, problem) from None
            raise  # a bug of the converter
        except UnsupportedError as e:
            if e.rows:  # nodes inside of a sub-graph or a function body
                return False
            self._unsupported(node, e.message)
            return False
        except BuildError as e:
            self._unsupported(node, str(e))
            return False
        if len(node.output) > len(outputs) and any(node.output[len(outputs) :]):
            raise self._located(node, f"it has {len(node.output)} outputs, its operator gives {len(outputs)}")
        for name, value in zip(node.output, outputs):
            if not name:
                continue
            if value is None:
                self._unsupported(node, f"its output {name!r} is not computed")
                return False
            if name in scope.values:
                raise CorruptModelError(f"{name!r} is computed by a node, and an input or initializer as well")
            scope[name] = value
            if isinstance(value, TensorSequence):
                continue
            self._refine(name, value, scope)
            self.ctx.call(value, ports.carried_name(name))
        return True

    def _judge(self, node: onnx.NodeProto, inputs: Sequence[Optional[Value]]) -> None:
        """Refuse a node that ONNX itself finds wrong."""
        problem = sanity.contradiction(node, self.ctx.opsets, inputs)
        if problem is not None:
            raise self._located(node, problem)

    @staticmethod
    def _located(node: onnx.NodeProto, message: str) -> CorruptModelError:
        if message.startswith("node "):  # of a sub-graph: the innermost says most
            return CorruptModelError(message)
        name = printable(node.name or next(iter(node.output), ""), 100)
        return CorruptModelError(f"node {name!r} ({printable(node.op_type, 100)}): {printable(message, 300)}")

    def _convert(
        self, node: onnx.NodeProto, domain: str, inputs: list[Optional[Value]], scope: Scope
    ) -> Sequence[Optional[Value]]:
        folded = fold.evaluate(self.ctx, node, self.ctx.opsets, inputs)
        if folded is not None:
            self.folded += 1
            return folded
        version = self.ctx.opsets.get(domain)
        if version is None and domain == "":
            version = self.ctx.opsets.get("ai.onnx", 1)
        converter = registry.find(domain, node.op_type, 1 if version is None else version)
        if converter is None:
            body = self.local_functions.get((node.domain, node.op_type)) or functions.body_of(
                node, self.ctx.opsets, inputs
            )
            if body is None:
                raise UnsupportedError(advice.why_unknown(node, domain, version))
            return self._expand(node, body, inputs, scope)
        keep = (self.ctx.node, self.ctx.scope)
        self.ctx.node, self.ctx.scope = node, scope
        try:
            given = given_inputs(converter, inputs)
            attributes = given_attributes(node, converter, self.ctx.opsets, self.constant)
            made = converter.function(self.ctx, *given, **attributes)
        finally:
            self.ctx.node, self.ctx.scope = keep
        return (made,) if isinstance(made, Value) else tuple(made)

    def _expand(
        self, node: onnx.NodeProto, body: Any, inputs: list[Optional[Value]], outer: Scope
    ) -> list[Optional[Value]]:
        """Convert the nodes of a function in place of a call of it."""
        self.expanded[node.op_type] += 1
        if sum(self.expanded.values()) > 100_000:
            raise UnsupportedError("its function body calls itself")
        # a function's names are its own, but its outputs are the call's
        calls = list(zip(body.output, node.output))
        scope = Scope(
            inferred={o: outer.inferred[n] for o, n in calls if n and n in outer.inferred},
            types={o: outer.types[n] for o, n in [*calls, *zip(body.input, node.input)] if n and n in outer.types},
        )
        for name, value in zip(body.input, list(inputs) + [None] * len(body.input)):
            scope[name] = value
        scope[""] = None
        before = len(self.unsupported)
        keep = self.ctx.opsets
        self.ctx.opsets = {**keep, **{registry.normal_domain(o.domain): o.version for o in body.opset_import}}
        try:
            for inner in ordered(body, scope):
                self._node(functions.bound(inner, node, body), scope)
        finally:
            self.ctx.opsets = keep
        if len(self.unsupported) > before:
            raise UnsupportedError("", rows=self.unsupported[before:])
        # what a body leaves out is refused where the call wants it
        return [scope.find(name) for name in body.output]

    def subgraph(self, graph: onnx.GraphProto, arguments: Sequence[Value]) -> list[Value]:
        """Convert a sub-graph into the builder's current block; gives the values of its outputs.

        Raises:
            UnsupportedError: with ``rows``, when nodes inside could not be converted.
        """
        scope = Scope(self.ctx.scope)
        # a body is converted once for every turn of an unrolled loop: with one copy of its weights, and counted once
        counted = self.operators.copy() if id(graph) in self.initializers else None
        if id(graph) not in self.initializers:
            self._initializers(graph, scope)
            self.initializers[id(graph)] = dict(scope.values)
        scope.values.update(self.initializers[id(graph)])
        for info, value in zip(graph.input, arguments):
            scope[info.name] = value
        before = len(self.unsupported)
        self._nodes(graph, scope)
        if counted is not None:
            self.operators = counted
        if len(self.unsupported) > before:
            raise UnsupportedError("", rows=self.unsupported[before:])
        results: list[Value] = []
        for output in graph.output:
            if output.name not in scope:
                raise CorruptModelError(f"the output {output.name!r} of its sub-graph is computed by no node")
            result = scope[output.name]
            if isinstance(result, Failed):
                raise UnsupportedError("", rows=self.unsupported)
            if isinstance(result, Unreadable):
                raise UnsupportedError(str(result.error))
            results.append(result)
        return results

    # what ONNX itself knows of shapes ------------------------------------------------------------------------------

    def _refine(self, name: str, value: Value, scope: Scope) -> None:
        """Use ONNX's own shape inference where ours knows less."""
        info = scope.inferred.get(name)
        if info is None or value.is_const:
            return
        if value.shape is None:
            value.shape = tuple(d if isinstance(d, int) else D.Sym.fresh(name) for d in info)
        elif len(value.shape) == len(info):
            value.shape = tuple(
                i if isinstance(i, int) and not isinstance(s, int) else s for s, i in zip(value.shape, info)
            )
        bind_shape(self.ctx, value)

    # errors ------------------------------------------------------------------------------------------------------

    def _behind(self, node: onnx.NodeProto) -> None:
        """Of a node that reads what could not be converted, at least whether there is a converter for it, and for those
        in its sub-graphs."""
        if (node.domain, node.op_type) not in self.local_functions and not functions.has_body(node, self.ctx.opsets):
            domain = registry.normal_domain(node.domain)
            version = self.ctx.opsets.get(domain)
            if registry.find(domain, node.op_type, 1 if version is None else version) is None:
                self._unsupported(node, advice.why_unknown(node, domain, version))
                return
        self.untried += 1
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                for inner in graph.node:
                    self._behind(inner)

    def _unsupported(self, node: onnx.NodeProto, reason: str) -> None:
        domain = registry.normal_domain(node.domain)
        self.unsupported.append(
            {
                "operator": printable(node.op_type, 100),
                "domain": printable(domain, 100) or "ai.onnx",
                "opset": self.ctx.opsets.get(domain),
                "node": node.name or (node.output[0] if node.output else ""),
                "reason": printable(reason, 300),
            }
        )
