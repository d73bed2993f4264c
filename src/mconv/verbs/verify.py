"""``mconv verify A B``: two models of any kind on the same inputs, and the first tensor in which they differ."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mconv import inspection, runtimes
from mconv.errors import UnsupportedError, UsageError
from mconv.onnx.importer import carried_name
from mconv.program.dtypes import DType
from mconv.program.files import Era, ModelFiles, load_program, locate
from mconv.program.inputs import assign
from mconv.program.params import PathLike
from mconv.program.program import Program
from mconv.program.sniff import Kind, what
from mconv.runtimes import Runtime
from mconv.verbs.proof import compare_answers, runtime_for, written_for
from mconv.verify.compare import OutputComparison, Tolerance
from mconv.verify.feeds import InputSpec, load_feeds, random_feeds, specs_of
from mconv.verify.reference import reference_for
from mconv.verify.runners import Answers, PaddleRunner, Runner

_GROUP = 48  # tensors fetched at once: all activations of a large model do not fit into memory


@dataclass
class Side:
    """One of the two models.

    Attributes:
        path: as given.
        kind: ``onnx``, ``pir`` or ``paddle``.
        files: of a Paddle model.
        program: of a Paddle model that is no PIR one.
        runtime: where it runs; None for ONNX.
        label: what ran it, once it has run.
    """

    path: Path
    kind: str
    files: Optional[ModelFiles] = None
    program: Optional[Program] = None
    runtime: Optional[Runtime] = None
    label: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def runner(self, fetch: Sequence[str] = ()) -> Runner:
        """Runs it; returns *fetch* after its own outputs."""
        if self.kind == "onnx":
            made, why = reference_for(self.path, fetch=fetch)
            if why and why not in self.notes:
                self.notes.append(why)
            return made
        assert self.files is not None and self.runtime is not None
        more: dict[str, Any] = {"fetch": list(fetch)} if fetch else {}
        return PaddleRunner(self.files, self.runtime, **self.options, **more)

    def run(self, sets: Sequence[Mapping[str, np.ndarray]], fetch: Sequence[str] = ()) -> Answers:
        with self.runner(fetch) as runner:
            answers = runner.run(sets)
            self.label = runner.label
            return answers

    def specs(self) -> list[InputSpec]:
        """Its inputs."""
        if self.program is not None:
            return specs_of(self.program)
        found = []
        for tensor in inspection.inspect(self.path).inputs:
            if tensor.dtype is None or tensor.shape is None:
                raise UnsupportedError(f"{self.path}: nothing is known of input {tensor.name}'s type or rank")
            wide = {"uint16": "int32", "uint32": "int64", "uint64": "int64"}.get(tensor.dtype, tensor.dtype)
            found.append(InputSpec(tensor.name, DType.of(wide), tuple(tensor.shape)))
        return found

    def types(self) -> dict[str, np.dtype]:
        """Input → numpy type where it is not the one in :meth:`specs`."""
        if self.kind != "onnx":
            return {}
        odd = ("uint16", "uint32", "uint64")
        return {t.name: np.dtype(t.dtype) for t in inspection.inspect(self.path).inputs if t.dtype in odd}

    def tensors(self) -> list[str]:
        """The names of what its main graph computes, in order."""
        if self.kind == "onnx":
            from mconv.onnx.reader import read

            return [o for node in read(self.path).proto.graph.node for o in node.output if o]
        if self.program is None:
            raise UnsupportedError(f"{self.path}: the tensors inside of a .json program have no names to find them by")
        plain = [op for op in self.program.main.ops if op.type not in ("feed", "fetch") and not op.blocks]
        return list(dict.fromkeys(name for op in plain for name in op.output_names if _readable(self.program, name)))


def _readable(program: Program, name: str) -> bool:
    var = program.main.vars.get(name)
    return var is not None and var.dtype is not None and not name.endswith((".xshape", "@GRAD")) and not var.persistable


@dataclass
class Verification:
    """What ``mconv verify`` found.

    Attributes:
        a, b: what ran the two.
        input_sets: per input set, name → shape.
        outputs: the figures per output and input set.
        matched: how the two models' inputs and outputs belong together: by name or by position.
        first: with ``layers``, the first tensor that differs; None when none does.
        compared: with ``layers``, how many tensors inside have a counterpart.
    """

    a: str
    b: str
    ok: bool
    matched: dict[str, str]
    tolerance: dict[str, float]
    input_sets: list[dict[str, list[int]]]
    outputs: list[dict[str, Any]]
    problems: list[str]
    seconds: float = 0.0
    first: Optional[dict[str, Any]] = None
    compared: Optional[int] = None
    layers: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    a: PathLike,
    b: PathLike,
    *,
    runtime: Optional[str] = None,
    runtime_a: Optional[str] = None,
    inputs: Sequence[str] = (),
    feeds: Optional[PathLike] = None,
    tolerance: Optional[float] = None,
    layers: bool = False,
    onednn: Optional[bool] = None,
    ir_optim: bool = True,
    timeout: float = 600,
    progress: Callable[[str], Any] = lambda text: None,
) -> Verification:
    """Run two models on the same inputs and compare their outputs; *a* is the reference.

    Args:
        a, b: ``.onnx`` files, or Paddle models of any era: folder, file, prefix, serving folder, ``.json``.
        runtime: where Paddle models run: a managed runtime or ``current``; default the Paddle that they were written
            for, or the one that this Python can import.
        runtime_a: the same for *a* alone.
        inputs: ``name[1,3,?,640]``: shapes of the random inputs.
        feeds: a ``.npz`` file with inputs.
        tolerance: how far outputs may be apart, both absolute (for outputs of size 1) and relative.
        layers: also compare the tensors inside that carry the same name in both, and name the first that differs.
        onednn, ir_optim: how Paddle runs, see :meth:`mconv.runtimes.Worker.run`.

    Raises:
        NotAModelError, CorruptModelError: one is no model.
        UsageError: they do not have the same number of inputs or outputs, or the inputs given do not fit.
        RuntimeFailedError: one cannot be run.
    """
    start = time.perf_counter()
    options = {"onednn": onednn, "ir_optim": ir_optim, "timeout": timeout}
    left, right = _side(a, runtime_a or runtime, options), _side(b, runtime, options)
    limit = Tolerance.of(tolerance)
    specs, others = left.specs(), right.specs()
    names, how_inputs = _pairs([s.name for s in specs], [s.name for s in others], "inputs")
    specs = _merged(specs, {spec.name: spec for spec in others}, names, inputs)
    sets = load_feeds(Path(feeds), specs) if feeds is not None else random_feeds(specs)
    by_right = [{names[n]: v for n, v in feed.items()} for feed in sets]
    progress(f"running {a}")
    wanted = left.run(_cast(sets, left.types()))
    progress(f"running {b}")
    got = right.run(_cast(by_right, right.types()))
    outputs, how_outputs = _pairs(wanted.names, got.names, "outputs")
    got = _picked(got, [outputs[n] for n in wanted.names])
    scalar = any(side.runtime is not None and _without_0d(got.version) for side in (left, right))
    found = compare_answers(wanted, got, tolerance=limit, scalar_as_one=scalar)
    made = Verification(
        left.label,
        right.label,
        found.ok,
        {"inputs": how_inputs, "outputs": how_outputs},
        dict(vars(limit)),
        [{n: list(v.shape) for n, v in feed.items()} for feed in sets],
        found.to_dict()["outputs"],
        list(found.problems),
    )
    if layers:
        progress("comparing the tensors inside")
        _layers(made, left, right, sets, by_right, limit, scalar)
    made.notes = [f"{side.path}: {note}" for side in (left, right) for note in side.notes] + made.notes
    made.seconds = round(time.perf_counter() - start, 3)
    return made


# the two sides ------------------------------------------------------------------------------------------------------


def _side(path: PathLike, runtime: Optional[str], options: dict[str, Any]) -> Side:
    path = Path(path)
    if path.is_file() and (path.suffix == ".onnx" or what(path) is Kind.ONNX):
        from mconv.onnx.reader import read

        read(path)  # an error of the file is told as such, not as one of the runtime
        return Side(path, "onnx")
    files = locate(path)
    if files.era is Era.PIR:
        found = runtimes.find(runtime) if runtime else runtime_for("3")
        return Side(path, "pir", files, None, found, options=options)
    program = load_program(files)
    found = runtimes.find(runtime) if runtime else runtime_for(written_for(program))
    return Side(path, "paddle", files, program, found, options=options)


def _without_0d(version: str) -> bool:
    numbers = [int(n) for n in version.split(".")[:2] if n.isdigit()]
    return numbers < [2, 5]


def _pairs(left: Sequence[str], right: Sequence[str], kind: str) -> tuple[dict[str, str], str]:
    """A's name → B's name, and how they were matched."""
    if len(left) != len(right):
        raise UsageError(
            f"the two models have {len(left)} and {len(right)} {kind}", f"A: {', '.join(left)}; B: {', '.join(right)}"
        )
    carried = [carried_name(n) for n in left]
    if sorted(left) == sorted(right):
        return {n: n for n in left}, "name"
    if sorted(carried) == sorted(right):
        return dict(zip(left, carried)), "name"
    return dict(zip(left, right)), "position"


def _merged(
    specs: list[InputSpec], others: Mapping[str, InputSpec], names: Mapping[str, str], inputs: Sequence[str]
) -> list[InputSpec]:
    """A's inputs with what B alone knows: sizes that are fixed there, the tables that they index."""
    wanted = assign(inputs, {s.name: s.dtype.label for s in specs})
    merged = []
    for spec in specs:
        other = others[names[spec.name]]
        shape = tuple(spec.shape)
        if len(other.shape) == len(shape):
            shape = tuple(
                o if isinstance(o, int) and o >= 0 and not (isinstance(s, int) and s >= 0) else s
                for s, o in zip(shape, other.shape)
            )
        given = wanted.get(spec.name)
        if given is not None:
            if len(given.dims) != len(shape):
                raise UsageError(f"input {spec.name!r} has {len(shape)} dimensions, not {len(given.dims)}")
            shape = tuple(s if g is None else g for g, s in zip(given.dims, shape))
        merged.append(InputSpec(spec.name, spec.dtype, shape, spec.limit or other.limit))
    return merged


