"""What a path is: files, inputs, outputs, parameters, operators, and which Paddle loads it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from mconv.artifacts.described import description
from mconv.errors import CorruptModelError, MconvError, UnsupportedError
from mconv.paddle import loadable
from mconv.paddle.legalize import legalize
from mconv.page.shown import Shown
from mconv.passes import half_loading, quantize_forms
from mconv.program import files, sniff, targets
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.program.stored import Era, ModelFiles
from mconv.program.targets import version_text
from mconv.serving import configure, paddlex
from mconv.warned import Warned

if TYPE_CHECKING:
    from mconv.paddle.pir_reader import PirProgram


@dataclass
class FileInfo:
    """One file of the model and its size in bytes."""

    path: Path
    bytes: int


@dataclass
class Tensor:
    """An input, an output or a variable.

    Attributes:
        name: its name in the model.
        dtype: ``float32``, …; None where the file does not say or mconv does not know the type.
        shape: integers, -1 or a name for a dimension known only at run time; None where the rank is unknown.
        alias: what clients of a serving folder call it.
        stored: whether its value is among the parameters.
    """

    name: str
    dtype: Optional[str]
    shape: Optional[list]
    alias: Optional[str] = None
    stored: bool = False


@dataclass
class TargetReport:
    """Whether one Paddle line loads the model as it is.

    Attributes:
        target: ``2.3``, …
        loads: as it is.
        reasons: why not.
        convertible: whether mconv can bring it there; None where that was not asked (it loads as it is).
        obstacle: why it cannot be brought there.
    """

    target: str
    loads: bool
    reasons: list[str] = field(default_factory=list)
    convertible: Optional[bool] = None
    obstacle: Optional[str] = None


@dataclass
class PassMatches:
    """One of Paddle's passes, and how many subgraphs it matched."""

    name: str
    matched: int


@dataclass
class Fusions:
    """What a runtime made of the program while it loaded it, as its own log says.

    Attributes:
        runtime: ``paddle-2.3.2``, …
        paddle: its version.
        onednn: whether it was allowed to use oneDNN.
        appended: passes beyond the runtime's own, as the services of mconv append them.
        passes: those that ran, in their order; a pass that ran twice has the sum.
    """

    runtime: str
    paddle: str
    onednn: bool
    appended: list[str] = field(default_factory=list)
    passes: list[PassMatches] = field(default_factory=list)


@dataclass(repr=False)
class Inspection(Shown):
    """The answer.

    Attributes:
        path: what was asked about.
        kind: ``paddle``, ``pir`` or ``onnx``.
        era: how the files are named, in words.
        saved_by: the program's version, or the producer of an ONNX file.
        version: the raw number in the file (``ir_version`` for ONNX).
        serving: whether it lies in a folder of Paddle Serving.
        parameters: how many tensors are stored.
        parameter_bytes: their data by element type.
        operators: type → count, the most frequent first.
        opsets: ONNX domain → version.
        blocks: 1, and one more for each branch and loop body.
        variables: every variable; only when asked for.
        text: the whole program in readable form; only when asked for.
        fusions: which of a runtime's passes matched; only when asked for.
        notes: what else there is to know.
    """

    path: Path
    kind: str
    era: str
    saved_by: str
    version: int
    files: list[FileInfo] = field(default_factory=list)
    serving: bool = False
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    parameters: int = 0
    parameter_bytes: dict[str, int] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    blocks: int = 1
    targets: list[TargetReport] = field(default_factory=list)
    variables: Optional[list[Tensor]] = None
    text: Optional[str] = None
    fusions: Optional[Fusions] = None
    notes: list[str] = field(default_factory=list)


def inspect(path: PathLike, *, variables: bool = False, text: bool = False, judged: bool = True) -> Inspection:
    """Look at a model without running it; no tensor data is read.

    Args:
        path: a folder, file or prefix of a Paddle model of any era, a serving folder, or an ``.onnx`` file.
        variables: list every variable too.
        text: give the whole program as text too.
        judged: say what each Paddle makes of it (``targets``), for which it is translated for each.

    Raises:
        NotAModelError, CorruptModelError, UnsupportedError
    """
    path = Path(path)
    if path.is_file() and sniff.what(path) is sniff.Kind.ONNX:
        return _onnx(path, variables, text)
    found = files.locate(server_of(path))
    look = _pir if found.era is Era.PIR else _paddle
    return look(path, found, variables, text, judged)


def server_of(path: Path) -> Path:
    """For ``serving_client/``, which holds no model, the ``serving_server/`` beside it."""
    server = path.absolute().parent / "serving_server"
    is_client = (path / configure.CLIENT_TEXT).is_file() and not (path / configure.SERVER_TEXT).is_file()
    return server if is_client and (server / configure.SERVER_TEXT).is_file() else path


