"""Renames with the guarantees that ``os.rename`` lacks: exchange, and never replace."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
from pathlib import Path
from typing import Callable, Optional

# linux/fs.h and macOS's sys/stdio.h
_LINUX = {"noreplace": 1, "exchange": 2}
_DARWIN = {"exchange": 2, "noreplace": 4}
_UNSUPPORTED = frozenset((errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EPERM))


@functools.cache
def _system_call() -> Optional[Callable[[bytes, bytes, str], int]]:
    """``renameat2`` of Linux (glibc from 2.28 on) or ``renamex_np`` of macOS, where there is one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform.startswith("linux") and hasattr(libc, "renameat2"):
        at = ctypes.c_int(-100)  # AT_FDCWD
        return lambda old, new, how: libc.renameat2(at, old, at, new, ctypes.c_uint(_LINUX[how]))
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        return lambda old, new, how: libc.renamex_np(old, new, ctypes.c_uint(_DARWIN[how]))
    return None


def _try(old: Path, new: Path, how: str) -> bool:
    """Whether the system did it; False where it cannot."""
    call = _system_call()
    if call is None:
        return False
    if call(os.fsencode(old), os.fsencode(new), how) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(new))


def exchange(old: Path, new: Path) -> bool:
    """Swap two existing paths in one step.

    Returns:
        False where the system or the file system cannot.
    """
    return _try(old, new, "exchange")


def move_new(old: Path, new: Path) -> None:
    """Move to a path where nothing may be, except an empty folder for a folder.

    Raises:
        FileExistsError: something is there.
    """
    folder = os.path.isdir(old)
    if folder and os.path.isdir(new) and not os.path.islink(new):
        try:
            os.rename(old, new)  # replaces an empty folder and refuses any other
        except OSError as e:
            if e.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new)) from None
            raise
    elif _try(old, new, "noreplace"):
        return
    elif folder:
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
        os.rename(old, new)  # a file that appeared meanwhile makes it fail, too
    else:
        os.link(old, new)  # fails where something is
        os.unlink(old)
