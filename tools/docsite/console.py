"""Recorded console sessions: what a Markdown file's commands print is run, and written back into the file.

In a ```` ```console ```` block every line that starts with ``$ `` is a command (a final ``\\`` continues it), all else is
what it printed, stderr included, and ``[exit N]`` where the exit code was not 0. A block with ``title="NAME"`` is
written to the file NAME before the commands after it run. ``<!-- $ command -->`` runs without being shown. All commands
of one file share one scratch folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(r"^```(\S*)(.*)$")
# figures that differ from run to run and from machine to machine
_NUMBER = re.compile(r"\d+(?:\.\d+)*(?:e[+-]?\d+)?")

_HIDDEN = re.compile(r"^<!-- \$ (.*) -->$")
_LONG_RULE = re.compile("─{100,}")


@dataclass
class Block:
    """One fenced block: where its lines are, and what it is."""

    first: int  # the line after the opening fence
    last: int  # the closing fence
    language: str
    title: str
    lines: list[str] = field(default_factory=list)

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """``(command as written, what it printed)``."""
        command, printed, open_ = "", [], False
        for line in self.lines:
            if open_ or line.startswith("$ "):
                if not open_ and command:
                    yield command, printed
                command, printed = (f"{command}\n{line}", []) if open_ else (line, [])
                open_ = line.endswith("\\")
            else:
                printed.append(line)
        if command:
            yield command, printed


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text."""
    found: list[Block] = []
    current: Block | None = None
    for number, line in enumerate(text.split("\n")):
        fence = _FENCE.match(line)
        if current is None and fence:
            title = re.search(r'title="([^"]+)"', fence[2])
            current = Block(number + 1, 0, fence[1], title[1] if title else "")
        elif current is not None and line == "```":
            current.last = number
            found.append(current)
            current = None
        elif current is not None:
            current.lines.append(line)
    return found


def run(command: str, folder: Path) -> list[str]:
    """The lines that a command prints in a folder, stdout and stderr as they come."""
    env = dict(os.environ, NO_COLOR="1", TERM="dumb", COLUMNS="110", PYTHONWARNINGS="ignore", LC_ALL="C.UTF-8")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command.removeprefix("$ ")],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
    )  # fmt: skip
    text = done.stdout
    where = str(folder.resolve())
    for shown in (where, where.replace("_", "\\_")):  # the second in Markdown
        text = text.replace(f"{shown}{os.sep}", "").replace(shown, ".")
    text = _LONG_RULE.sub("─" * 100, text.replace(str(Path.home()), "~"))
    lines = [line.rstrip() for line in text.rstrip("\n").split("\n")] if text.strip() else []
    return lines + ([f"[exit {done.returncode}]"] if done.returncode else [])


def _run_hidden(line: str, folder: Path) -> None:
    hidden = _HIDDEN.match(line)
    if hidden:
        printed = run(hidden[1], folder)
        if printed and printed[-1].startswith("[exit"):
            raise RuntimeError(f"{hidden[1]}: {printed}")


def rerun(text: str, folder: Path) -> str:
    """The Markdown text with every console block run again in *folder*."""
    lines = text.split("\n")
    shift = seen = 0
    for block in blocks(text):
        for line in text.split("\n")[seen : block.first]:
            _run_hidden(line, folder)
        seen = block.last
        if block.title and block.language != "console":
            (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.title).write_text("\n".join(block.lines) + "\n", encoding="utf-8")
        if block.language != "console":
            continue
        new = [line for command, _ in block.commands() for line in [*command.split("\n"), *run(command, folder)]]
        lines[block.first + shift : block.last + shift] = new
        shift += len(new) - (block.last - block.first)
    for line in text.split("\n")[seen:]:
        _run_hidden(line, folder)
    return "\n".join(lines)


def sync(source: str, text: str) -> str:
    """*text* with the fenced blocks of *source*, one for one: a translation shares its original's sessions.

    Raises:
        ValueError: they do not have the same number of blocks.
    """
    there, here = blocks(source), blocks(text)
    if [b.language for b in there] != [b.language for b in here]:
        raise ValueError(f"{len(there)} blocks against {len(here)}, or blocks of other languages")
    lines = text.split("\n")
    for a, b in reversed(list(zip(there, here))):
        lines[b.first : b.last] = a.lines
    return "\n".join(lines)


def masked(line: str) -> str:
    """A line without its figures and its spacing, to compare runs by."""
    return " ".join(re.sub(r"[─-]{2,}", "-", _NUMBER.sub("N", line)).split())
