"""What an operator is given, told apart and checked by its signature; and what a builder is to those who append some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Protocol

from mconv.errors import BuildError
from mconv.program import signatures
from mconv.program.block import Op
from mconv.program.coerce import coerce
from mconv.program.dtypes import AttrType, DType
from mconv.program.targets import Target
from mconv.program.value import Results, Spec, Value


class Appends(Protocol):
    """What appends operators; see :class:`~mconv.program.builder.Builder`."""

    target: Target
    notes: list[str]

    def op(self, op_type: str, *, result: Optional[Spec] = None, **operands: Any) -> Value: ...

    def op_outputs(self, op_type: str, *, results: Results, **operands: Any) -> tuple[Value, ...]: ...

    def raw_op(
        self, op_type: str, inputs: dict[str, list[Value]], outputs: dict[str, list[Value]], **attrs: Any
    ) -> Op: ...

    def constant(self, array: Any, dtype: Optional[DType] = None) -> Value: ...

    def cast(self, x: Value, dtype: DType) -> Value: ...


def arguments(
    op_type: str, sig: signatures.Signature, operands: Mapping[str, Any], paddle: str
) -> tuple[dict[str, list[Value]], list[tuple[str, AttrType, Any]]]:
    """The inputs among *operands* by parameter, and the attributes as name, type and value.

    Args:
        paddle: the version of Paddle that messages name.

    Raises:
        BuildError: see :meth:`mconv.program.builder.Builder.op`.
    """
    inputs: dict[str, list[Value]] = {}
    attrs: list[tuple[str, AttrType, Any]] = []
    for key, operand in operands.items():
        if key in sig.inputs:
            if operand is None:
                continue
            values = [operand] if isinstance(operand, Value) else list(operand)
            if "*" not in sig.inputs[key] and len(values) != 1:
                raise BuildError(f"{op_type}: input {key} takes one variable, not {len(values)}")
            for value in values:
                if not isinstance(value, Value):
                    raise BuildError(f"{op_type}: input {key} takes a Value, not {type(value).__name__}")
            inputs[key] = values
        elif key in sig.attrs:
            if operand is not None:
                attrs.append((key, sig.attrs[key], coerce(op_type, key, sig.attrs[key], operand)))
        elif key in signatures.COMMON_ATTRS:
            raise BuildError(f"{op_type}: {key} is the framework's own attribute")
        else:
            kind = "input" if isinstance(operand, Value) or (key[:1].isupper()) else "attribute"
            raise BuildError(f"Paddle {paddle}: operator {op_type!r} has no {kind} {key!r}")
    missing = [k for k, flags in sig.inputs.items() if "?" not in flags and k not in inputs]
    if missing:
        raise BuildError(f"{op_type}: required input {', '.join(missing)} is missing")
    return inputs, attrs


def check_names(op_type: str, given: Mapping[str, Any], known: Mapping[str, Any], what: str, paddle: str) -> None:
    """Refuse a name that the signature does not have.

    Args:
        what: ``input``, ``output`` or ``attribute``.
    """
    for key in given:
        if key not in known:
            raise BuildError(f"Paddle {paddle}: operator {op_type!r} has no {what} {key!r}")


def main_output(op_type: str, sig: signatures.Signature) -> str:
    """The output that is meant where none is named."""
    main = sig.main_outputs
    if not main:
        raise BuildError(f"{op_type}: name the outputs, the signature has no single one")
    return "Out" if "Out" in main else "Y" if "Y" in main else main[0]
