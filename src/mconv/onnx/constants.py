"""Inputs that are to have one value for good: ``--const sr=16000``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mconv.errors import UsageError
from mconv.onnx import ports
from mconv.onnx.reader import OnnxModel, storage_dtype, type_name


def fix_inputs(model: OnnxModel, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Turn inputs of the main graph into initializers, in place.

    Args:
        values: input → number, bool, or nested lists of them; a single one fills the declared shape.

    Returns:
        What they hold, for feeding the file itself.

    Raises:
        UsageError: there is no such input, or it cannot hold the value.
    """
    from onnx import helper, numpy_helper

    graph = model.proto.graph
    inputs = {i.name: i for i in graph.input}
    fixed: dict[str, np.ndarray] = {}
    for name, value in values.items():
        if name not in inputs:
            raise UsageError(f"--const {name}: the model has no such input", f"its inputs are {', '.join(inputs)}")
        fixed[name] = _array(name, value, ports.tensor_type(inputs[name]))
    kept = [i for i in graph.input if i.name not in fixed]
    if fixed and not kept:
        raise UsageError("--const fixes every input: nothing would be left to feed")
    tensors = [t for t in graph.initializer if t.name not in fixed]
    for name, array in fixed.items():
        tensor = numpy_helper.from_array(array, name)
        if helper.np_dtype_to_tensor_dtype(array.dtype) != inputs[name].type.tensor_type.elem_type:
            raise UsageError(f"--const {name}: an input of {_label(inputs[name])} cannot be given as a constant")
        tensors.append(tensor)
    if fixed:
        del graph.input[:]
        graph.input.extend(kept)
        del graph.initializer[:]
        graph.initializer.extend(tensors)
    return fixed


def _label(info: Any) -> str:
    return type_name(info.type.tensor_type.elem_type)


def _array(name: str, value: Any, kind: Any) -> np.ndarray:
    label = type_name(kind.elem_type)
    try:
        dtype = storage_dtype(kind.elem_type)
        given = np.asarray(value)
        if given.dtype.kind not in "biuf":
            raise ValueError
        with np.errstate(all="ignore"):
            array = given.astype(dtype)
        exact = dtype.kind == "f" or bool((array == given).all())
    except (ValueError, TypeError, OverflowError, KeyError):
        exact = False
    if not exact:
        raise UsageError(f"--const {name}: {value!r} is no value of {label}", f"as in --const {name}=1")
    if not kind.HasField("shape"):
        return array
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in kind.shape.dim]
    if array.ndim == 0 and dims:
        return np.full([1 if d is None else d for d in dims], array)
    if array.ndim != len(dims) or any(d is not None and d != s for d, s in zip(dims, array.shape)):
        wanted = ", ".join("?" if d is None else str(d) for d in dims)
        raise UsageError(f"--const {name}: it has shape {list(array.shape)}, the input [{wanted}]")
    return array
