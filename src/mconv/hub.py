"""Models on the Hugging Face hub: ``hf://ORG/NAME[@REVISION][/FILE]`` → a folder or file on this disk.

The hub's own client fetches and caches (``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` are its
variables); what is fetched is chosen here, since a repository often holds the same weights for five frameworks.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Optional, Union

from mconv import budget
from mconv.errors import (
    MconvError,
    MissingDependencyError,
    NotAModelError,
    OutputExistsError,
    UnreachableError,
    UsageError,
)
from mconv.extras import install
from mconv.printable import printable

SCHEME = "hf://"
FORM = "hf://ORG/NAME, hf://ORG/NAME@REVISION, hf://ORG/NAME/FILE"
_ADDRESS = re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>.+))?", re.ASCII)
# what conversions read; everything else stays where it is
_READ = (
    "*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.yml", "*.yaml", "*.onnx", "*.onnx_data", "*.pdmodel",
    "*.pdiparams", "__model__", "__params__", "*.pt2", "*.bin", "*.pdparams", "*.py", "*.jinja",
)  # fmt: skip
# the same weights again, for others: taken only where a repository has nothing else
_OTHERS = (
    "onnx/*",
    "openvino/*",
    "coreml/*",
    "original/*",
    "flax/*",
    "tf/*",
    "runs/*",
    "training_args.bin",
    "*/trainer_state.json",
)
_WEIGHTS = ("*.safetensors", "*.pdiparams", "*.onnx", "*.bin", "*.pt2", "*.pdparams", "__params__")


@dataclass(frozen=True)
class Address:
    """``hf://ORG/NAME[@REVISION][/FILE]`` in its parts.

    Raises:
        UsageError: by :meth:`parse`, where it is none.
    """

    name: str
    revision: Optional[str] = None
    file: Optional[str] = None

    @classmethod
    def parse(cls, text: str) -> Address:
        found = _ADDRESS.fullmatch(text)
        parts = PurePosixPath(found["file"] or "").parts if found else ()
        if found is None or ".." in parts or (found["file"] or "").endswith("/"):
            raise UsageError(f"{printable(text, 200)}: not an address of the Hugging Face hub", FORM)
        return cls(found["name"], found["revision"], found["file"])

    def at(self, revision: str) -> str:
        """The address of one commit: what the same name gives today and in a year."""
        return f"{SCHEME}{self.name}@{revision}" + (f"/{self.file}" if self.file else "")


@dataclass(frozen=True)
class Fetched:
    """A model of the hub on this disk.

    Attributes:
        address: with the commit that it is of.
        path: the folder of the repository's files, or the file.
    """

    address: str
    path: Path


def is_address(source: object) -> bool:
    """Whether a source is on the hub; a :class:`~pathlib.Path` made of an address has one of its slashes left, or none."""
    if isinstance(source, Path):
        return os.fspath(source) == "hf:" or os.fspath(source).startswith("hf:/")
    return isinstance(source, str) and source.startswith(SCHEME)


def hint(text: object) -> Optional[str]:
    """What to say of a path that is not there but looks like a name on the hub."""
    if isinstance(text, str) and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text, re.ASCII):
        return f"{SCHEME}{text} takes it from the Hugging Face hub"
    return None


def chosen(files: Iterable[str]) -> list[str]:
    """Which files of a repository a conversion has need of.

    The weights of one framework: pickled ones only where there are no others, folders of other frameworks' copies only
    where nothing else has weights. Code (``*.py``) is fetched and not run, see ``--trust``.
    """
    read = [f for f in files if _like(f, _READ)]
    own = [f for f in read if not _like(f, _OTHERS)]
    if any(_like(f, _WEIGHTS) for f in own):
        read = own
    if any(f.endswith(".safetensors") for f in read):
        read = [f for f in read if not f.endswith(".bin")]
    return sorted(read)


def _like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, p) or ("/" not in p and fnmatchcase(name.rpartition("/")[2], p)) for p in patterns)


def fetch(text: str, progress: Callable[[str], Any] = lambda text: None) -> Fetched:
    """The model at an address, fetched once for each commit.

    Args:
        text: see :data:`FORM`; without a revision the newest commit of its main branch.
        progress: is told what is fetched.

    Raises:
        UsageError: it is no address. NotAModelError: the hub has no such repository, revision or file, or shows it to
            nobody without a token.
        UnreachableError: the hub cannot be reached. OutputExistsError: the disk has no room for it.
        MissingDependencyError: huggingface_hub is not installed.
    """
    address = Address.parse(text)
    try:
        import huggingface_hub
        from huggingface_hub import constants
    except ImportError:
        raise MissingDependencyError(
            f"{text}: fetching needs the package huggingface_hub, which is not installed", install("huggingface")
        ) from None
    known = _offline_copy(huggingface_hub, address) if constants.HF_HUB_OFFLINE else None
    if known is not None:
        return known
    with _told(text):
        info = huggingface_hub.HfApi().model_info(address.name, revision=address.revision, files_metadata=True)
        sizes = {s.rfilename: s.size or 0 for s in info.siblings or []}
        wanted = _beside(address.file, sizes) if address.file else chosen(sizes)
        if not wanted:
            what = address.file or "model that mconv reads"
            raise NotAModelError(f"{text}: the repository has no {printable(what, 100)}", _some(sizes))
        total = sum(sizes[name] for name in wanted)
        _room(text, total, Path(constants.HF_HUB_CACHE))
        progress(f"fetching {address.name} ({len(wanted)} files, {budget.size_text(total)})")
        folder = huggingface_hub.snapshot_download(  # by its name, so that the client knows it offline, too
            address.name,
            revision=address.revision,
            allow_patterns=[_escaped(name) for name in wanted],
            tqdm_class=_silent(),
        )
    path = Path(folder) / address.file if address.file else Path(folder)
    return Fetched(address.at(Path(folder).name), path)


def _beside(file: str, sizes: dict[str, int]) -> list[str]:
    """A file and what belongs to it: the external data of ONNX, Paddle's parameters, all of a folder."""
    if file in sizes:
        stem = file.rpartition(".")[0]
        return sorted(
            n for n in sizes if n == file or (n.startswith((f"{file}_", f"{file}.", f"{stem}.")) and n != stem)
        )
    return chosen(n for n in sizes if n.startswith(f"{file}/"))


