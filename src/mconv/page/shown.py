"""How results show themselves in a Python prompt and in a notebook: short, with the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mconv.printable import printable


def badness(row: Mapping[str, Any]) -> tuple[bool, float]:
    """What differs before what agrees, by the largest difference: of the figures of an output."""
    figure = row.get("max_abs")
    return not row.get("ok", True), float("inf") if figure is None else float(figure)


class Shown:
    """A base of result classes, which are dataclasses with ``repr=False``."""

    def __repr__(self) -> str:
        """One line: what it is, the verdict, the figures that matter."""
        from mconv.page import document, verdict

        found = document.of(self)
        made = verdict.of(found)
        told = [made.words, *made.reasons[:1], *(f"{k} {v}" for k, v in made.figures.items() if v not in (None, ""))]
        said = ", ".join(filter(None, told))
        return f"<{type(self).__name__} {printable(document.title(found), 80)}: {printable(said, 300)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: verdict, inputs, outputs, figures."""
        from mconv.page import document

        return document.summary(document.of(self))
