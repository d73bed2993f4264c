"""Walks the graph of a ``torch.export.ExportedProgram`` and builds the Program."""

from __future__ import annotations

import functools
import operator
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from mconv.emit.complex import COMPLEX, Complex, as_tensor, from_tensor, real_dtype
from mconv.emit.known import bind_shape
from mconv.emit.shape import reshape
from mconv.emit.zero_size import counted, register
from mconv.errors import BuildError, UnsupportedError, UsageError
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program
from mconv.program.targets import DEFAULT, Target
from mconv.program.unsupported import refusal
from mconv.program.value import Value
from mconv.torch import complexes, folding, registry
from mconv.torch.context import AtenContext
from mconv.torch.graph_nodes import CHECKS, SIZE_FUNCTIONS, is_size
from mconv.warned import Warned

# arguments that a converter need not name: how a tensor lies in memory; the result's type, which the context knows; what
# is meant for gradients, running statistics and speed
_SILENT = frozenset((
    "layout", "device", "pin_memory", "memory_format", "physical_layout", "non_blocking", "copy", "implicit",
    "dtype", "half_to_float", "out_int32", "momentum", "cudnn_enable", "cudnn_enabled", "scale_grad_by_freq",
    "sparse", "sparse_grad", "check_errors", "stable",
))  # fmt: skip


@dataclass
class Imported:
    """A converted graph.

    Attributes:
        program: the program, not yet passed through fusion.
        params: its parameters by name, in the file's order.
        operators: how often each ATen operator was in the graph.
        notes: what a user should know.
        seconds: time by phase.
        fused: operators that were put together from their pieces.
        fixed: (input, dimension, size) of those that torch fixed although they were asked to be dynamic.
        dims: per output of the program, the names that the user gave its dimensions; None where there is none.
    """

    program: Program
    params: dict[str, TensorSource]
    operators: Counter[str]
    notes: list[str]
    seconds: dict[str, float] = field(default_factory=dict)
    fused: Counter[str] = field(default_factory=Counter)
    fixed: list[tuple[str, str, int]] = field(default_factory=list)
    dims: list[list[Optional[str]]] = field(default_factory=list)


_NO_CONVERTER = "no converter for it"


