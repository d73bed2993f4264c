"""Files of ``torch.save`` without running what is in them."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mconv.errors import CorruptModelError, MissingDependencyError, UntrustedError
from mconv.torch.sources.source import import_torch

_GLOBALS = re.compile(r"GLOBAL (\S+) |unsupported GLOBAL (\S+)|Unsupported class (\S+)|class (\S+) was not an allowed")
_REFUSALS = ("GLOBAL", "was not an allowed", "Unsupported class", "Trying to", "Can only", "Not allowed", "blocked")
_FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


class ForbiddenGlobal(UntrustedError):
    """The file names something that a file of weights has no need of; *names* says what."""

    def __init__(self, message: str, hint: str, names: list[str]):
        super().__init__(message, hint)
        self.names = names


@contextlib.contextmanager
def restricted(where: str, *, trust: bool) -> Iterator[None]:
    """Within it, ``torch.load`` unpickles nothing but weights, whoever calls it; its errors become ours.

    Args:
        where: what is read, for messages.
        trust: no restriction.

    Raises:
        ForbiddenGlobal: the file names other things, and *trust* is not given.
        CorruptModelError: it is damaged.
        MissingDependencyError: with *trust*, a module that it names cannot be imported.
    """
    torch = import_torch()
    before = os.environ.get(_FORCED)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            if not trust:
                os.environ[_FORCED] = "1"
                stack.enter_context(torch.serialization.safe_globals(_harmless()))
            elif os.getcwd() not in sys.path:
                sys.path.insert(0, os.getcwd())  # the classes that it names, as `python -m` finds them
            yield
    except pickle.UnpicklingError as e:
        raise _refusal(where, str(e)) from None
    except ModuleNotFoundError as e:
        if not trust:
            raise
        raise MissingDependencyError(
            f"{where}: names a class of the module {e.name!r}, which cannot be imported",
            "run mconv where that module is, or install the package",
        ) from None
    except AttributeError as e:
        if not trust:
            raise
        raise MissingDependencyError(f"{where}: names a class that is not there: {e}") from None
    except (RuntimeError, EOFError, KeyError, ValueError, OSError, IndexError, TypeError, UnicodeDecodeError) as e:
        lines = str(e).strip().splitlines()
        raise CorruptModelError(f"{where}: cannot be read ({lines[0][:200] if lines else type(e).__name__})") from e
    finally:
        if before is None:
            os.environ.pop(_FORCED, None)
        else:
            os.environ[_FORCED] = before


def load(path: Path, *, trust: bool) -> Any:
    """What ``torch.save`` wrote, on the CPU; large files stay on disk until they are used.

    Raises:
        ForbiddenGlobal, CorruptModelError, MissingDependencyError: see :func:`restricted`.
    """
    torch = import_torch()
    with restricted(str(path), trust=trust):
        with open(path, "rb") as file:
            archive = file.read(4) == b"PK\x03\x04"
        return torch.load(path, map_location="cpu", weights_only=not trust, mmap=archive)


def _refusal(where: str, text: str) -> Exception:
    names = [next(filter(None, found)) for found in _GLOBALS.findall(text)]
    if not names and not any(word in text for word in _REFUSALS):
        return CorruptModelError(f"{where}: no file that torch.save wrote ({_last_words(text)})")
    shown = "".join(c if c.isprintable() else "?" for c in (names[0] if names else _last_words(text))[:120])
    return ForbiddenGlobal(
        f"{where}: a file of weights has no need of {shown}: reading it can run code hidden in it",
        "--trust allows it, if you know where the file comes from; files of model.state_dict() need no trust",
        names,
    )


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and "Check the documentation" not in line]
    return lines[-1][:160] if lines else "?"


def _harmless() -> list[Any]:
    """What checkpoints of trainers hold beside tensors: numbers and arrays of numpy."""
    import _codecs

    import numpy as np

    multiarray = getattr(np, "_core", None) or np.core
    types = {type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdFDSU"}
    made: list[Any] = [np.dtype, np.ndarray, multiarray.multiarray.scalar, multiarray.multiarray._reconstruct]
    # numpy < 2 wrote these functions under another name
    made += [(f, f"numpy.core.multiarray.{f.__name__}") for f in made[2:]]
    return [*made, *types, _codecs.encode]
