"""What nodes read, compute and are called, the graphs inside of them included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def rename(node: Any, names: Mapping[str, str]) -> None:
    """Call values otherwise in a node and in the graphs inside."""
    for fields in (node.input, node.output):
        for i, name in enumerate(fields):
            if name in names:
                fields[i] = names[name]
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                rename(inner, names)
            for info in (*graph.output, *graph.value_info, *graph.input):
                info.name = names.get(info.name, info.name)


def reads(node: Any) -> Iterator[str]:
    """What a node reads, the graphs inside included."""
    yield from (n for n in node.input if n)
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            for inner in graph.node:
                yield from reads(inner)
            yield from (o.name for o in graph.output)


def inside(nodes: Iterable[Any]) -> Iterator[Any]:
    """The nodes, and those of the graphs inside of each."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from inside(graph.node)


def computed(nodes: Iterable[Any]) -> Iterator[str]:
    """What nodes compute, those of the graphs inside too."""
    for node in inside(nodes):
        yield from node.output


def alive(nodes: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """The nodes that an output depends on."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(reads(node))
    return kept[::-1]
