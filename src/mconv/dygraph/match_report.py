"""What was matched and what was not, as rows for people and reports."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from mconv.dygraph.layout import Given, Layout, Matching, Parameter

_SUGGEST = 400  # names above which nothing is suggested


def problems(found: Matching, given: Mapping[str, Given], layout: Layout) -> list[dict[str, Any]]:
    """One row for every tensor and parameter that has no counterpart or one that does not fit."""
    rows = []
    for one, why in found.conflicts:
        rows.append(_row(one.source, given.get(one.source), one.parameter, layout.parameters[one.parameter], why))
    free = [n for n in found.unmatched if n in given]
    for name in found.missing:
        parameter = layout.parameters[name]
        near = _near(name, parameter.shape, {n: given[n].shape for n in free})
        rows.append(_row("", None, name, parameter, "no tensor" + (f"; perhaps {near}" if near else "")))
    for name in found.unmatched:
        near = _near(name, given[name].shape if name in given else (), {
            n: layout.parameters[n].shape for n in found.missing})  # fmt: skip
        rows.append(_row(name, given.get(name), "", None, "no parameter" + (f"; perhaps {near}" if near else "")))
    return rows


def table(found: Matching, given: Mapping[str, Given], layout: Layout) -> list[dict[str, Any]]:
    """One row for every tensor and parameter, the good ones included."""
    rows = [
        {**_row(m.source, given.get(m.source), m.parameter, layout.parameters[m.parameter], ""), "how": m.how}
        for m in found.matches
    ]
    for row, one in zip(rows, found.matches):
        if one.folded:
            row["pytorch"] = f"{one.folded[0]}, {one.folded[1]}"
            row["shape"] = ""
    rows += [
        {
            **_row(m.source, given.get(m.source), m.parameter, layout.parameters[m.parameter], ""),
            "how": "the same tensor again",
        }
        for m, _ in found.repeated
    ]
    for name, value in found.filled.items():
        rows.append({**_row("", None, name, layout.parameters[name], ""), "how": f"filled with {value:g}"})
    rows += [{**_row("", None, n, layout.parameters[n], ""), "how": "kept"} for n in found.kept]
    rows += [{**_row(n, given.get(n), "", None, ""), "how": "dropped"} for n in found.dropped]
    return rows


def _row(
    source: str, given: Optional[Given], name: str, parameter: Optional[Parameter], problem: str
) -> dict[str, Any]:
    row: dict[str, Any] = {"pytorch": source, "shape": "" if given is None else str(list(given.shape)), "paddle": name}
    row["paddle_shape"] = "" if parameter is None else str(list(parameter.shape))
    if problem:
        row["problem"] = problem
    return row


def _near(name: str, shape: Sequence[int], others: Mapping[str, Sequence[int]]) -> str:
    """The most similar name of a tensor of the same sizes."""
    if len(others) > _SUGGEST:
        return ""
    fitting = [n for n, s in others.items() if sorted(s) == sorted(shape)]
    return next(iter(difflib.get_close_matches(name, fitting, 1, 0.0)), "")
