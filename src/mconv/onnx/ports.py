"""The inputs and outputs of an ONNX graph: names, types and shapes, as a program has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from mconv.errors import UnsupportedError, UsageError
from mconv.program import dims as D

if TYPE_CHECKING:
    import onnx

_RESERVED = frozenset({"feed", "fetch", "@EMPTY@"})


def carried_name(name: str) -> str:
    """*name* as Paddle's files can carry it.

    ``feed``, ``fetch`` and ``@EMPTY@`` mean something to Paddle; control characters break its text forms.
    """
    out = name if name.isprintable() else "".join(c if c.isprintable() else "_" for c in name)
    return f"{out}_" if out in _RESERVED else out


def tensor_type(info: onnx.ValueInfoProto) -> Any:
    """The ``TypeProto.Tensor`` of an input or output; anything else is refused."""
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        what = (kind or "untyped").replace("_type", "")
        raise UnsupportedError(f"{info.name!r} is of type {what}; Paddle's programs take tensors")
    return info.type.tensor_type


def dim_of(dim: Any, hint: str) -> D.Dim:
    """A ``TensorShapeProto.Dimension``; a size without a name becomes a symbol of its own, called after *hint*."""
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    if dim.HasField("dim_param") and dim.dim_param:
        return D.Sym.named(dim.dim_param)
    return D.Sym.fresh(hint)


def override(name: str, dims: list[D.Dim], wanted: Optional[Sequence[Any]]) -> list[D.Dim]:
    """The dimensions *wanted* (numbers, names, None for an open one) in place of those of the input *name*."""
    if wanted is None:
        return dims
    if len(wanted) != len(dims):
        raise UsageError(f"input {name!r} has {len(dims)} dimensions, not {len(wanted)}")
    out: list[D.Dim] = []
    for have, want in zip(dims, wanted):
        if want is None:
            out.append(have if not isinstance(have, int) else D.Sym.fresh(name))
        else:
            out.append(want if isinstance(want, int) else D.Sym.named(want))
    return out
