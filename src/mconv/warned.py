"""A warning: a text for people, with a code for programs, which read no prose."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"


class Warned(str):
    """The text of a warning.

    Attributes:
        code: what kind it is, in words with hyphens: ``dimension-fixed``; it stays the same when the text changes.
    """

    code: str

    def __new__(cls, code: str, text: str) -> Warned:
        made = super().__new__(cls, text)
        made.code = code
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override] # str's own has the text alone
        return self.code, str(self)


def code_of(warning: str) -> str:
    """The code of a warning; ``other`` where it has none."""
    return warning.code if isinstance(warning, Warned) else OTHER


def coded(warnings: Iterable[str]) -> list[dict[str, str]]:
    """For reports: ``code`` and ``text`` of each."""
    return [{"code": code_of(w), "text": str(w)} for w in warnings]
