"""The host side of the frames that ``worker_frames.py`` describes, and ending a process with all its children."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

MAGIC = b"MCNV"


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that was started with ``start_new_session`` and everything in its session's process group."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):  # ended by itself in the meantime
            os.killpg(process.pid, signal.SIGKILL)


def write_frame(stream: Any, header: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
    """Send a header and arrays.

    Raises:
        BrokenPipeError: the other side is gone.
    """
    contiguous = [np.asarray(a, order="C") for a in arrays]
    text = json.dumps({**header, "arrays": [[a.dtype.name, list(a.shape)] for a in contiguous]}).encode()
    stream.write(MAGIC + struct.pack("<I", len(text)) + text)
    for array in contiguous:
        stream.write(array.tobytes())
    stream.flush()


def read_frame(stream: Any) -> Optional[tuple[dict[str, Any], list[np.ndarray]]]:
    """One frame; None when the stream ends, wherever that is."""
    start = stream.read(8)
    if len(start) < 8 or start[:4] != MAGIC:
        return None
    (length,) = struct.unpack("<I", start[4:])
    text = stream.read(length)
    if len(text) < length:
        return None
    header = json.loads(text)
    arrays = []
    for name, shape in header["arrays"]:
        dtype = np.dtype(name)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        raw = stream.read(size)
        if len(raw) < size:
            return None
        arrays.append(np.frombuffer(raw, dtype).reshape(shape).copy())
    return header, arrays
