"""``mconv verify A B``: two models of any kind on the same inputs, and the first tensor in which they differ."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import RuntimeFailedError, UnprovedError, UsageError
from mconv.onnx.ports import carried_name
from mconv.options.verify import Verify
from mconv.page.shown import Shown
from mconv.program.inputs import parse_input
from mconv.program.paths import PathLike
from mconv.proof import search
from mconv.proof.answers import compare_answers, without_ones
from mconv.proof.compare import Comparison, Tolerance
from mconv.proof.endpoint import typed
from mconv.proof.feeds import InputSpec, input_names, load_feeds, npz_arrays, reshaped, shapes_of, specs_in
from mconv.proof.notes import rendered
from mconv.proof.opened import Choices, Opened, OpenedService, open_model
from mconv.proof.runners import Answers
from mconv.verbs.reduce import Reduced

_GROUP = 48  # tensors fetched at once: all activations of a large model do not fit into memory


@dataclass(repr=False)
class Verification(Shown):
    """What ``mconv verify`` found.

    Attributes:
        a, b: what ran the two.
        models: what was given as a and b.
        input_sets: per input set, name → shape.
        outputs: the figures per output and input set.
        matched: how the two models' inputs and outputs belong together: by ``name``, by ``alias`` (what clients of a
            serving folder call them) or by ``position``.
        first: with ``layers``, the first tensor that differs; None when none does.
        compared: with ``layers``, how many tensors inside have a counterpart.
        layers: with ``layers``, each of them in A's order, also behind the first that differs.
        graphs: with ``layers``, the operators of both in order, under `a` and `b`.
        reduced: with ``reduce``, the smallest parts that differ.
    """

    a: str
    b: str
    ok: bool
    matched: dict[str, str]
    tolerance: dict[str, Any]
    input_sets: list[dict[str, list[int]]]
    outputs: list[dict[str, Any]]
    problems: list[str]
    seconds: float = 0.0
    first: Optional[dict[str, Any]] = None
    compared: Optional[int] = None
    layers: list[dict[str, Any]] = field(default_factory=list)
    graphs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)
    reduced: Optional[Reduced] = None

    def bad(self) -> list[dict[str, Any]]:
        """The figures of the outputs that differ."""
        return [row for row in self.outputs if not row["ok"]]

    def reason(self) -> str:
        """In what the two differ, in a few words; empty where they do not."""
        if self.ok:
            return ""
        first = "" if self.first is None else f"; the first tensor that differs is {self.first['name']!r}"
        bad = self.bad()
        return (self.problems[0] if self.problems else f"output {bad[0]['name']}: {bad[0]['reason']}") + first


def verify(chosen: Verify) -> Verification:
    """Run two models on the same inputs and compare their outputs; *a* is the reference.

    Raises:
        NotAModelError, CorruptModelError: one is no model.
        UsageError: they do not have the same number of inputs or outputs, or the inputs given do not fit.
        UnprovedError: *a* cannot be run. RuntimeFailedError: *b* cannot.
    """
    return compared(chosen)[0]


def compared(chosen: Verify) -> tuple[Verification, Comparison, list[search.OneSize]]:
    """As :func:`verify`; with the figures themselves, and the open sizes of which only one was compared."""
    start = time.perf_counter()
    options = {"onednn": chosen.onednn, "ir_optim": chosen.ir_optim}
    choices = Choices(
        chosen.runtime,
        chosen.request,
        None if chosen.config is None else Path(chosen.config),
        chosen.trust,
        chosen.timeout,
        options,
    )
    left, right = (
        open_model(chosen.a, replace(choices, runtime=chosen.runtime_a or chosen.runtime)),
        open_model(chosen.b, choices),
    )
    for one, other in ((left, right), (right, left)):
        one.adopt(other)
    if chosen.config is not None and not isinstance(left, OpenedService) and not isinstance(right, OpenedService):
        raise UsageError("--config is for a service, and neither A nor B is one")
    limit = Tolerance.of(chosen.tolerance).at(left.precision(), right.precision())
    specs = left.specs() or _told(chosen.feeds, left, right)
    others = right.specs() or specs
    names, how_inputs = pairs(
        [s.name for s in specs], [s.name for s in others], left.feed_alias, right.feed_alias, "inputs"
    )
    specs = _merged(specs, {spec.name: spec for spec in others}, names)
    specs, given = _sets(specs, {**right.by_name(names), **left.feed_alias}, chosen.inputs, chosen.feeds)
    chosen.progress(f"running {chosen.a}")
    try:
        if given is None:
            sets, wanted, _ = search.find(specs, left.run)
        else:
            sets, wanted = given, left.run(given)
    except RuntimeFailedError as e:
        raise UnprovedError(
            f"nothing to compare with: {e.message}",
            "give inputs that both take with --inputs x.npz, or sizes with --input 'name[1,3,48,?]'",
        ) from e
    by_right = [{names[n]: v for n, v in feed.items()} for feed in sets]
    chosen.progress(f"running {chosen.b}")
    got = right.run(by_right)
    wanted, got = _converted(left, wanted, got.names), _converted(right, got, wanted.names)
    outputs, how_outputs = pairs(wanted.names, got.names, left.fetch_alias, right.fetch_alias, "outputs")
    got = _picked(got, [outputs[n] for n in wanted.names])
    if isinstance(left, OpenedService):
        wanted = typed(wanted, got)
    if isinstance(right, OpenedService):
        got = typed(got, wanted)
    if left.may_lack_scalars(wanted.version):
        wanted = without_ones(wanted, got)
    scalar = right.may_lack_scalars(got.version)
    found = compare_answers(wanted, got, tolerance=limit, scalar_as_one=scalar)
    made = Verification(
        left.label,
        right.label,
        found.ok,
        {"inputs": how_inputs, "outputs": how_outputs},
        dict(vars(limit)),
        shapes_of(sets),
        found.to_dict()["outputs"],
        list(found.problems),
    )
    if chosen.layers:
        chosen.progress("comparing the tensors inside")
        _layers(made, left, right, sets, by_right, limit, scalar)
    alone = [] if chosen.feeds is not None else search.alone(specs, sets)
    made.notes += rendered(search.one_size(alone), chosen.feeds_option())
    made.notes = [f"{one.name}: {note}" for one in (left, right) for note in one.notes] + made.notes
    made.models = {"a": left.name, "b": right.name}
    made.seconds = round(time.perf_counter() - start, 3)
    return made, found, alone


# inputs and outputs --------------------------------------------------------------------------------------------------


def pairs(
    left: Sequence[str], right: Sequence[str], called: Mapping[str, str], others: Mapping[str, str], kind: str
) -> tuple[dict[str, str], str]:
    """A's name → B's name, and how they were matched: by name, by what clients call them, by position.

    Args:
        called, others: A's and B's name → alias.
    """
    if len(left) != len(right):
        raise UsageError(
            f"the two models have {len(left)} and {len(right)} {kind}", f"A: {', '.join(left)}; B: {', '.join(right)}"
        )
    aliased, there = [called.get(n, n) for n in left], [others.get(n, n) for n in right]
    for mine, theirs, how in (
        (left, right, "name"),
        ([carried_name(n) for n in left], right, "name"),
        (left, there, "alias"),
        (aliased, right, "alias"),
        (aliased, there, "alias"),
    ):
        if sorted(mine) == sorted(theirs):
            found = dict(zip(theirs, right))
            return {n: found[m] for n, m in zip(left, mine)}, how
    return dict(zip(left, right)), "position"


def _merged(specs: list[InputSpec], others: Mapping[str, InputSpec], names: Mapping[str, str]) -> list[InputSpec]:
    """A's inputs with what B alone knows: sizes that are fixed there, the tables that they index."""
    merged = []
    for spec in specs:
        other = others[names[spec.name]]
        shape = tuple(spec.shape)
        if len(other.shape) == len(shape):
            shape = tuple(
                o if isinstance(o, int) and o >= 0 and not (isinstance(s, int) and s >= 0) else s
                for s, o in zip(shape, other.shape)
            )
        merged.append(replace(spec, shape=shape, limit=spec.limit or other.limit, lod=spec.lod or other.lod))
    return merged


