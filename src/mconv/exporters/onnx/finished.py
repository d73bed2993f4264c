"""An ONNX graph that is complete: its names, and what something reads of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mconv.exporters.onnx.graph import Graph
from mconv.exporters.onnx.node_names import alive, computed, reads, rename
from mconv.program.params import TensorSource
from mconv.program.value import Value


@dataclass
class Exported:
    """A graph that is complete.

    Attributes:
        inputs, outputs: in the program's order, under its names.
        nodes: ``NodeProto`` in an order in which they can run.
        initializers: name → constant, those that are read.
        known: name → Value.
        opset: what the nodes are written in.
        domains: version of every other domain.
        notes: what is worth telling.
    """

    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Any]
    initializers: dict[str, TensorSource | np.ndarray]
    known: dict[str, Value]
    opset: int
    domains: dict[str, int]
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def finished(
    graph: Graph,
    inputs: Sequence[Value],
    params: Collection[str],
    fetched: Sequence[tuple[Value, str]],
    notes: Sequence[str],
) -> Exported:
    """The graph with the program's names of outputs, and without what nothing reads.

    Args:
        params: the names of the program's stored tensors.
        fetched: the outputs, and what the program calls them.
    """
    nodes = graph.scope.nodes
    fixed = {v.name for v in inputs} | set(params)
    names: dict[str, str] = {}
    extra: list[tuple[Value, str]] = []
    called: list[str] = []
    taken = set(computed(nodes)) | fixed
    for number, (value, name) in enumerate(fetched):
        if name in called or (name in fixed and value.name == name):
            name = f"{name}.out{number}"  # fetched twice, or an input or parameter as it is
        if value.name is None or value.is_const or value.name in fixed or value.name in names:
            extra.append((value, name))
        else:
            names[value.name] = name
        called.append(name)
    for clash in sorted(set(called) & taken - set(names)):
        names[clash] = graph.unique(f"{clash}.before")
    for value, name in extra:
        (made,) = graph.node("Identity", [value], {}, base=name) if not value.is_const else [_constant(graph, value)]
        names[made.name or ""] = name
    for node in nodes:
        rename(node, names)
    moved = {new: graph.known.pop(old) for old, new in names.items() if old in graph.known}
    graph.known.update({new: Value(new, known.dtype, known.shape) for new, known in moved.items()})
    outputs = [graph.known[name] for name in called]
    kept = alive(nodes, called)
    read = {n for node in kept for n in reads(node)}
    return Exported(
        inputs=[v for v in inputs if v.name in read],
        outputs=outputs,
        nodes=kept,
        initializers={n: s for n, s in graph.initializers.items() if n in read},
        known=graph.known,
        opset=graph.opset,
        domains=graph.domains,
        unread=[v.name or "" for v in inputs if v.name not in read],
        notes=list(dict.fromkeys(notes)),
    )


def _constant(graph: Graph, value: Value) -> Value:
    """A node that gives a constant: an output has to come out of one."""
    from onnx import NodeProto

    source = graph.name_of(value)
    node = NodeProto(op_type="Identity", name=graph.unique(f"{source}.node"))
    node.input.append(source)
    node.output.append(graph.unique(f"{source}.value"))
    graph.scope.nodes.append(node)
    made = Value(node.output[0], value.dtype, value.shape)
    graph.known[made.name or ""] = made
    return made
