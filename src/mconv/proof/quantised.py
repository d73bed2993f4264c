"""8-bit ONNX models on processors that add products of 8-bit numbers up in 16 bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

# operator → (input with a weight, input with its zero point), as ONNX and ONNX Runtime's contrib operators have them
_WEIGHTS = {
    "ConvInteger": [(1, 3)],
    "MatMulInteger": [(1, 3)],
    "QLinearConv": [(3, 5)],
    "QLinearMatMul": [(3, 5)],
    "DynamicQuantizeMatMul": [(1, 3)],
    "DynamicQuantizeLSTM": [(1, 9), (2, 11)],
    "MatMulIntegerToFloat": [(1, 5)],
    "QGemm": [(3, 5)],
    "QAttention": [(1, 7)],
}


def is_quantised(path: Path) -> bool:
    """Whether an ONNX file holds operators on 8-bit numbers: what ONNX Runtime fuses of them rounds differently.

    Looked for as bytes, which takes no memory; a name that merely sounds like it only costs the optimisations.
    """
    import mmap

    names = [b"QuantizeLinear", b"DequantizeLinear", b"QLinear", *(name.encode() for name in _WEIGHTS)]
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return any(data.find(name) >= 0 for name in names)
    except (OSError, ValueError):  # the session says what is wrong
        return False


def unsign_weights(proto: Any) -> bool:
    """Write int8 weights of integer products as the uint8 of the same values: 128 more, and so their zero point.

    Without VNNI, ONNX Runtime multiplies uint8 activations and int8 weights by an instruction that adds pairs of
    products in 16 bits and saturates (its documentation of ``session.x64quantprecision``); for two uint8 it takes
    another, which is exact everywhere. Its own rewriting of this kind is one of the optimisations that a reference
    does without.

    Weights in external files are left as they are.

    Args:
        proto: a ModelProto, changed in place.

    Returns:
        Whether there were any.
    """
    import numpy as np
    from onnx import TensorProto, numpy_helper

    changed = False
    for graph in _graphs(proto.graph):
        held = {t.name: t for t in graph.initializer if t.data_type == TensorProto.INT8}
        made: dict[str, str] = {}

        def unsigned(name: str, value: Any, graph: Any = graph, made: dict[str, str] = made) -> str:
            if name not in made:
                made[name] = f"{name}/uint8"
                shifted = (value.astype(np.int16) + 128).astype(np.uint8)
                graph.initializer.append(numpy_helper.from_array(shifted, made[name]))
            return made[name]

        for node, (weight, zero) in ((n, pair) for n in graph.node for pair in _WEIGHTS.get(n.op_type, ())):
            tensor = held.get(node.input[weight]) if weight < len(node.input) else None
            if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
                continue
            point = node.input[zero] if zero < len(node.input) else ""
            if point and point not in held:
                continue  # computed at run time
            value = numpy_helper.to_array(held[point]) if point else np.zeros((), np.int8)
            node.input.extend([""] * (zero + 1 - len(node.input)))
            node.input[weight] = unsigned(tensor.name, numpy_helper.to_array(tensor))
            node.input[zero] = unsigned(point or "mconv/zero_point", value)
            changed = True
    return changed


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner)
