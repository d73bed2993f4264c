"""``.pdparams`` without running what is in it.

The format is a pickle, and a pickle may call anything. What ``paddle.save`` writes needs half a dozen names; each is
answered here by a stand-in that builds plain arrays and checks their sizes, so that not even numpy's own functions are
within reach of the file.
"""

from __future__ import annotations

import collections
import math
import os
import pickle
import re
from pathlib import Path
from typing import Any, BinaryIO, Callable, Optional

import numpy as np

from mconv.errors import CorruptModelError, NotAModelError, UntrustedError
from mconv.printable import printable
from mconv.program import pickles
from mconv.program.copying import open_regular

# one letter for the kind and the bytes of an element; O (objects) and V (records) are left out on purpose
_DTYPE = re.compile(r"(?:[<>=|]?)([?bBhHiIlLqQefdFD]|[iu][1248]|f[248]|c8|c16|b1)")


class _Dtype:
    """Stands for ``numpy.dtype``: a number's type, told by its name, and a byte order set afterwards."""

    def __init__(self, name: Any, align: Any = False, copy: Any = True):
        if not isinstance(name, str) or not _DTYPE.fullmatch(name):
            raise _Refused(f"arrays of type {printable(str(name), 40)!r}")
        self.value = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[2:5] != (None, None, None):
            raise _Refused("arrays of records")
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class _ArrayType:
    """Stands for the class ``numpy.ndarray``: named by the file, and never called."""


class _Array:
    """An array that is being put together."""

    def __init__(self) -> None:
        self.value: Optional[np.ndarray] = None

    def __setstate__(self, state: Any) -> None:
        try:
            _, shape, dtype, fortran, raw = state
            wanted = dtype.value
        except (TypeError, ValueError, AttributeError):
            raise _Damaged("the description of an array") from None
        if not isinstance(raw, (bytes, bytearray)):
            raise _Refused("arrays of objects")
        self.value = _array(shape, wanted, raw, order="F" if fortran else "C")


def _array(shape: Any, dtype: np.dtype, raw: Any, order: Any = "C") -> np.ndarray:
    if not isinstance(shape, tuple) or not all(type(d) is int and d >= 0 for d in shape):
        raise _Damaged(f"an array of shape {printable(str(shape), 60)}")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise _Damaged(f"an array of shape {list(shape)} with {len(raw)} bytes")
    native = dtype.newbyteorder("=")
    return np.frombuffer(raw, dtype).reshape(shape, order=order).astype(native, copy=False)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _ArrayType:
        raise _Refused("arrays of a class of their own")
    return _Array()


def _scalar(dtype: Any, raw: Any) -> np.ndarray:
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise _Damaged("a number")
    return _array((), dtype.value, raw)


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """Protocol 5: the array in one piece."""
    if not isinstance(dtype, _Dtype) or not isinstance(raw, (bytes, bytearray)):
        raise _Damaged("the description of an array")
    made = _Array()
    made.value = _array(shape, dtype.value, raw, order="F" if order == "F" else "C")
    return made


def _evaluated(text: Any, names: Any = None) -> Any:
    """Stands for ``eval``, which ``paddle.save`` of a bare tensor names: only ``eval('data', {'data': …})`` is."""
    if text != "data" or not isinstance(names, dict) or list(names) != ["data"]:
        raise _Refused("Python code (eval)")
    return names["data"]


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for ``_codecs.encode``: bytes in pickles of protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused("text in another encoding")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Stands for ``bytes``, which pickles of protocol 2 name for empty ones."""
    return b""


_BUILTINS: dict[str, Any] = {
    "tuple": tuple,
    "list": list,
    "dict": dict,
    "set": set,
    "eval": _evaluated,
    "bytes": _no_bytes,
}
_MULTIARRAY: dict[str, Any] = {"_reconstruct": _reconstruct, "scalar": _scalar}
_ALLOWED: dict[str, dict[str, Any]] = {
    "builtins": _BUILTINS,
    "__builtin__": _BUILTINS,
    "collections": {"OrderedDict": collections.OrderedDict},
    "_codecs": {"encode": _encoded},
    "numpy": {"ndarray": _ArrayType, "dtype": _Dtype},
    "numpy.core.multiarray": _MULTIARRAY,
    "numpy._core.multiarray": _MULTIARRAY,
    "numpy.core.numeric": {"_frombuffer": _frombuffer},
    "numpy._core.numeric": {"_frombuffer": _frombuffer},
}


class _Refused(Exception):
    """The file asks for something that a file of parameters has no need of."""


class _Damaged(Exception):
    """The file contradicts itself."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module][name]
        except KeyError:
            raise _Refused(printable(f"{module}.{name}", 120)) from None

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("objects kept elsewhere")


