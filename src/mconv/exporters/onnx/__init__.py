"""Program → ONNX."""

from __future__ import annotations

from pathlib import Path

from mconv.exporters.onnx import registry
from mconv.exporters.onnx.exporter import Exported, export
from mconv.exporters.onnx.registry import paddle_op
from mconv.exporters.onnx.writer import LARGEST, skeleton, write
from mconv.program import plugins


def load_plugin(path: Path) -> int:
    """:func:`mconv.program.plugins.load_plugin` for converters of Paddle operators."""
    return plugins.load_plugin(path, lambda: (c.function for c in registry.known()), "@mconv.paddle_op(...)")


__all__ = ["LARGEST", "Exported", "export", "load_plugin", "paddle_op", "skeleton", "write"]
