"""Torch's own chatter while it traces."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

_LOGGERS = (
    "torch",
    "torch.export",
    "torch.onnx",
    "torch._dynamo",
    "torch.fx",
    "torch._export",
    "onnxscript",
    "onnx_ir",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within it, torch and its exporters neither warn nor log nor print."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
