"""What a program does with the whole numbers that it is given: rows of tables, lengths of sequences."""

from __future__ import annotations

from collections.abc import Iterator

from mconv.program.program import Op, Program

# operators that pass indices on unchanged (apart from shape and type): parameter of the input
_CARRIERS = {
    "cast": "X", "assign": "X", "reshape2": "X", "reshape": "X", "unsqueeze2": "X", "unsqueeze": "X",
    "squeeze2": "X", "squeeze": "X", "flatten_contiguous_range": "X", "transpose2": "X", "slice": "Input",
}  # fmt: skip
# operators that look rows up in a table: parameter of the indices, parameter of the table
_LOOKUPS = {"lookup_table": ("Ids", "W"), "lookup_table_v2": ("Ids", "W"), "gather": ("Index", "X")}


def sequence_lengths(program: Program) -> set[str]:
    """The inputs that recurrent layers take as the lengths of their sequences: none may be longer than there are steps."""
    return {
        origin[name]
        for op, origin in _origins(program)
        if op.type == "rnn"
        for name in op.input("SequenceLength")
        if name in origin
    }


def _origins(program: Program) -> Iterator[tuple[Op, dict[str, str]]]:
    """Each operator of the main block, and the inputs whose values the tensors before it hold unchanged."""
    origin = {port.name: port.name for port in program.feeds}
    for op in program.main.ops:
        if op.type in _CARRIERS:
            for source in op.input(_CARRIERS[op.type])[:1]:
                if source in origin:
                    origin.update(dict.fromkeys(op.output("Out"), origin[source]))
        yield op, origin


def rows_of_tables(program: Program) -> dict[str, int]:
    """Input → how many rows the smallest table has that it indexes."""
    limits: dict[str, int] = {}
    for op, origin in _origins(program):
        if op.type in _LOOKUPS:
            ids, table = (op.input(parameter)[:1] for parameter in _LOOKUPS[op.type])
            var = program.find_var(table[0]) if table else None
            rows = var.shape[0] if var is not None and var.persistable and var.shape else -1
            if ids and ids[0] in origin and rows > 0:
                name = origin[ids[0]]
                limits[name] = min(limits.get(name, rows), rows)
    return limits
