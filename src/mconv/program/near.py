"""What to say of a name that a model does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from mconv.errors import UsageError

_MOST = 3  # near names that are shown
_LISTED = 12  # names that are listed where none is near


def near(name: str, names: Iterable[str]) -> str:
    """A hint: the names most like *name*, or those that there are."""
    known = list(dict.fromkeys(names))
    close = difflib.get_close_matches(name[:200], known, _MOST)
    close += [n for n in known if len(name) > 2 and name in n and n not in close][: _MOST - len(close)]
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    shown = ", ".join(map(repr, known[:_LISTED])) or "none"
    return f"there are {shown}" + (f" and {len(known) - _LISTED} more" if len(known) > _LISTED else "")


def unknown(option: str, what: str, name: str, names: Iterable[str]) -> UsageError:
    """The error for a name that is not there.

    Args:
        option: as which it was given.
        what: what it was to be the name of: ``input``, ``variable``.
    """
    return UsageError(f"{option}: the model has no {what} {name!r}", near(name, names))
