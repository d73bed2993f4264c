"""Tensors that are known to have no elements while a model is converted: a slice ``3:1``, an empty index, a size of 0.

Paddle's kernels fail on them, in other ways in every release and with oneDNN. So no operator is given one, nor made for
one: what has no elements is known by its shape alone, and what an operator gives of nothing is known for most. Sizes that
turn out to be 0 at run time are :mod:`mconv.emit.zero_size`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from mconv.emit.of_nothing import INTO, NORMS, OF_NOTHING, number_of_nothing
from mconv.emit.shape import fill
from mconv.errors import UnsupportedError
from mconv.program.builder import Builder
from mconv.program.value import Results, Spec, Value

# what makes one, hands one on or looks at its sizes alone
_SOUND = frozenset(
    {"fill_constant", "assign", "shape", "fill_any_like", "write_to_array", "read_from_array", "select_input"}
)


def given(
    b: Builder, op_type: str, results: Optional[Results], operands: Mapping[str, Any]
) -> Optional[tuple[Value, ...]]:
    """What an operator gives that is given, or gives, no elements; None where it is to be appended as it is.

    Raises:
        UnsupportedError: it is not known what it gives of no elements.
    """
    values = [
        v for o in operands.values() for v in (o if isinstance(o, (list, tuple)) else (o,)) if isinstance(v, Value)
    ]
    nothing = any(_none(v.shape) for v in values)
    specs = _specs(results, values)
    empty = [_none(shape) for _, shape in specs]
    if op_type in _SOUND or not (specs and all(empty) or nothing):
        return None
    if all(empty):
        return tuple(_filled(b, 0, spec) for spec in specs)
    if op_type == "rnn" and empty[0]:  # the states after no step are those before
        return (_filled(b, 0, specs[0]), *operands["PreState"])
    if op_type in NORMS and empty[0]:  # its statistics, which nothing reads
        return tuple(_filled(b, 0, spec) for spec in specs)
    if op_type == "concat":
        return (b.op("concat", **{**operands, "X": [v for v in values if not _none(v.shape)]}, result=specs[0]),)
    if op_type in INTO:
        return (operands[INTO[op_type]],)
    if op_type in OF_NOTHING:
        return tuple(_filled(b, number_of_nothing(OF_NOTHING[op_type], spec[0]), spec) for spec in specs)
    raise UnsupportedError(f"{op_type} would be given no elements, and what it gives of none is not known to mconv")


def _none(shape: Any) -> bool:
    return shape is not None and 0 in shape


def _specs(results: Optional[Results], values: list[Value]) -> list[Spec]:
    if results is None:
        return [(values[0].dtype, values[0].shape)] if values else []
    return [s for spec in results.values() for s in (spec if isinstance(spec, list) else [spec])]


def _filled(b: Builder, number: Any, spec: Spec) -> Value:
    dtype, shape = spec
    if shape is None:
        raise UnsupportedError("the shape of what has no elements is not known")
    return fill(b, shape, number, dtype)
