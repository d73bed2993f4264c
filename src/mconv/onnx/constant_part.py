"""The nodes of an ONNX graph that compute the same in every run, and the numbers in their place.

Nothing is computed here but sizes: :func:`part` gives the model that does it, which somebody has to run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from mconv.onnx.clean import set_nodes
from mconv.onnx.cut import reads, remove_dead
from mconv.onnx.fold import _NEVER as NEVER
from mconv.onnx.registry import normal_domain

LIMIT = 1 << 20  # bytes that a folded tensor may have, where no weight is larger
# what is left as it is: quantised weights are stored as such
_KEPT = (NEVER - {"Identity"}) | {"DequantizeLinear", "Constant"}


def settle_sizes(graph: Any, infos: Mapping[str, Any]) -> int:
    """Replace what asks for the shape of a tensor, where that is known, in place; returns how many nodes."""
    from onnx import numpy_helper

    count = 0
    nodes = []
    for node in graph.node:
        array = _asked(node, infos) if node.op_type in ("Shape", "Size") and not normal_domain(node.domain) else None
        if array is None or not node.output[0]:
            nodes.append(node)
            continue
        graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
        count += 1
    _set_nodes(graph, nodes)
    return count


def _asked(node: Any, infos: Mapping[str, Any]) -> Optional[np.ndarray]:
    info = infos.get(node.input[0])
    if info is None or not info.type.tensor_type.HasField("shape"):
        return None
    dims = info.type.tensor_type.shape.dim
    if not all(d.HasField("dim_value") and d.dim_value >= 0 for d in dims):
        return None
    sizes = [int(d.dim_value) for d in dims]
    if node.op_type == "Size":
        return np.array(math.prod(sizes), np.int64)
    ends = {a.name: a.i for a in node.attribute}
    return np.array(sizes[ends.get("start", 0) : ends.get("end", len(sizes))], np.int64)


def constants(graph: Any) -> tuple[list[Any], list[str]]:
    """The nodes whose inputs are all known, and what others, or the graph's outputs, read of theirs."""
    known = {t.name for t in graph.initializer} | {""}
    known |= {o for node in graph.node if node.op_type == "Constant" for o in node.output}
    chosen = []
    for node in graph.node:
        inputs = list(reads(node))
        plain = node.op_type not in _KEPT and not normal_domain(node.domain)
        if plain and inputs and all(n in known for n in inputs):
            known.update(node.output)
            chosen.append(node)
    members = {id(n) for n in chosen}
    read = {o.name for o in graph.output}
    read |= {n for node in graph.node if id(node) not in members for n in reads(node)}
    return chosen, [o for node in chosen for o in node.output if o and o in read]


def part(model: Any, nodes: list[Any], outputs: list[str]) -> Any:
    """The model, a ModelProto without inputs, that computes *outputs*."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.input[:]
    del made.graph.output[:]
    made.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    remove_dead(made.graph)
    return made


def settle(model: Any, values: Mapping[str, np.ndarray]) -> int:
    """Put numbers in the place of what computes them, in place; returns how many nodes are gone."""
    from onnx import numpy_helper

    graph = model.graph
    before = len(graph.node)
    largest = max([LIMIT, *(_bytes(t) for t in graph.initializer)])
    kept = {name: array for name, array in values.items() if array.nbytes <= largest}
    fetched = {o.name for o in graph.output}
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in kept and name not in fetched and all(n in kept or not n for n in node.output):
                node.output[index] = f"{name}.mconv_folded"
                graph.initializer.append(numpy_helper.from_array(kept[name], name))
    remove_dead(graph)
    return before - len(graph.node)


def _bytes(tensor: Any) -> int:
    from mconv.onnx.types import stored_bytes

    return stored_bytes(tensor)


def _set_nodes(graph: Any, nodes: list[Any]) -> None:
    if len(nodes) < len(graph.node):
        set_nodes(graph, nodes)
