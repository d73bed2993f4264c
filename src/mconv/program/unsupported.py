"""The error that names everything in a graph that cannot be converted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mconv.errors import UnsupportedError
from mconv.printable import counted


def refusal(nodes: Sequence[Mapping[str, Any]], advice: str, untried: int = 0) -> UnsupportedError:
    """The error for *nodes*; its ``rows`` are these by operator and reason, with ``count`` and ``nodes``.

    Args:
        nodes: at least one, each with ``operator``, ``domain``, ``reason``, ``node`` (its name), and what else there is
            to say.
        advice: what to do, after "the table lists every one".
        untried: how many more nodes read what these would have made: they have converters, which had nothing to work on.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for node in nodes:
        about = {key: value for key, value in node.items() if key != "node"}
        key = (node["domain"], node["operator"], node["reason"])
        group = groups.setdefault(key, {**about, "count": 0, "nodes": []})
        group["count"] += 1
        group["nodes"].append(node["node"])
    rows = list(groups.values())
    names = ", ".join(dict.fromkeys(str(row["operator"]) for row in rows))
    more = f"; {untried} behind {'them' if len(nodes) > 1 else 'it'} could not be tried" if untried else ""
    return UnsupportedError(
        f"{counted(len(nodes), 'node')} cannot be converted: {names} "
        f"({rows[0]['operator']}: {rows[0]['reason']}){more}",
        f"the table lists every one; {advice}",
        rows,
    )
