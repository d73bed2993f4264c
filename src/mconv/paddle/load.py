"""A PIR model on disk → Program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional, Union

from mconv.errors import UnsupportedError
from mconv.paddle.importer import Importer
from mconv.paddle.legalize import legalize
from mconv.paddle.pir_reader import PirProgram, read
from mconv.program import files as model_files
from mconv.program.params import FileSource, TensorSource, list_combined
from mconv.program.program import Program, Var
from mconv.program.targets import DEFAULT, Target

PathLike = Union[str, Path]


@dataclass(frozen=True)
class Loaded:
    """A PIR model as a Program.

    Attributes:
        program: for the target asked for.
        params: its parameters by name, in the file's order: the records of the model's own file, unless a constant
            had to be added or a scalar given a dimension.
        notes: what is worth telling the user.
        writer: the Paddle that wrote the model, e.g. ``3.3``.
    """

    program: Program
    params: dict[str, TensorSource]
    notes: list[str] = field(default_factory=list)
    writer: str = ""


def load(path: PathLike, *, target: Target = DEFAULT, output_names: Optional[Sequence[str]] = None) -> Loaded:
    """Read a PIR model and translate it for *target*; the parameters' data is not read.

    Args:
        path: the ``.json`` file, its prefix or its folder.
        output_names: names for the outputs, in order; default: those of the last operators' variables.

    Raises:
        NotAModelError: *path* is no PIR model.
        CorruptModelError: the program or the parameter file is damaged, or they do not belong together.
        UnsupportedError: a Paddle that is not known wrote it, or the target lacks what it needs; ``rows`` lists it.
        UsageError: *output_names* does not fit, or there is no such target.
    """
    files = model_files.locate(path)
    pir = read(files.program)
    variables = [Var.tensor(name, kind.dtype, kind.shape, persistable=True) for name, kind in pir.parameters]
    if variables and files.params is None:
        raise model_files.half(files.program, len(variables))
    records = list_combined(files.params, variables) if files.params is not None else []
    program, params, notes = _translate(pir, {r.name: r for r in records}, target, output_names)
    return Loaded(program, params, notes, pir.writer)


def _translate(
    pir: PirProgram, sources: dict[str, TensorSource], target: Target, names: Optional[Sequence[str]]
) -> tuple[Program, dict[str, TensorSource], list[str]]:
    program, params, notes = Importer(pir, sources, target).run(names)
    legal = legalize(program, target)  # what the runtime cannot carry across its border, limits of size
    params.update(legal.parameters)
    ordered = {v.name: params[v.name] for v in program.parameters}
    return program, ordered, [*notes, *legal.notes]


def obstacles(pir: PirProgram, target: Target) -> Optional[UnsupportedError]:
    """Why a program cannot be translated for *target*; None when it can."""
    sources: dict[str, TensorSource] = {}
    for name, kind in pir.parameters:
        if kind.dtype is not None and min(kind.shape, default=0) >= 0:
            sources[name] = FileSource(name, 0, kind.dtype, kind.shape)  # only its description is looked at
    try:
        _translate(pir, sources, target, None)
    except UnsupportedError as error:
        return error
    return None
