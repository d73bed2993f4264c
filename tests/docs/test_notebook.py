"""The notebook of the documentation runs from its beginning to its end, and shows what it showed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.managed import require

NOTEBOOK = Path(__file__).parent.parent.parent / "docs" / "walk.ipynb"


def shown(notebook: Any) -> list[list[str]]:
    """What each cell shows, but for figures."""
    found = []
    for cell in notebook.cells:
        texts = [o.get("text") or o["data"]["text/plain"] for o in cell.get("outputs", [])]
        found.append([re.sub(r"\d+(\.\d+)*(e-?\d+)?", "0", text) for text in texts])
    return found


@pytest.mark.runtime
@pytest.mark.long
def test_the_notebook_runs_and_shows_the_same(tmp_path: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    require("paddle-2.3.2")
    committed = nbformat.read(NOTEBOOK, as_version=4)
    run = nbformat.read(NOTEBOOK, as_version=4)
    for cell in run.cells:
        cell.pop("outputs", None) if cell.cell_type == "markdown" else cell.update(outputs=[], execution_count=None)
    nbclient.NotebookClient(run, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert shown(run) == shown(committed)
    tables = [o for cell in run.cells for o in cell.get("outputs", []) if "text/html" in o.get("data", {})]
    assert len(tables) >= 4 and all("verdict" in o["data"]["text/html"] for o in tables)
    numbers = [cell["execution_count"] for cell in committed.cells if cell.cell_type == "code"]
    assert numbers == list(range(1, len(numbers) + 1)), "the committed one was run from its beginning"
