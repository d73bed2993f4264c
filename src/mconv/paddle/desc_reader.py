"""An operator of a ProgramDesc in the normal form that a ``.json`` has it in (:mod:`.operation`)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Callable, Optional

import numpy as np

from mconv import emit
from mconv.paddle import table
from mconv.paddle.constants import InlineBuilder
from mconv.paddle.context import Operand
from mconv.paddle.operation import Operation, TensorType, Type
from mconv.paddle.registry import UNKNOWN, Unsupported, handlers
from mconv.program import dims as D
from mconv.program import signatures
from mconv.program.attribute import TYPED_VALUES, AttrValue
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.program import Block, Op, Program, Var
from mconv.program.signatures import COMMON_ATTRS
from mconv.program.targets import TARGETS
from mconv.program.value import Value

# attributes that say where or how fast something is computed, and what only training reads
_NOISE = COMMON_ATTRS | {
    *("use_cudnn", "use_mkldnn", "mkldnn_data_type", "use_quantizer", "force_fp32_output", "fuse_activation"),
    *("place", "place_type", "force_cpu", "in_dtype", "is_sparse", "is_distributed", "remote_prefetch", "trainer_id"),
    *("slot_map", "epmap", "table_names", "height_sections", "grad_inplace", "allow_out_of_range", "rng_name"),
}
_ALIGNED = frozenset({"equal", "not_equal", "less_than", "less_equal", "greater_than", "greater_equal"})
_LONG = 4096  # elements of a constant that is worth knowing


def _spellings() -> dict[str, list[tuple[str, table.Row]]]:
    found: dict[str, list[tuple[str, table.Row]]] = {}
    for name, row in (*table.SPELLED, *table.ROWS.items()):
        if all(name != other for other, _ in found.get(row.op, ())):
            found.setdefault(row.op, []).append((name, row))
    return found


# ProgramDesc's operator → what PIR has for it, in the order of the table
SPELLINGS: Mapping[str, list[tuple[str, table.Row]]] = _spellings()
# which of several, by the operator
_CHOICES: Mapping[str, Callable[[Op], str]] = {
    "set_value": lambda op: "set_value_with_tensor" if op.input("ValueTensor") else "set_value",
    "repeat_interleave": lambda op: (
        "repeat_interleave_with_tensor_index" if op.input("RepeatsTensor") else "repeat_interleave"
    ),
    "split": lambda op: "split" if op.attr("sections") or op.input("SectionsTensorList") else "split_with_num",
    "tril_triu": lambda op: "tril" if op.attr("lower", True) else "triu",
    "matrix_rank": lambda op: "matrix_rank_tol" if op.input("TolTensor") else "matrix_rank",
}


class DescReader:
    """Reads the operators of one program, whose values it takes as *b* has them.

    Args:
        b: what emits into the program; sizes of operands that the program leaves open are bound to it.
        scalars: variables that had no dimension before they were given one for a Paddle that has none without.
    """

    def __init__(self, program: Program, b: InlineBuilder, scalars: frozenset[str] = frozenset()):
        self.program = program
        self.b = b
        self.scalars = scalars
        self._writers: dict[str, Optional[Op]] = {}
        for _, op in program.ops():
            for name in op.output_names:
                self._writers[name] = None if name in self._writers else op

    def read(self, op: Op, block: Block) -> tuple[Operation, list[Operand], list[tuple[str, list[str]]]]:
        """*op* in the normal form, its operands, and output and variables of each of its results.

        Raises:
            Unsupported: PIR has no such operator, or it is not described as Paddle describes it.
        """
        name, row = _spelling(op)
        attrs = _attributes(op, row)
        operands: list[Operand] = []
        for slot in row.inputs:
            operands.append(None if slot is None else self._operand(op, block, slot, attrs))
        self._align(op, operands, attrs)
        named = {old: new for new, old in row.attrs.items() if old is not None}
        given = {named.get(k, k): v for k, v in attrs.items() if k not in row.fixed}
        outputs = [(o, op.output(o) if o else []) for o in row.outputs]
        types = [self._type(names, o or "", op, block) for o, names in outputs]
        full = f"pd_op.{name}"
        handler = handlers().get(full)
        if handler is not None and "dtype" in handler.needed and "dtype" not in given:
            kind = types[0]
            given["dtype"] = kind.dtype if isinstance(kind, TensorType) else None
        if "dtype" in given and not isinstance(given["dtype"], DType):
            given["dtype"] = _dtype(given["dtype"])
        made = Operation(full, given, [0] * len(operands), [(0, kind) for kind in types])
        return made, operands, [(o or "", names) for o, names in outputs]

    def value(self, name: str, block: Block) -> Value:
        """A variable as a value: its declared sizes, those that are open by names of their own; constants known.

        Raises:
            Unsupported: it is no dense tensor, or not declared.
        """
        var = self.program.find_var(name, block)
        if var is None or var.kind != VarKind.LOD_TENSOR or var.dtype is None or var.shape is None:
            raise Unsupported(f"{name!r} is no tensor with a type and a shape in the file")
        shape = () if name in self.scalars else var.shape
        dims = [d if d >= 0 else D.Sym.fresh("size") for d in shape]
        known = self._known(name, var)
        made = Value(name, var.dtype, dims, const=None if known is None else known.reshape(shape))
        return made if known is not None else emit.bind_shape(self.b, made)

    def _operand(self, op: Op, block: Block, slot: table.Slot, attrs: dict[str, Any]) -> Operand:
        """An input, or the attribute that stands for it, which is taken out of *attrs*."""
        stated = attrs.pop(slot.attr, None) if slot.attr is not None else None
        for name in (slot.input, slot.other):
            given = op.input(name) if name else []
            if given:
                values = [self.value(n, block) for n in given]
                return values if "*" in _flags(op.type, "inputs", name or "") else values[0]
        if slot.attr is None or stated is None:
            return None
        return _constant(self.b, op.attr_types.get(slot.attr), stated)

    def _align(self, op: Op, operands: list[Operand], attrs: dict[str, Any]) -> None:
        """The operator's ``axis`` at which its second operand begins: by dimensions of 1 behind it."""
        if not op.type.startswith("elementwise_") and op.type not in _ALIGNED:
            return
        axis = attrs.pop("axis", -1)
        x, y = operands
        if axis == -1 or not isinstance(x, Value) or not isinstance(y, Value):
            return
        behind = (x.rank or 0) - axis - (y.rank or 0)
        if behind > 0:
            operands[1] = emit.reshape(self.b, y, (*(y.shape or ()), *[1] * behind))

    def _type(self, names: list[str], output: str, op: Op, block: Block) -> Type:
        if not output or not names:
            return None
        found: list[Type] = []
        for name in names:
            var = self.program.find_var(name, block)
            if var is None or var.kind != VarKind.LOD_TENSOR or var.shape is None:
                found.append(None)
            else:
                found.append(TensorType(var.dtype, () if name in self.scalars else var.shape))
        return found if "*" in _flags(op.type, "outputs", output) else found[0]

    def _known(self, name: str, var: Var) -> Optional[np.ndarray]:
        """What a variable holds that one operator fills with numbers of the program."""
        op = self._writers.get(name)
        if op is None or op.type not in ("fill_constant", "assign_value") or op.input_names or var.dtype is None:
            return None
        shape = op.attr("shape", [])
        count = int(np.prod(shape, dtype=np.int64)) if all(d >= 0 for d in shape) else _LONG + 1
        if count > _LONG or op.attr("dtype") != int(var.dtype) or var.dtype is DType.BF16:
            return None
        if op.type == "fill_constant":
            number = _number(op, var.dtype)
            return None if number is None else np.full(count, number, var.dtype.numpy)
        values = constant_values(op)
        return None if values is None or len(values) != count else np.array(values).astype(var.dtype.numpy)


