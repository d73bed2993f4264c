"""ONNX file → Paddle program and parameters: import, then the passes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mconv import budget
from mconv.errors import UnsupportedError
from mconv.onnx import cpp
from mconv.onnx.importer import Imported, Importer
from mconv.onnx.reader import OnnxModel, read
from mconv.passes.fuse import fuse
from mconv.printable import printable
from mconv.program.targets import DEFAULT, Target


def convert(
    model: Union[str, Path, OnnxModel],
    target: Target = DEFAULT,
    shapes: Optional[dict[str, Sequence[Any]]] = None,
) -> Imported:
    """Convert an ONNX model.

    Args:
        model: the file, or what :func:`mconv.onnx.reader.read` gave.
        target: the Paddle that will load the result.
        shapes: input → dimensions that override the model's: numbers, names (symbols), None (unknown).

    Raises:
        NotAModelError, CorruptModelError: the file is no sound ONNX model.
        UnsupportedError: operators that cannot be converted; ``rows`` lists them all.
    """
    with budget.command() as own:
        cpp.start()
        if not isinstance(model, OnnxModel):
            model = read(Path(model))
        elif model.path is None:
            own.held(model.proto.ByteSize())
        else:
            own.file(model.path)
        return _converted(model, target, shapes)


def _converted(model: OnnxModel, target: Target, shapes: Optional[dict[str, Sequence[Any]]]) -> Imported:
    made = _imported(model, target, shapes)
    made.notes[:0] = model.notes
    start = time.perf_counter()
    made.fused = fuse(made.program, made.params, target)
    made.params = {v.name: made.params[v.name] for v in made.program.parameters}
    made.seconds["passes"] = time.perf_counter() - start
    return made


def _imported(model: OnnxModel, target: Target, shapes: Optional[dict[str, Sequence[Any]]]) -> Imported:
    """What is cut from an open size may have no elements where that is small; a model that cannot be converted so is
    converted for sizes that are large enough, and says so."""
    importer = Importer(model, target, shapes)
    try:
        return importer.run()
    except UnsupportedError as e:
        if not importer.ctx.vanishing:
            raise
        rows = [f"{r['operator']} ({', '.join(r['nodes'][:3])}): {r['reason']}" for r in e.rows[:3]]
        why = printable("; ".join(rows) or e.message, 400)
    made = Importer(model, target, shapes, small_sizes=False).run()
    sizes = ", ".join(dict.fromkeys(printable(repr(d), 100) for d in importer.ctx.vanishing[:3]))
    made.notes.append(f"inputs for which a size that is computed of theirs is 0 ({sizes}) are not converted: {why}")
    return made
