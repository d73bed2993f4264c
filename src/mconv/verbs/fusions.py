"""Which of a runtime's passes match in a model: what its speed there depends on."""

from __future__ import annotations

from pathlib import Path

from mconv import runtimes
from mconv.errors import UsageError
from mconv.inspection import Fusions, PassMatches, server_of
from mconv.printable import printable
from mconv.program import files, sniff
from mconv.program.paths import PathLike
from mconv.runtimes.fusions import matched
from mconv.serving.onednn import PASSES


def fused(path: PathLike, runtime: str, *, onednn: bool = True, timeout: float = 300) -> Fusions:
    """Load a Paddle model in a runtime and read the passes' log.

    Args:
        path: a folder, file or prefix of a Paddle model of any era, or a serving folder.
        runtime: a managed runtime or ``current``.
        onednn: whether it may use oneDNN; in Paddle 2.3 then with the two passes for fully connected layers that it
            leaves out, as the services that mconv writes do.
        timeout: seconds.

    Raises:
        UsageError: an ONNX model; 2.3 and later tell what their passes match, 1.8 does not.
        WorkerError: the runtime cannot load the model.
        MconvError: it is no model; there is no such runtime.
    """
    where = Path(path)
    if where.is_file() and sniff.what(where) is sniff.Kind.ONNX:
        raise UsageError(
            f"{printable(str(path), 200)}: an ONNX model has no fusions of Paddle",
            "convert it first: `mconv onnx2paddle`",
        )
    interpreter = runtimes.find(runtime)
    if interpreter.name.startswith("paddle-1."):
        raise UsageError(f"{interpreter.label} does not say what its passes match", "take a Paddle of 2.3 or later")
    found = files.locate(server_of(where))
    appended = list(PASSES) if onednn and interpreter.name.startswith("paddle-2.3.") else []
    params = None if found.separate else found.params
    version, counts = matched(interpreter, found.program, params, onednn=onednn, passes=appended, timeout=timeout)
    return Fusions(interpreter.name, version, onednn, appended, [PassMatches(*pair) for pair in counts.items()])
