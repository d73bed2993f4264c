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
from mconv.emit.elementwise import arithmetic, binary, compare, logical, maximum, minimum, scale, unary, where
from mconv.emit.gather import gather, gather_nd, take_along_axis
from mconv.emit.generate import tile
from mconv.emit.known import INT32_MAX, bind_shape, dims_of, foldable
from mconv.emit.linear import linear, matmul
from mconv.emit.ranges import iota
from mconv.emit.reorder import space_to_depth
from mconv.emit.shape import expand, expand_to, fill, flatten, repeated, reshape, squeeze, transpose, unsqueeze
from mconv.emit.sizes import dim_tensor, shape_of, shape_tensor, sizes_of
from mconv.emit.slicing import concat, flip, slice_, sliced_dim, split

__all__ = [
    "INT32_MAX", "arithmetic", "bind_shape", "binary", "compare", "concat", "dim_tensor", "dims_of", "expand",
    "expand_to", "fill", "flatten", "flip", "foldable", "gather", "gather_nd", "iota", "linear", "logical", "matmul",
    "maximum", "minimum", "no_elements", "of_nothing", "repeated", "reshape", "scale", "shape_of", "shape_tensor",
    "sizes_of", "slice_", "sliced_dim", "space_to_depth", "split", "squeeze", "take_along_axis", "tile", "transpose",
    "unary", "unsqueeze", "where",
]  # fmt: skip
