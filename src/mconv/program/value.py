"""The tensors that operators are made on while a program is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional, Union

import numpy as np

from mconv.program import dims as D
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource

# element type and shape of a variable that an operator writes
Spec = tuple[DType, Optional[Sequence[D.Dim]]]
# output of an operator → its variable, or its variables
Results = Mapping[str, Union[Spec, list[Spec]]]


class Value:
    """A tensor of the program under construction.

    Attributes:
        name: its variable; None for a constant that no operator has read yet.
        dtype: element type.
        shape: dimensions as ``int`` or :class:`~mconv.program.dims.Sym`; None when the rank is unknown. A value of
            shape ``()`` is carried as ``[1]`` by targets that have no 0-d tensors.
        source: the bytes of a constant, or None.
        data: for an integer tensor of few elements that follows from shapes: its elements, flat, as dimensions.
    """

    __slots__ = ("_const", "data", "dtype", "name", "shape", "source")

    def __init__(
        self,
        name: Optional[str],
        dtype: DType,
        shape: Optional[Sequence[D.Dim]],
        *,
        source: Optional[TensorSource] = None,
        const: Optional[np.ndarray] = None,
        data: Optional[Sequence[D.Dim]] = None,
    ):
        self.name = name
        self.dtype = dtype
        self.shape: Optional[tuple[D.Dim, ...]] = None if shape is None else tuple(shape)
        self.source = source
        self._const = const
        self.data: Optional[tuple[D.Dim, ...]] = None if data is None else tuple(data)

    @property
    def is_const(self) -> bool:
        return self.source is not None or self._const is not None

    @property
    def const(self) -> Optional[np.ndarray]:
        """The constant's value (read on demand), or None. Do not write into it."""
        if self._const is None and self.source is not None:
            return self.source.array()
        return self._const

    @property
    def rank(self) -> Optional[int]:
        return None if self.shape is None else len(self.shape)

    @property
    def size(self) -> Optional[int]:
        """The number of elements where it is known."""
        count = None if self.shape is None else D.product(self.shape)
        return count if isinstance(count, int) else None

    def __repr__(self) -> str:
        shape = "?" if self.shape is None else ", ".join(map(str, self.shape))
        return f"<{self.name or 'const'}: {self.dtype.label}[{shape}]>"
