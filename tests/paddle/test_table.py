"""The table of operations against the operator tables of the installed releases."""

from __future__ import annotations

import pytest

from mconv.paddle.registry import handlers
from mconv.paddle.table import ROWS
from mconv.program import signatures, targets

NEWEST_FIRST = list(targets.TARGETS.values())[::-1]


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    """Some release has the operator with all of the row's inputs, outputs and attributes."""
    row = ROWS[name]
    found = []
    for target in NEWEST_FIRST:
        sig = signatures.find(target, row.op)
        if sig is None:
            continue
        wrong = [s.input for s in row.inputs if s and s.input and s.input not in sig.inputs]
        wrong += [s.attr for s in row.inputs if s and s.attr and not s.input and s.attr not in sig.attrs]
        wrong += [o for o in row.outputs if o and o not in sig.outputs]
        wrong += [a for a in row.attrs.values() if a and a not in sig.attrs]
        if not wrong:
            return
        found.append(f"{target}: {', '.join(wrong)}")
    pytest.fail(f"{row.op}: {'; '.join(found) or 'no release has it'}")


def test_functions_and_rows_are_told_apart() -> None:
    """A row under a function's name is there for the function to use, on releases that have the operator."""
    both = sorted(n for n in ROWS if f"pd_op.{n}" in handlers())
    for name in both:
        function = handlers()[f"pd_op.{name}"].function
        assert {"generic", "table_op"} & {*function.__code__.co_names}, f"{name}: the row is never used"


def test_every_function_says_what_it_needs() -> None:
    for name, handler in handlers().items():
        if handler.attrs is not None:
            assert handler.needed <= handler.attrs, name
