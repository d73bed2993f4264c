"""``mconv onnx2paddle``: read, convert, write, prove, report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Recording
from mconv.artifacts.provenance import Source as Recorded
from mconv.errors import UnsupportedError
from mconv.factory import loading
from mconv.onnx import advice, cpp, describe
from mconv.onnx.constants import fix_inputs
from mconv.onnx.convert import convert
from mconv.onnx.importer import Imported
from mconv.onnx.plugins import load_plugin
from mconv.onnx.reader import INLINE, OnnxModel, read
from mconv.options.onnx import Onnx2Paddle
from mconv.program import external_data
from mconv.program.inputs import assign
from mconv.program.port_rows import renamed
from mconv.program.targets import Target
from mconv.proof.report import Report, paddle_operators
from mconv.proof.verdict import Proof
from mconv.verbs.frame import Frame
from mconv.verbs.produced import Facts, Produced, about_names
from mconv.warned import Warned


def onnx2paddle(chosen: Onnx2Paddle) -> Report:
    """Convert an ONNX model into ``OUT/inference.pdmodel``, ``OUT/inference.pdiparams`` and ``OUT/report.json``.

    Raises:
        NotAModelError, CorruptModelError, UntrustedError: the file is no sound ONNX model.
        UnsupportedError: operators that cannot be converted; ``rows`` lists all of them.
        UsageError: *inputs* or *feeds* do not fit the model, or an option does not exist.
        VerificationError, RuntimeFailedError: the result computes something else, or cannot be run; it is kept in
            ``OUT.failed-verification``.
        RuntimeUnavailableError, MissingDependencyError: with *verify* or X2Paddle, what they need is not installed.
        OutputExistsError: *out* is there already.
    """
    return converted(chosen, Destination.of_folder(chosen.out)).report


def converted(chosen: Onnx2Paddle, destination: Destination) -> Frame[Report]:
    """The same with the files somewhere else, for a command of several steps."""
    goal, model = chosen.goal, Path(chosen.model)
    report = Report("onnx2paddle", chosen.engine, {}, goal.described())
    frame = Frame(report, chosen, destination)
    for plugin in chosen.plugins:
        load_plugin(Path(plugin))
    if chosen.engine == "native":
        cpp.start()
    source = read(model)
    fixed = fix_inputs(source, loading.arguments_of(chosen.constants, "--const", any_name=True))
    given = assign(chosen.inputs, describe.inputs_of(source))
    shapes: dict[str, Sequence[Any]] = {name: spec.dims for name, spec in given.items()}
    external_data.check(model, source.proto, INLINE)
    report.source = describe.source_of(source)
    frame.since_start("read")
    external = [(name, model.parent / name) for name in report.source["external_files"]]
    options: dict[str, Any] = {"engine": chosen.engine, "inputs": list(chosen.inputs)}
    if fixed:
        options["constants"] = {name: array.tolist() for name, array in fixed.items()}
    given_files: list[Recorded] = [model, *external]
    given_files += [(f"plugins/{Path(p).name}", p) for p in chosen.plugins]
    with frame.opened([model, *(path for _, path in external), *chosen.plugins]):
        recording = frame.record(
            Recording("onnx2paddle", given_files, target=goal.name, options=options, packages=("numpy", "onnx"))
        )
        chosen.progress(f"converting {model} for Paddle {goal.paddle}")
        made = _produce(source, shapes, chosen)
        made.facts.into(report)
        report.seconds.update(made.seconds)
        files = frame.write(made)

        def proof() -> Proof:
            from mconv.verbs import onnx_proof  # and with it what runs both models

            return onnx_proof.proof_of(source, made, files, report, chosen, shapes, fixed)

        frame.prove(
            proof,
            advice=f"`mconv verify MODEL {destination.failed} --layers` finds where it begins",
        )
        report.source["blake3"] = next(h.digest for h in recording.sources() if h.name == model.name)
    return frame


# engines ------------------------------------------------------------------------------------------------------------


def _produce(source: OnnxModel, shapes: dict[str, Sequence[Any]], chosen: Onnx2Paddle) -> Produced:
    if chosen.engine == "x2paddle":
        from mconv.verbs import x2paddle  # and with it the runtimes

        return x2paddle.produce(source, shapes, chosen)
    try:
        made, imported = native(source, chosen.goal, shapes)
    except UnsupportedError as e:
        other = advice.other_engine(e.rows)
        if other:
            e.hint = f"{e.hint}; {other}" if e.hint else other
        raise
    facts = made.facts
    facts.warnings += [
        Warned("carried-wider", f"{name}: {had}, which Paddle lacks, is carried in {has}")
        for name, (had, has) in imported.widened.items()
    ]
    facts.warnings += about_names(renamed(facts.inputs, facts.outputs), ": Paddle's files cannot carry the name")
    return made


def native(source: OnnxModel, target: Target, shapes: dict[str, Sequence[Any]]) -> tuple[Produced, Imported]:
    """Convert with the native engine.

    Raises:
        UnsupportedError: operators cannot be converted; ``rows`` lists all of them, with what to do.
    """
    try:
        made = convert(source, target, shapes)
    except UnsupportedError as e:
        e.rows = advice.with_advice(e.rows)
        raise
    inputs, outputs = describe.ports_of(source, made.program, shapes)
    facts = Facts(
        inputs,
        outputs,
        describe.operators_of(made),
        paddle_operators(made.program),
        made.folded,
        dict(made.fused),
        dict(made.expanded),
        list(made.notes),
    )
    return Produced(made.program, made.params, facts, made.seconds), made
