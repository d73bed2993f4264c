"""An ONNX model in another version of the operators, by ONNX's own converter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mconv.errors import UnsupportedError, UsageError
from mconv.onnx import cpp, older, sizes
from mconv.onnx.clean import graphs_of, set_nodes
from mconv.onnx.functions import first_line
from mconv.printable import printable
from mconv.program.external_data import EXTERNAL

OLDEST = 7  # what onnx.version_converter goes back to


def newest() -> int:
    """The newest version that the installed onnx knows."""
    from onnx import defs

    return int(defs.onnx_opset_version())


def convert(model: Any, version: int) -> Any:
    """The ModelProto in that version of ONNX's own operators; the weights stay where they are.

    Raises:
        UsageError: there is no such version. UnsupportedError: ONNX has no way there.
    """

    if not OLDEST <= version <= newest():
        raise UsageError(f"--opset {version}: ONNX's converter goes from {OLDEST} to {newest()}")
    had = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
    if had == version:
        return model
    others = sorted({o.domain for o in model.opset_import if o.domain not in ("", "ai.onnx")})
    used = sorted({node.domain for node in model.graph.node} & set(others))
    if used or len(model.functions):
        raise UnsupportedError(
            f"--opset {version}: ONNX's converter does not take operators of {', '.join(used) or 'local functions'}"
        )
    model = _in_parts(_filled(model, version), had or 1, version)
    try:
        return _converted(model, had or 1, version)
    except cpp.Refused as e:
        raise UnsupportedError(
            f"--opset {version}: ONNX's converter cannot bring opset {had} there: {first_line(e).rpartition(': ')[2]}",
            "convert the model again for that opset, or go to one that is nearer",
        ) from None


def _filled(model: Any, version: int) -> Any:
    """The model, a copy where it is changed: an input that a node leaves out and that opset *version* asks for is nothing
    in its type, as ONNX says of Resize's region and scales."""
    import onnx

    made = None
    for number, graph in enumerate(graphs_of(model)):
        for position, node in enumerate(graph.node):
            missing = _missing(node, version)
            if not missing or node.op_type != "Resize":
                continue
            if made is None:
                made = onnx.ModelProto()
                made.CopyFrom(model)
            copied = list(graphs_of(made))[number]
            for index in missing:
                name = f"{node.output[0]}.mconv_nothing_{index}"
                copied.initializer.append(onnx.numpy_helper.from_array(np.zeros([0], np.float32), name))
                copied.node[position].input[index] = name
    return model if made is None else made


def _in_parts(model: Any, had: int, version: int) -> Any:
    """The model with what ONNX's converter does not bring to an older opset in parts that it need not touch; a copy where
    there is anything of that.

    Raises:
        UnsupportedError: of a tensor not even the number of axes is known.
    """
    import onnx

    def on_one_axis(node: Any) -> bool:
        return version < 13 <= had and node.op_type in _OTHER_AXES and not node.domain

    def concerned(node: Any) -> bool:
        return older.concerns(node, version) or on_one_axis(node)

    if version >= had or not any(concerned(node) for graph in graphs_of(model) for node in graph.node):
        return model
    infos, _ = sizes.infer(model)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for graph in graphs_of(made):
        nodes: list[Any] = []
        for node in graph.node:
            found, constants = older.parts(node, infos, version)
            if on_one_axis(node):
                found = _on_last(node, infos, version)
            for one in found:
                one.domain = _SAME
            nodes += found or [node]
            graph.initializer.extend(constants)
        set_nodes(graph, nodes)
    return made


def _on_last(node: Any, infos: Mapping[str, Any], version: int) -> list[Any]:
    """A Softmax of one axis as one along the last: before opset 13 it goes over all axes from one on. ONNX's converter
    leaves it as it is, which is another then."""
    from onnx import helper

    axis = next((a.i for a in node.attribute if a.name == "axis"), -1)
    dims = older.dims_of(infos, node.input[0])
    rank = None if dims is None else len(dims)
    last = -1 if version >= 11 else rank and rank - 1  # no axes from the end before
    if last is None or (rank is None and axis != -1):
        raise UnsupportedError(
            f"--opset {version}: of {printable(node.input[0], 80)!r}, which {node.op_type} reads along axis {axis}, not "
            "even the number of axes is known",
            "--opset 13 is the oldest that can say it",
        )
    made = helper.make_node(node.op_type, node.input, node.output, name=node.name, axis=last)
    if rank is None or axis in (-1, rank - 1):
        return [made]
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    before, behind = (f"{node.output[0]}.mconv_{what}" for what in ("turned", "last"))
    made.input[0], made.output[0] = before, behind
    return [
        helper.make_node("Transpose", [node.input[0]], [before], perm=order),
        made,
        helper.make_node("Transpose", [behind], [node.output[0]], perm=order),
    ]


