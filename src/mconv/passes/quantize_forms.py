"""The forms in which a program says that it is quantised, and the ways between them.

- The **linear** form, what Paddle 2.3 and later and ONNX say: ``quantize_linear`` makes integers of a tensor,
  ``dequantize_linear`` floats of them. ``Scale`` is the largest magnitude, not the step: the integers are
  ``round(x * 127 / Scale)``. ``round_type`` 0 rounds halves to even and clips to -128 … 127, 1 rounds them away from 0
  and clips to -127 … 127. Weights are stored as int8.
- The **fake** form of PaddleSlim before 2.3: integers in float tensors between ``fake_quantize_…`` and the
  ``fake_…dequantize_…`` behind the operator, or both in one ``fake_quantize_dequantize_…``. Halves away from 0.
- **Observers** only remember a range, and pass on what they get: ``moving_average_abs_max_scale``, and the linear
  operators with ``only_observer``, which Paddle 2.3 does not know: it would quantise there.

Measured in Paddle 2.3.2, 2.6.2 and 3.3.1, in which the linear operators compute the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Optional

from mconv.passes.graph import Graph, first, mentions, out
from mconv.passes.rewrite import declared, make
from mconv.program.dead import forget_unnamed
from mconv.program.dtypes import AttrType, DType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Op, Program, Var

if TYPE_CHECKING:  # see dtypes.py
    import numpy as np

LINEAR = ("quantize_linear", "dequantize_linear")
BITS, LEVELS = 8, 127
EVEN, AWAY = 0, 1  # round_type

# operators that compute on integers, their inputs for the activation and the weight, and their output
COMPUTING = {
    "conv2d": ("Input", "Filter", "Output"),
    "depthwise_conv2d": ("Input", "Filter", "Output"),
    "conv2d_transpose": ("Input", "Filter", "Output"),
    "depthwise_conv2d_transpose": ("Input", "Filter", "Output"),
    "mul": ("X", "Y", "Out"),
    "matmul": ("X", "Y", "Out"),
    "matmul_v2": ("X", "Y", "Out"),
}
_QUANTIZE = ("fake_quantize_range_abs_max", "fake_quantize_moving_average_abs_max")
_DEQUANTIZE = ("fake_dequantize_max_abs", "fake_channel_wise_dequantize_max_abs")
_BOTH = "fake_quantize_dequantize_moving_average_abs_max"
_WEIGHTS = ("fake_channel_wise_quantize_abs_max", "fake_quantize_abs_max")
_WEIGHTS_BOTH = ("fake_channel_wise_quantize_dequantize_abs_max", "fake_quantize_dequantize_abs_max")
OBSERVER = "moving_average_abs_max_scale"
# what PaddleSlim writes into the operators that it has quantised
_LEFT_BEHIND = {"quantization_type", "skip_quant", "activation_bits", "weight_bits", "quantize_weight_bits"}
_FAKE = {*_QUANTIZE, *_DEQUANTIZE, _BOTH, *_WEIGHTS, *_WEIGHTS_BOTH, OBSERVER}


def describe(program: Program) -> Optional[str]:
    """In which form a program is quantised; None for any other."""
    types = {op.type for _, op in program.ops()}
    forms = [
        name for name, own in (("quantize_linear", set(LINEAR)), ("fake_quantize", _FAKE - {OBSERVER})) if types & own
    ]
    if not forms:
        return None
    return f"quantised to 8 bits, in the form of {' and '.join(f'{name} operators' for name in forms)}"


def fails(program: Program, version: int) -> bool:
    """Whether a Paddle of that version does not run the fake form of a program.

    In 3.3.1, oneDNN adds a bias behind ``fake_channel_wise_dequantize_max_abs`` along another axis and finds that the
    sizes differ; 2.6.2 folds ``fake_channel_wise_quantize_abs_max`` of a weight with a scale that is not there yet.
    """
    types = {op.type for op in program.main.ops}
    return bool(types & _FAKE) and (version >= 3000000 or version >= 2006000 and bool(types & set(_WEIGHTS)))


def without_observers(program: Program) -> int:
    """Take out what only remembers a range; returns how many operators that were."""
    count = 0
    fixed = {port.name for port in program.fetches}
    for block in program.blocks:
        renamed: dict[str, str] = {}
        kept: list[Op] = []
        for op in block.ops:
            op.rename(renamed, outputs=False)
            if not (op.type in LINEAR and op.attr("only_observer", False) or op.type == OBSERVER):
                kept.append(op)
                continue
            count += 1
            source = first(op, "X")
            result = first(op, "Out" if op.type == OBSERVER else "Y", output=True)
            if not result or result == source:
                continue
            if result in fixed or block.idx and program.find_var(result, block) is not block.vars.get(result):
                kept.append(make("assign", {"X": source}, {"Out": result}))
            else:
                renamed[result] = source
        block.ops[:] = kept
    if count:
        forget_unnamed(program)
    return count


def plain(program: Program, params: Mapping[str, TensorSource]) -> dict[str, TensorSource]:
    """A quantised program in the linear form alone: no observers, and no ranges that calibration has left in attributes.

    Returns:
        The parameters that are new or changed.
    """
    _, made = to_linear(program, params)
    without_observers(program)
    for _, op in program.ops():
        for name in [n for n in op.attr_types if n in _LEFT_BEHIND or n.endswith("_threshold") and n != "threshold"]:
            op.del_attr(name)
    return made


def to_linear(program: Program, params: Mapping[str, TensorSource]) -> tuple[int, dict[str, TensorSource]]:
    """Write the fake form of the main block as the linear one, as far as the linear one can say it.

    A scale that is computed at run time, another number of bits than 8, and integers that something else reads are left.

    Returns:
        How many operators were rewritten, and the parameters that are new or changed.
    """
    done = _Linear(program, params)
    done.run()
    return done.count, done.made


class _Linear:
    def __init__(self, program: Program, params: Mapping[str, TensorSource]):
        self.program, self.params = program, params
        self.block = program.main
        self.graph = Graph(program, self.block, params, mentions(program))
        self.made: dict[str, TensorSource] = {}
        self.count = 0
        self.replaced: dict[int, list[Op]] = {}  # operator, by its identity → what stands there instead

    def run(self) -> None:
        for op in list(self.block.ops):
            if op.type == _BOTH and self._scaled(op):
                self.replaced[id(op)] = self._pair(first(op, "X"), first(op, "InScale"), out(op))
            elif op.type in _QUANTIZE and self._scaled(op):
                self._quantized(op)
            elif op.type in _WEIGHTS:
                self._stored_weight(op)
            elif op.type in _WEIGHTS_BOTH:
                source = first(op, "X")
                if source in self.params and op.attr("bit_length", BITS) == BITS:
                    self.replaced[id(op)] = [self._weight(source, out(op), self._axis(op), None)]
        if self.replaced:
            self.count = len(self.replaced)
            self.block.ops[:] = [new for op in self.block.ops for new in self.replaced.get(id(op), [op])]
            forget_unnamed(self.program)

    def _scaled(self, op: Op) -> bool:
        """Whether its scale is stored, and for 8 bits."""
        scale = self.params.get(first(op, "InScale"))
        return bool(op.attr("is_test", False)) and op.attr("bit_length", BITS) == BITS and scale is not None

    # activations --------------------------------------------------------------------------------------------------

    def _pair(self, x: str, scale: str, result: str) -> list[Op]:
        ints = self._like(f"{result}.quantized", x)
        zero = self.zero_point(1)
        return [
            linear("quantize_linear", x, scale, zero, ints, -1, AWAY),
            linear("dequantize_linear", ints, scale, zero, result, -1, AWAY),
        ]

    def _quantized(self, op: Op) -> None:
        """Integers that are dequantised at once, or behind the operators that compute on them."""
        ints, scale = out(op), first(op, "InScale")
        readers = self.graph.consumers.get(ints, [])
        if ints in self.graph.shared or not readers:
            return
        plans: list[tuple[Op, Optional[Op]]] = []
        for reader in readers:
            if reader.type == "fake_dequantize_max_abs" and self._whole(reader, scale):
                plans.append((reader, None))
                continue
            back = self._behind(reader, scale)
            if back is None:
                return
            plans.append((reader, back))
        floats = self._like(f"{ints}.dequantized", first(op, "X"))
        self.replaced[id(op)] = self._pair(first(op, "X"), scale, floats)
        for reader, back in plans:
            if back is None:
                self.replaced[id(reader)] = [make("assign", {"X": floats}, {"Out": out(reader)})]
            else:
                self._computed(reader, back, ints, floats)

    def _whole(self, op: Op, scale: str) -> bool:
        return first(op, "Scale") == scale and op.attr("max_range", 0.0) == float(LEVELS)

    def _behind(self, op: Op, scale: str) -> Optional[Op]:
        """What makes floats of the integers that *op* computes from an activation of *scale* and a stored weight."""
        if op.type not in COMPUTING:
            return None
        _, weight, result = COMPUTING[op.type]
        back = self.graph.only_reader(first(op, result, output=True), *_DEQUANTIZE)
        if back is None or first(op, weight) not in self.params:
            return None
        if back.type == "fake_dequantize_max_abs":
            return back if first(back, "Scale") == scale else None
        scales = back.input("Scales")
        bits = [int(b) for b in back.attr("quant_bits", [])]
        fits = len(scales) == 2 and scales[1] == scale and scales[0] in self.params and set(bits) == {BITS}
        return back if fits else None

    def _computed(self, op: Op, back: Op, ints: str, floats: str) -> None:
        _, weight, result = COMPUTING[op.type]
        name = first(op, weight)
        dequantized = self._like(f"{name}.dequantized", name)
        if back.type == "fake_dequantize_max_abs":
            largest, axis = self._number(LEVELS * LEVELS / float(back.attr("max_range", 1.0)), name), -1
        else:
            largest = first(back, "Scales")
            axis = 1 if op.type.endswith("transpose") else 0 if "conv" in op.type else self._last(op, name)
        stored = self.params[name].array()
        self._store(name, stored)
        before = linear("dequantize_linear", name, largest, self.zero_point(self._size(largest)), dequantized, axis)
        op.rename({ints: floats, name: dequantized}, outputs=False)
        op.set_output(result, [out(back)])
        self.replaced[id(op)] = [before, op]
        self.replaced[id(back)] = []

    def _last(self, op: Op, name: str) -> int:
        """The axis of a matrix on which the columns of the product lie."""
        return len(self.params[name].shape) - (2 if turned(op, "y") else 1)

    # weights --------------------------------------------------------------------------------------------------------

    def _axis(self, op: Op) -> int:
        return int(op.attr("quant_axis", 0)) if "channel_wise" in op.type else -1

    def _stored_weight(self, op: Op) -> None:
        """A weight that is quantised where the program begins, and dequantised at once."""
        source, axis = first(op, "X"), self._axis(op)
        back = self.graph.only_reader(out(op), *_DEQUANTIZE)
        if source not in self.params or back is None or op.attr("bit_length", BITS) != BITS:
            return
        largest = first(op, "OutScale", output=True)
        scales = back.input("Scales") or back.input("Scale")
        if scales != [largest]:
            return
        given = largest if op.attr("is_test", False) and largest in self.params else None
        self.replaced[id(op)] = []
        self.replaced[id(back)] = [self._weight(source, out(back), axis, given)]

    def _weight(self, source: str, result: str, axis: int, largest: Optional[str]) -> Op:
        """The weight as int8, and what makes floats of it."""
        import numpy as np

        array = self.params[source].array().astype(np.float32)
        if largest is None:
            largest = self._param(f"{source}.scale", magnitudes(array, axis))
        scale = (self.made.get(largest) or self.params[largest]).array().reshape(-1)
        self._store(source, to_integers(array, scale, axis))
        return linear("dequantize_linear", source, largest, self.zero_point(len(scale)), result, axis)

    # variables ------------------------------------------------------------------------------------------------------

    def _store(self, name: str, integers: np.ndarray) -> None:
        import numpy as np

        self.made[name] = ArraySource(np.rint(integers).astype(np.int8))
        self.block.vars[name].desc.type.lod_tensor.tensor.data_type = int(DType.INT8)

    def _like(self, wanted: str, like: str) -> str:
        name, number = wanted, 0
        while name in self.block.vars:
            name, number = f"{wanted}_{number}", number + 1
        return declared(self.block, name, DType.FP32, self.block.vars.get(like))

    def _size(self, name: str) -> int:
        return len((self.made.get(name) or self.params[name]).array().reshape(-1))

    def _number(self, value: float, like: str) -> str:
        import numpy as np

        return self._param(f"{like}.scale", np.array([value], np.float32))

    def _param(self, name: str, array: np.ndarray) -> str:
        if name not in self.block.vars:
            self.block.add_var(Var.tensor(name, DType.of(array.dtype), array.shape, persistable=True))
            self.made[name] = ArraySource(array)
        return name

    def zero_point(self, size: int) -> str:
        import numpy as np

        return self._param(f"zero_point_{size}.mconv", np.zeros(size, np.int32))


def turned(op: Op, side: str) -> bool:
    """Whether a product transposes its operand ``x`` or ``y``: ``matmul_v2`` and ``matmul`` say it by other names."""
    return bool(op.attr(f"trans_{side}", False) or op.attr(f"transpose_{side.upper()}", False))


def magnitudes(array: np.ndarray, axis: int) -> np.ndarray:
    """The largest magnitude of each index of *axis* (-1: of all), as float32 of one dimension."""
    import numpy as np

    others = tuple(i for i in range(array.ndim) if i != axis)
    return np.abs(array).max(axis=others, initial=0.0).astype(np.float32).reshape(-1)


def along(scale: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """One number for each index of *axis*, or for all, as what broadcasts against an array of that rank."""
    return scale.reshape([-1 if i == axis else 1 for i in range(rank)])


def to_integers(array: np.ndarray, largest: np.ndarray, axis: int, round_type: int = AWAY) -> np.ndarray:
    """A float32 array as the integers of ``quantize_linear``, in float32.

    Args:
        largest: the magnitude that becomes 127; of each index of *axis*, or one.
        axis: -1 where there is one for all.
    """
    import numpy as np

    scale = np.maximum(along(largest.astype(np.float32), array.ndim, axis), np.finfo(np.float32).tiny)
    q = array / scale * np.float32(LEVELS)
    if round_type == EVEN:
        return np.clip(np.rint(q), -LEVELS - 1, LEVELS)
    return np.clip(np.copysign(np.floor(np.abs(q) + np.float32(0.5)), q), -LEVELS, LEVELS)


def linear(kind: str, x: str, scale: str, zero: str, result: str, axis: int, round_type: int = EVEN) -> Op:
    """A ``quantize_linear`` or ``dequantize_linear`` of 8 bits."""
    attrs = {"quant_axis": (AttrType.INT, axis), "bit_length": (AttrType.INT, BITS)}
    if round_type != EVEN:
        attrs["round_type"] = (AttrType.INT, round_type)
    return make(kind, {"X": x, "Scale": scale, "ZeroPoint": zero}, {"Y": result}, **attrs)
