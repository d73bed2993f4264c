"""Computes nodes whose inputs are all known, instead of emitting operators for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from mconv import budget
from mconv.emit.known import FOLD_LIMIT, foldable
from mconv.errors import CorruptModelError
from mconv.onnx import cpp
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
    """Whether the results, and the work that they take, are small enough; computing others could take all memory.

    Raises:
        CorruptModelError: ONNX's inference dies of the node.
        LimitError: so much has been computed before that the budget is exhausted.
    """
    sizes = [v.size or 0 for v in inputs if v is not None]
    pairs = math.prod(max(1, size) for size in sizes)
    plain = node.op_type in _PLAIN
    if node.op_type == "ConstantOfShape":
        known: Optional[int] = _product(inputs[0])
    elif plain and pairs <= FOLD_LIMIT:
        known = pairs
    else:
        known = _inferred(node, opsets, inputs)
    if known is None and plain and pairs <= _PAIRS:  # what ONNX does not infer depends on the values
        known = pairs
    if known is None or not 0 <= known <= FOLD_LIMIT:
        return False
    steps = (sum(sizes) + 1) * (known + 1) * (1 if plain else math.prod(_numbers(node)))
    if not plain and steps > _STEPS:
        return False
    if plain:
        steps = min(steps, pairs + known) if node.op_type in _PAIRWISE else sum(sizes) + known
    budget.work(_EACH + steps, lambda: f"computing {node.op_type}")
    return True


def _product(shape: Optional[Value]) -> Optional[int]:
    """The number of elements that a shape asks for."""
    if shape is None or shape.const is None:
        return None
    dims = [int(d) for d in np.ravel(shape.const)]
    return None if any(d < 0 for d in dims) else math.prod(dims)


def _inferred(node: Any, opsets: dict[str, int], inputs: Sequence[Optional[Value]]) -> Optional[int]:
    """The number of elements of the largest output as ONNX infers it, or None."""
    try:
        types = outputs_of(node, opsets, inputs)
    except cpp.Died as e:
        raise CorruptModelError(str(e)) from None
    except cpp.Refused:
        return None  # the converter says what is wrong
    most = 0
    for kind in (types or {}).values():
        if not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
            return None
        dims = kind.tensor_type.shape.dim
        if not all(d.HasField("dim_value") and d.dim_value >= 0 for d in dims):
            return None
        most = max(most, math.prod(d.dim_value for d in dims))
    return most if types else None


def _numbers(node: Any) -> list[int]:
    """The sizes of what the attributes say: a kernel, paddings, a length."""
    found = []
    for attribute in node.attribute:
        found += [abs(attribute.i), *(abs(i) for i in attribute.ints), int(min(abs(attribute.f), 1e9))]
    return [n for n in found if n > 1]


_PAIRS = 1 << 22
_STEPS = 1 << 22  # of an operator whose work does not follow from the sizes of its inputs and outputs
_EACH = 1 << 14  # operations that calling the evaluator costs
# operators whose outputs are no larger than all pairs of their inputs' elements, and whose work is no more either
_PLAIN = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast
    CastLike Ceil Celu Clip Compress Concat Cos Cosh CumSum DequantizeLinear Div Elu Equal Erf Exp Flatten Floor Gather
    GatherElements GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less
    LessOrEqual Log LogSoftmax MatMul Max Mean Min Mish Mod Mul Neg NonZero Not Or PRelu Pow QuantizeLinear Reciprocal
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    Relu Reshape Round ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
    Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu TopK Transpose Trilu Unique Unsqueeze Where Xor
    """.split()  # noqa: SIM905
)
# those of them that do more than to go once through what they take and give
_PAIRWISE = frozenset("Gemm MatMul GatherElements GatherND ScatterElements ScatterND Compress Unique".split())  # noqa: SIM905


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
