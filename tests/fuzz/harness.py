"""One case: files in an empty folder, the command line on them in a forked child, and what must not come of it.

Right is: one clear line and a typed exit code, or the conversion where the input is sound after all; within the limits
below. :func:`problems` names what is not right; the words are those of ``EXIT70``, ``SIGNAL``, ``TIMEOUT``, ``MEMORY``,
``CONTROL`` (characters that a terminal obeys, in the output or in a written file), ``LONG`` (an error of many kilobytes),
``TRACEBACK``, ``PARTIAL`` (something was left behind by a failure), ``UNREADABLE`` (a written file does not parse).
"""

from __future__ import annotations

import ast
import contextlib
import gc
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

CPU_SECONDS = 10.0
WALL_SECONDS = 40.0  # of a process that waits: the machine may be busy
MEGABYTES = 1500.0
LINE, TEXT = 2200, 16_000  # characters of a line, and bytes of all, that an error may have
WRITTEN = {0, 10, 15}  # exit codes of a command that has written its output
CODES = {*range(16), 130, 141, 143}
_FREE = re.compile(
    r"build/.*|\.cache(/paddle(/.*)?)?"
)  # what `mconv run` keeps of a failed run; what Paddle makes in HOME


def command_line(argv: list[str]) -> int:
    """``mconv ARGV``."""
    from mconv.cli.main import run as command

    return command(argv)


@dataclass(frozen=True)
class Format:
    """One kind of input.

    Attributes:
        name: of it.
        prepare: makes the sound files in a folder, once, and gives what *case* starts from.
        case: writes one case into an empty folder, and gives the arguments of the command line; a file called ``stdin``
            is that.
        sound: writes the sound files as they are; the command has to succeed on them, else nothing is tried at all.
        command: what is called with the arguments; the command line by default.
        around: makes what lies beside the files of a case and cannot be kept (pipes, large files).
    """

    name: str
    prepare: Callable[[Path], Any]
    case: Callable[[Any, random.Random, Path], Sequence[str]]
    sound: Callable[[Any, Path], Sequence[Sequence[str]]]
    command: Callable[[list[str]], int] = command_line
    around: Optional[Callable[[Path], None]] = None


@dataclass
class Outcome:
    """What came of a case.

    Attributes:
        code: the exit code; None where a signal ended the process.
        signal: that one.
        problems: what is not right, in words that begin with the kind.
    """

    argv: list[str]
    code: Optional[int]
    signal: Optional[int]
    seconds: float
    megabytes: float
    stdout: bytes
    stderr: bytes
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        return (self.stderr or self.stdout).decode("utf-8", "backslashreplace")


def run(argv: Sequence[str], folder: Path, command: Callable[[list[str]], int] = command_line) -> Outcome:
    """Run ``mconv ARGV`` in *folder*, in a fork of this process."""
    before = _listing(folder)
    with tempfile.TemporaryDirectory() as logs:
        out, err = Path(logs, "out"), Path(logs, "err")
        sys.stdout.flush()
        sys.stderr.flush()
        start = time.monotonic()
        pid = os.fork()
        if not pid:
            _child(command, list(argv), folder, out, err)
        status, usage, killed = _wait(pid, start)
        seconds = time.monotonic() - start
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what it started and left
        outcome = Outcome(
            list(argv),
            os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            seconds, usage.ru_maxrss / 1024, out.read_bytes(), err.read_bytes(),
        )  # fmt: skip
    outcome.problems = ([killed] if killed else []) + list(problems(outcome, folder, before, bool(killed)))
    return outcome


