"""The tensors of a PyTorch model, the parameters of a layer, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Given:
    """A tensor of PyTorch. *kind*: ``float``, ``int``, ``bool``; *why_not*: why it cannot be used at all."""

    shape: tuple[int, ...]
    kind: str = "float"
    why_not: str = ""


@dataclass(frozen=True)
class Parameter:
    """A parameter or buffer of the layer; *tensor* is equal for names of one and the same."""

    shape: tuple[int, ...]
    kind: str
    tensor: int


@dataclass
class Layout:
    """A layer, described.

    Attributes:
        parameters: name → parameter, in the layer's order.
        classes: path of a sublayer (``""``: the layer) → names of its class and base classes.
    """

    parameters: dict[str, Parameter]
    classes: dict[str, frozenset[str]]

    def __post_init__(self) -> None:
        self._names: dict[int, list[str]] = {}
        for name, parameter in self.parameters.items():
            self._names.setdefault(parameter.tensor, []).append(name)

    def names(self, parameter: str) -> list[str]:
        """All names of the tensor that has this one."""
        return self._names[self.parameters[parameter].tensor]

    def owner(self, name: str) -> str:
        """The path of the innermost sublayer that a name lies in."""
        path = name
        while path:
            path = path.rpartition(".")[0]
            if path in self.classes:
                break
        return path


@dataclass(frozen=True)
class Match:
    """A tensor that goes into a parameter.

    Attributes:
        source: PyTorch's name.
        parameter: the layer's.
        part: (axis, which, of how many) of the tensor; None: all of it.
        transposed: whether the two dimensions are swapped.
        folded: the two tensors of a weight norm that make it.
    """

    source: str
    parameter: str
    part: Optional[tuple[int, int, int]] = None
    transposed: bool = False
    folded: Optional[tuple[str, str]] = None

    @property
    def how(self) -> str:
        """The changes in words."""
        words = []
        if self.folded:
            words.append("weight norm computed")
        if self.part:
            words.append(f"part {self.part[1] + 1} of {self.part[2]}")
        if self.transposed:
            words.append("transposed")
        return ", ".join(words)


@dataclass
class Matching:
    """What belongs where, and what is left.

    Attributes:
        matches: in the layer's order, one for each tensor of it.
        repeated: further tensors for a parameter that has one already, and that one: they must hold the same.
        filled: parameter → the value that it has though PyTorch has none.
        kept: parameters that the rules leave alone.
        dropped, unmatched: tensors that are not wanted; that belong nowhere.
        missing: parameters without a tensor.
        conflicts: tensors that do not fit where they belong, and why.
        prefix: what was taken from PyTorch's names, and put before them.
    """

    matches: list[Match] = field(default_factory=list)
    repeated: list[tuple[Match, Match]] = field(default_factory=list)
    filled: dict[str, float] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    conflicts: list[tuple[Match, str]] = field(default_factory=list)
    prefix: tuple[str, str] = ("", "")

    @property
    def complete(self) -> bool:
        return not (self.unmatched or self.missing or self.conflicts)

    @property
    def score(self) -> tuple[int, int, int]:
        """Larger is better."""
        return len(self.matches), -len(self.unmatched), -len(self.conflicts)
