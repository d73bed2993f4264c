"""The inputs and outputs of an ONNX graph: names, types and shapes, as a program has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from mconv.errors import CorruptModelError, UnsupportedError, UsageError
from mconv.onnx.types import paddle_dtype
from mconv.program import dims as D
from mconv.program.value import Value

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


def declared_dims(info: onnx.ValueInfoProto, wanted: Optional[Sequence[Any]]) -> list[D.Dim]:
    """The dimensions of an input as the model has them; open ones where it has no rank and *wanted* says one.

    Raises:
        UnsupportedError: nothing says the rank.
    """
    kind = tensor_type(info)
    if kind.HasField("shape"):
        return [dim_of(d, info.name) for d in kind.shape.dim]
    if wanted is None:
        raise UnsupportedError(
            f"input {info.name!r} has no shape, not even a rank", f"say it: --input '{info.name}[?,?]'"
        )
    return [D.Sym.fresh(info.name) for _ in wanted]


def check_output(info: onnx.ValueInfoProto, value: Value) -> None:
    """Refuse an output that is declared as another type than it is computed as.

    Raises:
        CorruptModelError: it is.
    """
    kind = tensor_type(info).elem_type
    declared = value.dtype if kind == 0 else paddle_dtype(kind, f"output {info.name!r}")[0]
    if declared is not value.dtype:
        raise CorruptModelError(
            f"the output {info.name!r} is declared as {declared.label} and computed as {value.dtype.label}"
        )