def _number(op: Op, dtype: DType) -> Optional[Any]:
    """What a ``fill_constant`` fills with; None where that is no number of the type."""
    text = op.attr("str_value", "") or op.attr("value", 0.0)
    try:
        return float(text) if dtype.is_float else int(float(text)) if abs(float(text)) < 1 << 53 else int(text)
    except (ValueError, OverflowError):
        return None


def constant_values(op: Op) -> Optional[list[Any]]:
    """The numbers of an ``assign_value`` or ``set_value``, in whichever of its lists they are."""
    for name in ("values", *(name for name, _, _ in TYPED_VALUES.values())):
        values = op.attr(name)
        if values:
            return list(values)
    return None


def _spelling(op: Op) -> tuple[str, table.Row]:
    found = SPELLINGS.get(op.type)
    if found is None:
        raise Unsupported(UNKNOWN)
    choice = _CHOICES.get(op.type)
    wanted = found[0][0] if choice is None else choice(op)
    return next((name, row) for name, row in found if name == wanted)


def _attributes(op: Op, row: table.Row) -> dict[str, Any]:
    """The attributes that say what is computed."""
    attrs: dict[str, Any] = {}
    for name, number in op.attr_types.items():
        if name in _NOISE or number in (AttrType.BLOCK, AttrType.BLOCKS):
            continue
        if number in (AttrType.VAR, AttrType.VARS):
            raise Unsupported(f"attribute {name} is given as a variable")
        attrs[name] = op.attr(name)
    adjust = _ADJUSTED.get(op.type)
    if adjust is not None:
        adjust(op, attrs)
    return attrs


