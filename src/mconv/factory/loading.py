"""SPEC → what a user's Python makes: ``pkg.module:factory`` or ``path/to/file.py:factory``."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Optional, Union

from mconv.errors import MconvError, MissingDependencyError, NotAModelError, UsageError

FORM = "SPEC is pkg.module:factory or path/to/file.py:factory"
_NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
_REWRITTEN = re.compile(r"[a-z0-9_]{8}\.py$")
_WORDS = {"true": True, "false": False, "null": None, "none": None}


def split(spec: str) -> Optional[tuple[str, str]]:
    """The module or file and the name of the factory in it; None where a text has no such form."""
    path, colon, name = spec.rpartition(":")
    return (path, name) if colon and not (len(path) == 1 and os.sep == "\\") else None


def read_of(spec: Any) -> list[str]:
    """The file or folder that a path or a SPEC names, so that nothing is written over it; none of what is in memory, or
    of a module that is found by its name."""
    if not isinstance(spec, (str, os.PathLike)):
        return []
    text = os.fspath(spec)
    path = text if os.path.exists(text) else (split(text) or ("", ""))[0]
    return [path] if path and os.path.exists(path) else []


def arguments_of(
    given: Union[Mapping[str, Any], Sequence[str]], option: str = "--arg", *, any_name: bool = False
) -> dict[str, Any]:
    """Arguments by name, however they were given.

    Raises:
        UsageError: see :func:`parse_arguments`.
    """
    return dict(given) if isinstance(given, Mapping) else parse_arguments(given, option, any_name=any_name)


def parse_arguments(texts: Sequence[str], option: str = "--arg", *, any_name: bool = False) -> dict[str, Any]:
    """``key=value`` with a Python literal as the value (``true``, ``false`` and ``null`` too); else it is a string.

    Args:
        option: what the user calls it.
        any_name: keys are no arguments of a function but names in a model.

    Raises:
        UsageError: another form, or a key given twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        key = key.strip()
        if not sign or not (key if any_name else key.isidentifier()):
            raise UsageError(f"{option} {text!r}: not of the form key=value")
        if key in found:
            raise UsageError(f"{option} gives {key!r} twice")
        try:
            found[key] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[key] = _WORDS.get(value.strip().lower(), value)
    return found


def find(spec: str) -> Any:
    """What SPEC names: a class, a function, or an object.

    Raises:
        NotAModelError: there is no such file, module or member, or importing it fails.
        UsageError: SPEC has another form.
        MissingDependencyError: a package that the module imports is missing.
    """
    path, name = split(spec) or ("", "")
    if not path or not re.fullmatch(_NAME, name):
        raise UsageError(f"{spec!r}: {name!r} is no name of a class or function", FORM)
    module = _file(Path(path)) if path.endswith(".py") or os.sep in path else _module(path)
    return _member(module, name, path)


def call(factory: Any, arguments: Mapping[str, Any], spec: str, kind: type, kind_name: str) -> Any:
    """Call a factory and check what it gives; an object of that kind is taken as it is.

    Args:
        kind: the class that is wanted, *kind_name* its name for people.

    Raises:
        NotAModelError: it fails, or what it makes is of another kind.
        UsageError: it does not take these arguments.
    """
    short = kind_name.rpartition(".")[2].lower()
    if isinstance(factory, kind):
        if arguments:
            raise UsageError(f"{spec} is a {short}, not a factory, and takes no --arg")
        return factory
    if not callable(factory):
        raise NotAModelError(f"{spec} is a {type(factory).__name__}, not a class or function that makes a {kind_name}")
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        signature = None  # of an extension type
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as e:
            raise UsageError(f"{spec}: {e}", f"its arguments are {signature}; give them with --arg key=value") from None
    with user_code(spec):
        made = factory(**arguments)
    if not isinstance(made, kind):
        hint = f"return the {short} alone" if isinstance(made, (tuple, list, dict)) else None
        raise NotAModelError(f"{spec} makes a {type(made).__name__}, not a {kind_name}", hint)
    return made


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise NotAModelError(f"{path}: no such file", FORM)
    # a name of its own, so that model.py of one folder is not another's, and none of the installed packages
    name = f"mconv_user_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NotAModelError(f"{path}: no Python file", FORM)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))  # stays: the factory may import its neighbours later
    try:
        with user_code(str(path)):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(name: str) -> ModuleType:
    if not re.fullmatch(_NAME, name):
        raise UsageError(f"{name!r} is no name of a module", FORM)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` has it
    with user_code(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as e:
            if e.name is not None and (name == e.name or name.startswith(e.name + ".")):
                raise NotAModelError(f"there is no module {name!r}", FORM) from None
            raise


def _member(module: ModuleType, name: str, where: str) -> Any:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            names = [
                n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__
            ]
            hint = f"it defines {', '.join(names[:12])}" if names else None
            raise NotAModelError(f"{where}: has no {name!r}", hint) from None
    return found


@contextlib.contextmanager
def user_code(what: str) -> Iterator[None]:
    """Errors of the user's own code in one line, with the location that they come from."""
    try:
        yield
    except MconvError:
        raise
    except KeyboardInterrupt:
        raise
    except ImportError as e:
        hint = f"it is looked for by the Python that runs mconv: {sys.executable}"
        raise MissingDependencyError(f"{what}: {e}{location_of(e)}", hint) from e
    except (Exception, SystemExit) as e:  # it is the user's program that runs here
        lines = str(e).strip().splitlines()
        text = f"{type(e).__name__}: {lines[0]}" if lines else type(e).__name__
        raise NotAModelError(f"{what}: fails with {text}{location_of(e)}", "--debug shows where") from e


def location_of(error: BaseException) -> str:
    """`` (net.py, line 12)``: the innermost line of code that is neither a framework's, mconv's nor Python's own."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({os.path.basename(error.filename)}, line {error.lineno})"
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        name = frame.filename
        # Paddle writes what it has rewritten into files of its own, whose lines are not the user's
        rewritten = (
            "to_static_tmp" in name or os.path.dirname(name) == tempfile.gettempdir() and _REWRITTEN.search(name)
        )
        foreign = name.startswith((own, "<", sys.prefix, sys.base_prefix)) or "site-packages" in name
        if not foreign and not rewritten:
            return f" ({os.path.basename(name)}, line {frame.lineno})"
    return ""
