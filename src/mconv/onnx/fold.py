"""Computes nodes whose inputs are all known, instead of emitting operators for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv.emit.elementwise import FOLD_LIMIT, foldable
from mconv.onnx.registry import normal_domain
from mconv.onnx.sanity import outputs_of
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

# not computed here: other results each time, other graphs inside, or work that belongs into the model
_NEVER = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
        "Dropout",
        "If",
        "Loop",
        "Scan",
        "SequenceMap",
        "Identity",
    }
)


def evaluate(
    b: Builder, node: Any, opsets: dict[str, int], inputs: Sequence[Optional[Value]]
) -> Optional[list[Optional[Value]]]:
    """The outputs of *node* as constants, or None when they are not known now (or too large to keep)."""
    if normal_domain(node.domain) != "" or node.op_type in _NEVER or not inputs or not any(inputs):
        return None
    if not foldable(*inputs) or any(v is not None and v.data is not None and not v.is_const for v in inputs):
        return None
    arrays = [None if v is None else np.asarray(v.const) for v in inputs]
    quick = _QUICK.get(node.op_type)
    if quick is not None and len(node.output) == 1 and not node.attribute:
        with np.errstate(all="ignore"):
            return [b.constant(quick(*arrays))]
    if not _small(node, opsets, inputs):
        return None
    return _reference(b, node, opsets, arrays)


def _small(node: Any, opsets: dict[str, int], inputs: Sequence[Optional[Value]]) -> bool:
    """Whether the results are small enough to be kept; computing others could take all memory."""
    import onnx

    try:
        types = outputs_of(node, opsets, inputs)
    except onnx.shape_inference.InferenceError:
        return False  # the converter says what is wrong
    if types is None:
        return False
    # what ONNX does not infer depends on the values: no operator but those of _GROWING makes more than all pairs
    most = math.prod(max(1, v.size or 0) for v in inputs if v is not None)
    for kind in types.values():
        if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            known = None
        else:
            dims = kind.tensor_type.shape.dim
            known = math.prod(d.dim_value for d in dims) if all(d.HasField("dim_value") for d in dims) else None
        if known is None and (node.op_type in _GROWING or most > _PAIRS):
            return False
        if known is not None and not 0 <= known <= FOLD_LIMIT:
            return False
    return True


_PAIRS = 1 << 22
_GROWING = frozenset(
    """
    BlackmanWindow CenterCropPad Col2Im ConstantOfShape Expand EyeLike HammingWindow HannWindow MaxUnpool
    MelWeightMatrix OneHot Pad Range Resize Tile Upsample DFT STFT
    """.split()  # noqa: SIM905
)


_QUICK: dict[str, Any] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Equal": np.equal,
    "Less": np.less,
    "Greater": np.greater,
    "Not": np.logical_not,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Sqrt": np.sqrt,
}


def _reference(
    b: Builder, node: Any, opsets: dict[str, int], arrays: Sequence[Optional[np.ndarray]]
) -> Optional[list[Optional[Value]]]:
    """ONNX's own definition of the operator, by its reference evaluator."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = [n for n, a in zip(node.input, arrays) if a is not None]
    feeds = {n: a for n, a in zip(node.input, arrays) if a is not None}
    graph = helper.make_graph(
        [node],
        "fold",
        [
            helper.make_value_info(n, helper.make_tensor_type_proto(_onnx_type(feeds[n]), None))
            for n in dict.fromkeys(names)
        ],
        [helper.make_empty_tensor_value_info(o) for o in node.output if o],
    )
    imports = [helper.make_opsetid(d, v) for d, v in opsets.items()]
    try:
        model = helper.make_model(graph, opset_imports=imports)
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # noqa: BLE001 - what the evaluator cannot do is emitted as an operator and judged there
        return None
    outputs: list[Optional[Value]] = []
    made = iter(results)
    for name in node.output:
        result = next(made) if name else None
        if getattr(getattr(result, "dtype", None), "name", "") == "bfloat16":  # so from onnx 1.19 on
            result = np.asarray(result).astype(np.float32)
        if name and not _keepable(result):
            return None
        outputs.append(None if result is None else b.constant(np.asarray(result)))
    return outputs


def _onnx_type(array: np.ndarray) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(array.dtype))


def _keepable(result: Any) -> bool:
    if not isinstance(result, (np.ndarray, np.generic)) or np.size(result) > FOLD_LIMIT:
        return False
    try:
        DType.of(result.dtype)
    except (KeyError, TypeError):
        return False
    return True
