"""The ONNX graph under construction: nodes checked against the schemas, types and shapes inferred as they are made."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Optional

import numpy as np

from mconv.exporters.onnx import fold
from mconv.exporters.onnx.errors import NeedsOpset, Unsupported
from mconv.exporters.onnx.types import constraint, numbers, type_proto
from mconv.program import dims as D
from mconv.program.dtypes import FROM_ONNX, TO_ONNX, DType
from mconv.program.params import TensorSource
from mconv.program.value import Value

OLDEST = 11
_INFERRED_FROM = 1024  # elements of a constant that ONNX's inference is given the values of
# numbers that ONNX's inference divides by
_POSITIVE = frozenset({"strides", "dilations", "kernel_shape", "group", "blocksize", "num_groups", "num_outputs"})


def newest() -> int:
    """The newest opset that the installed onnx knows."""
    from onnx import defs

    return defs.onnx_opset_version()


@functools.cache
def schema(op: str, opset: int, domain: str = "") -> Any:
    """The schema of an ONNX operator.

    Raises:
        NeedsOpset: a later opset has it. Unsupported: none has.
    """
    from onnx import defs

    try:
        return defs.get_schema(op, opset, domain)
    except defs.SchemaError:
        pass
    for later in range(opset + 1, newest() + 1):
        try:
            defs.get_schema(op, later, domain)
        except defs.SchemaError:
            continue
        raise NeedsOpset(later, op)
    raise Unsupported(f"ONNX has no operator {op}")


class Scope:
    """The main graph, or the body of an If or Loop.

    Attributes:
        nodes: ``NodeProto`` in order.
        shapes: name of a value → the value of its Shape.
        env: Paddle variable → what it holds now.
    """

    def __init__(self, outer: Optional[Scope] = None):
        self.outer = outer
        self.nodes: list[Any] = []
        self.shapes: dict[str, Value] = {}
        self.env: dict[str, Any] = {}

    def chain(self) -> Iterable[Scope]:
        scope: Optional[Scope] = self
        while scope is not None:
            yield scope
            scope = scope.outer


class Graph:
    """Makes nodes.

    Attributes:
        opset: the version of the operators that are written.
        scope: where nodes go at the moment.
        initializers: name → the constant, for all scopes.
        known: name → Value of every value made, for their types.
    """

    def __init__(self, opset: int):
        self.opset = opset
        self.scope = Scope()
        self.initializers: dict[str, TensorSource | np.ndarray] = {}
        self.known: dict[str, Value] = {}
        self.domains: dict[str, int] = {}
        self._names: set[str] = set()
        self._stored: dict[tuple, str] = {}
        self._dims: dict[str, D.Dim] = {}

    # names and constants

    def reserve(self, name: str) -> None:
        self._names.add(name)

    def unique(self, base: str) -> str:
        """A name that nothing has yet: *base* itself where it is free."""
        name, count = base, 0
        while name in self._names:
            count += 1
            name = f"{base}.{count}"
        self._names.add(name)
        return name

    def const(self, array: Any, dtype: Optional[DType] = None) -> Value:
        """A constant; it becomes an initializer when a node reads it."""
        array = np.asarray(array)
        if dtype is None:
            dtype = DType.of(array.dtype)
        elif dtype is not DType.BF16:
            array = array.astype(dtype.numpy)
        data = None
        if array.dtype.kind in "iu" and array.ndim <= 1 and array.size <= 64:
            data = [int(v) for v in array.reshape(-1)]
        return Value(None, dtype, array.shape, const=array, data=data)

    def name_of(self, value: Value) -> str:
        """The name that a node reads *value* by."""
        if value.name is None:
            array = value.const
            assert array is not None
            key = (value.dtype, array.shape, array.tobytes()) if array.size <= 4096 else (id(value),)
            if key not in self._stored:
                self._stored[key] = self.unique(f"const.{len(self._stored)}")
                self.initializers[self._stored[key]] = array
            name = self._stored[key]
            value.name = name
            self.known[name] = value
            return name
        if value.source is not None and value.name not in self.initializers:
            self.initializers[value.name] = value.source
            self.known[value.name] = value
        return value.name

    # nodes

    def node(
        self,
        op: str,
        inputs: Sequence[Optional[Value]],
        attributes: dict[str, Any],
        *,
        outputs: int = 1,
        domain: str = "",
        base: str = "",
        result: Optional[Sequence[tuple[DType, Optional[Sequence[D.Dim]]]]] = None,
    ) -> list[Value]:
        """Make a node and give its outputs, or constants where it can be computed now.

        Args:
            base: what its outputs are named after.
            result: dtypes and shapes of the outputs, instead of those that ONNX infers.

        Raises:
            NeedsOpset: a newer opset has the operator, the attribute or the type.
            Unsupported: none has, or the inputs do not fit together.
        """
        from onnx import NodeProto

        inputs = list(inputs)
        while inputs and inputs[-1] is None:
            inputs.pop()
        described = schema(op, self.opset, domain)
        attributes = {k: v for k, v in attributes.items() if v is not None}
        if domain == "" and outputs == 1 and result is None:
            made = fold.computed(op, inputs, attributes)
            if made is not None:
                return [self.const(made)]
        self._check(op, described, inputs, attributes, domain)
        node = NodeProto(op_type=op, domain=domain)
        for value in inputs:
            node.input.append("" if value is None else self.name_of(value))
        for name, given in attributes.items():
            node.attribute.append(_attribute(described, name, given))
        for _ in range(outputs):
            node.output.append(self.unique(f"{base}.{op}" if base else op))
        node.name = self.unique(node.output[0] + ".node")
        if result is None:
            result = self._inferred(op, described, node, inputs)
        values = []
        for name, (dtype, shape) in zip(node.output, result):
            values.append(Value(name, dtype, shape))
        if domain == "" and outputs == 1:
            data = fold.sizes(op, inputs, attributes, values[0])
            known, shape = numbers(data), numbers(values[0].shape)
            if known is not None and shape is not None:
                return [self.const(np.asarray(known).reshape(shape), values[0].dtype)]
            if data is not None:
                values[0].data = tuple(data)
        if domain:
            self.domains[domain] = max(self.domains.get(domain, 1), described.since_version)
        self.scope.nodes.append(node)
        for value in values:
            self.known[value.name or ""] = value
        return values

    def _check(
        self, op: str, described: Any, inputs: Sequence[Optional[Value]], attributes: dict[str, Any], domain: str
    ) -> None:
        wrong = _misfit(op, described, inputs, attributes)
        if wrong is None:
            return
        from onnx import defs

        for later in range(self.opset + 1, newest() + 1):
            if _misfit(op, defs.get_schema(op, later, domain), inputs, attributes) is None:
                raise NeedsOpset(later, f"{op} with {wrong}")
        raise Unsupported(f"ONNX has no {op} with {wrong}")

    def _inferred(
        self, op: str, described: Any, node: Any, inputs: Sequence[Optional[Value]]
    ) -> list[tuple[DType, Optional[Sequence[D.Dim]]]]:
        from onnx import checker, helper, shape_inference

        types, data = {}, {}
        for name, value in zip(node.input, inputs):
            if value is None:
                continue
            types[name] = type_proto(value.dtype, value.shape)
            for d in value.shape or ():
                if not isinstance(d, int):
                    self._dims[repr(d)] = d
            if value.is_const and value.dtype is not DType.BF16 and (value.size or 0) <= _INFERRED_FROM:
                array = np.asarray(value.const)
                if array.dtype.kind in "iufb":
                    data[name] = helper.make_tensor(name, TO_ONNX[value.dtype], array.shape, array.tobytes(), raw=True)
        opsets = [helper.make_opsetid("", self.opset)]
        try:
            found = shape_inference.infer_node_outputs(described, node, types, data, None, opsets)
        except (shape_inference.InferenceError, checker.ValidationError) as e:
            raise Unsupported(f"{op}: {_said(str(e))}") from None
        given: list[tuple[DType, Optional[Sequence[D.Dim]]]] = []
        for number, name in enumerate(node.output):
            kind = found[name].tensor_type if name in found else None
            dtype = FROM_ONNX[kind.elem_type] if kind is not None and kind.elem_type else None
            shape: Optional[Sequence[D.Dim]] = None
            if kind is not None and kind.HasField("shape"):
                shape = [self._dim(d) for d in kind.shape.dim]
            if shape is None and number == 0:
                shape = _shape_of(op, inputs)
            given.append((_type_of(described, number, inputs) if dtype is None else dtype, shape))
        return given

    def _dim(self, dim: Any) -> D.Dim:
        if dim.HasField("dim_value"):
            return int(dim.dim_value)
        if dim.dim_param in self._dims:
            return self._dims[dim.dim_param]
        return D.Sym.fresh()


def _type_of(described: Any, number: int, inputs: Sequence[Optional[Value]]) -> DType:
    """The element type of an output that ONNX does not infer: the schema says it, or it is that of an input."""
    formal = described.outputs[min(number, len(described.outputs) - 1)]
    for constraint_ in described.type_constraints:
        if constraint_.type_param_str == formal.type_str and len(constraint_.allowed_type_strs) == 1:
            return _NAMED[constraint_.allowed_type_strs[0]]
    if formal.type_str in _NAMED:
        return _NAMED[formal.type_str]
    for given, value in zip(described.inputs, inputs):
        if given.type_str == formal.type_str and value is not None:
            return value.dtype
    raise Unsupported(f"the element type of what {described.name} gives is not known")


def _shape_of(op: str, inputs: Sequence[Optional[Value]]) -> Optional[Sequence[D.Dim]]:
    """The shape where ONNX infers none: of operators that are functions, and of computed shapes their length."""
    if op in ("LessOrEqual", "GreaterOrEqual"):
        return D.broadcast(*[v.shape for v in inputs if v is not None])
    if op in _ELEMENTWISE_FUNCTIONS:
        return inputs[0].shape if inputs[0] is not None else None
    dims = inputs[-1] if op in ("Reshape", "ConstantOfShape") else None
    if dims is None or dims.shape is None or len(dims.shape) != 1 or not isinstance(dims.shape[0], int):
        return None
    data = dims.data or [None] * dims.shape[0]
    return [D.Sym.fresh() if d is None or d in (0, -1) else d for d in data]


_ELEMENTWISE_FUNCTIONS = frozenset(
    {"Celu", "Clip", "Gelu", "GroupNormalization", "HardSwish", "LayerNormalization", "LogSoftmax", "Mish", "PRelu",
     "Softmax", "Softplus", "Softsign", "Shrink", "ThresholdedRelu", "Swish", "RMSNormalization"}
)  # fmt: skip
_NAMED = {constraint(dtype): dtype for dtype in TO_ONNX}


def _said(text: str) -> str:
    """The last sentence of an InferenceError."""
    return text.rsplit("] ", 1)[-1].strip()[:200]


def _misfit(op: str, described: Any, inputs: Sequence[Optional[Value]], attributes: dict[str, Any]) -> Optional[str]:
    """What the schema does not admit, or None."""
    if not described.min_input <= len(inputs) <= described.max_input:
        return f"{len(inputs)} inputs"
    for name in attributes:
        if name not in described.attributes:
            return f"an attribute {name}"
    for name in _POSITIVE & attributes.keys():
        given = attributes[name]
        if any(v <= 0 for v in (given if isinstance(given, (list, tuple)) else [given])):
            raise Unsupported(f"{name} is {given}")
    allowed = {c.type_param_str: c.allowed_type_strs for c in described.type_constraints}
    same: dict[str, DType] = {}
    for i, value in enumerate(inputs):
        if value is None:
            continue
        formal = described.inputs[min(i, len(described.inputs) - 1)]
        kinds = allowed.get(formal.type_str, [formal.type_str])
        if constraint(value.dtype) not in kinds:
            return f"{value.dtype.label}"
        variadic = formal.option == _options().Variadic
        if (not variadic or formal.is_homogeneous) and same.setdefault(formal.type_str, value.dtype) != value.dtype:
            raise Unsupported(f"{op} of {same[formal.type_str].label} and {value.dtype.label}")
    return None


@functools.cache
def _options() -> Any:
    from onnx import defs

    return defs.OpSchema.FormalParameterOption


def _attribute(described: Any, name: str, given: Any) -> Any:
    """``AttributeProto`` of the type that the schema says."""
    from onnx import AttributeProto, helper

    kind = AttributeProto.AttributeType.Name(described.attributes[name].type.value)
    if isinstance(given, DType):
        given = TO_ONNX[given]
    proto = AttributeProto(name=name)
    proto.type = AttributeProto.AttributeType.Value(kind)
    if kind == "INT":
        proto.i = int(given)
    elif kind == "FLOAT":
        proto.f = float(given)
    elif kind == "INTS":
        proto.ints.extend(int(v) for v in given)
    elif kind == "FLOATS":
        proto.floats.extend(float(v) for v in given)
    elif kind == "STRING":
        proto.s = given.encode()
    elif kind == "TENSOR" and isinstance(given, np.ndarray):
        proto.t.CopyFrom(helper.make_tensor("", TO_ONNX[DType.of(given.dtype)], given.shape, given.tobytes(), raw=True))
    elif kind == "GRAPH":
        proto.g.CopyFrom(given)
    else:
        return helper.make_attribute(name, given)
    return proto


__all__ = ["OLDEST", "Graph", "Scope", "newest", "schema"]
