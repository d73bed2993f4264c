"""What is closed at the end of a ``with`` block."""

from __future__ import annotations

from typing import TypeVar

_C = TypeVar("_C", bound="Closing")


class Closing:
    """A context manager that gives itself, and at whose end :meth:`close` is called."""

    def __enter__(self: _C) -> _C:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what it holds; what holds nothing has nothing to do."""
