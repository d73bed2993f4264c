"""``mconv edit`` of a Paddle model of any era: what becomes of the program, and its files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv import inspection
from mconv.errors import CorruptModelError, RuntimeFailedError, UnsupportedError, UntrustedError, UsageError
from mconv.factory import loading
from mconv.options.edit import PADDLE_WEIGHTS, Edit
from mconv.paddle.load import load as load_pir
from mconv.passes import constants, fold, rename
from mconv.passes.cut import before_suppression, cut, independent
from mconv.printable import printable
from mconv.program import files, open_sizes
from mconv.program.open_sizes import Sized
from mconv.program.params import TensorSource, separate_path
from mconv.program.params_writing import write_combined
from mconv.program.port_rows import PortRow, row_of
from mconv.program.program import Port, Program
from mconv.program.stored import Era, ModelFiles, at_least_one, write_model
from mconv.program.targets import PADDLE_3, Target
from mconv.proof import search
from mconv.proof.available import written_for
from mconv.proof.feeds import random_feeds, specs_of
from mconv.runtimes import Runtime, Worker
from mconv.serving import configure
from mconv.verbs import edit_ends

_OWN_STYLE = {Era.FLUID_SEPARATE: "separate", Era.FLUID_COMBINED: "fluid", Era.FLUID_CUSTOM: "fluid"}
OF_JSON = PADDLE_3  # the target whose runtime reads a .json


@dataclass
class Source:
    """A model that is to be edited.

    Attributes:
        found: its files.
        program, params: as they are; of a ``.json``, as translated for *target*.
        target: the Paddle that loads the result.
        feed_alias, fetch_alias: what clients of a serving folder, or a .json, call its inputs and outputs → variable.
    """

    found: ModelFiles
    program: Program
    params: dict[str, TensorSource]
    target: Target
    saved_by: str
    notes: list[str] = field(default_factory=list)
    feed_alias: dict[str, str] = field(default_factory=dict)
    fetch_alias: dict[str, str] = field(default_factory=dict)

    def own(self, name: str, program: Program) -> str:
        """The name of a variable in *program*, which may be said as clients do."""
        alias = {**self.feed_alias, **self.fetch_alias}
        return name if any(name in block.vars for block in program.blocks) else alias.get(name, name)


@dataclass
class Edited:
    """What became of it.

    Attributes:
        program, params: the result.
        inputs, outputs: the names that its inputs and outputs have in the source, in order.
        sizes: ``INPUT.AXIS`` → number.
        fixed: inputs that have one value now.
        folded: operators that are gone because what they compute is known.
        declared: tensors whose shape is known now and was not.
    """

    program: Program
    params: dict[str, TensorSource]
    inputs: list[str]
    outputs: list[str]
    sizes: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    folded: int = 0
    declared: int = 0


def read(path: Any, chosen: Edit) -> Source:
    """The model with its names.

    Raises:
        NotAModelError, CorruptModelError, UnsupportedError: see :mod:`mconv.program.files` and :func:`mconv.paddle.load.load`.
        UsageError: *target* is given for what has one already.
    """
    found = files.locate(path)
    if found.era is Era.PIR:
        goal = chosen.goal or OF_JSON
        loaded = load_pir(found.program, target=goal)
        notes = [f"written as .pdmodel, for Paddle {goal}", *loaded.notes]
        made = Source(found, loaded.program, dict(loaded.params), goal, loaded.writer, notes)
        shown = [t.name for t in inspection.inspect(found.program, judged=False).outputs]
        made.fetch_alias = {name: port.name for name, port in zip(shown, loaded.program.fetches)}
    else:
        if chosen.target is not None:
            raise UsageError(
                f"--target: {found.program} stays of the Paddle that it is written for",
                "mconv downgrade makes a model for an older one",
            )
        program, held = files.load_model(found)
        made = Source(found, program, held, written_for(program), "")
    config = configure.find(found.folder)
    if config is not None:
        made.feed_alias = {v.alias: v.name for v in config.feeds}
        made.fetch_alias = {v.alias: v.name for v in config.fetches}
        made.notes.append("what clients call inputs and outputs is not in the result: mconv to-serving OUT makes it")
    return made


def edit(source: Source, chosen: Edit) -> Edited:
    """The program as it was asked for, but for what only a run shows; see :func:`settle`.

    Raises:
        UsageError: a name that is not there, or what it is named for cannot be.
        UnsupportedError: the program cannot be cut there.
    """
    program, params = source.program.copy(), dict(source.params)
    own = functools.partial(source.own, program=source.program)
    values = {own(n): v for n, v in loading.arguments_of(chosen.constants, "--const", any_name=True).items()}
    sizes = _set_sizes(program, chosen, source.feed_alias)
    fixed = constants.fix_inputs(program, values)
    params.update(fixed)
    sizes = {name: size for name, size in sizes.items() if name.rpartition(".")[0] not in fixed}
    program = _cut(program, chosen, own)
    before = set(independent(source.program)) if fixed else set()
    same = [n for n in independent(program) if n not in before] if fixed else []
    if same:  # Paddle's own folding takes the output away, and then cannot load what is left
        raise UsageError(
            f"--const {', '.join(values)}: the output {same[0]!r} is the same in every run then",
            f"--drop-output {same[0]}",
        )
    inputs, outputs = [p.name for p in program.feeds], [p.name for p in program.fetches]
    params = {v.name: params[v.name] for v in program.parameters}
    made = Edited(program, params, inputs, outputs, sizes)
    made.fixed = {name: source.array() for name, source in fixed.items()}
    return made


def sized(program: Program) -> list[Sized]:
    """The inputs, as far as their sizes go."""
    return [
        Sized(p.name, tuple(None if d < 0 else d for d in p.shape), p.dtype is not None and p.dtype.is_int)
        for p in program.feeds
    ]


def _set_sizes(program: Program, chosen: Edit, alias: Mapping[str, str]) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for name, size in open_sizes.given(chosen.dims).items():
        stem, dot, axis = name.rpartition(".")
        wanted[f"{alias[stem]}.{axis}" if dot and stem in alias else name] = size
    dimensions = open_sizes.resolve(sized(program), wanted)
    ports = {p.name: p for p in program.feeds}
    for (name, dim), number in dimensions.items():
        ports[name].var.desc.type.lod_tensor.tensor.dims[dim] = number
    return {f"{name}.{dim}": number for (name, dim), number in dimensions.items()}


def _cut(program: Program, chosen: Edit, own: Callable[[str], str]) -> Program:
    outputs = edit_ends.outputs(chosen, [p.name for p in program.fetches], lambda: before_suppression(program), own)
    inputs = None if chosen.inputs is None else [own(n) for n in chosen.inputs]
    if outputs is None and inputs is None and not chosen.drop_inputs:
        return program
    made = cut(program, inputs=inputs, outputs=outputs)
    edit_ends.check_dropped(chosen, [p.name for p in program.feeds], [p.name for p in made.feeds], own)
    return made


def settle(source: Source, made: Edited, chosen: Edit, runtime: Runtime, scratch: Path) -> None:
    """Run the edited program once, and write into it what does not depend on its inputs' numbers: shapes that are the
    same in every run, and with ``fold`` the tensors that are.

    Raises:
        RuntimeFailedError: it cannot be run.
    """
    folder = scratch / "settled"
    folder.mkdir()
    try:
        _settle(made, chosen, runtime, *write_model(made.program, made.params.items(), folder))
    except RuntimeFailedError as e:
        e.message = e.message.replace(f"{folder}/inference.pdmodel", "the edited model")
        if made.sizes:
            e.hint = f"does the model take {edit_ends.told(made.sizes)}?" + (f" {e.hint}" if e.hint else "")
        raise


def _settle(made: Edited, chosen: Edit, runtime: Runtime, path: Path, params: Path) -> None:
    program = made.program
    known = fold.examine(program)
    specs = specs_of(program)
    lods = {p.name: p.var.lod_level for p in program.feeds}

    def observed(these: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, tuple[int, ...]]]:
        """Each set by itself: nothing of the one before is left."""
        return [
            {
                name: samples[0][0]
                for name, samples in worker.shapes(path, params, [one], lods=lods, timeout=chosen.timeout)[
                    0
                ].shapes.items()
            }
            for one in these
        ]

    with Worker(runtime) as worker:
        sets, seen, _ = search.find(specs, observed)
        if len(sets) < 2:  # other numbers, of the same shapes
            sets = [*sets, *random_feeds([replace(s, shape=sets[0][s.name].shape) for s in specs], seed=1, sets=1)]
            seen = observed(sets)
        same = {n: shape for n, shape in seen[0].items() if all(o.get(n) == shape for o in seen)}
        made.declared = fold.declare(program, known, same)
        if chosen.fold and known.border:
            got = worker.run(
                path,
                params,
                sets,
                ir_optim=False,
                fetch=known.border,
                lods=lods,
                timeout=chosen.timeout,
            )
            first, *rest = [dict(zip(known.border, row[len(program.fetches) :])) for row in got.outputs]
            values = {
                name: array
                for name, array in first.items()
                if all(np.array_equal(array, other[name], equal_nan=array.dtype.kind in "fc") for other in rest)
            }
            made.params, made.folded = fold.settle(program, made.params, values)


def finish(source: Source, made: Edited, chosen: Edit) -> dict[str, str]:
    """Rename, and put the weights inside where that is asked for, in place; returns source's name → new one.

    Raises:
        UsageError: see :func:`mconv.passes.rename.check`. UnsupportedError: the weights do not fit inside.
    """
    names = {source.own(old, made.program): new for old, new in chosen.new_names.items()}
    made.params = rename.rename(made.program, made.params, names)
    if chosen.weights == "inside":
        constants.weights_inside(made.program, made.params, source.target)
        made.params = {}
    return names


def style_of(source: Source, chosen: Edit) -> str:
    """How the weights are to be stored: as asked for, or as the source has them.

    Raises:
        UsageError: a Paddle model cannot have them so.
    """
    style = chosen.weights or _OWN_STYLE.get(source.found.era, "combined")
    if style not in PADDLE_WEIGHTS:
        raise UsageError(f"--weights {style}: of a Paddle model they are {', '.join(PADDLE_WEIGHTS)}")
    return style


def write(made: Edited, folder: Path, style: str) -> tuple[Path, Optional[Path]]:
    """Write the program and its weights; returns the program's file and that of the parameters, if it is one.

    Raises:
        UntrustedError, CorruptModelError: with ``separate``, a name that cannot be that of a file in the folder.
    """
    if style in ("combined", "inside"):
        return write_model(made.program, made.params.items(), folder)
    program, items = at_least_one(made.program, made.params.items())
    path = folder / "__model__"
    if style == "fluid":
        params = folder / "__params__"
        write_combined(params, items)
    else:
        params = None
        paths = _separate_paths(folder, [name for name, _ in items])
        for name, source in items:
            own = paths[name]
            own.parent.mkdir(parents=True, exist_ok=True)
            write_combined(own, [(name, source)])
    path.write_bytes(program.to_bytes())
    return path, params


def _separate_paths(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Where the file of each weight goes.

    Raises:
        UntrustedError, CorruptModelError: a name cannot be that of a file in the folder.
        UnsupportedError: it is that of another file, or of a folder that another name needs.
    """
    paths = {}
    for name in names:
        try:
            paths[name] = separate_path(folder, name)
        except (UntrustedError, CorruptModelError) as e:
            e.message = e.message.replace(f"{folder}: ", "--weights separate: ")
            e.hint = e.hint or "--rename gives the weight another name"
            raise
    owner = {path: name for name, path in paths.items()}
    taken = {folder / name for name in _TAKEN}
    for name, path in paths.items():
        if path in taken or owner[path] != name or any(p in owner or p in taken for p in path.parents):
            raise UnsupportedError(
                f"--weights separate: a weight is called {printable(name, 80)!r}, as another file, or one below it",
                "--rename gives the weight another name",
            )
    return paths


_TAKEN = frozenset({"__model__", "report.json", "provenance.json"})


def ports(program: Program, sources: Sequence[str], outputs: Sequence[str]) -> tuple[list[PortRow], list[PortRow]]:
    """``inputs`` and ``outputs`` of the report."""

    def one(port: Port, name: str) -> PortRow:
        return row_of(port, name, None if port.dtype is None else port.dtype.label, port.shape)

    return (
        [one(p, n) for p, n in zip(program.feeds, sources)],
        [one(p, n) for p, n in zip(program.fetches, outputs)],
    )


__all__ = ["Edited", "Source", "edit", "finish", "ports", "read", "settle", "style_of", "write"]
