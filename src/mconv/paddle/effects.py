"""Operations that write into their operand: who reads that operand later sees the result."""

from __future__ import annotations

from typing import Optional

from mconv.paddle.operation import Operation, OperationBlock

# whose trailing underscore says something else: statistics that inference leaves alone, arrays that are variables
_OTHERS = frozenset({"pd_op.batch_norm_", "pd_op.sync_batch_norm_", "pd_op.array_write_"})


def overwritten(op: Operation) -> Optional[int]:
    """The id of the value that *op* replaces by its first output, if it does."""
    if not op.name.endswith("_") or op.name in _OTHERS:
        return None
    index = 1 if op.name == "pd_op.assign_out_" else 0
    return (op.inputs[index] or None) if index < len(op.inputs) and op.outputs else None


def written_from_outside(*blocks: OperationBlock) -> tuple[list[int], list[int]]:
    """The ids of the values, and of the tensor arrays, of outer blocks that *blocks* (or theirs) write into."""
    values: dict[int, None] = {}
    arrays: dict[int, None] = {}

    def visit(block: OperationBlock, own: set[int]) -> None:
        own = own | {ident for ident, _ in block.args}
        for op in block.ops:
            ident = overwritten(op)
            if ident is not None and ident not in own:
                values.setdefault(ident)
            if op.name == "pd_op.array_write_" and op.inputs and op.inputs[0] not in own:
                arrays.setdefault(op.inputs[0])
            for region in op.regions:
                for inner in region:
                    visit(inner, own)
            own = own | {ident for ident, _ in op.outputs}

    for block in blocks:
        visit(block, set())
    return list(values), list(arrays)
