"""A module whose buffers come in and go out: what ``forward`` changes, as inputs and outputs."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mconv.errors import UsageError
from mconv.torch.exporting import named_leaves
from mconv.torch.sources.source import import_torch

AFTER = "_out"  # of the name of an input: the output with the value after the call


@functools.lru_cache(maxsize=1)
def carried_class() -> Any:
    """The class ``Carried``, which torch is needed for.

    Raises:
        MissingDependencyError: torch is not installed.
    """
    torch = import_torch()

    class Carried(torch.nn.Module):  # type: ignore[misc,name-defined,unused-ignore]
        """A module whose buffers are given with the inputs, and returned after the call beside the results.

        Args:
            module: the ``torch.nn.Module``.
            inputs: names of the module's own inputs.
            positions: name of the input → full name of the buffer.
        """

        def __init__(self, module: Any, inputs: Sequence[str], positions: Mapping[str, str]):
            super().__init__()
            self.module = module
            self.names = (*inputs, *positions)
            self.paths = dict(positions)
            parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in self.names]

            def forward(*args: Any, **kwargs: Any) -> dict[str, Any]:
                return self.answer({**dict(zip(self.names, args)), **kwargs})

            forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # the exporters read it
            self.forward = forward

        def answer(self, inputs: dict[str, Any]) -> dict[str, Any]:
            """The results by their names, and the buffers by those of their inputs with ``_out``."""
            inputs = dict(inputs)
            owners = {n: self.owner(path) for n, path in self.paths.items()}
            before = {n: getattr(*where) for n, where in owners.items()}
            given = {n: inputs.pop(n) for n in self.paths}
            try:
                for name, (owner, attribute) in owners.items():
                    setattr(owner, attribute, given[name].clone())  # forward may write into it
                results = dict(named_leaves(self.module(**inputs)))
                after = {f"{n}{AFTER}": getattr(*where) for n, where in owners.items()}
            finally:
                for name, (owner, attribute) in owners.items():
                    setattr(owner, attribute, before[name])
            return {**results, **after}

        def owner(self, path: str) -> tuple[Any, str]:
            parent, _, attribute = path.rpartition(".")
            return self.module.get_submodule(parent), attribute

    return Carried


def carried_paths(names: Sequence[str], taken: Sequence[str]) -> dict[str, str]:
    """Name of the input for each buffer → its full name.

    Raises:
        UsageError: an input of the module has that name already.
    """
    found: dict[str, str] = {}
    for path in names:
        name = re.sub(r"\W", "_", path)
        if name in found or name in taken:
            raise UsageError(f"--carry-state: {path} cannot be the input {name!r}, which is there already")
        found[name] = path
    return found
