"""Where the data of an ONNX tensor lie beside its model: the one guard, for whatever reads them.

A location is a file of the model's folder, by whatever way it is written: what leaves the folder, through ``..`` or a
link, is refused, so is what is no ordinary file. Offset and length are ASCII digits. A sparse file may be of any size
on paper; what is taken of it draws on the budget, which grows only with what the file takes on the disk.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mconv import budget
from mconv.errors import CorruptModelError, UntrustedError
from mconv.printable import printable

EXTERNAL = 1  # TensorProto.DataLocation
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_KEYS = ("location", "offset", "length")


class Located(NamedTuple):
    """A piece of a file: *length* is None where the model does not say it, *size* is the file's."""

    path: Path
    offset: int
    length: Optional[int]
    size: int


def locate(model: Optional[Path], tensor: Any, name: str = "", own: Optional[str] = None) -> Located:
    """Where the data of a TensorProto with external data are.

    Args:
        model: its file; None for a model that is none.
        own: the location that stands for the model's file itself.

    Raises:
        CorruptModelError: the entries are no file name or no numbers, there is no such file, or it is shorter.
        UntrustedError: the file lies outside of the model's folder, or is no ordinary one.
    """
    name = printable(name or tensor.name or "a constant", 100)
    entries = [(e.key, e.value) for e in tensor.external_data if e.key in _KEYS]
    found = dict(entries)
    if len(found) != len(entries):
        raise CorruptModelError(f"{name}: its external data say something twice")
    for key in _KEYS[1:]:
        if key in found and not _NUMBER.fullmatch(found[key]):
            raise CorruptModelError(
                f"{name}: the {key} of its external data is {printable(found[key], 40)!r}, no number"
            )
    location = found.get("location", "")
    if model is None:
        raise CorruptModelError(f"{name}: external data {printable(location, 100)!r} of a model that is not a file")
    path = model if location == own else _inside(model, location, name)
    try:
        size = path.stat().st_size
    except OSError as e:
        raise CorruptModelError(f"{name}: its external data cannot be read ({e.strerror})") from None
    budget.file(path)
    offset = int(found.get("offset", "0"))
    length = int(found["length"]) if "length" in found else None
    if offset + (length or 0) > size:
        raise CorruptModelError(
            f"{name}: its data end at byte {offset + (length or 0)} of {printable(path.name, 100)}, which has {size}",
            "export the model again, or compare the file's size with the original's",
        )
    return Located(path, offset, length, size)


def _inside(model: Path, location: str, name: str) -> Path:
    if not location.isprintable():
        raise CorruptModelError(f"{name}: its external data location is no file name")
    told = printable(location, 100)
    try:
        base = model.resolve().parent
        path = Path(os.path.normpath(base / location)) if location else base
        real = path.resolve()
        inside = bool(location) and not os.path.isabs(location) and base in path.parents and base in real.parents
        there, ordinary = real.exists(), real.is_file()
    except (OSError, RuntimeError, ValueError) as e:  # a name that is too long, links in a circle
        reason = getattr(e, "strerror", None) or "links in a circle"
        raise CorruptModelError(f"{name}: the external data {told!r} cannot be found ({reason})") from None
    if not inside:
        raise UntrustedError(
            f"{name}: external data {told!r} lie outside of the model's folder", "put the file beside the model"
        )
    if there and not ordinary:
        raise CorruptModelError(f"{name}: external data {told!r} are no ordinary file", "put the file beside the model")
    if not ordinary:
        raise CorruptModelError(
            f"{name}: the external data file {told!r} is missing", f"it belongs beside {printable(str(model), 200)}"
        )
    return real


def tensors(model: Any) -> Iterator[Any]:
    """Every TensorProto of a ModelProto that may have external data: in all graphs, attributes and functions."""
    yield from _of_graph(model.graph)
    for function in model.functions:
        yield from _of_nodes(function.node)


def _of_graph(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else ()),
                *attribute.sparse_tensors,
            ):
                yield from (sparse.values, sparse.indices)
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _of_graph(graph)


def check(path: Path, model: Any, own: Optional[str] = None) -> None:
    """Refuse a model whose external data another reader, which guards itself less, must not open.

    Args:
        model: the ModelProto in the file *path*.
        own: as of :func:`locate`.

    Raises:
        CorruptModelError, UntrustedError: see :func:`locate`.
    """
    for tensor in tensors(model):
        if tensor.data_location == EXTERNAL:
            locate(path, tensor, own=own)


def load(path: Path, model: Any) -> None:
    """Put all external data into the ModelProto, as ``onnx.load_external_data_for_model`` does.

    Raises:
        CorruptModelError, UntrustedError: see :func:`locate`.
        LimitError: they are out of proportion to the files.
    """
    for tensor in tensors(model):
        if tensor.data_location == EXTERNAL:
            found = locate(path, tensor)
            length = found.size - found.offset if found.length is None else found.length
            budget.memory(length, "the external data")
            with found.path.open("rb") as file:
                file.seek(found.offset)
                tensor.raw_data = file.read(length)
            tensor.ClearField("data_location")
            del tensor.external_data[:]
