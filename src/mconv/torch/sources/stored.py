"""Pickles of tensors: what they name, and whether every tensor lies within the bytes that the file has for it.

``torch`` takes sizes from a pickle as they are: a storage of any size, a view of it that ends anywhere. Its readers in
C++ do not notice, and read what is behind; those in Python take the memory first.
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO, Callable, Optional

from mconv import budget
from mconv.errors import CorruptModelError
from mconv.printable import printable
from mconv.program import pickles
from mconv.program.pickles import Damaged, Kept, Made, Name

_STORAGES = {
    "Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
    "ComplexDouble": 16, "ComplexFloat": 8, "QInt8": 1, "QUInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1,
    "Untyped": 1,
}  # fmt: skip
_DTYPES = {
    "float64": 8, "double": 8, "float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2, "int64": 8, "long": 8,
    "int32": 4, "int": 4, "int16": 2, "short": 2, "int8": 1, "uint8": 1, "bool": 1, "uint16": 2, "uint32": 4,
    "uint64": 8, "complex32": 4, "complex64": 8, "cfloat": 8, "complex128": 16, "cdouble": 16,
}  # fmt: skip
_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor")
_HASHING = {"collections.Counter", "builtins.set", "__builtin__.set", "builtins.frozenset", "__builtin__.frozenset"}
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# the bytes of one storage, by its key; -1: there is none
Sizes = Callable[[str], int]


class Stored(Kept):
    """A storage: ``("storage", type, key, location, elements)``. What else is kept outside of a pickle holds no tensor."""


class Reader:
    """Follows the pickles of one file.

    Args:
        sizes: the bytes that the file has for a storage; None where they follow the pickle (files before 1.6).
        name: called with every name; may raise.
        by_name: see :func:`mconv.program.pickles.walk`.
    """

    def __init__(
        self,
        sizes: Optional[Sizes],
        name: Callable[[str], None] = lambda full: None,
        *,
        by_name: bool = False,
    ):
        self.sizes, self.name, self.by_name = sizes, name, by_name
        self.storages: dict[str, int] = {}  # key → bytes
        self.counts: dict[str, int] = {}  # key → elements
        self.parts: dict[str, int] = {}  # key of a part of one → bytes
        self.names: list[str] = []

    def walk(self, source: Any) -> Any:
        """What the next pickle describes.

        Raises:
            Damaged: it is no sound pickle, or a tensor in it has not the bytes that it asks for.
        LimitError: the views of a storage are far larger than it.
        """
        return pickles.walk(source, name=self._named, call=self._call, keep=self._keep, by_name=self.by_name)

    def _named(self, full: str) -> None:
        self.names.append(full)
        self.name(full)

    def _keep(self, key: Any) -> Kept:
        if not isinstance(key, tuple) or not key or key[0] != "storage":
            return Kept(key)  # a module's source in old files, which torch refuses itself
        if len(key) not in (5, 6) or not isinstance(key[1], Name) or not isinstance(key[2], str):
            raise Damaged("a storage without a name")
        count, item = key[4], _item(key[1].full)
        if not is_size(count) or item is None:
            raise Damaged("a storage without a size")
        if not isinstance(key[3], str):
            raise Damaged("a storage without a location")
        there = count * item if self.sizes is None else self.sizes(key[2])
        if there < 0 or count * item > there:
            raise Damaged(f"storage {key[2][:40]} has {max(there, 0)} bytes, not {count * item}")
        if self.counts.setdefault(key[2], count) != count or self.storages.setdefault(key[2], there) < count * item:
            raise Damaged(f"storage {key[2][:40]} has two sizes")
        view = key[5] if len(key) == 6 else None
        if view is None:
            return Stored(key)
        # torch before 0.4: a part of a storage
        if not isinstance(view, tuple) or len(view) != 3 or not isinstance(view[0], str):
            raise Damaged("a part of a storage without a name")
        if not is_size(view[1]) or not is_size(view[2]) or view[1] + view[2] > count:
            raise Damaged("a part of a storage that is not in it")
        self.parts[view[0]] = view[2] * item
        return Stored(("storage", key[1], view[0], key[3], view[2]))

    def _call(self, function: str, arguments: tuple) -> Any:
        module, _, name = function.rpartition(".")
        if module == "torch._utils" and name in _TENSORS:
            self._tensor(name, arguments)
        elif name == "_reconstruct" and len(arguments) > 1 and arguments[1] != (0,):
            raise Damaged("an array without a value")
        elif function == "_codecs.encode" and not (len(arguments) == 2 and str(arguments[1]) in ("latin1", "latin-1")):
            raise Damaged("text in another encoding")
        elif name in ("bytearray", "bytes", "ndarray") and any(isinstance(a, (int, tuple)) for a in arguments):
            raise Damaged("memory without a content")
        elif function in _HASHING:
            pickles.keys([k for a in arguments if isinstance(a, (list, tuple, dict)) for k in a])
        elif function == "collections.OrderedDict" and arguments:
            pairs = arguments[0]
            if not isinstance(pairs, (list, tuple)) or not all(isinstance(p, (list, tuple)) and p for p in pairs):
                raise Damaged("a dictionary of something else")
            pickles.keys([p[0] for p in pairs])
        return None

    def _tensor(self, name: str, arguments: tuple) -> None:
        if len(arguments) < 4 or not isinstance(arguments[0], Stored):
            raise Damaged("a tensor without a storage")
        kept, offset, sizes, strides = arguments[:4]
        sizes, strides = _numbers(sizes), _numbers(strides)
        if not is_size(offset) or sizes is None or strides is None or len(sizes) != len(strides):
            raise Damaged("a tensor without a size")
        key = kept.key
        item = _item(key[1].full) or 1
        if name == "_rebuild_tensor_v3" and len(arguments) > 6 and isinstance(arguments[6], Name):
            item = _DTYPES.get(arguments[6].full.rpartition(".")[2], 1)
        there = self.parts.get(key[2], self.storages.get(key[2], 0))
        if extent(sizes, strides, offset) * item > there:
            raise Damaged(f"a tensor of {list(sizes)} in {there} bytes")
        # a view may be larger than what it is of
        budget.memory(math.prod(sizes) * item, f"a tensor of {list(sizes)}")


def extent(sizes: tuple[int, ...], strides: tuple[int, ...], offset: int) -> int:
    """Elements of a storage, from its beginning, that a view of it takes."""
    return 0 if 0 in sizes else offset + 1 + sum((d - 1) * s for d, s in zip(sizes, strides))


def _item(name: str) -> Optional[int]:
    kind = name.rpartition(".")[2]
    return _STORAGES.get(kind[: -len("Storage")]) if kind.endswith("Storage") else None


def is_size(value: Any) -> bool:
    """Whether a value can be a size, a stride or an offset."""
    return type(value) is int and 0 <= value < 1 << 62


def _numbers(value: Any) -> Optional[tuple[int, ...]]:
    if isinstance(value, Made) and value.arguments:  # torch.Size
        value = value.arguments[0]
    if not isinstance(value, (list, tuple)) or len(value) > 64 or not all(map(is_size, value)):
        return None
    return tuple(value)


def check_file(file: BinaryIO, size: int, where: Any) -> list[str]:
    """Follow a file of ``torch.save`` that is no archive (before 1.6): four pickles, their storages' keys, and those.

    Args:
        size: its bytes.
        where: what is read, for messages.

    Returns:
        The names in it.

    Raises:
        CorruptModelError: it is damaged.
    """
    reader = Reader(None)
    try:
        source = pickles.Bytes(file, size)
        head = [pickles.walk(source) for _ in range(3)]
        if head[:2] != [_MAGIC, _PROTOCOL] or not isinstance(head[2], dict):
            raise Damaged("it does not begin as one")
        reader.walk(source)
        keys = pickles.walk(source)
        if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
            raise Damaged("its storages have no names")
        if sorted(keys) != sorted(reader.counts):
            raise Damaged("its storages are not those that it names")
        offset = source.tell()
        for key in keys:
            file.seek(offset)
            if int.from_bytes(file.read(8), "little") != reader.counts[key]:
                raise Damaged("a storage with two sizes")
            offset += 8 + reader.storages[key]
        if offset > size:
            raise Damaged("it ends before its storages do")
    except Damaged as e:
        raise damaged(where, e) from None
    return reader.names


def damaged(where: Any, error: Damaged) -> CorruptModelError:
    """The error for a pickle that cannot be followed."""
    return CorruptModelError(f"{where}: a damaged pickle ({printable(str(error), 160)})")
