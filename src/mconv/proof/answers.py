"""The answers of two runners, compared by position."""

from __future__ import annotations

from dataclasses import replace

from mconv.onnx.types import CARRIED
from mconv.proof import order
from mconv.proof.compare import Comparison, Tolerance, compare
from mconv.proof.runners import Answers


def without_ones(wanted: Answers, got: Answers) -> Answers:
    """What an older Paddle gives as shape [1] without that dimension where the other has none."""
    rows = [
        [a.reshape(()) if a.shape == (1,) and b.shape == () else a for a, b in zip(row, other)]
        for row, other in zip(wanted.outputs, got.outputs)
    ]
    return replace(wanted, outputs=rows)


def compare_answers(
    wanted: Answers, got: Answers, *, tolerance: Tolerance = Tolerance(), scalar_as_one: bool = False
) -> Comparison:
    """Compare by position; a type that Paddle lacks counts as the wider one in which a program carries it."""
    outputs, labels = [], []
    for row, names, found in zip(wanted.outputs, wanted.dtypes, got.dtypes):
        values, kinds = list(row), list(names)
        for index, (name, other) in enumerate(zip(names, found)):
            if CARRIED.get(name) == other:
                values[index], kinds[index] = row[index].astype(other), other
        outputs.append(values)
        labels.append(kinds)
    made = compare(
        outputs,
        got.outputs,
        wanted.names,
        tolerance=tolerance,
        dtypes=labels,
        got_dtypes=got.dtypes,
        scalar_as_one=scalar_as_one,
    )
    if not made.ok and not made.problems:
        order.settle(made, outputs, got.outputs, tolerance)
    return made
