"""What was matched and what was not, as rows for people and reports."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mconv.dygraph.layout import Given, Layout, Matching

_SUGGEST = 400  # names above which nothing is suggested


def problems(found: Matching, given: Mapping[str, Given], layout: Layout) -> list[dict[str, Any]]:
    """One row for every tensor and parameter that has no counterpart or one that does not fit."""
    row = _rows_of(given, layout)
    rows = [row(one.source, one.parameter, why) for one, why in found.conflicts]
    free = [n for n in found.unmatched if n in given]
    for name in found.missing:
        parameter = layout.parameters[name]
        near = _near(name, parameter.shape, {n: given[n].shape for n in free})
        rows.append(row("", name, "no tensor" + (f"; perhaps {near}" if near else "")))
    for name in found.unmatched:
        near = _near(name, given[name].shape if name in given else (), {
            n: layout.parameters[n].shape for n in found.missing})  # fmt: skip
        rows.append(row(name, "", "no parameter" + (f"; perhaps {near}" if near else "")))
    return rows


def table(found: Matching, given: Mapping[str, Given], layout: Layout) -> list[dict[str, Any]]:
    """One row for every tensor and parameter, the good ones included."""
    row = _rows_of(given, layout)
    rows = [{**row(m.source, m.parameter), "how": m.how} for m in found.matches]
    for each, one in zip(rows, found.matches):
        if one.folded:
            each["pytorch"] = f"{one.folded[0]}, {one.folded[1]}"
            each["shape"] = ""
    rows += [{**row(m.source, m.parameter), "how": "the same tensor again"} for m, _ in found.repeated]
    rows += [{**row("", n), "how": f"filled with {value:g}"} for n, value in found.filled.items()]
    rows += [{**row("", n), "how": "kept"} for n in found.kept]
    rows += [{**row(n, ""), "how": "dropped"} for n in found.dropped]
    return rows


def _rows_of(given: Mapping[str, Given], layout: Layout) -> Callable[..., dict[str, Any]]:
    """What makes a row of the names of a tensor and a parameter (either may be empty), and what is wrong with them."""

    def row(source: str, name: str, problem: str = "") -> dict[str, Any]:
        shapes = (
            "" if one is None else str(list(one.shape)) for one in (given.get(source), layout.parameters.get(name))
        )
        made: dict[str, Any] = {"pytorch": source, "shape": next(shapes), "paddle": name, "paddle_shape": next(shapes)}
        return {**made, "problem": problem} if problem else made

    return row


def _near(name: str, shape: Sequence[int], others: Mapping[str, Sequence[int]]) -> str:
    """The most similar name of a tensor of the same sizes."""
    if len(others) > _SUGGEST:
        return ""
    fitting = [n for n, s in others.items() if sorted(s) == sorted(shape)]
    return next(iter(difflib.get_close_matches(name, fitting, 1, 0.0)), "")
