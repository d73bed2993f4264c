"""One check for damaged files: refused with a typed error, quickly and in little memory.

Run as a script it works through a whole corpus in a process of its own, so that its peak memory can be told::

    python -m tests.program.checking program|params MODEL_FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from mconv.errors import MconvError
from mconv.program.files import load_program, locate, records
from mconv.program.params import list_combined
from mconv.program.program import Program
from tests import damaged
from tests.measure import peak_megabytes

MEGABYTES = 500


def use(program: Program) -> None:
    """Everything that a command does with a program before it writes."""
    repr(program)
    _ = program.feeds, program.fetches, program.parameters, program.version
    for block, op in program.ops():
        _ = op.attrs, op.inputs, op.outputs, op.blocks
        for name in op.input_names:
            program.find_var(name, block)
    assert Program.from_bytes(program.to_bytes()).to_bytes() == program.to_bytes()


def read(data: bytes, path: Path) -> bool:
    """Write a program file and read it as a command would; False when it is refused."""
    path.write_bytes(data)
    try:
        files = locate(path)
        program = load_program(files)
        use(program)
        records(files, program)
    except MconvError as e:
        assert e.message and "\n" not in e.message, repr(e.message)
        return False
    return True


def programs(sound: bytes, folder: Path) -> int:
    """Read every damaged program, as a file and as bytes; how many there were."""
    count = 0
    for count, damage in enumerate(damaged.programs(sound), 1):
        for name in ("__model__", "odd"):  # a name that says what it is, and one that does not
            sound_after_all = read(damage.data, folder / name)
            (folder / name).unlink()
            assert not (damage.fatal and sound_after_all), f"{damage.label}: read as if it were sound"
    return count


def params(sound: bytes, program: Program, heads: list[tuple[int, int]], folder: Path) -> int:
    """List the records of every damaged parameter file; how many there were."""
    count = 0
    path = folder / "params"
    for count, damage in enumerate(damaged.params(sound, heads), 1):
        path.write_bytes(damage.data)
        try:
            list_combined(path, program.parameters)
        except MconvError as e:
            assert str(path) in e.message and "\n" not in e.message, repr(e.message)
            assert "offset" in e.message, e.message
        else:
            raise AssertionError(f"{damage.label}: read as if it were sound")
    return count


def main(kind: str, model: str) -> None:
    files = locate(model)
    program = load_program(files)
    with tempfile.TemporaryDirectory() as folder:
        if kind == "program":
            count = programs(files.program.read_bytes(), Path(folder))
        else:
            assert files.params is not None
            heads = [(r.record_offset, r.offset) for r in records(files, program)]
            count = params(files.params.read_bytes(), program, heads, Path(folder))
    peak = peak_megabytes()
    assert peak < MEGABYTES, f"{peak:.0f} MB"
    print(f"{count} damaged files refused, peak {peak:.0f} MB")


if __name__ == "__main__":
    main(*sys.argv[1:])
