"""The files of one model: their description, reading them, writing new ones.

Finding them is :mod:`mconv.program.files`'s part, which also gives the names of this module.
"""

from __future__ import annotations

import enum
import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.errors import CorruptModelError, MconvError, NotAModelError, UnsupportedError
from mconv.program import quantised
from mconv.program.copying import open_regular
from mconv.program.dtypes import DType
from mconv.program.params import ArraySource, Record, TensorSource, list_combined, list_separate
from mconv.program.params_writing import write_combined
from mconv.program.paths import PathLike
from mconv.program.program import Program, Var
from mconv.program.sniff import NEAR_MISSES, Kind

MAX_PROGRAM = (1 << 31) - 1  # protobuf's own limit for one message
EXPECTED = "an inference model is a program and its parameters: .pdmodel + .pdiparams or __model__ + __params__"
NO_PARAMETERS = "mconv_no_parameters"  # the variable that write_model adds
_PARTNERS = {"__model__": ("__params__", "params"), "model": ("params", "__params__")}


class Era(enum.Enum):
    """How a model's files are named and stored."""

    FLUID_SEPARATE = "fluid, one file per parameter"
    FLUID_COMBINED = "fluid, __model__ + __params__"
    FLUID_CUSTOM = "fluid, custom names"
    PADDLE2 = "Paddle 2, .pdmodel + .pdiparams"
    PIR = "Paddle 3 PIR, .json + .pdiparams"


@dataclass(frozen=True)
class ModelFiles:
    """The files of one inference model.

    ``params`` is the combined parameter file; None where each parameter has a file of its own (``separate``) or the
    model has no parameters.
    """

    era: Era
    program: Path
    params: Optional[Path]
    folder: Path

    @property
    def separate(self) -> bool:
        """Whether each parameter is a file of its own in ``folder``."""
        return self.params is None and self.era is Era.FLUID_SEPARATE

    @property
    def paths(self) -> list[Path]:
        """The program, and the combined parameters where there are any."""
        return [self.program] if self.params is None else [self.program, self.params]


def load_program(files: ModelFiles) -> Program:
    """Read the program.

    Raises:
        UnsupportedError: it is a PIR program, which is no ProgramDesc.
        CorruptModelError: damaged.
        NotAModelError: it cannot be read.
    """
    if files.era is Era.PIR:
        raise UnsupportedError(
            f"{files.program}: a PIR program (Paddle 3 .json), this reads .pdmodel and __model__ only",
            "Paddle writes a .pdmodel with FLAGS_enable_pir_api=0 in the environment before `import paddle`",
        )
    return read_program(files.program)


def read_program(path: Path) -> Program:
    fd = open_regular(path)
    try:
        size = os.fstat(fd).st_size
        if size > MAX_PROGRAM:
            raise CorruptModelError(f"{path}: {size} bytes, a program cannot be larger than {MAX_PROGRAM}")
        if not size:
            raise CorruptModelError(f"{path}: an empty file", NEAR_MISSES[Kind.EMPTY])
        # mapped: only what the look at its structure needs is read of a file that is no program
        with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as data:
            return Program.from_bytes(data, str(path))
    finally:
        os.close(fd)


def records(files: ModelFiles, program: Program) -> list[Record]:
    """The stored parameters, in byte order of their names, without reading their data.

    Quantised weights that are stored as int8 and declared as float32 are declared as int8 from now on.

    Raises:
        CorruptModelError: the parameters are damaged or not those of the program.
    """
    params = program.parameters
    if files.params is None and not files.separate:
        if params:
            raise half(files.program, len(params))
        return []
    loose = quantised.parameters(program)
    if files.params is not None:
        found = list_combined(files.params, params, loose)
    else:
        found = list_separate(files.folder, params, loose)
    quantised.declare(program, ((record.name, record.dtype) for record in found))
    return found


def load_model(files: ModelFiles) -> tuple[Program, dict[str, TensorSource]]:
    """The program and its stored parameters by name, whose data stay in their files.

    Raises:
        UnsupportedError, CorruptModelError, NotAModelError: see :func:`load_program` and :func:`records`.
    """
    program = load_program(files)
    return program, {record.name: record for record in records(files, program)}


def in_order(program: Program, params: Mapping[str, TensorSource]) -> list[tuple[str, TensorSource]]:
    """The parameters of a program in the order of their file, as :func:`write_model` takes them."""
    return [(var.name, params[var.name]) for var in program.parameters]


def at_least_one(
    program: Program, items: Iterable[tuple[str, TensorSource]]
) -> tuple[Program, Iterable[tuple[str, TensorSource]]]:
    """A program without parameters gets one that nothing reads; others are returned as they are.

    Paddle before 3 refuses to load a parameter file with none ("The number of variables to be loaded is 0"), and the
    servers want exactly one of each file.
    """
    if program.parameters:
        return program, items
    import numpy as np

    program = program.copy()
    program.main.add_var(Var.tensor(NO_PARAMETERS, DType.FP32, (1,), persistable=True))
    return program, [*items, (NO_PARAMETERS, ArraySource(np.zeros(1, np.float32)))]


def params_name(name: str = "inference") -> str:
    """What :func:`write_model` calls the file of parameters."""
    return f"{name}.pdiparams"


def write_model(
    program: Program,
    items: Iterable[tuple[str, TensorSource]],
    folder: PathLike,
    name: str = "inference",
    written: Callable[[int], Any] = lambda size: None,
) -> tuple[Path, Path]:
    """Write ``NAME.pdmodel`` and ``NAME.pdiparams`` into an existing folder.

    Args:
        items: (name, tensor) of every parameter of the program in byte order of the names.
        written: told now and then how many bytes of the parameters are in their file.

    A program without parameters gets one, see :func:`at_least_one`.

    Returns:
        The paths of the two files.

    Raises:
        ValueError: the items are not the parameters of the program.
    """
    folder = Path(folder)
    program, items = at_least_one(program, items)
    expected = program.parameters
    seen: list[str] = []

    def checked() -> Iterable[tuple[str, TensorSource]]:
        for key, source in items:
            if len(seen) == len(expected) or key != expected[len(seen)].name:
                wanted = expected[len(seen)].name if len(seen) < len(expected) else None
                raise ValueError(f"parameter {key!r} given where the program wants {wanted!r}")
            seen.append(key)
            yield key, source

    program_path, params_path = folder / f"{name}.pdmodel", folder / params_name(name)
    write_combined(params_path, checked(), written)
    if len(seen) < len(expected):
        raise ValueError(f"no data for parameter {expected[len(seen)].name!r}")
    program_path.write_bytes(program.to_bytes())
    return program_path, params_path


def param_names(program: str) -> tuple[str, ...]:
    """The names that the combined parameters of a program have by convention."""
    stem, dot, suffix = program.rpartition(".")
    if dot and suffix in ("pdmodel", "json"):
        return (f"{stem}.pdiparams",)
    return _PARTNERS.get(program, ())


def half(program: Path, count: int) -> MconvError:
    partners = " or ".join(param_names(program.name)) or "a file of them"
    return NotAModelError(
        f"{program}: a program without its {count} parameters ({partners} is missing in {program.parent})",
        "copy both files of the model into one folder",
    )
