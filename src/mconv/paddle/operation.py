"""The normal form of an operator of Paddle: what both readers give, and what the converters take.

PIR's operations and ProgramDesc's operators are the same under two spellings. The normal form has PIR's names
(``ops.yaml``), its order of operands and its attributes; :mod:`.pir_reader` reads it off a ``.json``,
:mod:`.desc_reader` off the operators of a ``.pdmodel``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional, Union

from mconv.program.dtypes import DType


@dataclass(frozen=True)
class TensorType:
    """A dense tensor: element type (None: one that Paddle's older formats lack) and dims, -1 = known at run time."""

    dtype: Optional[DType]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class OtherType:
    """A value that is no dense tensor (tensor array, selected rows, sparse tensor, …), by its kind in the file."""

    kind: str
    dtype: Optional[DType] = None


# a list is a vector of values; None an output that the operator did not give
Type = Union[TensorType, OtherType, list, None]


@dataclass
class Operation:
    """One operation.

    Attributes:
        name: ``pd_op.matmul``, ``builtin.combine``, ``cf.yield``, ``builtin.parameter``, …
        attrs: attribute → Python value (an element type is a :class:`DType`, or None when undefined).
        inputs: value ids; 0 is an optional operand left out.
        outputs: (value id, type).
        regions: blocks of the operation's own.
    """

    name: str
    attrs: dict[str, Any]
    inputs: list[int]
    outputs: list[tuple[int, Type]]
    regions: list[list[OperationBlock]] = field(default_factory=list)


@dataclass
class OperationBlock:
    """Operations in order, and the values that the block is entered with."""

    args: list[tuple[int, Type]]
    ops: list[Operation]
