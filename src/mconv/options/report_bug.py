"""Of ``report-bug``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from mconv.options.declare import OUTPUT, option
from mconv.options.proving import Force, PathLike, Progress


class ReportBug(Force, Progress):
    """Of ``report-bug``."""

    command: Sequence[str] = option(default=(), help="The command that failed, as it was typed.", cli=False)
    kind: Optional[type] = option(default=None, help="Its options' class; None: it is not run again.", cli=False)
    given: Optional[Mapping[str, Any]] = option(default=None, help="What was said of its options.", cli=False)
    call: Optional[Callable[..., Any]] = option(default=None, help="Its function of the API.", cli=False)
    out: PathLike = option(
        default="mconv-bug",
        flags=["--out", "-o"],
        metavar="FOLDER|FILE.ZIP",
        help="What to write.",
        group=OUTPUT,
    )
    keep_weights: bool = option(
        default=False,
        help="Leave the reduced model its own weights, instead of random ones.",
        group=OUTPUT,
    )