def _some(sizes: dict[str, int]) -> Optional[str]:
    names = [n for n in sorted(sizes) if not n.startswith(".")]
    return f"it has {', '.join(names[:6])}{' …' if len(names) > 6 else ''}" if names else None


def _room(text: str, total: int, cache: Path) -> None:
    there = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(there).free
    if total > free:
        raise OutputExistsError(f"{text}: {budget.size_text(total)}, and the disk has {budget.size_text(free)} free")


def _escaped(name: str) -> str:
    """A name as a pattern that only it fits."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _offline_copy(huggingface_hub: Any, address: Address) -> Optional[Fetched]:
    """What is in the cache already, where the hub's client is told to stay offline."""
    try:
        only = None if address.file is None else [f"{_escaped(address.file)}*"]
        folder = Path(
            huggingface_hub.snapshot_download(
                address.name, revision=address.revision, local_files_only=True, allow_patterns=only
            )
        )
    except (OSError, ValueError):
        raise UnreachableError(
            f"{SCHEME}{address.name}: is not in the cache, and HF_HUB_OFFLINE keeps the hub's client offline",
            "unset HF_HUB_OFFLINE, or give the path of a folder",
        ) from None
    path = folder / address.file if address.file else folder
    return Fetched(address.at(folder.name), path) if path.exists() else None


def _silent() -> Any:
    """The client's progress bars, which would be drawn over mconv's own line, without a place to be drawn."""
    from tqdm.auto import tqdm  # comes with the hub's client

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent


class _told:
    """The errors of the hub's client as those of mconv: one line, and what to do."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or isinstance(error, MconvError) or not isinstance(error, Exception):
            return
        from huggingface_hub import errors

        text = printable(self.text, 200)
        if isinstance(error, errors.GatedRepoError):
            raise NotAModelError(
                f"{text}: the hub gives it to those who have accepted its terms", "accept them there, and set HF_TOKEN"
            ) from None
        if isinstance(error, errors.RevisionNotFoundError):
            raise NotAModelError(f"{text}: there is no such revision") from None
        if isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
            raise NotAModelError(
                f"{text}: the hub has no such model", "a private one needs HF_TOKEN; names are ORG/NAME"
            ) from None
        if isinstance(error, OSError) and error.filename is not None:
            raise OutputExistsError(
                f"{text}: cannot be kept in {printable(str(error.filename), 200)} ({error.strerror})",
                "HF_HOME names the folder of what is fetched",
            ) from None
        words = " ".join(str(error).split()) or type(error).__name__
        raise UnreachableError(
            f"{text}: cannot be fetched ({printable(words, 160)})",
            "is the network there? HF_ENDPOINT names a mirror; a folder that is here already is given by its path",
        ) from error


# what was fetched by this process: folder or file → its address
_fetched: dict[Path, str] = {}


def local(source: Union[str, Path], progress: Callable[[str], Any] = lambda text: None) -> str:
    """The path of a model at an address; :func:`address_of` then knows where it is from. See :func:`fetch`."""
    text = source if isinstance(source, str) else SCHEME + os.fspath(source)[len("hf:/") :]
    found = fetch(text, progress)
    _fetched[found.path] = found.address
    return os.fspath(found.path)


def address_of(path: Path) -> Optional[str]:
    """The address, with its commit, that a file was fetched from, or the folder that it is in."""
    return next((_fetched[p] for p in (path, *path.parents) if p in _fetched), None)
