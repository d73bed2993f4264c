"""What some tools write and ONNX does not mean, taken out of a model before anything is concluded from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    import onnx

# lists that have a number for each dimension of a window; one without any says as much as none
_LISTS = {"kernel_shape", "strides", "dilations", "pads", "output_padding", "output_shape"}


def cleaned(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, or where there is something to take out a copy without it: negative dimensions, which mean an open
    size (ONNX's inference computes with them), and attributes of windows with no numbers."""
    if not _unclean(model):
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    for graph in graphs_of(copy):
        for node in graph.node:
            kept = [a for a in node.attribute if not _empty(a)]
            if len(kept) < len(node.attribute):
                kept = [type(a).FromString(a.SerializeToString()) for a in kept]
                del node.attribute[:]
                node.attribute.extend(kept)
        for dim in _dims(graph):
            if dim.dim_value < 0:
                dim.ClearField("dim_value")
    return copy


def _unclean(model: onnx.ModelProto) -> bool:
    return any(
        any(dim.dim_value < 0 for dim in _dims(graph)) or any(_empty(a) for n in graph.node for a in n.attribute)
        for graph in graphs_of(model)
    )


def _empty(attribute: Any) -> bool:
    return attribute.name in _LISTS and attribute.type == 7 and not attribute.ints and not attribute.ref_attr_name


def graphs_of(model: onnx.ModelProto) -> Iterator[Union[onnx.GraphProto, onnx.FunctionProto]]:
    """The model's graph, its functions, and the graphs inside of both."""
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)


def set_nodes(graph: Any, nodes: Iterable[Any]) -> list[Any]:
    """Give a graph these nodes, some of which may be its own; returns the copies that it then has."""
    copies = [type(n).FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return copies


def _dims(graph: Any) -> Iterator[Any]:
    if hasattr(graph, "value_info") and hasattr(graph, "initializer"):
        for infos in (graph.input, graph.output, graph.value_info):
            for info in infos:
                yield from info.type.tensor_type.shape.dim
