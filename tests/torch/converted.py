"""A module as a program: exported and imported, without the verb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mconv.program.targets import DEFAULT, Target
from mconv.torch.convert import imported
from mconv.torch.exporting import export
from mconv.torch.importer import Imported


def convert(
    module: Any,
    examples: Mapping[str, Any],
    dims: Optional[Mapping[str, Sequence[Any]]] = None,
    target: Target = DEFAULT,
    *,
    widen: bool = True,
) -> Imported:
    """As of :func:`mconv.torch.convert.imported`; *dims* are names of dimensions, which are open then."""
    return imported(export(module, examples, dims or {}), target, widen=widen)
