"""Which of Paddle's passes match in a program, read from the log that the Predictor writes while it loads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mconv.runtimes.runtime import Runtime

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# "--- Running IR pass [fc_fuse_pass]" of ProgramDesc, "--- Running PIR pass […]" of .json; paddle_pass_builder.cc,
# pass_manager.cc. "analysis" are the predictor's own steps, among them the one that runs the passes
_RUNNING = re.compile(r"^--- Running (?:IR|PIR) pass \[([^\]]+)\]")
# "---  detected 13 subgraphs" (fuse_pass_base.cc) and "--- detected [13] subgraphs!" (print_statistics.cc; a pass that
# counts two things says "[8, 99]": matched, looked at)
_DETECTED = re.compile(r"---\s+detected \[?(\d+)(?:, \d+)?\]? subgraphs")


def matched(
    runtime: Runtime,
    program: Path,
    params: Optional[Path],
    *,
    onednn: bool = True,
    passes: Sequence[str] = (),
    timeout: float = 300,
) -> tuple[str, dict[str, int]]:
    """Load a model in the Predictor of *runtime*, on the CPU.

    Args:
        onednn: whether Paddle may use oneDNN.
        passes: passes that are appended to its own.
        timeout: seconds.

    Returns:
        The version of Paddle; pass → how many subgraphs it matched, in all of its runs, in the order of the first ones.
        Passes that matched nothing are among them.

    Raises:
        WorkerError: the runtime cannot load it.
    """
    with runtime.worker() as worker:
        version = worker.version()
        log = worker.log_of_loading(program, params, onednn=onednn, passes=passes, timeout=timeout)
    return version, read(log)


def read(log: str) -> dict[str, int]:
    """Pass → subgraphs matched, out of a log of the Predictor."""
    found: dict[str, int] = {}
    current: Optional[str] = None
    for line in _COLOUR.sub("", log).splitlines():
        running = _RUNNING.match(line)
        if running:
            current = running[1]
            found.setdefault(current, 0)
            continue
        if line.startswith("--- Running analysis"):
            current = None
        detected = _DETECTED.search(line)
        if detected and current is not None:
            found[current] += int(detected[1])
    return found
