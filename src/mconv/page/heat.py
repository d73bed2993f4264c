"""The section of ``verify --layers``: how far apart both models are at every tensor that both have, over their graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

from mconv.page import blocks, charts, edges
from mconv.page.blocks import Block, Step
from mconv.page.parts import badness, figure, figured, section, text
from mconv.printable import shaped

Row = Mapping[str, Any]
_CELLS = 64  # of the strip of one block
_OPERATORS = 6  # of one step that are named
_LEVELS = (
    ("h0", "equal"),
    ("h1", "below 1% of what is allowed"),
    ("h2", "below 10%"),
    ("h3", "within the tolerance"),
    ("h4", "beyond it"),
    ("hn", "not compared"),
)
STYLE = """
.mconv .legend { display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .85rem; color: var(--dim); margin: .6rem 0 }
.mconv .legend span { display: inline-flex; align-items: center; gap: .35rem }
.mconv i.h0, .mconv i.h1, .mconv i.h2, .mconv i.h3, .mconv i.h4, .mconv i.hn { display: inline-block; width: .8rem; height: .8rem; border-radius: .15rem }
.mconv .h0 { background: var(--h0) } .mconv .h1 { background: var(--h1) } .mconv .h2 { background: var(--h2) }
.mconv .h3 { background: var(--h3) } .mconv .h4 { background: var(--h4) } .mconv .hn { background: var(--hn) }
.mconv .row { display: grid; grid-template-columns: calc(var(--n) * .5rem) minmax(0, 1fr); padding: .2rem 0; --y: 1.1rem }
.mconv .row > .edges { margin: -.2rem 0; --y: 1.3rem }
.mconv .block { border: 1px solid var(--line); border-radius: .5rem; min-width: 0 }
.mconv .block > summary { padding: .45rem .7rem; display: grid; grid-template-columns: 1rem minmax(0, 1fr) auto; gap: .1rem .5rem; align-items: center; list-style: none }
.mconv .block > summary::-webkit-details-marker { display: none }
.mconv .block > summary::before { content: "▸"; color: var(--dim) } .mconv .block[open] > summary::before { content: "▾" }
.mconv .block > summary b { font-weight: 600; font-size: .92rem; overflow-wrap: anywhere } .mconv .block > summary small { color: var(--dim); white-space: nowrap }
.mconv .strip { grid-column: 2 / 4; display: flex; height: .55rem; border-radius: .2rem; overflow: hidden; max-width: 44rem }
.mconv .strip i { flex: 1; min-width: 0; width: auto; height: auto; border-radius: 0; margin-right: 1px }
.mconv .inside { padding: 0 .6rem .5rem } .mconv .from { font-size: .82rem; color: var(--dim); margin: .1rem 0 .4rem; overflow-wrap: anywhere }
.mconv .step { display: grid; grid-template-columns: calc(var(--n) * .5rem) .5rem minmax(0, 1fr) minmax(0, 1fr) 7.5rem; gap: 0 .7rem; border-top: 1px solid var(--line); padding: .3rem 0; font-size: .86rem }
.mconv .step > i { width: .5rem; height: 100%; min-height: 1.2rem } .mconv .step p { margin: 0 } .mconv .step small { color: var(--dim); overflow-wrap: anywhere }
.mconv .step .gap { text-align: right; font-variant-numeric: tabular-nums } .mconv .step.first { background: var(--badback); border-radius: .3rem; scroll-margin-top: 40vh }
.mconv .step > .edges { margin: calc(-.3rem - 1px) -.7rem -.3rem 0; --y: 1.1rem }
.mconv .sides { display: grid; grid-template-columns: calc(var(--n) * .5rem) .5rem minmax(0, 1fr) minmax(0, 1fr) 7.5rem; gap: 0 .7rem; font-size: .82rem; color: var(--dim); padding: .2rem 0 }
.mconv .sides span { overflow-wrap: anywhere }
@media (max-width: 40rem) { .mconv .step, .mconv .sides { grid-template-columns: calc(var(--n) * .5rem) .4rem minmax(0, 1fr) minmax(0, 1fr); gap: 0 .45rem; font-size: .78rem }
  .mconv .step > .edges, .mconv .step > i { grid-row: 1 / 3 } .mconv .step > .edges { margin-right: -.45rem }
  .mconv .step .gap { grid-column: 3 / 5; text-align: left } .mconv .sides span:last-child { display: none }
  .mconv .block > summary { grid-template-columns: 1rem minmax(0, 1fr); padding: .4rem .45rem } .mconv .block > summary small { grid-column: 2; white-space: normal }
  .mconv .strip { grid-column: 2 } .mconv .inside { padding: 0 .35rem .4rem } }
