"""A user's own converters: a Python file that registers them."""

from __future__ import annotations

import hashlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from mconv.errors import UsageError


def load_plugin(path: Path, known: Callable[[], Iterable[Callable[..., Any]]], decorator: str) -> int:
    """Run a plugin's file; the converters that it registers hold for the rest of the process.

    A file is run once, however often it is given.

    Args:
        known: every registered function.
        decorator: what registers one, as a user writes it.

    Returns:
        How many converters it has registered.

    Raises:
        UsageError: there is no such file, it fails, or it registers nothing.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"--plugin {path}: no such file")
    name = f"mconv_plugin_{path.stem}_{hashlib.sha1(str(path.resolve()).encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        list(known())  # mconv's own come first, so that a clash is the plugin's error
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise UsageError(f"--plugin {path}: not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as e:
            del sys.modules[name]
            first = (str(e).splitlines() or [""])[0]
            line = _line(e, path)
            raise UsageError(f"--plugin {path}{line}: {type(e).__name__}: {first}") from e
    made = sum(1 for function in known() if function.__module__ == name)
    if not made:
        raise UsageError(f"--plugin {path}: registers no converter", f"decorate its functions with {decorator}")
    return made


def _line(error: BaseException, path: Path) -> str:
    trace, line = error.__traceback__, ""
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = f" line {trace.tb_lineno}"
        trace = trace.tb_next
    return line


def load_families(package: ModuleType) -> None:
    """Import every module of a package of converters, which registers them."""
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        importlib.import_module(f"{package.__name__}.{module}")
