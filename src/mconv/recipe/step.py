"""One step of a recipe: a call of :mod:`mconv.api`, with what it reads and makes, and what its key is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Step:
    """One call.

    Attributes:
        name: of the step; ``id``: the same, numbered.
        verb: the function of :mod:`mconv.api`.
        reads: parameter → a file or folder; the hash of what is in it is part of the step's key. A name that begins
            with + is no parameter: there are others that say the same with a path.
        made_by: parameter → the step that made what it reads.
        outputs_at: parameter → where the output goes, relative to the recipe's folder.
        options: the other parameters; + as above.
        hidden: options that are no part of the key, because another field says the same without a path.
        outputs: files and folders that are made, relative to the recipe's folder.
        product: the model among them, which later steps read; of a conversion only.
        record: the ``provenance.json`` of it.
        kind: what :func:`mconv.recipe.cache.versions` calls it, where that is not its name.
    """

    name: str
    id: str
    verb: str
    line: int
    reads: dict[str, Path] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)
    outputs_at: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    product: str = ""
    record: str = ""
    kind: str = ""

    def arguments(self, folder: Path) -> dict[str, Any]:
        """The keyword arguments of the call, JSON values."""
        return {
            **self.options,
            **self.hidden,
            **{name: str(path) for name, path in self.reads.items()},
            **{name: str(folder / location) for name, location in self.outputs_at.items()},
        }


def call(step: Step, folder: Path) -> tuple[str, dict[str, Any]]:
    """The function of the API and its arguments."""
    return step.verb, {k: v for k, v in step.arguments(folder).items() if v is not None and not k.startswith("+")}


def ingredients(step: Step, inputs: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """What the key of a step is made of."""
    return {
        "step": step.name,
        "options": step.options,
        "inputs": dict(inputs),
        "versions": dict(versions),
        "outputs": step.outputs_at,
    }
