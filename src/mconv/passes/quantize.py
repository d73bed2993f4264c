"""A float32 program with int8 products and convolutions, in the form of ``quantize_linear`` and ``dequantize_linear``.

Each layer reads its activation through a pair of both, of one scale for the tensor, and its weight, stored as int8, through
a ``dequantize_linear`` of one scale for each output channel (of square matrices, of one for all). A Paddle that runs the program as it is computes with the
rounded numbers in float32: that is the emulation. oneDNN (``quant_dequant_mkldnn_pass``, Paddle 2.5 and later), TensorRT
and ONNX Runtime make int8 kernels of the same program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mconv.errors import UnsupportedError
from mconv.passes.graph import first
from mconv.passes.quantize_forms import COMPUTING, EVEN, linear, magnitudes, to_integers, turned
from mconv.passes.rewrite import check_keep, declared, fill
from mconv.program.dtypes import DType, VarKind
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Block, Op, Program, Var

# what Paddle's quant_dequant_mkldnn_pass and ONNX Runtime have int8 kernels for
QUANTISED = ("conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2")


@dataclass(frozen=True)
class Layer:
    """An operator that may compute in int8.

    Attributes:
        name: its output variable.
        operator: its type.
        activation, weight: what it reads.
        axis: of the weight, on which its output channels lie; -1: one scale for all.
    """

    name: str
    operator: str
    activation: str
    weight: str
    axis: int


@dataclass
class Quantized:
    """What :func:`quantize` made: the program, and the parameters that are new."""

    program: Program
    made: dict[str, TensorSource] = field(default_factory=dict)


def layers(program: Program, params: Mapping[str, TensorSource], keep: Collection[str] = ()) -> list[Layer]:
    """The operators of the main block with a stored float32 weight and a float32 activation.

    Args:
        keep: types of operators, and names of variables, whose operators stay float32.

    Raises:
        UsageError: *keep* names nothing in the program.
    """
    block = program.main
    check_keep(program, keep)
    written = Counter(name for op in block.ops for name in op.output_names)
    found = []
    for op in block.ops:
        if op.type not in QUANTISED or op.type in keep or set(keep).intersection(op.names):
            continue
        activation, weight, result = COMPUTING[op.type]
        x, w, name = first(op, activation), first(op, weight), first(op, result, output=True)
        source = params.get(w)
        if source is None or source.dtype is not DType.FP32 or x in params or written[x] > 1 or written[name] > 1:
            continue
        axis = _axis(op, source.shape)
        if axis is not None and _is_float(block, x) and _is_float(block, w):
            found.append(Layer(name, op.type, x, w, axis))
    return found


def _axis(op: Op, shape: Sequence[int]) -> int | None:
    """The axis of the weight on which the output channels lie, -1 for one scale for all; None where it has another form
    than oneDNN knows.

    Paddle's ``quant_dequant_mkldnn_pass`` (2.5 to 3.3) goes by the number of scales: where it is that of the rows, too, it
    takes them for the rows', so that a square matrix with a scale for each column becomes another one.
    """
    rank = len(shape)
    if "conv" in op.type:
        return 0 if rank == 4 and op.attr("data_format", "NCHW") in ("NCHW", "AnyLayout") else None
    if rank != 2 or turned(op, "x"):
        return None
    return 0 if turned(op, "y") else -1 if shape[0] == shape[1] else 1


def _is_float(block: Block, name: str) -> bool:
    var = block.vars.get(name)
    return var is not None and var.kind == VarKind.LOD_TENSOR and var.dtype is DType.FP32


def integers(layer: Layer, params: Mapping[str, TensorSource]) -> dict[str, TensorSource]:
    """The weight of a layer as int8, the largest magnitude of each of its channels, and their zero points.

    Raises:
        UnsupportedError: it holds NaN or infinite numbers.
    """
    import numpy as np

    array = np.asarray(params[layer.weight].array(), np.float32)
    if not np.isfinite(array).all():
        raise UnsupportedError(
            f"{layer.weight} holds NaN or infinite numbers, which 8 bits cannot say", f"--keep {layer.weight}"
        )
    largest = magnitudes(array, layer.axis)
    largest[largest == 0] = 1  # a channel of zeros: any scale does, and 0 has no reciprocal
    whole = to_integers(array, largest, layer.axis, EVEN).clip(-127, 127).astype(np.int8)
    key = held(layer)
    return {
        key: ArraySource(whole),
        f"{key}@scale": ArraySource(largest),
        f"{key}@zero_point": ArraySource(np.zeros(len(largest), np.int32)),
    }


def onednn_error(layer: Layer, params: Mapping[str, TensorSource]) -> float:
    """How far off oneDNN's int8 kernel rounds the weight of a product: ‖difference‖ / ‖weight‖; 0 of convolutions.

    In Paddle 2.5 to 3.3 the scale of output channel c of an ``fc`` is the largest magnitude of the c-th run of
    consecutive numbers of a column's length, not of the column (``compute_propagate_scales_mkldnn_pass``, ``GetScales``).
    """
    import numpy as np

    if "conv" in layer.operator or layer.axis == 0:  # with its axes turned it is no fc, and stays float32 there
        return 0.0
    array = np.asarray(params[layer.weight].array(), np.float32)
    scales = np.abs(array).reshape(array.shape[1], array.shape[0]).max(axis=1, initial=0.0) / np.float32(127)
    scales[scales == 0] = np.finfo(np.float32).tiny
    rounded = np.rint(array / scales).clip(-127, 127) * scales
    whole = float(np.linalg.norm(array))
    return float(np.linalg.norm(rounded - array)) / whole if whole else 0.0


def held(layer: Layer) -> str:
    """The name under which the int8 weight of a layer is stored: another one where it is read with its axes turned."""
    return f"{layer.weight}.int8_turned" if layer.axis == 0 and "conv" not in layer.operator else f"{layer.weight}.int8"


def quantize(
    program: Program,
    params: Mapping[str, TensorSource],
    chosen: Sequence[Layer],
    ranges: Mapping[str, float],
    *,
    weights: Mapping[str, TensorSource] | None = None,
    constants: bool = False,
) -> Quantized:
    """Write the chosen layers in int8.

    Args:
        program: a float32 program; it is not changed.
        params: its parameters, by name.
        chosen: of :func:`layers`.
        ranges: activation → the magnitude that becomes 127.
        weights: what :func:`integers` gives for the layers, where it is known already.
        constants: the scales of activations are filled by operators, so that other ranges need no other parameters.
    """
    return _Writer(program, params, chosen, ranges, weights or {}, constants).run()


class _Writer:
    def __init__(
        self,
        program: Program,
        params: Mapping[str, TensorSource],
        chosen: Sequence[Layer],
        ranges: Mapping[str, float],
        weights: Mapping[str, TensorSource],
        constants: bool,
    ):
        self.made = Quantized(program.copy())
        self.block = self.made.program.main
        self.params, self.ranges, self.weights, self.constants = params, ranges, weights, constants
        self.layers = {layer.name: layer for layer in chosen}
        self.ops: list[Op] = []
        self.read: dict[str, str] = {}  # activation or int8 weight → the variable that holds its rounded numbers

    def run(self) -> Quantized:
        for op in self.block.ops:
            result = COMPUTING.get(op.type, ("", "", ""))[2]
            layer = self.layers.get(first(op, result, output=True)) if result else None
            if layer is not None and layer.operator == op.type:
                activation, weight, _ = COMPUTING[op.type]
                op.set_input(activation, [self._activation(layer.activation)])
                op.set_input(weight, [self._weight(layer)])
            self.ops.append(op)
        self.block.ops[:] = self.ops
        named = self.made.program.named()
        for layer in self.layers.values():
            if layer.weight not in named:
                self.block.vars.pop(layer.weight, None)
        return self.made

    def _activation(self, name: str) -> str:
        if name not in self.read:
            scale, zero = self._scale(name), self._zero()
            ints, floats = self._like(f"{name}.quantized", name), self._like(f"{name}.dequantized", name)
            self.ops += [
                linear("quantize_linear", name, scale, zero, ints, -1),
                linear("dequantize_linear", ints, scale, zero, floats, -1),
            ]
            self.read[name] = floats
        return self.read[name]

    def _scale(self, name: str) -> str:
        import numpy as np

        key, value = f"{name}@scale", float(np.float32(self.ranges[name]))
        if not self.constants:
            return self._param(key, ArraySource(np.array([value], np.float32)))
        self.block.add_var(Var.tensor(key, DType.FP32, (1,)))
        self.ops.append(fill(key, DType.FP32, [1], value))
        return key

    def _zero(self) -> str:
        import numpy as np

        return self._param("activations@zero_point", ArraySource(np.zeros(1, np.int32)))

    def _weight(self, layer: Layer) -> str:
        key = held(layer)
        if key not in self.read:
            known = {n: self.weights[n] for n in (key, f"{key}@scale", f"{key}@zero_point") if n in self.weights}
            for name, source in (known if len(known) == 3 else integers(layer, self.params)).items():
                self._param(name, source)
            floats = self._like(f"{key}.dequantized", layer.weight)
            self.ops.append(linear("dequantize_linear", key, f"{key}@scale", f"{key}@zero_point", floats, layer.axis))
            self.read[key] = floats
        return self.read[key]

    def _param(self, name: str, source: TensorSource) -> str:
        if name not in self.made.made:
            self.made.made[name] = source
            self.block.add_var(Var.tensor(name, source.dtype, source.shape, persistable=True))
        return name

    def _like(self, name: str, like: str) -> str:
        return declared(self.block, name, DType.FP32, self.block.vars.get(like))
