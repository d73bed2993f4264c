"""What the converter of an ATen operator sees: the builder, the node, and torch's own types and shapes of it."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Optional, Union

import numpy as np

from mconv.emit import no_elements
from mconv.emit.complex import real_dtype
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.targets import DEFAULT, Target
from mconv.program.value import Results as Specs
from mconv.program.value import Value
from mconv.torch.dtypes import paddle_dtype
from mconv.torch.numbers import computed, is_number

Number = Union[int, float, bool]


class AtenContext(Builder):
    """The builder, and what may be asked about the node that is being converted.

    Args:
        widen: carry float16 and bfloat16 as float32, which the CPU has kernels for.

    Attributes:
        node: the torch.fx node.
    """

    def __init__(self, target: Target = DEFAULT, *, widen: bool = True):
        super().__init__(target)
        self.widen = widen
        self.node: Any = None
        self.by_parts = False  # complex numbers are converted part by part
        self.symbols: dict[str, D.Dim] = {}  # torch's name of a size → the dimension

    def without_elements(
        self, op_type: str, results: Optional[Specs], operands: Mapping[str, Any]
    ) -> Optional[tuple[Value, ...]]:
        return no_elements.given(self, op_type, results, operands)

    # what torch says of the node's results ----------------------------------------------------------------------

    def dtype_of(self, dtype: Any) -> DType:
        """Paddle's type for a ``torch.dtype``.

        Raises:
            UnsupportedError: Paddle has no such type.
        """
        found = paddle_dtype(dtype)
        if found is None:
            raise UnsupportedError(f"Paddle has no tensors of {dtype}")
        if self.by_parts:
            return real_dtype(found)
        return DType.FP32 if self.widen and found in (DType.FP16, DType.BF16) else found

    @staticmethod
    def torch_dtype(dtype: DType) -> Any:
        """The ``torch.dtype`` of Paddle's type."""
        import torch

        return getattr(torch, dtype.label)

    def dim_of(self, size: Any) -> D.Dim:
        """A size of torch's (int, SymInt or sympy expression) as a dimension."""
        if isinstance(size, (int, np.integer)):
            return int(size)
        expression = getattr(getattr(size, "node", None), "expr", size)
        return self._dim(expression)

    def _dim(self, e: Any) -> D.Dim:
        if e.is_Integer:
            return int(e)
        if e.is_Symbol:
            return self.symbols.setdefault(str(e), D.Sym.named(f"torch:{e}"))
        name = type(e).__name__
        if e.is_Rational:
            return D.Sym.named(f"torch:{e}")
        if e.is_Add or e.is_Mul:
            return functools.reduce(operator.add if e.is_Add else operator.mul, map(self._dim, e.args))
        if e.is_Pow and e.args[1].is_Integer and int(e.args[1]) > 0:
            return D.product([self._dim(e.args[0])] * int(e.args[1]))
        if name in ("FloorDiv", "CleanDiv"):
            return D.floordiv(self._dim(e.args[0]), self._dim(e.args[1]))
        if name in ("Mod", "PythonMod"):
            a, b = self._dim(e.args[0]), self._dim(e.args[1])
            return a - D.floordiv(a, b) * b
        if name in ("TruncToInt", "FloorToInt", "CeilToInt"):
            ratio = _times_ratio(e.args[0])
            if ratio is not None:
                size, numerator, denominator = self._dim(ratio[0]), *ratio[1:]
                divide = D.ceildiv if name == "CeilToInt" else D.floordiv
                return divide(size * numerator, denominator)
        if name in ("Max", "Min"):
            return functools.reduce(D.maximum if name == "Max" else D.minimum, map(self._dim, e.args))
        return D.Sym.named(f"torch:{e}")

    def opaque(self, dim: D.Dim) -> bool:
        """Whether a dimension holds a function that only torch knows."""
        known = {a for s in self.symbols.values() if isinstance(s, D.Sym) for m in s.terms for a in m}

        def foreign(atom: Any) -> bool:
            if isinstance(atom, D.Sym):
                return any(foreign(a) for m in atom.terms for a in m)
            if isinstance(atom, tuple):
                return any(foreign(a) for a in atom[1:])
            return isinstance(atom, str) and atom.startswith("torch:") and atom not in known

        return isinstance(dim, D.Sym) and foreign(dim)

    def specs(self) -> list[tuple[DType, tuple[D.Dim, ...]]]:
        """(dtype, shape) of each result of the node, by torch's own inference."""
        value = self.node.meta.get("val")
        values = value if isinstance(value, (list, tuple)) else [value]
        return [(self.dtype_of(v.dtype), tuple(self.dim_of(s) for s in v.shape)) for v in values if v is not None]

    @property
    def out_dtype(self) -> DType:
        """The element type of the (first) result."""
        return self.specs()[0][0]

    @property
    def out_shape(self) -> tuple[D.Dim, ...]:
        """The shape of the (first) result."""
        return self.specs()[0][1]

    def wants(self, output: int) -> bool:
        """Whether anything reads the node's result of that index."""
        users = self.node.users
        return any(u.target is not operator.getitem or u.args[1] == output for u in users)

    def leave_unread(self, what: str, *outputs: int) -> None:
        """Refuse a node of whose results something reads one that is meant for its gradient; *what* says which these are."""
        if any(map(self.wants, outputs)):
            raise self.refuse(f"something reads {what} meant for its gradient")

    # operands ---------------------------------------------------------------------------------------------------

    def tensor(self, x: Union[Value, Number, D.Sym], dtype: Optional[DType] = None) -> Value:
        """An operand as a tensor: numbers become constants without dimensions, sizes tensors of one element."""
        from mconv.emit.shape import reshape
        from mconv.emit.sizes import as_numbers

        if isinstance(x, Value):
            return x if dtype is None else self.cast(x, dtype)
        if is_number(x):
            return computed(self, self, x, dtype or DType.FP32)
        if not isinstance(x, (bool, int, float, D.Sym)):
            raise UnsupportedError(f"an operand is {x!r}, which is known only at run time")
        if isinstance(x, D.Sym):
            made = reshape(self, as_numbers(self, [x]), ())
            return made if dtype is None else self.cast(made, dtype)
        kind = dtype or (DType.BOOL if isinstance(x, bool) else DType.INT64 if isinstance(x, int) else DType.FP32)
        return self.constant(np.array(x).astype(kind.numpy), kind)

    def promoted(self, *operands: Union[Value, Number, D.Sym]) -> list[Value]:
        """Operands in the type that torch's promotion gives them.

        Dimensioned tensors outrank those without dimensions, which outrank numbers, unless these are of a higher
        kind (bool, integer, float).
        """

        def kind(dtype: DType) -> int:
            return 0 if dtype is DType.BOOL else 1 if dtype.is_int else 2 if dtype.is_float else 3

        best: Optional[DType] = None
        for group in (0, 1, 2):
            dtypes = [d for d in (self._group(o, group) for o in operands) if d is not None]
            joined = functools.reduce(_join, dtypes) if dtypes else None
            if joined is not None and (best is None or kind(joined) > kind(best)):
                best = joined
        assert best is not None
        return [self.tensor(o, best) for o in operands]

    @staticmethod
    def _group(x: Any, group: int) -> Optional[DType]:
        if isinstance(x, Value):
            return x.dtype if group == (1 if x.rank == 0 else 0) else None
        if group != 2:
            return None
        fraction = isinstance(x, float) or type(x).__name__ == "SymFloat"
        return DType.BOOL if isinstance(x, bool) else DType.FP32 if fraction else DType.INT64

    @staticmethod
    def static_int(x: Any, what: str) -> int:
        """*x* as a number.

        Raises:
            UnsupportedError: it is a size known only at run time.
        """
        try:
            return operator.index(x)
        except TypeError:
            raise UnsupportedError(f"{what} must be constant: it is known only at run time") from None

    @staticmethod
    def refuse(reason: str) -> UnsupportedError:
        """The error to raise when the node asks for something that Paddle cannot say."""
        return UnsupportedError(reason)


