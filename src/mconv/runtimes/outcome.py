"""What a worker answers: results, or why there are none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

import numpy as np

from mconv.errors import RuntimeFailedError


class WorkerError(RuntimeFailedError):
    """A model could not be loaded or run in a runtime.

    Attributes:
        stage: ``load`` or ``run``; ``start`` when the process did not come up.
        signal: name of the signal that killed the process (``SIGSEGV``), or None.
        timed_out: whether mconv killed it for taking too long.
        log: what the runtime printed.
    """

    def __init__(
        self,
        message: str,
        hint: Optional[str] = None,
        *,
        stage: str,
        signal: Optional[str] = None,
        timed_out: bool = False,
        log: str = "",
    ):
        super().__init__(message, hint)
        self.stage = stage
        self.signal = signal
        self.timed_out = timed_out
        self.log = log


@dataclass(frozen=True)
class RunResult:
    """What a model answered.

    Attributes:
        outputs: per input set, the outputs in the order of *names*; bfloat16 as its uint16 bits.
        names: the outputs' names, those asked for with ``fetch`` last.
        dtypes: per input set, Paddle's name of each output's type (``bfloat16`` is told apart here).
        version: the Paddle that ran it.
        engine: ``predictor`` or ``executor``, whichever ran it.
        load_seconds: time to load the model (0 when the worker still had it).
        seconds: per input set, time of the run.
    """

    outputs: list[list[np.ndarray]]
    names: list[str]
    dtypes: list[list[str]]
    version: str
    engine: str
    load_seconds: float
    seconds: list[float]


@dataclass(frozen=True)
class Observed:
    """The tensors of a program's main block in one run.

    Attributes:
        shapes: name → each shape that it was seen with and how often, in order; ``()`` for a scalar, where the Paddle has
            such.
        numbers: name → the same with the elements of small integer tensors, flat.
    """

    shapes: dict[str, list[tuple[tuple[int, ...], int]]]
    numbers: dict[str, list[tuple[tuple[int, ...], int]]]


_NOISE = re.compile(r"-{3,}|\*{3}|\[Hint|\[TimeInfo|\[SignalInfo|\[operator|\(at |$")
_FRAME = re.compile(r"^\d+ +(\S[^\n(]*)", re.MULTILINE)


def last_words(log: str) -> str:
    """The one line of a Paddle message or log that says what went wrong; empty if there is none.

    Knows Paddle's three forms: a block headed ``Error Message Summary:``, the text of an exception
    (``ValueError: (InvalidArgument) …``, details below it) and the report of a fatal signal, of which the
    innermost C++ frame is added. Of anything else it is the last line.
    """
    summary = log.rpartition("Error Message Summary:")[2]
    lines = [line.strip() for line in summary.splitlines() if not _NOISE.match(line.strip())]
    if not lines:
        return ""
    stated = len(summary) < len(log)
    # Paddle 2 puts the Python that made the operator before its reason
    errors = [x for x in lines if re.match(r"\w*(Error|Exception): ", x) and not x.endswith("In user code:")]
    line = lines[0] if stated else next(iter(errors), lines[-1])
    line = re.sub(r"\s*\(at [^()]*:\d+\)$", "", line)
    operator = re.search(r"\[operator < (\w+) > error\]", summary)
    frames = _FRAME.findall(log) if "is detected by the operating system" in line else []
    if operator:
        line += f" (operator {operator[1]})"
    elif frames:
        line += f" (in {frames[-1].strip()})"
    return line