def load(path: Path) -> Any:
    """What a ``.pdparams`` file holds: dictionaries, lists and tuples of arrays, numbers and strings.

    Raises:
        NotAModelError: it cannot be read, or is no pickle.
        UntrustedError: it wants to run something that a file of parameters has no need of.
        CorruptModelError: it is damaged.
    """

    def followed(file: BinaryIO) -> Any:
        # before the unpickler in C, which takes the memory that numbers in the file ask for
        pickles.walk(pickles.Bytes(file, os.fstat(file.fileno()).st_size), name=_named, keep=_elsewhere)
        file.seek(0)
        return _Unpickler(file, encoding="latin1").load()

    return _read(path, followed)


def _named(full: str) -> None:
    module, _, name = full.rpartition(".")
    if name not in _ALLOWED.get(module, {}):
        raise _Refused(printable(full, 120))


def _elsewhere(key: Any) -> Any:
    raise _Refused("objects kept elsewhere")


def load_trusting(path: Path) -> Any:
    """As :func:`load`, and whatever code the file brings is run.

    Raises:
        NotAModelError, CorruptModelError: as for :func:`load`.
    """
    return _read(path, lambda file: pickle.load(file, encoding="latin1"))


def _read(path: Path, unpickle: Callable[[Any], Any]) -> Any:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            if not file.read(1):
                raise CorruptModelError(f"{path}: an empty file")
            file.seek(0)
            return _plain(unpickle(file))
    except OSError as e:
        raise NotAModelError(f"{path}: cannot be read ({e.strerror})") from None
    except _Refused as e:
        raise UntrustedError(
            f"{path}: loading it would run {e}, which a file of parameters has no need of",
            "do not use it, or, if you made it yourself, say --trust",
        ) from None
    except (CorruptModelError, NotAModelError):
        raise
    except (_Damaged, pickles.Damaged) as e:
        raise CorruptModelError(f"{path}: damaged: {printable(str(e), 160)}") from None
    except RecursionError:
        raise CorruptModelError(f"{path}: damaged: nested too deeply") from None
    except Exception as e:  # noqa: BLE001 - the C unpickler raises nearly every class on damaged bytes
        first = printable(str(e), 160)
        raise CorruptModelError(
            f"{path}: damaged, or no file that paddle.save wrote ({type(e).__name__}: {first})",
            "weights are a .pdparams file, the state_dict of a layer as paddle.save writes it",
        ) from None


def _plain(root: Any) -> Any:
    """With the arrays in the place of what built them. What is shared stays shared: no small file becomes a large one."""
    done: dict[int, Any] = {}
    open_ = object()

    def walk(value: Any) -> Any:
        if isinstance(value, _Array):
            if value.value is None:
                raise _Damaged("an array without a value")
            return value.value
        if not isinstance(value, (dict, list, tuple, set)):
            return value
        key = id(value)
        if done.get(key) is open_:
            raise _Damaged("a container that holds itself")
        if key not in done:
            done[key] = open_
            if isinstance(value, dict):
                done[key] = {k: walk(v) for k, v in value.items()}
            else:
                done[key] = (tuple if isinstance(value, tuple) else list)(walk(v) for v in value)
        return done[key]

    return walk(root)