def _missing(node: Any, version: int) -> list[int]:
    """The inputs that a node leaves out between others, and that it has to have in opset *version*."""
    from onnx import defs

    if "" not in node.input:
        return []
    try:
        asked = defs.get_schema(node.op_type, version, "").inputs
    except defs.SchemaError:
        return []
    optional = defs.OpSchema.FormalParameterOption.Optional
    return [i for i, name in enumerate(node.input) if not name and i < len(asked) and asked[i].option != optional]


def _converted(model: Any, had: int, version: int) -> Any:
    """By ONNX's converter, which is shown what it has to change: it has no adapters for many operators that are the same.

    Raises:
        Refused: it has no adapter for an operator.
    """
    import onnx

    lean = onnx.ModelProto()
    lean.CopyFrom(model)
    outside = [t for t in lean.graph.initializer if t.data_location == EXTERNAL]
    large = {t.name for t in outside}
    own = {i.name for i in model.graph.input}
    # what it does not see it cannot lose: large weights are inputs to it
    for tensor in outside:
        if tensor.name not in own:
            lean.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    kept = [t for t in lean.graph.initializer if t.name not in large]
    kept = [type(t).FromString(t.SerializeToString()) for t in kept]
    del lean.graph.initializer[:]
    lean.graph.initializer.extend(map(_typed, kept))
    lean.ir_version = max(lean.ir_version, 4)  # initializers need not be inputs
    for graph in graphs_of(lean):
        for node in graph.node:
            if node.domain in ("", "ai.onnx") and _same_meaning(node, had, version):
                node.domain = _SAME
    lean.opset_import.add(domain=_SAME, version=1)
    made = onnx.ModelProto.FromString(cpp.convert_version(lean.SerializeToString(), version))
    for graph in graphs_of(made):
        for node in graph.node:
            if node.domain == _SAME:
                node.domain = ""
    kept_sets = [(o.domain, o.version) for o in made.opset_import if o.domain != _SAME]
    del made.opset_import[:]
    for domain, number in kept_sets:
        made.opset_import.add(domain=domain, version=number)
    _restore(model, made, large, own)
    made.ir_version = max(onnx.helper.find_min_ir_version_for(list(made.opset_import)), 4)

    return made


def _typed(tensor: Any) -> Any:
    """Whole numbers as numbers: some of the converter's adapters read nothing else."""
    import onnx

    if tensor.data_type == onnx.TensorProto.INT64 and tensor.HasField("raw_data"):
        numbers = onnx.numpy_helper.to_array(tensor).reshape(-1).tolist()
        tensor.ClearField("raw_data")
        tensor.int64_data.extend(numbers)
    return tensor


_SAME = "mconv.same"  # a domain that the converter leaves alone
_OTHER_AXES = frozenset({"Softmax", "LogSoftmax", "Hardmax"})  # of 13 on along one axis, before on the rest as one


def _same_meaning(node: Any, old: int, new: int) -> bool:
    """Whether a node means in opset *new* what it means in *old*: the same operator but for types of elements and for
    attributes and inputs that the node does without. The types are the checker's and the proof's part."""
    from onnx import defs

    try:
        before, after = (defs.get_schema(node.op_type, v, "") for v in (old, new))
    except defs.SchemaError:
        return False
    if before.since_version == after.since_version:
        return True
    if node.op_type in _OTHER_AXES:
        return False
    given = {a.name for a in node.attribute}
    if not given <= set(after.attributes) or before.deprecated or after.deprecated:
        return False
    for name in set(before.attributes) & set(after.attributes) - given:
        mine, theirs = (s.attributes[name].default_value.SerializeToString() for s in (before, after))
        if mine != theirs:
            return False
    if _missing(node, new):
        return False
    newly = set(after.attributes) - set(before.attributes)
    if any(after.attributes[name].required for name in newly):
        return False
    names = [[i.name for i in s.inputs] for s in (before, after)]
    used = len(node.input)
    variadic = len(before.inputs) == 1 == len(after.inputs)
    return variadic or (names[0][:used] == names[1][:used] and used >= after.min_input)


def _restore(model: Any, made: Any, large: set[str], own: set[str]) -> None:
    """Put the large weights back, and what the converter drops: who made it, descriptions of sizes."""
    inputs = [i for i in made.graph.input if i.name not in large or i.name in own]
    inputs = [type(i).FromString(i.SerializeToString()) for i in inputs]
    del made.graph.input[:]
    made.graph.input.extend(inputs)
    made.graph.initializer.extend(t for t in model.graph.initializer if t.name in large)
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(made, field, getattr(model, field))
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    for mine, theirs in ((made.graph.input, model.graph.input), (made.graph.output, model.graph.output)):
        infos = {i.name: i for i in theirs}
        for info in mine:
            if info.name in infos:
                info.CopyFrom(infos[info.name])