class Importer:
    """One conversion of an exported program.

    Args:
        exported: a ``torch.export.ExportedProgram`` after its (selective) decompositions.
        inputs: names of the user inputs, in the order of the graph's; a dimension is dynamic where torch says so.
        outputs: names of the user outputs; None drops that output.
        dims: input → names (or None) of its dimensions, as the user gave them.
        widen: carry float16 and bfloat16 as float32.
    """

    def __init__(
        self,
        exported: Any,
        target: Target = DEFAULT,
        *,
        inputs: Sequence[str],
        outputs: Sequence[Optional[str]],
        dims: Optional[dict[str, Sequence[Any]]] = None,
        widen: bool = True,
    ):
        self.exported = exported
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self.dims = dims or {}
        self.ctx = AtenContext(target, widen=widen)
        self.values: dict[Any, Any] = {}
        self.operators: Counter[str] = Counter()
        self.unsupported: list[dict[str, Any]] = []
        self.untried = 0  # nodes that read what could not be converted, and have a converter
        self.fixed: list[tuple[str, str, int]] = []
        self.named: list[list[Optional[str]]] = []
        self._stored: dict[tuple, Union[Value, Complex]] = {}

    def run(self) -> Imported:
        """Convert.

        Raises:
            UnsupportedError: operators that cannot be converted; ``rows`` lists them all.
        """
        start = time.perf_counter()
        self._placeholders()
        results = self._nodes(self.exported.graph_module)
        if self.unsupported:
            raise refusal(self.unsupported, "--via onnx takes the other route", self.untried)
        self._fetch(results)
        program, params = self.ctx.finish()
        seconds = {"import": time.perf_counter() - start}
        notes = list(dict.fromkeys(self.ctx.notes))
        return Imported(program, params, self.operators, notes, seconds, fixed=self.fixed, dims=self.named)

    # the graph's ends -------------------------------------------------------------------------------------------

    def _placeholders(self) -> None:
        signature = self.exported.graph_signature
        stored = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        user, tokens = set(signature.user_inputs), set(signature.input_tokens)
        names = iter(self.inputs)
        for node in self.exported.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in stored:
                self.values[node] = self._parameter(stored[node.name])
            elif node.name in tokens:
                self.values[node] = None  # keeps checks in order
            elif node.name not in user:
                raise UnsupportedError(
                    f"the exported program takes {node.name!r}, which is neither an input nor a weight"
                )
            else:
                value = node.meta.get("val")
                if value is None or not hasattr(value, "shape"):
                    self.values[node] = value  # a constant argument: a number, None
                else:
                    self.values[node] = self._feed(next(names), value)

    def _parameter(self, name: str) -> Union[Value, Complex]:
        exported = self.exported
        tensor = exported.state_dict.get(name)
        if tensor is None:
            tensor = exported.constants[name]
        # one parameter for what the model holds under several names, such as tied embeddings
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype) if tensor.numel() else (name,)
        if key not in self._stored:
            self._stored[key] = folding.parameter(self.ctx, tensor, name)
        return self._stored[key]

    def _feed(self, name: str, value: Any) -> Union[Value, Complex]:
        wanted = list(self.dims.get(name) or [None] * len(value.shape))
        if len(wanted) != len(value.shape):
            raise UsageError(f"input {name!r} has {len(value.shape)} dimensions, not {len(wanted)}")
        shape: list[D.Dim] = []
        for size, label in zip(value.shape, wanted):
            expression = getattr(getattr(size, "node", None), "expr", size)
            fixed = isinstance(size, int) or expression.is_Integer
            if label is not None and fixed:
                self.fixed.append((name, str(label), int(size)))
                self.ctx.notes.append(
                    Warned(
                        "dimension-fixed",
                        f"input {name!r}: torch fixed the dimension {label!r} to {size} although it was asked to be dynamic",
                    )
                )
            elif isinstance(label, str) and expression.is_Symbol:
                # torch's symbol is called as the user calls the dimension
                self.ctx.symbols.setdefault(str(expression), D.Sym.named(label))
            shape.append(self.ctx.dim_of(size))
        fed = self.ctx.feed(name, self.ctx.dtype_of(value.dtype), shape)
        return from_tensor(self.ctx, fed) if fed.dtype in COMPLEX else fed

    def _fetch(self, results: Sequence[Any]) -> None:
        specs = self.exported.graph_signature.output_specs
        kinds = [str(s.kind) for s in specs]
        user = [r for r, k in zip(results, kinds) if k.endswith("USER_OUTPUT")]
        changed = [s.target for s, k in zip(specs, kinds) if k.endswith("MUTATION")]
        if changed:
            text = f"what the model writes into {', '.join(map(str, changed))} is not kept between runs"
            self.ctx.notes.append(Warned("state-lost", text))
        for result, name in zip(user, self.outputs):
            if name is not None and isinstance(result, (D.Sym, int, float)):
                result = self.ctx.tensor(result)
            if isinstance(result, Complex):
                result = as_tensor(self.ctx, result)
            if name is not None and isinstance(result, Value):
                self.ctx.fetch(result, name)
                self.named.append([self._label(dim) for dim in result.shape or ()])

    def _label(self, dim: D.Dim) -> Optional[str]:
        """What the user calls a size; None for a number, and for one that is computed of others."""
        labels = (label for wanted in self.dims.values() for label in wanted if isinstance(label, str))
        return next((label for label in labels if dim == D.Sym.named(label)), None)

    # nodes ------------------------------------------------------------------------------------------------------

    def _nodes(self, module: Any) -> list[Any]:
        results: list[Any] = []
        for node in module.graph.nodes:
            if node.op == "call_function":
                self._call(node, module)
            elif node.op == "get_attr":
                held = getattr(module, node.target)
                is_tensor = hasattr(held, "dtype")
                self.values[node] = folding.parameter(self.ctx, held, node.target) if is_tensor else held
            elif node.op == "output":
                found = self._resolve(node.args[0])
                results = list(found) if isinstance(found, (tuple, list)) else [found]
        return results

    def _resolve(self, argument: Any) -> Any:
        if isinstance(argument, (list, tuple)):
            return type(argument)(self._resolve(a) for a in argument)
        if type(argument).__name__ == "Node":
            return self.values[argument]
        if type(argument).__name__ == "dtype":
            return self.ctx.dtype_of(argument)
        return argument

    def _call(self, node: Any, module: Any) -> None:
        name = str(node.target)
        if name in CHECKS:
            self.values[node] = None
            return
        args = self._resolve(tuple(node.args))
        kwargs = {k: self._resolve(v) for k, v in node.kwargs.items()}
        if _holds_failure(args) or _holds_failure(tuple(kwargs.values())):
            self._behind(node, name)
            self.values[node] = FAILED
            return
        try:
            self.values[node] = self._converted(node, name, args, kwargs, module)
        except (UnsupportedError, BuildError) as e:
            if not getattr(e, "rows", None):
                self._unsupported(node, name, getattr(e, "message", str(e)))
            self.values[node] = FAILED

    def _unsupported(self, node: Any, name: str, reason: str) -> None:
        self.unsupported.append({"operator": name, "domain": "aten", "reason": reason, "node": node.name})

    def _behind(self, node: Any, name: str) -> None:
        """Of a node that reads what could not be converted, at least whether there is a converter for it."""
        if not name.startswith("aten.") or is_size(node):
            return
        is_complex = any(complexes.concerned(n, ()) for n in (node, *node.all_input_nodes))
        if registry.find(name) is None and not is_complex:
            self._unsupported(node, name, registry.refused(name) or _NO_CONVERTER)
        else:
            self.untried += 1

    def _converted(self, node: Any, name: str, args: tuple, kwargs: dict[str, Any], module: Any) -> Any:
        if node.target is operator.getitem:
            return args[0][args[1]]
        plain = getattr(node.target, "__name__", "")
        if plain.startswith("wrap_with_"):  # set_grad_enabled, autocast: the inner graph as it is
            inner = next(a for a in args if hasattr(a, "graph"))
            operands = args[args.index(inner) + 1 :]
            return self._inline(inner, operands)
        if plain == "with_effects" and str(args[1]) in CHECKS:
            return (None, None)
        if is_size(node):
            return self._size(node, name, plain, args)
        self.operators[name.removeprefix("aten.")] += 1
        self.ctx.node = node
        folded = folding.evaluate(self.ctx, node, args, kwargs)
        if folded is not None:
            return folded
        converter = registry.find(name)
        if complexes.concerned(node, (args, kwargs)):
            converter = complexes.find(name, converter)
        if converter is None:
            unknown = _NO_CONVERTER if name.startswith("aten.") else "not an ATen operator"
            raise UnsupportedError(registry.refused(name) or unknown)
        arguments = self._arguments(node.target._schema, converter, args, kwargs)
        made = converter.function(self.ctx, **arguments)
        self._refine(node, made)
        return made

    def _size(self, node: Any, name: str, plain: str, args: tuple) -> Any:
        """A size: as torch knows it, or by the function that computes it where torch's expression says us nothing."""
        value = node.meta["val"]
        if isinstance(value, (bool, int, float)):
            return value
        if type(value).__name__ == "SymInt":
            dim = self.ctx.dim_of(value)
            if name in ("aten._local_scalar_dense.default", "aten.item.default") and isinstance(dim, D.Sym):
                self.operators[name[5:]] += 1
                for dtype in (DType.INT64, DType.INT32):  # the number itself, where sizes are asked for it
                    number = self.ctx.cast(args[0], dtype)
                    self.ctx.once(("size", dim, dtype), functools.partial(reshape, self.ctx, number, (1,)))
            if not self.ctx.opaque(dim):
                return dim
            if name == "aten.sym_size.int":
                return args[0].shape[args[1]]
            if plain in SIZE_FUNCTIONS and not hasattr(node.target, "_schema"):
                return SIZE_FUNCTIONS[plain](*args)
        return value  # converters refuse it

    def _arguments(self, schema: Any, converter: registry.Converter, args: tuple, kwargs: dict) -> dict[str, Any]:
        given = {a.name: v for a, v in zip(schema.arguments, args)}
        given.update(kwargs)
        out = {}
        for argument in schema.arguments:
            name = argument.name
            if name not in given:
                if name in converter.parameters and argument.has_default_value():
                    out[name] = self._resolve(argument.default_value)
                continue
            if name in converter.parameters:
                out[name] = given[name]
            elif name not in _SILENT:
                default = argument.default_value if argument.has_default_value() else None
                if given[name] != default:
                    raise UnsupportedError(f"its argument {name}={given[name]!r} is not known")
        return out

    def _inline(self, module: Any, operands: Sequence[Any]) -> list[Any]:
        placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
        self.values.update(zip(placeholders, operands))
        return self._nodes(module)

    def _refine(self, node: Any, made: Any) -> None:
        """Check types against torch's own and use its shapes where ours know less."""
        value = node.meta.get("val")
        pairs = zip(made, value) if isinstance(made, (list, tuple)) else [(made, value)]
        parts = [(p, t) for o, t in pairs for p in ((o.re, o.im) if isinstance(o, Complex) else (o,))]
        for ours, torchs in parts:
            if not isinstance(ours, Value) or not hasattr(torchs, "shape"):
                continue
            expected = real_dtype(self.ctx.dtype_of(torchs.dtype))
            if ours.dtype is not expected:
                raise BuildError(f"the converter gave {ours.dtype.label} where torch says {expected.label}")
            shape = tuple(self.ctx.dim_of(s) for s in torchs.shape)
            if ours.shape is not None and len(ours.shape) != len(shape):
                raise BuildError(f"the converter gave rank {len(ours.shape)} where torch says {len(shape)}")
            if not ours.is_const:
                # torch's expressions are those that its sizes are given in
                mine = ours.shape or (None,) * len(shape)
                for m, t in zip(mine, shape):
                    if (
                        isinstance(m, D.Sym)
                        and m in self.ctx.counts
                        and isinstance(t, D.Sym)
                        and not counted(self.ctx, [t])
                    ):
                        register(self.ctx, t, self.ctx.counts[m])
                ours.shape = tuple(
                    m if isinstance(m, int) or (m is not None and self.ctx.opaque(t)) else t
                    for m, t in zip(mine, shape)
                )
                bind_shape(self.ctx, ours)
                self.ctx.call(ours, node.name)
            elif ours.shape != shape and D.is_static(shape):
                raise BuildError(
                    f"the converter gave the shape {list(ours.shape or ())} where torch says {list(shape)}"
                )


FAILED = object()  # stands for the result of a node that could not be converted


def _holds_failure(arguments: Any) -> bool:
    if isinstance(arguments, (list, tuple)):
        return any(_holds_failure(a) for a in arguments)
    return arguments is FAILED
