"""Where the repository is, said once: ``[project.urls]`` of pyproject.toml.

``python tools/repository.py NAME/REPOSITORY`` writes it there and wherever a document or the site names it (the action in
workflows, the link in the site's header). A test holds them together.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# every file that names the repository, with what stands around the name
PLACES = {
    "docs/rooms.md": r"https://github\.com/([^/\"]+/[^/\"]+)/blob/",
    "docs/rooms.zh.md": r"https://github\.com/([^/\"]+/[^/\"]+)/blob/",
    "pyproject.toml": r'^Repository = "https://github\.com/([^/"]+/[^/"]+)"$',
    "mkdocs.yml": r"^repo_url: https://github\.com/(\S+)$",
    **dict.fromkeys(
        ("README.md", "README.zh-CN.md", "docs/ci.md", "docs/ci.zh.md"), r"^\s*(?:- )?uses: (\S+/mconv)@"
    ),
}  # fmt: skip


def named(file: str) -> list[str]:
    """What a file calls the repository, each time."""
    return re.findall(PLACES[file], (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def move(name: str) -> None:
    """Call it *name* everywhere."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise SystemExit(f"{name}: a repository is OWNER/NAME")

    def renamed(match: re.Match[str]) -> str:
        start, end = (at - match.start() for at in match.span(1))
        return match[0][:start] + name + match[0][end:]

    for file, pattern in PLACES.items():
        path = ROOT / file
        path.write_text(
            re.sub(pattern, renamed, path.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    move(sys.argv[1])
