"""Inputs that are to have one value for good: ``--const sr=16000``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from mconv.errors import UsageError
from mconv.onnx import ports
from mconv.onnx.reader import OnnxModel
from mconv.onnx.types import storage_dtype, type_name
from mconv.program.constant_values import array_of
from mconv.program.near import unknown


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
            raise unknown("--const", "input", name, inputs)
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
    try:
        dtype: Optional[np.dtype] = storage_dtype(kind.elem_type)
    except KeyError:
        dtype = None
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in kind.shape.dim]
    return array_of(name, value, dtype, type_name(kind.elem_type), dims if kind.HasField("shape") else None)
