"""What lies beside a Paddle model and describes it: ``inference.yml`` of PaddleX and PaddleOCR goes where the model goes."""

from __future__ import annotations

from pathlib import Path

from mconv.program.copying import copy_file
from mconv.program.files import ModelFiles

NAME = "inference.yml"
STEM = "inference"  # PaddleX looks for a model of that name only


def description(found: ModelFiles) -> list[Path]:
    """The description of a model, in a list that is empty where it has none."""
    path = Path(found.program).parent / NAME
    return [path] if Path(found.program).stem == STEM and path.is_file() else []


def carry(found: ModelFiles, folder: Path) -> None:
    """Copy the description of a model into the folder of what was made of it.

    Raises:
        NotAModelError: it cannot be read.
    """
    for path in description(found):
        copy_file(path, folder / path.name)
