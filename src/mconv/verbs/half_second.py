"""A second reader of a program in half precision: OpenVINO, which has kernels for what Paddle runs on GPUs alone.

Its CPU plugin computes in float32 with half weights and half inputs: that shows what the program says, casts included. What
rounding costs is the emulation's to say.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Optional

import numpy as np

from mconv.errors import RuntimeFailedError
from mconv.passes.half_tables import FLOAT_INPUTS
from mconv.passes.half_weights import HALVES
from mconv.passes.halved import Halved
from mconv.passes.rewrite import cast, declared
from mconv.printable import printable
from mconv.program import files
from mconv.program.dtypes import DType
from mconv.program.program import Op, Program
from mconv.program.stored import write_model
from mconv.runtimes.latency import LatencyWorker, here
from mconv.verbs.half_proof import Emulation, error_of, worst_of
from mconv.verbs.half_report import HalfSecond

_ENGINE, _LABEL = "openvino", "OpenVINO"


def second_opinion(made: Halved, proof: Emulation) -> Optional[HalfSecond]:
    """What OpenVINO makes of the program itself, on the inputs that the emulation was given.

    Returns:
        None where OpenVINO is not installed.
    """
    if importlib.util.find_spec(_ENGINE) is None:
        return None
    ports = [made.program.main.vars[port.name].dtype for port in (*made.program.feeds, *made.program.fetches)]
    if DType.BF16 in ports:
        return HalfSecond(_LABEL, None, "it is given arrays, and numpy has no bfloat16")
    types = {port.name: made.program.main.vars[port.name].dtype for port in made.program.feeds}
    program, _ = write_model(
        _readable(made.program), files.in_order(made.program, made.params), Path(proof.folder.name), "second"
    )
    errors = []
    try:
        with LatencyWorker(here(_ENGINE)) as worker:
            loaded = worker.open(program, engine=_ENGINE, timeout=proof.timeout)
            label = f"{_LABEL} {loaded.version}"
            for want, feed in zip(proof.reference, proof.sets):
                halved = {n: a.astype(np.float16) if types.get(n) is DType.FP16 else a for n, a in feed.items()}
                got = worker.time(halved, 1, keep=True, timeout=proof.timeout).outputs
                if len(got) != len(want):
                    return HalfSecond(label, None, f"it has {len(got)} outputs, not {len(want)}")
                errors += [error_of(a, b.astype(a.dtype)) for a, b in zip(want, got)]
    except RuntimeFailedError as e:
        return HalfSecond(_LABEL, None, printable(e.message.replace(str(program), "it"), 200))
    worst = worst_of(errors)
    return HalfSecond(label, worst, "an output has another shape, or is not finite" if worst is None else "")


def _readable(program: Program) -> Program:
    """The program with its normalisations, which read their statistics as float32 beside numbers in half, between casts:
    OpenVINO wants one type, and computes in float32 anyway."""
    made = program.copy()
    for block in made.blocks:
        ops: list[Op] = []
        for op in block.ops:
            after: list[Op] = []
            if op.type in FLOAT_INPUTS and "Y" in op.outputs:
                for names, side in ((op.inputs, "X"), (op.outputs, "Y")):
                    (name,) = names[side]
                    var = made.find_var(name, block)
                    if var is None or var.dtype not in HALVES:
                        continue
                    wide = f"{name}.{op.type}.{side}"
                    declared(block, wide, DType.FP32, var)
                    if side == "X":
                        op.set_input(side, [wide])
                        ops.append(cast(name, wide, var.dtype, DType.FP32))
                    else:
                        op.set_output(side, [wide])
                        after.append(cast(wide, name, DType.FP32, var.dtype))
            ops += [op, *after]
        block.ops[:] = ops
    return made
