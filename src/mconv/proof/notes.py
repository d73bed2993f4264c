"""What a proof has to say beside its figures, before it is known which command says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class InputsAdvice:
    """A sentence that tells to give inputs, which each command takes by an option of its own.

    Attributes:
        before: what stands before the option.
        after: what stands behind it.
    """

    before: str
    after: str = " x.npz"

    def text(self, option: str) -> str:
        """The sentence, where inputs are given by *option*."""
        return f"{self.before} {option}{self.after}"


Note = Union[str, InputsAdvice]


def rendered(notes: Sequence[Note], option: str) -> list[str]:
    """The sentences of a command that takes inputs by *option*."""
    return [note if isinstance(note, str) else note.text(option) for note in notes]
