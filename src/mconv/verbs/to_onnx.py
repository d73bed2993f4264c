"""``mconv to-onnx``: a Paddle model of any era as ONNX, through paddle2onnx, proved against its source."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mconv import inspection
from mconv.artifacts import provenance
from mconv.artifacts.output import staged_many
from mconv.errors import (
    MconvError,
    MissingDependencyError,
    RuntimeFailedError,
    RuntimeUnavailableError,
    UnsupportedError,
    UsageError,
)
from mconv.inspection import Inspection
from mconv.options.onnx import ToOnnx
from mconv.paddle import pir_reader
from mconv.paddle.legalize import legalize
from mconv.paddle.modern import modernize
from mconv.program import files
from mconv.program.dtypes import DType
from mconv.program.params import PathLike, TensorSource
from mconv.program.stored import Era, ModelFiles, write_model
from mconv.proof import precision
from mconv.proof.compare import Tolerance
from mconv.proof.feeds import InputSpec, specs_of
from mconv.proof.prove import FAILED, NOT_DONE, Proof, prove_onnx, runtime_for, written_for
from mconv.proof.report import FAILED_SUFFIX, NAME, Report, failure, keep, versions
from mconv.proof.runners import PaddleRunner
from mconv.runtimes import paddle2onnx

_LARGEST = (1 << 31) - (1 << 20)  # bytes of parameters that still fit into one protobuf message
_READS = "3"  # the Paddle whose programs paddle2onnx reads


def to_onnx(chosen: ToOnnx) -> Report:
    """Convert the Paddle model *path* into the file *out*, with ``NAME.report.json`` and ``NAME.provenance.json`` beside it.

    Raises:
        NotAModelError, CorruptModelError: *path* is no sound Paddle model.
        MissingDependencyError: paddle2onnx or Paddle is not installed.
        UnsupportedError: paddle2onnx has no mapper for an operator; ``rows`` lists all of them.
        RuntimeFailedError: paddle2onnx failed or crashed, or one of the models cannot be run.
        VerificationError: the ONNX model computes something else; it is kept in ``NAME.failed-verification/``.
        UsageError: an option does not fit. OutputExistsError: *out* is there already.
    """
    start = time.perf_counter()
    path, out = chosen.path, Path(chosen.out)
    if out.name in ("", ".", ".."):
        raise UsageError(f"{out}: no name for a file", "give the .onnx file to write")
    tool = paddle2onnx.version()
    found = files.locate(path)
    seen = inspection.inspect(found.program)
    report = Report("to-onnx", "paddle2onnx", _source(found, seen), {"name": "onnx", "opset": chosen.opset})
    report.versions = {**versions(), "paddle2onnx": tool}
    report.paddle_operators = {k: v for k, v in seen.operators.items() if k not in ("feed", "fetch")}
    report.seconds["read"] = time.perf_counter() - start
    stem = out.name.removesuffix(".onnx")
    paths = [out, out.with_name(f"{stem}.{NAME}"), out.with_name(f"{stem}.{provenance.NAME}")]
    protected = [p for p in (found.program, found.params, chosen.feeds_file) if p is not None]
    recording = provenance.Recording(
        "to-onnx", _files(found), options={"opset": chosen.opset}, packages=("paddle2onnx", "paddlepaddle", "onnx")
    )
    with (
        recording,
        staged_many(paths, force=chosen.force, file=True, protect=protected) as staged,
        tempfile.TemporaryDirectory(prefix="mconv-onnx-") as scratch,
    ):
        place = staged[0].parent / "made"
        place.mkdir()
        made = place / out.name
        _convert(found, seen, made, report, chosen, Path(scratch))
        recording.write(place, name=paths[2].name, files={out.name: made})
        report.output = {"file": str(out), "bytes": made.stat().st_size}
        proof = _proof(found, seen, made, report, chosen)
        report.add_proof(proof)
        report.finish(start)
        if proof.status == FAILED:
            raise _failure(proof, place, out.with_name(stem + FAILED_SUFFIX), report, path)
        report.write(place, paths[1].name)
        for final, written in zip(staged, (made, place / paths[1].name, place / paths[2].name)):
            written.rename(final)
        place.rmdir()
    return report


def _source(found: ModelFiles, seen: Inspection) -> dict[str, Any]:
    return {
        "path": str(found.program),
        "era": found.era.name.lower(),
        "saved_by": seen.saved_by,
        "bytes": sum(f.bytes for f in seen.files),
    }


def _files(found: ModelFiles) -> list[provenance.Source]:
    single: list[Path] = []
    if found.separate:
        single = [r.path for r in files.records(found, files.load_program(found))]
    return provenance.model_sources(found, single)


# conversion ---------------------------------------------------------------------------------------------------------


def _convert(found: ModelFiles, seen: Inspection, made: Path, report: Report, chosen: ToOnnx, scratch: Path) -> None:
    """Write the ONNX file and describe it in *report*."""
    stored = sum(seen.parameter_bytes.values())
    if stored > _LARGEST:
        raise UnsupportedError(
            f"{found.program}: {stored / 1e9:.1f} GB of parameters do not fit into one ONNX file (2 GB)",
            "paddle2onnx itself writes external data: `paddle2onnx --external_filename`",
        )
    step = time.perf_counter()
    program, params = _readable(found, scratch, report)
    report.seconds["prepare"] = time.perf_counter() - step
    chosen.progress(f"converting {found.program} with paddle2onnx {report.versions['paddle2onnx']}")
    step = time.perf_counter()
    raw = scratch / "made.onnx"
    log = paddle2onnx.convert(program, params, raw, opset=chosen.opset, scratch=scratch, timeout=chosen.timeout)
    for line in log:
        chosen.progress(f"  paddle2onnx: {line}")
    report.seconds["paddle2onnx"] = time.perf_counter() - step
    step = time.perf_counter()
    _finish(raw, made, seen, report, chosen)
    report.seconds["write"] = time.perf_counter() - step


def _readable(found: ModelFiles, scratch: Path, report: Report) -> tuple[Path, Optional[Path]]:
    """The model in a form that paddle2onnx reads: a ``.json`` as it is, any other as a ``.pdmodel`` of Paddle 3."""
    if found.era is Era.PIR:
        return found.program, found.params
    program = files.load_program(found)
    items: dict[str, TensorSource] = {r.name: r for r in files.records(found, program)}
    legal = legalize(program, _READS, items)
    items.update(legal.parameters)
    report.warnings += legal.notes
    modernize(program)
    folder = scratch / "model"
    folder.mkdir()
    return write_model(program, [(v.name, items[v.name]) for v in program.parameters], folder)


def _finish(raw: Path, made: Path, seen: Inspection, report: Report, chosen: ToOnnx) -> None:
    """Give the ONNX model the source's names and order of inputs and outputs, check it, write it.

    Raises:
        RuntimeFailedError: paddle2onnx left out an input or output, changed a type, or wrote an unsound model.
    """
    import onnx

    model = onnx.load(str(raw))
    graph = model.graph
    inputs, outputs = {i.name: i for i in graph.input}, list(graph.output)
    gone = [t.name for t in seen.inputs if t.name not in inputs]
    if len(inputs) != len(seen.inputs) - len(gone) or len(outputs) != len(seen.outputs):
        raise RuntimeFailedError(
            f"paddle2onnx changed the model: {len(inputs)} inputs and {len(outputs)} outputs, the source has "
            f"{len(seen.inputs)} and {len(seen.outputs)}"
        )
    if gone:
        report.warnings.append(
            f"input {', '.join(map(repr, gone))}: nothing in the model reads it, and ONNX has not got it"
        )
    ordered = [inputs[t.name] for t in seen.inputs if t.name in inputs]
    del graph.input[:]
    graph.input.extend(ordered)
    _store_constants(graph)
    _name_outputs(graph, [(t.name, t.shape == []) for t in seen.outputs])
    model.producer_name = f"mconv, paddle2onnx {report.versions['paddle2onnx']}"
    onnx.checker.check_model(model)
    onnx.save(model, str(made))
    kept = [t for t in seen.inputs if t.name in inputs]
    report.inputs = [_port(t, info) for t, info in zip(kept, graph.input)]
    report.outputs = [_port(t, info) for t, info in zip(seen.outputs, graph.output)]
    for port in report.inputs + report.outputs:
        if port["dtype"] != port["paddle_dtype"]:
            report.warnings.append(f"{port['name']}: {port['paddle_dtype']} in Paddle, {port['dtype']} in ONNX")
    counts = Counter((n.domain or "ai.onnx", n.op_type) for n in graph.node)
    report.operators = [{"domain": d, "operator": o, "count": c} for (d, o), c in counts.most_common()]
    written = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    report.target["opset"] = written
    if written > chosen.opset:
        report.warnings.append(f"opset {written}, not {chosen.opset}: the model has operators that older ones lack")


def _store_constants(graph: Any) -> None:
    """The weights as initializers, where tools look for them; paddle2onnx writes Constant nodes."""
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        if node.op_type == "Constant" and len(node.attribute) == 1 and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            graph.node.append(node)


def _name_outputs(graph: Any, outputs: Sequence[tuple[str, bool]]) -> None:
    """Call the outputs as the program does, instead of ``fetch_name_0``, ….

    A variable that is fetched twice, or that is an input too, gets a node of its own; so does a scalar, to which
    paddle2onnx 2.1 gives the shape [1] whatever it declares.

    Args:
        outputs: name, and whether it is a scalar.
    """
    from onnx import TensorProto
    from onnx.helper import make_node, make_tensor

    fixed = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    names: dict[str, str] = {}
    called: list[str] = []
    extra = []
    for number, (info, (name, scalar)) in enumerate(zip(graph.output, outputs)):
        if name in fixed or name in called:
            name = f"{name}.out{number}"
        if scalar:
            graph.initializer.append(make_tensor(f"{name}.mconv_shape", TensorProto.INT64, [0], []))
            extra.append(make_node("Reshape", [info.name, f"{name}.mconv_shape"], [name]))
        elif info.name in fixed or info.name in names:
            extra.append(make_node("Identity", [info.name], [name]))
        else:
            names[info.name] = name
        called.append(name)
    taken = {n for node in graph.node for n in node.output} - set(names)
    for clash in sorted({*called, *(n for node in extra for n in node.output)} & taken):
        names[clash] = next(f"{clash}.{i}" for i in range(len(taken) + 1) if f"{clash}.{i}" not in taken)
    _rename(graph, names)
    for node in extra:
        node.input[:] = [names.get(n, n) for n in node.input]
    graph.node.extend(extra)
    for info, name in zip(graph.output, called):
        info.name = name


def _rename(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _rename(inner, names)
    for infos in (graph.output, graph.value_info):
        for info in infos:
            info.name = names.get(info.name, info.name)


def _port(tensor: inspection.Tensor, info: Any) -> dict[str, Any]:
    from mconv.onnx.reader import type_name

    kind = info.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in kind.shape.dim]
    return {
        "name": info.name,
        "dtype": type_name(kind.elem_type),
        "paddle_name": tensor.name,
        "paddle_dtype": tensor.dtype,
        "shape": dims if kind.HasField("shape") else None,
    }


# proof --------------------------------------------------------------------------------------------------------------


def _proof(found: ModelFiles, seen: Inspection, made: Path, report: Report, chosen: ToOnnx) -> Proof:
    if chosen.verify is False:
        return Proof(NOT_DONE)
    from mconv.proof.runners import OnnxRunner

    program = None if found.era is Era.PIR else files.load_program(found)
    target = _READS if program is None else written_for(program)
    try:
        runtime = runtime_for(target, chosen.runtime)
        try:
            result = OnnxRunner(made, timeout=chosen.timeout)
        except RuntimeFailedError as e:
            error = RuntimeFailedError(f"paddle2onnx wrote a bad model: {e.message.replace(str(made), made.name)}")
            return Proof(
                FAILED, error.message, runtime="ONNX Runtime", tolerance=Tolerance.of(chosen.tolerance), error=error
            )
    except (RuntimeUnavailableError, MissingDependencyError) as e:
        if chosen.verify or chosen.runtime is not None or chosen.feeds is not None:
            raise
        return Proof.not_done(e)
    specs = specs_of(program) if program is not None else _specs(seen)
    read = {p["paddle_name"] for p in report.inputs}
    specs = [s for s in specs if s.name in read]
    reference = PaddleRunner(found, runtime, timeout=chosen.timeout)
    limits = Tolerance.of(chosen.tolerance).at(
        precision.of_pir(pir_reader.read(found.program).block) if program is None else precision.of_program(program)
    )
    chosen.progress(f"verifying: {runtime.label} against {result.label}")
    with reference, result:
        proof = prove_onnx(reference, result, specs, shapes=chosen.inputs, inputs=chosen.feeds_file, tolerance=limits)
    proof.runtime = result.label
    report.versions["reference"] = reference.label
    return proof


def _specs(seen: Inspection) -> list[InputSpec]:
    return [InputSpec(t.name, DType.of(str(t.dtype)), tuple(t.shape or ())) for t in seen.inputs]


def _failure(proof: Proof, place: Path, kept: Path, report: Report, path: PathLike) -> MconvError:
    keep(place, kept, report)
    advice = f"`mconv verify {path} {report.output['file']} --layers` finds where it begins"
    return failure(proof, kept, report, advice)


__all__ = ["to_onnx"]
