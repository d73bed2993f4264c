"""``mconv downgrade``: a model of a newer Paddle as a ``.pdmodel`` that an older one loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts.described import carry
from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Ahead, Recording, model_sources, write_params
from mconv.artifacts.recorded import Output
from mconv.errors import UsageError
from mconv.options.models import Downgrade
from mconv.paddle.legalize import legalize
from mconv.page.shown import Shown
from mconv.printable import require_visible
from mconv.program import files
from mconv.program.params import TensorSource
from mconv.program.program import Port, Program
from mconv.program.stored import Era, ModelFiles, at_least_one, read_program
from mconv.program.targets import Target, version_text
from mconv.serving.convert import fitting, whole_file
from mconv.verbs.produced import Written
from mconv.warned import Warned


@dataclass(frozen=True)
class Tensor:
    """An input or output: its name, element type and shape (-1: known only at run time)."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(repr=False)
class Downgraded(Shown):
    """What :func:`downgrade` made.

    Attributes:
        source: the program that was read.
        era: how the source is stored.
        saved_by: the Paddle that wrote the source.
        target: the Paddle it was made for.
        program, params: the files made.
        inputs, outputs: in the model's order.
        linked: whether the parameters are a hard link to the source's.
        changes: what was changed in how many operators (a ``.pdmodel`` as source).
        half: what ``--half`` made of it; None without.
        warnings: what the user has to know.
    """

    source: Path
    era: str
    saved_by: str
    target: str
    program: Path
    params: Path
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    linked: bool = False
    changes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    half: Optional[dict[str, Any]] = None


@dataclass
class _Read:
    """A model brought down to the target in memory."""

    program: Program
    items: list[tuple[str, TensorSource]]
    saved_by: str
    changes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def downgrade(chosen: Downgrade) -> Downgraded:
    """Write ``OUT/NAME.pdmodel`` and ``OUT/NAME.pdiparams`` for an older Paddle; no Paddle is needed for it.

    Raises:
        NotAModelError, CorruptModelError: *path* is no sound model.
        UnsupportedError: the target lacks what it needs; ``rows`` lists all of it.
        UsageError: there is no such target, or *output_names* does not fit.
        OutputExistsError: *out* is there already.
    """
    return downgraded(chosen, Destination.of_folder(chosen.out))[0]


def downgraded(chosen: Downgrade, destination: Destination) -> tuple[Downgraded, Written]:
    """The same with the files somewhere else, and what was written, for a command of several steps."""
    found = files.locate(chosen.path)
    with Ahead([found.params]) as ahead:
        return _downgraded(found, chosen, destination, ahead)


def _downgraded(
    found: ModelFiles, chosen: Downgrade, destination: Destination, ahead: Ahead
) -> tuple[Downgraded, Written]:
    target, output = chosen.goal, Output(destination, force=chosen.force)
    read = _read(found, target, chosen.output_names)
    program, complete = at_least_one(read.program, read.items)
    items = list(complete)
    source = whole_file(items, found)
    result = Downgraded(
        found.program,
        found.era.name.lower(),
        read.saved_by,
        target.name,
        *output.model_files(chosen.name),
    )
    result.changes, result.warnings = read.changes, read.warnings
    result.inputs = [_tensor(p) for p in program.feeds]
    result.outputs = [_tensor(p) for p in program.fetches]
    recording = Recording(
        "downgrade",
        model_sources(found, [source for _, source in items]),
        target=target.name,
        options={
            "name": chosen.name,
            "output_names": None if chosen.output_names is None else list(chosen.output_names),
        },
        ahead=ahead,
    )
    with output.opened(recording=recording) as folder:
        (folder / result.program.name).write_bytes(program.to_bytes())
        carry(found, folder, program.feeds)
        params = folder / result.params.name
        result.linked = write_params(params, items, whole=source, link=chosen.link, record=recording)
        if chosen.link and not result.linked:
            result.warnings.append(Warned("parameters-copied", "the parameters are copied, not linked"))
        if chosen.half is not None:
            from mconv.verbs import halving

            made = halving.rewrite(folder / result.program.name, params, chosen, {})
            result.warnings += made.warnings
            result.half = halving.described(made)
            output.rewritten("half", chosen.half, params)
            program = read_program(folder / result.program.name)
            source, result.linked = None, False
        if source is not None:
            output.copies[params.name] = source
    return result, Written(program, folder, recording)


def _read(found: ModelFiles, target: Target, output_names: Optional[Sequence[str]]) -> _Read:
    if found.era is Era.PIR:
        from mconv.paddle.load import load  # and with it all converters

        loaded = load(found.program, target=target, output_names=output_names)
        return _Read(loaded.program, list(loaded.params.items()), loaded.writer, {}, loaded.notes)
    program, params = files.load_model(found)
    saved_by = version_text(program.version)
    legal = legalize(program, target, dict(params))
    items = fitting(program, [*params.items(), *legal.parameters.items()])
    notes = list(legal.notes)
    if output_names is not None:
        _name_outputs(program, output_names)
    return _Read(program, items, saved_by, legal.changes, notes)


def _name_outputs(program: Program, names: Sequence[str]) -> None:
    """Call the fetched variables *names*.

    Raises:
        UsageError: another number of names than outputs, one twice, or one that something else has.
    """
    ports = program.fetches
    if len(names) != len(ports):
        raise UsageError(f"--output-names: {len(names)} names for {len(ports)} outputs")
    wanted = {p.name: name for p, name in zip(ports, names) if p.name != name}
    fixed = {v.name for v in program.parameters} | {p.name for p in program.feeds}
    present = {name for block in program.blocks for name in block.vars}
    for old, new in wanted.items():
        require_visible(new, "--output-names")
        if not new or new in (present - set(wanted)) or old in fixed or list(names).count(new) > 1:
            raise UsageError(f"--output-names: {new!r} cannot be the name of the output {old!r}, it is taken")
    program.rename(wanted)


def _tensor(port: Port) -> Tensor:
    return Tensor(port.name, port.dtype.label if port.dtype else "?", port.shape)
