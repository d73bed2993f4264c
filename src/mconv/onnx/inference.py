"""What ONNX itself knows of the shapes and types in a model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from mconv.errors import CorruptModelError
from mconv.onnx import cpp
from mconv.onnx.functions import first_line
from mconv.onnx.reader import OnnxModel, skeleton

_SCORES = 3  # the output qk_matmul_output of Attention


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
    proto = _overridden(model.proto, shapes)
    noted = list(proto.graph.value_info)
    seen = _seen(proto)
    suspicious = False
    try:
        proto = type(proto).FromString(cpp.infer_shapes(seen, strict=True))
    except cpp.Died as e:  # the nodes one by one will show of which
        suspicious = True
        model.notes.append(f"ONNX's shape inference fails on the whole model ({e.kind})")
    except cpp.Refused:
        found = _without_notes(proto)
        suspicious = found is None
        try:
            proto = found if found is not None else type(proto).FromString(cpp.infer_shapes(seen, strict=False))
        except cpp.Refused as e:
            if e.kind == "InferenceError":
                raise CorruptModelError(_told(e), "onnx.checker refuses the model too: export it again") from None
            model.notes.append(f"ONNX's shape inference failed: {first_line(e)}")
    known: dict[str, list[Optional[int]]] = {}
    # what the file notes comes first: it holds only where nothing was inferred
    for info in [*noted, *proto.graph.value_info, *proto.graph.output]:
        if info.type.WhichOneof("value") == "tensor_type" and info.type.tensor_type.HasField("shape"):
            dims = [d.dim_value if d.HasField("dim_value") else None for d in info.type.tensor_type.shape.dim]
            known[info.name] = [d if d is not None and d >= 0 else None for d in dims]
    for node in proto.graph.node:
        if node.op_type == "Attention" and node.domain == "" and len(node.output) > _SCORES:
            # the inference of onnx 1.23 says 0 for a number of keys that is open
            name = node.output[_SCORES]
            known[name] = [d or None for d in known.get(name, [])]
    types = {t.name: t.data_type for t in proto.graph.initializer}
    for info in [*noted, *proto.graph.input, *proto.graph.value_info, *proto.graph.output]:
        if info.type.WhichOneof("value") == "tensor_type":
            types[info.name] = info.type.tensor_type.elem_type
    return Known(known, types, suspicious)


def _without_notes(proto: Any) -> Any:
    """What the strict inference finds when it ignores what the file notes of tensors; None when that is no better."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    _drop_notes(copy)
    try:
        return type(proto).FromString(cpp.infer_shapes(_seen(copy), strict=True))
    except cpp.Refused:
        return None


def _drop_notes(proto: Any) -> None:
    del proto.graph.value_info[:]
    for info in proto.graph.output:
        if info.type.WhichOneof("value") == "tensor_type":
            info.type.tensor_type.ClearField("shape")


def _seen(proto: Any) -> bytes:
    """The model as the inference sees it: without the data of large tensors."""
    serialized: bytes = proto.SerializeToString()
    return skeleton(serialized)


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
    _drop_notes(proto)
    return proto