def _sets(
    specs: list[InputSpec], called: Mapping[str, str], inputs: Sequence[str], feeds: Optional[PathLike]
) -> tuple[list[InputSpec], Optional[list[dict[str, np.ndarray]]]]:
    """The inputs with the shapes that are asked for, and the input sets by A's names, which may be given by what clients
    call them, too; None where they are to be random."""
    names = {called.get(s.name, s.name): s.name for s in specs}

    def by_alias(given: Sequence[str]) -> bool:
        return any(n in names and n not in names.values() for n in given)

    def renamed(new: Mapping[str, str]) -> list[InputSpec]:
        return [replace(s, name=new[s.name]) for s in specs]

    aliases = {name: alias for alias, name in names.items()}
    if by_alias([parse_input(text).name for text in inputs]):
        specs = [replace(s, name=names[s.name]) for s in reshaped(renamed(aliases), inputs)]
    else:
        specs = reshaped(specs, inputs)
    if feeds is None:
        return specs, None
    if by_alias(input_names(npz_arrays(Path(feeds)))):
        return specs, [{names[n]: v for n, v in feed.items()} for feed in load_feeds(Path(feeds), renamed(aliases))]
    return specs, load_feeds(Path(feeds), specs)


def _told(feeds: Optional[PathLike], left: Opened, right: Opened) -> list[InputSpec]:
    """The inputs of two services, as the arrays that they are to be given say."""
    if feeds is None:
        raise UsageError(f"neither {left.name} nor {right.name} says what its inputs are", "give some: --inputs x.npz")
    return specs_in(Path(feeds))


