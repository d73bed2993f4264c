"""``mconv to-onnx``: a Paddle model of any era as ONNX, proved against its source."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from mconv import inspection
from mconv.artifacts import described as described_by
from mconv.artifacts import provenance
from mconv.artifacts.destination import Destination
from mconv.errors import RuntimeFailedError, UsageError
from mconv.exporters import onnx as exporter
from mconv.exporters.onnx.graph import OLDEST, newest
from mconv.exporters.onnx.profiles import PROFILES, Profile, refused, unlisted
from mconv.inspection import Inspection
from mconv.onnx.types import type_name
from mconv.options.onnx import DEFAULT_OPSET, ToOnnx
from mconv.paddle import pir_reader
from mconv.paddle.load import load as load_pir
from mconv.passes import quantize_forms
from mconv.program import files
from mconv.program.dtypes import DType
from mconv.program.inputs import parse_input
from mconv.program.params import TensorSource
from mconv.program.port_rows import PortRow, row
from mconv.program.program import Program
from mconv.program.stored import Era, ModelFiles
from mconv.program.targets import PADDLE_3
from mconv.program.unsupported import refusal
from mconv.proof import precision
from mconv.proof.available import runtime_for, written_for
from mconv.proof.compare import Tolerance
from mconv.proof.feeds import InputSpec, specs_of
from mconv.proof.prove import prove_onnx
from mconv.proof.report import Report
from mconv.proof.runners import OnnxRunner, PaddleRunner
from mconv.proof.verdict import FAILED, Proof
from mconv.verbs.frame import Frame
from mconv.verbs.produced import counted_operators
from mconv.version import __version__

_READS = PADDLE_3  # the Paddle in whose operators a ``.json`` is read
_PACKAGES = {"mconv": ("onnx",), "paddle2onnx": ("paddle2onnx", "paddlepaddle", "onnx")}


def to_onnx(chosen: ToOnnx) -> Report:
    """Convert the Paddle model *path* into the file *out*, with ``NAME.report.json`` and ``NAME.provenance.json`` beside it.

    Raises:
        NotAModelError, CorruptModelError: *path* is no sound Paddle model.
        MissingDependencyError: onnx is not installed; with the engine paddle2onnx, that or Paddle.
        UnsupportedError: ONNX, or the engine, cannot say an operator; ``rows`` lists all of them.
        RuntimeFailedError: paddle2onnx failed or crashed, or one of the models cannot be run.
        VerificationError: the ONNX model computes something else; it is kept in ``NAME.failed-verification/``.
        UsageError: an option does not fit. OutputExistsError: *out* is there already.
    """
    path, out = chosen.path, Path(chosen.out)
    if out.name in ("", ".", ".."):
        raise UsageError(f"{out}: no name for a file", "give the .onnx file to write")
    start = time.perf_counter()
    found = files.locate(path)
    seen = inspection.inspect(found.program, judged=False)
    report = Report("to-onnx", chosen.engine, _source(found, seen), {"name": "onnx", "opset": chosen.opset})
    report.paddle_operators = {k: v for k, v in seen.operators.items() if k not in ("feed", "fetch")}
    apart = chosen.engine == "mconv" and sum(seen.parameter_bytes.values()) > exporter.LARGEST
    names = [out.name, *([f"{out.name}.data"] if apart else [])]
    # PaddleX reads inference.onnx beside it
    described = out.name == f"{described_by.STEM}.onnx" and not (out.parent / described_by.NAME).exists()
    described = described and bool(described_by.description(found))
    names += [described_by.NAME] if described else []
    destination = Destination.beside(out.parent, out.name.removesuffix(".onnx"), dict(zip(names, names)))
    frame = Frame(report, chosen, destination, start)
    frame.since_start("read")
    recording = provenance.Recording(
        "to-onnx",
        provenance.model_sources(found, _separate(found)),
        options={"opset": chosen.opset, "engine": chosen.engine, "for": chosen.profile, "inputs": list(chosen.inputs)},
        packages=_PACKAGES[chosen.engine],
        copied=found.params if chosen.engine == "mconv" else None,
    )
    with (
        frame.opened(chosen.plugins, recording) as folder,
        tempfile.TemporaryDirectory(prefix="mconv-onnx-") as scratch,
    ):
        made = folder / out.name
        _convert(found, seen, made, report, chosen, Path(scratch), apart, recording)
        if described:
            described_by.carry(found, folder, seen.inputs)
        report.output = {"file": str(out), "bytes": made.stat().st_size}
        frame.prove(
            lambda: _proof(found, seen, made, report, chosen),
            advice=f"`mconv verify {path} {destination.failed / out.name} --layers` finds where it begins",
        )
    return report


def _source(found: ModelFiles, seen: Inspection) -> dict[str, Any]:
    return {
        "path": str(found.program),
        "era": found.era.name.lower(),
        "saved_by": seen.saved_by,
        "bytes": sum(f.bytes for f in seen.files),
    }


def _separate(found: ModelFiles) -> Iterable[TensorSource]:
    """The parameters that have a file each; another engine than this one reads the model for itself."""
    return files.load_model(found)[1].values() if found.separate else ()


# conversion ---------------------------------------------------------------------------------------------------------


def _convert(
    found: ModelFiles,
    seen: Inspection,
    made: Path,
    report: Report,
    chosen: ToOnnx,
    scratch: Path,
    apart: bool,
    recording: provenance.Recording,
) -> None:
    """Write the ONNX file, its weights *apart* from it or inside, and describe it in *report*."""
    if chosen.engine == "paddle2onnx":
        from mconv.verbs import by_paddle2onnx

        model = by_paddle2onnx.convert(found, seen, made, report, chosen, scratch)
    else:
        model = _export(found, made, report, chosen, apart, recording)
    graph = model.graph
    inputs = {i.name for i in graph.input}
    kept = [t for t in seen.inputs if t.name in inputs]
    report.inputs = [_port(t, info) for t, info in zip(kept, graph.input)]
    report.outputs = [_port(t, info) for t, info in zip(seen.outputs, graph.output)]
    for port in report.inputs + report.outputs:
        if port["dtype"] != port["paddle_dtype"]:
            report.warnings.append(f"{port['name']}: {port['paddle_dtype']} in Paddle, {port['dtype']} in ONNX")
    report.operators = counted_operators(graph.node)
    report.target["opset"] = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))


def _export(
    found: ModelFiles, made: Path, report: Report, chosen: ToOnnx, apart: bool, recording: provenance.Recording
) -> Any:
    """With mconv's own exporter; gives the model without its weights."""

    for plugin in chosen.plugins:
        exporter.load_plugin(Path(plugin))
    profile = PROFILES[chosen.profile] if chosen.profile is not None else None
    opset = chosen.opset if chosen.opset is not None else profile.opset if profile is not None else DEFAULT_OPSET
    latest = min(newest(), profile.latest) if profile is not None else newest()
    if not OLDEST <= opset <= latest:
        reads = f"the newest that {profile.name} reads" if profile is not None else "as the installed onnx does"
        raise UsageError(f"--opset {opset}: mconv writes {OLDEST} to {latest}, {reads}")
    chosen.progress(f"converting {found.program}")
    step = time.perf_counter()
    if found.era is Era.PIR:
        loaded = load_pir(found.program, target=_READS)
        program, params = loaded.program, loaded.params
        report.warnings += loaded.notes
    else:
        program, params = files.load_model(found)
        if quantize_forms.describe(program) is not None:
            params = {**params, **quantize_forms.plain(program, params)}
    sizes = _fixed(program, profile, chosen) if profile is not None else {}
    exported = exporter.export(program, params, opset=opset, latest=latest, sizes=sizes)
    missed = refused(profile, exported.nodes) if profile is not None else []
    if missed:
        raise refusal(missed, "`mconv edit` cuts a model before what its reader cannot take")
    doubtful = unlisted(profile, exported.nodes) if profile is not None else []
    if profile is not None and doubtful:
        told = (
            f"{', '.join(doubtful)} not in the operators that it lists ({profile.source}); newer versions may have more"
        )
        report.warnings.append(f"{profile.name}: {told}")
    report.seconds["convert"] = time.perf_counter() - step
    report.warnings += exported.notes
    if exported.unread:
        report.warnings.append(
            f"input {', '.join(map(repr, exported.unread))}: nothing in the model reads it, and ONNX has not got it"
        )
    if exported.opset > opset:
        report.warnings.append(f"opset {exported.opset}, not {opset}: the model has operators that older ones lack")
    step = time.perf_counter()
    written = made.with_name(f"{made.name}.data") if apart else made
    with recording.passing(written) as passing:
        exporter.write(exported, made, version=__version__, external=apart, passing=passing)
    report.seconds["write"] = time.perf_counter() - step
    return exporter.skeleton(exported)


