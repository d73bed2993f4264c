"""Models that contradict themselves: told apart from sound ones that cannot be converted."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mconv.errors import CorruptModelError, UnsupportedError
from mconv.onnx import cpp
from mconv.onnx.functions import first_line, type_of
from mconv.onnx.types import MAX_RANK
from mconv.printable import printable
from mconv.program.dtypes import DType
from mconv.program.value import Value

if TYPE_CHECKING:
    import onnx

_MAX_CALLS = 100_000  # of functions, once everything is expanded
_MAX_DEPTH = 64  # of functions that call each other
_MAX_ELEMENTS = 1 << 60  # no tensor has more
_MAX_SIZE = (1 << 31) - 1  # of one dimension: Paddle's operators count in 32 bits
_MOST_TRIED = 1 << 20  # elements
_MAX_VERSION = (1 << 31) - 1  # of an operator set: ONNX's C++ has no larger ones
_KNOWN = 64  # elements up to which a constant's value can matter for a shape


def check(model: onnx.ModelProto) -> None:
    """Look at what the graph says of itself before anything is computed from it.

    Raises:
        CorruptModelError: names that are missing or given twice, impossible dimensions, functions that call themselves.
        UnsupportedError: an operator set newer than the installed onnx package knows.
    """
    graph = model.graph
    if not graph.output:
        raise CorruptModelError("the graph has no output")
    _unique("input", [i.name for i in graph.input])
    _unique("initializer", [t.name for t in graph.initializer])
    if any(not o.name for o in graph.output):
        raise CorruptModelError("an output has no name")
    for info in graph.input:
        _check_dims(info)
    _check_opsets(model)
    _check_calls(model)


def _unique(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise CorruptModelError(f"an {kind} has no name")
        if name in seen:
            raise CorruptModelError(f"there are two {kind}s called {name!r}")
        seen.add(name)


def _check_dims(info: onnx.ValueInfoProto) -> None:
    dims = info.type.tensor_type.shape.dim
    if len(dims) > MAX_RANK:
        raise CorruptModelError(f"input {info.name!r} has {len(dims)} dimensions: no runtime has more than {MAX_RANK}")
    sizes = [d.dim_value for d in dims if d.HasField("dim_value")]
    for size in sizes:
        if size < -1:  # -1 is how some tools write an open size
            raise CorruptModelError(f"input {info.name!r} has a dimension of {size}")
    if max(sizes, default=0) > _MAX_SIZE or math.prod(s for s in sizes if s > 0) > _MAX_ELEMENTS:
        raise CorruptModelError(f"input {info.name!r} has dimensions {sizes}: no tensor is that large")


def _check_opsets(model: onnx.ModelProto) -> None:
    import onnx

    newest = onnx.defs.onnx_opset_version()
    for entry in [*model.opset_import, *(o for f in model.functions for o in f.opset_import)]:
        name = entry.domain or "ai.onnx"
        if not 1 <= entry.version <= _MAX_VERSION:
            raise CorruptModelError(f"the operator set {name} has version {entry.version}")
        if name == "ai.onnx" and entry.version > newest:
            raise UnsupportedError(
                f"the model is of opset {entry.version}; the installed onnx {onnx.__version__} knows {newest}",
                "pip install --upgrade onnx, or export with an older opset",
            )

    known = {"" if o.domain == "ai.onnx" else o.domain for o in model.opset_import} or {""}
    for node in model.graph.node:
        if ("" if node.domain == "ai.onnx" else node.domain) not in known:
            name = node.name or next(iter(node.output), "")
            raise CorruptModelError(
                f"node {name!r} ({node.op_type}): the model does not import its domain {node.domain or 'ai.onnx'!r}"
            )


def _check_calls(model: onnx.ModelProto) -> None:
    """Refuse functions that call themselves, and ones that grow without bound: ONNX's inference survives neither."""
    functions = {(f.domain, f.name): f for f in model.functions}
    if not functions:
        return

    def calls(graph: Any) -> list[tuple[str, str]]:
        found = []
        for node in graph.node:
            if (node.domain, node.op_type) in functions:
                found.append((node.domain, node.op_type))
            for attribute in node.attribute:
                for sub in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    found += calls(sub)
        return found

    called = {key: calls(function) for key, function in functions.items()}
    waits = {key: set(names) for key, names in called.items()}
    callers: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for key, names in called.items():
        for name in names:
            callers.setdefault(name, set()).add(key)
    total: dict[tuple[str, str], int] = {}
    depth: dict[tuple[str, str], int] = {}
    ready = [key for key, names in waits.items() if not names]
    while ready:
        key = ready.pop()
        total[key] = 1 + sum(total[name] for name in called[key])
        depth[key] = 1 + max((depth[name] for name in called[key]), default=0)
        for caller in callers.get(key, ()):
            waits[caller].discard(key)
            if not waits[caller]:
                ready.append(caller)
    endless = sorted(name for (_, name), names in waits.items() if names)
    if endless:
        raise CorruptModelError(f"the function {endless[0]!r} calls itself")
    if max(depth.values()) > _MAX_DEPTH:
        raise UnsupportedError(f"the functions of the model call each other {max(depth.values())} deep")
    if sum(total[key] for key in calls(model.graph)) > _MAX_CALLS:
        raise CorruptModelError(f"the functions of the model expand to more than {_MAX_CALLS} calls")


# one node -----------------------------------------------------------------------------------------------------------


