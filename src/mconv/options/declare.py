"""How an option is declared: once, as a field of an option class.

A class holds all that a verb is told, arguments and options: their types, defaults, help, metavars and groups. What
follows from it: the function of :mod:`mconv.api` (:mod:`mconv.options.taking`), the command line
(:mod:`mconv.cli.parameters`), the fields of the recipe's steps (:mod:`mconv.recipe.fields`) and the pages of the commands.
See CONTRIBUTING.md, "Adding an option".

This room imports nothing heavy: ``mconv COMMAND --help`` reads it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from mconv.errors import UsageError
from mconv.options.fitting import fitted

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

# what ``--help`` calls the groups, in its order
INPUT, CONVERSION, OUTPUT = "Input", "Conversion", "Output"
INTO, LOAD, REPORT = "Into a layer of Paddle", "Load", "Report"
VERIFICATION, SERVICE, TEXTS, IMAGES, OTHER = (
    "Verification",
    "Service",
    "Service of texts",
    "Service of images",
    "Other",
)
GROUPS = (INPUT, INTO, CONVERSION, OUTPUT, LOAD, VERIFICATION, REPORT, SERVICE, TEXTS, IMAGES, OTHER)

_OPTION = "option"  # the key of a field's metadata


@dataclass(frozen=True)
class Declared:
    """One argument or option of an option class.

    Attributes:
        name: the keyword of the API, and the field of the recipe's step.
        hint: its type.
        default: :data:`dataclasses.MISSING` where there is none.
        help: what ``--help``, the documents and the recipe's schema say.
        group: one of :data:`GROUPS`.
        metavar: what stands for the value.
        flags: ``--input``, ``-i``; empty: made of the name.
        argument: it has no flag: on the command line, too, it is known by its position.
        parse: option's name and what was typed → the value.
        typed: the type of what is typed, where it is not that of the value.
        cli: whether the command line has it.
        recipe: whether a recipe's step has it; what the recipe says elsewhere (target, inputs, …) it has not.
        schema: what the recipe's schema says beside the type and the help.
        choices: the values that there are, for the schema.
    """

    name: str
    hint: Any
    default: Any
    help: str
    group: str = OTHER
    metavar: Optional[str] = None
    flags: tuple[str, ...] = ()
    argument: bool = False
    parse: Optional[Callable[[str, Any], Any]] = None
    typed: Any = None
    cli: bool = True
    recipe: bool = True
    schema: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """What messages call it: the longest of its flags, ``--keep-dtype``."""
        if self.argument:
            return self.metavar or self.name.upper()
        return max(self.flags, key=len).partition("/")[0] if self.flags else f"--{self.name.replace('_', '-')}"


def option(
    *,
    default: Any,
    help: str,
    group: str = OTHER,
    metavar: Optional[str] = None,
    flags: Sequence[str] = (),
    parse: Optional[Callable[[str, Any], Any]] = None,
    typed: Any = None,
    cli: bool = True,
    recipe: bool = True,
    schema: Optional[Mapping[str, Any]] = None,
    choices: Sequence[str] = (),
    kw_only: bool = True,
) -> Any:
    """A field that may be left out; see :class:`Declared`.

    Args:
        kw_only: False where the API takes it by position, too.
    """
    said = {
        "help": help, "group": group, "metavar": metavar, "flags": tuple(flags), "parse": parse, "typed": typed,
        "cli": cli, "recipe": recipe, "schema": schema or {}, "choices": tuple(choices),
    }  # fmt: skip
    return field(default=default, metadata={_OPTION: said, "position": not kw_only})


def argument(
    *,
    help: str,
    kw_only: bool,
    default: Any = dataclasses.MISSING,
    metavar: Optional[str] = None,
    parse: Optional[Callable[[str, Any], Any]] = None,
    typed: Any = None,
    cli: bool = True,
) -> Any:
    """A field that is known by its position, in the API and on the command line.

    Args:
        kw_only: always False; type checkers want to read it.
    """
    said = {
        "help": help, "group": INPUT, "metavar": metavar, "argument": True, "parse": parse, "typed": typed, "cli": cli,
        "recipe": False,
    }  # fmt: skip
    return field(default=default, metadata={_OPTION: said, "position": not kw_only})


def again(kind: type[Options], name: str, **other: Any) -> Any:
    """The option that *kind* has under that name, said otherwise here: another help, default or group."""
    found = next(f for f in fields(kind) if f.name == name)
    said = {**found.metadata[_OPTION], **{k: v for k, v in other.items() if k != "default"}}
    return field(default=other.get("default", found.default), metadata={**found.metadata, _OPTION: said})


if not TYPE_CHECKING:

    def dataclass_transform(**_):
        """Tells type checkers that a class is a dataclass (PEP 681); Python before 3.11 lacks it."""
        return lambda kind: kind


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(option, argument))
class Options:
    """The base of option classes, which are frozen dataclasses whose options are keywords.

    A class checks itself in ``__post_init__``: what does not fit together is refused when one is made.

    Attributes:
        examples: group → a line that ``--help`` shows above it.
    """

    examples: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:

        def __init_subclass__(cls) -> None:
            # all that a dataclass has is below, once: made anew for each class, it takes most of a command's start-up
            dataclass(init=False, repr=False, eq=False)(cls)

        def __init__(self, *arguments, **given):
            all_fields = fields(type(self))
            positions = [f.name for f in all_fields if f.metadata["position"]]
            if len(arguments) > len(positions):
                raise TypeError(f"takes {len(positions)} positional arguments, {len(arguments)} were given")
            values = dict(zip(positions, arguments))
            twice = [name for name in given if name in values]
            unknown = given.keys() - {f.name for f in all_fields}
            if twice or unknown:
                name = (twice or sorted(unknown))[0]
                raise TypeError(f"got {'multiple values for' if twice else 'an unexpected keyword'} argument {name!r}")
            values.update(given)
            missing = [f.name for f in all_fields if f.name not in values and f.default is dataclasses.MISSING]
            if missing:
                raise TypeError(f"missing the argument {', '.join(map(repr, missing))}")
            for d in declared(type(self)):
                value = values.get(d.name, d.default)
                if d.name in values:
                    value = fitted(d.flag, value, d.hint, model=d.argument)
                object.__setattr__(self, d.name, value)
            self.__post_init__()
            for f in all_fields:
                _within(declared_flag(f), getattr(self, f.name), f.metadata[_OPTION].get("schema") or {})

        def __setattr__(self, name, value):
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

        def __delattr__(self, name):
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

        def __eq__(self, other):
            return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

        def __hash__(self):
            return hash(tuple(getattr(self, f.name) for f in fields(type(self))))

        def __repr__(self):
            said = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(type(self)))
            return f"{type(self).__qualname__}({said})"

    def __post_init__(self) -> None: ...

    def settle(self, name: str, value: object) -> None:
        """Put a field into the form that the code works with; for ``__post_init__`` alone."""
        object.__setattr__(self, name, value)

    def stated(self) -> dict[str, Any]:
        """The options that are not as they are by default."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(type(self))
            if f.default is not dataclasses.MISSING and not _usual(getattr(self, f.name), f.default)
        }

    def stated_options(self) -> list[Declared]:
        """Their declarations."""
        said = self.stated()
        return [d for d in declared(type(self)) if d.name in said]

    def shared(self, kind: type[Options]) -> dict[str, Any]:
        """The fields that *kind* has, too, to make one of it."""
        names = {f.name for f in fields(kind)}
        return {f.name: getattr(self, f.name) for f in fields(type(self)) if f.name in names}

    def foreign(self, *kinds: type[Options]) -> list[Declared]:
        """The options that were stated and that none of *kinds* has."""
        known = {f.name for kind in kinds for f in fields(kind)}
        return [d for d in self.stated_options() if d.name not in known]


