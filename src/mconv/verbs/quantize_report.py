"""What ``mconv quantize`` says of what it made, and the figures in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np

from mconv.page.shown import Shown
from mconv.proof import labelled
from mconv.proof.labelled import Labelled


@dataclass
class QuantizedLayer:
    """A layer.

    Attributes:
        name: its output variable.
        operator: its type.
        activation: what it reads.
        range: the magnitude of the activation that becomes 127.
        largest: the largest magnitude on the calibration data.
        error: ‖difference‖ / ‖float32‖ of the first output where this layer alone is quantised, with ``--onednn``
            by its int8 kernel; None: not asked.
        int8: whether it computes in int8.
    """

    name: str
    operator: str
    activation: str
    range: float
    largest: float
    error: Optional[float] = None
    int8: bool = True


@dataclass
class QuantizedOutput:
    """One output on the data that were held back.

    Attributes:
        name: of the output.
        error: ‖difference‖ / ‖float32‖ over all sets; None where one of the two is not finite or the shapes differ.
        agreement: the share of rows whose largest element is the same; None where an output has no such rows.
        ok: whether the error is within the limit, or what the labels say.
    """

    name: str
    error: Optional[float]
    agreement: Optional[float]
    ok: bool


@dataclass
class Int8Run:
    """The same program with int8 kernels of oneDNN.

    Attributes:
        runtime: where.
        operators: operators that compute in int8, by type, as the runtime's log says.
        error: ‖difference‖ / ‖emulation‖ of the first output.
        accuracy: as the report's.
    """

    runtime: str
    operators: dict[str, int]
    error: Optional[float]
    accuracy: Optional[float]


@dataclass(repr=False)
class QuantizeReport(Shown):
    """What ``mconv quantize`` made.

    Attributes:
        source: what was read.
        program, params: the files made.
        target: the Paddle that loads it.
        status: ``passed``; a model that fails is not written.
        runtime: where calibration and proof ran.
        method: how ranges were chosen: ``minmax``, ``percentile``, ``mse`` or ``kl``.
        methods: method → error on the calibration data, of those that were tried.
        calibration, proof: rows of the data.
        held_back: whether the proof's data are others than the calibration's.
        limit: what was allowed: of the drop in accuracy with labels, of the error without.
        accuracy: ``float32`` and ``int8``, the share of right answers; empty without labels.
        layers: of every layer, what was found.
        coarse: products whose weights oneDNN's int8 kernels round by scales that are not theirs (Paddle 2.5 to 3.3), by
            their outputs: ‖difference‖ / ‖weight‖, where that is above 4%.
        outputs: the figures of every output.
        int8: with int8 kernels of oneDNN; None where the runtime has none.
        bytes: size of the parameters before and after.
        warnings: what to know.
    """

    source: Path
    program: Path
    params: Path
    target: str
    status: str
    runtime: str
    method: str = ""
    methods: dict[str, Optional[float]] = field(default_factory=dict)
    calibration: int = 0
    proof: int = 0
    held_back: bool = True
    limit: float = 0.0
    accuracy: dict[str, float] = field(default_factory=dict)
    layers: list[QuantizedLayer] = field(default_factory=list)
    coarse: dict[str, float] = field(default_factory=dict)
    outputs: list[QuantizedOutput] = field(default_factory=list)
    int8: Optional[Int8Run] = None
    bytes: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def judge(
    report: QuantizeReport,
    wanted: Sequence[Sequence[np.ndarray]],
    got: Sequence[Sequence[np.ndarray]],
    sets: Sequence[Labelled],
    names: Sequence[str],
) -> bool:
    """Put the figures into the report; returns whether all is within its limit."""
    before, after = (labelled.accuracy([row[0] for row in rows], sets) for rows in (wanted, got))
    report.accuracy = {} if before is None or after is None else {"float32": before, "int8": after}
    right = None if before is None or after is None else before - after <= report.limit + 1e-9
    report.outputs = []
    for index, name in enumerate(names):
        error = error_of(wanted, got, index)
        ok = error is not None and (error <= report.limit if right is None else right)
        report.outputs.append(QuantizedOutput(name, error, agreement(wanted, got, index), ok))
    return all(row.ok for row in report.outputs)


def error_of(
    wanted: Sequence[Sequence[np.ndarray]], got: Sequence[Sequence[np.ndarray]], index: int
) -> Optional[float]:
    """‖difference‖ / ‖wanted‖ of the output at *index* over all sets; None where one is not finite or the shapes differ.

    Of what is no floating point number, the share of elements that differ.
    """
    off = whole = 0.0
    for a_row, b_row in zip(wanted, got):
        a, b = a_row[index], b_row[index]
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            return None
        if a.dtype.kind == "f":
            a, b = a.astype(np.float64), b.astype(np.float64)
            off += float(((a - b) ** 2).sum())
            whole += float((a**2).sum())
        else:
            off += float((a != b).sum()) ** 2
            whole += float(a.size) ** 2
    return (off / whole) ** 0.5 if whole else (0.0 if not off else None)


def agreement(
    wanted: Sequence[Sequence[np.ndarray]], got: Sequence[Sequence[np.ndarray]], index: int
) -> Optional[float]:
    """The share of rows of the last axis whose largest element is at the same position; None where there is no such axis."""
    same = total = 0
    for a_row, b_row in zip(wanted, got):
        a, b = a_row[index], b_row[index]
        if a.shape != b.shape or a.dtype.kind != "f" or a.ndim < 2 or a.shape[-1] < 2 or not a.size:
            return None
        same += int((a.argmax(-1) == b.argmax(-1)).sum())
        total += a[..., 0].size
    return same / total if total else None