def _reduced(op: Op, attrs: dict[str, Any]) -> None:
    """``reduce_all`` is all axes, which PIR says by none."""
    if attrs.pop("reduce_all", False):
        attrs["dim"] = []
    if op.type == "frobenius_norm":
        attrs["reduce_all"] = not attrs.get("dim")
    if op.type != "reduce_sum":
        attrs.pop("out_dtype", None)


def _set_value(op: Op, attrs: dict[str, Any]) -> None:
    values = constant_values(op)
    for name in ("dtype", "values", *(name for name, _, _ in TYPED_VALUES.values())):
        attrs.pop(name, None)
    if op.input("ValueTensor"):
        attrs.pop("shape", None)
    else:
        attrs["values"] = values or []


def _split(op: Op, attrs: dict[str, Any]) -> None:
    attrs.pop("sections" if _CHOICES["split"](op) == "split_with_num" else "num", None)


def _repeat_interleave(op: Op, attrs: dict[str, Any]) -> None:
    if op.input("RepeatsTensor"):
        attrs.pop("Repeats", None)


def _matmul(op: Op, attrs: dict[str, Any]) -> None:
    """Paddle's own passes for oneDNN write what they have fused into it, empty where that is nothing."""
    for name in [name for name in attrs if name.startswith("fused_")]:
        if attrs.pop(name):
            raise Unsupported(f"a product with {name}, of Paddle's passes for oneDNN")


def _mul(op: Op, attrs: dict[str, Any]) -> None:
    for name in ("x_num_col_dims", "y_num_col_dims"):  # left out where they are as usual
        attrs.setdefault(name, 1)
    scales = [attrs.pop("scale_x", 1.0), attrs.pop("scale_out", 1.0), *attrs.pop("scale_y", [1.0])]
    if any(scale != 1.0 for scale in scales):
        raise Unsupported("a quantised product")


def _without(*names: str) -> Callable[[Op, dict[str, Any]], None]:
    def adjust(op: Op, attrs: dict[str, Any]) -> None:
        for name in names:
            attrs.pop(name, None)

    return adjust


# what of an operator's attributes PIR says otherwise than by another name
_ADJUSTED: Mapping[str, Callable[[Op, dict[str, Any]], None]] = {
    **dict.fromkeys(
        (f"reduce_{k}" for k in ("all", "any", "amax", "amin", "max", "min", "mean", "prod", "sum")), _reduced
    ),
    "frobenius_norm": _reduced,
    "matmul": _without("head_number", "Scale_x", "Scale_y", "Scale_out"),
    "matmul_v2": _matmul,
    "mul": _mul,
    "one_hot_v2": _without("dtype"),
    "repeat_interleave": _repeat_interleave,
    "set_value": _set_value,
    "split": _split,
    "tril_triu": _without("lower"),
}


def _dtype(number: Any) -> Optional[DType]:
    try:
        return DType(number)
    except ValueError:  # -1: what comes in
        return None


@functools.cache
def _flags(op: str, side: str, name: str) -> str:
    for target in reversed(TARGETS.values()):
        signature = signatures.find(target, op)
        if signature is not None and name in getattr(signature, side):
            flags: str = getattr(signature, side)[name]
            return flags
    return ""


def _constant(b: InlineBuilder, kind: Optional[int], value: AttrValue) -> Value:
    """An attribute as the tensor that PIR gives the operation for it: one dimension, of one element for a number."""
    if isinstance(value, str):
        return b.constant(np.array([float(value)], np.float64))
    dtype: Any = np.float32 if kind in (AttrType.FLOAT, AttrType.FLOATS) else np.float64
    if kind in (AttrType.INT, AttrType.INTS, AttrType.LONG, AttrType.LONGS):
        dtype = np.int64
    if kind in (AttrType.BOOLEAN, AttrType.BOOLEANS):
        dtype = np.bool_
    return b.constant(np.array(value, dtype).reshape(-1))
