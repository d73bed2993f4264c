"""What ONNX itself knows of the shapes and types in a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from mconv.errors import CorruptModelError
from mconv.onnx.reader import OnnxModel
from mconv.onnx.sanity import first_line


@dataclass
class Known:
    """The tensors of a model's main graph.

    Attributes:
        shapes: name → dims, numbers or None.
        types: name → element type.
        suspicious: the strict inference found a contradiction somewhere, perhaps only with what the file notes of a
            tensor in between; the nodes have to be looked at one by one.
    """

    shapes: dict[str, list[Optional[int]]]
    types: dict[str, int]
    suspicious: bool = False


def infer(model: OnnxModel, shapes: dict[str, Sequence[Any]]) -> Known:
    """Run ONNX's type checks and shape inference.

    Args:
        shapes: input → dimensions that override the model's.

    Raises:
        CorruptModelError: the types of a node's inputs are not those that its operator takes.
    """
    import onnx

    proto = _overridden(model.proto, shapes)
    proto = _hidden(proto)
    suspicious = False
    errors = (onnx.shape_inference.InferenceError, ValueError, RuntimeError)  # ValueError: element types from nowhere
    try:
        proto = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except errors:
        suspicious = True
        try:
            proto = onnx.shape_inference.infer_shapes(proto, check_type=True, data_prop=True)
        except onnx.shape_inference.InferenceError as e:
            raise CorruptModelError(_told(e), "onnx.checker refuses the model too: export it again") from None
        except errors as e:
            model.notes.append(f"ONNX's shape inference failed: {first_line(e)}")
    known: dict[str, list[Optional[int]]] = {}
    for info in list(proto.graph.value_info) + list(proto.graph.output):
        if info.type.WhichOneof("value") == "tensor_type" and info.type.tensor_type.HasField("shape"):
            dims = [d.dim_value if d.HasField("dim_value") else None for d in info.type.tensor_type.shape.dim]
            known[info.name] = [d if d is not None and d >= 0 else None for d in dims]
    types = {t.name: t.data_type for t in proto.graph.initializer}
    for info in [*proto.graph.input, *proto.graph.value_info, *proto.graph.output]:
        if info.type.WhichOneof("value") == "tensor_type":
            types[info.name] = info.type.tensor_type.elem_type
    return Known(known, types, suspicious)


def _hidden(proto: Any) -> Any:
    """The model as the inference may see it: an Einsum whose equation does not fit its operands crashes the process."""
    if b"Einsum" not in proto.SerializeToString():
        return proto
    copy = type(proto)()
    copy.CopyFrom(proto)
    copy.opset_import.add(domain=_HIDDEN, version=1)
    _hide(copy.graph)
    for function in copy.functions:
        _hide(function)
        function.opset_import.add(domain=_HIDDEN, version=1)
    return copy


_HIDDEN = "mconv.hidden"


def _hide(graph: Any) -> None:
    for node in graph.node:
        if node.op_type == "Einsum":
            node.domain = _HIDDEN
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _hide(inner)


def _told(error: Exception) -> str:
    text = first_line(error)
    match = re.match(r"\(op_type:(\w+)(?:, node name: ([^)]*))?\): (.*)", text)
    if match is None:
        return text
    op, name, what = match.groups()
    return f"node {name!r} ({op}): {what}" if name else f"{op}: {what}"


def _overridden(model: Any, shapes: dict[str, Sequence[Any]]) -> Any:
    if not shapes and model.opset_import:
        return model
    proto = type(model)()
    proto.CopyFrom(model)
    if not model.opset_import:  # files from before ONNX had them
        proto.opset_import.add(version=1)
    if not shapes:
        return proto
    for info in proto.graph.input:
        if info.name in shapes and info.type.HasField("tensor_type"):
            del info.type.tensor_type.shape.dim[:]
            for want in shapes[info.name]:
                dim = info.type.tensor_type.shape.dim.add()
                if isinstance(want, int):
                    dim.dim_value = want
                elif want is not None:
                    dim.dim_param = want
    # what the file says of tensors in between held for the old shapes
    del proto.graph.value_info[:]
    for info in proto.graph.output:
        if info.type.WhichOneof("value") == "tensor_type":
            info.type.tensor_type.ClearField("shape")
    return proto
