"""Tables at a terminal: the columns that it has room for, or a line for each cell where it has room for none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Optional

_GAP = 3  # columns of a terminal between two of a table
_NARROW = 14  # as short as a name may get
_BROKEN = 24  # as narrow as a text of several lines may get
_GOOD = ("ok", "done", "passed", "cached", "nothing to do", "unchanged")


def fitted(
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
    width: int,
    right: Sequence[str],
    drop: Sequence[str],
    verdict: Optional[str],
) -> tuple[list[str], list[list[Any]]]:
    """The columns of a table that a terminal of that width has room for, see :meth:`mconv.cli.output.Output.table`."""
    order = list(range(len(headings)))
    if verdict is not None:
        index = headings.index(verdict)
        order.remove(index)
        order.insert(0, index)
    # a column without anything in it says nothing
    order = [i for i in order if not rows or any(row[i].plain for row in rows)]

    broken: set[int] = set()  # columns whose texts take several lines

    def widths() -> dict[int, int]:
        found = {i: max(t.cell_len for t in _lines(headings[i], rows, i)) for i in order}
        return {i: min(w, _BROKEN) if i in broken else w for i, w in found.items()}

    def excess() -> int:
        return sum(widths().values()) + _GAP * (len(order) - 1) - width

    for heading in drop:
        if excess() <= 0:
            break
        order = [i for i in order if headings[i] != heading]
    cells = [list(row) for row in rows]
    names = [i for i in order if headings[i] not in right and headings[i] != verdict]
    while names and excess() > 0:
        widest = max(names, key=lambda i: widths()[i])
        limit = max(_NARROW, widths()[widest] - excess())
        if limit >= widths()[widest]:
            break
        # a reason may take several lines, which the table breaks between words
        if widest == order[-1] or any(len(row[widest].plain.split()) > 3 for row in cells):
            names.remove(widest)
            broken.add(widest)
            continue
        for row in cells:
            row[widest] = _shortened(row[widest], limit)
        rows = cells
    if verdict is not None:
        for row in cells:
            _colour(row[headings.index(verdict)])
    return [headings[i] for i in order], [[row[i] for i in order] for row in cells]


def _colour(verdict: Any) -> None:
    good = "yellow" if "in part" in verdict.plain else "green"
    verdict.stylize(good if verdict.plain.startswith(_GOOD) else "dim" if verdict.plain == "not run" else "bold red")


def least(headings: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[str]) -> list[tuple[int, bool]]:
    """How narrow each column may be so that no word is broken, and whether that is its whole width: that of numbers and
    names."""
    from rich.cells import cell_len

    found = []
    for index, heading in enumerate(headings):
        lines = [line.plain for line in _lines(heading, rows, index)]
        whole = heading in right or not any(" " in line for line in lines[1:])
        parts = lines if whole else [word for line in lines for word in line.split()]
        found.append((max(map(cell_len, parts), default=0), whole))
    return found


def fits(widths: Sequence[tuple[int, bool]], width: int) -> bool:
    """Whether columns of these widths are a table of no more than that one."""
    return sum(least for least, _ in widths) + _GAP * (len(widths) - 1) <= width


def stacked(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], title: str, verdict: Optional[str]
) -> Iterator[Any]:
    """What to print of a table where there is no room for columns: a row is its verdict and its first cell, and a line for
    each of the others, whole."""
    from rich.padding import Padding
    from rich.text import Text

    if title:
        yield Text(title)
    for row in rows:
        named = list(zip(headings, row))
        first = [cell for name, cell in named if name == verdict]
        if verdict is not None:
            _colour(first[0])
        yield Text(" ").join([*first, named[0][1]])
        for heading, cell in named[1:]:
            if cell.plain and heading != verdict:
                yield Padding(Text(f"{heading}: " if heading else "").append_text(cell), (0, 0, 0, 2))


def _lines(heading: str, rows: Sequence[Sequence[Any]], index: int) -> list[Any]:
    from rich.text import Text

    return [Text(heading), *(line for row in rows for line in row[index].split("\n", allow_blank=True))]


def _shortened(text: Any, limit: int) -> Any:
    """The beginning and the end of each line: the end of a path tells more than its middle."""
    from rich.text import Text

    def cut(line: str) -> str:
        return line if len(line) <= limit else f"{line[: (limit - 1) // 3]}…{line[-(limit - 1 - (limit - 1) // 3) :]}"

    return Text("\n".join(map(cut, text.plain.split("\n"))), style=text.style)
