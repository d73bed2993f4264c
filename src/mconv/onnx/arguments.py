"""What a node gives to its converter: inputs and attributes, checked against the converter's signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from mconv.errors import UnsupportedError
from mconv.onnx import registry, sanity
from mconv.program.value import Value

if TYPE_CHECKING:
    import onnx

# what ONNX's own operators are told beside their meaning: about memory (opset 1), running statistics, the type inside, and
# random numbers that are not drawn
_SILENT = frozenset({"consumed_inputs", "momentum", "stash_type", "seed"})


def given_inputs(converter: registry.Converter, inputs: Sequence[Optional[Value]]) -> list[Optional[Value]]:
    """The inputs that a converter is called with: those at the end that are left out are not among them.

    Raises:
        UnsupportedError: there are more than it knows, or one that it needs is missing.
    """
    given = list(inputs)
    while given and given[-1] is None:
        given.pop()
    if converter.max_inputs is not None and len(given) > converter.max_inputs:
        raise UnsupportedError(f"{len(given)} inputs where {converter.max_inputs} are known")
    needed = [v for i, v in enumerate(given[: converter.min_inputs]) if i not in converter.optional]
    if len(given) < converter.min_inputs or any(v is None for v in needed):
        raise UnsupportedError(f"an input is missing: {converter.min_inputs} are needed")
    return given


def given_attributes(
    node: onnx.NodeProto,
    converter: registry.Converter,
    opsets: Mapping[str, int],
    constant: Callable[[onnx.TensorProto, str], Value],
) -> dict[str, Any]:
    """The attributes that a converter is called with; graphs are those of ONNX, checked.

    Args:
        constant: makes a Value of a tensor, which is called that.

    Raises:
        UnsupportedError: an attribute is not known, or one that is needed is missing.
    """
    import onnx

    values: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.name not in converter.attributes:
            if attribute.name in _SILENT and converter.domain in ("", "com.microsoft"):
                continue
            raise UnsupportedError(f"the attribute {attribute.name!r} is not known")
        if attribute.type == onnx.AttributeProto.TENSOR:
            values[attribute.name] = constant(attribute.t, f"{node.op_type}.{attribute.name}")
        elif attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            sanity.check_body(attribute.g, opsets)
            values[attribute.name] = attribute.g
        else:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, bytes):
                value = value.decode("utf-8", "replace")
            elif isinstance(value, (list, tuple)) or hasattr(value, "__len__") and not isinstance(value, str):
                value = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
            values[attribute.name] = value
    missing = converter.required - values.keys()
    if missing:
        raise UnsupportedError(f"the attribute {', '.join(sorted(missing))} is missing")
    return values