def _converted(one: Opened, answers: Answers, others: Sequence[str]) -> Answers:
    """Without the outputs that a conversion leaves out by default, where the other model has fewer."""
    if one.by_default is None or len(answers.names) <= len(others):
        return answers
    names = [n for n in answers.names if n in (others if set(others) <= set(answers.names) else one.by_default)]
    left_out = ", ".join(n for n in answers.names if n not in names)
    one.notes.append(f"not compared, as the other one has no such output: {left_out}")
    return _picked(answers, names)


def _picked(answers: Answers, names: Sequence[str]) -> Answers:
    return answers.some([answers.names.index(name) for name in names])


# the tensors inside -------------------------------------------------------------------------------------------------


def _layers(
    made: Verification,
    left: Opened,
    right: Opened,
    sets: Sequence[Mapping[str, np.ndarray]],
    by_right: Sequence[Mapping[str, np.ndarray]],
    limit: Tolerance,
    scalar: bool,
) -> None:
    """Compare what both compute under one name, in A's order."""
    mine, there = left.tensors(), set(right.tensors())  # refused where they have no names
    made.graphs = {key: [vars(node) for node in each.nodes()] for key, each in (("a", left), ("b", right))}
    shared = [(n, carried_name(n)) for n in mine if carried_name(n) in there]
    made.compared = 0
    if not shared:
        made.notes.append("no tensor inside has the same name in both models")
        return
    for at in range(0, len(shared), _GROUP):
        group = shared[at : at + _GROUP]
        wanted = left.run(sets, [a for a, _ in group])
        got = right.run(by_right, [b for _, b in group])
        rows = compare_answers(
            _picked(wanted, [a for a, _ in group]),
            _picked(got, [b for _, b in group]),
            tolerance=limit,
            scalar_as_one=scalar,
        ).outputs
        for name, _ in group:
            of_name = [r for r in rows if r.name == name]
            worst = max(of_name, key=lambda row: row.badness)
            made.layers.append(replace(worst, distribution={}).to_dict())
            made.compared += 1
            if not worst.ok and made.first is None:
                made.first = made.layers[-1]
    if not made.ok and made.first is None:
        made.notes.append(
            f"none of the {made.compared} tensors inside differs when they are fetched: fetching changes what Paddle "
            "fuses; try --no-ir-optim or --no-onednn"
        )


__all__ = ["Verification", "verify"]
