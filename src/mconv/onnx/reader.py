"""Reads an ONNX file without reading its weights.

The file is scanned for the raw data of large tensors; what is left is parsed with the onnx package, and the data stay
where they are until they are copied into the parameter file. So files of any size (2 GB and more included) take
memory only for their graph.
"""

from __future__ import annotations

import math
import mmap
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mconv import budget
from mconv.errors import CorruptModelError, NotAModelError
from mconv.onnx.text import check_text
from mconv.onnx.types import MAX_RANK, Widened, paddle_dtype, stored_bytes, to_array
from mconv.program import external_data
from mconv.program.dtypes import DType
from mconv.program.params import ArraySource, FileSource, TensorSource

if TYPE_CHECKING:
    import onnx

_MOST_ELEMENTS = 1 << 59  # eight bytes each are what an address can count
INLINE_LIMIT = 1024  # bytes up to which a tensor's data stay in the parsed model
# the external location that stands for "in this very file"; no file can name it, it is another one in each process
INLINE = f"mconv:inline:{secrets.token_hex(8)}"
_HINT = "export the model again, or compare the file's size with the original's"

# field numbers of onnx.proto3
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_ATTRIBUTE, _FUNCTION_NODE = 5, 7
_ATTR_T, _ATTR_G, _ATTR_TENSORS, _ATTR_GRAPHS = 5, 6, 10, 11
_TENSOR_FLOATS, _TENSOR_RAW, _TENSOR_DOUBLES = 4, 9, 10
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14

# message → the fields whose messages may hold tensors
_NESTED: dict[str, dict[int, str]] = {
    "model": {_MODEL_GRAPH: "graph", _MODEL_FUNCTIONS: "function"},
    "graph": {_GRAPH_NODE: "node", _GRAPH_INITIALIZER: "tensor"},
    "function": {_FUNCTION_NODE: "node"},
    "node": {_NODE_ATTRIBUTE: "attribute"},
    "attribute": {_ATTR_T: "tensor", _ATTR_G: "graph", _ATTR_TENSORS: "tensor", _ATTR_GRAPHS: "graph"},
    "tensor": {},
}
_MAX_DEPTH = 64
_MAX_FIELDS = 1_000_000  # that are looked at one by one; models of a gigabyte have some ten thousand
_MAX_GRAPH = 256 << 20  # bytes of a model without its large tensors


@dataclass
class OnnxModel:
    """A parsed model and where its large tensors are.

    Attributes:
        proto: the model; large tensors have an external location in it.
        path: the file, or None for a model that was given in memory.
        notes: what a user should know of the file.
    """

    proto: onnx.ModelProto
    path: Optional[Path] = None
    notes: list[str] = field(default_factory=list)

    @property
    def opsets(self) -> dict[str, int]:
        """Domain → version; ``ai.onnx`` is called ``""``."""
        return {("" if o.domain == "ai.onnx" else o.domain): o.version for o in self.proto.opset_import}

    def source(self, tensor: onnx.TensorProto, what: str = "") -> TensorSource:
        """The data of *tensor*, widened where Paddle lacks the type (see :data:`mconv.onnx.types.WIDENED`).

        Raises:
            CorruptModelError: the data are missing, too short or too long.
            UntrustedError: external data lie outside of the model's folder.
            UnsupportedError: a type without an exact counterpart in Paddle.
        """
        name = what or tensor.name or "a constant"
        dtype, exact = paddle_dtype(tensor.data_type, name)
        shape = tuple(tensor.dims)
        if len(shape) > MAX_RANK:
            raise CorruptModelError(
                f"{name}: it has {len(shape)} dimensions, where no runtime has more than {MAX_RANK}"
            )
        if any(d < 0 for d in shape):
            raise CorruptModelError(f"{name}: an initializer has a negative dimension {list(shape)}")
        # where one dimension is 0, too: numpy still multiplies the others
        if math.prod(d or 1 for d in shape) > _MOST_ELEMENTS:
            raise CorruptModelError(f"{name}: it has dimensions {list(shape)}: no tensor is that large", _HINT)
        if tensor.data_location == 1:  # EXTERNAL
            return self._external(tensor, name, dtype, exact, shape)
        return ArraySource(to_array(tensor, name), dtype)

    def _external(
        self, tensor: onnx.TensorProto, name: str, dtype: DType, exact: bool, shape: tuple[int, ...]
    ) -> TensorSource:
        nbytes = stored_bytes(tensor)
        found = external_data.locate(self.path, tensor, name, INLINE)
        path, offset = found.path, found.offset
        if (nbytes if found.length is None else found.length) != nbytes:
            raise CorruptModelError(f"{name}: {found.length} bytes of data for a tensor that takes {nbytes}", _HINT)
        if offset + nbytes > found.size:
            raise CorruptModelError(
                f"{name}: its data end at byte {offset + nbytes} of {path.name}, which has {found.size}", _HINT
            )
        budget.memory(nbytes, f"the data of {name}")
        if exact:
            return FileSource(path, offset, dtype, shape)
        return Widened(path, offset, tensor.data_type, shape)

    def array(self, tensor: onnx.TensorProto, what: str = "") -> np.ndarray:
        """The data of *tensor* in its widened type."""
        return self.source(tensor, what).array()


