"""The vocabulary of Paddle operators that importers speak: one function each.

Every function takes the :class:`~mconv.program.builder.Builder` first and Values after it, gives Values, and works
out their types and symbolic shapes. Each chooses the form that the target knows, that Paddle's fusion passes
recognise and that is right under oneDNN; constants are computed here instead of at run time.
"""

from mconv.emit.elementwise import (
    arithmetic,
    as_dtype,
    binary,
    compare,
    logical,
    maximum,
    minimum,
    scale,
    unary,
    where,
)
from mconv.emit.gather import gather, gather_nd, lookup, take_along_axis
from mconv.emit.linear import linear, matmul
from mconv.emit.shape import (
    bind_shape,
    concat,
    dim_tensor,
    expand,
    fill,
    flatten,
    reshape,
    shape_of,
    shape_tensor,
    slice_,
    split,
    squeeze,
    transpose,
    unsqueeze,
)

__all__ = [
    "arithmetic",
    "as_dtype",
    "bind_shape",
    "binary",
    "compare",
    "concat",
    "dim_tensor",
    "expand",
    "fill",
    "flatten",
    "gather",
    "gather_nd",
    "linear",
    "logical",
    "lookup",
    "matmul",
    "maximum",
    "minimum",
    "reshape",
    "scale",
    "shape_of",
    "shape_tensor",
    "slice_",
    "split",
    "squeeze",
    "take_along_axis",
    "transpose",
    "unary",
    "unsqueeze",
    "where",
]
