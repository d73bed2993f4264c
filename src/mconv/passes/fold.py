"""What in a program does not depend on what is fed to it: tensors that are always the same, and sizes.

Nothing is computed here. :func:`examine` says which variables hold the same numbers in every run, and of which the shape
is the same; whoever runs the program once knows them, and :func:`settle` writes them into it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from mconv.passes.cut import unused
from mconv.program import signatures
from mconv.program.dead import eliminate_dead
from mconv.program.dtypes import AttrType, DType, VarKind
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Op, Program, Var
from mconv.program.targets import TARGETS

LIMIT = 1 << 20  # bytes that a folded tensor may have, where the weights that go are not larger

# operators whose results are as large as their data say, or are handed on with more than their shape
_BY_DATA = frozenset(
    """
    where_index masked_select unique unique_consecutive multiclass_nms multiclass_nms2 multiclass_nms3 matrix_nms nms
    locality_aware_nms retinanet_detection_output detection_output generate_proposals generate_proposals_v2
    distribute_fpn_proposals collect_fpn_proposals bipartite_match target_assign box_clip ctc_align edit_distance beam_search
    beam_search_decode repeat_interleave_with_tensor_index merge_ids split_ids lod_reset lod_append im2sequence
    tensor_array_to_tensor lod_array_length write_to_array read_from_array lod_tensor_to_array array_to_lod_tensor
    shrink_rnn_memory max_sequence_len lod_rank_table merge_lod_tensor split_lod_tensor select_input select_output
    print py_func run_program warpctc crf_decoding chunk_eval filter_by_instag sequence_mask
    """.split()  # noqa: SIM905
)
# operands that say how large a result is
_SIZES = frozenset(
    """
    Shape ShapeTensor ShapeTensorList expand_shapes_tensor ExpandTimes expand_times_tensor RepeatTimes repeat_times_tensor
    StartsTensor EndsTensor StridesTensor StartsTensorList EndsTensorList StridesTensorList AxisTensor SectionsTensorList
    OutSize SizeTensor Scale K Start End Step Stop Num Start_ depth_tensor Paddings MaxLenTensor OutputSize Offsets
    OffsetsTensor expand_times RepeatsTensor num_rows num_columns Repeats axis
    """.split()  # noqa: SIM905
)
_SCALED = ("interp", "resize")  # of operators with a Scale, those for which it is one of sizes
_RANDOM = ("random", "randint", "randperm", "bernoulli", "multinomial", "sampling", "seed", "poisson", "exponential_")
_PLAIN_CONSTANTS = frozenset({"fill_constant", "assign_value"})
# operators that take a shape as a tensor → (operand, attribute, operands that go with it)
_AS_ATTRIBUTE = {
    "reshape2": (("Shape", "ShapeTensor"), "shape"),
    "expand_v2": (("Shape", "expand_shapes_tensor"), "shape"),
    "tile": (("RepeatTimes", "repeat_times_tensor"), "repeat_times"),
    "fill_constant": (("ShapeTensor", "ShapeTensorList"), "shape"),
}


@dataclass
class Examined:
    """What is the same in every run.

    Attributes:
        constants: variables of the main block whose numbers are.
        shapes: those whose shape is.
        border: constants that something else reads: what has to be known to do without the rest.
    """

    constants: set[str] = field(default_factory=set)
    shapes: set[str] = field(default_factory=set)
    border: list[str] = field(default_factory=list)


def examine(program: Program) -> Examined:
    """Which variables of the main block depend on the inputs' numbers, or on their sizes, or on neither."""
    main = program.main
    found = Examined()
    written: dict[str, int] = {}
    for block in program.blocks:
        for op in block.ops:
            for name in _written(op):
                written[name] = written.get(name, 0) + (1 if block is main else 2)
    held = {v.name for v in program.parameters}
    found.constants |= {n for n in held if not written.get(n)}
    found.shapes |= found.constants
    for port in program.feeds:
        if port.shape is not None and -1 not in port.shape and not port.var.lod_level:
            found.shapes.add(port.name)
    fetched = {port.name for port in program.fetches}
    computed: list[str] = []
    for op in main.ops:
        if op.type in ("feed", "fetch") or not _is_plain(program, op):
            continue
        outputs = [n for n in op.output_names if written.get(n) == 1]
        sized = all(n in found.constants for n in _size_operands(op)) and all(n in found.shapes for n in op.input_names)
        if sized:
            found.shapes.update(outputs)
        same = all(n in found.constants for n in op.input_names) and bool(op.input_names or op.type in _FILLING)
        if op.type == "shape":
            same = sized
        if same and sized and len(outputs) == len(op.output_names) and not fetched & set(outputs):
            found.constants.update(outputs)
            computed += outputs
    readers: dict[str, list[Op]] = {}
    for block in program.blocks:
        for op in block.ops:
            for name in op.input_names:
                readers.setdefault(name, []).append(op)
    makers = {n: op for op in main.ops for n in op.output_names}
    for name in computed:
        outside = [op for op in readers.get(name, []) if not set(op.output_names) <= found.constants or op.blocks]
        if outside and makers[name].type not in _PLAIN_CONSTANTS and main.vars[name].dtype is not None:
            found.border.append(name)
    return found


