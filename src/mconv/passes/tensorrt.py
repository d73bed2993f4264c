"""Which operators of a program Paddle hands to TensorRT, and the tensors at the border of those parts.

Read from Paddle's ``inference/tensorrt/op_teller.cc``. Only the operators' names are looked at: what their attributes
and the number of dimensions rule out is taken for TensorRT's here, so that the real parts are at most smaller, and
each of their borders is a tensor of the program all the same.
"""

from __future__ import annotations

from mconv.program.program import Program
from mconv.program.targets import PADDLE_2_6, Target

# since Paddle 2.3, with TensorRT 7 or 8 and CUDA 10.2 or later; 2.3's matmul_v2 becomes matmul or mul in a pass before
_EVER = frozenset(
    """
    affine_channel anchor_generator batch_norm bilinear_interp_v2 clip concat conv2d conv2d_transpose conv3d
    conv3d_transpose deformable_conv depthwise_conv2d depthwise_conv2d_transpose dropout elementwise_add
    elementwise_div elementwise_mul elementwise_sub flatten flatten2 flatten_contiguous_range gather gather_nd
    gelu hard_sigmoid hard_swish instance_norm layer_norm leaky_relu matmul matmul_v2 mish mul nearest_interp
    nearest_interp_v2 pad pool2d pool3d prelu reduce_mean reduce_sum relu relu6 reshape reshape2 roi_align roll
    scale shuffle_channel sigmoid slice softmax split stack strided_slice swish tanh tile transpose transpose2
    yolo_box
    """.split()  # noqa: SIM905
)
# 2.3 alone
_OLD = frozenset(
    """
    conv2d_fusion fc multiclass_nms multiclass_nms3
    """.split()  # noqa: SIM905
)
# 2.6 and 3 alone
_NEW = frozenset(
    """
    abs acos acosh arg_max arg_min argsort asin asinh assign atan atanh bitwise_and bitwise_not bitwise_or bmm
    cast ceil celu cos cosh cumsum dequantize_linear elementwise_floordiv elementwise_max elementwise_min
    elementwise_mod elementwise_pow elu equal erf exp expand_as_v2 expand_v2 fill_any_like fill_constant flip
    floor greater_equal greater_than grid_sampler group_norm index_put isnan_v2 less_equal less_than log
    logical_and logical_not logical_or logical_xor logsigmoid lookup_table lookup_table_v2 not_equal one_hot
    one_hot_v2 p_norm pad3d pow quantize_linear range reciprocal reduce_all reduce_any reduce_max reduce_min
    reduce_prod rsqrt selu shape share_data sign silu sin sinh size softplus softsign sqrt square squeeze2 stanh
    sum take_along_axis tan tanh_shrink temporal_shift thresholded_relu top_k top_k_v2 unbind unsqueeze2 where
    """.split()  # noqa: SIM905
)


def operators(target: Target) -> frozenset[str]:
    """The operators that Paddle of *target* hands to TensorRT, if their attributes allow it."""
    return _EVER | (_NEW if target.version >= PADDLE_2_6.version else _OLD)


def border(program: Program, target: Target) -> list[str]:
    """The tensors that TensorRT's parts of the main block are fed: those that it reads and does not compute itself.

    Returns:
        names in the order in which they are read; parameters are not among them.
    """
    inside = operators(target)
    block = program.main
    computed: set[str] = set()
    found: dict[str, None] = {}
    for op in block.ops:
        if op.type in inside:
            for name in op.input_names:
                var = block.vars.get(name)
                if name not in computed and var is not None and not var.persistable:
                    found[name] = None
            computed.update(op.output_names)
        else:
            computed.difference_update(op.output_names)
    return list(found)
