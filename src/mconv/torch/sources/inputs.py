"""What a module is called with, guessed from its ``forward`` and its first layer."""

from __future__ import annotations

from typing import Any, Optional

from mconv.errors import UsageError
from mconv.factory import inputs as factory_inputs
from mconv.factory.inputs import Input
from mconv.program.dtypes import DType
from mconv.torch.dtypes import paddle_dtype
from mconv.torch.sources.source import Source

_SPATIAL = {"Conv1d": ("length",), "Conv2d": ("height", "width"), "Conv3d": ("depth", "height", "width")}


def dtype_of(dtype: Any, name: str) -> DType:
    """Paddle's type for a ``torch.dtype``.

    Raises:
        UsageError: there is none.
    """
    found = paddle_dtype(dtype)
    if found is None:
        raise UsageError(f"input {name}: Paddle has no tensors of {dtype}")
    return found


def guess(source: Source) -> None:
    """Fill in the inputs of a module of unknown origin; they stay empty where nothing can be said."""
    try:
        call = factory_inputs.guess(source.module.forward, lambda n: from_layer(n, source.module), source.label)
    except (UsageError, ValueError, TypeError):  # no signature: said when the inputs are needed
        return
    source.inputs = [Input(i.name, i.dtype, i.dims, i.limit or rows(i, source.module)) for i in call.inputs]
    source.guessed = True


def rows(one: Input, module: Any) -> Optional[int]:
    """The size of the vocabulary, as the bound of ids: that of the first table."""
    if one.name not in ("input_ids", "src_ids") or not one.dtype.is_int:
        return one.limit
    tables = (m for m in module.modules() if getattr(m, "original_name", type(m).__name__) == "Embedding")
    return next((int(m.weight.shape[0]) for m in tables), None)


def from_layer(name: str, module: Any) -> Optional[Input]:
    """The input of the first layer that has weights; checked later by running it.

    Works on the shapes of the weights, which TorchScript keeps when it forgets the attributes.
    """
    for layer in module.modules():
        own = dict(layer.named_parameters(recurse=False))
        if not own:
            continue
        kind = getattr(layer, "original_name", type(layer).__name__)
        weight = own.get("weight")
        if kind in _SPATIAL and weight is not None:
            channels = int(weight.shape[1]) * int(getattr(layer, "groups", 1))
            return Input(name, dtype_of(weight.dtype, name), ("batch", channels, *_SPATIAL[kind]))
        if kind == "Linear" and weight is not None:
            return Input(name, dtype_of(weight.dtype, name), ("batch", int(weight.shape[1])))
        if kind == "Embedding" and weight is not None:
            return Input(name, DType.INT64, ("batch", "length"), int(weight.shape[0]))
        if kind in ("LSTM", "GRU", "RNN", "MultiheadAttention") and hasattr(layer, "batch_first"):
            width = int(layer.input_size if hasattr(layer, "input_size") else layer.embed_dim)
            order = ("batch", "length") if layer.batch_first else ("length", "batch")
            return Input(name, dtype_of(next(iter(own.values())).dtype, name), (*order, width))
        return None
    return None
