"""``mconv check``: whether a converted folder, and its source, still are what ``provenance.json`` says."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mconv.artifacts.hashing import BLAKE3, SHA256, FileHash, hash_file
from mconv.artifacts.provenance import NAME, NOT_COVERED, SCHEMA, expand
from mconv.errors import AlteredError, CorruptModelError, NotAModelError, UntrustedError, UsageError
from mconv.program.copying import read_small
from mconv.program.paths import PathLike

_LIMIT = 64 << 20  # bytes; a record of a hundred thousand files has about 16 MB


@dataclass(frozen=True)
class Finding:
    """One thing that is not as the record says: ``missing``, ``changed`` or ``added``; of the output or the source."""

    kind: str
    file: str
    detail: str
    of: str = "output"

    def line(self) -> str:
        return f"{'source ' if self.of == 'source' else ''}{self.kind}: {self.file}: {self.detail}"


@dataclass
class Checked:
    """What :func:`check` found.

    Attributes:
        path: the record.
        ok: nothing was found.
        command, target, options, versions: how the output was made.
        files: how many files of the output were compared; ``bytes`` their size.
        sources: how many files of the source were compared.
        findings: what is not as it was.
        notes: what could not be compared.
    """

    path: Path
    ok: bool
    command: str
    target: Any
    options: dict[str, Any]
    versions: dict[str, str]
    files: int = 0
    bytes: int = 0
    sources: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def require(self) -> None:
        """Raise unless everything is as it was.

        Raises:
            AlteredError: names the first finding; ``rows`` has all.
        """
        if self.findings:
            more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
            error = AlteredError(
                f"{self.path.parent}: is not what {self.path.name} says: {self.findings[0].line()}{more}",
                "convert the source again, or get the files again from where they came",
            )
            error.rows = [vars(f) for f in self.findings]
            error.report = self
            raise error


def check(path: PathLike, sources: Sequence[PathLike] = ()) -> Checked:
    """Compare a converted folder with its record.

    Args:
        path: the folder, the record itself, or the prefix of a model beside others (``pb_model``).
        sources: the source model as it was given to the command, if it shall be compared, too; several paths where it
            was made of several.

    Raises:
        NotAModelError: there is no record.
        CorruptModelError, UntrustedError: the record is damaged, or names files outside of its folder.
        UsageError: the record knows no sources that could be compared.
    """
    found = _find(Path(path))
    record = _read(found)
    made = Checked(found, True, record["command"], record["target"], record["options"], record["versions"])
    listed = [FileHash.of_dict(f) for f in record["files"]]
    _compare(made, found.parent, listed, "output")
    made.findings += _added(found, {f.name for f in listed})
    for where, files in record.get("beside", {}).items():
        other = found.parent / where
        if not other.is_dir():
            made.notes.append(f"{where}: not here, not compared")
            continue
        inside = [FileHash.of_dict(f) for f in files]
        _compare(made, other, inside, "output", f"{where}/")
        extra = {n for n, _ in expand([other])} - {f.name for f in inside}
        made.findings += [Finding("added", f"{where}/{n}", "not in the record") for n in sorted(extra)]
    if sources:
        if not record["sources"]:
            raise UsageError(f"{found}: the source was no file, there is nothing to compare", "leave --source away")
        _compare_sources(made, [Path(s) for s in sources], [FileHash.of_dict(f) for f in record["sources"]])
    made.ok = not made.findings
    return made


def _find(path: Path) -> Path:
    path = Path(os.path.abspath(path))
    tried = [path / NAME, path / "serving_server" / NAME] if path.is_dir() else [path]
    tried.append(path.parent / f"{path.name}.{NAME}")
    tried.append(path.parent / f"{path.stem}.{NAME}")  # pb_model.pdmodel
    for candidate in tried:
        if candidate.is_file() and candidate.name.endswith(NAME):
            return candidate
    if not os.path.lexists(path):
        raise NotAModelError(f"{path}: no such file or folder")
    raise NotAModelError(
        f"{path}: holds no {NAME}", "every conversion of mconv writes one; was this made otherwise, or long ago?"
    )


def _read(path: Path) -> dict[str, Any]:
    def bad(why: str) -> CorruptModelError:
        return CorruptModelError(f"{path}: no sound provenance file: {why}", "convert the source again")

    try:
        record = json.loads(read_small(path, _LIMIT, "are more than any provenance file has"))
    except (ValueError, RecursionError) as e:
        raise bad(str(e)) from None
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise bad("no schema number")
    if record["schema"] > SCHEMA:
        raise CorruptModelError(
            f"{path}: schema {record['schema']}, this mconv knows up to {SCHEMA}", "use the mconv that wrote it"
        )
    wanted = {"command": str, "options": dict, "versions": dict, "sources": list, "files": list}
    for name, kind in wanted.items():
        if not isinstance(record.get(name), kind):
            raise bad(f"no {name}")
    record.setdefault("target", None)
    beside = record.get("beside", {})
    if not isinstance(beside, dict) or not all(isinstance(v, list) for v in beside.values()):
        raise bad("beside is no list of folders")
    for entry in (*record["sources"], *record["files"], *(f for files in beside.values() for f in files)):
        if not _is_entry(entry):
            raise bad(f"{json.dumps(entry)[:80]} describes no file")
        if _leads_out(entry["name"]):
            raise UntrustedError(f"{path}: the file name {entry['name']!r} leads out of the folder")
    for where in beside:
        if not re.fullmatch(r"\.\./[^/]+", where) or _leads_out(where[3:]):
            raise UntrustedError(f"{path}: {where!r} is no folder beside this one")
    return record


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) in ({"name", "bytes", BLAKE3}, {"name", "bytes", SHA256})
        and isinstance(entry["name"], str)
        and isinstance(entry["bytes"], int)
        and isinstance(digest := entry.get(BLAKE3, entry.get(SHA256)), str)
        and re.fullmatch("[0-9a-f]{64}", digest) is not None
    )


def _leads_out(name: str) -> bool:
    parts = PurePosixPath(name)
    return parts.is_absolute() or ".." in parts.parts or not parts.parts or "\0" in name


def _compare(made: Checked, folder: Path, listed: Sequence[FileHash], of: str, prefix: str = "") -> None:
    for wanted in listed:
        made.findings += _differs(folder / wanted.name, wanted, of, prefix)
        made.files += 1
        made.bytes += wanted.bytes


def _differs(path: Path, wanted: FileHash, of: str, prefix: str = "") -> Iterator[Finding]:
    name = prefix + wanted.name
    if not os.path.isfile(path):  # a name that no file system takes included
        yield Finding("missing", name, "it is not there" if not os.path.lexists(path) else "no ordinary file", of)
        return
    size = path.stat().st_size
    if size != wanted.bytes:
        yield Finding("changed", name, f"{size} bytes, {wanted.bytes} in the record", of)
        return
    got = hash_file(path, algorithm=wanted.algorithm)
    if got.digest != wanted.digest:
        detail = f"{got.algorithm} {got.digest[:12]}…, {wanted.digest[:12]}… in the record"
        yield Finding("changed", name, detail, of)


def _added(record: Path, listed: set[str]) -> list[Finding]:
    """Files of the output that the record does not know; only those of the same prefix where others lie beside it."""
    prefix = record.name[: -len(NAME)]
    names = {n for n, _ in expand([record.parent])} if not prefix else set()
    if prefix:
        names = {p.name for p in record.parent.iterdir() if p.is_file() and p.name.startswith(prefix)}
    extra = names - listed - {record.name, *(prefix + n for n in NOT_COVERED)}
    return [Finding("added", n, "not in the record") for n in sorted(extra)]


def _compare_sources(made: Checked, given: Sequence[Path], listed: Sequence[FileHash]) -> None:
    for path in given:
        if not os.path.lexists(path) and not path.parent.is_dir():
            raise NotAModelError(f"{path}: no such file or folder")
    for wanted in listed:
        made.sources += 1
        made.findings += _differs(_source(wanted.name, given, len(listed)), wanted, "source")


def _source(name: str, given: Sequence[Path], count: int) -> Path:
    """Where a source of this name is: in the folder given, beside the file given, or that file itself."""
    if count == len(given) == 1 and given[0].is_file():
        return given[0]  # whatever it is called by now
    for path in given:
        if path.is_file() and path.name == name:
            return path
    for path in given:
        for folder in (path, path.parent):
            if folder.is_dir() and (folder / name).is_file():
                return folder / name
    return given[0] / name if given[0].is_dir() else given[0].with_name(name)