def _written(op: Op) -> list[str]:
    """The variables that an operator changes: its outputs, but for statistics that inference leaves as they are."""
    if op.type in _NORMALISING and (op.attr("is_test", False) or op.attr("use_global_stats", False)):
        return [n for n in op.output_names if n not in op.input_names]
    return op.output_names


_NORMALISING = frozenset({"batch_norm", "sync_batch_norm", "inplace_abn"})
_FILLING = frozenset({"fill_constant", "assign_value", "eye", "tril_indices", "triu_indices"})


def _is_plain(program: Program, op: Op) -> bool:
    if op.blocks or op.type in _BY_DATA or op.type.startswith("sequence_") or any(r in op.type for r in _RANDOM):
        return False
    if op.type.startswith("dropout") and not op.attr("is_test", False):
        return False
    if not any(signatures.find(target, op.type) is not None for target in TARGETS.values()):
        return False  # somebody's own
    for name in op.names:
        var = program.find_var(name)
        if var is None or var.kind != VarKind.LOD_TENSOR or var.lod_level:
            return False
    return True


def _size_operands(op: Op) -> list[str]:
    scaled = any(word in op.type for word in _SCALED)
    return [n for p, names in op.inputs.items() if p in _SIZES and (p != "Scale" or scaled) for n in names]


def declare(program: Program, found: Examined, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Write the shapes that are always the same into the variables; returns how many had open sizes."""
    count = 0
    for name in found.shapes & set(shapes) & set(program.main.vars):
        var, seen = program.main.vars[name], shapes[name]
        if not var.persistable and var.shape is not None and -1 in var.shape and len(seen) == len(var.shape):
            dims = var.desc.type.lod_tensor.tensor.dims
            del dims[:]
            dims.extend(seen)
            count += 1
    return count


def settle(
    program: Program, params: Mapping[str, TensorSource], values: Mapping[str, np.ndarray], keep: Collection[str] = ()
) -> tuple[dict[str, TensorSource], int]:
    """Put numbers in the place of what computes them, in place.

    Args:
        params: the parameters.
        values: border variable → its numbers.
        keep: variables that are left as they are.

    Returns:
        The parameters by name in the file's order, and how many operators are gone.
    """
    main = program.main
    before = len(main.ops)
    held: dict[str, TensorSource] = dict(params)
    largest = max([LIMIT, *(source.nbytes for source in params.values())])
    for name, array in values.items():
        var = main.vars[name]
        if name in keep or array.nbytes > largest or var.dtype is None:
            continue
        if var.dtype is not DType.BF16 and array.dtype != var.dtype.numpy:
            array = array.astype(var.dtype.numpy)
        stored = unused(program, f"{name}.folded")
        shape = array.shape
        main.add_var(Var.tensor(stored, var.dtype, shape, persistable=True))
        held[stored] = ArraySource(array, var.dtype)
        for _, op in program.ops():
            if name in op.input_names:
                _read_number(op, name, stored, array)
    eliminate_dead(program)
    left = {v.name: held[v.name] for v in program.parameters}
    return left, before - len(main.ops)


def _read_number(op: Op, name: str, stored: str, array: np.ndarray) -> None:
    """Let an operator read a number that is stored: as an attribute where it has one."""
    operands, attribute = _AS_ATTRIBUTE.get(op.type, ((), ""))
    whole = array.dtype.kind in "iu" and array.ndim == 1
    if whole and operands and any(op.input(p) == [name] for p in operands[:1]):
        kind = op.attr_types.get(attribute, AttrType.INTS)
        for parameter in operands:
            op.set_input(parameter, None)
        op.set_attr(attribute, [int(n) for n in array], AttrType(kind))
    op.rename({name: stored}, outputs=False)