def _fixed(program: Program, profile: Profile, chosen: ToOnnx) -> dict[str, list[Optional[int]]]:
    """The sizes that ``--input`` gives the inputs for good.

    Raises:
        UsageError: there is no such input, it has other sizes, or one is left open that the tool needs.
    """
    given = {shape.name: shape.dims for shape in map(parse_input, chosen.inputs)}
    ports = {p.name: p.shape for p in program.feeds}
    unknown = sorted(set(given) - set(ports))
    if unknown:
        raise UsageError(f"--input {unknown[0]}: the model has no such input", f"its inputs are {', '.join(ports)}")
    found: dict[str, list[Optional[int]]] = {}
    for name, shape in ports.items():
        dims = [d if isinstance(d, int) else None for d in given.get(name, (None,) * len(shape))]
        if len(dims) != len(shape) or any(d is not None and s not in (-1, d) for d, s in zip(dims, shape)):
            raise UsageError(f"--input {name}{list(dims)}: the model has {list(shape)}")
        if profile.fixed and any(s < 0 and d is None for d, s in zip(dims, shape)):
            wanted = ",".join("?" if s < 0 else str(s) for s in shape)
            raise UsageError(
                f"{profile.name} takes fixed sizes only, and input {name} is [{wanted}]",
                f"fix them: --input '{name}[{wanted.replace('?', '1')}]' with the sizes that you need",
            )
        found[name] = dims
    return found


