"""``mconv edit`` of an ONNX model: what becomes of the graph, and its files."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mconv.errors import CorruptModelError, UnsupportedError, UsageError
from mconv.factory import loading
from mconv.onnx import constant_part, cpp, opset, sizes, writing
from mconv.onnx.constants import fix_inputs
from mconv.onnx.cut import before_suppression, cut, fed, rename
from mconv.onnx.external import external_files
from mconv.onnx.functions import first_line
from mconv.onnx.reader import INLINE, OnnxModel
from mconv.onnx.reader import read as read_file
from mconv.onnx.types import type_name
from mconv.options.edit import ONNX_WEIGHTS, Edit
from mconv.program import external_data, open_sizes
from mconv.program.port_rows import PortRow, row
from mconv.verbs import edit_ends

data_name = writing.data_name


@dataclass
class Edited:
    """What became of a model.

    Attributes:
        model: the result; its large weights are where the source has them.
        inputs, outputs: the names that its inputs and outputs have in the source, in order.
        sizes: ``INPUT.AXIS`` → number.
        fixed: inputs that have one value now.
        renamed: the source's name → the new one.
        folded: nodes that are gone because what they compute is known.
        notes: what a user should know.
    """

    model: OnnxModel
    inputs: list[str]
    outputs: list[str]
    sizes: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    folded: int = 0
    notes: list[str] = field(default_factory=list)


def read(path: Path) -> OnnxModel:
    """The model, its external data checked.

    Raises:
        NotAModelError, CorruptModelError, UntrustedError: it is no sound ONNX model.
    """
    model = read_file(path)
    external_data.check(path, model.proto, INLINE)
    return model


def copied(model: OnnxModel) -> OnnxModel:
    """The model with a graph of its own, to be changed."""
    made = copy.copy(model)
    made.proto = type(model.proto)()
    made.proto.CopyFrom(model.proto)
    return made


def edit(source: OnnxModel, chosen: Edit, scratch: Path) -> Edited:
    """The model as it was asked for.

    Raises:
        UsageError: a name that is not there, or what it is named for cannot be.
        UnsupportedError: the model cannot be cut there, or brought to that opset.
        MissingDependencyError: ``fold`` without onnxruntime.
    """
    if chosen.target is not None:
        raise UsageError("--target: an ONNX model is of no Paddle", "mconv onnx2paddle --target makes one that is")
    model = copied(source)
    model.notes = []
    graph = model.proto.graph
    dimensions = open_sizes.resolve(sizes.sized(graph), open_sizes.given(chosen.dims))
    dimensions = sizes.fix(graph, dimensions)
    fixed = fix_inputs(model, loading.arguments_of(chosen.constants, "--const", any_name=True))
    if fixed:
        sizes.forget(graph)
    infos, why = sizes.infer(model.proto)
    made = Edited(model, [], [], {}, fixed)
    made.sizes = {f"{name}.{axis}": size for (name, axis), size in dimensions.items() if name not in fixed}
    _cut(model.proto, infos, chosen)
    if why is not None:
        made.notes.append(why)
    made.inputs, made.outputs = fed(graph), [o.name for o in graph.output]
    if dimensions:
        sizes.note(graph, infos)
    if chosen.fold:
        made.folded = _fold(model, infos, chosen, scratch)
    if chosen.opset is not None:
        model.proto = opset.convert(model.proto, chosen.opset)
    made.renamed = chosen.new_names
    rename(model.proto.graph, made.renamed)
    return made


def _cut(proto: Any, infos: dict[str, Any], chosen: Edit) -> None:
    graph = proto.graph
    outputs = edit_ends.outputs(chosen, [o.name for o in graph.output], lambda: before_suppression(graph))
    if outputs is None and chosen.inputs is None and not chosen.drop_inputs:
        return
    before = fed(graph)
    cut(proto, infos, inputs=chosen.inputs, outputs=outputs)
    edit_ends.check_dropped(chosen, before, fed(graph))


def _fold(model: OnnxModel, infos: dict[str, Any], chosen: Edit, scratch: Path) -> int:
    from mconv.proof.runners import OnnxRunner

    graph = model.proto.graph
    before = len(graph.node)
    for number in range(_ROUNDS):  # what is known of shapes grows with every number
        count = len(graph.node)
        constant_part.settle_sizes(graph, infos)
        nodes, outputs = constant_part.constants(graph)
        values: dict[str, np.ndarray] = {}
        if outputs:
            path = scratch / f"constants{number}.onnx"
            part = copy.copy(model)
            part.proto = constant_part.part(model.proto, nodes, outputs)
            writing.write(part, path, external=False)
            with OnnxRunner(path, timeout=chosen.timeout, called="what is constant in the model") as runner:
                values = dict(zip(outputs, runner.run([{}]).outputs[0]))
        constant_part.settle(model.proto, values)
        del graph.value_info[:]
        infos.clear()
        infos.update(sizes.infer(model.proto)[0])
        if len(graph.node) == count:
            break
    sizes.note(graph, infos)
    return before - len(graph.node)


_ROUNDS = 20


def style_of(made: Edited, chosen: Edit) -> str:
    """How the weights are to be stored: as asked for, or as the source has them.

    Raises:
        UsageError: an ONNX model cannot have them so.
    """
    style = chosen.weights
    if style is None:
        outside = external_files(made.model)
        style = "external" if outside or writing.total(made.model) > writing.LARGEST else "inside"
    if style not in ONNX_WEIGHTS:
        raise UsageError(f"--weights {style}: of an ONNX model they are {' or '.join(ONNX_WEIGHTS)}")
    return style


def arrange(made: Edited, style: str) -> None:
    """Bring the weights to where *style* can store them, in place."""
    if style == "external":
        writing.large_constants_as_weights(made.model)


def is_split(made: Edited, style: str) -> bool:
    """Whether there will be a file of weights beside the model."""
    return style == "external" and writing.has_large(made.model)


def write(made: Edited, path: Path, style: str) -> list[Path]:
    """Write the model and check it; returns its files, the model first.

    Raises:
        UnsupportedError: it does not fit into one file, or ONNX refuses what came out.
    """
    files = writing.write(made.model, path, external=style == "external")
    if not all(o.type.tensor_type.HasField("shape") for o in made.model.proto.graph.output):
        return files  # of which ONNX knows no shape: its checker asks for one, its runtimes do not
    try:
        cpp.check_model(os.fspath(path))
    except cpp.Refused as e:
        raise UnsupportedError(f"ONNX refuses the edited model: {first_line(e)}", "does it take the source?") from None
    return files


def opset_of(model: OnnxModel) -> int:
    """The version of ONNX's own operators.

    Raises:
        CorruptModelError: the model does not say.
    """
    try:
        return model.opsets[""]
    except KeyError:
        raise CorruptModelError("the model does not say of which opset it is") from None


def ports(made: Edited) -> tuple[list[PortRow], list[PortRow]]:
    """``inputs`` and ``outputs`` of the report."""
    graph = made.model.proto.graph
    kept = set(fed(graph))
    infos = [i for i in graph.input if i.name in kept]
    inputs = [_port(i, n) for i, n in zip(infos, made.inputs)]
    return inputs, [_port(i, n) for i, n in zip(graph.output, made.outputs)]


def _port(info: Any, name: str) -> PortRow:
    kind = info.type.tensor_type
    label = type_name(kind.elem_type) if kind.elem_type else None
    dims: Sequence[Any] = [d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in kind.shape.dim]
    shape = list(dims) if kind.HasField("shape") else None
    return row(name, label, shape=shape, paddle_name=info.name)
