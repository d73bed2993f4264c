"""What converting a source gives, before it is written: the program, its parameters, and what the report says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mconv.artifacts.provenance import Recording
from mconv.program.params import TensorSource
from mconv.program.port_rows import PortRow, renamed
from mconv.program.program import Program
from mconv.warned import Warned

if TYPE_CHECKING:
    from mconv.proof.report import Report


@dataclass
class Facts:
    """The report's fields about a conversion.

    Attributes:
        inputs, outputs: in the program's order.
        operators: of the source; paddle_operators: of the program.
        folded: how many operators were computed; fused, expanded: into what, and how often.
        warnings: what the user has to know.
        reservations: what of the source the result does not have, see :data:`mconv.proof.verdict.RESERVATIONS`.
        frozen: operations of the source that decide by the values of the inputs, where the result always decides as for those
            traced with.
        fixed: sizes that were to stay open and do not: ``input``, ``dimension``, ``size``.
    """

    inputs: list[PortRow]
    outputs: list[PortRow]
    operators: list[dict[str, Any]]
    paddle_operators: dict[str, int]
    folded: int = 0
    fused: dict[str, int] = field(default_factory=dict)
    expanded: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    reservations: list[dict[str, str]] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)
    fixed: list[dict[str, Any]] = field(default_factory=list)

    def into(self, report: Report) -> None:
        """All of it but the reservations, which the verb may have more of; with a warning for each other name."""
        report.inputs, report.outputs = list(self.inputs), list(self.outputs)
        report.operators, report.paddle_operators = self.operators, self.paddle_operators
        report.folded, report.fused, report.expanded = self.folded, self.fused, self.expanded
        report.warnings += self.warnings
        report.renamed = renamed(self.inputs, self.outputs)


@dataclass
class Produced:
    """What an engine made of a model.

    Attributes:
        program, params: the model.
        facts: the report's fields about it.
        seconds: of each phase.
        keep: lives as long as the parameters are needed.
        precision: the lowest type that the source computes in, as far as its engine knows.
    """

    program: Program
    params: dict[str, TensorSource]
    facts: Facts
    seconds: dict[str, float] = field(default_factory=dict)
    keep: Any = None
    precision: str = "float32"


@dataclass(frozen=True)
class Written:
    """A model in its files, for what is made of it next.

    Attributes:
        program: as it is in the file.
        folder: where the files are.
        recording: of what it was made.
    """

    program: Program
    folder: Path
    recording: Recording


def counted_operators(nodes: Iterable[Any]) -> list[dict[str, Any]]:
    """The operators of an ONNX graph with their counts, the most frequent first."""
    counts = Counter((n.domain or "ai.onnx", n.op_type) for n in nodes)
    return [{"domain": d, "operator": o, "count": c} for (d, o), c in counts.most_common()]


def about_names(names: dict[str, str], why: str = "") -> list[str]:
    """A warning for each input or output that has another name in Paddle."""
    return [Warned("renamed", f"{old!r} is called {new!r}{why}") for old, new in names.items()]
