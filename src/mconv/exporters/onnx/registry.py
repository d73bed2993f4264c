"""The registry of Paddle operators: one function that says an operator in ONNX's.

The signature is the schema: positional parameters are the operator's inputs under Paddle's names (a parameter
annotated as a list takes every variable of the input, another exactly one; ``None`` when left out), keyword-only
parameters its attributes with their defaults. The function gives a Value, or a tuple of Values (a list for an output
of many variables, None for one that it does not compute) in the order of the declared outputs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, Optional

from mconv.program.plugins import load_families

# what says nothing about the result, in any operator
NOISE = frozenset((
    "op_callstack", "op_namescope", "op_role", "op_role_var", "op_device", "with_quant_attr", "is_test",
    "use_cudnn", "use_mkldnn", "use_onednn", "use_quantizer", "mkldnn_data_type", "onednn_data_type",
    "workspace_size_MB", "exhaustive_search", "fuse_relu_before_depthwise_conv", "use_addto", "force_fp32_output",
    "skip_quant", "quantization_type", "bit_length", "out_threshold", "op_func_id", "data_format_mkldnn",
    "trainable_statistics", "op_trainable_statistics", "is_sparse", "remote_prefetch", "entry_config", "entry",
    "padding_mkldnn", "ring_id", "use_calc_stream", "name", "seed", "fix_seed", "use_global_stats",
    "fuse_with_relu", "fuse_relu", "fuse_activation_mkldnn", "Input_scale", "Output_scale", "Scale_in", "Scale_out",
    "Scale_weights", "Scale_in_eltwise", "Scale_x", "Scale_y", "Scale_out_", "fuse_brelu", "fuse_brelu_threshold",
    "fuse_alpha", "fuse_beta", "fuse_residual_connection", "x_data_format", "y_data_format", "place", "place_type",
    "enable_gpu_fp16", "momentum", "moving_rate", "window_size", "in_dtype", "force_cpu", "infer_flags",
    "im2col_step", "is_distributed", "numeric_stable_mode", "dst_place_type", "inplace", "quant_round_type",
    "quant_max_bound", "quant_min_bound", "x0_threshold", "weight_quantize", "struct_name", "chunk_id",
    "stop_gradient", "persistable",
))  # fmt: skip


@dataclass(frozen=True)
class Input:
    """An input of an operator.

    Attributes:
        name: in Paddle.
        many: it takes all variables of the input, in a list.
        required: it must be there.
        tensors: it takes tensors only, not what else a variable may hold (a complex pair, a tensor array).
    """

    name: str
    many: bool
    required: bool
    tensors: bool


@dataclass(frozen=True)
class Converter:
    """A registered function and what its signature says.

    Attributes:
        op: the operator's name in Paddle.
        outputs: the names of the outputs that it gives, in order.
        attributes: those that it takes, and the parameter for each (``lambda`` is ``lambda_``).
        required: those of them without a default.
        whole: it is given the context alone, and reads and writes the variables itself.
    """

    op: str
    function: Callable[..., Any]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, str]
    required: frozenset[str]
    whole: bool = False

    @property
    def where(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"


_converters: dict[str, Converter] = {}


def paddle_op(
    *names: str, outputs: Sequence[str] = ("Out",), whole: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the converter of the Paddle operators *names*.

    It is called as ``f(ctx, *inputs, **attributes)``, where *ctx* is a
    :class:`~mconv.exporters.onnx.context.Context`.

    Args:
        outputs: Paddle's names of the outputs that it gives; others of the operator must not be read.
        whole: it is called as ``f(ctx)``, and reads and writes the program's variables itself (control flow).

    Raises:
        ValueError: one of them has a converter already, or the signature does not follow the form.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            made = _describe(name, function, tuple(outputs), whole)
            known = _converters.get(name)
            if known is not None and known.where != made.where:
                raise ValueError(f"{name} is converted by {known.where} already")
            _converters[name] = made
        return function

    return register


def _describe(name: str, function: Callable[..., Any], outputs: tuple[str, ...], whole: bool) -> Converter:
    inputs: list[Input] = []
    attributes: dict[str, str] = {}
    required = set()
    for i, p in enumerate(inspect.signature(function).parameters.values()):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ValueError(f"{name}: inputs and attributes must be named, not {p}")
        if p.kind is p.KEYWORD_ONLY:
            called = p.name.rstrip("_")  # `lambda`, and names of helpers
            attributes[called] = p.name
            if p.default is p.empty:
                required.add(called)
        elif i > 0:  # the first is the context
            tensors = str(p.annotation) in ("Value", "Optional[Value]", "list[Value]")
            inputs.append(Input(p.name, "list[" in str(p.annotation), p.default is p.empty, tensors))
    return Converter(name, function, tuple(inputs), outputs, attributes, frozenset(required), whole)


def find(name: str) -> Optional[Converter]:
    """The converter of a Paddle operator, or None."""
    _load()
    return _converters.get(name)


def known() -> Iterable[Converter]:
    """Every registered converter, sorted by the operator's name."""
    _load()
    return [_converters[name] for name in sorted(_converters)]


@functools.cache
def _load() -> None:
    """Import every family of operators."""
    from mconv.exporters.onnx import ops

    load_families(ops)
