"""``--half`` of the conversions: what was made and proved is rewritten for half precision on a GPU, and proved by emulation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from mconv.errors import VerificationError
from mconv.options.proving import Converting, Halving
from mconv.program.stored import read_program
from mconv.proof.report import Report, paddle_operators

if TYPE_CHECKING:
    from mconv.verbs.half_report import HalfReport


def rewrite(program: Path, params: Path, chosen: Halving, names: Mapping[str, str]) -> HalfReport:
    """Put the model in half precision in the place of the float32 one, both files or none.

    Args:
        program, params: the files, which lie beside each other.
        names: input of the source → that of the program, for inputs to prove it with.

    Raises:
        VerificationError: an output is further off than half precision may be.
        UnsupportedError: nothing in it computes in half.
    """
    from mconv.options.models import Half
    from mconv.verbs.half import half  # and with it the runtimes and the passes, which few conversions ask for

    given: dict[str, Any] = {"dtype": chosen.half, "target": getattr(chosen, "target", None), "name": program.stem}
    with tempfile.TemporaryDirectory(prefix=".half-", dir=program.parent) as scratch:
        if isinstance(chosen, Converting):
            given.update(verify=chosen.verify, runtime=chosen.runtime, timeout=chosen.timeout, progress=chosen.progress)
            if chosen.feeds_file is not None and chosen.verify is not False:
                given["feeds"] = _renamed(chosen.feeds_file, names, Path(scratch) / "inputs.npz")
        try:
            made = half(Half(path=program, out=Path(scratch) / "made", **given))
        except VerificationError as e:
            e.hint = (
                "without --half, then `mconv half OUT OUT16 --calibrate x.npz` keeps in float32 what costs the most"
            )
            raise
        for old, new in ((program, made.program), (params, made.params)):
            os.replace(new, old)
    return made


def _renamed(feeds: Path, names: Mapping[str, str], to: Path) -> Path:
    """The inputs under the names that the program has for them."""
    import numpy as np

    from mconv.proof.feeds import grouped

    sets = grouped(feeds, names)
    arrays: dict[str, Any] = {
        f"{group}/{names.get(name, name)}": array for group, held in sets.items() for name, array in held.items()
    }
    np.savez(to, **arrays)
    return to


def apply(program: Path, params: Optional[Path], chosen: Converting, report: Report) -> None:
    """Where ``--half`` asks for it, rewrite what a conversion has written and proved, and say so in its report."""
    if params is None:
        return
    chosen.progress(f"rewriting for {chosen.half}")
    made = rewrite(program, params, chosen, {row["name"]: row["paddle_name"] for row in report.inputs})
    report.half = described(made)
    report.warnings += made.warnings
    report.output.update(program_bytes=program.stat().st_size, params_bytes=params.stat().st_size)
    report.paddle_operators = paddle_operators(read_program(program))


def described(made: HalfReport) -> dict[str, Any]:
    """What a report says of it."""
    errors = [row.error for row in made.outputs if row.error is not None]
    return {
        "dtype": made.dtype,
        "status": made.status,
        "runtime": made.runtime,
        "limit": made.limit,
        "error": max(errors, default=None),
        "operators": sum(made.half.values()),
        "casts": made.casts,
        "bytes": made.bytes,
    }
