"""Function bodies: operators that ONNX itself defines through others, and functions that a model brings along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from mconv.errors import CorruptModelError
from mconv.onnx import cpp
from mconv.onnx.registry import normal_domain
from mconv.program.dtypes import TO_ONNX
from mconv.program.value import Value


def body_of(node: Any, opsets: dict[str, int], inputs: Sequence[Optional[Value]]) -> Any:
    """The FunctionProto that ONNX defines *node* by in this opset, or None when it has none.

    Raises:
        CorruptModelError: ONNX refuses the node, or dies of it.
    """
    import onnx

    domain = normal_domain(node.domain)
    version = opsets.get(domain)
    if version is None:
        return None
    try:
        schema = onnx.defs.get_schema(node.op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
    if schema.has_context_dependent_function:
        types = [type_of(v) for v in inputs]
        fitting = [v for v in schema.context_dependent_function_opset_versions if v <= version]
        if fitting:
            try:
                body = cpp.function_body(
                    (node.op_type, version, domain),
                    max(fitting),
                    node.SerializeToString(),
                    [t.SerializeToString() for t in types],
                )
            except cpp.Refused as e:
                raise CorruptModelError(first_line(e)) from None
            return _parsed(body, schema)
    if schema.has_function:
        fitting = [v for v in schema.function_opset_versions if v <= version]
        if fitting:
            return _parsed(schema.get_function_with_opset_version(max(fitting)), schema)
    return None


def has_body(node: Any, opsets: dict[str, int]) -> bool:
    """Whether ONNX defines *node* by a function in this opset, for some inputs at least."""
    import onnx

    domain = normal_domain(node.domain)
    try:
        schema = onnx.defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _parsed(serialized: bytes, schema: Any) -> Any:
    """The body, with the defaults of the operator's attributes, which ONNX keeps apart from it."""
    import onnx

    if not serialized:
        return None
    body = onnx.FunctionProto()
    body.ParseFromString(serialized)
    present = {a.name for a in body.attribute_proto}
    for name, attribute in sorted(schema.attributes.items()):
        if name not in present and attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            body.attribute_proto.append(attribute.default_value)
    return body


def type_of(value: Optional[Value]) -> Any:
    """The TypeProto of a value; symbolic sizes are left open."""
    import onnx

    proto = onnx.TypeProto()
    if value is not None:
        proto.tensor_type.elem_type = TO_ONNX[value.dtype]
        if value.shape is not None:
            proto.tensor_type.shape.SetInParent()
            for dim in value.shape:
                entry = proto.tensor_type.shape.dim.add()
                if isinstance(dim, int):
                    entry.dim_value = dim
    return proto


def first_line(error: BaseException) -> str:
    """ONNX's message without its prefixes and its copy of the node."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text.rpartition("[ShapeInferenceError] ")[2].rpartition("[TypeInferenceError] ")[2].strip()


def bound(inner: Any, call: Any, body: Any) -> Any:
    """A node of a function's body with the attributes that refer to the function's own filled in.

    An attribute that the call leaves out takes the function's default, or is left out as well.
    """
    import onnx

    if not _refers(inner):
        return inner
    given = {a.name: a for a in body.attribute_proto}
    given.update({a.name: a for a in call.attribute})
    node = onnx.NodeProto()
    node.CopyFrom(inner)
    _fill(node, given)
    return node


def _refers(node: Any) -> bool:
    return any(
        a.ref_attr_name or any(_refers(n) for g in ([a.g] if a.HasField("g") else a.graphs) for n in g.node)
        for a in node.attribute
    )


def _fill(node: Any, given: dict[str, Any]) -> None:
    kept = []
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            value = given.get(attribute.ref_attr_name)
            if value is None:
                continue
            name = attribute.name
            attribute.CopyFrom(value)
            attribute.name = name
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                _fill(inner, given)
        kept.append(attribute)
    copies = [type(a).FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend(copies)
