"""What a runtime that loads a program in half precision has to be told."""

from __future__ import annotations

from typing import Optional

from mconv.passes.half_tables import LARGEST
from mconv.program import signatures
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.program.targets import Target

# Passes of a predictor on the GPU in Paddle 2.3.2, and the operator that each makes (read off by applying them: see
# tests/passes/test_gpu_packages.py).
_FUSIONS = {
    "embedding_eltwise_layernorm_fuse_pass": "fused_embedding_eltwise_layernorm",
    "multihead_matmul_fuse_pass_v2": "multihead_matmul",
    "multihead_matmul_fuse_pass_v3": "multihead_matmul",
    "fc_fuse_pass": "fc",
    "fc_elementwise_layernorm_fuse_pass": "fused_fc_elementwise_layernorm",
    "conv_elementwise_add_act_fuse_pass": "conv2d_fusion",
    "conv_elementwise_add2_act_fuse_pass": "conv2d_fusion",
    "conv_elementwise_add_fuse_pass": "conv2d_fusion",
    "transpose_flatten_concat_fuse_pass": "fusion_transpose_flatten_concat",
}
# from here on a predictor has passes of its own for programs in half precision (kGpuLowerPrecisionPasses)
_CHOOSES_ITSELF = 2004000


def dtype_of(program: Program) -> Optional[DType]:
    """What its operators, casts aside, compute in, where that is half precision; None for any other program."""
    for block, op in program.ops():
        if op.type not in ("cast", "feed", "fetch"):
            for name in (*op.input_names, *op.output_names):
                var = program.find_var(name, block)
                if var is not None and var.dtype in LARGEST:
                    return var.dtype
    return None


def for_gpus(program: Program) -> Optional[str]:
    """What to know of a program that computes in half precision; None for any other."""
    dtype = dtype_of(program)
    if dtype is None:
        return None
    return f"it computes in {dtype.label}, for which Paddle has kernels on GPUs alone: device_type 1 or 2"


def unfit_passes(target: Target, dtype: DType) -> list[str]:
    """The passes of a predictor on the GPU that fuse operators into one without a kernel for *dtype*: they have to be
    deleted before a program in half precision is loaded. None from Paddle 2.4 on, which leaves them out by itself."""
    if target.version >= _CHOOSES_ITSELF:
        return []
    kernels = signatures.gpu_operators(target, dtype)
    return [name for name, operator in _FUSIONS.items() if operator not in kernels]
