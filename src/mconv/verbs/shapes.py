"""``mconv shapes``: the shapes of every tensor at the least, the usual and the largest size of the inputs.

Sizes that the program declares need no run; where some are open, the program is run on the CPU, each operator as it is,
and looked at: what Paddle's own collector (``Config.collect_shape_range_info``) does, without a TensorRT in reach.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

import numpy as np

from mconv import budget
from mconv.artifacts.destination import Destination
from mconv.artifacts.recorded import Output
from mconv.errors import RuntimeFailedError, UnsupportedError, UsageError
from mconv.options.models import Shapes as ShapesOptions
from mconv.passes import half_loading, tensorrt
from mconv.program.files import Era, load_program, locate
from mconv.program.inputs import assign
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.program.stored import ModelFiles
from mconv.program.targets import Target
from mconv.proof import search
from mconv.proof.available import runtime_for
from mconv.proof.feeds import InputSpec, load_feeds, random_feeds, specs_of
from mconv.proof.indexed import sequence_lengths
from mconv.runtimes import Worker
from mconv.serving.shape_ranges import FORMS, VALUES_UP_TO, Range, Samples, ShapeRanges, records_numbers

Feeds = Sequence[Mapping[str, np.ndarray]]
_POINTS = ("min", "opt", "max")
# suffix of --out → form
_SUFFIXES = {".pbtxt": "paddle", ".txt": "paddle", ".py": "python", ".yml": "paddlex", ".yaml": "paddlex"}


@dataclass
class Shapes:
    """What ``mconv shapes`` found.

    Attributes:
        target: the Paddle that the ranges are for.
        runtime: where the program was run; None: its declared shapes say all.
        profiles: the ranges, one of each profile.
        border: the tensors that the parts of the program which go to TensorRT are fed.
        form: ``paddle``, ``python``, ``serving``, ``triton``, ``paddlex`` or ``trtexec``.
        texts: each profile in that form.
        files: where they were written.
    """

    target: str
    runtime: Optional[str]
    profiles: list[ShapeRanges]
    border: list[str]
    form: str
    texts: list[str]
    files: list[str] = field(default_factory=list)


def shapes(chosen: ShapesOptions) -> Shapes:
    """The ranges of the shapes of a program's tensors, as TensorRT wants them.

    Raises:
        UsageError: a shape is missing, has another number of dimensions, or is out of order.
        UnsupportedError: the model is a ``.json``, or its variables are lists.
        RuntimeUnavailableError, WorkerError: there is no Paddle to run it in, or it fails there.
        OutputExistsError: *out* is there.
    """
    wanted = chosen.goal
    form = _form(chosen.form, chosen.out)
    if chosen.trt_inputs and form == "trtexec":
        raise UsageError("--trt-inputs: trtexec takes the shapes of the model's inputs, all of them", "leave it out")
    found = locate(chosen.path)
    if found.era is Era.PIR:
        raise UnsupportedError(
            f"{found.program}: the values inside a .json program have no names to give shapes to",
            f"mconv downgrade {chosen.path} OUT --target {wanted}, then mconv shapes OUT",
        )
    program = load_program(found)
    specs = specs_of(program)
    if chosen.feeds is not None and (chosen.minimum or chosen.optimum or chosen.maximum):
        raise UsageError("--inputs holds real inputs: --min, --opt and --max say the same", "give one of the two")
    profiles = (
        [load_feeds(Path(chosen.feeds), specs)]
        if chosen.feeds is not None
        else list(_points(specs, sequence_lengths(program), chosen.minimum, chosen.optimum, chosen.maximum))
    )
    declared = None if chosen.feeds is not None or any(spec.dynamic for spec in specs) else _declared(program, wanted)
    output = None
    if chosen.out is not None:
        output = _output(Path(chosen.out), 1 if declared is not None else len(profiles), chosen, found)
    lods = {spec.name: spec.lod for spec in specs if spec.lod}
    label = None
    if declared is not None:
        ranges = [declared]
    else:
        where = runtime_for(wanted, chosen.runtime)
        label = where.label
        with Worker(where) as worker:
            ranges = []
            for number, sets in enumerate(profiles, 1):
                chosen.progress(f"profile {number} of {len(profiles)}: running it in {label}")
                try:
                    ranges.append(_observed(worker, program, found, sets, lods, wanted, chosen.timeout))
                except RuntimeFailedError as e:
                    for_gpus = half_loading.for_gpus(program)
                    if for_gpus is not None:
                        e.hint = f"{for_gpus}; shapes takes the float32 model that it was made of, which has the same"
                    elif chosen.feeds is None:
                        chosen.progress("looking for sizes that it takes")
                        e.hint = _taken(worker, found, specs, chosen.timeout) or e.hint
                    raise
    edge = tensorrt.border(program, wanted)
    unseen = [name for name in edge if not all(name in profile.shapes for profile in ranges)]
    if unseen and label is not None:
        chosen.progress(f"no shapes of {', '.join(unseen)}: never computed, or without elements, with these inputs")
    if chosen.trt_inputs:
        ranges = [profile.only(edge) for profile in ranges]
        if not all(profile.shapes for profile in ranges):
            raise UnsupportedError(
                f"{found.program}: no part of it goes to TensorRT in Paddle {wanted}: --trt-inputs leaves no shapes",
                "without --trt-inputs the file has all of them",
            )
    result = Shapes(wanted.name, label, ranges, edge, form, [FORMS[form](profile) for profile in ranges])
    if output is not None:
        result.files = _write(output, result.texts, chosen, found)
    return result


def _form(form: Optional[str], out: Optional[PathLike]) -> str:
    if form is None:
        return _SUFFIXES.get(Path(out).suffix, "paddle") if out is not None else "paddle"
    if form not in FORMS:
        raise UsageError(f"--form: {form!r} is not one of {', '.join(FORMS)}")
    return form


def _points(
    specs: Sequence[InputSpec],
    lengths: Collection[str],
    minimum: Sequence[str],
    optimum: Sequence[str],
    maximum: Sequence[str],
) -> Iterator[Feeds]:
    """The input sets of each profile: those of the usual point twice, so that it is the usual one, as PaddleX has it."""
    given = [_by_profile(option, texts, specs) for option, texts in zip(_POINTS, (minimum, optimum, maximum))]
    counts = [len(profiles) for profiles in given]
    if len(set(counts)) > 1:
        shown = ", ".join(f"--{option} of {count}" for option, count in zip(_POINTS, counts))
        raise UsageError(f"the profiles do not match: {shown}", "name each input once in each of them")
    for profile in zip(*given):
        shapes = [{spec.name: _shape(spec, option, at) for spec in specs} for option, at in zip(_POINTS, profile)]
        for name in shapes[0]:
            low, usual_, high = (point[name] for point in shapes)
            if not all(a <= b <= c for a, b, c in zip(low, usual_, high)):
                raise UsageError(f"{name}: not --min {list(low)} <= --opt {list(usual_)} <= --max {list(high)}")
        for point in shapes:  # made up as float64 first
            asked = ", ".join(f"{name}{list(shape)}" for name, shape in point.items())
            budget.memory(8 * sum(map(math.prod, point.values())), f"the inputs {asked}")
        least, middle, most = (random_feeds([replace(s, shape=point[s.name]) for s in specs])[0] for point in shapes)
        for name in lengths:  # what a layer gives has the shape of all steps, whatever they are: a longer one crashes
            for feed in (least, middle, most):
                feed[name] = np.ones_like(feed[name])
        yield [least, middle, middle, most]


def _by_profile(option: str, texts: Sequence[str], specs: Sequence[InputSpec]) -> list[dict[str, tuple[int, ...]]]:
    types = {spec.name: spec.dtype.label for spec in specs}
    profiles: list[dict[str, tuple[int, ...]]] = [{}]
    for text in texts:
        ((name, said),) = assign([text], types, f"--{option}").items()
        sizes = [size for size in said.dims if isinstance(size, int)]
        if len(sizes) != len(said.dims):
            raise UsageError(f"--{option} {text!r}: each size has to be a number", f"--{option} '{name}[1,128]'")
        profile = next((p for p in profiles if name not in p), None)
        if profile is None:
            profile = {}
            profiles.append(profile)
        profile[name] = tuple(sizes)
    return profiles


def _shape(spec: InputSpec, option: str, given: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    known = tuple(size if isinstance(size, int) and size >= 0 else None for size in spec.shape)
    shown = f"{spec.name}[{','.join('?' if size is None else str(size) for size in known)}]"
    if spec.name not in given:
        if None in known:
            raise UsageError(f"--{option}: the shape of {shown} is missing", f"--{option} '{shown}' with numbers for ?")
        return tuple(size for size in known if size is not None)
    shape = given[spec.name]
    if len(shape) != len(known) or any(k is not None and k != s for k, s in zip(known, shape)):
        raise UsageError(f"--{option} '{spec.name}{list(shape)}': the model declares {shown}")
    return shape


def _declared(program: Program, target: Target) -> Optional[ShapeRanges]:
    """What the program declares, where that is all there is to know: no tensor has an open size, no number counts."""
    if records_numbers(target):
        return None
    found = {}
    block = program.main
    computed = {name for op in block.ops for name in op.output_names}
    for name, var in block.vars.items():
        if var.persistable or name not in computed or var.shape is None:
            continue
        if any(size <= 0 for size in var.shape):
            return None
        shape = var.shape or (1,)
        found[name] = Range(shape, shape, shape)
    return ShapeRanges(found, [port.name for port in program.feeds])


def _observed(
    worker: Worker,
    program: Program,
    found: ModelFiles,
    sets: Feeds,
    lods: Mapping[str, int],
    target: Target,
    timeout: float,
) -> ShapeRanges:
    numbers = records_numbers(target)
    runs = worker.shapes(
        found.program,
        found.params,
        sets,
        reads=numbers,
        most=VALUES_UP_TO if numbers else 0,
        lods=lods,
        timeout=timeout,
    )

    def ranges(seen: Sequence[Mapping[str, Samples]], scalar: Sequence[int]) -> dict[str, Range]:
        made = {}
        for name in sorted({name for run in seen for name in run}):
            samples = [
                (
                    tuple(sizes) or tuple(scalar),
                    times * (number if numbers else 1),
                )  # Paddle counts later runs more often
                for number, run in enumerate(seen, 1)
                for sizes, times in run.get(name, ())
            ]
            var = program.main.vars.get(name)  # None: a part of a list
            if numbers or var is None or not var.persistable:
                made[name] = Range.of(samples)
        return made

    return ShapeRanges(
        ranges([run.shapes for run in runs], (1,)),
        [port.name for port in program.feeds],
        ranges([run.numbers for run in runs], ()) if numbers else {},
    )


def _taken(worker: Worker, found: ModelFiles, specs: Sequence[InputSpec], timeout: float) -> Optional[str]:
    """Sizes that the program takes, found by trying; None where none of them does."""
    lods = {spec.name: spec.lod for spec in specs}
    try:
        sets, _, _ = search.find(
            specs, lambda these: worker.run(found.program, found.params, these, lods=lods, timeout=timeout)
        )
    except RuntimeFailedError:
        return None
    shapes = (", ".join(f"{s.name}[{','.join(map(str, feed[s.name].shape))}]" for s in specs) for feed in sets)
    return f"it takes {' and '.join(shapes)}"


def _output(out: Path, count: int, chosen: ShapesOptions, found: ModelFiles) -> Output:
    """Of one file for each of *count* profiles."""
    paths = [out] if count == 1 else [out.with_name(f"{out.stem}_{n}{out.suffix}") for n in range(1, count + 1)]
    output = Output(Destination.of_files(paths), force=chosen.force)
    output.check([*found.paths, chosen.feeds])
    return output


def _write(output: Output, texts: Sequence[str], chosen: ShapesOptions, found: ModelFiles) -> list[str]:
    names = list(output.destination.files)
    with output.opened([*found.paths, chosen.feeds]) as folder:
        for name, text in zip(names, texts):
            (folder / name).write_text(text, encoding="utf-8")
    return [str(path) for path in output.destination.files.values()]
