"""What was measured on."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional


@dataclass(frozen=True)
class Machine:
    """A machine.

    Attributes:
        processor: as it calls itself.
        cores: that this process may use.
        memory_bytes: of the machine; null where it does not say.
        load: processes that wanted to run, on average of the last minute; well below the cores on a quiet machine.
    """

    processor: str
    cores: int
    memory_bytes: Optional[int]
    load: Optional[float]


def machine() -> Machine:
    """This one, now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    name = re.search(r"model name\s*:\s*(.+)", _read("/proc/cpuinfo"))
    return Machine(
        name[1].strip() if name else platform.processor() or platform.machine(),
        cores,
        int(memory[1]) * 1024 if memory else None,
        round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
