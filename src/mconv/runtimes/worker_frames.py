"""What every process inside a runtime begins with: the frames that it speaks, its own two streams, a bound on its memory.

This file and its neighbours ``worker_….py`` are executed by the runtime's own interpreter (Python 3.7 to 3.13), which has no
mconv: nothing of mconv is imported here, and the syntax stays that of Python 3.7. They find each other in the script's
folder, as long as :func:`own_channel` has not taken that off the path.

A frame, in both directions: ``MCNV``, u32 length of a JSON header, the header, then the raw bytes of the arrays
that ``header["arrays"]`` lists as ``[dtype, shape]``, C order, little endian. bfloat16 travels as uint16 bits.
"""

import json
import os
import re
import struct
import sys

MAGIC = b"MCNV"


def read_exactly(stream, size):
    """Read *size* bytes; None at a clean end of the stream."""
    parts, left = [], size
    while left:
        part = stream.read(left)
        if not part:
            return None
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def read_frame(stream, np):
    """The next header and its arrays, or None when the other side is gone."""
    start = read_exactly(stream, 8)
    if start is None:
        return None
    if start[:4] != MAGIC:
        raise ValueError(f"not a worker frame: {start!r}")
    header = json.loads(read_exactly(stream, struct.unpack("<I", start[4:])[0]).decode())
    arrays = []
    for dtype, shape in header.get("arrays", []):
        dtype = np.dtype(dtype)
        count = 1
        for dim in shape:
            count *= dim
        raw = read_exactly(stream, count * dtype.itemsize) if count else b""
        arrays.append(np.frombuffer(raw, dtype).reshape(shape).copy())
    return header, arrays


def frames(stream):
    """The frames of *stream*, as :func:`read_frame` gives them, until the other side is gone."""
    import numpy as np

    while True:
        frame = read_frame(stream, np)
        if frame is None:
            return
        yield frame


def write_frame(stream, header, arrays=()):
    header = dict(header, arrays=[[a.dtype.name, list(a.shape)] for a in arrays])
    text = json.dumps(header).encode()
    stream.write(MAGIC + struct.pack("<I", len(text)) + text)
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def bound_memory():
    """Let an allocation fail that the machine has no memory for: the kernel would end some process, maybe another one.

    Counted is what the process may write (RLIMIT_DATA); what is free when it starts, of the machine or of its control
    group, is what it may have.
    """
    try:
        import resource

        with open("/proc/meminfo") as file:
            found = re.search(r"MemAvailable:\s+(\d+) kB", file.read())
        free = [int(found.group(1)) * 1024] if found else []
        for most, used in (
            ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        ):
            if os.path.exists(most) and os.path.exists(used):
                with open(most) as limit, open(used) as now:
                    text = limit.read().strip()
                    if text.isdigit():
                        free.append(int(text) - int(now.read()))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if free and min(free) > 1 << 30 and hard in (resource.RLIM_INFINITY, -1):
            resource.setrlimit(resource.RLIMIT_DATA, (min(free), hard))
    except (ImportError, OSError, ValueError):  # no Linux, or no right to: the kernel has the last word as before
        pass


def own_channel():
    """The protocol's two streams; what else is printed to stdout, and Paddle prints a lot, goes to stderr."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    # the script's folder is first on the path: its neighbours must not stand in for real packages
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or os.curdir) != here]
    return requests, replies
