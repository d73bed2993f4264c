"""The edges of a graph that is written as a list: beside each row the lines of what it reads and of what reads it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

MOST = 6  # lines beside each other; more than that nobody follows
STYLE = """
.mconv .edges { position: relative; min-width: 0; align-self: stretch }
.mconv .edges s { position: absolute; border: 0 solid var(--dim); left: calc((var(--n) - 1 - var(--l)) * .5rem + .15rem); right: 0; text-decoration: none }
.mconv .edges s.begins { top: var(--y); bottom: 0; border-left-width: 1.5px; border-top-width: 1.5px; border-top-left-radius: .3rem }
.mconv .edges s.read { top: 0; height: var(--y); border-left-width: 1.5px; border-bottom-width: 1.5px; border-bottom-left-radius: .3rem }
.mconv .edges s.past { top: 0; bottom: 0; border-left-width: 1.5px; right: auto }
.mconv .edges s.h4 { border-color: var(--h4); background: none; z-index: 1 }
"""


@dataclass
class Lanes:
    """Where the lines run.

    Attributes:
        rows: for each row its parts of lines: the lane, ``begins``, ``read`` or
            ``past``, and the row that it begins at. A line that is read and goes on is both ``read`` and ``past``.
        width: how many lanes there are.
        hidden: how many edges are not drawn, as :data:`MOST` lanes are taken.
    """

    rows: list[list[tuple[int, str, int]]]
    width: int = 0
    hidden: int = 0
    _ends: list[int] = field(default_factory=list)

    def add(self, start: int, readers: Sequence[int], most: int) -> None:
        """The line of what is made in the row *start*, to all rows that read it, in order."""
        lane = next((lane for lane, end in enumerate(self._ends) if end <= start), len(self._ends))
        if lane >= most:
            self.hidden += len(readers)
            return
        if lane == len(self._ends):
            self._ends.append(0)
        self._ends[lane], self.width = readers[-1], max(self.width, lane + 1)
        self.rows[start].append((lane, "begins", start))
        for at in range(start + 1, readers[-1] + 1):
            if at in readers:
                self.rows[at].append((lane, "read", start))
            if at < readers[-1]:
                self.rows[at].append((lane, "past", start))


def lanes(reads: Sequence[Collection[str]], writes: Sequence[Collection[str]], most: int = MOST) -> Lanes:
    """The lines of a list of rows, each of which reads and writes tensors; a row reads of rows before it alone."""
    readers: list[dict[int, None]] = [{} for _ in reads]
    writer: dict[str, int] = {}
    for at, (read, written) in enumerate(zip(reads, writes)):
        for name in read:
            if name in writer:
                readers[writer[name]][at] = None
        writer.update(dict.fromkeys(written, at))
    made = Lanes([[] for _ in reads])
    for start, those in enumerate(readers):
        if those:
            made.add(start, list(those), most)
    return made


def beside(row: Sequence[tuple[int, str, int]], bad: Collection[int] = ()) -> str:
    """The lines beside a row; *bad*: the rows whose lines are those of a difference."""
    drawn = "".join(
        f'<s class="{part}{" h4" if start in bad else ""}" style="--l:{lane}"></s>' for lane, part, start in row
    )
    return f'<div class="edges">{drawn}</div>'
