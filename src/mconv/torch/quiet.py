"""Torch's own chatter while it traces."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Within it, torch and its exporters neither log nor print.

    Yields:
        What its tracer warned of, once it has: values that become constants, such as the outcome of a condition.
    """
    found: list[str] = []
    before = logging.root.manager.disable
    with warnings.catch_warnings(record=True) as caught, _silent():
        warnings.simplefilter("always")
        logging.disable(logging.CRITICAL)
        try:
            yield found
        finally:
            logging.disable(before)
            found += [str(w.message) for w in caught if w.category.__name__ == "TracerWarning"]


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
