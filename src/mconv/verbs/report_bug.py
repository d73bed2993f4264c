"""``mconv report-bug``: what a report of a failure needs, as files to look through. Nothing is sent anywhere."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import shutil
import socket
import tempfile
import traceback
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts.destination import FAILED_SUFFIX
from mconv.artifacts.output import staged
from mconv.errors import MconvError, UsageError
from mconv.options.declare import Options, fields
from mconv.options.report_bug import ReportBug
from mconv.options.verify import Verify
from mconv.printable import json_text, printable_lines
from mconv.proof.report import NAME
from mconv.runtimes.doctor import diagnose
from mconv.verbs.reduce import Reduced
from mconv.verbs.reduce_run import (
    REDUCIBLE_CODES,
    attempt,
    elsewhere,
    failure_of,
    reduce_conversion,
    reduce_pair,
    require_same,
)
from mconv.version import __version__

MODEL = "reduced"  # the folder of the reduced model and its inputs
_OUTPUTS = ("junit_file", "summary_file", "html", "reduce")  # files beside the result, which are not written again


@dataclass
class ReportFile:
    """One file of a bug report: its name, its size in bytes, and what it holds."""

    name: str
    bytes: int
    holds: str


@dataclass
class BugReport:
    """What ``mconv report-bug`` wrote.

    Attributes:
        out: the folder, or the archive.
        command: that failed, without the folders of its paths.
        failure: how it failed when it was run again; None where it was not.
        files: all that the report holds.
        reduced: the smallest part of the model that still fails; None where there is none, see *warnings*.
        warnings: what a reader has to know: what could not be had, and why.
    """

    out: str
    command: str
    failure: Optional[str]
    files: list[ReportFile]
    reduced: Optional[Reduced] = None
    warnings: list[str] = field(default_factory=list)


def report_bug(chosen: ReportBug) -> BugReport:
    """Run the command again, elsewhere, and write what its failure is into a folder, or into a ``.zip``.

    Raises:
        UsageError: no command was named, or it does not fail.
        OutputExistsError: *out* is there already.
    """
    if not chosen.command:
        raise UsageError("which command failed?", "mconv report-bug -- onnx2paddle model.onnx out")
    final = Path(chosen.out)
    archive = final.suffix == ".zip"
    with staged(final, force=chosen.force, file=archive) as stage, tempfile.TemporaryDirectory("mconv-bug-") as scratch:
        folder = Path(scratch) / "report" if archive else stage
        folder.mkdir(exist_ok=True)
        made = _fill(chosen, folder, Path(scratch) / "run")
        made.out = str(final)
        if archive:
            with zipfile.ZipFile(stage, "x", zipfile.ZIP_DEFLATED) as file:
                for written in made.files:
                    file.write(folder / written.name, f"{final.stem}/{written.name}")
    return made


def _fill(chosen: ReportBug, folder: Path, scratch: Path) -> BugReport:
    clean = Cleaner(chosen.given or {})
    command = clean(shlex.join(["mconv", *chosen.command]))
    made = BugReport("", command, None, [])
    chosen.progress("looking at this installation")
    _text(folder / "versions.json", clean(json_text(_versions(), indent=2)))
    _text(folder / "command.txt", command)
    if chosen.kind is None or chosen.call is None:
        made.warnings.append(
            "the command is not run again: only what is installed here and the command are in the report"
        )
    else:
        chosen.progress(f"running mconv {chosen.command[0]} again")
        scratch.mkdir()
        error = attempt(lambda: _again(chosen, scratch))
        if error is None:
            raise UsageError(f"{command}: does not fail", "a report needs the command that does")
        failure = failure_of(error)
        made.failure = str(failure)
        _text(folder / "failure.txt", clean(f"{made.failure}\n\n{_told(error)}"))
        report = _report_of(error, scratch)
        if report is not None:
            _text(folder / NAME, clean(report))
        if failure.exit_code in REDUCIBLE_CODES:
            try:
                made.reduced = _reduce(chosen, error, folder / MODEL)
            except (MconvError, OSError) as e:
                shutil.rmtree(folder / MODEL, ignore_errors=True)
                why = e.message if isinstance(e, MconvError) else str(e)
                made.warnings.append(clean(f"no reduced model: {why}"))
        else:
            made.warnings.append(
                "no reduced model: the command says itself what is wrong with its source or its options"
            )
    if made.reduced is not None and not made.reduced.fails:
        made.warnings.append(
            "with random weights the reduced model does not fail: --keep-weights leaves it its own, if they may be shown"
        )
    _text(folder / "README.md", clean(_page(made)))
    made.files = [
        ReportFile(name, (folder / name).stat().st_size, _holds(name, made))
        for name in sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    ]
    return made


def _versions() -> dict[str, Any]:
    """What ``mconv doctor`` says, but for where things are."""
    found = diagnose()
    return {
        "mconv": __version__,
        "python": found.python.partition(" ")[0],
        "system": found.system,
        "packages": {p.package: p.problem or p.version for p in found.packages if p.problem or p.version},
        "runtimes": [s.name for s in found.runtimes if s.installed],
    }


def _again(chosen: ReportBug, scratch: Path) -> None:
    assert chosen.kind is not None and chosen.call is not None
    given = _given(chosen)
    if "out" in {f.name for f in fields(chosen.kind)}:
        given["out"] = elsewhere(given["out"], scratch)
    found = chosen.call(**given)
    if issubclass(chosen.kind, Verify):
        require_same(found)


def _given(chosen: ReportBug) -> dict[str, Any]:
    return {k: v for k, v in (chosen.given or {}).items() if k not in _OUTPUTS}


def _report_of(error: BaseException, scratch: Path) -> Optional[str]:
    """The report of a conversion that failed, as far as it came."""
    held = getattr(error, "report", None)
    if held is not None:
        return json_text(held.to_dict(), indent=2)
    kept = next(iter(sorted(scratch.glob(f"*{FAILED_SUFFIX}/{NAME}"))), None)
    return None if kept is None else kept.read_text("utf-8")


def _reduce(chosen: ReportBug, error: BaseException, out: Path) -> Reduced:
    kind: Any = chosen.kind
    given = _given(chosen)
    assert chosen.call is not None
    if issubclass(kind, Verify):
        return reduce_pair(
            Verify(**_known(Verify, given)), error, out, keep_weights=chosen.keep_weights, say=chosen.progress
        )
    return reduce_conversion(
        kind, given, chosen.call, error, out, keep_weights=chosen.keep_weights, say=chosen.progress
    )


def _known(kind: type[Options], given: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)}
    return {k: v for k, v in given.items() if k in names}


def _told(error: BaseException) -> str:
    if isinstance(error, MconvError):
        log = getattr(error, "log", "") or getattr(error.__cause__, "log", "")
        return f"{error}\n\n{log}".rstrip()
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _text(path: Path, text: str) -> None:
    path.write_text(printable_lines(text).rstrip("\n") + "\n", "utf-8", "backslashreplace")


_HOLDS = {
    "README.md": "the text of the report, to paste into the issue",
    "versions.json": "what is installed: mconv, Python, packages, runtimes",
    "command.txt": "the command, without the folders of its paths",
    "failure.txt": "what it said when it was run again, with the traceback or the runtime's log",
    NAME: "the conversion's report",
}


def _holds(name: str, made: BugReport) -> str:
    if name in _HOLDS:
        return _HOLDS[name]
    own = made.reduced is not None and made.reduced.weights == "own"
    if name.endswith(".npz"):
        return "the reduced model's inputs" + ("" if own else ", random where they are floating point")
    return "the reduced model, with its own weights" if own else "the reduced model, with random weights"


def _page(made: BugReport) -> str:
    lines = ["## What happened", "", f"    {made.command}", "", made.failure or "(say what it did)", ""]
    if made.reduced is not None:
        r = made.reduced
        lines += [
            "## The smallest part of the model that fails so", "",
            f"{len(r.operators)} of {r.before} operators: {', '.join(r.operators[:20])}; from {', '.join(r.inputs)} to "
            f"{', '.join(r.outputs)}; weights: {r.weights}; {'it fails' if r.fails else 'as it is here, it does not fail'}.",
            "",
        ]  # fmt: skip
    lines += ["## What was to happen", "", "(say it here)", ""]
    lines += [f"- {w}" for w in made.warnings]
    return "\n".join(lines)


_WORD = r"[\w-]*(?<![A-Za-z])(?:token|passw(?:or)?d|secret|api[-_]?key|credentials?)(?![A-Za-z])[\w-]*"
_SECRET = re.compile(rf"(?i)({_WORD}[\"']?\s*[=:]\s*[\"']?|--{_WORD}\s+[\"']?)([^\s\"',}}]+)")
_LOGIN = re.compile(r"(\w+://)[^/\s@]+@")
_PATH = re.compile(r"(?<![\w.:/])(?:/[^\s/'\",:;()\[\]{}<>]+){2,}")


class Cleaner:
    """Takes out of a text what says where and whose it is: folders of paths, the user, the machine, passwords.

    Args:
        given: the options of the command; of the paths in it the last part stays.
    """

    def __init__(self, given: Mapping[str, Any] = {}):
        names = {
            str(Path(v).expanduser()) for v in given.values() if isinstance(v, (str, os.PathLike)) and os.sep in str(v)
        }
        self.folders = sorted({str(Path(n).parent) for n in names} - {"."}, key=len, reverse=True)
        self.own = [w for w in {_user(), socket.gethostname()} if len(w) > 2 and w != "root"]

    def __call__(self, text: str) -> str:
        text = _LOGIN.sub(r"\1…@", text)
        text = _SECRET.sub(r"\1…", text)
        for folder in self.folders:
            text = text.replace(folder + os.sep, "…/")
        text = _PATH.sub(lambda m: _short(m[0]), text)
        for word in self.own:
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "…", text)
        return text


def _short(path: str) -> str:
    """Of mconv's own files the module, of packages' files what is in site-packages, of others the name."""
    for mark in ("/site-packages/", "/src/mconv/", "/mconv/"):
        _, found, rest = path.rpartition(mark)
        if found:
            return f"…{found}{rest}"
    return f"…/{path.rpartition('/')[2]}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


__all__ = ["BugReport", "Cleaner", "ReportFile", "report_bug"]
