"""An ONNX file written by streaming: the weights go from the parameter file into it without being held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.artifacts.passing import Passing
from mconv.exporters.onnx.exporter import Exported
from mconv.exporters.onnx.types import type_proto
from mconv.program.copying import copy_range, new_buffer, open_regular, read_into, shorter, write_all
from mconv.program.dtypes import TO_ONNX
from mconv.program.params import ArraySource, FileSource, TensorSource

# bytes of a file that can still be read as one message
LARGEST = (1 << 31) - (1 << 20)
_ALIGNED = 4096  # where a tensor begins in external data, so that it can be mapped
_SMALL = 1024  # bytes of a tensor that stays in the program beside external data
# opset → the IR that the release which brought it has (onnx/docs/Versioning.md)
_IR = {
    11: 6,
    12: 7,
    13: 7,
    14: 7,
    15: 8,
    16: 8,
    17: 8,
    18: 8,
    19: 9,
    20: 9,
    21: 10,
    22: 10,
    23: 11,
    24: 12,
    25: 13,
    26: 13,
    27: 13,
    28: 14,
}


def ir_version(opset: int) -> int:
    """The IR version that belongs to an opset."""
    return _IR.get(opset, max(_IR.values()))


def write(
    exported: Exported,
    path: Path,
    *,
    producer: str = "mconv",
    version: str = "",
    external: Optional[bool] = None,
    passing: Optional[Passing] = None,
) -> Optional[Path]:
    """Write the file; weights that do not fit into one message go into ``NAME.data`` beside it.

    Args:
        external: whether weights go into ``NAME.data`` (default: where they do not fit).
        passing: hashes the file with the weights while it is written.

    Returns:
        The file with the weights where there is one.

    Raises:
        onnx.checker.ValidationError: the model is not sound (a defect of mconv).
        CorruptModelError: the parameter file changed meanwhile.
    """
    sources = {n: _source(s, exported, n) for n, s in sorted(exported.initializers.items(), key=_file_order)}
    total = sum(s.nbytes for s in sources.values())
    model = skeleton(exported, producer, version)
    check(model, exported, sources)
    data = path.with_name(f"{path.name}.data") if (total > LARGEST if external is None else external) else None
    if data is not None:
        _external(model, sources, data, passing)
        with open(path, "wb") as file:
            file.write(model.SerializeToString(deterministic=True))
        return data
    _stream(model, sources, path, passing)
    return None


def _file_order(item: tuple[str, TensorSource | np.ndarray]) -> tuple[str, int, str]:
    """Tensors of one file in its order, in which they are read fastest."""
    name, given = item
    return (str(given.path), given.offset, name) if isinstance(given, FileSource) else ("", 0, name)


def _source(given: TensorSource | np.ndarray, exported: Exported, name: str) -> TensorSource:
    return given if isinstance(given, TensorSource) else ArraySource(given, exported.known[name].dtype)


def skeleton(exported: Exported, producer: str = "mconv", version: str = "") -> Any:
    """``ModelProto`` without the weights."""
    from onnx import ModelProto

    model = ModelProto(ir_version=ir_version(exported.opset), producer_name=producer, producer_version=version)
    model.opset_import.add(domain="", version=exported.opset)
    for domain, number in sorted(exported.domains.items()):
        model.opset_import.add(domain=domain, version=number)
    graph = model.graph
    graph.name = "main"
    graph.node.extend(exported.nodes)
    for fields, values in ((graph.input, exported.inputs), (graph.output, exported.outputs)):
        for value in values:
            fields.add(name=value.name).type.CopyFrom(type_proto(value.dtype, value.shape, written=True))
    ports = {v.name for v in (*exported.inputs, *exported.outputs)}
    for node in exported.nodes:
        for name in node.output:
            known = exported.known.get(name)
            if name and known is not None and name not in ports:
                graph.value_info.add(name=name).type.CopyFrom(type_proto(known.dtype, known.shape, written=True))
    return model


def check(model: Any, exported: Exported, sources: dict[str, TensorSource]) -> None:
    """``onnx.checker`` on the model, the weights declared as inputs so that they need not be read."""
    from onnx import ModelProto, checker

    declared = ModelProto()
    declared.CopyFrom(model)
    for name, source in sources.items():
        declared.graph.input.add(name=name).type.CopyFrom(type_proto(source.dtype, source.shape))
    checker.check_model(declared)


def _tensor(name: str, source: TensorSource) -> Any:
    from onnx import TensorProto

    return TensorProto(name=name, data_type=TO_ONNX[source.dtype], dims=source.shape)


def _stream(model: Any, sources: dict[str, TensorSource], path: Path, passing: Optional[Passing]) -> None:
    """The message by hand: fields may come in any order and more than once, so the weights follow the rest."""
    graph = model.graph.SerializeToString(deterministic=True)
    model.ClearField("graph")
    heads: list[tuple[bytes, TensorSource]] = []
    length = len(graph)
    for name, source in sources.items():
        described = _tensor(name, source).SerializeToString(deterministic=True)
        described += b"\x4a" + _varint(source.nbytes)  # TensorProto.raw_data = 9
        body = len(described) + source.nbytes
        head = b"\x2a" + _varint(body) + described  # GraphProto.initializer = 5
        heads.append((head, source))
        length += len(head) + source.nbytes
    with open(path, "wb", buffering=0) as file:
        out = _Output(file.fileno(), passing)
        out.put(model.SerializeToString(deterministic=True) + b"\x3a" + _varint(length))  # ModelProto.graph = 7
        out.put(graph)
        for head, source in heads:
            out.put(head)
            out.copy(source)
        out.close()


def _external(model: Any, sources: dict[str, TensorSource], data: Path, passing: Optional[Passing]) -> None:
    with open(data, "wb", buffering=0) as file:
        out = _Output(file.fileno(), passing)
        for name, source in sources.items():
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(_tensor(name, source))
            if source.nbytes <= _SMALL:
                tensor.raw_data = b"".join(bytes(p) for p in source.chunks())
                continue
            out.put(b"\0" * (-out.total % _ALIGNED))
            tensor.data_location = tensor.EXTERNAL
            for key, value in (("location", data.name), ("offset", out.total), ("length", source.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            out.copy(source)
        out.close()


class _Output:
    """A descriptor, and the file that was read last, kept open: most tensors lie in the same one."""

    def __init__(self, fd: int, passing: Optional[Passing]):
        self.fd = fd
        self.passing = passing
        self.total = 0
        self._buffer = new_buffer()
        self._read: Optional[tuple[Path, int]] = None

    def put(self, data: bytes) -> None:
        write_all(self.fd, data)
        self.total += len(data)
        if self.passing is not None:
            self.passing.written(data)

    def copy(self, source: TensorSource) -> None:
        before = self.total
        if isinstance(source, FileSource):
            if self._read is None or self._read[0] != source.path:
                self.close()
                self._read = (source.path, open_regular(source.path))
            if self.passing is not None:
                self._pass(self._read[1], source, self.passing)
            else:
                copy_range(self._read[1], self.fd, source.offset, source.nbytes, source.path, self._buffer)
            self.total += source.nbytes
        else:
            for piece in source.chunks():
                self.put(bytes(piece))
        if self.total - before != source.nbytes:
            raise ValueError(f"{self.total - before} bytes of a tensor, {source.nbytes} were announced")

    def _pass(self, fd: int, source: FileSource, passing: Passing) -> None:
        offset, end = source.offset, source.offset + source.nbytes
        while offset < end:
            buffer = passing.buffer()
            count = read_into(fd, buffer[: end - offset], offset)
            if not count:
                raise shorter(source.path, offset, end)
            write_all(self.fd, buffer[:count])
            passing.written(buffer[:count], path=source.path, offset=offset, buffer=buffer)
            offset += count

    def close(self) -> None:
        if self._read is not None:
            os.close(self._read[1])
            self._read = None


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


__all__ = ["LARGEST", "check", "ir_version", "skeleton", "write"]
