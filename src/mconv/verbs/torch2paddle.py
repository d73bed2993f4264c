"""``mconv torch2paddle``: open, export, convert, write, prove, report."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts import provenance
from mconv.artifacts.destination import Destination
from mconv.errors import UnsupportedError, UsageError
from mconv.factory.inputs import parameters_of
from mconv.factory.loading import read_of
from mconv.options.torch import Torch2Paddle
from mconv.proof.available import runtime_for
from mconv.proof.compare import Tolerance
from mconv.proof.notes import rendered
from mconv.proof.prove import Candidate, Inputs, prove
from mconv.proof.report import Report
from mconv.proof.torch_runner import TorchRunner
from mconv.proof.verdict import MEANS, Proof, one_size, reservation
from mconv.torch.exporting import named_leaves
from mconv.torch.noise import noise
from mconv.torch.sources import Source, open_source
from mconv.torch.ties import ties
from mconv.torch.widening import widen, widened
from mconv.verbs import torch_inputs
from mconv.verbs.frame import Frame
from mconv.verbs.produced import Produced, about_names
from mconv.verbs.torch_inputs import Plan
from mconv.verbs.torch_request import Request, fixed_text
from mconv.verbs.torch_routes import produce
from mconv.verbs.torch_whole import about_state, about_unread, carry, state_of, try_unread, unread


def torch2paddle(chosen: Torch2Paddle) -> Report:
    """Convert a PyTorch model into ``OUT/inference.pdmodel``, ``OUT/inference.pdiparams`` and ``OUT/report.json``.

    Raises:
        NotAModelError, CorruptModelError, UntrustedError, MissingDependencyError: see ``open_source``.
        UsageError: the inputs, outputs or options do not fit the model.
        UnsupportedError: torch cannot export it, operators cannot be converted (``rows`` lists all of them), or a decision
            by values is taken once and for all, without *accept_frozen*; with *strict*, a dimension was fixed.
        RuntimeFailedError: the model fails on its inputs, or the result cannot be run.
        VerificationError: the result computes something else; it is kept in ``OUT.failed-verification``.
        RuntimeUnavailableError: with *verify*, there is no Paddle to run it in.
        OutputExistsError: *out* is there already.
    """
    return converted(chosen, Destination.of_folder(chosen.out)).report


def converted(chosen: Torch2Paddle, destination: Destination) -> Frame[Report]:
    """The same with the files somewhere else, for a command of several steps."""
    goal, model = chosen.goal, chosen.model
    report = Report("torch2paddle", chosen.engine, {}, goal.described())
    frame = Frame(report, chosen, destination)
    given = [chosen.weights, chosen.example_file, *read_of(model)]
    with (
        frame.opened(given) as folder,
        tempfile.TemporaryDirectory(prefix="mconv-torch-") as scratch,
        contextlib.ExitStack() as modes,
    ):
        chosen.progress(f"opening {model if isinstance(model, (str, os.PathLike)) else type(model).__name__}")
        source = open_source(model, **chosen.opening())
        source.seconds = chosen.timeout
        report.source = _described(model, source)
        report.versions.update(_packages(source))
        report.warnings += source.notes
        if not chosen.keep_dtype:
            report.warnings += widen(source)
        plan = torch_inputs.declared(source, chosen.inputs, chosen.example_file)
        if not chosen.keep_dtype:
            plan.inputs = widened(source, plan.inputs)  # those that --input or an example calls float16
        frame.since_start("load")
        step = time.perf_counter()
        runner = _runner(source, plan, chosen)
        drawn = noise(replace=chosen.deterministic)
        modes.enter_context(drawn)
        torch_inputs.fill(plan, source, runner, chosen.example_file, chosen.feeds_file)
        if not chosen.deterministic:  # else until the end: the exporters trace within it, too
            modes.close()
        random = _about_noise(drawn.used, chosen.deterministic, source, plan)
        report.warnings += random
        report.warnings += rendered(plan.notes, chosen.feeds_option())
        names = _outputs(runner, plan)
        state = state_of(source, runner, plan.sets[0])
        if state and chosen.carry_state:
            source = carry(source, plan, state)
            runner = _runner(source, plan, chosen)
            names = _outputs(runner, plan)
        else:
            report.reserve(about_state(state))
        selected = _selected(names, chosen.outputs, source)
        report.seconds["reference"] = time.perf_counter() - step
        frame.record(_recording(source, plan, selected, chosen))
        request = Request(names, selected, chosen, folder if chosen.keep else None, Path(scratch))
        try:
            made, route, how = produce(source, plan, request, runner)
        except UnsupportedError as e:
            e.hint = "; ".join([*random, *([e.hint] if e.hint else [])]) or None
            raise
        _adopt(report, made, route, how, chosen)
        files = frame.write(made)

        def proof() -> Proof:
            found = _proof(source, plan, made, files, report, runner, selected, chosen)
            found.limit(one_size(plan.alone))
            found.limit([MEANS] if chosen.deterministic and drawn.used else [])
            return found

        frame.prove(proof, advice="; ".join(random))
    return frame


def _described(model: Any, source: Source) -> dict[str, Any]:
    described = {"spec": os.fspath(model) if isinstance(model, (str, os.PathLike)) else None, **source.facts}
    described["parameters"] = sum(int(p.numel()) for p in source.module.parameters())
    return described


def _packages(source: Source) -> dict[str, str]:
    import torch

    found = {"torch": torch.__version__}
    package = type(source.module).__module__.partition(".")[0]
    if source.form.name in ("HUGGING_FACE", "SENTENCES"):
        package = "transformers"
    elif source.form.name == "TIMM":
        package = "timm"
    if package in ("transformers", "timm", "torchvision"):
        import importlib

        found[package] = str(importlib.import_module(package).__version__)
    return found


def _about_noise(functions: Sequence[str], deterministic: bool, source: Source, plan: Plan) -> list[str]:
    if not functions:
        return []
    drawn = ", ".join(functions)
    if deterministic:
        return [f"random numbers are their means (--deterministic): {drawn}"]
    takes = [] if source.positional else [n for n in parameters_of(source.module.forward) if "noise" in n]
    fed = [n for n in takes if n not in {i.name for i in plan.inputs}]
    instead = f", --input '{fed[0]}:float32[…]' feeds them" if fed else ""
    return [f"forward draws random numbers ({drawn}): no two runs agree; --deterministic takes their means{instead}"]


def _runner(source: Source, plan: Plan, chosen: Torch2Paddle) -> TorchRunner:
    specs = torch_inputs.specs_of(plan.inputs)
    return TorchRunner(source, named_leaves, source.label, specs, widened=not chosen.keep_dtype, ties=ties)


def _outputs(runner: TorchRunner, plan: Plan) -> list[str]:
    names = runner.run(plan.sets[:1]).names
    if not names:
        raise UsageError(f"{runner.label} returns no tensor")
    return names


def _selected(names: list[str], wanted: Optional[Sequence[str]], source: Source) -> list[str]:
    if wanted is None:
        return [n for n in names if source.outputs is None or n in source.outputs]
    unknown = [n for n in wanted if n not in names]
    if unknown or not wanted:
        raise UsageError(
            f"--output {', '.join(unknown) or '(none)'}: no output of the model", f"its outputs are {', '.join(names)}"
        )
    return [n for n in names if n in wanted]


def _recording(
    source: Source,
    plan: Plan,
    selected: list[str],
    chosen: Torch2Paddle,
) -> provenance.Recording:
    files: list[provenance.Source] = list(source.files)
    if chosen.example_file is not None:
        files.append((f"example/{chosen.example_file.name}", chosen.example_file))
    arguments = chosen.arguments
    options = {
        "model": source.label,
        "arguments": {k: repr(v) for k, v in arguments.items()} if isinstance(arguments, Mapping) else list(arguments),
        "task": chosen.task,
        "inputs": plan.texts(),
        "outputs": selected,
        "engine": chosen.engine,
        "via": chosen.via,
        "keep_dtype": chosen.keep_dtype,
        "accept_frozen": chosen.accept_frozen,
        "carry_state": chosen.carry_state,
        "deterministic": chosen.deterministic,
        "keep": chosen.keep,
    }
    return provenance.Recording(
        "torch2paddle", files, target=chosen.goal.name, options=options, packages=("numpy",), versions=_packages(source)
    )


def _adopt(report: Report, made: Produced, route: str, how: str, chosen: Torch2Paddle) -> None:
    """What the route has to say, into the report.

    Raises:
        UnsupportedError: a decision by values is taken once and for all, without ``--accept-frozen``; with ``--strict``, a
            dimension was fixed, or the result is not right for all that the model takes.
    """
    _refuse_frozen(made.facts.frozen, chosen)
    fixed = made.facts.fixed
    ignored = unread(made.program, [i["name"] for i in made.facts.inputs])
    made.facts.into(report)
    report.reserve([*map(_frozen, made.facts.frozen), *made.facts.reservations])
    report.reserve([reservation("size", fixed_text(f)) for f in fixed] + about_unread(ignored))
    report.warnings += about_names(report.renamed)
    report.seconds.update(made.seconds)
    report.source.update({"via": route, "how": how, "fixed": fixed})
    if fixed and chosen.strict:
        named = ", ".join(f"{f['dimension']!r} of {f['input']!r} to {f['size']}" for f in fixed)
        raise UnsupportedError(
            f"torch fixed the dimension {named}", "without --strict it is a warning; --via takes the other route", fixed
        )
    if report.reservations and chosen.strict:
        raise UnsupportedError(
            f"the result is not the model as a whole: {report.reservations[0]['text']}",
            "without --strict it is a warning, and the proof one in part",
            report.reservations,
        )


def _frozen(location: str) -> dict[str, str]:
    text = f"{location} decides by the values of the inputs: the result always decides as for the inputs traced with"
    return reservation("decision", text)


def _refuse_frozen(locations: Sequence[str], chosen: Torch2Paddle) -> None:
    if not locations or chosen.accept_frozen:
        return
    more = f" (and {len(locations) - 1} more)" if len(locations) > 1 else ""
    raise UnsupportedError(
        f"{locations[0]} decides by the values of the inputs{more}, and no exporter of PyTorch keeps that: the result would "
        "always decide as for the inputs traced with",
        "torch.where or torch.cond in forward, or a forward that torch.jit.script takes, keeps both ways; --accept-frozen "
        "takes the one",
        [{"location": location, "reason": "decides by values"} for location in locations],
    )


def _proof(
    source: Source,
    plan: Plan,
    made: Produced,
    files: tuple[Path, Path],
    report: Report,
    runner: TorchRunner,
    selected: list[str],
    chosen: Torch2Paddle,
) -> Proof:
    runtime = runtime_for(chosen.goal, chosen.runtime)
    chosen.progress(f"verifying: {runner.label} against Paddle in {runtime.label}")
    runner.select = selected
    fixed = {(f["input"], f["dimension"]): f["size"] for f in report.source["fixed"]}
    sets = torch_inputs.fitting(plan, fixed, runner, more=chosen.feeds_file is None)
    proof = prove(
        runner,
        Candidate(made.program, files, runtime, scalar_as_one=not chosen.goal.has_0d, timeout=chosen.timeout),
        Inputs([i.name for i in plan.inputs], file=chosen.feeds_file, sets=sets),
        Tolerance.of(chosen.tolerance).at(made.precision),
    )
    try_unread(proof, runner, sets, unread(made.program, [i.name for i in plan.inputs]))
    proof.inputs = plan.origin
    return report.compared(runner.label, proof)


__all__ = ["Report", "torch2paddle"]
