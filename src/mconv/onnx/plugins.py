"""A user's own converters: a Python file that registers them with ``@mconv.onnx_op``."""

from __future__ import annotations

from pathlib import Path

from mconv.onnx import registry
from mconv.program import plugins


def load_plugin(path: Path) -> int:
    """:func:`mconv.program.plugins.load_plugin` for converters of ONNX operators."""
    return plugins.load_plugin(path, lambda: (c.function for c in registry.known()), "@mconv.onnx_op(...)")
