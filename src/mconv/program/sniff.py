"""What a file is, judged by its first bytes and its name, without reading the rest.

:func:`what` gives a :class:`Kind`; for the kinds that are no Paddle inference model, :data:`NEAR_MISSES` holds what
it is in words and what to do about it.
"""

from __future__ import annotations

import enum
import json
import os
import struct
from pathlib import Path
from typing import Optional, cast

from mconv.program.copying import open_regular, read_at

HEAD = 4096
_JSON_LIMIT = 16 << 20  # of a file whose first key is not base_code: no writer of PIR does that


class Kind(enum.Enum):
    """What a file holds."""

    PROGRAM = "a Paddle program"
    PARAMS = "Paddle parameters"
    PIR = "a Paddle program in PIR form"
    PDPARAMS = "a pickled state dict of Paddle (.pdparams): weights without a program"
    PDOPT = "the state of an optimizer (.pdopt)"
    PARAMS_INFO = "the description that paddle.jit.save puts beside the parameters (.pdiparams.info)"
    ONNX = "an ONNX model"
    TORCH = "a PyTorch file"
    SAFETENSORS = "a safetensors file: weights without a program"
    PROTOTXT = "a configuration of Paddle Serving, not the model"
    TENSORFLOW = "a TensorFlow model"
    TFLITE = "a TensorFlow Lite model"
    HDF5 = "an HDF5 file (Keras weights)"
    CAFFE = "a Caffe model"
    LITE = "a Paddle Lite model (.nb), which cannot be turned back"
    ARCHIVE = "an archive"
    PICKLE = "a Python pickle"
    LFS = "a Git LFS pointer, not the file itself"
    JSON = "a JSON file that is no PIR program"
    EMPTY = "an empty file"
    PADDLEX = "the configuration of a PaddleX or PaddleOCR model, not the model"
    YAML = "a YAML file"
    PYTHON = "a Python file"
    WEB_PAGE = "a web page (HTML)"
    PICTURE = "a picture"
    DOCUMENT = "a PDF document"
    EXECUTABLE = "a program or a library of the operating system"
    TEXT = "a text file"
    OTHER = "no kind of model that mconv knows"


# what is not even near a model
FOREIGN = frozenset(
    {
        Kind.PADDLEX,
        Kind.YAML,
        Kind.PYTHON,
        Kind.WEB_PAGE,
        Kind.PICTURE,
        Kind.DOCUMENT,
        Kind.EXECUTABLE,
        Kind.TEXT,
        Kind.OTHER,
    }
)
_NO_MODEL = "a model is an .onnx file, a Paddle or Hugging Face folder, a .pt2 file, FILE.py:CLASS, …"
_PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
# by these names go files of models, of which the reader says what is wrong
_MODELS = (".pdmodel", ".pdiparams", "__model__", "__params__")

# what to do with the kinds that are no Paddle inference model
NEAR_MISSES: dict[Kind, str] = {
    Kind.PDPARAMS: "build the network and load the weights: `mconv to-static file.py:factory OUT --weights THIS`",
    Kind.PDOPT: "an inference model is a program and its parameters: .pdmodel + .pdiparams or __model__ + __params__",
    Kind.PARAMS_INFO: "give the .pdmodel beside it",
    Kind.ONNX: "`mconv onnx2paddle` converts it",
    Kind.TORCH: "`mconv torch2paddle` converts it",
    Kind.SAFETENSORS: "`mconv torch2paddle` takes the Hugging Face folder, or a module with --weights",
    Kind.PROTOTXT: "give the serving_server folder it belongs to",
    Kind.TENSORFLOW: "convert it to ONNX with tf2onnx first, then `mconv onnx2paddle`",
    Kind.TFLITE: "convert it to ONNX with tf2onnx first, then `mconv onnx2paddle`",
    Kind.HDF5: "convert it to ONNX with tf2onnx first, then `mconv onnx2paddle`",
    Kind.CAFFE: "`x2paddle --framework caffe` converts it",
    Kind.LITE: "give the model that it was made from",
    Kind.ARCHIVE: "unpack it and give the folder",
    Kind.PICKLE: "an inference model is a program and its parameters: .pdmodel + .pdiparams or __model__ + __params__",
    Kind.LFS: "run `git lfs pull` in the repository",
    Kind.JSON: 'a PIR program begins with {"base_code": {"magic": "pir"',
    Kind.EMPTY: "save or download it again",
    Kind.PADDLEX: "give the folder, with inference.json or inference.pdmodel and inference.pdiparams in it",
    Kind.YAML: "`mconv run` takes recipes",
    Kind.PYTHON: "say what makes the model: FILE.py:CLASS",
    Kind.WEB_PAGE: "a download that needed a login or another address gives one",
    Kind.PICTURE: _NO_MODEL,
    Kind.DOCUMENT: _NO_MODEL,
    Kind.EXECUTABLE: _NO_MODEL,
    Kind.TEXT: _NO_MODEL,
    Kind.OTHER: "an encrypted model has to be decrypted first",
}

