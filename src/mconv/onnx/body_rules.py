"""If, Loop and Scan against the graphs inside of them: how many inputs and outputs these have, what is scanned.

Each rule raises CorruptModelError, which says what is wrong and not where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mconv.errors import CorruptModelError
from mconv.program.value import Value

Attributes = Mapping[str, Any]
Inputs = Sequence[Optional[Value]]


def rank_of(inputs: Inputs, index: int = 0) -> Optional[int]:
    """The number of dimensions of an input; None where it is left out, or unknown."""
    value = inputs[index] if index < len(inputs) else None
    return None if value is None or value.shape is None else len(value.shape)


def ints_of(attributes: Attributes, name: str) -> Optional[list[int]]:
    """The numbers of an attribute, one as a list of one; None where it is not there."""
    found = attributes.get(name)
    if found is None:
        return None
    return [found.i] if found.type == 2 else list(found.ints)


def if_node(op: str, attributes: Attributes, inputs: Inputs) -> None:
    for name in ("then_branch", "else_branch"):
        if name in attributes and attributes[name].g.input:
            raise CorruptModelError(f"the graph {name!r} has inputs")
    if len({len(a.g.output) for n, a in attributes.items() if n.endswith("_branch")}) > 1:
        raise CorruptModelError("its two branches have different numbers of outputs")


def loop(op: str, attributes: Attributes, inputs: Inputs) -> None:
    if "body" in attributes:
        carried = max(0, len(inputs) - 2)
        _missing(inputs[2:])
        _body(attributes["body"].g, 2 + carried, 1 + carried)


def scan(op: str, attributes: Attributes, inputs: Inputs) -> None:
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
            values = ints_of(attributes, f"{name}_{end}")
            if values and len(values) != wanted:
                raise CorruptModelError(
                    f"the attribute '{name}_{end}' has {len(values)} numbers, where {wanted} are needed"
                )
    axes = ints_of(attributes, "scan_input_axes") or [0] * scanned
    for i, axis in enumerate(axes):
        rank = rank_of(inputs, carried + i) if taken == len(inputs) else None
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
