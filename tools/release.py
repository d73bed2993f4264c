"""What a tag needs before it becomes a release: one version everywhere, and a changelog that has closed it.

``python tools/release.py --tag v0.2.0 --notes notes.md`` fails with one line where the tag, ``mconv.__version__`` and the
newest heading of CHANGELOG.md differ or where that heading has no date; it writes what the changelog says of the version.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def version() -> str:
    """The one place where it stands; pyproject.toml reads it from there, too."""
    text = (ROOT / "src" / "mconv" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def newest(changelog: str) -> tuple[str, str, str]:
    """(version, what stands in brackets behind it, text) of the newest heading: ``## 0.2.0 (2026-12-01)``."""
    found = re.search(r"^## (\S+) \(([^)\n]+)\)\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit("CHANGELOG.md: no heading like '## 0.2.0 (2026-12-01)'")
    return found[1], found[2], found[3].strip()


def notes(tag: str, current: str, changelog: str) -> str:
    """What the changelog says of the version that *tag* names.

    Raises:
        SystemExit: the tag, the version and the changelog do not agree, or the changelog has no date or no text.
    """
    heading, date, text = newest(changelog)
    if tag != f"v{current}":
        raise SystemExit(f"the tag is {tag}, mconv.__version__ is {current}: the tag has to be v{current}")
    if heading != current:
        raise SystemExit(f"CHANGELOG.md begins with {heading}, mconv.__version__ is {current}")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        raise SystemExit(f"CHANGELOG.md: '## {heading} ({date})' needs the date of the release")
    if not text:
        raise SystemExit(f"CHANGELOG.md says nothing of {heading}")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tag", required=True)
    parser.add_argument("--notes", type=Path, help="where the text of the release goes (default: standard output)")
    chosen = parser.parse_args()
    text = notes(chosen.tag, version(), (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if chosen.notes is None:
        sys.stdout.write(text + "\n")
    else:
        chosen.notes.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
