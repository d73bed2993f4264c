"""What half precision is on a GPU: its range, what stays float32, and what only moves numbers.

From Paddle's ``auto_mixed_precision_pass.cc`` (2.6), which the tests compare with.
"""

from __future__ import annotations

from mconv.program.dtypes import DType

LARGEST = {DType.FP16: 65504.0, DType.BF16: 3.3895313892515355e38}
LEAST = {DType.FP16: 2.0**-14, DType.BF16: 2.0**-126}  # the least number with all its digits
# what becomes of larger numbers in weights, filled tensors and masks: a score that is added does not reach infinity
SATURATED = {dtype: largest / 2 for dtype, largest in LARGEST.items()}

# auto_mixed_precision_pass.cc: what loses too much in half, has no half kernel worth the name, or is a cast itself
FLOAT_OPERATORS = frozenset(
    """
    cast exp square log mean sum softmax_with_cross_entropy sigmoid_cross_entropy_with_logits cross_entropy
    cross_entropy2 conv2d_transpose depthwise_conv2d_transpose reduce_sum cumsum logsumexp p_norm norm
    l2_normalize linspace range
    """.split()  # noqa: SIM905
)
# the same pass: statistics and weights that the half kernels read as float32
_NORM = ("Bias", "Mean", "Scale", "Variance")
FLOAT_INPUTS = {
    "batch_norm": _NORM,
    "sync_batch_norm": _NORM,
    "instance_norm": ("Bias", "Scale"),
    "nearest_interp_v2": ("Scale",),
    "bilinear_interp_v2": ("Scale",),
    "bicubic_interp_v2": ("Scale",),
    "linear_interp_v2": ("Scale",),
    "trilinear_interp_v2": ("Scale",),
    "scale": ("ScaleTensor",),
}
FLOAT_OUTPUTS = {
    "batch_norm": ("MeanOut", "VarianceOut", "SavedMean", "SavedVariance"),
    "sync_batch_norm": ("MeanOut", "VarianceOut", "SavedMean", "SavedVariance"),
    "instance_norm": ("SavedMean", "SavedVariance"),
    "layer_norm": ("Mean", "Variance"),
    "group_norm": ("Mean", "Variance"),
}
# operators that move numbers and compute none: they take the type that their input has, so that no cast is made for them
MOVING = frozenset(
    """
    reshape2 reshape transpose2 transpose squeeze2 squeeze unsqueeze2 unsqueeze flatten2 flatten_contiguous_range
    slice strided_slice split concat stack unstack unbind expand_v2 expand_as_v2 tile gather gather_nd
    index_select assign pad pad2d pad3d roll flip dropout
    """.split()  # noqa: SIM905
)
FILLING = ("fill_constant", "fill_constant_batch_size_like", "fill_any_like", "fill_zeros_like")
# operators that look at a tensor's shape alone
SIZES = ("shape", "size")
# what has a size of its own whatever it reads: a mask of -1e9 ends there
BOUNDED = frozenset(
    ["softmax", "sigmoid", "hard_sigmoid", "tanh", "erf", "sign", "sin", "cos", "relu6"]
    + ["layer_norm", "instance_norm", "group_norm"]
)
