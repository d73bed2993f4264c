"""Every ``mconv …`` in the documentation is a command that exists, with options that it has."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from tools.docsite import reference

from mconv.cli import main as frame

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "action.yml", *sorted((ROOT / "integrations").iterdir()),
    *sorted((ROOT / "docker").iterdir()), *sorted((ROOT / "tools" / "docsite" / "examples").iterdir()),
]  # fmt: skip
TOP = {"--help", "--version", "--install-completion", "--show-completion"}
EVERY = {"--help"}


@cache
def options(name: str) -> dict[str, set[str]]:
    """``full name of the subcommand → its options``."""
    return {
        full: EVERY | {o for p in parser.params if p.param_type_name == "option" for o in (*p.opts, *p.secondary_opts)}
        for full, parser in reference.parsers(name)
    }


def invocations(text: str) -> list[str]:
    """What stands behind ``mconv`` in code blocks and code spans, up to the end of the command."""
    found = []
    for code in re.findall(r"`([^`\n]+)`|^([^`\n]*)$", text, re.M):
        line = code[0] or code[1]
        # in prose only code spans count, in blocks and scripts lines that begin with it
        pattern = r"mconv ([^`]*)" if code[0] else r"(?:^|^\$ |&& |\|\| |; |\$\(|[A-Z_]+=\S+ |/|- )mconv ([^`]*)"
        found += [m[1] for m in re.finditer(pattern, line.strip())]
    return found


def words(invocation: str) -> list[str]:
    plain = re.split(r"\s#|[|;)]|&&|\d?>| … |，|。|：|（", invocation)[0].rstrip("\\ ")
    try:
        return shlex.split(plain)
    except ValueError:
        return plain.split()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_options_are_real(page: Path) -> None:
    wrong = []
    for invocation in invocations(page.read_text(encoding="utf-8")):
        given = words(invocation)
        if "--" in given:  # what is behind is a command again, of report-bug one of mconv's
            split = given.index("--")
            given = given[split + 1 :] if given[0] == "report-bug" else given[:split]
        if not given or not re.fullmatch(r"[a-z][a-z0-9-]+|--[a-z-]+", given[0]):
            continue
        name, rest = given[0], given[1:]
        if name.startswith("--"):
            wrong += [] if name in TOP else [invocation]
            continue
        if name == "help" or not frame.available(name):
            wrong.append(invocation)
            continue
        known = options(name)
        full = next((f for f in known if rest and f == f"{name} {rest[0]}"), name)
        allowed = known.get(full) or set().union(*known.values())
        bad = [
            w for w in rest if re.match(r"--?[a-z]", w) and any(o not in allowed for o in w.split("=")[0].split("/"))
        ]
        wrong += [f"{invocation}: {' '.join(bad)}"] if bad else []
    assert not wrong


def test_the_check_sees_what_is_wrong() -> None:
    text = "```bash\nmconv inspect x --no-such\npython -m x && mconv nothing\n```\nand `mconv verify A B --layers`\n"
    assert invocations(text) == ["inspect x --no-such", "nothing", "verify A B --layers"]
    assert "--layers" in options("verify")["verify"] and "--no-such" not in options("inspect")["inspect"]
    assert "--python" in options("runtime")["runtime install"]