_BY_SUFFIX = {
    ".pdparams": Kind.PDPARAMS,
    ".pdopt": Kind.PDOPT,
    ".pdiparams.info": Kind.PARAMS_INFO,
    ".onnx": Kind.ONNX,
    ".safetensors": Kind.SAFETENSORS,
    ".prototxt": Kind.PROTOTXT,
    ".tflite": Kind.TFLITE,
    ".pb": Kind.TENSORFLOW,
    ".caffemodel": Kind.CAFFE,
    ".nb": Kind.LITE,
    ".pth": Kind.TORCH,
    ".pt2": Kind.TORCH,
    ".tar": Kind.ARCHIVE,
    ".tgz": Kind.ARCHIVE,
    ".tar.gz": Kind.ARCHIVE,
    ".zip": Kind.ARCHIVE,
}


def what(path: Path) -> Kind:
    """What the file at *path* holds: the content decides, the suffix where the content leaves it open.

    Raises:
        NotAModelError: it cannot be read or is no ordinary file.
    """
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        head = read_at(fd, HEAD, 0, path)
    finally:
        os.close(fd)
    return (
        _by_content(head, size, path) or _by_name(path.name.lower()) or _foreign(head, path.name.lower()) or Kind.OTHER
    )


def _foreign(head: bytes, name: str) -> Optional[Kind]:
    """What has nothing to do with models."""
    if name.endswith(_MODELS) or name in ("model", "params"):
        return None
    if head.startswith(_PICTURES) or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        return Kind.PICTURE
    if head.startswith(b"%PDF-"):
        return Kind.DOCUMENT
    if head.startswith((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe")):
        return Kind.EXECUTABLE
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as e:
        if e.start < len(head) - 3:  # not just a character that the end of what was read cuts
            return None
        text = head[: e.start].decode("utf-8")
    if not text or any(ord(c) < 32 and c not in "\t\r\n\f\x1b" for c in text):
        return None
    if text.lstrip("\ufeff \t\r\n")[:9].lower().startswith(("<!doctype", "<html")):
        return Kind.WEB_PAGE
    if name.endswith(".py"):
        return Kind.PYTHON
    if name.endswith((".yml", ".yaml")):
        keys = ("PreProcess:", "PostProcess:", "Global:", "Hpi:")
        return Kind.PADDLEX if any(line.startswith(keys) for line in text.splitlines()) else Kind.YAML
    return Kind.TEXT


def _by_name(name: str) -> Optional[Kind]:
    return next((kind for suffix, kind in _BY_SUFFIX.items() if name.endswith(suffix)), None)


def _by_content(head: bytes, size: int, path: Path) -> Optional[Kind]:
    name = path.name.lower()
    if head.startswith(b"version https://git-lfs"):
        return Kind.LFS
    if looks_like_program(head):
        return Kind.PROGRAM
    if looks_like_record(head, size):
        return Kind.PARAMS
    if head[:1] in b"{[ \t\r\n\xef" and name.endswith(".json"):
        return Kind.PIR if is_pir(path, head, size) else Kind.JSON
    if head.startswith(b"{") and b'"base_code"' in head and is_pir(path, head, size):
        return Kind.PIR
    if head.startswith(b"PK\x03\x04"):
        # torch.save and torch.export write zip archives with a data.pkl or a version entry near the front
        torch = name.endswith((".pt", ".pth", ".bin", ".pt2", ".ckpt")) or b"data.pkl" in head
        return Kind.TORCH if torch else Kind.ARCHIVE
    if head.startswith(b"\x89HDF\r\n"):
        return Kind.HDF5
    if head[4:8] == b"TFL3":
        return Kind.TFLITE
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf")) or head[257:262] == b"ustar":
        return Kind.ARCHIVE
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size - 8:
        return Kind.SAFETENSORS
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        by_name = _by_name(name)
        if by_name is None and name.endswith((".pt", ".bin", ".ckpt")):
            return Kind.TORCH
        return by_name or Kind.PICKLE
    if _looks_like_onnx(head):
        return Kind.ONNX
    if not size:
        return Kind.EMPTY
    if name.endswith(".pt"):
        return Kind.TORCH
    return None


def looks_like_program(head: bytes) -> bool:
    """Whether the bytes begin with a block (field 1) that begins with its number (0) and its parent.

    A truncated program still does: what is wrong with it is said when it is read.
    """
    if head[:1] != b"\x0a":
        return False
    length, at = varint(head, 1)
    # framework.proto requires idx and parent_idx, and every writer puts them first
    return length is not None and head[at : at + 3] == b"\x08\x00\x10"


def looks_like_record(head: bytes, size: int) -> bool:
    """Whether the bytes begin with a parameter's header: version 0, few LoD levels, a tensor description."""
    if len(head) < 24 or head[:4] != bytes(4):
        return False
    (levels,) = struct.unpack_from("<Q", head, 4)
    if levels:
        return cast("bool", levels <= 16)
    version, length = struct.unpack_from("<Ii", head, 12)
    return version == 0 and 2 <= length <= min(1024, size - 20) and head[20:21] == b"\x08"


def _looks_like_onnx(head: bytes) -> bool:
    # ModelProto: ir_version (1, varint; 3 is ONNX 1.0, and TensorFlow's SavedModel has 1 there), then producer_name (2), graph (7) or opset_import (8)
    return len(head) > 2 and head[0] == 8 and 3 <= head[1] < 32 and head[2:3] in (b"\x12", b"\x3a", b"\x42")


def varint(data: bytes, at: int) -> tuple[Optional[int], int]:
    """A protobuf varint at *at* and where it ends; None when it is cut off or longer than 64 bits."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return None, at
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return None, at


def is_pir(path: Path, head: Optional[bytes] = None, size: Optional[int] = None) -> bool:
    """Whether a JSON file is a PIR program: its ``base_code.magic`` is ``pir``."""
    if head is None or size is None:
        fd = open_regular(path)
        try:
            head, size = read_at(fd, HEAD, 0, path), os.fstat(fd).st_size
        finally:
            os.close(fd)
    # Paddle writes the keys sorted, so base_code comes first and the megabytes after it need no parsing
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    start = text.find('"base_code"')
    if start >= 0 and not text[:start].strip("{ \t\r\n"):
        value = text[start + len('"base_code"') :].lstrip(": \t\r\n")
        try:
            base, _ = json.JSONDecoder().raw_decode(value)
        except (ValueError, RecursionError):
            base = None
        if isinstance(base, dict):
            return base.get("magic") == "pir"
    if size > _JSON_LIMIT:
        return False
    try:
        whole = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    base = whole.get("base_code") if isinstance(whole, dict) else None
    return isinstance(base, dict) and base.get("magic") == "pir"
