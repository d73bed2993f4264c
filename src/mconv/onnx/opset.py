"""An ONNX model in another version of the operators, by ONNX's own converter."""

from __future__ import annotations

from typing import Any

from mconv.errors import UnsupportedError, UsageError
from mconv.onnx import cpp
from mconv.onnx.clean import graphs_of
from mconv.onnx.functions import first_line
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
    try:
        return _converted(model, had or 1, version)
    except cpp.Refused as e:
        raise UnsupportedError(
            f"--opset {version}: ONNX's converter cannot bring opset {had} there: {first_line(e).rpartition(': ')[2]}",
            "convert the model again for that opset, or go to one that is nearer",
        ) from None


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
