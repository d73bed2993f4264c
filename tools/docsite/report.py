"""A hook of mkdocs: the page of a comparison that docs/report.md shows, as ``--html`` writes it of the document beside this
file, which tools/pictures.py records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from mconv.page import document

RECORDED = Path(__file__).with_name("comparison.json")
MADE = Path(__file__).parents[2] / "build" / "pages"
NAME = "images/report.html"


def on_pre_build(config: Any) -> None:
    document.write(document.read(RECORDED), MADE / NAME)


def on_files(files: Any, config: Any) -> Any:
    files.append(File(NAME, str(MADE), config["site_dir"], config["use_directory_urls"]))
    return files
