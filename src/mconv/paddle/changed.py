"""Operators that Paddle before 2.5 has under the same name, and that give something else there.

Found by running models that 2.6.2 saved in the real 2.3.2: ``tests/paddle/forms.py`` has the list of all functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Callable, Optional

from mconv.program.dtypes import DType
from mconv.program.onednn import LAID_OUT_AS_FIRST
from mconv.program.program import Block, Op, Program
from mconv.program.targets import Target


class Changed:
    """Whether an operator of *program*, which a newer Paddle wrote, means something else in a Paddle before 2.5.

    Args:
        scalars: the variables that had no dimension in the source.
        target: the Paddle before 2.5.
    """

    def __init__(self, program: Program, scalars: frozenset[str], target: Target):
        self.program = program
        self.target = target
        self.scalars = scalars
        self._fills = {
            name: op.attr("value", 0.0)
            for _, op in program.ops()
            if op.type in ("fill_constant", "fill_any_like") and not op.input("ValueTensor")
            for name in op.output_names
        }

    def __call__(self, op: Op, block: Block) -> bool:
        rule = _RULES.get(op.type)
        return rule is not None and rule(self, op, block)

    def any(self, op: Op, block: Block) -> bool:
        """Whether it has to be said otherwise: for its meaning, or for what oneDNN makes of it."""
        return self(op, block) or self.laid_out(op, block) or self.several_axes(op, block)

    def laid_out(self, op: Op, block: Block) -> bool:
        """Whether 2.3's oneDNN, which lays a result out as it takes the first operand to lie, mixes up its elements.

        The Paddle that runs without oneDNN has it right: such an operator is no reason not to load a program.
        """
        if op.type not in LAID_OUT_AS_FIRST or op.attr("axis", -1) != -1:
            return False
        x, y = ((self.program.find_var(n, block) for n in op.input(k)) for k in ("X", "Y"))
        found = [v.shape for v in (*x, *y) if v is not None and v.dtype in (DType.FP32, DType.FP16)]
        shapes = [shape for shape in found if shape is not None]
        if not self.target.version or len(shapes) != 2:
            return False
        rank = max(map(len, shapes))
        first, second = ((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes)
        return any(a == 1 != b for a, b in zip(first, second))

    def several_axes(self, op: Op, block: Block) -> bool:
        """Whether 2.3's oneDNN, which normalises over the last dimension alone, refuses to load the program."""
        if op.type != "layer_norm" or not self.target.version:
            return False
        rank = self.rank(op.input("X")[0], block) if op.input("X") else None
        return rank is not None and op.attr("begin_norm_axis", 1) != rank - 1

    def rank(self, name: str, block: Block) -> Optional[int]:
        var = self.program.find_var(name, block)
        return None if var is None or var.shape is None else len(var.shape)

    def infinite(self, name: str) -> bool:
        """Whether a variable is filled with an infinite number."""
        return math.isinf(self._fills.get(name, 0.0))


def _always(changed: Changed, op: Op, block: Block) -> bool:
    return True


def _in_1_8(changed: Changed, op: Op, block: Block) -> bool:
    return not changed.target.version


def _scalar_base(changed: Changed, op: Op, block: Block) -> bool:
    """A first operand of one element is taken for the exponent where the second has more dimensions."""
    x, y = op.input("X"), op.input("Y")
    return bool(x and y and x[0] in changed.scalars and (changed.rank(y[0], block) or 0) > 1)


def _infinite(changed: Changed, op: Op, block: Block) -> bool:
    """Infinity is not equal to itself."""
    return any(changed.infinite(name) for name in op.input_names)


def _no_type(changed: Changed, op: Op, block: Block) -> bool:
    """An attribute that newer programs leave out is asked for."""
    return "unpooling_type" not in op.attr_types


_RULES: Mapping[str, Callable[[Changed, Op, Block], bool]] = {
    "dot": _always,  # keeps the last dimension
    "elementwise_floordiv": _always,  # rounds towards zero, and knows no floats
    "elementwise_mod": _in_1_8,  # has the sign of the dividend
    "elementwise_pow": _scalar_base,
    "equal": _infinite,
    "expand_as_v2": _always,  # does not read its second operand's sizes
    "nms": _always,  # gives as many positions as there are boxes
    "not_equal": _infinite,
    "slogdeterminant": _always,  # gives one matrix a dimension more
    "unpool": _no_type,
    "unpool3d": _no_type,
}
