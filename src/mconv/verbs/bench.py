"""``mconv bench MODEL…``: how fast models run, each in each runtime."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv import runtimes as managed
from mconv.bench import latency
from mconv.bench.latency import Contender, Model, Plan
from mconv.bench.machine import machine
from mconv.bench.result import MODEL, Bench
from mconv.errors import MissingDependencyError, RuntimeFailedError, UnsupportedError, UsageError
from mconv.options.bench import BenchModels
from mconv.passes import half_loading
from mconv.program.inputs import Dim
from mconv.proof import search
from mconv.proof.compare import Tolerance
from mconv.proof.feeds import BATCH, InputSpec, Sizes, load_feeds, random_feeds, reshaped, shapes_of
from mconv.proof.opened import Choices, Opened, OpenedOnnx, OpenedPaddle, open_model
from mconv.proof.runners import Answers
from mconv.verbs.verify import pairs

# what open sizes are where nobody says: one sentence of 128 tokens, one picture of 224 by 224
USUAL = Sizes(batch=(1,), length=(128,), height=(224,), width=(224,))


def bench_models(chosen: BenchModels) -> Bench:
    """Measure models, each in each runtime that can run it, on the same inputs.

    Raises:
        NotAModelError, CorruptModelError: one is no model.
        MissingDependencyError: ONNX Runtime or OpenVINO is named and not installed.
        UsageError: they do not have the same number of inputs and outputs, or the shapes do not fit.
        RuntimeFailedError: no runtime can run them, or nothing gives a reference.
    """
    if not chosen.models:
        raise UsageError("no model to measure", "name at least one")
    runtimes = [name for name in chosen.runtimes if name not in latency.ENGINES]
    engines = [name for name in latency.ENGINES if name in chosen.runtimes]
    for missing in filter(None, map(latency.not_installed, engines)):
        raise MissingDependencyError(*missing)
    plan = Plan(chosen.threads, chosen.warmup, chosen.loops, chosen.rounds, chosen.timeout)
    start = time.perf_counter()
    candidates = [opened(os.fspath(model), runtimes) for model in chosen.models]
    first = next((candidate for candidate in candidates if isinstance(candidate, OpenedOnnx)), candidates[0])
    specs = _specs(first)
    limits = {
        s.name: s.limit for candidate in candidates if isinstance(candidate, OpenedPaddle) for s in _specs(candidate)
    }
    specs = [replace(s, limit=s.limit or limits.get(s.name)) for s in specs]
    sets = load_feeds(Path(chosen.feeds), specs) if chosen.feeds is not None else random_sets(specs, chosen.shapes)
    chosen.progress(f"running {first.name} for the answers to compare with")
    try:
        try:
            reference = first.run(sets)
        except RuntimeFailedError:
            if chosen.feeds is not None or chosen.shapes:
                raise
            sets, reference, _ = search.find(specs, first.run, feeds=lambda sizes: _one(specs, sizes))
    except RuntimeFailedError as e:
        raise RuntimeFailedError(
            f"nothing to compare with: {e.message}",
            e.hint or "give sizes that the model takes with --shape 'name[1,3,224,224]', or inputs with --inputs x.npz",
        ) from e
    others = chosen.runtimes and not runtimes  # which are no Paddle
    taken = [] if others else latency.paddles(runtimes, [s.name for s in managed.statuses() if s.installed])
    lanes: list[Contender] = []
    notes: list[str] = []
    nowhere: list[str] = []
    for candidate in candidates:
        # an ONNX file has to be measured somewhere, where only Paddles are named
        free = not chosen.runtimes or (isinstance(candidate, OpenedOnnx) and not engines)
        model = _model(candidate, first, specs, reference)
        found, lacking = latency.contenders(model, taken, chosen.engines if free else engines)
        lanes += found
        notes += [note for note in lacking if note not in notes]
        if not found:
            nowhere.append(f"{candidate.name}: not measured, {_none_of(chosen)} runs it")
        notes += [note for note in candidate.notes if note not in notes]
        if (
            isinstance(candidate, OpenedPaddle)
            and candidate.program is not None
            and (for_gpus := half_loading.for_gpus(candidate.program))
        ):
            notes.append(f"{candidate.name}: {for_gpus}")
    if not lanes:
        raise RuntimeFailedError(f"{_none_of(chosen)} runs {first.name}", "; ".join(notes) or None)
    notes += nowhere
    limit = Tolerance.of(chosen.tolerance).at(*(candidate.precision() for candidate in candidates))
    measured = latency.measure(lanes, sets, reference, plan, tolerance=limit, progress=chosen.progress)
    return Bench(
        MODEL,
        plan.threads,
        plan.loops,
        len(plan.turns()),
        plan.warmup,
        dict(vars(limit)),
        machine(),
        notes,
        round(time.perf_counter() - start, 3),
        models=[candidate.name for candidate in candidates],
        input_sets=shapes_of(sets),
        reference=first.label,
        contenders=measured,
    )


def _none_of(chosen: BenchModels) -> str:
    return f"none of {', '.join(chosen.runtimes)}" if chosen.runtimes else "no runtime that is installed"


def opened(model: str, runtimes: Sequence[str] = ()) -> Opened:
    """As the proof opens it; what it answers without the optimisations of its Paddle is what is right."""
    options = {"onednn": False, "ir_optim": False}
    candidate = open_model(model, Choices(runtimes[0] if len(runtimes) == 1 else None, options=options))
    if not isinstance(candidate, (OpenedOnnx, OpenedPaddle)):
        raise UnsupportedError(
            f"{model}: neither an ONNX file nor a Paddle inference model", "convert it first: `mconv convert`"
        )
    return candidate


def _specs(candidate: Opened) -> list[InputSpec]:
    found = candidate.specs()
    assert found is not None  # only services do not say
    return found


def _model(candidate: Opened, first: Opened, specs: Sequence[InputSpec], reference: Answers) -> Model:
    """The model of a candidate, with what its inputs and outputs are called beside those of the reference."""
    onnx = candidate.path if isinstance(candidate, OpenedOnnx) else None
    files = candidate.files if isinstance(candidate, OpenedPaddle) else None
    if candidate is first:
        return Model(candidate.name, onnx, files, types=candidate.types())
    own = [s.name for s in _specs(candidate)]
    inputs, _ = pairs([s.name for s in specs], own, first.feed_alias, candidate.feed_alias, "inputs")
    names = _outputs(candidate)
    indices = None
    if names is not None:
        outputs, _ = pairs(reference.names, names, first.fetch_alias, candidate.fetch_alias, "outputs")
        indices = [names.index(outputs[name]) for name in reference.names]
    return Model(candidate.name, onnx, files, inputs, candidate.types(), indices)


def _outputs(candidate: Opened) -> Optional[list[str]]:
    """The names of its outputs in order; None where they have none (``.json``)."""
    if isinstance(candidate, OpenedOnnx):
        return [value.name for value in candidate.model.proto.graph.output]
    assert isinstance(candidate, OpenedPaddle)
    return None if candidate.program is None else [port.name for port in candidate.program.fetches]


# inputs -------------------------------------------------------------------------------------------------------------


def random_sets(specs: Sequence[InputSpec], shapes: Sequence[str]) -> list[dict[str, np.ndarray]]:
    """One input set for each text of ``--shape``, or one of the usual sizes."""
    sets = []
    for text in shapes or [""]:
        told = [part for part in re.split(r"(?<=\])\s+", text.strip()) if part]
        sets += _random(specs, told)
    return sets


def _one(specs: Sequence[InputSpec], sizes: Sizes) -> list[dict[str, np.ndarray]]:
    """One input set of sizes that are tried, in batches of 1 where that is not what is tried."""
    return random_feeds(specs, sets=1, sizes=replace(sizes, batch=(1,)) if sizes.batch == BATCH else sizes)


def _random(specs: Sequence[InputSpec], told: Sequence[str]) -> list[dict[str, np.ndarray]]:
    fixed = reshaped(specs, told, "--shape")
    sizes = USUAL
    named: dict[str, Dim] = {}
    for before, after in zip(specs, fixed):
        if before.shape == after.shape:
            continue
        dims = [d if isinstance(d, int) and d > 0 else None for d in after.shape]
        named.update({b: a for b, a in zip(before.shape, dims) if isinstance(b, str) and a is not None})
        sizes = _following(sizes, dims)
    fixed = [replace(s, shape=tuple(named.get(d, d) if isinstance(d, str) else d for d in s.shape)) for s in fixed]
    return random_feeds(fixed, sets=1, sizes=sizes)


def _following(sizes: Sizes, dims: Sequence[Optional[int]]) -> Sizes:
    """What the open sizes of the other inputs become beside one of these."""

    def at(axis: int, usual: Optional[tuple[int, ...]]) -> Any:
        size = dims[axis] if axis < len(dims) else None
        return usual if size is None else (size,)

    sizes = replace(sizes, batch=at(0, sizes.batch))
    if len(dims) == 4:
        return replace(sizes, height=at(2, sizes.height), width=at(3, sizes.width))
    return replace(sizes, length=at(1, sizes.length))
