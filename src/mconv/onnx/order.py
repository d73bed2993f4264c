"""The order in which the nodes of a graph can be computed."""

from __future__ import annotations

import heapq
from collections.abc import Container
from typing import Any

from mconv.errors import CorruptModelError
from mconv.printable import printable


def ordered(graph: Any, known: Container[str]) -> list[Any]:
    """The nodes in an order in which every input is computed before it is read; the file's order where that holds.

    Args:
        graph: a GraphProto or FunctionProto.
        known: the names that are there already.

    Raises:
        CorruptModelError: two nodes compute one name, a node reads what nothing computes, or nodes wait for each other.
    """
    nodes = list(graph.node)
    producer: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            if name:
                if name in producer:
                    raise CorruptModelError(f"two nodes compute {name!r}")
                producer[name] = index
    waits: list[set[int]] = []
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        needed = set()
        for name in _reads(node):
            if name in producer:
                needed.add(producer[name])
            elif name and name not in known:
                raise CorruptModelError(
                    f"node {printable(node.name or node.op_type, 100)!r} ({printable(node.op_type, 100)}) reads "
                    f"{printable(name, 100)!r}, which nothing computes",
                    "an initializer is missing, or the graph was cut at the wrong tensor",
                )
        waits.append(needed)
        for other in needed:
            readers.setdefault(other, []).append(index)
    ready = [index for index, needed in enumerate(waits) if not needed]
    done: list[Any] = []
    while ready:
        index = heapq.heappop(ready)
        done.append(nodes[index])
        for reader in readers.get(index, ()):
            waits[reader].discard(index)
            if not waits[reader]:
                heapq.heappush(ready, reader)
    if len(done) < len(nodes):
        names = [n.name or n.op_type for n, needed in zip(nodes, waits) if needed]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise CorruptModelError(f"the graph has a cycle among {', '.join(names[:5])}{more}")
    return done


def _reads(node: Any) -> list[str]:
    names = list(node.input)
    for attribute in node.attribute:
        for sub in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            names += captured(sub)
    return names


def captured(graph: Any) -> list[str]:
    """Names that a sub-graph reads from around it."""
    own = (
        {i.name for i in graph.input} | {t.name for t in graph.initializer} | {o for n in graph.node for o in n.output}
    )
    names = [n for node in graph.node for n in _reads(node) if n and n not in own]
    return names + [o.name for o in graph.output if o.name not in own]
