"""A PIR model on disk → Program, and a ProgramDesc model on disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from mconv.pir.importer import Importer
from mconv.pir.reader import read
from mconv.program import files as model_files
from mconv.program import targets
from mconv.program.params import Record, TensorSource, list_combined
from mconv.program.program import Program, Var

PathLike = Union[str, Path]


@dataclass(frozen=True)
class Loaded:
    """A PIR model as a Program.

    Attributes:
        program: for the target asked for.
        params: its parameters by name, in the file's order.
        notes: what is worth telling the user.
        writer: the Paddle that wrote the model, e.g. ``3.3``.
        source: the parameter file when it can be taken as it is, else None.
    """

    program: Program
    params: dict[str, TensorSource]
    notes: list[str] = field(default_factory=list)
    writer: str = ""
    source: Optional[Path] = None


def load(
    path: PathLike, *, target: str = targets.DEFAULT_TARGET, output_names: Optional[Sequence[str]] = None
) -> Loaded:
    """Read a PIR model and translate it for *target*; the parameters' data is not read.

    Args:
        path: the ``.json`` file, its prefix or its folder.
        output_names: names for the outputs, in order; default: those of the last operators' variables.

    Raises:
        NotAModelError: *path* is no PIR model.
        CorruptModelError: the program or the parameter file is damaged, or they do not belong together.
        UnsupportedError: a Paddle that is not known wrote it, or the target lacks what it needs; ``rows`` lists it.
        UsageError: *output_names* does not fit.
    """
    files = model_files.locate(path)
    pir = read(files.program)
    variables = [Var.tensor(name, kind.dtype, kind.shape, persistable=True) for name, kind in pir.parameters]
    records: list[Record] = list_combined(files.params, variables) if files.params is not None and variables else []
    importer = Importer(pir, {r.name: r for r in records}, target)
    program, params, notes = importer.run(output_names)
    whole = [r.name for r in records] == list(params)
    return Loaded(program, params, notes, pir.writer, files.params if whole and records else None)


def convert(
    path: PathLike,
    folder: PathLike,
    *,
    name: str = "inference",
    target: str = targets.DEFAULT_TARGET,
    output_names: Optional[Sequence[str]] = None,
) -> Loaded:
    """:func:`load` and write ``NAME.pdmodel`` and ``NAME.pdiparams`` into *folder* (which exists).

    The parameter file is the same file (a hard link) where the file system allows it, else a copy; it is written
    anew only when the translation had to add a large constant.
    """
    loaded = load(path, target=target, output_names=output_names)
    folder = Path(folder)
    if loaded.source is None:
        model_files.write_model(loaded.program, loaded.params.items(), folder, name)
        return loaded
    (folder / f"{name}.pdmodel").write_bytes(loaded.program.to_bytes())
    link_or_copy(loaded.source, folder / f"{name}.pdiparams")
    return loaded


def link_or_copy(source: Path, target: Path) -> None:
    """Give *source* a second name, or copy it where the file system cannot."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
