"""The archives of PyTorch: which records each form has, and nothing else.

``torch``'s reader takes the folder of the first record for the archive's name, looks records up without regard to case,
and reads what has the right beginning whatever its ending is. So the question is never which records are dangerous, but
which ones the form has need of: a record under any other name, in another case or folder, is refused.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional, Union

from mconv.errors import CorruptModelError, UntrustedError
from mconv.printable import printable
from mconv.program.closing import Closing
from mconv.program.zip_archive import STORED, Record, ZipArchive
from mconv.torch.sources.forms import OLD_PROGRAM, Form

TRUST_HINT = "--trust allows it, if you know where the file comes from"

_COMMON = r"version|byteorder|\.data/version|\.data/serialization_id|\.format_version|\.storage_alignment"
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.\-]*"
_PLACE = rf"(?:{_WORD}/)*{_WORD}"
_ALLOWED = {
    Form.SAVED: re.compile(rf"{_COMMON}|data\.pkl|data/[0-9]+"),
    Form.SCRIPT: re.compile(
        rf"{_COMMON}|data\.pkl|constants\.pkl|traced_inputs\.pkl|(?:data|constants|traced_inputs)/[0-9]+"
        rf"|code/{_PLACE}\.py|code/{_PLACE}\.py\.debug_pkl|extra/{_PLACE}"
    ),
    Form.EXPORTED: re.compile(
        rf"{_COMMON}|archive_format|archive_version|models/{_WORD}\.json|data/sample_inputs/{_WORD}\.pt"
        rf"|data/weights/(?:weight_[0-9]+|{_WORD}\.pt|{_WORD}_weights_config\.json)"
        rf"|data/constants/(?:tensor_[0-9]+|{_WORD}\.pt|{_WORD}_constants_config\.json)|extra/{_PLACE}"
    ),
}
# what torch.export.save wrote before 2.8: no folder
_OLD = re.compile(
    rf"version|serialized_exported_program\.json|serialized_(?:state_dict|constants)\.(?:pt|json)"
    rf"|serialized_example_inputs\.pt|extra_files/{_PLACE}"
)
_CODE = re.compile(r"data/(aotinductor|executorch)/|\.(so|pyd|dll|dylib|o|a|cpp|cubin|ptx)$", re.IGNORECASE)
_OBJECTS = re.compile(r"(custom|opaque)_obj_", re.IGNORECASE)
# bytes; torch cuts longer names off when it lists them
_LONGEST = 480


class Archive(Closing):
    """An archive of one form, all of whose records are known.

    Args:
        path: the file; for messages alone where *data* is given.
        form: what :func:`mconv.torch.sources.forms.recognise` said.
        data: the bytes of the archive, where it is a record of another.

    Attributes:
        records: name, without the archive's folder → record.
        old: whether it is a program of ``torch.export.save`` before 2.8.

    Raises:
        CorruptModelError, NotAModelError: see :class:`ZipArchive`.
        LimitError: its records unfold to far more than the file has.
        UntrustedError: it holds a record that the form has no need of.
    """

    def __init__(self, path: Union[Path, str], form: Form, data: Optional[bytes] = None):
        self.path, self.form = path, form
        self._zip = ZipArchive(path, data)
        try:
            self.old = form is Form.EXPORTED and OLD_PROGRAM in self._zip.by_name
            self.records = self._checked()
            self._zip.draw()
        except BaseException:
            self._zip.close()
            raise

    def close(self) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """The bytes of a record.

        Raises:
            CorruptModelError: it is not there, or damaged.
        """
        record = self.records.get(name)
        if record is None:
            raise self.missing(name)
        return self._zip.read(record)

    def missing(self, name: str) -> CorruptModelError:
        """The error for a record that should be there."""
        return CorruptModelError(f"{self.path}: its record {printable(name, 120)} is missing")

    @property
    def stored(self) -> bool:
        """Whether no record is compressed, so that tensors can stay in the file."""
        return all(r.method == STORED for r in self.records.values())

    def size(self, name: str) -> int:
        """Bytes of a record, unpacked; -1 where there is none."""
        return self.records[name].size if name in self.records else -1

    def _checked(self) -> dict[str, Record]:
        found: dict[str, Record] = {}
        allowed = _OLD if self.old else _ALLOWED[self.form]
        root = "" if self.old else self._root()
        for record in self._zip.records:
            name = record.name
            if not name.startswith(root) or len(name.encode()) > _LONGEST:
                raise CorruptModelError(f"{self.path}: its record {printable(name, 120)} is outside of its folder")
            inner = name[len(root) :]
            if name.endswith("/") and not record.size and _folder(inner):
                if self.form is Form.EXPORTED and inner.startswith("models/"):
                    raise CorruptModelError(
                        f"{self.path}: an entry for the folder {inner}, which torch takes for a model",
                        "pack it without entries for folders: zip -D",
                    )
                continue
            if not allowed.fullmatch(inner):
                raise self._unknown(inner)
            found[inner] = record
        return found

    def _root(self) -> str:
        """The folder that all records are in, which torch takes from the first one."""
        if not self._zip.records:
            raise CorruptModelError(f"{self.path}: an archive without records")
        root, slash, _ = self._zip.records[0].name.partition("/")
        if not slash or not root.isprintable() or "\\" in root or root in ("", ".", ".."):
            raise CorruptModelError(f"{self.path}: its records are in no folder")
        return root + slash

    def _unknown(self, name: str) -> UntrustedError:
        shown = printable(name, 120)
        if _CODE.search(name):
            return UntrustedError(f"{self.path}: brings compiled code ({shown})", TRUST_HINT)
        if _OBJECTS.search(name):
            return UntrustedError(f"{self.path}: brings pickled objects ({shown})", TRUST_HINT)
        return UntrustedError(f"{self.path}: holds {shown!r}, which {self.form.value} has no need of", TRUST_HINT)


def _folder(name: str) -> bool:
    """Whether a name is that of a folder in an archive, or of the archive's own."""
    return not name or re.fullmatch(rf"(?:\.data|{_PLACE})/", name) is not None
