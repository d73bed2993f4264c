"""External data: the files that an ONNX model names beside itself, found without opening them."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path

from mconv.errors import UntrustedError
from mconv.onnx.reader import INLINE, OnnxModel, read
from mconv.program import external_data
from mconv.program.paths import PathLike


def external_files(model: OnnxModel) -> list[str]:
    """The files of external data, as the model calls them; those with names that cannot be printed are left out."""
    found = set()
    for tensor in external_data.tensors(model.proto):
        if tensor.data_location == 1:  # EXTERNAL
            found.add({e.key: e.value for e in tensor.external_data}.get("location", ""))
    return sorted(name for name in found - {INLINE, ""} if name.isprintable())


def names_beside(path: PathLike) -> list[str]:
    """The files of external data of the model at *path*, which need not be there yet.

    Returns:
        Paths relative to the model's folder, with / and without dots, sorted; the model itself is none of them.

    Raises:
        NotAModelError, CorruptModelError: it is no ONNX model, or a damaged one.
        UntrustedError: one lies outside of the model's folder.
    """
    path = Path(path)
    found = set()
    for name in external_files(read(path)):
        inner = posixpath.normpath(name)
        if posixpath.isabs(name) or os.path.isabs(name) or inner.split("/")[0] in ("..", "."):
            raise UntrustedError(
                f"{path.name}: external data {name!r} lie outside of the model's folder",
                "such a model is not fetched, nor pinned",
            )
        found.add(inner)
    return sorted(found - {path.name})
