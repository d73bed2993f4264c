"""paddle2onnx in a process of its own: the host side of ``paddle2onnx_main.py``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from mconv.errors import MissingDependencyError, RuntimeFailedError, RuntimeUnavailableError, UnsupportedError
from mconv.runtimes import engine
from mconv.runtimes.runtime import Runtime, find

RUNTIME = "paddle2onnx-2.1.0"
SCRIPT = Path(__file__).with_name("paddle2onnx_main.py")
_ABORTED = "Due to the unsupported operators"
_FAILED = re.compile(r"Failed to convert PaddlePaddle model: (.*)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# what paddle2onnx calls operators that PIR calls otherwise (``op_compat.yaml`` of Paddle 3.3)
_CALLED = {
    "argmax": "arg_max", "argmin": "arg_min", "add": "elementwise_add", "divide": "elementwise_div",
    "floor_divide": "elementwise_floordiv", "maximum": "elementwise_max", "minimum": "elementwise_min",
    "remainder": "elementwise_mod", "multiply": "elementwise_mul", "subtract": "elementwise_sub",
    "expand": "expand_v2", "flatten": "flatten_contiguous_range", "grid_sample": "grid_sampler",
    "hardsigmoid": "hard_sigmoid", "hardswish": "hard_swish", "matmul": "matmul_v2", "arange": "range",
    "all": "reduce_all", "any": "reduce_any", "max": "reduce_max", "mean": "reduce_mean", "min": "reduce_min",
    "prod": "reduce_prod", "sum": "reduce_sum", "add_n": "sum", "numel": "size", "topk": "top_k_v2",
    "unsqueeze": "unsqueeze2", "nonzero": "where_index",
}  # fmt: skip
# a program's own parts, and control flow, which is no mapper's business
_STRUCTURE = {"data", "feed", "fetch", "if", "while", "has_elements", "shadow_feed", "shadow_output"}


def runtime() -> Runtime:
    """Where paddle2onnx is: this Python, else its managed runtime, which has the old onnx that it asks for.

    Raises:
        MissingDependencyError: it or Paddle, which it imports, is in neither.
    """
    if all(importlib.util.find_spec(name) is not None for name in ("paddle2onnx", "paddle")):
        return find("current")
    try:
        return find(RUNTIME)
    except RuntimeUnavailableError:
        raise MissingDependencyError(
            "--engine paddle2onnx needs paddle2onnx and Paddle",
            f"install them with `mconv runtime install {RUNTIME}`, or leave out --engine",
        ) from None


def version() -> str:
    """paddle2onnx's version.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return RUNTIME.partition("-")[2] if runtime().managed else importlib.metadata.version("paddle2onnx")


def convert(
    program: Path, params: Optional[Path], out: Path, *, opset: int, scratch: Path, timeout: float = 600
) -> list[str]:
    """Convert a ``.pdmodel`` or a ``.json`` into the file *out*; returns what paddle2onnx printed.

    Args:
        opset: the least version of ONNX's operators; paddle2onnx takes a newer one where it needs it.
        scratch: a folder for what it writes on the way.
        timeout: seconds.

    Raises:
        MissingDependencyError: paddle2onnx or Paddle is not installed.
        UnsupportedError: it has no mapper for an operator; ``rows`` lists all of them.
        RuntimeFailedError: it failed in another way, crashed, or did not end in time.
    """
    found = version()
    request = {
        "task": "convert",
        "program": str(program.absolute()),
        "params": None if params is None else str(params.absolute()),
        "out": str(out.absolute()),
        "opset": opset,
    }
    ended = _run(request, scratch, timeout)
    if ended.ok and out.is_file() and out.stat().st_size:
        return [line for line in _COLOUR.sub("", ended.log).splitlines() if line.strip()]
    if _ABORTED in ended.log:
        raise _unsupported(program, scratch, found, timeout)
    told = _FAILED.search(_COLOUR.sub("", ended.log))
    words = f": {told.group(1).strip()}" if told else ended.words() if not ended.ok else ": it wrote nothing"
    raise RuntimeFailedError(f"paddle2onnx {found} failed{words}")


def _run(request: dict[str, Any], scratch: Path, timeout: float) -> engine.Ended:
    where = runtime()
    # what a .pdmodel becomes on the way is looked at when it fails; nothing may be installed meanwhile
    env = where.environ(TMPDIR=str(scratch), P2O_KEEP_TEMP_MODEL="1", POLYGRAPHY_AUTOINSTALL_DEPS="0")
    return engine.run("paddle2onnx", where.python, SCRIPT, request, folder=scratch, env=env, timeout=timeout)


def _unsupported(program: Path, scratch: Path, found: str, timeout: float) -> UnsupportedError:
    """paddle2onnx aborts without saying what it has no mapper for: look into the program."""
    translated = sorted(scratch.rglob("*.json")) if program.suffix != ".json" else [program]
    known = set(_run({"task": "supported"}, scratch, timeout).answer.get("operators", ()))
    counts: Counter[str] = Counter()
    for path in translated[:1]:
        counts.update(_operators(json.loads(path.read_bytes())))
    missing = {name: n for name, n in sorted(counts.items()) if not _mapped(name, known)}
    rows = [
        {"operator": name, "count": number, "reason": f"paddle2onnx {found} has no mapper for it"}
        for name, number in missing.items()
    ]
    what = ", ".join(missing) or "an operator that it does not name"
    return UnsupportedError(
        f"paddle2onnx {found} has no mapper for {what}",
        "leave out --engine: mconv's own may know them",
        rows=rows,
    )


def _operators(node: Any) -> Iterator[str]:
    """The operators of Paddle's dialect in a PIR program, those of inner blocks included."""
    todo = [node]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo += item
        elif isinstance(item, dict):
            todo += (item[key] for key in ("program", "regions", "blocks", "ops") if key in item)
            name = item.get("#")
            if isinstance(name, str) and name.startswith("1.") and ("I" in item or "O" in item):
                yield name[2:]


def _mapped(name: str, known: set[str]) -> bool:
    plain = name.removesuffix("_")
    return bool({name, plain, _CALLED.get(plain, plain)} & known) or plain in _STRUCTURE
