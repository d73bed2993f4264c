"""Inputs and outputs of types that an older runtime cannot pass.

The Predictor of Paddle 2.3.2 fetches float32, float16, int32, int64 and uint8; for any other type ``copy_to_cpu``
raises, whatever the model, and ``copy_from_cpu`` hands the data over as another type than the program expects. So
such an input or output is passed as a type that it can, and cast inside the program.
"""

from __future__ import annotations

from mconv.passes.rewrite import Site, cast
from mconv.program.dtypes import DType, VarKind
from mconv.program.program import Program, Var

# how the types that cannot be passed are passed
CARRIER = {
    DType.BOOL: DType.INT32,
    DType.INT8: DType.INT32,
    DType.INT16: DType.INT32,
    DType.FP64: DType.FP32,
}


def carry(program: Program) -> list[str]:
    """Replace the types of the program's ports; names and order stay. Returns a sentence for each port."""
    notes = []
    main = program.main
    site = Site(program, main)
    for side, ports in (("input", program.feeds), ("output", program.fetches)):
        for port in ports:
            dtype, carrier = port.dtype, CARRIER.get(port.dtype) if port.dtype is not None else None
            # an input or a parameter handed out as it is has no operator that a cast could follow
            made = any(port.name in op.output_names for op in main.ops if op.type != "feed")
            if dtype is None or carrier is None or port.var.kind != VarKind.LOD_TENSOR or (side == "output") != made:
                continue
            inner = site.new(port.name, dtype, port.shape)
            kind = "feed" if side == "input" else "fetch"
            for _, op in program.ops():
                if op.type != kind:
                    op.rename({port.name: inner})
            if side == "input":
                main.ops.insert(main.beginning, cast(port.name, inner, carrier, dtype))
            else:
                at = next(i for i, op in enumerate(main.ops) if op.type == "fetch")
                main.ops.insert(at, cast(inner, port.name, dtype, carrier))
            main.add_var(Var.tensor(port.name, carrier, port.shape, lod_level=port.var.lod_level))
            notes.append(
                f"{side} {port.name!r} is passed as {carrier.label} instead of {dtype.label}, "
                "which Paddle before 2.4 cannot pass"
            )
    return notes
