"""Any model in, a Paddle model out that the runtime you deploy on really loads - and proof of it."""

from __future__ import annotations

TYPE_CHECKING = False  # typing.TYPE_CHECKING; importing that takes longer than all that comes before the first signal
if TYPE_CHECKING:
    from typing import Any

    from mconv.api import to_static
    from mconv.exporters.onnx.registry import paddle_op
    from mconv.onnx.registry import onnx_op

__version__ = "0.1.0"
__all__ = ["__version__", "onnx_op", "paddle_op", "to_static"]


def __getattr__(name: str) -> Any:
    # imported when asked for: `import mconv` itself stays free of work
    if name == "onnx_op":
        from mconv.onnx.registry import onnx_op

        return onnx_op
    if name == "paddle_op":
        from mconv.exporters.onnx.registry import paddle_op

        return paddle_op
    if name == "to_static":
        from mconv.api import to_static

        return to_static
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
