"""The value of an operator's attribute, in and out of its message (``OpDesc.Attr``)."""

from __future__ import annotations

from typing import Any, Union, cast

from mconv.program.dtypes import ATTR_FIELDS, REPEATED_ATTRS, AttrType, DType

AttrValue = Union[int, float, bool, str, bytes, list[Any]]

# element type → the typed list of assign_value and set_value before Paddle 2.5 / 2.6
TYPED_VALUES = {
    DType.BOOL: ("bool_values", AttrType.INTS, int),
    DType.FP32: ("fp32_values", AttrType.FLOATS, float),
    DType.FP64: ("fp64_values", AttrType.FLOAT64S, float),
    DType.INT32: ("int32_values", AttrType.INTS, int),
    DType.INT64: ("int64_values", AttrType.LONGS, int),
}


def read(attr: Any) -> AttrValue:
    """The value, of a type that mconv knows."""
    kind = AttrType(attr.type)
    value = getattr(attr, ATTR_FIELDS[kind])
    if kind is AttrType.SCALAR:
        return cast("AttrValue", _scalar(value))
    if kind is AttrType.SCALARS:
        return [_scalar(s) for s in value]
    if kind is AttrType.STRING:
        return _text(value)
    if kind is AttrType.STRINGS:
        return [_text(s) for s in value]
    return list(value) if kind in REPEATED_ATTRS else value


def write(desc: Any, value: AttrValue, attr_type: AttrType) -> None:
    """Set type and value of a message that has no value yet."""
    desc.type = attr_type
    field = ATTR_FIELDS[attr_type]
    if attr_type in (AttrType.SCALAR, AttrType.SCALARS):
        for scalar in value if attr_type is AttrType.SCALARS else [value]:  # type: ignore[union-attr]
            _set_scalar(desc.scalars.add() if attr_type is AttrType.SCALARS else desc.scalar, scalar)
    elif attr_type is AttrType.STRING:
        desc.s = _raw(value)  # type: ignore[arg-type]
    elif attr_type is AttrType.STRINGS:
        desc.strings.extend(_raw(s) for s in value)  # type: ignore[union-attr, arg-type]
    elif attr_type in REPEATED_ATTRS:
        getattr(desc, field).extend(value)
    else:
        setattr(desc, field, value)


# Scalar.type: BOOLEAN 1, LONG 2, FLOAT64 3, COMPLEX128 4 (framework.proto of 2.5 and later)
def _scalar(scalar: Any) -> Any:
    if scalar.type == 4:
        return complex(scalar.c.r, scalar.c.i)
    return {1: scalar.b, 2: scalar.i, 3: scalar.r}.get(scalar.type)


def _set_scalar(desc: Any, value: Any) -> None:
    if isinstance(value, bool):
        desc.type, desc.b = 1, value
    elif isinstance(value, int):
        desc.type, desc.i = 2, value
    elif isinstance(value, complex):
        desc.type = 4
        desc.c.r, desc.c.i = value.real, value.imag
    else:
        desc.type, desc.r = 3, float(value)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _raw(text: Union[str, bytes]) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
