"""Numbers that a program has in itself: inputs with one value for good, and weights that are operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mconv.errors import UnsupportedError, UsageError
from mconv.program import signatures
from mconv.program.attribute import TYPED_VALUES
from mconv.program.constant_values import array_of
from mconv.program.dtypes import AttrType, DType
from mconv.program.near import unknown
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Op, Program
from mconv.program.targets import Target

_LARGEST = 1 << 28  # bytes of weights inside of a program: its message takes up to 2.5 times as much


def fix_inputs(program: Program, values: Mapping[str, Any]) -> dict[str, TensorSource]:
    """Turn inputs into parameters, in place.

    Args:
        values: input → what it holds, see :func:`mconv.program.constant_values.array_of`.

    Returns:
        The new parameters.

    Raises:
        UsageError: there is no such input, it cannot hold the value, or none would be left.
    """
    ports = {port.name: port for port in program.feeds}
    made: dict[str, TensorSource] = {}
    for name, value in values.items():
        if name not in ports:
            raise unknown("--const", "input", name, ports)
        port = ports[name]
        numpy = None if port.dtype is None or port.dtype is DType.BF16 else port.dtype.numpy
        dims = [None if d < 0 else d for d in port.shape]
        array = array_of(name, value, numpy, "an unknown type" if port.dtype is None else port.dtype.label, dims)
        made[name] = ArraySource(array, port.dtype)
        desc = port.var.desc
        desc.persistable = desc.is_parameter = True
        desc.need_check_feed = False
        del desc.type.lod_tensor.tensor.dims[:]
        desc.type.lod_tensor.tensor.dims.extend(array.shape)
    if made and len(made) == len(ports):
        raise UsageError("--const fixes every input: nothing would be left to feed")
    left = [port for port in ports.values() if port.name not in made]
    for col, port in enumerate(left):
        port.op.set_attr("col", col, AttrType.INT)
    gone = {id(ports[name].op) for name in made}
    program.main.ops[:] = [op for op in program.main.ops if id(op) not in gone]
    return made


def weights_inside(program: Program, params: Mapping[str, TensorSource], target: Target) -> None:
    """Turn the parameters into operators that fill them, in place: the program is the whole model then.

    Raises:
        UnsupportedError: one is of a type that ``assign_value`` of the target does not fill, or they are too large.
    """
    total = sum(source.nbytes for source in params.values())
    if total > _LARGEST:
        raise UnsupportedError(
            f"--weights inside: {total / 1e6:.0f} MB of weights; a program holds up to {_LARGEST >> 20} MB of numbers",
            "--weights combined",
        )
    signature = signatures.find(target, "assign_value")
    fills = []
    for var in program.parameters:
        source = params[var.name]
        field, kind, python = TYPED_VALUES.get(source.dtype, ("", AttrType.INTS, int))
        new = signature is not None and "values" in signature.attrs
        if not field or signature is None or (not new and field not in signature.attrs):
            raise UnsupportedError(
                f"--weights inside: {var.name!r} is {source.dtype.label}, which assign_value of Paddle {target} does not fill",
                "--weights combined",
            )
        numbers = np.asarray(source.array()).reshape(-1).tolist()
        values = ("values", AttrType.SCALARS, numbers) if new else (field, kind, list(map(python, numbers)))
        attrs = [("shape", AttrType.INTS, list(source.shape)), ("dtype", AttrType.INT, int(source.dtype)), values]
        fills.append(Op.make("assign_value", {}, {"Out": [var.name]}, attrs))
        held = next(block.vars[var.name] for block in program.blocks if var.name in block.vars)
        held.desc.persistable = held.desc.is_parameter = False
        program.main.vars[var.name] = held
    at = program.main.beginning
    program.main.ops[at:at] = fills
