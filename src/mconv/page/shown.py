"""How results show themselves in a Python prompt and in a notebook: short, with the verdict."""

from __future__ import annotations

from mconv.printable import printable


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
