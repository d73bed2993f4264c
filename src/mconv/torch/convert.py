"""A PyTorch model → Paddle program and parameters: export, import, then the passes."""

from __future__ import annotations

import time

from mconv.passes.fuse import fuse
from mconv.program.targets import DEFAULT, Target
from mconv.torch.exporting import Exported
from mconv.torch.importer import Imported, Importer


def imported(exported: Exported, target: Target = DEFAULT, *, widen: bool = True) -> Imported:
    """Convert what has been exported."""
    made = Importer(
        exported.program,
        target,
        inputs=exported.inputs,
        outputs=exported.outputs,
        dims=dict(exported.dims),
        widen=widen,
    ).run()
    start = time.perf_counter()
    made.fused = fuse(made.program, made.params, target)
    made.params = {v.name: made.params[v.name] for v in made.program.parameters}
    made.seconds = {**exported.seconds, **made.seconds, "passes": time.perf_counter() - start}
    made.notes[:0] = exported.notes
    return made
