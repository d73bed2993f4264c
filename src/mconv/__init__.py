"""Any model in, a Paddle model out that the runtime you deploy on really loads - and proof of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mconv.api import to_static
    from mconv.onnx.registry import onnx_op

__version__ = "0.1.0"
__all__ = ["__version__", "onnx_op", "to_static"]


def __getattr__(name: str) -> Any:
    # imported when asked for: `import mconv` itself stays free of work
    if name == "onnx_op":
        from mconv.onnx.registry import onnx_op

        return onnx_op
    if name == "to_static":
        from mconv.api import to_static

        return to_static
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
