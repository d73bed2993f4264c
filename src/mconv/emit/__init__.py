"""The vocabulary of Paddle operators that importers speak: one function each.

Every function takes the :class:`~mconv.program.builder.Builder` first and Values after it, gives Values, and works
out their types and symbolic shapes. Each chooses the form that the target knows, that Paddle's fusion passes
recognise and that is right under oneDNN; constants are computed here instead of at run time.
"""

from mconv.emit.control import cond, loop, unrolled
from mconv.emit.detection import non_max_suppression
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
from mconv.emit.gather import gather, gather_blocks, gather_nd, lookup, take_along_axis
from mconv.emit.generate import arange, eye, iota, one_hot, tile, triangle
from mconv.emit.linear import linear, matmul
from mconv.emit.pad import pad
from mconv.emit.reorder import (
    compress,
    depth_to_space,
    nonzero,
    reverse_sequence,
    slice_at_run_time,
    space_to_depth,
    unique,
)
from mconv.emit.scatter import scatter_elements, scatter_nd
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
    sizes_of,
    slice_,
    split,
    squeeze,
    transpose,
    unsqueeze,
)
from mconv.emit.slicing import flip, split_evenly

__all__ = [
    "cond",
    "loop",
    "unrolled",
    "non_max_suppression",
    "arange",
    "eye",
    "iota",
    "one_hot",
    "tile",
    "triangle",
    "pad",
    "compress",
    "depth_to_space",
    "nonzero",
    "reverse_sequence",
    "slice_at_run_time",
    "space_to_depth",
    "unique",
    "scatter_elements",
    "scatter_nd",
    "flip",
    "split_evenly",
    "gather_blocks",
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
    "sizes_of",
    "slice_",
    "split",
    "squeeze",
    "take_along_axis",
    "transpose",
    "unary",
    "unsqueeze",
    "where",
]
