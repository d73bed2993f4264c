"""What operators give of no elements: where a size that comes from data disappears in one, and is truly 0.

See :mod:`mconv.emit.zero_size`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mconv.emit.padding import or_else
from mconv.emit.selection import without_padding
from mconv.emit.zero_size import counted, vanishes, when_counted
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

# what an operator gives in which a size of 0 disappears
OF_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("reduce_sum", "matmul_v2", "matmul", "mul", "bmm", "dot", "mv", "addmm"), 0),
    **dict.fromkeys(("sum", "p_norm", "frobenius_norm", "squared_l2_norm", "dist", "histogram", "size", "trace"), 0),
    **dict.fromkeys(("searchsorted", "prior_box"), 0),
    **dict.fromkeys(("reduce_mean", "mean"), math.nan),
    **dict.fromkeys(("reduce_max", "reduce_amax", "logsumexp"), -math.inf),
    **dict.fromkeys(("reduce_min", "reduce_amin"), math.inf),
    **dict.fromkeys(("reduce_prod",), 1),
    "reduce_all": 1,
    "is_empty": 1,
    "reduce_any": 0,
}
# operators that choose elements, of which there have to be some: a model whose tensor has none fails there itself
_CHOICES = frozenset((
    "gather", "gather_nd", "lookup_table_v2", "lookup_table", "take_along_axis", "index_select", "index_sample",
    "slice", "strided_slice", "squeeze2", "reshape2", "flatten_contiguous_range", "unstack", "unbind", "split",
    "arg_max", "arg_min", "kthvalue", "mode", "top_k_v2", "expand", "expand_v2", "tile", "set_value",
))  # fmt: skip
# operators that treat each element of the first dimension for itself, however open its size is declared
_BY_ROW = frozenset((
    "affine_channel", "affine_grid", "as_complex", "as_real", "batch_norm", "bce_loss", "bicubic_interp_v2",
    "bilinear_interp_v2", "conv2d", "conv2d_transpose", "conv3d", "conv3d_transpose", "cumprod", "cumsum",
    "deformable_conv", "deformable_conv_v1", "depthwise_conv2d", "depthwise_conv2d_transpose", "cholesky",
    "cholesky_solve", "determinant", "diag_embed", "fft_c2c", "fft_c2r", "fft_r2c", "grid_sampler", "group_norm",
    "huber_loss", "inverse", "matrix_power", "matrix_rank", "instance_norm", "label_smooth", "layer_norm",
    "linear_interp_v2", "log_loss", "lrn", "max_pool2d_with_index", "max_pool3d_with_index", "maxout",
    "nearest_interp_v2", "one_hot_v2", "pad3d", "pixel_shuffle", "pixel_unshuffle", "pool2d", "pool3d", "prelu",
    "searchsorted", "sequence_mask", "slogdeterminant", "solve", "shuffle_channel", "space_to_depth",
    "triangular_solve", "trilinear_interp_v2", "unfold", "unpool", "unpool3d", "yolo_box", "yolov3_loss",
))  # fmt: skip
# operators whose first dimension is that of this input
_ROWS_OF = {"roi_align": "ROIs", "roi_pool": "ROIs", "psroi_pool": "ROIs"}
# operators that put elements into a tensor, which stays as it is where there are none: the tensor's parameter
INTO = {"scatter": "X", "scatter_nd_add": "X", "put_along_axis": "Input", "index_add": "X", "index_put": "x"}
# operators with statistics beside their result, which nothing reads
NORMS = frozenset({"batch_norm", "group_norm", "instance_norm", "layer_norm"})
# of these the size that disappears is only looked at, or they are dealt with where they are emitted
_OF_SIZES = frozenset((
    "assign", "bincount", "concat", "equal_all", "fill_any_like", "generate_proposals_v2", "lu", "nms",
    "select_input", "shape", "unique", "unique_consecutive", "where_index", "write_to_array",
))  # fmt: skip
# the same elements, or some of them
_VIEWS = frozenset(
    ["reshape2", "transpose2", "slice", "strided_slice", "cast", "squeeze2", "unsqueeze2", "flatten_contiguous_range"]
)
# operators that not every matrix is taken by: the parameter of theirs that padding has to be an identity for
_REGULAR = {
    **dict.fromkeys(
        ("cholesky", "eig", "eigh", "eigvals", "eigvalsh", "matrix_power", "solve", "triangular_solve"), "X"
    ),
    **dict.fromkeys(("determinant", "inverse", "slogdeterminant"), "Input"),
    "cholesky_solve": "Y",
}
_WINDOWS = ("conv", "depthwise_conv", "pool", "unfold", "fold")


def _values(operands: Mapping[str, Any]) -> Iterator[Value]:
    for operand in operands.values():
        for value in operand if isinstance(operand, (list, tuple)) else (operand,):
            if isinstance(value, Value):
                yield value


@when_counted
def watch(b: Builder) -> None:
    """Look after what each operator of *b* from now on is given and gives, and after the outputs of the model."""
    b.before_op = functools.partial(prepared, b)
    b.after_op = functools.partial(settled, b)
    b.before_fetch = functools.partial(without_padding, b)


def prepared(b: Builder, op_type: str, operands: dict[str, Any]) -> None:
    """Give an operator for padding what it takes.

    Raises:
        UnsupportedError: there is none that it takes.
    """
    if op_type == "temporal_shift" and counted(b, [d for v in _values(operands) for d in v.shape or ()]):
        raise UnsupportedError("a size that comes from data may be 0, and temporal_shift divides it among frames")
    key = _REGULAR.get(op_type, "")
    x = operands.get(key)
    if not isinstance(x, Value) or not counted(b, x.shape or ()):
        return
    rank, shape = x.rank or 0, x.shape or ()
    size = shape[-1]
    if rank < 2 or shape[-2] != size:
        raise UnsupportedError(f"{op_type} of a matrix that may have no rows, and is not said to have as many columns")
    identity = np.eye(size if isinstance(size, int) else 1, dtype=x.dtype.numpy)
    sizes = [d for d in shape if counted(b, [d]) and vanishes(b, d)]
    if sizes:
        operands[key] = or_else(b, sizes, x, b.constant(identity.reshape((1,) * (rank - 2) + identity.shape), x.dtype))


def settled(b: Builder, op_type: str, operands: Mapping[str, Any], made: tuple[Value, ...]) -> tuple[Value, ...]:
    """What an operator gave, with what it gives of nothing where a size from data has disappeared in it and is 0.

    Raises:
        UnsupportedError: it is not known what it gives of nothing.
    """
    if op_type in _OF_SIZES:
        return made
    if op_type in _VIEWS and any(v.name in b.zero_padded for v in _values(operands)):
        b.zero_padded.add(made[0].name or "")
    given = counted(b, [d for v in _values(operands) for d in v.shape or ()])
    if not given:
        return made
    if op_type == "rnn" and not counted(b, operands["Input"].shape[2:]):  # the states after no step are those before
        before = operands["PreState"]
        last = 1 + len(before)
        lost = given - counted(b, made[1].shape or ())
        states = (or_else(b, lost, s, p) if lost else s for s, p in zip(made[1:last], before))
        return made[0], *states, *made[last:]
    if op_type in NORMS:
        return _settled_value(b, op_type, operands, given, made[0]), *made[1:]
    return tuple(_settled_value(b, op_type, operands, given, v) for v in made)


def _settled_value(b: Builder, op_type: str, operands: Mapping[str, Any], given: set[D.Sym], made: Value) -> Value:
    if made.shape is None:
        return made
    if op_type.startswith(_WINDOWS):
        _check_windows(b, op_type, made.shape)
    if op_type == "gather_nd":
        _name_gathered(b, operands, made)
    lost = given - counted(b, made.shape)
    if lost and (op_type in _BY_ROW or op_type in _ROWS_OF):
        lost -= _first_size_kept(b, op_type, operands, made)
    if not lost or op_type in _CHOICES:
        return made
    sizes = _may_be_none(b, lost, operands)
    if not sizes:
        return made
    if op_type in INTO:
        return or_else(b, sizes, made, operands[INTO[op_type]])
    if op_type in OF_NOTHING:
        return or_else(b, sizes, made, _of_nothing(b, OF_NOTHING[op_type], made))
    raise UnsupportedError(
        f"a size that comes from data may be 0, and what {op_type} gives of no elements is not known to mconv"
    )


def _may_be_none(b: Builder, lost: set[D.Sym], operands: Mapping[str, Any]) -> list[D.Dim]:
    """The sizes to look at: those of *lost*, or where none of them empties a dimension for itself, that dimension.

    ``d + 1`` is never empty: what is selected is joined to something that is there.
    """
    dims = [d for v in _values(operands) for d in v.shape or ()]
    sizes: dict[D.Dim, None] = {}
    for size in lost:
        within = [d for d in dims if size in counted(b, [d])]
        if any(vanishes(b, d) for d in within):
            sizes[size] = None
        else:
            sizes.update(dict.fromkeys(d for d in within if not _never_none(b, d)))
    return list(sizes)


def _never_none(b: Builder, dim: D.Dim) -> bool:
    """Whether *dim* is a sum of sizes and of a number above 0."""
    if not isinstance(dim, D.Sym) or min(dim.terms.values()) < 0:
        return False
    return () in dim.terms and all(isinstance(atom, str) for monomial in dim.terms for atom in monomial)


def _name_gathered(b: Builder, operands: Mapping[str, Any], made: Value) -> None:
    """The sizes of what ``gather_nd`` gives are those of its operands, also where they are said to be open."""
    shape, index = operands["X"].shape, operands["Index"].shape
    if not shape or not index or not isinstance(index[-1], int):
        return
    named = (*index[:-1], *shape[index[-1] :])
    if made.shape is not None and len(named) == len(made.shape):
        made.shape = tuple(n if counted(b, [n]) else d for n, d in zip(named, made.shape))


def _first_size_kept(b: Builder, op_type: str, operands: Mapping[str, Any], made: Value) -> set[D.Sym]:
    """The sizes from data of the first dimension of an input, where an output's is said to be open: it is the same.

    So is a batch declared in Paddle's own programs.
    """
    first = operands.get(_ROWS_OF.get(op_type, ""), next(_values(operands)))
    if not isinstance(first, Value) or not first.shape or not made.shape:
        return set()
    size = made.shape[0]
    if not isinstance(size, D.Sym) or size in b.origins or not counted(b, first.shape[:1]):
        return set()
    made.shape = (first.shape[0], *made.shape[1:])
    return counted(b, first.shape[:1])


def _check_windows(b: Builder, op_type: str, shape: Sequence[D.Dim]) -> None:
    """Windows over no elements but those of their padding give something, which is not what the padding here gives."""
    for dim in shape:
        none = D.substitute(dim, dict.fromkeys(counted(b, [dim]), 0))
        if counted(b, [dim]) and not (isinstance(none, int) and none <= 0):
            raise UnsupportedError(f"a size that comes from data may be 0, and {op_type} gives {none} elements of none")


def number_of_nothing(value: Any, dtype: DType) -> Any:
    """A value of :data:`OF_NOTHING` as a type has it."""
    if dtype.is_int and value in (math.inf, -math.inf):
        limits = np.iinfo(dtype.numpy)
        return limits.max if value > 0 else limits.min
    if not dtype.is_float and isinstance(value, float) and math.isnan(value):
        return 0
    return value


def _of_nothing(b: Builder, value: Any, made: Value) -> Value:
    dtype = made.dtype
    number = number_of_nothing(value, dtype)
    return b.constant(np.full([1] * max(made.rank or 0, 1), number, dtype.numpy), dtype)