def _sizes(found: ModelFiles, names: list[str]) -> list[FileInfo]:
    paths = [found.program]
    if found.params is not None:
        paths.append(found.params)
    elif found.separate:
        paths += [found.folder / name for name in names]
    return [FileInfo(p, os.stat(p).st_size) for p in paths]


def _paddle(path: Path, found: ModelFiles, variables: bool, text: bool, judged: bool) -> Inspection:
    program = files.load_program(found)
    records = files.records(found, program)
    report = Inspection(path, "paddle", found.era.value, version_text(program.version), program.version)
    report.files = _sizes(found, [r.name for r in records])
    report.inputs = [Tensor(p.name, p.dtype.label if p.dtype else None, list(p.shape)) for p in program.feeds]
    report.outputs = [Tensor(p.name, p.dtype.label if p.dtype else None, list(p.shape)) for p in program.fetches]
    report.parameters = len(records)
    by_type: Counter[str] = Counter()
    for record in records:
        by_type[record.dtype.label] += record.nbytes
    report.parameter_bytes = dict(by_type.most_common())
    report.operators = dict(Counter(op.type for _, op in program.ops()).most_common())
    report.blocks = len(program.blocks)
    if not report.outputs:
        report.notes.append(Warned("no-outputs", "no fetch operator: not an inference program (saved for training?)"))
    report.notes += filter(None, [half_loading.for_gpus(program), quantize_forms.describe(program)])
    _described(report, found)
    _aliases(report, found.folder)
    report.targets = [_target(program, t, report.files[0].bytes) for t in targets.TARGETS.values()] if judged else []
    if variables:
        report.variables = [
            Tensor(
                v.name,
                v.dtype.label if v.dtype else None,
                None if v.shape is None else list(v.shape),
                None,
                v.is_parameter,
            )
            for b in program.blocks
            for v in b.vars.values()
        ]
    if text:
        report.text = repr(program)
    return report


def _described(report: Inspection, found: ModelFiles) -> None:
    """What PaddleX's description says of the model."""
    for path in description(found):
        try:
            said = paddlex.read(path)
        except CorruptModelError as e:
            report.notes.append(Warned("damaged", e.message))
        else:
            report.notes += [] if said is None else [said.summary]


def _aliases(report: Inspection, folder: Path) -> None:
    try:
        config = configure.find(folder)
    except CorruptModelError as e:
        report.serving = True
        report.notes.append(Warned("damaged", e.message))
        return
    if config is None:
        return
    report.serving = True
    for kind, tensors, entries in (
        ("input", report.inputs, config.feeds),
        ("output", report.outputs, config.fetches),
    ):
        called = {entry.name: entry for entry in entries}
        for tensor in tensors:
            if tensor.name in called:
                tensor.alias = called[tensor.name].alias
            else:
                text = f"the serving configuration does not name the {kind} {tensor.name!r}"
                report.notes.append(Warned("serving-names", text))
        for name in called.keys() - {t.name for t in tensors}:
            text = f"the serving configuration names the {kind} {name!r}, which the program does not have"
            report.notes.append(Warned("serving-names", text))


def _target(program: Program, target: targets.Target, size: int) -> TargetReport:
    reasons = loadable.reasons(program, target, size)
    if not reasons:
        return TargetReport(target.name, True)
    report = TargetReport(target.name, False, reasons, True)
    try:
        legalize(program.copy(), target)
    except UnsupportedError as e:
        report.convertible = False
        report.obstacle = ", ".join(f"{r['operator']}: {r['reason']}" for r in e.rows[:5]) or e.message
    return report


