"""A hook of mkdocs: each language is searched by itself.

Material has one index for the whole site, and reads it, and the addresses in it, from the ``base`` of the page's own
configuration. So the pages of a language get the language's root as their base, and the index there that is theirs.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

LANGUAGE = "zh"
_BASE = re.compile(r'(<script id="__config" type="application/json">.*?"base": ")([./]+)(")')


@event_priority(-100)  # after the languages are built
def on_post_build(config: Any) -> None:
    site = Path(config["site_dir"])
    index = site / "search" / "search_index.json"
    own = site / LANGUAGE
    whole = json.loads(index.read_text(encoding="utf-8"))
    theirs = [d for d in whole["docs"] if d["location"].startswith(f"{LANGUAGE}/")]
    if not theirs:  # this language's turn is still to come
        return
    (own / "search").mkdir(exist_ok=True)
    _write(own / "search" / index.name, whole, [{**d, "location": d["location"][len(LANGUAGE) + 1 :]} for d in theirs])
    _write(index, whole, [d for d in whole["docs"] if d not in theirs])
    shutil.copy(site / "sitemap.xml", own / "sitemap.xml")  # read from the base, too
    for page in own.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        depth = len(page.relative_to(own).parts) - 1
        moved = _BASE.sub(lambda m, depth=depth: m[1] + ("/".join([".."] * depth) or ".") + m[3], text, count=1)  # type: ignore[misc]
        page.write_text(moved, encoding="utf-8")


def _write(path: Path, whole: dict[str, Any], docs: list[dict[str, Any]]) -> None:
    text = json.dumps({**whole, "docs": docs}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
