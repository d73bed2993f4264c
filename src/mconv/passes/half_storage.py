"""Weights alone in half precision: half the file, cast back to float32 where the program begins; and back again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from mconv.errors import UnsupportedError
from mconv.passes.half_weights import HALVES, FloatSource, HalfSource
from mconv.passes.halved import Halved
from mconv.passes.rewrite import cast, check_keep
from mconv.program.dtypes import DType
from mconv.program.params import TensorSource
from mconv.program.program import Program, Var
from mconv.program.stored import NO_PARAMETERS


def weights_only(
    program: Program, params: Mapping[str, TensorSource], dtype: DType = DType.FP16, *, keep: Collection[str] = ()
) -> Halved:
    """Store the float32 parameters in half and cast each to float32 where the program begins: it runs everywhere.

    Args:
        keep: parameters that stay float32, by their names or the types of operators that read them.

    Raises:
        UsageError: *keep* names nothing in the program.
        UnsupportedError: there is no float32 weight, or all are kept.
    """
    made = Halved(program.copy(), dict(params))
    block = made.program.main
    check_keep(made.program, keep)
    kept = {*keep, NO_PARAMETERS, *(n for op in block.ops if op.type in keep for n in op.input_names)}
    casts = []
    for name, source in params.items():
        if source.dtype is not DType.FP32 or name in kept:
            continue
        stored = f"{name}.{dtype.label}"
        shape = source.shape
        made.params[stored] = HalfSource(made.params.pop(name), dtype)
        var = block.vars.pop(name)
        block.add_var(Var.tensor(stored, dtype, shape, persistable=True))
        block.add_var(Var.tensor(name, DType.FP32, var.shape or shape))
        casts.append(cast(stored, name, dtype, DType.FP32))
        made.rounded.append(name)
    if not casts:
        types = sorted({s.dtype.label for s in params.values() if s.dtype in HALVES})
        raise UnsupportedError(
            "the model has no float32 weights" + (" but those that are kept" if keep else ""),
            f"it stores them in {' and '.join(types)} already" if types else "there is nothing to store in half",
        )
    first = block.beginning
    block.ops[first:first] = casts
    made.casts = len(casts)
    return made


def restored(program: Program, params: dict[str, TensorSource]) -> None:
    """Make float32 parameters again, in place, of those that are stored in half and cast where the program begins: what
    computes in half then has them without a cast."""
    block = program.main
    # statistics are written in place, too
    written = Counter(n for _, op in program.ops() for n in op.output_names if n not in op.input_names)
    ops = []
    for op in block.ops:
        if op.type == "cast":
            (stored,), (name,) = op.input("X"), op.output("Out")
            source, var = params.get(stored), block.vars.get(name)
            alone = var is not None and var.dtype is DType.FP32 and not var.persistable and written[name] == 1
            if alone and source is not None and source.dtype in HALVES:
                params[name] = FloatSource(source)
                block.add_var(Var.tensor(name, DType.FP32, source.shape, persistable=True))
                continue
        ops.append(op)
    block.ops[:] = ops
    used = program.named()
    for name in [n for n, source in params.items() if source.dtype in HALVES and n not in used]:
        del params[name]
        block.vars.pop(name, None)
