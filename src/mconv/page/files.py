"""Pages and figures as files: of a measurement, and of one or several results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mconv.page import bars, charts, document
from mconv.program.paths import PathLike


def measured(found: Any, *, html: Optional[PathLike], plot: Optional[PathLike]) -> None:
    """Write a measurement's page and figure; without *found*, say whether they can be made.

    Raises:
        UsageError, MissingDependencyError, OutputExistsError: see :func:`mconv.api.bench_files`.
    """
    charts.require(Path(plot or "page.svg"))
    if html is not None:
        document.require(html)
    if found is None:
        return
    made = document.of(found)
    if plot is not None:
        bars.write(made, Path(plot))
    if html is not None:
        document.write(made, html)


def page(found: Any, html: PathLike) -> None:
    """Write one page of a result, a report, a document, or a list of these.

    Raises:
        NotAModelError, MissingDependencyError, UsageError, OutputExistsError: see :func:`mconv.api.page`.
    """
    document.require(html)
    documents = []
    for one in found if isinstance(found, (list, tuple)) else [found]:
        if isinstance(one, (str, os.PathLike)):
            documents.append(document.read(one))
        else:
            documents.append(one if isinstance(one, Mapping) else document.of(one))
    document.write(documents, html)
