"""The other engine of ``mconv to-onnx``: paddle2onnx, whose result gets the source's names and order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mconv.errors import RuntimeFailedError, UnsupportedError
from mconv.inspection import Inspection
from mconv.options.onnx import DEFAULT_OPSET, ToOnnx
from mconv.paddle.legalize import legalize
from mconv.paddle.modern import modernize
from mconv.program import files
from mconv.program.stored import Era, ModelFiles, write_model
from mconv.program.targets import PADDLE_3
from mconv.proof.report import Report
from mconv.runtimes import paddle2onnx

_LARGEST = (1 << 31) - (1 << 20)  # bytes of parameters that still fit into one protobuf message
_READS = PADDLE_3  # the Paddle whose programs paddle2onnx reads


def convert(found: ModelFiles, seen: Inspection, made: Path, report: Report, chosen: ToOnnx, scratch: Path) -> Any:
    """Write the ONNX file with paddle2onnx; gives the model, for its description.

    Raises:
        MissingDependencyError: paddle2onnx or Paddle is not installed.
        UnsupportedError: it has no mapper for an operator, or the parameters are too large for it.
        RuntimeFailedError: it failed or crashed.
    """
    tool = paddle2onnx.version()
    report.versions["paddle2onnx"] = tool
    stored = sum(seen.parameter_bytes.values())
    if stored > _LARGEST:
        raise UnsupportedError(
            f"{found.program}: {stored / 1e9:.1f} GB of parameters do not fit into one ONNX file (2 GB)",
            "mconv's own engine writes external data: leave out --engine",
        )
    step = time.perf_counter()
    program, params = _readable(found, scratch, report)
    report.seconds["prepare"] = time.perf_counter() - step
    chosen.progress(f"converting {found.program} with paddle2onnx {tool}")
    step = time.perf_counter()
    raw = scratch / "made.onnx"
    opset = DEFAULT_OPSET if chosen.opset is None else chosen.opset
    log = paddle2onnx.convert(program, params, raw, opset=opset, scratch=scratch, timeout=chosen.timeout)
    for line in log:
        chosen.progress(f"  paddle2onnx: {line}")
    report.seconds["paddle2onnx"] = time.perf_counter() - step
    step = time.perf_counter()
    model = _finish(raw, made, seen, report, opset)
    report.seconds["write"] = time.perf_counter() - step
    return model


def _readable(found: ModelFiles, scratch: Path, report: Report) -> tuple[Path, Optional[Path]]:
    """The model in a form that paddle2onnx reads: a ``.json`` as it is, any other as a ``.pdmodel`` of Paddle 3."""
    if found.era is Era.PIR:
        return found.program, found.params
    program, items = files.load_model(found)
    legal = legalize(program, _READS, items)
    items.update(legal.parameters)
    report.warnings += legal.notes
    modernize(program)
    folder = scratch / "model"
    folder.mkdir()
    return write_model(program, files.in_order(program, items), folder)


def _finish(raw: Path, made: Path, seen: Inspection, report: Report, opset: int) -> Any:
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
    written = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if written > opset:
        report.warnings.append(f"opset {written}, not {opset}: the model has operators that older ones lack")
    return model


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
