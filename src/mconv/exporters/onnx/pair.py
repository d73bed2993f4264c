"""A complex tensor as its real and its imaginary part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mconv.program.dtypes import DType
from mconv.program.value import Value

# what an input of complex numbers is in ONNX: its parts in a last dimension of 2, as ONNX's DFT has them
CARRIED = {DType.COMPLEX64: DType.FP32, DType.COMPLEX128: DType.FP64}


@dataclass(frozen=True)
class Pair:
    """A complex tensor: what a variable holds instead of a Value; an operator that does not know it is refused."""

    real: Value
    imaginary: Value


PARTWISE = frozenset(
    [
        "assign",
        "transpose2",
        "reshape2",
        "squeeze2",
        "unsqueeze2",
        "slice",
        "strided_slice",
        "gather",
        "index_select",
        "flip",
        "concat",
        "stack",
        "expand_v2",
        "tile",
        "reduce_sum",
        "reduce_mean",
        "roll",
    ]
)  # what is done to both parts alike


def parts(arguments: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The arguments of an operator for the real and the imaginary part; attributes and real tensors are the same."""

    def part(argument: Any, which: str) -> Any:
        if isinstance(argument, list):
            return [part(a, which) for a in argument]
        return getattr(argument, which) if isinstance(argument, Pair) else argument

    return [part(a, "real") for a in arguments], [part(a, "imaginary") for a in arguments]


def is_complex(argument: Any) -> bool:
    return any(isinstance(a, Pair) for a in (argument if isinstance(argument, list) else [argument]))
