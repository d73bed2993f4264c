"""Bodies of If and Loop: GraphProto of what was said in a scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

from mconv.exporters.onnx.graph import Graph, Scope
from mconv.exporters.onnx.types import type_proto
from mconv.program.dtypes import TO_ONNX, DType
from mconv.program.value import Value


@dataclass
class Array:
    """A tensor array of Paddle as a sequence of ONNX.

    Attributes:
        name: of the sequence.
        dtype: of its elements.
    """

    name: str
    dtype: DType


Held = Union[Value, Array]


def info(name: str, held: Held) -> Any:
    """The ValueInfoProto of an input or output of a body."""
    from onnx import TypeProto, ValueInfoProto

    made = ValueInfoProto(name=name)
    if isinstance(held, Array):
        kind = TypeProto()
        kind.sequence_type.elem_type.tensor_type.elem_type = TO_ONNX[held.dtype]
        made.type.CopyFrom(kind)
    else:
        made.type.CopyFrom(type_proto(held.dtype, held.shape, written=True))
    return made


def node(graph: Graph, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Any:
    """A node that the graph does not check: of sequences, which its values are not."""
    from onnx import helper

    made = helper.make_node(
        op, list(inputs), list(outputs), name=graph.unique(f"{(outputs or [op])[0]}.node"), **attributes
    )
    graph.scope.nodes.append(made)
    return made


def body(graph: Graph, scope: Scope, name: str, inputs: Sequence[Any], results: Sequence[Held]) -> Any:
    """The GraphProto of a scope: what it gives has names of its own, as outputs of a body have to.

    Args:
        inputs: ValueInfoProto of each.
        results: what it gives, in order; made in the scope, or around it, or constants.
    """
    from onnx import GraphProto

    made = {n for one in scope.nodes for n in one.output}
    given: set[str] = set()
    outputs = []
    outer, graph.scope = graph.scope, scope
    for held in results:
        source = held.name if isinstance(held, Array) else graph.name_of(held)
        if source not in made or source in given:
            called = graph.unique(f"{source}.out")
            node(graph, "Identity", [source], [called])
            source = called
        given.add(source)
        outputs.append(info(source, held))
    graph.scope = outer
    proto = GraphProto(name=name)
    proto.node.extend(scope.nodes)
    proto.input.extend(inputs)
    proto.output.extend(outputs)
    return proto