def _child(command: Callable[[list[str]], int], argv: list[str], folder: Path, out: Path, err: Path) -> None:
    code = 99
    try:
        os.setsid()
        os.chdir(folder)
        os.environ["HOME"] = str(folder)  # a path can be ~
        for target, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), target)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", errors="backslashreplace", closefd=False) for n in (1, 2))
        os.dup2(os.open("stdin" if os.path.isfile("stdin") else os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 31, 1 << 31))
        code = command(argv)
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:  # noqa: BLE001 - what escapes the command line is a finding
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _wait(pid: int, start: float) -> tuple[int, Any, str]:
    """Wait for a child and stop it at a limit: (status, usage, what limit it was)."""
    pause, why = 0.002, ""
    ticks = os.sysconf("SC_CLK_TCK")
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            if not why and usage.ru_maxrss / 1024 > MEGABYTES:
                why = f"MEMORY: {usage.ru_maxrss / 1024:.0f} MB"
            return status, usage, why
        with contextlib.suppress(OSError, ValueError, IndexError):
            held = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)
            times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(times[11]) + int(times[12]) + int(times[13]) + int(times[14])) / ticks
            if held > MEGABYTES:
                why = f"MEMORY: {held:.0f} MB"
            elif cpu > CPU_SECONDS or time.monotonic() - start > WALL_SECONDS:
                why = f"TIMEOUT: {cpu:.1f} s of a processor, {time.monotonic() - start:.1f} s"
            if why:
                os.killpg(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 1.3, 0.02)


