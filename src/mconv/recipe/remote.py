"""Where a recipe's files are: beside it, in an installed package, or at an address, from where they are fetched once."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from mconv.errors import AlteredError, MissingDependencyError, NotAModelError, RuntimeFailedError, UsageError
from mconv.program.hashing import SHA256, FileHash, hash_file
from mconv.program.output import PREFIX, staged
from mconv.program.provenance import expand

PACKAGE = "package:"
_CHUNK = 1 << 20


def is_remote(text: str) -> bool:
    """Whether a path is an address that fsspec opens."""
    scheme = urlsplit(text).scheme
    return "://" in text and len(scheme) > 1


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
    """The local path of a file or folder of a recipe; what is at an address is fetched.

    Args:
        text: a path relative to *folder*, ``package:NAME/PATH``, or an address.
        pin: its SHA-256, see :func:`pin_of`.
        install: what to tell the user to install where a package is missing.

    Raises:
        NotAModelError: it is not there.
        UsageError: an address without a pin.
        MissingDependencyError: the package, or what fsspec needs for the scheme, is not installed.
        RuntimeFailedError: it cannot be fetched.
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
    progress(f"fetching {text}")
    with staged(home, force=True) as place:
        fetch(text, place / name)
        _same(text, pin_of(place / name), pin)
    return home / name


def file_name(text: str) -> str:
    """What the file or folder at an address is called."""
    name = Path(urlsplit(text).path.rstrip("/")).name
    return "source" if name in ("", ".", "..") or name.startswith(PREFIX) else name


def require_pin(path: Path, text: str, pin: Optional[str], hashes: list[FileHash]) -> None:
    """Compare the hashes of a local source with its pin.

    Raises:
        AlteredError: it is another file.
    """
    if pin is not None and not is_remote(text):  # those were compared when they were fetched
        _same(text, _pin(path, hashes), pin)


def _same(text: str, got: str, wanted: str) -> None:
    if got != wanted:
        raise AlteredError(
            f"{text}: its sha256 is {got}, the recipe says {wanted}",
            "somebody changed it: look at it, then correct the pin",
        )


def pin_of(path: Path) -> str:
    """The SHA-256 of a file; of a folder, that of its files' lines ``<sha256>  <name>``, sorted by name."""
    return _pin(path, [hash_file(p, n, algorithm=SHA256) for n, p in expand([path])])


def _pin(path: Path, hashes: list[FileHash]) -> str:
    if path.is_file():
        return hashes[0].digest
    lines = "".join(f"{h.digest}  {h.name}\n" for h in sorted(hashes, key=lambda h: h.name))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _packaged(text: str, install: Optional[str]) -> Path:
    name, _, inner = text[len(PACKAGE) :].partition("/")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    places = list(found.submodule_search_locations or []) if found is not None else []
    if not places:
        raise MissingDependencyError(
            f"{text}: the Python package {name!r} is not installed", f"pip install {install or name}"
        )
    return Path(places[0]) / inner


def fetch(text: str, target: Path) -> None:
    """Fetch a file, or a folder with all that is in it, through fsspec.

    Raises:
        MissingDependencyError: fsspec, or what it needs for the scheme, is not installed.
        NotAModelError: there is nothing.
        RuntimeFailedError: it cannot be fetched.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingDependencyError(
            f"{text}: fetching needs the package fsspec, which is not installed", "pip install 'mconv[remote]'"
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(text)
    except ImportError as e:
        raise MissingDependencyError(f"{text}: {' '.join(str(e).split())}", "pip install 'mconv[remote]'") from None
    except ValueError as e:
        raise UsageError(f"{text}: {' '.join(str(e).split())}", "https://, s3:// and gs:// are known") from None
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
            place = target if inner is None else target / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            with system.open(file, "rb") as source, open(place, "wb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
    except UsageError:
        raise
    except Exception as e:  # whatever the many backends of fsspec raise
        # that of https tells a server that does not answer as a missing file, too
        cause = e.__cause__ if isinstance(e, FileNotFoundError) and e.__cause__ is not None else e
        if isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410):
            raise NotAModelError(f"{text}: there is no such file") from None
        words = " ".join(str(cause).split()) or type(cause).__name__
        raise RuntimeFailedError(
            f"{text}: cannot be fetched ({words[:300]})", "is the network there? `mconv run` again resumes"
        ) from e
