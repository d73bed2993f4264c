"""Computes nodes whose tensors are all constants, by PyTorch itself, instead of emitting operators for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Union

import numpy as np

from mconv import budget
from mconv.emit.complex import Complex
from mconv.emit.known import FOLD_LIMIT
from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.value import Value
from mconv.torch.context import AtenContext, tensor_source

# other numbers each time, or a tensor with nothing in it
_NEVER = ("rand", "randn", "randperm", "bernoulli", "dropout", "native_dropout", "multinomial", "normal", "uniform")


def evaluate(ctx: AtenContext, node: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The results of *node* as constants; None when they are not known now or too large to keep.

    What comes out may have as many elements as went in (weights that are transformed), or :data:`FOLD_LIMIT`.

    Raises:
        LimitError: so much has been computed before that the budget is exhausted.
    """
    name = str(node.target)
    if not name.startswith("aten."):  # what another library computes, in its own code, is not for us to run
        return None
    name = name.split(".")[1]
    if name in _NEVER or name.startswith(("empty", "rand", "sym_")):
        return None
    inputs: list[Value] = []
    if not _constant(args, inputs) or not _constant(tuple(kwargs.values()), inputs):
        return None
    value = node.meta.get("val")
    specs = value if isinstance(value, (list, tuple)) else [value]
    if not all(hasattr(v, "shape") and D.is_static([ctx.dim_of(s) for s in v.shape]) for v in specs):
        return None
    limit = max([FOLD_LIMIT, *(v.size or 0 for v in inputs)])
    counts = [math.prod(int(s) for s in v.shape) for v in specs]
    if sum(counts) > limit:
        return None
    # weights that are transformed are in proportion to the model, which may be in no file
    beyond = sum(counts) - sum(v.size or 0 for v in inputs)
    if beyond > 0:
        budget.memory(beyond * max(v.dtype.itemsize for v in specs), lambda: f"computing {node.name}")
    import torch

    with torch.no_grad():
        made = node.target(*_as_torch(ctx, args), **_as_torch(ctx, kwargs))
    results = made if isinstance(made, (list, tuple)) else [made]
    constants = [_value(ctx, r, node.name) for r in results]
    return constants if isinstance(made, (list, tuple)) else constants[0]


def parameter(ctx: AtenContext, tensor: Any, name: str) -> Union[Value, Complex]:
    """A tensor of the model as a parameter, or as one for each part of complex numbers."""
    if tensor.dtype.is_complex:
        parts = {"re": tensor.real.contiguous(), "im": tensor.imag.contiguous()}
        return Complex(*(ctx.param(tensor_source(p, ctx.widen), f"{name}.{which}") for which, p in parts.items()))
    return ctx.param(tensor_source(tensor, ctx.widen), name)


def _value(ctx: AtenContext, result: Any, name: str) -> Union[Value, Complex]:
    if result.dtype.is_complex:
        re, im = (_value(ctx, p, name) for p in (result.real, result.imag))
        assert isinstance(re, Value) and isinstance(im, Value)
        return Complex(re, im)
    if result.numel() <= FOLD_LIMIT and str(result.dtype) != "torch.bfloat16":
        return ctx.constant(tensor_source(result.contiguous(), ctx.widen).array())
    return ctx.param(tensor_source(result.contiguous(), ctx.widen), name)


def _constant(arguments: Any, inputs: list[Value]) -> bool:
    """Whether nothing in *arguments* is known only at run time; collects the tensors."""
    if isinstance(arguments, (list, tuple)):
        return all(_constant(a, inputs) for a in arguments)
    if isinstance(arguments, Complex):
        return _constant((arguments.re, arguments.im), inputs)
    if isinstance(arguments, Value):
        inputs.append(arguments)
        return arguments.is_const and arguments.dtype is not DType.BF16
    return arguments is None or isinstance(arguments, (bool, int, float, str, complex, DType)) or _is_option(arguments)


def _is_option(argument: Any) -> bool:
    return type(argument).__name__ in ("device", "layout", "memory_format")


def _as_torch(ctx: AtenContext, argument: Any) -> Any:
    import torch

    if isinstance(argument, dict):
        return {k: torch.device("cpu") if k == "device" else _as_torch(ctx, v) for k, v in argument.items()}
    if isinstance(argument, (list, tuple)):
        return type(argument)(_as_torch(ctx, a) for a in argument)
    if isinstance(argument, Complex):
        return torch.complex(_as_torch(ctx, argument.re), _as_torch(ctx, argument.im))
    if isinstance(argument, Value):
        array = np.asarray(argument.const)
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    if isinstance(argument, DType):
        return ctx.torch_dtype(argument)
    if type(argument).__name__ == "device":
        return torch.device("cpu")
    return argument
