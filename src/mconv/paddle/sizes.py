"""Sizes of an operation's results that the file leaves open, in those of its operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.value import Value

Shape = Optional[Sequence[Optional[D.Dim]]]  # None: nothing is known of it, or of one of its dimensions
# (the operands' shapes, the attributes) → the shape of each result
Rule = Callable[[Sequence[tuple], Mapping[str, Any]], Sequence[Any]]


def _of_first(count: int = 1) -> Rule:
    return lambda shapes, attrs: [shapes[0]] * count


def _first_of_first(count: int = 1, dims: int = 1) -> Rule:
    """The first dimensions are the first operand's, as a batch; how many others there are, the file says."""
    return lambda shapes, attrs: [_Begins(shapes[0][:dims])] * count


class _Begins(tuple):
    """The first dimensions of a shape, of which the others are not known."""


def _without_axis(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    shape, keep = shapes[0], attrs.get("keepdim")
    axis = attrs.get("axis", -1) % max(len(shape), 1)
    made = tuple(1 if i == axis else d for i, d in enumerate(shape) if keep or i != axis)
    return [made, made]


def _along_diagonal(rows: D.Dim, columns: D.Dim, offset: int) -> D.Dim:
    """How many elements the diagonal of a matrix has that is *offset* columns from the main one."""
    rows, columns = (rows, columns - offset) if offset >= 0 else (rows + offset, columns)
    return D.maximum(D.minimum(rows, columns), 0) if offset else D.minimum(rows, columns)


def _diagonal(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    shape = shapes[0]
    axes = [attrs[k] % len(shape) for k in ("axis1", "axis2")]
    rest = tuple(d for i, d in enumerate(shape) if i not in axes)
    return [(*rest, _along_diagonal(shape[axes[0]], shape[axes[1]], attrs.get("offset", 0)))]


def _trace(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    return [_diagonal(shapes, attrs)[0][:-1]]


def _diag(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    shape, offset = shapes[0], attrs.get("offset", 0)
    if len(shape) == 2:
        return [(_along_diagonal(*shape, offset),)]
    size = (shape[0] if shape else 1) + abs(offset)
    return [(size, size)]


def _meshgrid(shapes: Sequence[Any], attrs: Mapping[str, Any]) -> Sequence[Any]:
    whole = tuple(s[0] if s else 1 for s in shapes[0])
    return [[whole] * len(shapes[0])]


def _kron(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    rank = max(len(s) for s in shapes[:2])
    left, right = ((1,) * (rank - len(s)) + tuple(s) for s in shapes[:2])
    return [tuple(a * b for a, b in zip(left, right))]


def _frame(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    return [_Begins(shapes[0][:-1]) if attrs.get("axis", -1) in (-1, len(shapes[0]) - 1) else None]


def _overlap_add(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    return [_Begins(shapes[0][:-2]) if attrs.get("axis", -1) in (-1, len(shapes[0]) - 1) else None]


def _smaller(shape: tuple) -> D.Dim:
    return D.minimum(shape[-2], shape[-1])


def _lu(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    shape = shapes[0]
    return [shape, (*shape[:-2], _smaller(shape)), shape[:-2] or None]


def _lu_unpack(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    shape = shapes[0]
    batch, rows, columns, small = shape[:-2], shape[-2], shape[-1], _smaller(shape)
    return [(*batch, rows, rows), (*batch, rows, small), (*batch, small, columns)]


def _qr(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    shape = shapes[0]
    size = shape[-2] if attrs.get("mode") == "complete" else _smaller(shape)
    return [(*shape[:-1], size), (*shape[:-2], size, shape[-1])]


def _svd(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    shape = shapes[0]
    small = _smaller(shape)
    left, right = (shape[-2], shape[-1]) if attrs.get("full_matrices") else (small, small)
    return [(*shape[:-1], left), (*shape[:-2], small), (*shape[:-2], right, shape[-1])]


def _repeated(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    axis = attrs.get("axis", 0) % max(len(shapes[0]), 1)
    return [[None if i == axis else d for i, d in enumerate(shapes[0])]]


def _batch_size_like(shapes: Sequence[tuple], attrs: Mapping[str, Any]) -> Sequence[Any]:
    made: list[Optional[D.Dim]] = [None] * len(attrs["shape"])
    made[attrs["output_dim_idx"]] = shapes[0][attrs["input_dim_idx"]]
    return [made]


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("angle", "channel_shuffle", "imag", "index_put", "inverse", "real"), _of_first()),
    **dict.fromkeys(("cummax", "cummin"), _of_first(2)),
    **dict.fromkeys(("fractional_max_pool2d", "fractional_max_pool3d"), _first_of_first(2, dims=2)),
    **dict.fromkeys(("kthvalue", "mode"), _without_axis),
    **dict.fromkeys(("eigh", "eigvalsh"), lambda shapes, attrs: [shapes[0][:-1], shapes[0]]),
    "deformable_conv": _first_of_first(),
    "diag": _diag,
    "diagonal": _diagonal,
    "frame": _frame,
    "full_batch_size_like": _batch_size_like,
    "kron": _kron,
    "lp_pool2d": _first_of_first(),
    "lu": _lu,
    "lu_unpack": _lu_unpack,
    "meshgrid": _meshgrid,
    "overlap_add": _overlap_add,
    "qr": _qr,
    "repeat_interleave_with_tensor_index": _repeated,
    "searchsorted": lambda shapes, attrs: [shapes[1]],
    "svd": _svd,
    "trace": _trace,
    "yolo_loss": _first_of_first(3),
}


def spread(like: Any, rank: int) -> Optional[list[Optional[D.Dim]]]:
    """What a rule says of a shape, for each of *rank* dimensions; None where it is of another rank."""
    if like is None or len(like) > rank or (len(like) < rank and not isinstance(like, _Begins)):
        return None
    return [*like, *[None] * (rank - len(like))]


def of(name: str, operands: Sequence[Any], attrs: Mapping[str, Any]) -> Sequence[Any]:
    """What is known of the shape of each result of the operation *name* (without ``pd_op.``); empty where nothing is."""
    rule = _RULES.get(name) or _RULES.get(name.removesuffix("_"))
    if rule is None:
        return ()
    shapes: list[Any] = []
    for operand in operands:
        values = operand if isinstance(operand, list) else [operand]
        if any(v is not None and (not isinstance(v, Value) or v.shape is None) for v in values):
            return ()
        found = [() if v is None else v.shape for v in values]
        shapes.append(found if isinstance(operand, list) else found[0])
    try:
        return rule(shapes, attrs)
    except (IndexError, KeyError, ValueError):  # an operand or attribute that the file lacks: the translation says so
        raise UnsupportedError("its operands are not of the ranks that it takes") from None
