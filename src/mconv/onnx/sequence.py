"""Sequences of tensors, which Paddle's programs do not have: kept as lists while the model is converted."""

from __future__ import annotations

from collections.abc import Sequence

from mconv.errors import UnsupportedError
from mconv.program.dtypes import DType
from mconv.program.value import Value


class TensorSequence(Value):
    """A sequence whose length is known at conversion time.

    It stands where a Value stands, but no operator can read it.

    Attributes:
        items: its elements.
    """

    __slots__ = ("items",)

    def __init__(self, items: Sequence[Value]):
        self.items = tuple(items)
        self.dtype = items[0].dtype if items else DType.FP32
        self.shape = None
        self.source = None
        self._const = None
        self.data = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """Nothing: it has no variable.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "Paddle's programs have no sequences of tensors, and here its elements are not taken apart"
        )

    def __repr__(self) -> str:
        return f"<sequence of {len(self.items)}>"
