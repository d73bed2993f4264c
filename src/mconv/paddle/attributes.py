"""Bringing the attributes of an operator to the types that a target's signature asks for."""

from __future__ import annotations

import math
from typing import Any, Optional

from mconv.program.attribute import TYPED_VALUES
from mconv.program.dtypes import ATTR_FIELDS, AttrType, DType
from mconv.program.program import Op
from mconv.program.signatures import Signature

LAST_OLD_TYPE = AttrType.FLOAT64S  # the proto2 parsers before Paddle 2.4 know no attribute type above this one
LAST_OF_1_8 = AttrType.LONGS  # nor those before 2.0 above this one
_SCALAR_TYPES = {
    AttrType.INT: int,
    AttrType.LONG: int,
    AttrType.FLOAT: float,
    AttrType.FLOAT64: float,
    AttrType.BOOLEAN: bool,
}
_LIST_TYPES = {
    AttrType.INTS: int,
    AttrType.LONGS: int,
    AttrType.FLOATS: float,
    AttrType.FLOAT64S: float,
    AttrType.BOOLEANS: bool,
}
# Attributes that newer Paddle gave to operators of 1.8 and 2.3, and the value that means the older behaviour (None: none
# does). Any other would silently be ignored by the older runtime. (Paddle's own op_compat.yaml and operator makers.)
NEW_MEANINGS: dict[tuple[str, str], Any] = {
    ("affine_grid", "align_corners"): True,
    ("arg_max", "flatten"): False,
    ("arg_min", "flatten"): False,
    ("conv2d_transpose", "output_padding"): [],
    ("conv3d_transpose", "output_padding"): [],
    ("quantize_linear", "only_observer"): False,
    ("dequantize_linear", "only_observer"): False,
    ("cumprod", "exclusive"): False,
    ("cumprod", "reverse"): False,
    ("cumsum", "flatten"): False,
    ("depthwise_conv2d_transpose", "output_padding"): [],
    ("distribute_fpn_proposals", "pixel_offset"): True,
    ("flip", "axis"): None,
    ("gather", "axis"): 0,
    ("grid_sampler", "align_corners"): True,
    ("grid_sampler", "mode"): None,  # 1.8 gives as many points as there are pixels
    ("grid_sampler", "padding_mode"): "zeros",
    ("histogram", "density"): False,
    ("kldiv_loss", "log_target"): False,
    ("max_pool2d_with_index", "ceil_mode"): False,
    ("max_pool3d_with_index", "ceil_mode"): False,
    ("p_norm", "asvector"): False,
    ("pixel_shuffle", "data_format"): "NCHW",
    ("prelu", "data_format"): "NCHW",
    ("put_along_axis", "Include_self"): True,
    ("repeat_interleave", "output_size"): -1,
    ("rms_norm", "normalized_shape"): None,
    ("roi_align", "aligned"): False,
    ("roll", "axis"): None,
    ("round", "decimals"): 0,
    ("softmax_with_cross_entropy", "use_softmax"): True,
    ("softplus", "beta"): 1.0,
    ("softplus", "threshold"): 20.0,
    ("temporal_shift", "data_format"): "NCHW",
    ("thresholded_relu", "value"): 0.0,
    ("trace", "axis1"): 0,
    ("trace", "axis2"): 1,
    ("truncated_gaussian_random", "a"): -2.0,
    ("truncated_gaussian_random", "b"): 2.0,
    ("unique", "is_sorted"): False,
    ("unpool", "data_format"): "NCHW",
    ("yolo_box", "iou_aware"): False,
    ("yolo_box", "iou_aware_factor"): 0.5,
}


def lacks(op: Op, signature: Signature) -> bool:
    """Whether *op* says in an attribute or input what the target's operator of that name has no word for."""
    if any(arguments and name not in signature.inputs for name, arguments in op.inputs.items()):
        return True
    return any(
        number in ATTR_FIELDS
        and name not in signature.attrs
        and (op.type, name) in NEW_MEANINGS
        and op.attr(name) != NEW_MEANINGS[op.type, name]
        for name, number in op.attr_types.items()
    )