def _port(tensor: inspection.Tensor, info: Any) -> PortRow:
    kind = info.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in kind.shape.dim]
    shape = dims if kind.HasField("shape") else None
    return row(
        info.name,
        type_name(kind.elem_type),
        shape=shape,
        paddle_name=tensor.name,
        paddle_dtype=tensor.dtype,
    )


# proof --------------------------------------------------------------------------------------------------------------


def _proof(found: ModelFiles, seen: Inspection, made: Path, report: Report, chosen: ToOnnx) -> Proof:
    program = None if found.era is Era.PIR else files.load_program(found)
    target = _READS if program is None else written_for(program)
    runtime = runtime_for(target, chosen.runtime)
    try:
        result = OnnxRunner(made, timeout=chosen.timeout, called=made.name)
    except RuntimeFailedError as e:
        error = RuntimeFailedError(f"{chosen.engine} wrote a bad model: {e.message}")
        limits = Tolerance.of(chosen.tolerance)
        return Proof(FAILED, error.message, runtime="ONNX Runtime", tolerance=limits, error=error)
    specs = specs_of(program) if program is not None else _specs(seen)
    read = {p["paddle_name"] for p in report.inputs}
    reference = PaddleRunner(found, runtime, timeout=chosen.timeout)
    limits = Tolerance.of(chosen.tolerance).at(
        precision.of_pir(pir_reader.read(found.program).block) if program is None else precision.of_program(program)
    )
    chosen.progress(f"verifying: {runtime.label} against {result.label}")
    with reference, result:
        proof = prove_onnx(
            reference, result, specs, read=read, shapes=chosen.inputs, inputs=chosen.feeds_file, tolerance=limits
        )
    proof.runtime = result.label
    report.versions["reference"] = reference.label
    return proof


def _specs(seen: Inspection) -> list[InputSpec]:
    return [InputSpec(t.name, DType.of(str(t.dtype)), tuple(t.shape or ())) for t in seen.inputs]


__all__ = ["to_onnx"]
