"""Any model in, a Paddle model out that the runtime you deploy on really loads - and proof of it.

:mod:`mconv.api` has the verbs as functions: ``from mconv import api``, ``api.convert("model.onnx", "out")``.
"""

from __future__ import annotations

from mconv.version import __version__

TYPE_CHECKING = False  # typing.TYPE_CHECKING; importing that takes longer than all that comes before the first signal
if TYPE_CHECKING:
    from typing import Any

    from mconv import api, errors
    from mconv.api import to_static
    from mconv.exporters.onnx.registry import paddle_op
    from mconv.onnx.registry import onnx_op
    from mconv.recipe.api import init, run

__all__ = ["__version__", "api", "errors", "init", "onnx_op", "paddle_op", "run", "to_static"]
# what is imported when it is asked for: `import mconv` itself stays free of work
_LATER = {
    "api": "mconv.api",
    "errors": "mconv.errors",
    "init": "mconv.recipe.api",
    "onnx_op": "mconv.onnx.registry",
    "paddle_op": "mconv.exporters.onnx.registry",
    "run": "mconv.recipe.api",
    "to_static": "mconv.api",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(_LATER[name])
    return module if _LATER[name] == f"mconv.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