def declared_flag(f: dataclasses.Field[Any]) -> str:
    """What messages call the option of a field, see :attr:`Declared.flag`."""
    return Declared(f.name, None, f.default, **f.metadata[_OPTION]).flag


def is_argument(f: dataclasses.Field[Any]) -> bool:
    """Whether a field is known by its position, see :attr:`Declared.argument`."""
    return bool(f.metadata[_OPTION].get("argument"))


def _within(flag: str, value: Any, bounds: Mapping[str, Any]) -> None:
    """Refuse a number that is none, or beyond what the option's declaration says.

    Raises:
        UsageError: it is NaN or infinite, or outside of ``minimum``, ``exclusiveMinimum``, ``maximum`` of *bounds*.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not math.isfinite(value):
        raise UsageError(f"{flag} {value}: must be a finite number")
    low, above, high = (bounds.get(k) for k in ("minimum", "exclusiveMinimum", "maximum"))
    if above is not None and value <= above:
        raise UsageError(f"{flag} {value}: must be above {above}")
    if low is not None and value < low:
        raise UsageError(f"{flag} {value}: must be at least {low}")
    if high is not None and value > high:
        raise UsageError(f"{flag} {value}: must be at most {high}")


def _usual(value: Any, default: Any) -> bool:
    """Whether a value says no more than the default: nothing is nothing, ``[]`` and ``{}`` as well as ``()``."""
    return value == default or (isinstance(value, (list, tuple, Mapping)) and not value and not default)


def fields(kind: type[Options]) -> tuple[dataclasses.Field[Any], ...]:
    """What :func:`dataclasses.fields` gives: arguments first, then its own options, then those of its bases."""
    found = dataclasses.fields(kind)  # type: ignore[arg-type] # made one by __init_subclass__
    order = {
        name: (-i, at)
        for i, c in enumerate(kind.__mro__)
        for at, name in enumerate(c.__dict__.get("__annotations__", ()))
    }
    return tuple(sorted(found, key=lambda f: (not f.metadata["position"], -order[f.name][0], order[f.name][1])))


@functools.cache
def _own_hints(kind: type) -> dict[str, Any]:
    """The types of the fields that a class has beside those of its bases, which many classes share."""
    names = {f.name for f in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    own = {name: text for name, text in kind.__dict__.get("__annotations__", {}).items() if name in names}
    holder = types.SimpleNamespace(__annotations__=own)
    return typing.get_type_hints(holder, vars(sys.modules[kind.__module__]), {"os": os})  # which PathLike names


_known: dict[type, tuple[Declared, ...]] = {}


def declared(kind: type[Options]) -> tuple[Declared, ...]:
    """The arguments and options of an option class, in the order of :func:`fields`."""
    if kind not in _known:
        hints = {name: hint for c in reversed(kind.__mro__) for name, hint in _own_hints(c).items()}
        _known[kind] = tuple(Declared(f.name, hints[f.name], f.default, **f.metadata[_OPTION]) for f in fields(kind))
    return _known[kind]


def refuse(found: Sequence[Declared], why: str, hint: Optional[str] = None) -> None:
    """Refuse options that mean nothing here.

    Raises:
        UsageError: there are some; it names all of them.
    """
    if found:
        raise UsageError(f"{', '.join(d.flag for d in found)}: {why}", hint)


def one_of(flag: str, value: Optional[str], known: Sequence[str]) -> None:
    """Refuse a value that is none of *known*; None is fine.

    Raises:
        UsageError: names them.
    """
    if value is not None and value not in known:
        raise UsageError(f"{flag}: {value!r} is not one of {', '.join(known)}")
