"""The settings of a node against the ranks and sizes of its inputs, so far as these are known: an axis lies within the rank, a
list of paddings has two numbers for each spatial dimension, an index is one of the elements.

Each rule raises CorruptModelError, which says what is wrong and not where.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

import numpy as np

from mconv.errors import CorruptModelError
from mconv.onnx import body_rules
from mconv.onnx.body_rules import Attributes, Inputs, ints_of, rank_of
from mconv.onnx.types import MAX_RANK
from mconv.program.value import Value

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


def _within(name: str, values: Sequence[int], low: int, high: int, rank: int) -> None:
    for value in values:
        if not low <= value <= high:
            raise CorruptModelError(f"the attribute {name!r} is {value}, of a tensor with {rank} dimensions")


def _axis(op: str, attributes: Attributes, inputs: Inputs) -> None:
    rank = rank_of(inputs)
    if rank == 0 and op in _DIMENSIONS:
        raise CorruptModelError("its input has no dimensions")
    if op in _ELEMENTS:
        for index in (1, 2):
            other = rank_of(inputs, index)
            if rank is not None and other is not None and other != rank:
                raise CorruptModelError(f"its input {index + 1} has {other} dimensions, its first {rank}")
    for name in ("axis", "axes"):
        values = ints_of(attributes, name)
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
    axis = (ints_of(attributes, "axis") or [-1])[0]
    inner = shape[axis % len(shape) if shape else 0 :]
    for value in inputs[1:3]:
        own = list(value.shape) if value is not None and value.shape is not None else []
        while len(own) > len(inner) and own[0] == 1:
            del own[0]
        if len(own) > len(inner):
            raise CorruptModelError(f"a scale of {len(own)} dimensions for {len(inner)} that are normalised")
        _fitting([inner, own])


def _perm(op: str, attributes: Attributes, inputs: Inputs) -> None:
    perm, rank = ints_of(attributes, "perm"), rank_of(inputs)
    if perm and sorted(perm) != list(range(len(perm) if rank is None else rank)):
        raise CorruptModelError(f"the attribute 'perm' {perm[:8]} is no order of {rank or len(perm)} dimensions")


def _channels(op: str, attributes: Attributes, inputs: Inputs) -> None:
    rank = rank_of(inputs)
    if rank is not None and rank < 2:
        raise CorruptModelError(f"its input has {rank} dimensions, where a batch and channels are needed")


def _window(op: str, attributes: Attributes, inputs: Inputs) -> None:
    rank = rank_of(inputs)
    kernel = ints_of(attributes, "kernel_shape")
    if rank is not None and rank < 3 and not (op == "MaxUnpool" and rank == 2):
        raise CorruptModelError(f"its input has {rank} dimensions, where a batch, channels and more are needed")
    spatial = rank - 2 if rank is not None else len(kernel) if kernel else None
    if spatial is None:
        return
    for name, times in _LENGTHS.items():
        values = ints_of(attributes, name)
        # the shape of an output may be given with the batch and the channels
        if not values or (name == "output_shape" and len(values) == spatial + 2):
            continue
        if len(values) != spatial * times:
            raise CorruptModelError(
                f"the attribute {name!r} has {len(values)} numbers, where {spatial * times} are needed"
            )


def _unsqueeze(op: str, attributes: Attributes, inputs: Inputs) -> None:
    axes, rank = ints_of(attributes, "axes"), rank_of(inputs)
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
    shape = ints_of(attributes, "shape")
    if shape is not None:
        _many(len(shape))


def _only_shape(op: str, attributes: Attributes, inputs: Inputs) -> None:
    _entries(inputs[0] if inputs else None)


def _entries(value: Optional[Value]) -> None:
    if value is not None and value.shape is not None and len(value.shape) == 1 and isinstance(value.shape[0], int):
        _many(value.shape[0])


def _vectors(op: str, attributes: Attributes, inputs: Inputs) -> None:
    for index in _VECTORS[op]:
        rank = rank_of(inputs, index)
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
    value, rank = inputs[index] if index < len(inputs) else None, rank_of(inputs)
    if value is None or rank is None or value.const is None or value.const.dtype.kind != "i":
        return
    axes = [int(v) for v in np.ravel(value.const)[: MAX_RANK + 1]]
    _within("axes", axes, -max(rank, 1), max(rank, 1) - 1, rank)
    if len({v % max(rank, 1) for v in axes}) != len(axes):
        raise CorruptModelError(f"its axes name a dimension twice: {axes[:8]}")


def _slice(op: str, attributes: Attributes, inputs: Inputs) -> None:
    if "starts" in attributes:
        counts = [len(ints_of(attributes, name) or ()) for name in ("starts", "ends", "axes") if name in attributes]
    else:
        counts = [n for n in (_count(inputs, i) for i in (1, 2, 3, 4)) if n is not None]
        _chosen(inputs, 3)
    rank = rank_of(inputs)
    if len(set(counts)) > 1:
        raise CorruptModelError(f"its starts, ends, axes and steps have different numbers of entries: {counts}")
    if counts and rank is not None and counts[0] > rank:
        raise CorruptModelError(f"it slices {counts[0]} dimensions of a tensor with {rank}")


def _pad(op: str, attributes: Attributes, inputs: Inputs) -> None:
    pads = ints_of(attributes, "pads") or ints_of(attributes, "paddings")
    count = len(pads) if pads else _count(inputs, 1)
    axes, rank = _count(inputs, 3), rank_of(inputs)
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
    axis = (ints_of(attributes, "axis") or [0])[0]
    size = data.shape[axis]  # type: ignore[union-attr]
    values = np.asarray(index.const)  # type: ignore[union-attr]
    if isinstance(size, int) and values.dtype.kind == "i" and not (-size <= values.min() and values.max() < size):
        wrong = values.max() if values.max() >= size else values.min()
        raise CorruptModelError(f"its index is {wrong}, of a dimension with {size} elements")


def _rules() -> Iterator[tuple[str, Callable[[str, Attributes, Inputs], None]]]:
    yield from ((op, _vectors) for op in _VECTORS)
    yield from ((op, _broadcast) for op in _BROADCAST)
    yield from ((op, _axis) for op in _AXIS | _AXIS_OR_END)
    yield from ((op, _window) for op in _WINDOWS)
    yield from ((op, _shape) for op in _SHAPES)
    yield from ((op, _channels) for op in _CHANNELS)
    yield from (
        ("LayerNormalization", _scale), ("ConstantOfShape", _only_shape), ("Gather", _gather), ("If", body_rules.if_node), ("Loop", body_rules.loop), ("Pad", _pad),
        ("Scan", body_rules.scan), ("Slice", _slice), ("Transpose", _perm), ("Unsqueeze", _unsqueeze), ("InstanceNormalization", _per_channel),
        ("Split", _at_least(1, 0, "length of a part")), ("SplitToSequence", _at_least(1, 0, "length of a part")),
        ("STFT", _at_least(1, 1, "step from frame to frame")), ("STFT", _at_least(3, 1, "length of a frame")),
    )  # fmt: skip


RULES: dict[str, list[Callable[[str, Attributes, Inputs], None]]] = {}
for _op, _rule in _rules():
    RULES.setdefault(_op, []).append(_rule)
