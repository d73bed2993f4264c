"""Sizes of an ONNX model's inputs that become numbers, and what follows from them for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from mconv.errors import UsageError
from mconv.onnx import cpp
from mconv.onnx.cut import fed
from mconv.onnx.functions import first_line
from mconv.onnx.reader import skeleton
from mconv.printable import printable
from mconv.program.open_sizes import Size, Sized

_WHOLE = frozenset({2, 3, 4, 5, 6, 7, 12, 13})  # TensorProto's numbers of the integer types


def sized(graph: Any) -> list[Sized]:
    """The inputs that are fed, as far as their sizes go."""
    wanted = set(fed(graph))
    found = []
    for info in graph.input:
        if info.name in wanted and info.type.HasField("tensor_type"):
            kind = info.type.tensor_type
            found.append(Sized(info.name, tuple(map(size_of, kind.shape.dim)), kind.elem_type in _WHOLE))
    return found


def size_of(dim: Any) -> Size:
    """A dimension as a number, or a name; None where it has neither."""
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    return dim.dim_param or None


def fix(graph: Any, chosen: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
    """Set sizes of inputs, in place; the same name in another input or an output is the same number, other notes of
    shapes go.

    Args:
        chosen: (input, axis) → number.

    Returns:
        All sizes of inputs that are set now, those that share a name with a chosen one included.

    Raises:
        UsageError: sizes of one name are to be different numbers.
    """
    numbers: dict[str, tuple[str, int]] = {}
    done = dict(chosen)
    for info in graph.input:
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            size = chosen.get((info.name, axis))
            if size is not None:
                if dim.dim_param:
                    first, number = numbers.setdefault(dim.dim_param, (f"{info.name}.{axis}", size))
                    if number != size:
                        raise UsageError(
                            f"--dim: {info.name}.{axis} cannot be {size} where {first} is {number}: "
                            f"to the model both are {printable(dim.dim_param, 80)!r}"
                        )
                dim.dim_value = size
    inputs = len(graph.input)
    for index, info in enumerate([*graph.input, *graph.output]):
        for axis, dim in enumerate(info.type.tensor_type.shape.dim):
            if dim.dim_param in numbers:
                dim.dim_value = numbers[dim.dim_param][1]
                if index < inputs:
                    done[info.name, axis] = dim.dim_value
    del graph.value_info[:]
    return done


def forget(graph: Any) -> None:
    """Take away what is noted of the open sizes of tensors, in place: an input that is a constant now may have others."""
    del graph.value_info[:]
    for out in graph.output:
        if any(not dim.HasField("dim_value") for dim in out.type.tensor_type.shape.dim):
            out.type.tensor_type.ClearField("shape")


def infer(model: Any) -> tuple[dict[str, Any], Optional[str]]:
    """What ONNX's inference says of the tensors of the main graph: name → ValueInfoProto; and why it says nothing.

    The inputs, and what the file itself notes of tensors, are part of it.
    """
    found = {info.name: info for info in (*model.graph.input, *model.graph.output, *model.graph.value_info)}
    try:
        made = type(model).FromString(cpp.infer_shapes(skeleton(model.SerializeToString()), strict=False))
    except cpp.Refused as e:
        return found, f"ONNX's shape inference failed: {first_line(e)}"
    own = {d.dim_param for info in found.values() for d in info.type.tensor_type.shape.dim}
    for info in (*made.graph.output, *made.graph.value_info):
        known = found.get(info.name)
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param and dim.dim_param not in own:  # a name that the inference made up
                dim.ClearField("dim_param")
        if info.type.HasField("tensor_type") and (known is None or _less(known, info)):
            found[info.name] = info
    return found, None


def _less(known: Any, inferred: Any) -> bool:
    """Whether the inference knows more sizes than what is noted, and nothing else."""
    if not known.type.HasField("tensor_type") or not known.type.tensor_type.HasField("shape"):
        return True
    had, has = (tuple(map(size_of, i.type.tensor_type.shape.dim)) for i in (known, inferred))
    if not inferred.type.tensor_type.HasField("shape") or len(had) != len(has):
        return False
    return sum(isinstance(s, int) for s in has) >= sum(isinstance(s, int) for s in had)


def note(graph: Any, infos: Mapping[str, Any]) -> None:
    """Write into the graph what is known of its tensors, in place: sizes of outputs, and all others."""
    done = {i.name for i in graph.input}
    for out in graph.output:
        info = infos.get(out.name)
        if info is not None:
            out.CopyFrom(info)
        done.add(out.name)
    computed = [o for node in graph.node for o in node.output if o and o not in done]
    del graph.value_info[:]
    graph.value_info.extend(infos[name] for name in computed if name in infos)
