"""From what Paddle saved to what ``mconv to-static`` leaves: translated, named, described."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mconv import inspection
from mconv.artifacts.destination import Destination
from mconv.dygraph.export import Exported
from mconv.dygraph.inputs import Call
from mconv.errors import UnsupportedError, UsageError
from mconv.options.layers import Saving
from mconv.paddle.legalize import legalize
from mconv.paddle.load import load
from mconv.program.files import locate
from mconv.program.params import TensorSource
from mconv.program.port_rows import PortRow, renamed, row, row_of
from mconv.program.program import Op, Program, Var
from mconv.program.stored import in_order, load_model, write_model
from mconv.program.targets import Target
from mconv.proof.layers import SavedFiles
from mconv.proof.report import Report
from mconv.verbs.produced import about_names

STEM = "inference"
SCRATCH = ".traced"


def write(
    made: Exported,
    call: Call,
    folder: Path,
    chosen: Saving,
    report: Report,
) -> SavedFiles:
    """Translate what Paddle saved and write it into *folder*; describes inputs and outputs in *report*.

    Raises:
        UnsupportedError: the target lacks what the program needs, or this Paddle writes no ``.json``.
        UsageError: the names for the outputs do not fit.
    """
    if chosen.form == "json":
        return _as_it_is(made, folder, report)
    program, items = _translated(made, chosen.goal, report)
    _name_outputs(program, made, chosen.output_names)
    written = write_model(program, items, folder, STEM)
    report.inputs = [row_of(p, i.name, i.dtype.label, i.dims) for i, p in zip(call.inputs, program.feeds)]
    given = list(chosen.output_names) if chosen.output_names is not None else made.names
    report.outputs = [row_of(p, name or p.name, _label(p), p.shape) for name, p in zip(given, program.fetches)]
    report.renamed = renamed(report.inputs, report.outputs)
    report.warnings += about_names(report.renamed, ": the name is taken")
    return SavedFiles(written[0], written[1], program)


def _translated(made: Exported, target: Target, report: Report) -> tuple[Program, list[tuple[str, TensorSource]]]:
    if made.pir:
        loaded = load(made.program, target=target)
        report.warnings += loaded.notes
        return loaded.program, list(loaded.params.items())
    found = locate(made.program)
    program, items = load_model(found)
    legal = legalize(program, target)
    report.warnings += legal.notes
    items.update(legal.parameters)
    return program, in_order(program, items)


def _as_it_is(made: Exported, folder: Path, report: Report) -> SavedFiles:
    if not made.pir:
        raise UnsupportedError(
            f"this Paddle ({report.versions['source paddle']}) does not write .json", "leave --format away: .pdmodel"
        )
    program = folder / f"{STEM}.json"
    made.program.replace(program)
    if made.params is None:
        raise UnsupportedError(
            "the layer has no parameters, and Paddle's Predictor loads no .json without",
            "leave --format away: .pdmodel",
        )
    params = folder / f"{STEM}.pdiparams"
    made.params.replace(params)
    seen = inspection.inspect(program, judged=False)
    report.inputs = [_described(t) for t in seen.inputs]
    report.outputs = [_described(t) for t in seen.outputs]
    return SavedFiles(program, params, None)


def _described(tensor: Any) -> PortRow:
    return row(tensor.name, tensor.dtype, shape=tensor.shape)


def _label(port: Any) -> Optional[str]:
    return None if port.dtype is None else port.dtype.label


# names of the outputs -----------------------------------------------------------------------------------------------


def _name_outputs(program: Program, made: Exported, wanted: Optional[Sequence[str]]) -> None:
    """Call the outputs as the user or the layer's dictionary does.

    A name of the user's that is taken is an error; a dictionary's is left away then.
    """
    ports = program.fetches
    if wanted is not None:
        if len(wanted) != len(ports):
            raise UsageError(f"--output-names gives {len(wanted)} names for {len(ports)} outputs")
        if len(set(wanted)) != len(wanted) or not all(n.isprintable() and n for n in wanted):
            raise UsageError(f"--output-names: not {len(wanted)} different names: {', '.join(map(repr, wanted))}")
    names = list(wanted) if wanted is not None else made.names
    for port, name in zip(ports, names):
        if name is None or name == port.name:
            continue
        if program.find_var(name) is not None or any(name in block.vars for block in program.blocks):
            if wanted is not None:
                raise UsageError(f"--output-names: the program has a variable {name!r} already")
            continue
        _rename(program, port, name)


def _rename(program: Program, port: Any, name: str) -> None:
    """Give the variable of an output another name, or a copy of it where it has one that must stay."""
    old = port.name
    fixed = port.var.persistable or old in {p.name for p in program.feeds}
    fixed = fixed or sum(p.name == old for p in program.fetches) > 1
    program.main.add_var(Var.tensor(name, port.var.dtype, port.var.shape))
    if fixed:
        at = program.main.ops.index(port.op)
        program.main.ops.insert(at, Op.make("assign", {"X": [old]}, {"Out": [name]}))
        port.op.set_input("X", [name])
        return
    for _, op in program.ops():
        op.rename({old: name})
    del program.main.vars[old]


# where it goes ------------------------------------------------------------------------------------------------------


def destination(path: Path, form: str) -> Destination:
    """Of files beside others: *path* is their prefix, with or without the program's suffix.

    Raises:
        UsageError: *path* names no file.
    """
    name = path.name
    for suffix in (".pdmodel", ".json"):
        name = name.removesuffix(suffix)
    if not name:
        raise UsageError(f"{path}: no name for the files", "path is a prefix: pb_model for pb_model.pdmodel")
    models = {f"{STEM}{suffix}": f"{name}{suffix}" for suffix in (f".{form}", ".pdiparams")}
    return Destination.beside(path.parent, name, models)
