"""The one hierarchy of errors, with one exit code per kind.

Every error that a user can cause or must know of is a :class:`MconvError`; the command line prints its
message as one line (and its ``hint`` as a second one) and leaves with its ``exit_code``. Anything else that
escapes is a bug of mconv and leaves with :data:`EXIT_BUG`.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Optional

EXIT_BUG = 70  # BSD sysexits: EX_SOFTWARE
EXIT_INTERRUPTED = 130  # the shell's 128 + SIGINT


class MconvError(Exception):
    """What is wrong, where, and what to do.

    Args:
        message: one line saying what is wrong and where.
        hint: one line saying what to do about it; shown after the message.
        rows: what there is of it in particular, one mapping for each operator, file, output, …, for reports.

    Attributes:
        report: the result of the command that it ends, as far as that came; None where there is none.
        proof: the figures, where two things were compared and no report has them.
        line: where in a recipe it is.
    """

    exit_code = 1

    def __init__(self, message: str, hint: Optional[str] = None, rows: Optional[list[dict]] = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.rows = rows or []
        self.report: Any = None
        self.proof: Any = None
        self.line: Optional[int] = None

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def result(self) -> Any:
        """What ``--json`` prints of :attr:`report`, an object or a mapping; an empty one where there is none."""
        made = {} if self.report is None else self.report
        return made.to_dict() if hasattr(made, "to_dict") else made


class UsageError(MconvError):
    """Options that do not fit together or name something that the model does not have."""

    exit_code = 2


class NotAModelError(MconvError):
    """The path is not (exactly one) model of a kind that the command takes."""

    exit_code = 3


class CorruptModelError(MconvError):
    """The file is of the right kind but damaged, truncated or contradicts itself."""

    exit_code = 4


class UnsupportedError(MconvError):
    """The model is sound but holds something that the target or mconv cannot say.

    ``rows`` carries the table of what is unsupported (one mapping per operator), for reports.
    """

    exit_code = 5


class OutputExistsError(MconvError):
    """The output is already there and ``--force`` was not given, or it cannot be written."""

    exit_code = 6


class MissingDependencyError(MconvError):
    """A package of one of the extras is not installed."""

    exit_code = 7


class RuntimeUnavailableError(MconvError):
    """A managed runtime is not installed or cannot be installed here."""

    exit_code = 8


class RuntimeFailedError(MconvError):
    """A runtime (Paddle, ONNX Runtime, the serving pipeline) failed or crashed on the model."""

    exit_code = 9


class UnreachableError(RuntimeFailedError):
    """An address of the network does not answer, or is not to be asked: nothing of a model is at fault."""


class VerificationError(MconvError):
    """The converted model ran and its numbers differ from the source's beyond the tolerance.

    ``rows`` carries the figures of the outputs that differ (one mapping per output and input set), for reports.
    """

    exit_code = 10


class PrecisionError(VerificationError):
    """The numbers of a model do not fit half precision or 8 bits as closely as was asked: nothing is at fault."""


class UntrustedError(MconvError):
    """Reading the file would run code hidden in it or leave its folder, and ``--trust`` was not given."""

    exit_code = 11


class AlteredError(MconvError):
    """A converted folder or its source is not what the provenance file says.

    ``rows`` carries what was found (one mapping per file), for reports.
    """

    exit_code = 12


class WeightsError(MconvError):
    """Weights do not fit the parameters of the model that they are for, and ``--partial`` was not given.

    ``rows`` carries what has no counterpart (one mapping per tensor or parameter), for reports.
    """

    exit_code = 13


class LimitError(MconvError):
    """What the model asks for (memory, work, size once unpacked) is beyond the budget of the command; ``--limit``
    raises it."""

    exit_code = 14


class UnprovedError(MconvError):
    """The conversion is written, but nothing could be compared: what runs the source could not run it, or the source takes
    some of equal scores, and which of them is open."""

    exit_code = 15


class TooSlowError(MconvError):
    """What was measured is right, but beyond ``--max-p99`` or below ``--min-tps``."""

    exit_code = 16


class BuildError(Exception):
    """An importer or pass emitted an operator that the target's signature table does not allow.

    This is a bug of the importer (or of a user's plugin), not of the model: it is no :class:`MconvError`.
    """


_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_LONGEST_PATH = 300  # characters of one that is told: the system has refused some for their length


def refused(error: BaseException) -> Optional[MconvError]:
    """What the machine refused (a path that cannot be opened, a full disk, no more memory), said as an error of its
    kind; None for anything else."""
    if isinstance(error, MemoryError):
        return LimitError(
            f"out of memory{': ' if str(error) else ''}{error}", "a machine or a container with more of it can do it"
        )
    if not isinstance(error, OSError) or error.errno is None:
        return None
    named = [os.fspath(n) for n in (error.filename, error.filename2) if isinstance(n, (str, bytes, os.PathLike))]
    where = os.fsdecode(named[0]) if named else ""
    if len(where) > _LONGEST_PATH:
        where = f"{where[:_LONGEST_PATH]}…"
    if error.errno == errno.ENOENT and not named and "temporary directory" in (error.strerror or ""):  # tempfile's own
        return OutputExistsError("no folder for temporary files can be written to", "TMPDIR=FOLDER names another one")
    if error.errno in _OUTPUT:
        return OutputExistsError(f"{where or 'the output'}: cannot be written ({error.strerror})")
    return NotAModelError(f"{where}: {error.strerror}") if where else None
