"""The vocabulary of Paddle operators that importers speak: one function each.

Every function takes the :class:`~mconv.program.builder.Builder` first and Values after it, gives Values, and works
out their types and symbolic shapes. Each chooses the form that the target knows, that Paddle's fusion passes
recognise and that is right under oneDNN; constants are computed here instead of at run time.

In layers, each of which knows those before it only: what is known of a tensor (:mod:`~mconv.emit.known`,
:mod:`~mconv.emit.zero_size`), operators on operands that fit (:mod:`~mconv.emit.operators`), arithmetic on sizes
(:mod:`~mconv.emit.size_arithmetic`, :mod:`~mconv.emit.sizes`), views and repetition (:mod:`~mconv.emit.shape`),
broadcasting (:mod:`~mconv.emit.elementwise`), sizes that come from data (:mod:`~mconv.emit.padding`,
:mod:`~mconv.emit.ranges`, :mod:`~mconv.emit.selection`), cutting and choosing (:mod:`~mconv.emit.slicing`,
:mod:`~mconv.emit.gather`), and on these the families.
"""

from mconv.emit import (
    no_elements,
    of_nothing,  # it watches the operators of programs in which a size comes from data
)
from mconv.emit.control import cond, loop, unrolled
from mconv.emit.detection import non_max_suppression
from mconv.emit.elementwise import (
    arithmetic,
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
from mconv.emit.generate import eye, one_hot, tile, triangle
from mconv.emit.known import INT32_MAX, axis_of, bind_shape, dims_of, foldable, need_rank
from mconv.emit.linear import linear, matmul
from mconv.emit.pad import pad
from mconv.emit.ranges import arange, iota
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
from mconv.emit.shape import expand, expand_to, fill, flatten, repeated, reshape, squeeze, transpose, unsqueeze
from mconv.emit.sizes import dim_tensor, shape_of, shape_tensor, sizes_of
from mconv.emit.slicing import concat, flip, slice_, sliced_dim, split, split_evenly

__all__ = [
    "INT32_MAX",
    "axis_of",
    "dims_of",
    "expand_to",
    "foldable",
    "need_rank",
    "sliced_dim",
    "no_elements",
    "of_nothing",
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
    "repeated",
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
