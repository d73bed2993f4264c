"""Sections of a page: what two models gave, output by output, and how far apart its elements are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from mconv.page import charts
from mconv.page.parts import agreed, badness, figure, figured, items, section, table, tag, text
from mconv.printable import shaped

Row = Mapping[str, Any]
_CHARTS = 12  # of outputs: the ones that are furthest apart
KINDS = {"passed": "good", "passed in part": "part", "failed": "bad", "unproved": "part", "not verified": "plain"}


def sections(proof: Row, title: str = "Proof") -> Iterator[str]:
    """A ``verification`` of a report: what was compared with what, on which inputs, and the figures."""
    status = str(proof["status"])
    if status == "not verified" and not proof.get("reason"):
        yield section(title, "<p>Not verified: --no-verify was given.</p>")
        return
    said = f"<p>{tag(KINDS.get(status, 'plain'), status)} {text(proof.get('reason') or '', 2000)}</p>"
    result = proof.get("paddle") or proof.get("runtime")
    compared = f"<p>{text(proof['reference'])} against {text(result)}</p>" if proof.get("reference") and result else ""
    outputs = proof.get("outputs") or []
    yield section(
        title, said, compared, sets(proof), outputs_of(outputs), items(proof.get("problems") or []), anchor="proof"
    )
    for name, of in (("original", "Paddle's own program against the layer"), ("source", "PyTorch against the result")):
        if isinstance(proof.get(name), Mapping):
            yield from sections(proof[name], f"{title}: {of}")


def sets(proof: Row) -> str:
    """What both were given."""
    kind, *more = str(proof.get("inputs") or "random").split("; ")
    lines = [", ".join(f"{n} {shaped(s)}" for n, s in one.items()) for one in proof.get("input_sets") or []]
    limit = proof.get("tolerance")
    allowed = ""
    if isinstance(limit, Mapping):
        allowed = f"Allowed: {limit['absolute']:g} absolute, {limit['relative']:g} relative"
        allowed += "." if limit.get("precision", "float32") == "float32" else f" ({limit['precision']})."
    told = f"<p>{text(kind.capitalize())} inputs: {'; '.join(map(text, lines))}</p>" if lines else ""
    return told + items(more) + (f'<p class="note">{text(allowed)}</p>' if lines and allowed else "")


def outputs_of(rows: Sequence[Row], *, drawn: bool = True) -> str:
    """The table of all outputs, and, *drawn*, the distribution of the differences in each."""
    if not rows:
        return ""
    several = len({row["input_set"] for row in rows}) > 1
    columns = ["", "output", "set", "shape", "type", "max abs", "max rel", "cosine", "argmax", "why"]
    cells = []
    for row in rows:
        same = "" if row.get("argmax_same") is None else "same" if row["argmax_same"] else "differs"
        figures = [figured(row["max_abs"]), figured(row["max_rel"]), figured(row["cosine"], ".8f")]
        which = row["input_set"] + 1 if several else None
        cells.append(
            [agreed(row["ok"]), row["name"], which, shaped(row["shape"]), row["dtype"], *figures, same, row["reason"]]
        )
    made = table(columns, cells, right=["set", "max abs", "max rel", "cosine"])
    return made + (distributions(rows) if drawn else "")


def distributions(rows: Sequence[Row]) -> str:
    """A histogram for each output, of all input sets together; the ones that are furthest apart where there are many."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("distribution"):
            found.setdefault(str(row["name"]), []).append(row)
    worst = sorted(found, key=lambda name: max(map(badness, found[name])), reverse=True)[:_CHARTS]
    drawn = {name: _histogram(found[name]) for name in found if name in worst}
    if not drawn:
        return ""
    rest = f", the {_CHARTS} of {len(found)} outputs that are furthest apart" if len(found) > len(worst) else ""
    head = f"How far apart the elements are{rest}"
    made = f'<h3>{text(head)}</h3>\n<div class="charts">{"".join(figure(made, name) for name, (made, _) in drawn.items())}</div>'
    if any(dashed for _, dashed in drawn.values()):
        note = "Dashed: the least that the tolerance leaves to an element; more is allowed to larger ones."
        made += f'<p class="note">{note}</p>'
    return made


def _histogram(rows: Sequence[Row]) -> tuple[str, bool]:
    """The figure, and whether the limit is in it."""
    counts: dict[str, int] = {}
    for row in rows:
        for decade, count in row["distribution"].items():
            counts[decade] = counts.get(decade, 0) + int(count)
    passed = all(row["ok"] for row in rows)
    limits = [float(row["allowed"]) for row in rows if row.get("allowed") is not None]
    limit: Optional[float] = min(limits) if limits else None
    total = sum(counts.values())
    powers = sorted(round(_power(key)) for key in counts if key not in ("0", "inf"))
    positions = ["0"] if "0" in counts else []
    positions += [f"1e{power:+03d}" for power in range(powers[0], powers[-1] + 1)] if powers else []
    positions += ["inf"] if "inf" in counts else []
    with charts.coloured(), charts.settings():
        drawn, axes = charts.grid(1, 1, 1.9, 4.2)
        axis = axes[0][0]
        shares = [100 * counts.get(position, 0) / total for position in positions]
        colours = [_colour(position, limit, passed) for position in positions]
        bars = axis.bar(range(len(positions)), shares, 0.86, color=colours)
        if len(positions) <= 14:
            axis.bar_label(bars, [_share(share) for share in shares], fontsize=7, padding=1)
        every = 1 + len(positions) // 10  # their labels have to have room
        axis.set_xticks(range(0, len(positions), every), list(map(_named, positions[::every])), fontsize=7.5)
        axis.tick_params(axis="y", labelsize=7.5)
        axis.set_ylabel("% of elements", fontsize=8)
        axis.margins(y=0.16)
        axis.spines[["top", "right"]].set_visible(False)
        dashed = limit is not None and limit > 0 and bool(powers) and _decade(limit) in positions
        if limit is not None and dashed:
            at = positions.index(_decade(limit)) - 0.5 + (_power(repr(limit)) % 1)
            axis.axvline(at, color=charts.COLOURS[3], linewidth=1, linestyle="--")
        return charts.svg(drawn), dashed


def _power(number: str) -> float:
    return math.log10(float(number))


def _decade(limit: float) -> str:
    return f"1e{math.floor(math.log10(limit)):+03d}"


def _colour(decade: str, limit: Optional[float], passed: bool) -> str:
    """Green for equal ones; what is beyond the least limit is red, unless the sizes of the elements allow it."""
    if decade == "0":
        return charts.COLOURS[2]
    if decade == "inf" or limit is None or float(decade) > limit:
        return charts.COLOURS[1 if passed else 3]
    return charts.COLOURS[0]


def _named(decade: str) -> str:
    return {"0": "equal", "inf": "not\nfinite", "1e-12": "<1e-11"}.get(decade) or f"1e{int(decade[2:])}"


def _share(share: float) -> str:
    if share == 0:
        return ""
    return f"{share:.0f}" if share >= 1 else f"{share:.1g}" if share >= 0.01 else "<0.01"