def _cast(sets: Sequence[Mapping[str, np.ndarray]], types: Mapping[str, np.dtype]) -> list[dict[str, np.ndarray]]:
    return [{n: v.astype(types[n]) if n in types else v for n, v in feed.items()} for feed in sets]


def _picked(answers: Answers, names: Sequence[str]) -> Answers:
    places = [answers.names.index(name) for name in names]
    rows = [[row[p] for p in places] for row in answers.outputs]
    kinds = [[row[p] for p in places] for row in answers.dtypes]
    return Answers(list(names), rows, kinds, answers.version, answers.seconds)


# the tensors inside -------------------------------------------------------------------------------------------------


def _layers(
    made: Verification,
    left: Side,
    right: Side,
    sets: Sequence[Mapping[str, np.ndarray]],
    by_right: Sequence[Mapping[str, np.ndarray]],
    limit: Tolerance,
    scalar: bool,
) -> None:
    """Compare what both compute under one name, in A's order, until the first difference."""
    there = set(right.tensors())
    shared = [(n, carried_name(n)) for n in left.tensors() if carried_name(n) in there]
    made.compared = 0
    if not shared:
        made.notes.append("no tensor inside has the same name in both models")
        return
    for at in range(0, len(shared), _GROUP):
        group = shared[at : at + _GROUP]
        wanted = left.run(_cast(sets, left.types()), [a for a, _ in group])
        got = right.run(_cast(by_right, right.types()), [b for _, b in group])
        rows = compare_answers(
            _picked(wanted, [a for a, _ in group]),
            _picked(got, [b for _, b in group]),
            tolerance=limit,
            scalar_as_one=scalar,
        ).outputs
        for name, _ in group:
            of_name = [r for r in rows if r.name == name]
            worst = max(of_name, key=_badness)
            made.layers.append(_row(worst))
            made.compared += 1
            if not worst.ok:
                made.first = _row(worst)
                return
    if not made.ok:
        made.notes.append(
            f"none of the {made.compared} tensors inside differs when they are fetched: fetching changes what Paddle "
            "fuses; try --no-ir-optim or --no-onednn"
        )


def _badness(row: OutputComparison) -> tuple[bool, float]:
    return not row.ok, float("inf") if row.max_abs is None else row.max_abs


def _row(row: OutputComparison) -> dict[str, Any]:
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(row).items()}
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}


__all__ = ["Verification", "verify"]
