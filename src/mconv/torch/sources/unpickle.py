"""Files of ``torch.save`` without running what is in them."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Optional, Union

from mconv import budget
from mconv.errors import CorruptModelError, LimitError, MconvError, MissingDependencyError, UntrustedError
from mconv.printable import printable
from mconv.program import pickles
from mconv.program.copying import open_regular
from mconv.torch.sources import stored
from mconv.torch.sources.archive import Archive
from mconv.torch.sources.forms import Form
from mconv.torch.sources.source import import_torch, reading

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
    except MconvError:
        raise
    except pickle.UnpicklingError as e:
        raise _refusal(where, str(e)) from None
    except MemoryError:
        raise LimitError(f"{where}: there is not enough memory for it") from None
    except Exception as e:
        if trust and isinstance(e, ModuleNotFoundError):
            raise MissingDependencyError(
                f"{where}: names a class of the module {e.name!r}, which cannot be imported",
                "run mconv where that module is, or install the package",
            ) from None
        if trust and isinstance(e, AttributeError):
            raise MissingDependencyError(f"{where}: names a class that is not there: {e}") from None
        # torch's readers raise nearly every class on damaged bytes: struct.error, AssertionError, AttributeError, …
        raise CorruptModelError(f"{where}: cannot be read ({printable(str(e), 200) or type(e).__name__})") from e
    finally:
        if before is None:
            os.environ.pop(_FORCED, None)
        else:
            os.environ[_FORCED] = before


def load(path: Path, *, trust: bool) -> Any:
    """What ``torch.save`` wrote, on the CPU; large files stay on disk until they are used.

    Raises:
        ForbiddenGlobal, CorruptModelError, MissingDependencyError: see :func:`restricted`.
        UntrustedError, LimitError: see :func:`check`.
    """
    torch = import_torch()
    mapped = False
    if not trust:
        mapped = check(path)
    with restricted(str(path), trust=trust):
        return reading(
            lambda: torch.load(path, map_location="cpu", weights_only=not trust, mmap=mapped), path, trust=trust
        )


def check(path: Union[Path, str], data: Optional[bytes] = None) -> bool:
    """Follow what ``torch.load`` would read, and refuse what it could not read without harm.

    Args:
        path: the file; for messages alone where *data* is given.
        data: the bytes of the file, where it is a record of an archive.

    Returns:
        Whether tensors can stay in the file.

    Raises:
        CorruptModelError: it is damaged, or tensors ask for more bytes than the file has.
        UntrustedError: an archive holds more than a file of weights does.
        LimitError: it unfolds to far more than it is.
    """
    with contextlib.ExitStack() as stack:
        file: BinaryIO = io.BytesIO(data or b"")
        size = len(data or b"")
        if data is None:
            budget.file(path)
            file = stack.enter_context(os.fdopen(open_regular(Path(path)), "rb"))
            size = os.fstat(file.fileno()).st_size
        if file.read(4) != b"PK\x03\x04":
            file.seek(0)
            stored.check_file(file, size, path)
            return False
    with Archive(path, Form.SAVED, data) as held:
        check_pickle(held.read("data.pkl"), lambda key: held.size(f"data/{key}"), path)
        return held.stored


def check_pickle(data: bytes, sizes: stored.Sizes, where: Any) -> None:
    """Follow one pickle with tensors.

    Args:
        sizes: the bytes of a storage by its key.
        where: what is read, for messages.

    Raises:
        CorruptModelError: it is damaged.
    """
    try:
        stored.Reader(sizes).walk(data)
    except pickles.Damaged as e:
        raise stored.damaged(where, e) from None


def refusing(error: Optional[BaseException]) -> Optional[pickle.UnpicklingError]:
    """The unpickler's error that another one came of, if any."""
    while error is not None and not isinstance(error, pickle.UnpicklingError):
        error = error.__cause__ or error.__context__
    return error


def _refusal(where: str, text: str) -> Exception:
    names = [next(filter(None, found)) for found in _GLOBALS.findall(text)]
    if not names and not any(word in text for word in _REFUSALS):
        return CorruptModelError(f"{where}: no file that torch.save wrote ({printable(_last_words(text), 200)})")
    shown = printable(names[0] if names else _last_words(text), 120)
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
