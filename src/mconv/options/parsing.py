"""From what is typed after an option to the value that the API takes."""

from __future__ import annotations

from collections.abc import Sequence

from mconv.errors import UsageError


def aliases(option: str, given: Sequence[str]) -> dict[str, str]:
    """``["old=new", …]`` as a dictionary; a variable's name may hold ``=``, an alias not.

    Raises:
        UsageError: another form, or two aliases of one variable.
    """
    found: dict[str, str] = {}
    for text in given:
        old, sign, new = text.rpartition("=")
        if not sign or not old or not new:
            raise UsageError(f"{option}: {text!r} is not of the form old=new")
        if found.setdefault(old, new) != new:
            raise UsageError(f"{option}: {old!r} is given twice")
    return found


def names(option: str, given: str) -> list[str]:
    """``a, b`` as a list."""
    return [name.strip() for name in given.split(",")]


def names_of_all(option: str, given: Sequence[str]) -> list[str]:
    """The same of an option that is given several times."""
    return [name for text in given for name in names(option, text)]


def numbers(option: str, given: str) -> list[float]:
    """``0.5`` or ``0.485,0.456,0.406``.

    Raises:
        UsageError: one is no number.
    """
    try:
        return [float(part) for part in given.split(",")]
    except ValueError:
        raise UsageError(f"{option}: {given!r} is no list of numbers", "0.5 or 0.485,0.456,0.406") from None


def roles(option: str, given: Sequence[str]) -> dict[str, str]:
    """``NAME=ROLE`` of inputs.

    Raises:
        UsageError: another form.
    """
    found = {}
    for text in given:
        name, sign, role = text.rpartition("=")
        if not sign or not name:
            raise UsageError(f"{option}: {text!r} is not of the form NAME=ROLE")
        found[name] = role
    return found


def upper(option: str, given: str) -> str:
    return given.upper()