def _pir(path: Path, found: ModelFiles, variables: bool, text: bool, judged: bool) -> Inspection:
    from mconv.paddle import pir_reader as reader

    program = reader.read(found.program)
    report = Inspection(path, "pir", found.era.value, program.writer, program.version)
    report.files = _sizes(found, [])
    sizes: Counter[str] = Counter()
    for _, kind in program.parameters:
        if kind.dtype is not None and min(kind.shape, default=1) >= 0:
            elements = 1
            for dim in kind.shape:
                elements *= dim
            sizes[kind.dtype.label] += elements * kind.dtype.itemsize
    report.parameters, report.parameter_bytes = len(program.parameters), dict(sizes.most_common())
    counts: Counter[str] = Counter()
    blocks = [program.block]
    values: dict[int, Tensor] = {}
    names: dict[int, str] = {}
    for block in blocks:
        report.blocks = len(blocks)
        for op in block.ops:
            counts[op.name] += 1
            blocks += [inner for region in op.regions for inner in region]
            for number, value in op.outputs:
                name = str(op.attrs.get("parameter_name") or op.attrs.get("name") or f"%{number}")
                dtype = value.dtype.label if isinstance(value, reader.TensorType) and value.dtype else None
                shape = list(value.shape) if isinstance(value, reader.TensorType) else None
                values[number] = Tensor(name, dtype, shape, None, op.name == "builtin.parameter")
                names[number] = name
            if op.name == "pd_op.data" and op.outputs:
                report.inputs.append(values[op.outputs[0][0]])
            if op.name == "pd_op.fetch" and op.inputs and op.inputs[0] in values:
                source = values[op.inputs[0]]
                report.outputs.append(Tensor(str(op.attrs.get("name") or source.name), source.dtype, source.shape))
    report.blocks = len(blocks)
    report.operators = dict(counts.most_common())
    _aliases(report, found.folder)
    report.targets = [_pir_target(program, t) for t in targets.TARGETS.values()] if judged else []
    report.notes.append("Paddle Serving 0.9.0 rejects .json; `mconv to-serving` and `mconv downgrade` translate it")
    resized = sorted(name for name in counts if name.endswith("_interp"))
    if resized:
        unsound = (
            f"Paddle 3.3 cannot run {resized[0]} of a .json on a CPU with oneDNN (NotImplementedError in "
            "onednn_instruction.cc); `mconv downgrade --target 3` writes a .pdmodel, which it runs"
        )
        report.notes.append(Warned("cannot-run", unsound))
    _described(report, found)
    if variables:
        report.variables = list(values.values())
    if text:
        report.text = "\n".join(
            f"({', '.join(names[n] for n, _ in op.outputs)}) = {op.name}({', '.join(names.get(i, '-') for i in op.inputs)})"
            for block in blocks
            for op in block.ops
        )
    return report


def _pir_target(program: PirProgram, target: targets.Target) -> TargetReport:
    from mconv.paddle.load import obstacles

    if target == targets.PADDLE_3:
        return TargetReport(target.name, True)
    report = TargetReport(target.name, False, ["a PIR program (.json), which only Paddle 3 reads"], True)
    error = obstacles(program, target)
    if error is not None:
        report.convertible = False
        report.obstacle = ", ".join(f"{r['operator']}: {r['reason']}" for r in error.rows[:5]) or error.message
    return report


def _onnx(path: Path, variables: bool, text: bool) -> Inspection:
    from mconv.onnx import reader
    from mconv.onnx.types import stored_bytes

    model = reader.read(path)
    proto = model.proto
    producer = f"{proto.producer_name} {proto.producer_version}".strip() or "(unnamed)"
    report = Inspection(path, "onnx", "ONNX", producer, proto.ir_version)
    report.files = [FileInfo(path, os.stat(path).st_size)]
    report.opsets = {domain or "ai.onnx": version for domain, version in model.opsets.items()}
    graph = proto.graph
    stored = {tensor.name for tensor in graph.initializer}

    def tensor(info) -> Tensor:
        kind = info.type.tensor_type if info.type.HasField("tensor_type") else None
        if kind is None:
            return Tensor(info.name, None, None)
        shape = None
        if kind.HasField("shape"):
            shape = [d.dim_value if d.HasField("dim_value") else (d.dim_param or -1) for d in kind.shape.dim]
        return Tensor(info.name, _onnx_type(kind.elem_type), shape, None, info.name in stored)

    report.inputs = [tensor(i) for i in graph.input if i.name not in stored]
    report.outputs = [tensor(o) for o in graph.output]
    sizes: Counter[str] = Counter()
    for item in graph.initializer:
        sizes[_onnx_type(item.data_type)] += stored_bytes(item)
    report.parameters, report.parameter_bytes = len(graph.initializer), dict(sizes.most_common())
    counts: Counter[str] = Counter()
    graphs = [graph]
    for current in graphs:
        for node in current.node:
            counts[f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type] += 1
            for attribute in node.attribute:
                graphs += [attribute.g] if attribute.HasField("g") else []
                graphs += list(attribute.graphs)
    report.blocks = len(graphs)
    report.operators = dict(counts.most_common())
    report.notes += model.notes
    report.notes.append("no Paddle model: `mconv onnx2paddle` converts it")
    if variables:
        report.variables = [tensor(i) for i in (*graph.input, *graph.value_info, *graph.output)]
        report.variables += [
            Tensor(t.name, _onnx_type(t.data_type), list(t.dims), None, True) for t in graph.initializer
        ]
    if text:
        from mconv.onnx import cpp

        try:
            report.text = cpp.text(proto.SerializeToString())
        except cpp.Refused as e:
            raise MconvError(f"{path}: the onnx package cannot print it ({str(e)[:200]})") from None
    return report


def _onnx_type(number: int) -> str:
    from mconv.onnx.types import type_name

    return type_name(number)
