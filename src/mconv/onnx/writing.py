"""An edited ONNX model as files: in one, or with its weights beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mconv import budget
from mconv.errors import UnsupportedError
from mconv.onnx.clean import set_nodes
from mconv.onnx.reader import INLINE, INLINE_LIMIT, OnnxModel
from mconv.onnx.types import stored_bytes
from mconv.program import external_data
from mconv.program.copying import copy_range, new_buffer, open_regular, read_range, write_all

LARGEST = (1 << 31) - (1 << 20)  # bytes that one file holds, as protobuf has it
_DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")  # fields of a tensor
_OWN = ("", "ai.onnx")  # ONNX's own operators
_INITIALIZERS_APART = 4  # the ir_version since which an initializer need not be an input
_ALIGNED = 4096  # ONNX Runtime maps what begins at a page


def data_name(path: Path) -> str:
    """What the file of the weights beside a model is called."""
    return f"{path.name}.data"


def total(model: OnnxModel) -> int:
    """How many bytes the weights take."""
    return sum(stored_bytes(t) for t in external_data.tensors(model.proto))


def has_large(model: OnnxModel) -> bool:
    """Whether there are weights that would go into a file of their own."""
    return any(_is_large(t) for t in model.proto.graph.initializer)


def large_constants_as_weights(model: OnnxModel) -> None:
    """Make initializers of the main graph's large ``Constant`` nodes, in place: only those can lie in another file.

    PaddleOCR's models, as paddle2onnx writes them, have all their weights in such nodes.
    """
    graph = model.proto.graph
    kept = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and node.domain in _OWN and value is not None and _is_large(value):
            tensor = graph.initializer.add()
            tensor.CopyFrom(value)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        model.proto.ir_version = max(model.proto.ir_version, _INITIALIZERS_APART)
        set_nodes(graph, kept)


def _is_large(tensor: Any) -> bool:
    return bool(stored_bytes(tensor) > INLINE_LIMIT)


def write(model: OnnxModel, path: Path, *, external: bool) -> list[Path]:
    """Write the model, whose large tensors are read from where they lie.

    Args:
        external: weights of the main graph go into a file of their own beside it.

    Returns:
        The files, the model first.

    Raises:
        UnsupportedError: it does not fit into one file of ONNX (2 GB).
        CorruptModelError, UntrustedError: data are missing, or lie outside of the model's folder.
    """
    files = [path]
    proto = type(model.proto)()
    proto.CopyFrom(model.proto)
    if external:
        beside = path.with_name(data_name(path))
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            written = _outside(model, proto, fd, beside.name)
        finally:
            os.close(fd)
        if written:
            files.append(beside)
        else:
            beside.unlink()
    left = sum(stored_bytes(t) for t in external_data.tensors(proto) if not _is(t, data_name(path)))
    if left > LARGEST:
        raise UnsupportedError(
            f"{path.name}: {left / 1e9:.1f} GB of weights do not fit into one ONNX file (2 GB)", "--weights external"
        )
    for tensor in external_data.tensors(proto):
        if tensor.data_location == external_data.EXTERNAL and not _is(tensor, data_name(path)):
            tensor.raw_data = b"".join(_bytes(model, tensor))
            tensor.ClearField("data_location")
            del tensor.external_data[:]
    path.write_bytes(proto.SerializeToString())
    return files


def _is(tensor: Any, location: str) -> bool:
    return any(e.key == "location" and e.value == location for e in tensor.external_data)


def _outside(model: OnnxModel, proto: Any, fd: int, name: str) -> int:
    """Write the main graph's large weights; returns how many bytes."""
    from onnx import numpy_helper

    end, buffer = 0, new_buffer()
    for tensor in proto.graph.initializer:
        length = stored_bytes(tensor)
        if length <= INLINE_LIMIT:
            continue
        end = -(-end // _ALIGNED) * _ALIGNED
        os.lseek(fd, end, os.SEEK_SET)
        if tensor.data_location == external_data.EXTERNAL:
            found = external_data.locate(model.path, tensor, own=INLINE)
            source = open_regular(found.path)
            try:
                copy_range(source, fd, found.offset, length, found.path, buffer)
            finally:
                os.close(source)
        else:
            write_all(fd, numpy_helper.to_array(tensor).tobytes())
            for field in _DATA:
                tensor.ClearField(field)
        tensor.data_location = external_data.EXTERNAL
        del tensor.external_data[:]
        for key, value in (("location", name), ("offset", str(end)), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        end += length
    return end


def _bytes(model: OnnxModel, tensor: Any) -> Iterator[bytes]:
    found = external_data.locate(model.path, tensor, own=INLINE)
    size = found.size - found.offset if found.length is None else found.length
    budget.memory(size, "the weights")
    fd = open_regular(found.path)
    try:
        yield from read_range(fd, found.offset, size, found.path)
    finally:
        os.close(fd)
