"""``mconv convert`` of several sources: each into a folder of its own, one that fails does not stop the others."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import MconvError, NotAModelError, UsageError
from mconv.onnx.external import names_beside
from mconv.options.convert import Convert
from mconv.page.shown import Shown
from mconv.program import files
from mconv.program.params import separate_path
from mconv.program.paths import PathLike
from mconv.program.sniff import Kind, what
from mconv.program.stored import read_program
from mconv.proof.report import require_proof
from mconv.recognise import recognise
from mconv.verbs.convert import Converted, convert

_SUFFIXES = {".onnx", ".pdmodel", ".json", ".pt2", ".pt", ".pth", ".ts"}


@dataclass
class OneConverted:
    """One source of several.

    Attributes:
        source: as given, or found in a folder that was given.
        out: its folder.
        ok: whether it was converted and, if asked for, proved.
        exit_code: that of `mconv convert` on it alone.
        kind: what it is; None where that is not known.
        verification: ``passed``, ``not done``, …; None where it was not converted.
        service: the folder of its service.
        seconds: how long it took.
        reason: why it failed, or was not proved.
    """

    source: str
    out: str
    ok: bool = False
    exit_code: int = 0
    kind: Optional[str] = None
    verification: Optional[str] = None
    service: Optional[str] = None
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""


@dataclass(repr=False)
class ConvertedMany(Shown):
    """What :func:`convert_many` made.

    Attributes:
        ok: whether all were converted.
        out: the folder with one folder for each.
        models: the sources, in order.
    """

    ok: bool
    out: str
    models: list[OneConverted]

    def __post_init__(self) -> None:
        self._errors: list[MconvError] = []

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, "out": self.out, "models": [vars(one) for one in self.models]}

    def require(self) -> None:
        """Raise unless all were converted.

        Raises:
            MconvError: that with the highest exit code; its message says how many failed.
        """
        if self.ok:
            return
        failed = [one for one in self.models if not one.ok]
        worst = max(self._errors, key=lambda e: e.exit_code)
        first = next(one for one in failed if one.exit_code == worst.exit_code)
        error = type(worst)(f"{len(failed)} of {len(self.models)} were not converted: {first.reason}", worst.hint)
        error.report = self
        raise error


def convert_many(chosen: Convert) -> ConvertedMany:
    """Convert several sources, each into ``OUT/NAME/``, NAME being that of its file or folder.

    Raises:
        UsageError: there is none, two of them have one name, or an option that belongs to one source.
    """
    out = Path(chosen.out)
    by_name = named(expanded(chosen.source), out)
    result = ConvertedMany(True, str(out), [])
    for name, source in by_name.items():
        one = OneConverted(source, str(out / name))
        result.models.append(one)
        started = time.perf_counter()
        try:
            given = {**chosen.shared(Convert), "source": source, "out": one.out}
            made = require_proof(convert(Convert(**given)), one.out, Convert.feeds_option())
            _describe(one, made)
        except MconvError as e:
            one.exit_code, one.reason = e.exit_code, (e.message.splitlines() or [""])[0]
            result._errors.append(e)
        one.seconds = round(time.perf_counter() - started, 4)
    result.ok = all(one.ok for one in result.models)
    return result


def _describe(one: OneConverted, made: Converted) -> None:
    one.ok, one.kind, one.service, one.warnings = True, made.source["kind"], made.service, [*made.warnings]
    one.verification, one.reason = made.verification["status"], made.verification.get("reason", "")


def several(source: Union[PathLike, Sequence[PathLike]]) -> bool:
    """Whether that is more than one model: a list of several, or a folder that is none and holds some."""
    if isinstance(source, (str, os.PathLike)):
        return bool(_inside(source))
    return len(source) != 1 or bool(_inside(source[0]))


def expanded(source: Union[PathLike, Sequence[PathLike]]) -> list[str]:
    """The sources that are meant: folders of folders taken apart, without the files that belong to another of them.

    Raises:
        UsageError: there is none.
    """
    given = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    if not given:
        raise UsageError("there is no source", "mconv convert MODEL ... OUT")
    found = [each for one in given for each in (_inside(one) or [os.fspath(one)])]
    if len(found) == 1:
        return found
    # the shell's models/* names weights beside their model
    parts = {os.path.abspath(part) for each in found for part in _parts(each)}
    return [each for each in found if os.path.abspath(each) not in parts]


def _parts(source: str) -> list[Path]:
    """The other files of the model whose program the file *source* is; none where it is none or cannot be read."""
    path = Path(source)
    try:
        if not path.is_file():
            return []
        if what(path) is Kind.ONNX:
            return [path.parent / name for name in names_beside(path)]
        model = files.locate(path)
        if os.path.abspath(model.program) != os.path.abspath(path):
            return []
        if not model.separate:
            return model.paths[1:]
        return [separate_path(model.folder, var.name) for var in read_program(model.program).parameters]
    except MconvError:
        return []  # it gets its own line


def named(sources: Sequence[str], out: PathLike) -> dict[str, str]:
    """What the folder of each source is called in *out* → the source.

    Raises:
        UsageError: two of them have one name.
    """
    by_name: dict[str, str] = {}
    for source in sources:
        name = name_of(source)
        if name in by_name:
            raise UsageError(
                f"{by_name[name]} and {source} would both go to {Path(out) / name}", "convert one of them alone"
            )
        by_name[name] = source
    return by_name


def matching(pattern: str, out: PathLike) -> dict[str, str]:
    """The models whose paths match a pattern of the shell, by the names of their folders in *out*.

    Raises:
        NotAModelError: there is none. UsageError: two of them have one name.
    """
    found = [path for path in sorted(glob.glob(pattern)) if _is_model(Path(path))]
    if not found:
        raise NotAModelError(f"{pattern}: no model is called so")
    return named(found, out)


def name_of(source: str) -> str:
    """What the folder of a source is called."""
    path = Path(os.path.abspath(source))
    return path.stem if path.suffix in _SUFFIXES and not path.is_dir() else path.name


def _inside(source: PathLike) -> list[str]:
    """The models one level below a folder that is none itself; empty where it is one, or there are none."""
    path = Path(source)
    if not path.is_dir() or _is_model(path):
        return []
    return [os.fspath(p) for p in sorted(path.iterdir()) if not p.name.startswith(".") and _is_model(p)]


def _is_model(path: Path) -> bool:
    if path.is_file() and path.suffix not in _SUFFIXES:  # parameters and tokenizers are no sources
        return False
    try:
        recognise(path)
    except (NotAModelError, UsageError):
        return False
    except MconvError:
        return True  # a damaged one, which gets its own line
    return True
