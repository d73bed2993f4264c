"""Where a recipe's files are: beside it, in an installed package, or at an address, from where they are fetched once."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO, Callable, Optional
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from mconv import budget
from mconv.artifacts.hashing import SHA256, FileHash, hash_file
from mconv.artifacts.output import staged
from mconv.artifacts.provenance import expand
from mconv.artifacts.stage import PREFIX
from mconv.errors import (
    AlteredError,
    CorruptModelError,
    LimitError,
    MconvError,
    MissingDependencyError,
    NotAModelError,
    OutputExistsError,
    UnreachableError,
    UntrustedError,
    UsageError,
)
from mconv.extras import install
from mconv.printable import printable

PACKAGE = "package:"
_CHUNK = 1 << 20


def is_remote(text: str) -> bool:
    """Whether a path is an address that fsspec opens.

    Raises:
        UsageError: it begins like one, and is none.
    """
    return "://" in text and len(split(text).scheme) > 1


def split(text: str) -> SplitResult:
    """An address in its parts.

    Raises:
        UsageError: it is none.
    """
    try:
        return urlsplit(text)
    except ValueError as e:
        raise UsageError(f"{text}: not an address ({e})", "https://HOST/PATH, s3://BUCKET/PATH") from None


def cache_folder() -> Path:
    """Where fetched files are kept, by their pins."""
    base = os.environ.get("MCONV_SOURCES")
    return (
        Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mconv" / "sources"
    )


def resolve(
    text: str,
    pin: Optional[str],
    folder: Path,
    *,
    install: Optional[str] = None,
    progress: Callable[[str], Any] = lambda text: None,
) -> Path:
    """The local path of a file or folder of a recipe; what is at an address is fetched, with its external data.

    Args:
        text: a path relative to *folder*, ``package:NAME/PATH``, or an address.
        pin: its SHA-256, see :func:`pin_of`.
        install: what to tell the user to install where a package is missing.

    Raises:
        NotAModelError: it is not there.
        UsageError: an address without a pin.
        MissingDependencyError: the package, or what fsspec needs for the scheme, is not installed.
        UnreachableError: it cannot be fetched.
        AlteredError: it is another file. UntrustedError: its external data lie outside of its folder.
    """
    if text.startswith(PACKAGE):
        return _packaged(text, install)
    if not is_remote(text):
        return folder / os.path.expanduser(text)
    if pin is None:
        raise UsageError(
            f"{text}: what is fetched needs its sha256", "`mconv init ADDRESS` fetches it and writes the pin"
        )
    home = cache_folder() / pin
    name = file_name(text)
    if (home / name).exists():
        return home / name
    with staged(home, force=True) as stage:
        fetch_whole(text, stage / name, progress)
        _same(text, stage / name, _hashes(stage / name), pin)
    return home / name


def file_name(text: str) -> str:
    """What the file or folder at an address is called."""
    name = Path(split(text).path.rstrip("/")).name
    return "source" if name in ("", ".", "..") or name.startswith(PREFIX) else name


def require_pin(path: Path, text: str, pin: Optional[str], hashes: list[FileHash]) -> None:
    """Compare the hashes of a local source with its pin.

    Raises:
        AlteredError: it is another file.
    """
    if pin is not None and not is_remote(text):  # those were compared when they were fetched
        _same(text, path, hashes, pin)


def _same(text: str, path: Path, hashes: list[FileHash], wanted: str) -> None:
    got = _pin(path, hashes)
    if got == wanted:
        return
    hint = "somebody changed it: look at it, then correct the pin"
    if path.is_file() and wanted == hashes[0].digest:
        hint = "the recipe's is that of the file alone; the pin covers the external data beside it, too"
    raise AlteredError(f"{text}: its sha256 is {got}, the recipe says {wanted}", hint)


def pin_of(path: Path) -> str:
    """The SHA-256 of a file; of a folder, that of its files' lines ``<sha256>  <name>``, sorted by name.

    An ONNX file that has external data counts as a folder of it and them.

    Raises:
        NotAModelError: there is no such file, or its external data are not there.
        UntrustedError: its external data lie outside of its folder.
    """
    return _pin(path, _hashes(path))


def parts(path: Path) -> list[tuple[str, Path]]:
    """What the pin of a file or folder covers, as (name, path); the file itself first.

    Raises:
        NotAModelError, UntrustedError: as :func:`pin_of`.
    """
    beside = [(name, path.parent / name) for name in _external(path)]
    for name, file in beside:
        if not file.is_file():
            raise NotAModelError(f"{path}: its external data {name!r} are missing", "they belong beside it")
    return [*expand([path]), *beside]


def _external(path: Path) -> list[str]:
    """The files of external data that an ONNX file names, relative to its folder; none for any other file."""
    if path.suffix.lower() != ".onnx" or not path.is_file():
        return []
    from mconv import api

    with contextlib.suppress(NotAModelError, CorruptModelError):  # told by the conversion, if the pin is right
        return api.external_data(path)
    return []


def _hashes(path: Path) -> list[FileHash]:
    return [hash_file(p, n, algorithm=SHA256) for n, p in parts(path)]


def _pin(path: Path, hashes: list[FileHash]) -> str:
    if path.is_file() and len(hashes) == 1:
        return hashes[0].digest
    lines = "".join(f"{h.digest}  {h.name}\n" for h in sorted(hashes, key=lambda h: h.name))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _packaged(text: str, install: Optional[str]) -> Path:
    name, _, inner = text[len(PACKAGE) :].partition("/")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    folders = list(found.submodule_search_locations or []) if found is not None else []
    if not folders:
        raise MissingDependencyError(
            f"{text}: the Python package {name!r} is not installed", f"pip install {install or name}"
        )
    return Path(folders[0]) / inner


def fetch_whole(text: str, target: Path, progress: Callable[[str], Any] = lambda text: None) -> None:
    """As :func:`fetch`; with an ONNX file, the external data that it names, which lie in its folder here as there.

    Raises:
        UntrustedError: they lie outside of its folder.
    """
    progress(f"fetching {text}")
    fetch(text, target)
    for name in _external(target):
        address = address_beside(text, name)
        progress(f"fetching {address}")
        try:
            fetch(address, target.parent / name)
        except MconvError as e:
            e.hint = f"{target.name} has its weights in it" if isinstance(e, NotAModelError) else e.hint
            raise


def address_beside(text: str, name: str) -> str:
    """The address of a file in the folder of another one.

    Args:
        name: relative to the folder, with / and without dots.

    Raises:
        UntrustedError: the name would lead elsewhere.
    """
    if text.startswith(("http://", "https://")):
        address = split(text)
        return urlunsplit(address._replace(path=f"{address.path.rpartition('/')[0]}/{quote(name)}"))
    if "::" in name:  # where fsspec begins another address
        raise UntrustedError(f"{text}: external data {name!r} are no file beside it", "such a model is not fetched")
    return f"{text.rpartition('/')[0]}/{name}"


def fetch(text: str, target: Path) -> None:
    """Fetch a file, or a folder with all that is in it, through fsspec.

    Raises:
        MissingDependencyError: fsspec, or what it needs for the scheme, is not installed.
        NotAModelError: there is nothing.
        UnreachableError: it cannot be fetched. LimitError: it does not end.
        OutputExistsError: the disk has no room for it.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingDependencyError(
            f"{text}: fetching needs the package fsspec, which is not installed", install("remote")
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(text)
    except ImportError as e:
        raise MissingDependencyError(f"{text}: {' '.join(str(e).split())}", install("remote")) from None
    except Exception as e:  # noqa: BLE001 - whatever the many backends of fsspec raise
        raise UsageError(f"{text}: {printable(str(e), 200)}", "https://, s3:// and gs:// are known") from None
    try:
        # a web server has no folders, and fsspec takes one that does not answer for one without the file
        whole = text.startswith(("http://", "https://")) or system.isfile(path)
        files = [path] if whole else system.find(path)
        if not files:
            raise FileNotFoundError(path)
        root = path.rstrip("/") + "/"
        for file in files:
            inner = Path(file[len(root) :]) if file.startswith(root) else None
            if inner is not None and (inner.is_absolute() or ".." in inner.parts):
                raise UsageError(f"{text}: {file!r} leads out of the folder")
            written = target if inner is None else target / inner
            written.parent.mkdir(parents=True, exist_ok=True)
            with system.open(file, "rb") as source, open(written, "wb") as sink:
                _copy(text, source, sink)
    except MconvError:
        raise
    except Exception as e:  # whatever the many backends of fsspec raise
        # that of https tells a server that does not answer as a missing file, too
        cause = e.__cause__ if isinstance(e, FileNotFoundError) and e.__cause__ is not None else e
        if isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410):
            raise NotAModelError(f"{text}: there is no such file") from None
        words = " ".join(str(cause).split()) or type(cause).__name__
        raise UnreachableError(
            f"{text}: cannot be fetched ({words[:300]})", "is the network there? `mconv run` again resumes"
        ) from e


def _copy(text: str, source: Any, sink: BinaryIO) -> None:
    """Copy a file that is being fetched: as many bytes as it says, or as the budget has where it does not say."""
    size = getattr(source, "size", None)
    if isinstance(size, int):
        free = shutil.disk_usage(os.path.dirname(sink.name)).free
        if size > free:
            raise OutputExistsError(f"{text}: {budget.size_text(size)}, and the disk has {budget.size_text(free)} free")
    found = budget.current()
    most = max(size if isinstance(size, int) else 0, found.base if found is not None else budget.BASE)
    count = 0
    while piece := source.read(_CHUNK):
        count += len(piece)
        if count > most:
            raise LimitError(
                f"{text}: sends more than {budget.size_text(most)} without saying how much it is",
                "fetch it yourself, and give its path",
            )
        sink.write(piece)
