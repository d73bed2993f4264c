"""Weights of PyTorch as numpy arrays, described without being copied."""

from __future__ import annotations

from typing import Any

import numpy as np


def described(tensor: Any) -> tuple[tuple[int, ...], str, str]:
    """The shape, the kind of numbers (``float``, ``int``, ``bool``), and why a tensor cannot become an array (empty
    when it can)."""
    shape = tuple(int(d) for d in tensor.shape)
    if isinstance(tensor, np.ndarray):
        kinds = {"b": "bool", "i": "int", "u": "int", "f": "float"}
        kind = "float" if tensor.dtype == np.uint16 else kinds.get(tensor.dtype.kind, "")
        return shape, kind, "" if kind else f"holds {tensor.dtype}"
    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.device.type == "meta":
        return shape, "float", "has no values (meta)"
    if tensor.is_quantized or str(tensor.layout) != "torch.strided" or tensor.is_nested:
        what = name if tensor.is_quantized else str(tensor.layout)
        return shape, "float", f"is stored as {what}"
    if name in ("float32", "float64", "float16", "bfloat16"):
        return shape, "float", ""
    if name == "bool":
        return shape, "bool", ""
    if name in ("int64", "int32", "int16", "int8", "uint8"):
        return shape, "int", ""
    return shape, "", f"holds {name}"


def array(tensor: Any) -> np.ndarray:
    """The values; bfloat16 as its uint16 bits."""
    if isinstance(tensor, np.ndarray):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if str(tensor.dtype) == "torch.bfloat16":
        import torch

        return tensor.contiguous().view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()