def last_type(version: int) -> AttrType:
    """The attribute type above which the parser of a Paddle before 2.4 knows none."""
    return LAST_OLD_TYPE if version else LAST_OF_1_8


def means_nothing(op: str, name: str, value: Any) -> bool:
    """Whether an operator that lacks the attribute *name* does what it does with *value* elsewhere."""
    return (op, name) in NEW_MEANINGS and value is not None and value == NEW_MEANINGS[op, name]


def adapt(op: Op, signature: Signature, last: AttrType = LAST_OLD_TYPE) -> tuple[int, list[str]]:
    """Convert, or drop where that changes nothing, the attributes that the target reads differently.

    Args:
        last: the attribute type above which the target's parser knows none.

    Returns:
        How many were changed, and one sentence for each that cannot be brought down.
    """
    changed, problems = 0, []
    for name, number in op.attr_types.items():
        wanted = signature.attrs.get(name)
        if wanted is None:
            if (op.type, name) in NEW_MEANINGS and number in ATTR_FIELDS:
                default, value = NEW_MEANINGS[op.type, name], op.attr(name)
                if value != default:
                    only = "" if default is None else f" (only {default!r} can be said)"
                    problems.append(f"attribute {name} = {value!r} does not exist there{only}")
            if number > last:
                if number in (AttrType.VAR, AttrType.VARS):
                    problems.append(f"attribute {name} is given as a variable")
                if number == AttrType.FLOAT64S and op.attr(name):
                    problems.append(f"a constant of type {DType.FP64.label}")
                op.del_attr(name)
                changed += 1
        elif number != wanted:
            if number not in ATTR_FIELDS:
                problems.append(f"attribute {name} has the type {number}, which mconv does not know")
                continue
            value = _convert(op.attr(name), AttrType(number), wanted)
            if value is None:
                problems.append(f"attribute {name} is {AttrType(number).name}, there it is {wanted.name}")
            else:
                op.set_attr(name, value, wanted)
                changed += 1
    return changed, problems


def _convert(value: Any, have: AttrType, want: AttrType) -> Optional[Any]:
    if want in _SCALAR_TYPES and (have in _SCALAR_TYPES or have is AttrType.SCALAR):
        return _one(value, want)
    if want in _LIST_TYPES and (have in _LIST_TYPES or have is AttrType.SCALARS):
        element = {AttrType.INTS: AttrType.INT, AttrType.FLOATS: AttrType.FLOAT}.get(want, AttrType.LONG)
        if want in (AttrType.FLOAT64S, AttrType.BOOLEANS):
            element = AttrType.FLOAT64 if want is AttrType.FLOAT64S else AttrType.BOOLEAN
        values = [_one(v, element) for v in value]
        return None if any(v is None for v in values) else values
    return None


def _one(value: Any, want: AttrType) -> Optional[Any]:
    """The value as *want* takes it; None where it does not fit."""
    if isinstance(value, complex):
        return None
    python = _SCALAR_TYPES[want]
    if python is int:
        if isinstance(value, float) and (not math.isfinite(value) or value != int(value)):
            return None
        bits = 31 if want is AttrType.INT else 63
        return int(value) if -(1 << bits) <= int(value) < 1 << bits else None
    return python(value)


def typed_values(op: Op) -> Optional[str]:
    """Turn the scalar list ``values`` of assign_value and set_value into the typed list of older Paddle.

    Returns:
        None, or a sentence saying why it cannot be done.
    """
    if op.attr_types.get("values") != AttrType.SCALARS:
        return None
    values = list(op.attr("values"))
    try:
        dtype = DType(op.attr("dtype"))
    except ValueError:
        dtype = None
    if not values:  # set_value with a ValueTensor
        op.del_attr("values")
        return None
    if dtype not in TYPED_VALUES:
        return f"a constant of type {dtype.label if dtype is not None else op.attr('dtype')}"
    name, kind, python = TYPED_VALUES[dtype]
    op.del_attr("values")
    op.set_attr(name, [python(v) for v in values], kind)
    return None
