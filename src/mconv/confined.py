"""A thread without rights: a second wall around readers that run what a file holds.

Linux lets a thread give up rights for good (Landlock; kernel 5.13, networks 6.7), without the rest of the process and
without privileges. A thread that has called :func:`give_up_rights` writes, makes, moves and removes no file, starts no
program, and opens no TCP connection, and neither does anything that it starts; reading stays. It is no wall against
code that is written to break out of it: the threads of a process share their memory. What is allowed at all is decided
before, by looking at the file; this is for what that has missed.

The numbers: ``linux/landlock.h``, ``linux/prctl.h``; the system calls have the same numbers on every architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import struct
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, Union

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1  # a flag of the first: which version the kernel has
_PATH_BENEATH = 1
_NO_NEW_PRIVS = 38
# rights on files, by the version of Landlock that knows them: execute, write, remove, make; refer; truncate
_EXECUTE, _WRITE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 14
_FILES = {1: _EXECUTE | _WRITE | sum(1 << bit for bit in range(4, 13)), 2: 1 << 13, 3: _TRUNCATE}
_NETWORK = {4: 0b11}  # bind and connect of TCP
_SCOPES = {6: 0b11}  # abstract sockets and signals to other processes


def available() -> bool:
    """Whether this system can do it."""
    return _version() > 0


@functools.cache
def _version() -> int:
    if sys.platform != "linux":
        return 0
    return max(0, int(_syscall(_CREATE_RULESET, None, 0, _VERSION)))


def give_up_rights(writable: Sequence[Union[str, os.PathLike[str]]] = ()) -> bool:
    """Take the rights from the thread that calls this, and from whatever it starts, until it ends.

    Args:
        writable: folders and devices in which it may go on to write.

    Returns:
        Whether the system has done so; it may be too old.
    """
    version = _version()
    if not version:
        return False
    tempfile.gettempdir()  # remembered by Python; the first time that it is asked for, it is tried by writing
    files, network, scopes = (
        sum(bits for since, bits in rights.items() if since <= version) for rights in (_FILES, _NETWORK, _SCOPES)
    )
    given = struct.pack("=QQQ", files, network, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _syscall(_CREATE_RULESET, ctypes.c_char_p(given), size, 0)
    if ruleset < 0:
        return False
    try:
        for path in (os.devnull, *writable):
            allowed = files & ~_EXECUTE if os.path.isdir(path) else files & (_WRITE | _TRUNCATE)
            with contextlib.suppress(OSError):  # what is not there cannot be written either
                fd = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
                rule = struct.pack("=Qi", allowed, fd)
                _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
                os.close(fd)
        libc = _libc()
        # (of this thread alone, as the next)
        return bool(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 and _syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


@functools.cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: Any) -> int:
    libc = _libc()
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)))
