"""Archives are read as every reader reads them, or not at all."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mconv import budget
from mconv.errors import CorruptModelError, LimitError, NotAModelError
from mconv.program.zip_archive import ZipArchive

HELD = {"a/x": b"first", "a/y": b"", "a/z": bytes(range(256)) * 40}


def written(kind: str) -> bytes:
    out = io.BytesIO()
    if kind.startswith("numpy"):
        (np.savez if kind == "numpy" else np.savez_compressed)(out, **{n: np.arange(5) for n in "ab"})
        return out.getvalue()
    method = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED

    class Pipe(io.RawIOBase):  # sizes follow the data where the writer cannot go back
        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            return out.write(data)

    with zipfile.ZipFile(Pipe() if kind == "piped" else out, "w", method) as archive:
        for name, content in HELD.items():
            with archive.open(name, "w", force_zip64=kind == "large") as record:
                record.write(content)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["stored", "deflated", "piped", "large", "numpy", "numpy compressed"])
def test_what_others_write(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(written(kind))
    with zipfile.ZipFile(path) as want:
        for got in (ZipArchive(path), ZipArchive("x", path.read_bytes())):
            with got:
                assert {r.name: got.read(r) for r in got.records} == {n: want.read(n) for n in want.namelist()}


def test_what_torch_writes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(3)}, tmp_path / "x.pt")
    with ZipArchive(tmp_path / "x.pt") as got, zipfile.ZipFile(tmp_path / "x.pt") as want:
        assert {r.name: got.read(r) for r in got.records} == {n: want.read(n) for n in want.namelist()}


@pytest.mark.parametrize("kind", ["stored", "deflated", "large"])
def test_every_byte_of_the_structure_counts(kind: str, tmp_path: Path) -> None:
    """A changed byte in the directory or before a record is noticed, unless it is one that no reader goes by (dates,
    versions, attributes, checksums); what is read is what was there."""
    raw = written(kind)
    with ZipArchive("x", raw) as archive:
        sound = {r.name: archive.read(r) for r in archive.records}
        data = {i for r in archive.records for i in range(r.start, r.start + r.packed)}
    noticed = 0
    for at in sorted(set(range(len(raw))) - data):
        changed = bytearray(raw)
        changed[at] ^= 0x21
        try:
            with ZipArchive("x", bytes(changed)) as archive:
                found = {r.name: archive.read(r) for r in archive.records}
        except (CorruptModelError, LimitError):
            noticed += 1
        else:
            assert found == sound, at
    assert noticed > 60 * len(HELD)


def test_cut_off_anywhere() -> None:
    raw = written("stored")
    for size in range(0, len(raw), 7):
        with pytest.raises(CorruptModelError):
            ZipArchive("x", raw[:size])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: b"x" + raw, "between its records|before"),
        (lambda raw: raw + b"x", "does not end"),
        (lambda raw: raw + raw, "between its records|before"),
        (lambda raw: raw[:-2] + struct.pack("<H", 3) + b"abc", "does not end"),
        (lambda raw: raw.replace(b"a/x", b"a/z"), "two records"),
        (lambda raw: raw.replace(b"a/x", b"a/\xff"), "no text"),
        (lambda raw: raw.replace(b"a/x", b"a/q", 1), "another record"),
    ],
)
def test_two_archives_in_one(change: object, said: str) -> None:
    with pytest.raises(CorruptModelError, match=said):
        ZipArchive("x", change(written("stored")))  # type: ignore[operator]


def test_encrypted_and_unknown_methods() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a/x", b"y" * 100)
    with pytest.raises(CorruptModelError, match="a method that is not known"):
        ZipArchive("x", out.getvalue())
    raw = bytearray(written("stored"))
    for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(sign) + offset] |= 1
    with pytest.raises(CorruptModelError, match="encrypted"):
        ZipArchive("x", bytes(raw))


def test_overlapping_records() -> None:
    """Quoted records, as bombs have them: several names for one range of bytes."""
    raw = written("stored")
    with ZipArchive("x", raw) as archive:
        last = archive.records[-1]
    at = raw.index(b"PK\x01\x02")
    offset = raw.rindex(b"PK\x03\x04")
    changed = bytearray(raw)
    struct.pack_into("<L", changed, at + 42, offset)
    assert last.size > 5
    with pytest.raises(CorruptModelError):
        ZipArchive("x", bytes(changed))


def test_what_unfolds(tmp_path: Path) -> None:
    """Draws on the budget of a command, before anything is unpacked."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a/x", bytes(100 << 20))
    with budget.command("50M"), ZipArchive(path) as held, pytest.raises(LimitError, match="100.0 MB"):
        held.draw()
    with budget.command("200M"), ZipArchive(path) as held:
        held.draw()


def test_a_record_that_unpacks_to_another_size() -> None:
    raw = bytearray(written("deflated"))
    size = len(HELD["a/z"])
    for offset in (raw.rindex(b"PK\x03\x04") + 22, raw.rindex(b"PK\x01\x02") + 24):
        assert struct.unpack_from("<L", raw, offset)[0] == size
        struct.pack_into("<L", raw, offset, size - 1)
    with ZipArchive("x", bytes(raw)) as archive, pytest.raises(CorruptModelError, match="does not unpack"):
        archive.read(archive.by_name["a/z"])


def test_no_ordinary_file(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing"):
        with pytest.raises(NotAModelError):
            ZipArchive(path)