def _listing(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        info = os.lstat(path)
        found[path.relative_to(folder).as_posix()] = info.st_ino, info.st_size
    return found


def problems(outcome: Outcome, folder: Path, before: dict[str, tuple[int, int]], killed: bool) -> Iterator[str]:
    """What is not right about an outcome."""
    if not killed:
        if outcome.signal is not None:
            yield f"SIGNAL{outcome.signal}"
        elif outcome.code == 70:
            yield "EXIT70: " + next((line for line in outcome.text().splitlines() if "bug" in line), "")[:300]
        elif outcome.code not in CODES:
            yield f"EXIT{outcome.code}: no exit code of mconv"
    if b"Traceback (most recent call last)" in outcome.stderr + outcome.stdout:
        yield "TRACEBACK: " + outcome.text().strip().rpartition("\n")[2][:200]
    for where, held in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        bad = _control(held)
        if bad:
            yield f"CONTROL: {bad} on {where}"
    if len(outcome.stderr) > TEXT or any(
        len(line) > LINE for line in outcome.stderr.decode("utf-8", "replace").splitlines()
    ):
        yield f"LONG: {len(outcome.stderr)} bytes on stderr"
    if killed:
        return
    after = _listing(folder)
    new = sorted(name for name, seen in after.items() if before.get(name) != seen)
    if outcome.code not in WRITTEN:
        left = [name for name in new if not _FREE.fullmatch(name) and not (name in before and (folder / name).is_dir())]
        if [name for name in left if name != "build"]:
            yield f"PARTIAL: {', '.join(left[:5])}"
    elif any(re.search(r"(^|/)\.mconv-", name) for name in new):
        yield f"PARTIAL: {', '.join(new[:5])}"
    else:
        yield from _unreadable(folder, new, {name for name in before if name not in new})


_TEXTS = {".json", ".yml", ".yaml", ".py", ".prototxt", ".md", ".txt", ".sh", ".xml"}


def _unreadable(folder: Path, new: Sequence[str], given: set[str]) -> Iterator[str]:
    """Written texts that no reader takes, or that hold what a terminal obeys; copies of what was given are left out."""
    sizes = {(folder / name).stat().st_size: name for name in given if (folder / name).is_file()}
    for name in new:
        path = folder / name
        if path.suffix not in _TEXTS or not path.is_file() or path.name.endswith(".stream.prototxt"):
            continue
        held = path.read_bytes()
        twin = sizes.get(len(held))
        if twin is not None and (folder / twin).read_bytes() == held:
            continue
        bad = _control(held)
        if bad:
            yield f"CONTROL: {bad} in {name}"
            continue
        try:
            if path.suffix == ".json":
                json.loads(held)
            elif path.suffix in (".yml", ".yaml"):
                import yaml

                list(yaml.safe_load_all(held))
            elif path.suffix == ".py":
                ast.parse(held)
        except Exception as e:  # noqa: BLE001 - whatever a parser raises
            yield f"UNREADABLE: {name}: {type(e).__name__}: {str(e)[:200]}"


def _control(held: bytes) -> str:
    """What in an output is not to be printed, as a text that can be."""
    try:
        text = held.decode("utf-8")
    except UnicodeDecodeError as e:
        return f"byte {held[e.start]:#04x}, no UTF-8,"
    bad = next((c for c in text if not c.isprintable() and c != "\n"), "")
    return ascii(bad) if bad else ""


# ------------------------------------------------------------------------------------------------- a format


def fuzz(
    format_: Format, count: int, *, seed: int = 0, keep: Optional[Path] = None, start: int = 0, stop_at: int = 1000
) -> list[tuple[int, Outcome]]:
    """Run a format's cases; the findings, by number of the case.

    Args:
        seed, start: case *n* is made from (seed, n) alone.
        keep: findings are kept there, as entries of a corpus.
        stop_at: findings at which it ends.
    """
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        base, folder = Path(scratch, "base"), Path(scratch, "case")
        base.mkdir()
        made = format_.prepare(base)
        warm(format_, made, folder)
        for number in range(start, start + count):
            outcome = one(format_, made, number, seed, folder)
            if outcome.problems:
                found.append((number, outcome))
                if keep is not None:
                    keep_case(format_, made, number, seed, keep / format_.name / f"{seed}-{number}", outcome)
                if len(found) >= stop_at:
                    break
    return found


def one(format_: Format, made: Any, number: int, seed: int, folder: Path) -> Outcome:
    """Make and run one case."""
    return run(write(format_, made, number, seed, folder), folder, format_.command)


def write(format_: Format, made: Any, number: int, seed: int, folder: Path) -> Sequence[str]:
    """Make the files of a case in an emptied folder; gives the arguments."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if format_.around is not None:
        format_.around(folder)
    return format_.case(made, random.Random(f"{format_.name} {seed} {number}"), folder)


def warm(format_: Format, made: Any, folder: Path) -> None:
    """Run the sound files in this process, so that the children find everything imported.

    Raises:
        AssertionError: the command fails on them.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    here = os.getcwd()
    if format_.around is not None:
        format_.around(folder)
    for argv in format_.sound(made, folder):
        os.chdir(folder)
        sys.stdout.flush()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            code = format_.command(list(argv))
        os.chdir(here)
        if code:
            again = run(argv, folder, format_.command)
            raise AssertionError(f"{format_.name}: mconv {' '.join(argv)} fails on what is sound: {again.text()}")
    gc.collect()
    gc.freeze()


# ------------------------------------------------------------------------------------------------- the corpus


def keep_case(format_: Format, made: Any, number: int, seed: int, entry: Path, outcome: Outcome) -> None:
    """Keep a case: its files as they were given, and ``case.json``."""
    shutil.rmtree(entry, ignore_errors=True)
    entry.joinpath("files").mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        whole, beside = Path(scratch, "whole"), Path(scratch, "beside")
        write(format_, made, number, seed, whole)
        beside.mkdir()
        if format_.around is not None:
            format_.around(beside)
        known = set(os.listdir(beside))
        for path in whole.iterdir():
            if path.name not in known:
                _keep(path, entry / "files" / path.name)
    record = {"argv": outcome.argv, "exit": outcome.code, "was": outcome.problems}
    (entry / "case.json").write_text(json.dumps(record, indent=1) + "\n")


_KEPT = 64 << 20  # bytes of a file that is kept


def _keep(path: Path, into: Path) -> None:
    """Copy what a case was given: links as links, and neither pipes nor what has holes in it."""
    if path.is_symlink():
        into.symlink_to(os.readlink(path))
    elif path.is_dir():
        into.mkdir()
        for inner in path.iterdir():
            _keep(inner, into / inner.name)
    elif path.is_file() and path.stat().st_size <= _KEPT:
        shutil.copy(path, into)


def replay(format_: Format, entry: Path, scratch: Path) -> Outcome:
    """Run an entry of the corpus in a copy of its files; a wrong exit code counts as a problem."""
    record = json.loads((entry / "case.json").read_text())
    folder = scratch / "case"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if format_.around is not None:
        format_.around(folder)
    if (entry / "files").is_dir():
        shutil.copytree(entry / "files", folder, symlinks=True, dirs_exist_ok=True)
    outcome = run(record["argv"], folder, format_.command)
    if outcome.code != record["exit"]:
        outcome.problems.append(f"ends with {outcome.code}, {record['exit']} is right: {outcome.text()[:300]}")
    return outcome
