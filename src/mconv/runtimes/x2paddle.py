"""X2Paddle in its managed runtime: the host side of ``x2paddle_main.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mconv.errors import RuntimeFailedError, UnsupportedError
from mconv.runtimes import engine
from mconv.runtimes.runtime import Runtime, find

RUNTIME = "x2paddle-1.6.0"
SCRIPT = Path(__file__).with_name("x2paddle_main.py")
NEWEST_OPSET = 15  # rules for newer ones are not known to it
_UNSUPPORTED = re.compile(r"^=+ (\w+) =+$", re.MULTILINE)


@dataclass(frozen=True)
class Converted:
    """What X2Paddle wrote.

    Attributes:
        program: the ``.pdmodel``; its parameters lie beside it.
        inputs: the ONNX model's input → the name that X2Paddle was told.
        log: what it printed.
    """

    program: Path
    inputs: dict[str, str]
    log: str


def runtime() -> Runtime:
    """Where X2Paddle is.

    Raises:
        RuntimeUnavailableError: it is not installed.
    """
    return find(RUNTIME)


def convert(
    model: Path, folder: Path, shapes: Mapping[str, Sequence[Optional[int]]], *, timeout: float = 600
) -> Converted:
    """Convert an ONNX file with X2Paddle into *folder*.

    Its network is cut off, and the names in the file do not reach it: it runs them as Python.

    Args:
        shapes: input → dimensions to fix, -1 where open.
        timeout: seconds.

    Raises:
        RuntimeUnavailableError: X2Paddle is not installed.
        UnsupportedError: it has no mapper for an operator (``rows``), or the file holds what it must not be given.
        RuntimeFailedError: it failed in another way.
    """
    where = runtime()
    ended = engine.run(
        "X2Paddle",
        where.python,
        SCRIPT,
        {"model": str(model.absolute()), "folder": str(folder), "shapes": dict(shapes)},
        folder=folder,
        env=where.environ(PYTHONDONTWRITEBYTECODE="1", HOME=str(folder)),
        timeout=timeout,
    )
    if not ended.ok:
        raise _error(ended)
    return Converted(Path(ended.answer["program"]), ended.answer["inputs"], ended.log)


def _error(ended: engine.Ended) -> Exception:
    if ended.answer.get("kind") == "refused":
        return UnsupportedError(f"X2Paddle is not given {ended.answer['error']}: it would run it as Python")
    missing = sorted(set(_UNSUPPORTED.findall(ended.log)))
    if missing:
        rows = [
            {"operator": name, "domain": "ai.onnx", "opset": None, "reason": "X2Paddle has no mapper for it", "count": None, "nodes": []}
            for name in missing
        ]  # fmt: skip
        return UnsupportedError(f"X2Paddle has no mapper for {', '.join(missing)}", rows=rows)
    return RuntimeFailedError(f"X2Paddle failed{ended.words()}")