"""


def sections(found: Row) -> Iterator[str]:
    """The map of a ``verify --layers --json``; nothing where no tensors inside were compared."""
    rows: Sequence[Row] = found.get("layers") or []
    graphs = found.get("graphs") or {}
    if not rows or not graphs:
        return
    steps = blocks.side_by_side(graphs.get("a", []), graphs.get("b", []), rows)
    first = found.get("first")
    name = None if not first else str(first["name"])
    differing = sum(not row["ok"] for row in rows)
    said = f"{len(rows)} tensors have the same name in both; "
    said += f"{differing} differ, the first of them is {name}." if name else "all of them agree."
    legend = "".join(f'<span><i class="{level}"></i>{text(told)}</span>' for level, told in _LEVELS)
    whole = _Map(steps, name, str(found.get("a")), str(found.get("b")))
    yield section(
        "Layer by layer",
        f"<p>{text(said)}" + (' <a href="#first">Go there</a>.</p>' if name else "</p>"),
        figure(_along(rows), "Largest absolute difference of each tensor, in the order of the source", wide=True),
        f'<div class="legend">{legend}</div>',
        '<p class="note">The lines on the left: what reads what of the source, red where it carries a difference. '
        "Click a block to open it.</p>",
        whole.listed(blocks.divided(steps)),
        anchor="layers",
    )


class _Map:
    """Writes blocks down; knows where tensors come from.

    Args:
        first: the tensor that differs first.
        left, right: what ran the two.
    """

    def __init__(self, steps: Sequence[Step], first: Optional[str], left: str, right: str):
        self.first, self.left, self.right = first, left, right
        self.made = {name for step in steps for node in step.left for name in node["writes"]}
        self.origin: dict[str, str] = {}

    def listed(self, listed: Sequence[Block]) -> str:
        """Blocks below each other, with the edges between them."""
        drawn = edges.lanes(*_ends([block.all_steps() for block in listed]))
        bad = {at for at, block in enumerate(listed) if any(_level(s.row) == "h4" for s in block.all_steps())}
        rows = [
            f'<div class="row">{edges.beside(drawn.rows[at], bad)}{self.block(block)}</div>\n'
            for at, block in enumerate(listed)
        ]
        return _graph(rows, drawn)

    def block(self, block: Block) -> str:
        """A block, shut unless the first difference is in it."""
        steps = block.all_steps()
        rows = [step.row for step in steps if step.row is not None]
        worst = max(rows, key=badness) if rows else None
        hit = any(step.tensor is not None and step.tensor == self.first for step in steps)
        inside = self.listed(block.blocks) if block.blocks else self._steps(block)
        counts = f"{sum(len(s.left) for s in steps)} → {sum(len(s.right) for s in steps)} operators"
        apart = "" if worst is None else f", at most {figured(worst['max_abs'])}"
        strip = "".join(f'<i class="{level}"></i>' for level in _strip([_level(step.row) for step in steps]))
        return (
            f'<details class="block"{" open" if hit else ""}><summary><b>{text(block.title, 160)}</b>'
            f'<small>{text(counts + apart)}</small><span class="strip">{strip}</span></summary>'
            f'<div class="inside">{self._from(block, steps)}{inside}</div></details>'
        )

    def _from(self, block: Block, steps: Sequence[Step]) -> str:
        """Which blocks before it a block reads."""
        own = {name for step in steps for node in step.left for name in node["writes"]}
        read = {
            name: None for step in steps for node in step.left for name in node["reads"]
            if name not in own and name in self.made
        }  # fmt: skip
        sources = dict.fromkeys(self.origin[name] for name in read if name in self.origin)
        if not block.blocks:
            self.origin.update(dict.fromkeys(own, block.title))
        shown = [f"<code>{text(s, 80)}</code>" for s in list(sources)[:8]]
        more = f" and {len(sources) - 8} more" if len(sources) > 8 else ""
        return f'<p class="from">reads from {", ".join(shown)}{more}</p>' if shown else ""

    def _steps(self, block: Block) -> str:
        head = (
            f'<div class="sides"><span></span><span></span><span>{text(self.left, 80)}</span><span>{text(self.right, 80)}</span>'
            "<span></span></div>"
        )
        drawn = edges.lanes(*_ends([[step] for step in block.steps]))
        bad = {at for at, step in enumerate(block.steps) if _level(step.row) == "h4"}
        rows = [self._step(step, edges.beside(drawn.rows[at], bad)) for at, step in enumerate(block.steps)]
        return _graph([head, *rows], drawn)

    def _step(self, step: Step, lines: str) -> str:
        first = step.tensor is not None and step.tensor == self.first
        marks = ' first" id="first' if first else ""
        gap = ""
        if step.row is not None:
            gap = f"<p>{text(figured(step.row['max_abs']))}</p>"
            why = str(step.row.get("reason") or "").partition(" differ by more than")[0]  # the figure says by how much
            gap += f"<small>{text(why, 120)}</small>" if why and not step.row["ok"] else ""
        elif step.tensor is not None:
            gap = "<small>not compared</small>"
        shape = "" if step.row is None else f" {shaped(step.row['shape'])}"
        name = "" if step.tensor is None else f"<small>{text(step.tensor + shape, 160)}</small>"
        return (
            f'<div class="step{marks}">{lines}<i class="{_level(step.row)}"></i><div>{_operators(step.left)}{name}</div>'
            f'<div>{_operators(step.right)}</div><div class="gap">{gap}</div></div>\n'
        )


def _ends(rows: Sequence[Sequence[Step]]) -> tuple[list[list[str]], list[list[str]]]:
    """What the source's operators of each row read of other rows, and what they write."""
    writes = [[name for step in row for node in step.left for name in node["writes"]] for row in rows]
    reads = [[name for step in row for node in step.left for name in node["reads"]] for row in rows]
    others = [[name for name in read if name not in own] for read, own in zip(reads, map(set, writes))]
    return others, writes


