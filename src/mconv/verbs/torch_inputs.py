"""What a PyTorch model is called with: the inputs, and the values that it is traced and proved with."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import RuntimeFailedError, UsageError
from mconv.factory import inputs as describing
from mconv.factory.inputs import Input
from mconv.program.dtypes import DType
from mconv.program.inputs import Dim, assign
from mconv.proof import search
from mconv.proof.feeds import InputSpec, Sizes, load_feeds, npz_arrays, random_feeds
from mconv.proof.notes import Note
from mconv.proof.torch_runner import TorchRunner
from mconv.torch.sources import Form, Source
from mconv.torch.sources.inputs import rows

# two sizes of open images: multiples of 32, and not square, so that a height taken for a width shows
_PLANES = {"height": (64, 96), "width": (96, 64)}
_SQUARE = {"height": (64, 96), "width": (64, 96)}
_USUAL = 224  # what classifiers with a fixed size are trained with
_SCALED = {"height": (16, 24), "width": (24, 16)}  # of what is no picture but has its form, such as latents
Sets = list[dict[str, np.ndarray]]


@dataclass
class Plan:
    """How the model is called.

    Attributes:
        inputs: in the order in which the program takes them.
        sets: values: the first is traced with, all are compared.
        guessed: whether the inputs are a guess.
        origin: ``random``, or the file that they came from.
        notes: what a user should know.
        alone: the open dimensions of which the sets have one size, as the source ran at no two.
        answers: location of a decision by values → the way that is taken while tracing.
    """

    inputs: list[Input]
    sets: Sets = field(default_factory=list)
    guessed: bool = False
    origin: str = "random"
    notes: list[Note] = field(default_factory=list)
    alone: list[search.OneSize] = field(default_factory=list)
    answers: dict[str, bool] = field(default_factory=dict)

    @property
    def dims(self) -> dict[str, list[Optional[str]]]:
        """Input → the name of each open dimension, None for a fixed one."""
        return {i.name: labels_of(i) for i in self.inputs}

    def texts(self) -> list[str]:
        return [str(i) for i in self.inputs]


def labels_of(one: Input) -> list[Optional[str]]:
    """The name of each open dimension; None for a fixed one."""
    return [None if isinstance(d, int) else d or f"{one.name}_{axis}" for axis, d in enumerate(one.dims)]


def declared(source: Source, texts: Sequence[str], example: Optional[Path]) -> Plan:
    """The inputs: as the user says, as *example* has them, as the source describes them, or guessed.

    Raises:
        UsageError: they do not fit the model, or nothing says what they are; the hint is what to type.
    """
    plan = Plan(list(source.inputs))
    if texts and source.form is Form.EXPORTED:
        known = {i.name: i for i in source.inputs}
        given = assign(texts, {i.name: i.dtype.label for i in source.inputs})
        plan.inputs = [_narrowed(one, given[n].dims) if n in given else one for n, one in known.items()]
    elif texts and source.positional:
        plan.inputs = describing.parse_texts(texts, source.inputs)
    elif texts:
        call = describing.from_texts(texts, source.module.forward, source.label, source.inputs)
        plan.inputs = [replace(i, limit=i.limit or rows(i, source.module)) for i in call.inputs]
    elif example is not None and (source.guessed or not source.inputs):
        shaped = _from_example(example)
        if {i.name: len(i.dims) for i in shaped} != {i.name: len(i.dims) for i in source.inputs}:
            plan.inputs = shaped
    elif not source.inputs:
        raise _unknown(source)
    plan.guessed = not texts and source.guessed and plan.inputs == source.inputs
    if plan.guessed:
        plan.notes.append(f"inputs guessed: {' '.join(plan.texts())}; --input says otherwise")
    return plan


def _narrowed(one: Input, dims: Sequence[Dim]) -> Input:
    if len(dims) != len(one.dims):
        raise UsageError(f"input {one.name!r} has {len(one.dims)} dimensions, not {len(dims)}")
    for had, wanted in zip(one.dims, dims):
        if isinstance(had, int) and isinstance(wanted, int) and had != wanted:
            raise UsageError(
                f"input {one.name!r}: {wanted} where the archive has {had}", "the size was fixed when it was exported"
            )
    return replace(
        one, dims=tuple(had if w is None and not isinstance(had, int) else w for had, w in zip(one.dims, dims))
    )


def _from_example(path: Path) -> list[Input]:
    """Inputs like the arrays of a file; sizes that differ between its sets are open."""
    arrays = npz_arrays(path)
    found: dict[str, list[np.ndarray]] = {}
    for key, array in arrays.items():
        number, slash, rest = key.partition("/")
        name = rest if slash and number.isdigit() else re.sub(r"^in_\d+_", "", key)
        if not key.startswith("out_"):
            found.setdefault(name, []).append(array)
    made = []
    for name, values in found.items():
        shapes = [v.shape for v in values]
        if len({len(s) for s in shapes}) > 1:
            raise UsageError(f"{path}: input {name} has different numbers of dimensions")
        dims: list[Dim] = [s[0] if len(set(s)) == 1 else None for s in zip(*shapes)]
        made.append(Input(name, DType.of(values[0].dtype), tuple(dims)))
    return made


def _unknown(source: Source) -> UsageError:
    what = f"{source.label}: what its inputs are cannot be guessed"
    if source.positional:
        names = [a.partition(":")[0] for a in source.facts.get("arguments", ())]
    else:
        parameters = describing.parameters_of(source.module.forward)
        names = [n for n, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
        what = f"{source.label}({', '.join(map(str, parameters.values()))}): what its inputs are cannot be guessed"
    return UsageError(what, f"say it with types and shapes, e.g. {' '.join(map(describing.to_type, names or ['x']))}")


# values -------------------------------------------------------------------------------------------------------------


def fill(plan: Plan, source: Source, runner: TorchRunner, example: Optional[Path], feeds: Optional[Path]) -> None:
    """Find values that the model takes, and run it on them.

    Args:
        example: values to trace with. Without *feeds*, those to compare are cut and repeated from them.
        feeds: values to compare with.

    Raises:
        UsageError: the files do not fit the inputs, or the guessed inputs do not fit the model.
        RuntimeFailedError: the model fails on inputs of these types and shapes.
    """
    specs = specs_of(plan.inputs)
    traced = load_feeds(example, specs) if example is not None else None
    if feeds is not None:
        plan.sets, plan.origin = load_feeds(feeds, specs), str(feeds)
        if traced is not None:
            plan.sets = [traced[0], *plan.sets]
    elif traced is not None:
        plan.sets = traced if len(traced) > 1 else _varied(traced[0], plan.inputs)
        plan.origin = str(example)
    if plan.sets:
        runner.run(plan.sets)
        return
    if source.examples is not None:  # those that the archive was exported with
        for sets in (_varied(source.examples, plan.inputs), [source.examples]):
            try:
                runner.run(sets)
            except RuntimeFailedError:
                continue
            plan.sets, plan.origin = sets, "the archive's own"
            return
    failure: Optional[RuntimeFailedError] = None
    end = 0.0
    refused: list[Sets] = []
    for inputs, sizes, usual in _attempts(plan, source):
        if failure is not None and time.monotonic() > end:
            break
        sets = random_sets(inputs, sizes, usual)
        try:
            runner.run(sets)
        except RuntimeFailedError as e:
            if failure is None:
                failure, end = e, time.monotonic() + search.SECONDS
            refused.append(sets)
            continue
        if inputs != plan.inputs:
            plan.inputs = inputs
            plan.notes.append(f"{source.label} does not take every size: {' '.join(plan.texts())}")
        plan.sets = sets
        plan.alone = search.alone(specs_of(plan.inputs), sets, refused)
        plan.notes += search.one_size(plan.alone)
        return
    assert failure is not None
    shapes = ", ".join(map(str, plan.inputs))
    if plan.guessed:
        texts = " ".join(f"--input '{i}'" for i in plan.inputs)
        raise UsageError(
            f"{failure.message} (called with guessed inputs)", f"say what they are, e.g. {texts}"
        ) from failure
    raise RuntimeFailedError(
        failure.message, f"it was called with random {shapes}; correct --input, or give values with --example x.npz"
    ) from failure


def specs_of(inputs: Sequence[Input]) -> list[InputSpec]:
    """The inputs as what runs models has them."""
    return [InputSpec(i.name, i.dtype, i.dims, i.limit) for i in inputs]


def _attempts(plan: Plan, source: Source) -> Iterator[tuple[list[Input], dict[str, tuple[int, int]], Sizes]]:
    """The inputs, the sizes of named dimensions, and those of the others, likely ones first."""
    names = {d for i in plan.inputs for d in i.dims if isinstance(d, str)}
    planes = [i for i in plan.inputs if len(i.dims) == 4 and i.dims[2:] == ("height", "width")]
    if any(isinstance(i.dims[1], int) and i.dims[1] > 3 for i in planes):
        yield plan.inputs, {**_SCALED, **source.sizes}, Sizes()
    yield plan.inputs, {**_PLANES, **source.sizes}, Sizes()
    if {"height", "width"} <= names:
        yield plan.inputs, {**_SQUARE, **source.sizes}, Sizes()
        if plan.guessed:
            fixed = {"height": _USUAL, "width": _USUAL}
            inputs = [
                replace(i, dims=tuple(fixed.get(d, d) if isinstance(d, str) else d for d in i.dims))
                for i in plan.inputs
            ]
            yield inputs, source.sizes, Sizes()
    if plan.inputs == source.inputs:
        for other in source.alternatives:
            yield other, {**_PLANES, **source.sizes}, Sizes()
    for usual in itertools.islice(search.attempts(specs_of(plan.inputs)), 1, None):
        yield plan.inputs, source.sizes if usual.height is None else {}, usual


def random_sets(inputs: Sequence[Input], sizes: dict[str, tuple[int, int]], usual: Sizes = Sizes()) -> Sets:
    """Two sets of different sizes, or one where no size is open.

    Args:
        sizes: name of a dimension → its two sizes; the others are what such names usually mean.
        usual: what that is.
    """
    count = 2 if any(not isinstance(d, int) for i in inputs for d in i.dims) else 1
    made = []
    for index in range(count):
        specs = [
            InputSpec(
                i.name,
                i.dtype,
                tuple(sizes[d][index] if isinstance(d, str) and d in sizes else d for d in i.dims),
                i.limit,
            )
            for i in inputs
        ]
        made.append(random_feeds(specs, sets=index + 1, sizes=usual)[index])
    return made


def traceable(feed: dict[str, np.ndarray], inputs: Sequence[Input]) -> dict[str, np.ndarray]:
    """The values with open dimensions of 1 doubled: torch takes a size of 1 for a fixed one."""
    made = {}
    for one in inputs:
        array = feed[one.name]
        for axis, dim in enumerate(one.dims):
            if not isinstance(dim, int) and array.shape[axis] == 1:
                array = np.repeat(array, 2, axis)
        made[one.name] = array
    return made


def fitting(plan: Plan, fixed: dict[tuple[str, Optional[str]], int], runner: TorchRunner, *, more: bool) -> Sets:
    """The values to compare at where an exporter fixed dimensions: those of the sizes that the program takes.

    Args:
        fixed: input and name of a dimension → the size that it has.
        more: where only one set is of these sizes, another one is cut and repeated from it in what is still open.
    """
    if not fixed:
        return plan.sets
    labels = plan.dims
    found = [
        feed
        for feed in plan.sets
        if all(fixed.get((n, label), s) == s for n, array in feed.items() for label, s in zip(labels[n], array.shape))
    ] or plan.sets
    if len(found) > 1 or not more:
        return found
    dims = {i.name: (fixed.get((i.name, label), d) for label, d in zip(labels_of(i), i.dims)) for i in plan.inputs}
    varied = _varied(found[0], [replace(i, dims=tuple(dims[i.name])) for i in plan.inputs])
    try:
        runner.run(varied)
    except RuntimeFailedError:  # it takes no other size
        return found
    return varied


def _varied(feed: dict[str, np.ndarray], inputs: Sequence[Input]) -> Sets:
    """The values given, and others of another size cut and repeated from them."""
    sizes: dict[Any, int] = {}
    other = {}
    for one in inputs:
        array = feed[one.name]
        for axis, dim in enumerate(one.dims):
            if isinstance(dim, int):
                continue
            key = dim if isinstance(dim, str) else (axis == 0, array.shape[axis])
            size = sizes.setdefault(key, array.shape[axis] + (1 if axis == 0 else -(array.shape[axis] // 3) or 1))
            array = np.take(array, np.arange(max(1, size)) % array.shape[axis], axis)
        other[one.name] = array
    return [feed, other] if sizes else [feed]
