"""Nobody is told to install the other package that is called mconv on PyPI."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path
from typing import Any, Optional

import pytest

from mconv import extras

ROOT = Path(__file__).parent.parent
# the name of the distribution where pip would look it up: `mconv`, `mconv[torch]`, `mconv==0.1.0`, not `paddle-mconv`
OLD = re.compile(r"(pip3?|uv|pipx) (pip )?install [^`|;&\n]*?(?<![\w/.-])mconv(?![\w/.-])|(?<![\w-])mconv(\[\w|==\d)")


def test_no_text_names_the_other_package() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wrong = []
    for name in listed.splitlines():
        path = ROOT / name
        if path == Path(__file__) or path.suffix in (".onnx", ".pdmodel", ".gz") or not path.is_file():
            continue
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if OLD.search(line):
                wrong.append(f"{name}:{number}: {line.strip()[:120]}")
    assert not wrong


@pytest.mark.parametrize(
    "text",
    ["pip install mconv", "pip install 'mconv[torch]'", "pip install -U mconv", "uv pip install mconv", "mconv==0.1.0"],
)
def test_the_search_finds_the_old_forms(text: str) -> None:
    assert OLD.search(text)
    assert not OLD.search(text.replace("mconv", "paddle-mconv"))


@pytest.mark.parametrize(
    ("direct_url", "command"),
    [
        (None, "pip install 'paddle-mconv[torch]'"),
        ('{"url": "file:///clone", "dir_info": {"editable": true}}', "pip install -e '.[torch]'"),
        ('{"url": "file:///clone", "dir_info": {}}', "pip install 'paddle-mconv[torch]'"),
    ],
)
def test_a_clone_is_told_to_install_itself(
    direct_url: Optional[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> Any:
            return direct_url

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    assert extras.install("torch") == command


def test_extras_that_are_named_exist() -> None:
    declared = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    named = set()
    for path in (ROOT / "src").rglob("*.py"):
        named |= set(re.findall(r"\binstall\([\"'](\w+)[\"']\)", path.read_text()))
    assert len(named) >= 6 and named <= set(declared)
