"""A node against its operator, before anything is made of it: its inputs, the types, lengths and ranges of its attributes.

What is checked here once no converter has to think of: an axis lies within the rank, a stride is not 0, a paddings list
has two numbers for each spatial dimension, a type is one of ONNX's. Ranks and sizes are checked where they are known.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from mconv.errors import CorruptModelError
from mconv.onnx.sequence import TensorSequence
from mconv.onnx.types import MAX_RANK, known_type
from mconv.program.dtypes import DType
from mconv.program.value import Value

if TYPE_CHECKING:
    import onnx

_INT32 = range(-(2**31), 2**31)
# integers that are data, not settings: they may be as large as they like
_DATA = {"Constant", "TfIdfVectorizer", "LabelEncoder", "CategoryMapper", "DictVectorizer", "OneHotEncoder", "Imputer"}
_ENDS = {"starts", "ends"}  # of Slice: the largest number is how "to the end" is written
_POSITIVE = {
    "blocksize", "dilations", "group", "hidden_size", "kernel_shape", "kv_num_heads", "num_groups", "num_heads",
    "num_outputs", "q_num_heads", "strides",
}  # fmt: skip
_NOT_NEGATIVE = {"batch_axis", "max_gram_length", "num_scan_inputs", "output_height", "output_width", "pooled_shape"}
_TYPES = {"to", "dtype", "output_dtype", "output_datatype", "stash_type"}
_WINDOWS = {
    "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "LpPool", "MaxPool", "MaxUnpool", "QLinearConv",
    "QLinearAveragePool",
}  # fmt: skip
_CHANNELS = {"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN"}
# numbers that a window's attribute has for each spatial dimension
_LENGTHS = {
    "kernel_shape": 1, "strides": 1, "dilations": 1, "pads": 2, "output_padding": 1, "output_shape": 1,
}  # fmt: skip
_REDUCTIONS = {
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
}  # fmt: skip
# operators whose ``axis`` or ``axes`` count the dimensions of their first input
_AXIS = {
    "ArgMax", "ArgMin", "Compress", "Concat", "Gather", "GatherElements", "LayerNormalization", "MeanVarianceNormalization",
    "RMSNormalization", "Scatter", "ScatterElements", "Split", "SplitToSequence", "Squeeze", "TopK", "Unique",
    "SimplifiedLayerNormalization", *_REDUCTIONS,
}  # fmt: skip
# those that also take the rank itself
_AXIS_OR_END = {"Flatten", "Hardmax", "LogSoftmax", "Softmax", "OneHot"}
# inputs that are lists: of axes, sizes, repeats
_VECTORS = {
    **dict.fromkeys(("Expand", "Reshape", "Split", "Squeeze", "Tile", "TopK", "Unsqueeze", *_REDUCTIONS), (1,)),
    "CenterCropPad": (1,), "ConstantOfShape": (0,), "Pad": (1, 3), "Resize": (1, 2, 3), "Slice": (1, 2, 3, 4),
    "Upsample": (1,),
}  # fmt: skip
_SCALARS = {"Squeeze", "Tile", "TopK", "Unsqueeze", *_REDUCTIONS}  # where one number does as well
_BROADCAST = {
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Sum", "Where", "Xor",
}  # fmt: skip
# operators that have nothing to do on a tensor without dimensions
_DIMENSIONS = {"Concat", "Gather", "GatherElements", "Scatter", "ScatterElements", "Split", "SplitToSequence", "TopK"}
# operators whose second input counts the dimensions of the first one
_ELEMENTS = {"GatherElements", "Scatter", "ScatterElements"}
# operators whose second input is a shape, or the axes that are added: with as many entries as the result has dimensions
_SHAPES = {"Expand", "Reshape", "Tile", "Unsqueeze"}


def check(node: onnx.NodeProto, schema: Any, inputs: Sequence[Optional[Value]]) -> None:
    """Refuse a node that its operator does not allow.

    Args:
        schema: ONNX's, or None where it has none.
        inputs: in order, None for one that is left out.

    Raises:
        CorruptModelError: says what; not where.
    """
    attributes = {a.name: a for a in node.attribute}
    if len(attributes) != len(node.attribute):
        raise CorruptModelError("it has two attributes of one name")
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            raise CorruptModelError(f"the attribute {attribute.name!r} refers to a function's, outside of one")
        check_attribute(attribute, schema)
        _numbers(node.op_type, attribute)
    if schema is not None:
        _inputs(schema, inputs)
    if node.domain not in ("", "ai.onnx", "com.microsoft"):
        return
    for rule in _RULES.get(node.op_type, ()):
        rule(node.op_type, attributes, inputs)


def check_attribute(attribute: onnx.AttributeProto, schema: Any) -> None:
    """Refuse an attribute of another type than its operator has it.

    Raises:
        CorruptModelError
    """
    import onnx

    if attribute.type == onnx.AttributeProto.UNDEFINED:
        raise CorruptModelError(f"the attribute {attribute.name!r} has no type")
    known = None if schema is None else schema.attributes.get(attribute.name)
    if known is not None and int(known.type.value) != attribute.type:
        kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
        raise CorruptModelError(f"the attribute {attribute.name!r} is {kind}, not {known.type.name}")


def _numbers(op: str, attribute: onnx.AttributeProto) -> None:
    name = attribute.name
    values = attribute.ints or ((attribute.i,) if attribute.type == 2 else ())
    if not values:
        return
    low, high = min(values), max(values)
    if (low not in _INT32 or high not in _INT32) and op not in _DATA and not (op == "Slice" and name in _ENDS):
        raise CorruptModelError(f"the attribute {name!r} has {high if high not in _INT32 else low}: beyond 32 bits")
    if name in _POSITIVE and low < 1:
        raise CorruptModelError(f"the attribute {name!r} has {low}, where numbers from 1 on are taken")
    if name in _NOT_NEGATIVE and low < 0:
        raise CorruptModelError(f"the attribute {name!r} has {low}, where numbers from 0 on are taken")
    if name in _TYPES and attribute.type == 2 and not known_type(low) and not (low == 0 and name == "output_dtype"):
        raise CorruptModelError(f"the attribute {name!r} is {low}, which is no type of ONNX")


# inputs -------------------------------------------------------------------------------------------------------------


def _inputs(schema: Any, inputs: Sequence[Optional[Value]]) -> None:
    formals, least, most = _formals(schema.name, schema.since_version, schema.domain)
    given = len(inputs)
    while given and inputs[given - 1] is None:
        given -= 1
    if not least <= len(inputs) or given > most:
        wanted = f"{least}" if least == most else f"{least} to {most}" if most < 1 << 20 else f"{least} or more"
        raise CorruptModelError(f"it has {given} inputs, where {wanted} are taken")
    for i, value in enumerate(inputs):
        name, optional, sequence, kinds = formals[min(i, len(formals) - 1)]
        if value is None:
            if not optional:
                raise CorruptModelError(f"its input {name} is missing")
        elif isinstance(value, TensorSequence) != sequence and sequence is not None:
            raise CorruptModelError(f"its input {name} is {'no' if sequence else 'a'} sequence")
        elif sequence is False and _kind(value) not in kinds:
            raise CorruptModelError(
                f"its input {name} is of type {value.dtype.label}, which its operator does not take"
            )


_KINDS = {"bool": "b", "float": "f", "double": "f", "bfloat": "f", "int": "i", "uint": "iu", "complex": "c"}


def _kind(value: Value) -> str:
    return "f" if value.dtype is DType.BF16 else value.dtype.numpy.kind


@functools.lru_cache(maxsize=1024)
def _formals(
    op: str, version: int, domain: str
) -> tuple[list[tuple[str, bool, Optional[bool], frozenset[str]]], int, int]:
    """Of each input: its name, whether it may be left out, whether it is a sequence (None: may be), kinds of numbers."""
    import onnx

    schema = onnx.defs.get_schema(op, version, domain)
    found = []
    for formal in schema.inputs:
        types = set(formal.types)
        sequences = {t for t in types if t.startswith(("seq(", "optional(seq("))}
        sequence = True if sequences == types else None if sequences else False
        kinds: set[str] = set()
        for kind in types:
            inner = kind.rpartition("(")[2].rstrip(")").rstrip("0123456789")
            kinds.update(_KINDS.get("float" if inner.startswith("float") else inner, ""))
        found.append((formal.name, formal.option.name == "Optional", sequence, frozenset(kinds)))
    if not found:
        found = [("", True, None, frozenset("biufc"))]
    return found, schema.min_input, schema.max_input


# attributes against the ranks of inputs ---------------------------------------------------------------------------------

Attributes = Mapping[str, Any]
Inputs = Sequence[Optional[Value]]


def _rank(inputs: Inputs, index: int = 0) -> Optional[int]:
    value = inputs[index] if index < len(inputs) else None
    return None if value is None or value.shape is None else len(value.shape)


def _within(name: str, values: Sequence[int], low: int, high: int, rank: int) -> None:
    for value in values:
        if not low <= value <= high:
            raise CorruptModelError(f"the attribute {name!r} is {value}, of a tensor with {rank} dimensions")


def _ints(attributes: Attributes, name: str) -> Optional[list[int]]:
    found = attributes.get(name)
    if found is None:
        return None
    return [found.i] if found.type == 2 else list(found.ints)


def _axis(op: str, attributes: Attributes, inputs: Inputs) -> None:
    rank = _rank(inputs)
    if rank == 0 and op in _DIMENSIONS:
        raise CorruptModelError("its input has no dimensions")
    if op in _ELEMENTS:
        for index in (1, 2):
            other = _rank(inputs, index)
            if rank is not None and other is not None and other != rank:
                raise CorruptModelError(f"its input {index + 1} has {other} dimensions, its first {rank}")
    for name in ("axis", "axes"):
        values = _ints(attributes, name)
        if values is None or rank is None:
            continue
        more = 1 if op in _AXIS_OR_END else 0
        low = max(rank, 1) + (op == "OneHot")
        _within(name, values, -low, max(rank, 1) - 1 + more, rank)
        if name == "axes" and len({v % max(rank, 1) for v in values}) != len(values):
            raise CorruptModelError(f"the attribute 'axes' names a dimension twice: {values[:8]}")


def _broadcast(op: str, attributes: Attributes, inputs: Inputs) -> None:
    if "broadcast" in attributes or "axis" in attributes:  # of opset 6 and before
        return
    _fitting([v.shape for v in inputs if v is not None and v.shape is not None])


def _fitting(shapes: Sequence[Sequence[Any]]) -> None:
    """Shapes that are broadcast against each other."""
    for dims in itertools.zip_longest(*(reversed(s) for s in shapes), fillvalue=1):
        if len({d for d in dims if isinstance(d, int) and d != 1}) > 1:
            raise CorruptModelError(f"its inputs {' and '.join(str(list(s)) for s in shapes)} do not fit each other")


def _scale(op: str, attributes: Attributes, inputs: Inputs) -> None:
    """Scale and bias of a layer normalisation lie over the dimensions that are normalised."""
    if not inputs or inputs[0] is None or inputs[0].shape is None:
        return
    shape = inputs[0].shape
    axis = (_ints(attributes, "axis") or [-1])[0]
    inner = shape[axis % len(shape) if shape else 0 :]
    for value in inputs[1:3]:
        own = list(value.shape) if value is not None and value.shape is not None else []
        while len(own) > len(inner) and own[0] == 1:
            del own[0]
        if len(own) > len(inner):
            raise CorruptModelError(f"a scale of {len(own)} dimensions for {len(inner)} that are normalised")
        _fitting([inner, own])


def _perm(op: str, attributes: Attributes, inputs: Inputs) -> None:
    perm, rank = _ints(attributes, "perm"), _rank(inputs)
    if perm and sorted(perm) != list(range(len(perm) if rank is None else rank)):
        raise CorruptModelError(f"the attribute 'perm' {perm[:8]} is no order of {rank or len(perm)} dimensions")


def _channels(op: str, attributes: Attributes, inputs: Inputs) -> None:
    rank = _rank(inputs)
    if rank is not None and rank < 2:
        raise CorruptModelError(f"its input has {rank} dimensions, where a batch and channels are needed")


def _window(op: str, attributes: Attributes, inputs: Inputs) -> None:
    rank = _rank(inputs)
    kernel = _ints(attributes, "kernel_shape")
    if rank is not None and rank < 3 and not (op == "MaxUnpool" and rank == 2):
        raise CorruptModelError(f"its input has {rank} dimensions, where a batch, channels and more are needed")
    spatial = rank - 2 if rank is not None else len(kernel) if kernel else None
    if spatial is None:
        return
    for name, times in _LENGTHS.items():
        values = _ints(attributes, name)
        # the shape of an output may be given with the batch and the channels
        if not values or (name == "output_shape" and len(values) == spatial + 2):
            continue
        if len(values) != spatial * times:
            raise CorruptModelError(
                f"the attribute {name!r} has {len(values)} numbers, where {spatial * times} are needed"
            )


def _unsqueeze(op: str, attributes: Attributes, inputs: Inputs) -> None:
    axes, rank = _ints(attributes, "axes"), _rank(inputs)
    if axes is not None:
        _many(len(axes) + (rank or 0))
        if rank is not None:
            _within("axes", axes, -rank - len(axes), rank + len(axes) - 1, rank)
    _shape(op, attributes, inputs)


def _many(rank: int) -> None:
    if rank > MAX_RANK:
        raise CorruptModelError(f"its result has {rank} dimensions, where no runtime has more than {MAX_RANK}")


def _shape(op: str, attributes: Attributes, inputs: Inputs) -> None:
    value = inputs[1] if len(inputs) > 1 else None
    _entries(value)
    shape = _ints(attributes, "shape")
    if shape is not None:
        _many(len(shape))


def _only_shape(op: str, attributes: Attributes, inputs: Inputs) -> None:
    _entries(inputs[0] if inputs else None)


def _entries(value: Optional[Value]) -> None:
    if value is not None and value.shape is not None and len(value.shape) == 1 and isinstance(value.shape[0], int):
        _many(value.shape[0])


def _vectors(op: str, attributes: Attributes, inputs: Inputs) -> None:
    for index in _VECTORS[op]:
        rank = _rank(inputs, index)
        if rank is not None and rank != 1 and (rank or op not in _SCALARS):
            raise CorruptModelError(f"its input {index + 1} has {rank} dimensions, where a list is taken")
    if op in _REDUCTIONS or op == "Squeeze":
        _chosen(inputs, 1)


def _count(inputs: Inputs, index: int) -> Optional[int]:
    """The number of entries of a list, where it is known."""
    value = inputs[index] if index < len(inputs) else None
    return None if value is None else value.size


def _chosen(inputs: Inputs, index: int) -> None:
    """Axes that come as an input, where they are known."""
    value, rank = inputs[index] if index < len(inputs) else None, _rank(inputs)
    if value is None or rank is None or value.const is None or value.const.dtype.kind != "i":
        return
    axes = [int(v) for v in np.ravel(value.const)[: MAX_RANK + 1]]
    _within("axes", axes, -max(rank, 1), max(rank, 1) - 1, rank)
    if len({v % max(rank, 1) for v in axes}) != len(axes):
        raise CorruptModelError(f"its axes name a dimension twice: {axes[:8]}")


def _slice(op: str, attributes: Attributes, inputs: Inputs) -> None:
    if "starts" in attributes:
        counts = [len(_ints(attributes, name) or ()) for name in ("starts", "ends", "axes") if name in attributes]
    else:
        counts = [n for n in (_count(inputs, i) for i in (1, 2, 3, 4)) if n is not None]
        _chosen(inputs, 3)
    rank = _rank(inputs)
    if len(set(counts)) > 1:
        raise CorruptModelError(f"its starts, ends, axes and steps have different numbers of entries: {counts}")
    if counts and rank is not None and counts[0] > rank:
        raise CorruptModelError(f"it slices {counts[0]} dimensions of a tensor with {rank}")


def _pad(op: str, attributes: Attributes, inputs: Inputs) -> None:
    pads = _ints(attributes, "pads") or _ints(attributes, "paddings")
    count = len(pads) if pads else _count(inputs, 1)
    axes, rank = _count(inputs, 3), _rank(inputs)
    padded = axes if axes is not None else rank if len(inputs) < 4 or inputs[3] is None else None
    _chosen(inputs, 3)
    if count is not None and padded is not None and count != 2 * padded:
        raise CorruptModelError(f"it has {count} paddings, where {2 * padded} are needed for {padded} dimensions")


def _at_least(index: int, least: int, what: str) -> Callable[[str, Attributes, Inputs], None]:
    """The rule that an integer input has no number below *least*, where it is known."""

    def rule(op: str, attributes: Attributes, inputs: Inputs) -> None:
        value = inputs[index] if index < len(inputs) else None
        if value is None or value.const is None or not value.size or value.const.dtype.kind != "i":
            return
        low = int(np.min(value.const))
        if low < least:
            raise CorruptModelError(f"its {what} is {low}, where numbers from {least} on are taken")

    return rule


def _per_channel(op: str, attributes: Attributes, inputs: Inputs) -> None:
    """Scales and biases have one number for each channel."""
    shape = inputs[0].shape if inputs and inputs[0] is not None else None
    channels = shape[1] if shape is not None and len(shape) > 1 else None
    for index in range(1, len(inputs)):
        count = _count(inputs, index)
        if isinstance(channels, int) and isinstance(count, int) and channels > 0 and count != channels:
            raise CorruptModelError(f"its input {index + 1} has {count} numbers for {channels} channels")


def _gather(op: str, attributes: Attributes, inputs: Inputs) -> None:
    """Constant indices lie within a known size."""
    _axis(op, attributes, inputs)
    if len(inputs) < 2 or inputs[0] is None or inputs[1] is None:
        return
    data, index = inputs[:2]
    if not data.shape or index.const is None or not index.size or index.size > 1 << 16:  # type: ignore[union-attr]
        return
    axis = (_ints(attributes, "axis") or [0])[0]
    size = data.shape[axis]  # type: ignore[union-attr]
    values = np.asarray(index.const)  # type: ignore[union-attr]
    if isinstance(size, int) and values.dtype.kind == "i" and not (-size <= values.min() and values.max() < size):
        wrong = values.max() if values.max() >= size else values.min()
        raise CorruptModelError(f"its index is {wrong}, of a dimension with {size} elements")


# graphs inside --------------------------------------------------------------------------------------------------------


def _if(op: str, attributes: Attributes, inputs: Inputs) -> None:
    for name in ("then_branch", "else_branch"):
        if name in attributes and attributes[name].g.input:
            raise CorruptModelError(f"the graph {name!r} has inputs")
    if len({len(a.g.output) for n, a in attributes.items() if n.endswith("_branch")}) > 1:
        raise CorruptModelError("its two branches have different numbers of outputs")


def _loop(op: str, attributes: Attributes, inputs: Inputs) -> None:
    if "body" in attributes:
        carried = max(0, len(inputs) - 2)
        _missing(inputs[2:])
        _body(attributes["body"].g, 2 + carried, 1 + carried)


def _scan(op: str, attributes: Attributes, inputs: Inputs) -> None:
    if "body" not in attributes or "num_scan_inputs" not in attributes:
        return
    scanned = attributes["num_scan_inputs"].i
    taken = len(inputs) - ("directions" in attributes or _from_opset_8(attributes, inputs))
    if scanned < 1 or scanned > taken:
        raise CorruptModelError(f"the attribute 'num_scan_inputs' is {scanned}, of {taken} inputs")
    body = attributes["body"].g
    carried = taken - scanned
    _body(body, taken, carried)
    collected = len(body.output) - carried
    for name, wanted in (("scan_input", scanned), ("scan_output", collected)):
        for end in ("axes", "directions"):
            values = _ints(attributes, f"{name}_{end}")
            if values and len(values) != wanted:
                raise CorruptModelError(
                    f"the attribute '{name}_{end}' has {len(values)} numbers, where {wanted} are needed"
                )
    axes = _ints(attributes, "scan_input_axes") or [0] * scanned
    for i, axis in enumerate(axes):
        rank = _rank(inputs, carried + i) if taken == len(inputs) else None
        if rank is not None and not -rank <= axis < rank:
            raise CorruptModelError(f"it scans dimension {axis} of a tensor with {rank}")


def _from_opset_8(attributes: Attributes, inputs: Inputs) -> bool:
    """Whether the first input is that of opset 8, the lengths: the body has one input less."""
    return len(attributes["body"].g.input) == len(inputs) - 1


def _missing(values: Inputs) -> None:
    if any(v is None for v in values):
        raise CorruptModelError("a value that its body carries is missing")


def _body(graph: Any, inputs: int, outputs: int) -> None:
    if len(graph.input) != inputs:
        raise CorruptModelError(f"its body has {len(graph.input)} inputs, where {inputs} are given")
    if len(graph.output) < outputs:
        raise CorruptModelError(f"its body has {len(graph.output)} outputs, where {outputs} or more are needed")


def _rules() -> Iterator[tuple[str, Callable[[str, Attributes, Inputs], None]]]:
    yield from ((op, _vectors) for op in _VECTORS)
    yield from ((op, _broadcast) for op in _BROADCAST)
    yield from ((op, _axis) for op in _AXIS | _AXIS_OR_END)
    yield from ((op, _window) for op in _WINDOWS)
    yield from ((op, _shape) for op in _SHAPES)
    yield from ((op, _channels) for op in _CHANNELS)
    yield from (
        ("LayerNormalization", _scale), ("ConstantOfShape", _only_shape), ("Gather", _gather), ("If", _if), ("Loop", _loop), ("Pad", _pad),
        ("Scan", _scan), ("Slice", _slice), ("Transpose", _perm), ("Unsqueeze", _unsqueeze), ("InstanceNormalization", _per_channel),
        ("Split", _at_least(1, 0, "length of a part")), ("SplitToSequence", _at_least(1, 0, "length of a part")),
        ("STFT", _at_least(1, 1, "step from frame to frame")), ("STFT", _at_least(3, 1, "length of a frame")),
    )  # fmt: skip


_RULES: dict[str, list[Callable[[str, Attributes, Inputs], None]]] = {}
for _op, _rule in _rules():
    _RULES.setdefault(_op, []).append(_rule)
