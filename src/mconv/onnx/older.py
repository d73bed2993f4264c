"""Operators of newer opsets in the words of older ones, where ONNX's converter has no way back.

The parts are those that exporters wrote before the operators were there, which runtimes put together again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np

from mconv.onnx.types import storage_dtype


@dataclass
class _Parts:
    """The nodes in the place of one, and the constants that they read.

    Attributes:
        node: the one.
        infos: tensor → ValueInfoProto, as far as it is known.
        version: the opset that is to be said.
    """

    node: Any
    infos: Mapping[str, Any]
    version: int
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def attribute(self, name: str, default: Any) -> Any:
        from onnx import helper

        return next((helper.get_attribute_value(a) for a in self.node.attribute if a.name == name), default)

    def kind(self) -> Optional[int]:
        """The element type of the first input, a number of TensorProto's."""
        info = self.infos.get(self.node.input[0])
        return info.type.tensor_type.elem_type or None if info is not None else None

    def dims(self) -> Optional[list[Optional[int]]]:
        """Of the first input."""
        return dims_of(self.infos, self.node.input[0])

    def op(self, kind: str, *inputs: str, last: bool = False, **attributes: Any) -> str:
        from onnx import helper

        name = self.node.output[0] if last else self._name()
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def full(self, value: float, kind: int) -> str:
        return self.array(np.array(value, storage_dtype(kind)))

    def array(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(array, self._name()))
        return str(self.constants[-1].name)

    def _name(self) -> str:
        return f"{self.node.output[0]}.mconv_older_{len(self.nodes) + len(self.constants)}"


def dims_of(infos: Mapping[str, Any], name: str) -> Optional[list[Optional[int]]]:
    """The sizes of a tensor, None where one is open; None where not even their number is known."""
    info = infos.get(name)
    if info is None or not info.type.tensor_type.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in info.type.tensor_type.shape.dim]


def concerns(node: Any, version: int) -> bool:
    """Whether a node is one that opset *version* lacks, or has otherwise, and that may be said in parts."""
    return node.domain in ("", "ai.onnx") and node.op_type in _KNOWN and version < _KNOWN[node.op_type][0]


def parts(node: Any, infos: Mapping[str, Any], version: int) -> tuple[list[Any], list[Any]]:
    """What says the same in opset *version*: nodes, all of that opset, and new initializers; none where there is nothing
    to change, or no way.

    Args:
        infos: tensor → ValueInfoProto, as far as it is known.
    """
    if not concerns(node, version):
        return [], []
    made = _Parts(node, infos, version)
    return (made.nodes, made.constants) if _KNOWN[node.op_type][1](made) else ([], [])


def _layer_norm(p: _Parts) -> bool:
    from onnx import TensorProto

    kind, dims, axis = p.kind(), p.dims(), p.attribute("axis", -1)
    if any(p.node.output[1:]) or kind is None or (axis >= 0 and dims is None):
        return False
    x, scale, bias = p.node.input[0], p.node.input[1], p.node.input[2] if len(p.node.input) > 2 else ""
    axes = list(range(axis if axis < 0 else axis - len(dims or ()), 0))
    inside = TensorProto.FLOAT if p.attribute("stash_type", 1) == 1 and kind != TensorProto.DOUBLE else kind
    wide = x if inside == kind else p.op("Cast", x, to=inside)
    apart = p.op("Sub", wide, p.op("ReduceMean", wide, axes=axes))
    spread = p.op("ReduceMean", p.op("Pow", apart, p.full(2.0, inside)), axes=axes)
    deviation = p.op("Sqrt", p.op("Add", spread, p.full(p.attribute("epsilon", 1e-5), inside)))
    normal = p.op("Div", apart, deviation)
    if inside != kind:
        normal = p.op("Cast", normal, to=kind)
    scaled = p.op("Mul", normal, scale, last=not bias)
    if bias:
        p.op("Add", scaled, bias, last=True)
    return True


def _gelu(p: _Parts) -> bool:
    kind, x = p.kind(), p.node.input[0]
    if kind is None:
        return False
    if p.attribute("approximate", b"none") == b"tanh":
        cube = p.op("Mul", p.op("Pow", x, p.full(3.0, kind)), p.full(0.044715, kind))
        bent = p.op("Tanh", p.op("Mul", p.op("Add", x, cube), p.full(math.sqrt(2 / math.pi), kind)))
    elif p.version < 9:  # which has no Erf
        return False
    else:
        bent = p.op("Erf", p.op("Div", x, p.full(math.sqrt(2), kind)))
    p.op("Mul", p.op("Mul", x, p.op("Add", bent, p.full(1.0, kind))), p.full(0.5, kind), last=True)
    return True


def _mish(p: _Parts) -> bool:
    p.op("Mul", p.node.input[0], p.op("Tanh", p.op("Softplus", p.node.input[0])), last=True)
    return True


def _hard_swish(p: _Parts) -> bool:
    p.op("Mul", p.node.input[0], p.op("HardSigmoid", p.node.input[0], alpha=1 / 6, beta=0.5), last=True)
    return True


def _split(p: _Parts) -> bool:
    """Of a number of parts: the last one may be smaller, which is said by sizes."""
    from onnx import helper

    dims, axis, count = p.dims(), p.attribute("axis", 0), p.attribute("num_outputs", 0)
    size = None if dims is None or axis >= len(dims) else dims[axis]
    if not count or size is None:
        return False
    each = -(-size // count)
    sizes = [min(each, max(0, size - each * i)) for i in range(count)]
    if p.version >= 13:
        inputs, more = [p.node.input[0], p.array(np.array(sizes, np.int64))], {}
    else:
        inputs, more = [p.node.input[0]], {"split": sizes}
    p.nodes.append(
        helper.make_node("Split", inputs, p.node.output, axis=axis if axis >= 0 else axis + len(dims or ()), **more)
    )
    return True


# operator → the opset that has it, or has it so; and what says it before
_KNOWN: Mapping[str, tuple[int, Callable[[_Parts], bool]]] = {
    "LayerNormalization": (17, _layer_norm),
    "Gelu": (20, _gelu),
    "Mish": (18, _mish),
    "HardSwish": (14, _hard_swish),
    "Split": (18, _split),
}

__all__ = ["concerns", "dims_of", "parts"]