def _graph(rows: Sequence[str], drawn: edges.Lanes) -> str:
    more = f'<p class="note">{drawn.hidden} more edges are not drawn.</p>' if drawn.hidden else ""
    return f'<div style="--n:{drawn.width}">{"".join(rows)}{more}</div>'


def _operators(nodes: Sequence[Row]) -> str:
    if not nodes:
        return "<p><small>–</small></p>"
    names = [str(node["operator"]) for node in nodes]
    more = f" … {len(names) - _OPERATORS} more" if len(names) > _OPERATORS else ""
    return f"<p>{text(' → '.join(names[:_OPERATORS]) + more, 200)}</p>"


def _level(row: Optional[Row]) -> str:
    if row is None:
        return "hn"
    if not row["ok"]:
        return "h4"
    apart, allowed = row["max_abs"], row.get("allowed")
    if not apart:
        return "h0"
    share = float(apart) / float(allowed) if allowed else 1.0
    return "h1" if share < 0.01 else "h2" if share < 0.1 else "h3"


def _strip(levels: Sequence[str]) -> list[str]:
    """One cell for each step, the worst of several where there are many."""
    if len(levels) <= _CELLS:
        return list(levels)
    order = ("hn", "h0", "h1", "h2", "h3", "h4")
    width = len(levels) / _CELLS
    cells = [levels[int(at * width) : max(int(at * width) + 1, int((at + 1) * width))] for at in range(_CELLS)]
    return [max(cell, key=order.index) for cell in cells]


def _along(rows: Sequence[Row]) -> str:
    """The differences along the graph, by powers of ten; what is equal stands at the bottom."""
    values = [float(row["max_abs"]) if row["max_abs"] is not None else None for row in rows]
    above = [value for value in values if value]
    least = min(above, default=1e-9) / 10
    most = max(above, default=1e-8) * 3
    charts.library()
    from matplotlib.ticker import MaxNLocator, NullLocator

    with charts.coloured(), charts.settings():
        drawn, axes = charts.grid(1, 1, 2.1, 8.4)
        axis = axes[0][0]
        points = [value if value else least if value is not None else most for value in values]
        axis.plot(range(len(points)), points, color=charts.COLOURS[0], linewidth=1, drawstyle="steps-mid")
        limits = [row.get("allowed") or None for row in rows]
        if any(limits):
            shown = [limit if limit is not None else float("nan") for limit in limits]
            axis.plot(range(len(shown)), shown, color=charts.GREY, linewidth=0.8, linestyle="--", label="allowed")
            axis.legend(fontsize=7, frameon=False, loc="upper left")
        at = next((index for index, row in enumerate(rows) if not row["ok"]), None)
        if at is not None:
            axis.axvline(at, color=charts.COLOURS[3], linewidth=1)
            axis.plot([at], [points[at]], "o", color=charts.COLOURS[3], markersize=4)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, index: f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e"))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))  # the tensors are counted
        axis.set_ylim(bottom=least)
        axis.margins(x=0.01)
        axis.tick_params(labelsize=7.5)
        axis.spines[["top", "right"]].set_visible(False)
        return charts.svg(drawn)
