"""The verdict of a proof: what was compared, what came of it, and what it does not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from mconv.errors import MconvError
from mconv.proof.compare import Comparison, Tolerance
from mconv.proof.notes import Note

if TYPE_CHECKING:  # what runs a model is not needed to say that nothing was run
    from mconv.proof.runners import Answers
    from mconv.proof.search import OneSize

PASSED, FAILED, NOT_DONE = "passed", "failed", "not verified"
PARTIAL = "passed in part"  # the result is as the source was where it was traced, not the source as a whole
UNPROVED = "unproved"  # what runs the source could not run it, or its answer is open


# why a result is not the source as a whole → what to call it
RESERVATIONS = {
    "decision": "a decision that is taken once and for all",
    "size": "a size that is fixed",
    "input": "an input that nothing reads",
    "state": "a state that each call starts anew",
}

# what a proof that has passed does not show, though the result is the source as a whole
ONE_SIZE = "open sizes of which only one was compared"
MEANS = "random numbers that are their means"


def one_size(found: Sequence[OneSize]) -> list[str]:
    """The reason that open sizes of which one was compared are; none where there are none."""
    return [f"{ONE_SIZE}: {', '.join(map(str, found))}"] if found else []


def reservation(kind: str, text: str) -> dict[str, str]:
    """One of :data:`RESERVATIONS`, in the form of the report."""
    assert kind in RESERVATIONS
    return {"kind": kind, "text": text}


@dataclass
class Proof:
    """What the comparison gave.

    Attributes:
        status: ``passed``, ``passed in part``, ``failed``, ``unproved`` where the source could not be run, or ``not
            verified`` with the reason.
        reason: one line; empty when passed. In part: what of the source the result does not have.
        reference: what ran the source.
        paddle: what ran the converted model.
        runtime: the name of that runtime (``paddle-2.3.2``, ``current``).
        inputs: ``random`` or the file that they came from.
        input_sets: per input set, name → shape.
        tolerance: see :class:`~mconv.proof.compare.Tolerance`.
        comparison: the figures per output, where both have run.
        error: what the converted model died of.
        seconds: how long it took.
        answers: what the converted model gave.
        notes: what a user should know of how it was done.
        unstable: whether the source gives other numbers itself where its inputs hardly change, so that others may show more.
    """

    status: str
    reason: str = ""
    reference: Optional[str] = None
    paddle: Optional[str] = None
    runtime: Optional[str] = None
    inputs: str = "random"
    input_sets: list[dict[str, list[int]]] = field(default_factory=list)
    tolerance: Tolerance = Tolerance()
    comparison: Optional[Comparison] = None
    error: Optional[MconvError] = None
    seconds: float = 0.0
    answers: Optional[Answers] = None
    notes: list[Note] = field(default_factory=list)
    unstable: bool = False

    @classmethod
    def unproved(cls, error: MconvError) -> Proof:
        """None, as the source cannot be run: *error* says why."""
        return cls(UNPROVED, error.message)

    @classmethod
    def not_done(cls, error: MconvError) -> Proof:
        """None, as *error* says that what it takes is not there."""
        return cls(NOT_DONE, f"{error.message}; {error.hint}" if error.hint else error.message)

    def judge(self, comparison: Comparison) -> None:
        """Say what came of the comparison."""
        self.comparison, self.reason = comparison, comparison.worst
        self.status = PASSED if comparison.ok else FAILED

    def died(self, error: MconvError) -> None:
        """Say that the converted model died of *error*."""
        self.status, self.reason, self.error = FAILED, error.message, error

    def reserve(self, reservations: Sequence[Mapping[str, str]]) -> None:
        """Say that it is no proof of the source as a whole, see :data:`RESERVATIONS`."""
        self.limit([RESERVATIONS[r["kind"]] for r in reservations])

    def limit(self, reasons: Sequence[str]) -> None:
        """Say that it does not show everything: the reasons go on its own line."""
        if self.status in (PASSED, PARTIAL) and reasons:
            self.status = PARTIAL
            self.reason = "; ".join(dict.fromkeys([*filter(None, [self.reason]), *reasons]))

    def why(self, option: str) -> str:
        """The reason, with what to do about it in a command that takes inputs by *option*."""
        return (
            f"{self.reason}: give it others with {option}" if self.unstable and self.status == FAILED else self.reason
        )

    def to_dict(self, option: str) -> dict[str, Any]:
        """For reports: JSON types only. *option*: by which the command takes inputs."""
        return {
            "status": self.status,
            "reason": self.why(option),
            "reference": self.reference,
            "paddle": self.paddle,
            "runtime": self.runtime,
            "inputs": self.inputs,
            "input_sets": self.input_sets,
            "tolerance": vars(self.tolerance),
            "outputs": [] if self.comparison is None else self.comparison.to_dict()["outputs"],
            "problems": [] if self.comparison is None else list(self.comparison.problems),
        }