def _times_ratio(e: Any) -> Optional[tuple[Any, int, int]]:
    """``ToFloat(size) * number`` as the size and a fraction, that of small numbers where the number is one."""
    factors = e.args if e.is_Mul else (e,)
    sizes = [f.args[0] for f in factors if type(f).__name__ == "ToFloat"]
    rest = [f for f in factors if type(f).__name__ != "ToFloat"]
    if len(sizes) != 1 or not all(f.is_number and f.is_real for f in rest):
        return None
    number = math.prod(map(float, rest))
    simple = Fraction(number).limit_denominator(64)
    exact = simple if float(simple) == number else Fraction(number)
    return sizes[0], exact.numerator, exact.denominator


def _join(a: DType, b: DType) -> DType:
    if a is b:
        return a
    if {a, b} == {DType.FP16, DType.BF16}:
        return DType.FP32
    if a is DType.BF16 or b is DType.BF16:
        other = b if a is DType.BF16 else a
        return other if other.is_float else DType.BF16
    if a.is_float != b.is_float and not {a, b} & {DType.COMPLEX64, DType.COMPLEX128}:
        return a if a.is_float else b
    return DType.of(np.promote_types(a.numpy, b.numpy))


def tensor_source(tensor: Any, widen: bool) -> TensorSource:
    """The data of a torch tensor, read when they are written; no second copy unless they are widened."""
    import torch

    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.bfloat16, torch.float16) and widen:
        tensor = tensor.to(torch.float32)
    if tensor.dtype is torch.bfloat16:
        return ArraySource(tensor.contiguous().view(torch.int16).numpy().view("uint16"), DType.BF16)
    return ArraySource(tensor.numpy())
