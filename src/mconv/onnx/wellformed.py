"""A node against its operator, before anything is made of it: its inputs, the types, lengths and ranges of its attributes.

What is checked here once no converter has to think of: a stride is not 0, a type is one of ONNX's, an input is there and of
a type that the operator takes. What depends on ranks and sizes: :mod:`mconv.onnx.node_rules`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from mconv.errors import CorruptModelError
from mconv.onnx.node_rules import RULES
from mconv.onnx.sequence import TensorSequence
from mconv.onnx.types import known_type
from mconv.program.dtypes import DType
from mconv.program.value import Value

if TYPE_CHECKING:
    import onnx

_INT32 = range(-(2**31), 2**31)
# integers that are data, not settings: they may be as large as they like
_DATA = {"Constant", "TfIdfVectorizer", "LabelEncoder", "CategoryMapper", "DictVectorizer", "OneHotEncoder", "Imputer"}
_ENDS = {"starts", "ends"}  # of Slice: the largest number is how "to the end" is written
_POSITIVE = {
    "blocksize", "dilations", "group", "hidden_size", "kernel_shape", "kv_num_heads", "num_groups", "num_heads",
    "num_outputs", "q_num_heads", "strides",
}  # fmt: skip
_NOT_NEGATIVE = {"batch_axis", "max_gram_length", "num_scan_inputs", "output_height", "output_width", "pooled_shape"}
_TYPES = {"to", "dtype", "output_dtype", "output_datatype", "stash_type"}


def check(node: onnx.NodeProto, schema: Any, inputs: Sequence[Optional[Value]]) -> None:
    """Refuse a node that its operator does not allow.

    Args:
        schema: ONNX's, or None where it has none.
        inputs: in order, None for one that is left out.

    Raises:
        CorruptModelError: says what; not where.
    """
    attributes = {a.name: a for a in node.attribute}
    if len(attributes) != len(node.attribute):
        raise CorruptModelError("it has two attributes of one name")
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            raise CorruptModelError(f"the attribute {attribute.name!r} refers to a function's, outside of one")
        check_attribute(attribute, schema)
        _numbers(node.op_type, attribute)
    if schema is not None:
        _inputs(schema, inputs)
    if node.domain not in ("", "ai.onnx", "com.microsoft"):
        return
    for rule in RULES.get(node.op_type, ()):
        rule(node.op_type, attributes, inputs)


def check_attribute(attribute: onnx.AttributeProto, schema: Any) -> None:
    """Refuse an attribute of another type than its operator has it.

    Raises:
        CorruptModelError
    """
    import onnx

    if attribute.type == onnx.AttributeProto.UNDEFINED:
        raise CorruptModelError(f"the attribute {attribute.name!r} has no type")
    known = None if schema is None else schema.attributes.get(attribute.name)
    if known is not None and int(known.type.value) != attribute.type:
        kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
        raise CorruptModelError(f"the attribute {attribute.name!r} is {kind}, not {known.type.name}")


def _numbers(op: str, attribute: onnx.AttributeProto) -> None:
    name = attribute.name
    values = attribute.ints or ((attribute.i,) if attribute.type == 2 else ())
    if not values:
        return
    low, high = min(values), max(values)
    if (low not in _INT32 or high not in _INT32) and op not in _DATA and not (op == "Slice" and name in _ENDS):
        raise CorruptModelError(f"the attribute {name!r} has {high if high not in _INT32 else low}: beyond 32 bits")
    if name in _POSITIVE and low < 1:
        raise CorruptModelError(f"the attribute {name!r} has {low}, where numbers from 1 on are taken")
    if name in _NOT_NEGATIVE and low < 0:
        raise CorruptModelError(f"the attribute {name!r} has {low}, where numbers from 0 on are taken")
    if name in _TYPES and attribute.type == 2 and not known_type(low) and not (low == 0 and name == "output_dtype"):
        raise CorruptModelError(f"the attribute {name!r} is {low}, which is no type of ONNX")


# inputs -------------------------------------------------------------------------------------------------------------


def _inputs(schema: Any, inputs: Sequence[Optional[Value]]) -> None:
    formals, least, most = _formals(schema.name, schema.since_version, schema.domain)
    given = len(inputs)
    while given and inputs[given - 1] is None:
        given -= 1
    if not least <= len(inputs) or given > most:
        wanted = f"{least}" if least == most else f"{least} to {most}" if most < 1 << 20 else f"{least} or more"
        raise CorruptModelError(f"it has {given} inputs, where {wanted} are taken")
    for i, value in enumerate(inputs):
        name, optional, sequence, kinds = formals[min(i, len(formals) - 1)]
        if value is None:
            if not optional:
                raise CorruptModelError(f"its input {name} is missing")
        elif isinstance(value, TensorSequence) != sequence and sequence is not None:
            raise CorruptModelError(f"its input {name} is {'no' if sequence else 'a'} sequence")
        elif sequence is False and _kind(value) not in kinds:
            raise CorruptModelError(
                f"its input {name} is of type {value.dtype.label}, which its operator does not take"
            )


_KINDS = {"bool": "b", "float": "f", "double": "f", "bfloat": "f", "int": "i", "uint": "iu", "complex": "c"}


def _kind(value: Value) -> str:
    return "f" if value.dtype is DType.BF16 else value.dtype.numpy.kind


@functools.lru_cache(maxsize=1024)
def _formals(
    op: str, version: int, domain: str
) -> tuple[list[tuple[str, bool, Optional[bool], frozenset[str]]], int, int]:
    """Of each input: its name, whether it may be left out, whether it is a sequence (None: may be), kinds of numbers."""
    import onnx

    schema = onnx.defs.get_schema(op, version, domain)
    found = []
    for formal in schema.inputs:
        types = set(formal.types)
        sequences = {t for t in types if t.startswith(("seq(", "optional(seq("))}
        sequence = True if sequences == types else None if sequences else False
        kinds: set[str] = set()
        for kind in types:
            inner = kind.rpartition("(")[2].rstrip(")").rstrip("0123456789")
            kinds.update(_KINDS.get("float" if inner.startswith("float") else inner, ""))
        found.append((formal.name, formal.option.name == "Optional", sequence, frozenset(kinds)))
    if not found:
        found = [("", True, None, frozenset("biufc"))]
    return found, schema.min_input, schema.max_input
