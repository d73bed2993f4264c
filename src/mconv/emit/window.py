"""What convolutions and pooling share: a window that moves over the spatial dimensions of [N, C, …]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

from mconv.emit.known import bind_shape, need_rank
from mconv.emit.shape import reshape, unsqueeze
from mconv.emit.sizes import shape_tensor
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.value import Value

AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


@dataclass(frozen=True)
class Window:
    """A window over k spatial dimensions.

    Attributes:
        kernel, strides, dilations: per dimension.
        begin, end: rows of padding before and after; symbolic where they follow from a size known at run time.
        same: whether the padding is that of Paddle's ``SAME`` (as much as keeps ceil(size / stride), more at the end).
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[D.Dim, ...]
    end: tuple[D.Dim, ...]
    same: bool = False

    @classmethod
    def make(
        cls,
        kernel: Sequence[D.Dim],
        strides: Optional[Sequence[int]] = None,
        dilations: Optional[Sequence[int]] = None,
        pads: Optional[Sequence[int]] = None,
    ) -> Window:
        """A window with ONNX's defaults: strides and dilations of 1, no padding; *pads* are all begins, then all ends.

        Raises:
            UnsupportedError: lengths or values that make no window.
        """
        k = len(kernel)
        if not D.is_static(kernel):
            raise UnsupportedError("the size of the kernel is known only at run time")
        strides = list(strides or [1] * k)
        dilations = list(dilations or [1] * k)
        pads = list(pads or [0] * 2 * k)
        if len(strides) != k or len(dilations) != k or len(pads) != 2 * k:
            raise UnsupportedError(f"strides {strides}, dilations {dilations} or pads {pads} do not fit {k} dimensions")
        if any(isinstance(n, int) and n < 1 for n in (*strides, *dilations, *kernel)):
            raise UnsupportedError("a kernel size, stride or dilation below 1")
        if min(pads, default=0) < 0:
            raise UnsupportedError("negative padding")
        return cls(tuple(kernel), tuple(strides), tuple(dilations), tuple(pads[:k]), tuple(pads[k:]))  # type: ignore[arg-type]

    @property
    def extent(self) -> tuple[int, ...]:
        """Rows from the first to the last element of the window."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations))

    @property
    def static(self) -> bool:
        return D.is_static(self.begin) and D.is_static(self.end)

    @property
    def plain(self) -> bool:
        """No dilation."""
        return all(d == 1 for d in self.dilations)

    def out(self, sizes: Sequence[D.Dim], ceil: bool = False) -> tuple[D.Dim, ...]:
        """The sizes of the result; with *ceil*, windows may hang over the end but must start before the end padding."""
        out: list[D.Dim] = []
        for n, e, s, p, q in zip(sizes, self.extent, self.strides, self.begin, self.end):
            count = D.floordiv(n + p + q - e + (s - 1 if ceil else 0), s) + 1
            if ceil and not (isinstance(q, int) and e > q + s - 1):  # a window could start in the end padding
                count = D.minimum(count, D.ceildiv(n + p, s))
            out.append(count)
        if any(isinstance(o, int) and o < 1 for o in out):
            raise UnsupportedError(f"a window of {list(self.extent)} does not fit into {list(sizes)}")
        return tuple(out)

    def with_pads(self, begin: Sequence[D.Dim], end: Sequence[D.Dim]) -> Window:
        return replace(self, begin=tuple(begin), end=tuple(end), same=False)

    def unpadded(self) -> Window:
        return self.with_pads([0] * len(self.kernel), [0] * len(self.kernel))

    def lifted(self, ones: int) -> Window:
        """The same window with *ones* spatial dimensions of 1 in front."""
        lead, none = (1,) * ones, (0,) * ones
        return replace(
            self,
            kernel=lead + self.kernel,
            strides=lead + self.strides,
            dilations=lead + self.dilations,
            begin=none + self.begin,
            end=none + self.end,
        )

    @property
    def paddings(self) -> list[int]:
        """As Paddle's attribute: begin and end of each dimension in turn."""
        pairs: list[int] = []
        for p, q in zip(self.begin, self.end):
            assert isinstance(p, int) and isinstance(q, int)
            pairs += [p, q]
        return pairs

    @property
    def algorithm(self) -> str:
        return "SAME" if self.same and not self.static else "EXPLICIT"


def auto_padded(window: Window, auto_pad: str, sizes: Sequence[D.Dim]) -> Window:
    """*window* with the padding that ONNX's ``auto_pad`` asks for on *sizes*."""
    if auto_pad not in AUTO_PADS:
        raise UnsupportedError(f"auto_pad {auto_pad!r} is unknown")
    if auto_pad == "NOTSET":
        return window
    if auto_pad == "VALID":
        return window.unpadded()
    begin: list[D.Dim] = []
    end: list[D.Dim] = []
    for n, e, s in zip(sizes, window.extent, window.strides):
        total = (D.ceildiv(n, s) - 1) * s + e - n
        total = max(total, 0) if isinstance(total, int) else D.maximum(total, 0)
        half = D.floordiv(total, 2)
        begin.append(half if auto_pad == "SAME_UPPER" else total - half)
        end.append(total - half if auto_pad == "SAME_UPPER" else half)
    made = window.with_pads(begin, end)
    # Paddle's SAME forgets the dilations
    return replace(made, same=auto_pad == "SAME_UPPER" and window.plain)


def pad_spatial(b: Builder, x: Value, begin: Sequence[D.Dim], end: Sequence[D.Dim], value: float = 0.0) -> Value:
    """*x* ([N, C, …]) with rows of *value* before and after each spatial dimension; sizes may be symbolic.

    Raises:
        UnsupportedError: symbolic padding of more than three dimensions.
    """
    shape = need_rank(x, "padding")
    begin, end = list(begin), list(end)
    if not any(begin) and not any(end):
        return x
    out = (*shape[:2], *(p + n + q for n, p, q in zip(shape[2:], begin, end)))
    static = D.is_static(begin) and D.is_static(end)
    k = len(shape) - 2
    if k > 3:
        raise UnsupportedError("padding of more than three dimensions")
    lifted = unsqueeze(b, x, list(range(2, 5 - k))) if k < 3 else x
    sizes: list[D.Dim] = []
    for p, q in zip(([0] * (3 - k) + begin)[::-1], ([0] * (3 - k) + end)[::-1]):  # the last dimension comes first
        sizes += [p, q]
    # the operator "pad" overruns its memory under oneDNN in 2.6 and 3
    made = b.op(
        "pad3d",
        X=lifted,
        Paddings=None if static else shape_tensor(b, sizes, DType.INT32),
        paddings=sizes if static else [0] * 6,
        mode="constant",
        value=float(value),
        data_format="NCDHW",
        result=(x.dtype, (*shape[:2], *[1] * (3 - k), *out[2:])),
    )
    return bind_shape(b, reshape(b, made, out))