def contradiction(node: onnx.NodeProto, opsets: Mapping[str, int], inputs: Sequence[Optional[Value]]) -> Optional[str]:
    """What ONNX's checker and strict shape inference find wrong with a node and its inputs, or None."""
    import onnx

    schema = schema_of(node, opsets)
    inner = any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
    if schema is None or schema.deprecated or inner:  # the checker would miss the names around a sub-graph
        return None
    try:
        _infer(node, schema, opsets, inputs, check=True)
    except cpp.Refused as e:
        return first_line(e)
    return None


def check_body(graph: onnx.GraphProto, opsets: Mapping[str, int]) -> None:
    """Look at a sub-graph before a converter recognises it by its nodes: each has the inputs and outputs that its operator
    has at least.

    Raises:
        CorruptModelError: a node has fewer.
    """
    for node in graph.node:
        schema = schema_of(node, opsets)
        if schema is None:
            continue
        for kind, given, least in (
            ("input", len(node.input), schema.min_input),
            ("output", len(node.output), schema.min_output),
        ):
            if given < least:
                name = printable(node.name or next(iter(node.output), ""), 100)
                raise CorruptModelError(
                    f"node {name!r} ({node.op_type}): it has {given} {kind}s, where {least} are needed"
                )


def reference_refuses(
    node: onnx.NodeProto, opsets: Mapping[str, int], inputs: Sequence[Optional[Value]]
) -> Optional[str]:
    """What ONNX's reference evaluator says against a node on inputs of ones, or None; open sizes are 2 there.

    It is asked about a node that a converter failed on, where neither checker nor inference object.
    """
    from onnx.reference import ReferenceEvaluator

    feeds = {}
    for name, value in zip(node.input, inputs):
        if name and value is not None:
            if value.shape is None or value.dtype is DType.BF16:
                return None
            shape = [d if isinstance(d, int) else 2 for d in value.shape]
            if math.prod(shape) > _MOST_TRIED:
                return None
            known = value.const if value.is_const else None
            feeds[name] = np.ones(shape, value.dtype.numpy) if known is None else np.asarray(known)
    numbers = [abs(n) for a in node.attribute for n in (a.i, *a.ints) if abs(n) > 1]
    if math.prod(numbers) * (1 + sum(a.size for a in feeds.values())) > _MOST_TRIED:
        return None
    import onnx

    graph = onnx.helper.make_graph(
        [node],
        "tried",
        [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), None)
            for n, a in feeds.items()
        ],
        [onnx.helper.make_empty_tensor_value_info(o) for o in node.output if o],
    )
    imports = [onnx.helper.make_opsetid(d, v) for d, v in opsets.items()]
    try:
        with np.errstate(all="ignore"):
            ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=imports)).run(None, feeds)
    except NotImplementedError:
        return None
    except (ArithmeticError, LookupError, TypeError, ValueError) as e:
        return f"ONNX's reference evaluator refuses it: {first_line(e)}"
    except Exception:  # noqa: BLE001 - what it cannot do says nothing about the node
        return None
    return None


def schema_of(node: onnx.NodeProto, opsets: Mapping[str, int]) -> Any:
    """ONNX's schema of the operator in the model's version of its domain, or None."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return _schema(node.op_type, opsets.get(domain, 1), domain)


@functools.lru_cache(maxsize=4096)
def _schema(op: str, version: int, domain: str) -> Any:
    import onnx

    try:
        return onnx.defs.get_schema(op, version, domain)
    except onnx.defs.SchemaError:
        return None


def outputs_of(
    node: onnx.NodeProto, opsets: Mapping[str, int], inputs: Sequence[Optional[Value]]
) -> Optional[dict[str, Any]]:
    """Output name → TypeProto as ONNX infers it from the inputs' shapes and small values; None without a schema.

    Raises:
        cpp.Refused: the inputs contradict each other, or ONNX dies of the node.
    """
    import onnx

    schema = schema_of(node, opsets)
    if schema is None:
        return None
    return {name: onnx.TypeProto.FromString(kind) for name, kind in _infer(node, schema, opsets, inputs).items()}


def _infer(
    node: onnx.NodeProto, schema: Any, opsets: Mapping[str, int], inputs: Sequence[Optional[Value]], check: bool = False
) -> dict[str, bytes]:
    import onnx

    types, data = {}, {}
    for name, value in zip(node.input, inputs):
        if not name or value is None:
            continue
        types[name] = type_of(value).SerializeToString()
        if value.is_const and value.size is not None and value.size <= _KNOWN and value.dtype.numpy.kind in "iufb":
            data[name] = onnx.numpy_helper.from_array(np.asarray(value.const), name).SerializeToString()
    domain = "" if node.domain == "ai.onnx" else node.domain
    key = (node.op_type, opsets.get(domain, 1), domain)
    sent = without_data(node).SerializeToString()
    return cpp.node_outputs(key, sent, opsets, onnx.IR_VERSION, types, data, check=check)


def without_data(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with the types and shapes of the tensors in its attributes that lie elsewhere, but not where.

    The checker would look for their files.
    """
    if not any(t.data_location == 1 for a in node.attribute for t in (a.t, *a.tensors)):
        return node
    copy = type(node)()
    copy.CopyFrom(node)
    for attribute in copy.attribute:
        for tensor in (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors):
            if tensor.data_location == 1:
                del tensor.external_data[:]
                tensor.ClearField("data_location")
                if 0 not in tensor.dims:
                    tensor.raw_data = b"\0"  # the checker only asks whether there are any
    return copy
