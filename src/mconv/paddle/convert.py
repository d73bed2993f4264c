"""One operation, in its normal form → operators of the target: by its converter, or by the table's row."""

from __future__ import annotations

from mconv.errors import BuildError, UnsupportedError
from mconv.paddle.context import NOISE, Context, Operand, table_op
from mconv.paddle.registry import Unsupported, handlers
from mconv.printable import printable

# what arithmetic with shapes, axes and sizes raises where a file's do not fit together
_CONTRADICTIONS = (ValueError, IndexError, OverflowError, ZeroDivisionError)


def convert(ctx: Context) -> list[Operand]:
    """Emit what says the operation of *ctx* in the target's operators; gives its results.

    Raises:
        Unsupported: the target cannot say it, or the file contradicts itself; the text is the reason.
    """
    try:
        return _converted(ctx)
    except UnsupportedError as e:
        raise Unsupported(e.message) from None
    except BuildError as e:
        raise Unsupported(str(e)) from None
    except _CONTRADICTIONS as e:
        reason = printable(str(e), 200)
        raise Unsupported(f"its operands, attributes and results contradict one another ({reason})") from None


def _converted(ctx: Context) -> list[Operand]:
    op, operands = ctx.operation, ctx.operands
    handler = handlers().get(op.name)
    if handler is None and op.name.endswith("_"):
        handler = handlers().get(op.name[:-1])
    attrs = {k: v for k, v in op.attrs.items() if k not in NOISE}
    if handler is None:
        dialect, _, name = op.name.partition(".")
        if dialect != "pd_op":
            raise Unsupported(f"an operation of the dialect {dialect!r}")
        result = table_op(ctx, name, operands)
    else:
        count = handler.operands
        if count is not None and (len(operands) > count and any(o is not None for o in operands[count:])):
            raise Unsupported(f"{len(operands)} operands, {count} are known")
        if handler.attrs is not None:
            unknown = [f"{k}={v!r}" for k, v in attrs.items() if k not in handler.attrs]
            if unknown:
                raise Unsupported(f"attribute {', '.join(unknown)}")
        missing = sorted(handler.needed - attrs.keys())
        if len(operands) < handler.required or missing:
            raise Unsupported(f"{', '.join(missing) or 'an operand'} is missing in the file")
        handler.check(operands, attrs)
        result = handler.function(ctx, *(operands[:count] if count is not None else operands), **attrs)
    return list(result) if isinstance(result, tuple) else [result]