# the file -------------------------------------------------------------------------------------------------------


def read(path: Path) -> OnnxModel:
    """Parse the graph of an ONNX file.

    Raises:
        NotAModelError: there is no such file, or it is not an ONNX model.
        CorruptModelError: it is one, but truncated or damaged.
    """
    import onnx
    from google.protobuf.message import DecodeError

    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is no ordinary file" if path.exists() else "does not exist"
        raise NotAModelError(f"{path} {what}", "give the path of an .onnx file")
    budget.file(path)
    size = path.stat().st_size
    if size == 0:
        raise NotAModelError(f"{path} is empty")
    if not os.access(path, os.R_OK):
        raise NotAModelError(f"{path} may not be read")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        head = bytes(data[:64])
        proto = onnx.ModelProto()
        try:
            proto.ParseFromString(skeleton(data))
        except CorruptModelError as e:
            raise CorruptModelError(f"{path}: {e.message}", e.hint) from None
        except (MalformedError, DecodeError):
            raise _not_onnx(path, head, size) from None
    if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
        raise _not_onnx(path, head, size)
    check_text(proto)
    return OnnxModel(proto, path)


def skeleton(data: Any) -> bytes:
    """A serialized ModelProto (bytes, or a mapped file) without the data of its large tensors, which are said to lie
    in :data:`INLINE`.

    Raises:
        CorruptModelError: what is left is larger than any graph.
        MalformedError: it is no ModelProto.
    """
    try:
        return b"".join(_Scanner(data).message("model", 0, len(data), 0)[0])
    except IndexError:
        raise MalformedError from None
    except _TooLarge as e:
        raise CorruptModelError(f"the graph holds {e}", _HINT) from None


def _not_onnx(path: Path, head: bytes, size: int) -> Exception:
    # ModelProto begins with ir_version (field 1, a small varint)
    if head[:1] == b"\x08" and size > 16:
        return CorruptModelError(
            f"{path}: the ONNX model is truncated, damaged or nested too deeply ({size} bytes)", _HINT
        )
    hint = "give an .onnx file"
    if head[:2] == b"PK":
        hint = "this looks like a PyTorch file: see mconv torch2paddle"
    return NotAModelError(f"{path} is not an ONNX model", hint)


class MalformedError(Exception):
    """Not the protobuf that it should be."""


class _TooLarge(Exception):
    """A graph that would take more memory than a graph can need."""


class _Scanner:
    """Copies a serialized model without the data of its large tensors."""

    def __init__(self, data: Any):
        self.data = data
        self.fields = 0

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            if at >= end or shift > 63:
                raise MalformedError
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7

    def message(self, kind: str, start: int, end: int, depth: int) -> tuple[list[bytes], int]:
        """The chunks of the copy, and their total length."""
        if depth > _MAX_DEPTH:
            raise MalformedError
        nested = _NESTED[kind]
        chunks: list[bytes] = []
        total = 0
        at = copied = start

        def flush(upto: int) -> None:
            nonlocal total
            if total + upto - copied > _MAX_GRAPH:
                raise _TooLarge(f"more than {_MAX_GRAPH >> 20} MB besides the tensors")
            if upto > copied:
                chunks.append(self.data[copied:upto])
                total += upto - copied

        large: Optional[tuple[int, int]] = None
        while at < end:
            begin = at
            self.fields += 1
            if self.fields > _MAX_FIELDS:
                raise _TooLarge(f"more than {_MAX_FIELDS} nodes, tensors and attributes")
            key, at = self.varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == 0:
                _, at = self.varint(at, end)
            elif wire == 1:
                at += 8
            elif wire == 5:
                at += 4
            elif wire == 2:
                length, at = self.varint(at, end)
                if at + length > end:
                    raise MalformedError
                if (
                    kind == "tensor"
                    and length > INLINE_LIMIT
                    and number in (_TENSOR_RAW, _TENSOR_FLOATS, _TENSOR_DOUBLES)
                ):
                    flush(begin)
                    large = (at, length)
                    copied = at + length
                elif number in nested and length > INLINE_LIMIT:
                    inner, size = self.message(nested[number], at, at + length, depth + 1)
                    if size != length:
                        flush(begin)
                        header = _varint(key) + _varint(size)
                        chunks += [header, *inner]
                        total += len(header) + size
                        copied = at + length
                at += length
            else:
                raise MalformedError
            if at > end:
                raise MalformedError
        flush(end)
        if large is not None:
            extra = _external_fields(*large)
            chunks.append(extra)
            total += len(extra)
        return chunks, total


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _external_fields(offset: int, length: int) -> bytes:
    """``external_data`` and ``data_location`` of a TensorProto, serialized."""
    out = b""
    for key, value in (("location", INLINE), ("offset", str(offset)), ("length", str(length))):
        entry = b"".join(_varint(n << 3 | 2) + _varint(len(t)) + t.encode() for n, t in ((1, key), (2, value)))
        out += _varint(_TENSOR_EXTERNAL << 3 | 2) + _varint(len(entry)) + entry
    return out + _varint(_TENSOR_LOCATION << 3) + b"\x01"
