"""What runs the model where a server of its own does not: ``engine.py`` of a service, for OpenVINO, ONNX Runtime or Paddle."""

from __future__ import annotations

import ast
import posixpath
from pathlib import Path
from typing import Optional

from mconv.serving import onednn
from mconv.serving.input_modules import Service
from mconv.serving.rendering import literal, render
from mconv.serving.servers.interface import Model
from mconv.serving.service_options import ServiceOptions

ENGINE = "engine.py"
OPENVINO, ONNXRUNTIME, PADDLE = BACKENDS = ("openvino", "onnxruntime", "paddle")
# the file of ONNX Runtime, beside engine.py
ONNX = "model.onnx"
# for what OpenVINO cannot read
_OTHER = f"--backend {ONNXRUNTIME} (`mconv to-onnx MODEL {ONNX}` makes its file)"


def engine(service: Service, model: Model, options: ServiceOptions, *, paddle: bool, up: str = "") -> str:
    """The text of ``engine.py``.

    Args:
        paddle: whether the managed runtimes can run the model in Paddle for this server.
        up: the service's folder, as seen from the one that ``engine.py`` is in.
    """
    backend = options.backend or OPENVINO
    weights = onednn.product_bytes(model.program)
    fast = onednn.settle(options.onednn, options.device_type in (None, 0), service.sizes, weights)
    return render(
        ENGINE,
        ENGINE=backend,
        INSTEAD=literal(f"--backend {PADDLE}, or {_OTHER}" if paddle else _OTHER),
        MODEL=literal(ONNX if backend == ONNXRUNTIME else posixpath.join(up, model.path)),
        INPUTS=literal({var.alias: var.name for var in model.config.feeds}),
        OUTPUTS=literal({var.alias: var.name for var in model.config.fetches}),
        IR_OPTIM=options.ir_optim,
        ONEDNN=fast.on and backend == PADDLE,
    )


def settings(path: Path) -> dict[str, object]:
    """What a module of a service sets to literals at its top: name → value; nothing of it is run.

    Raises:
        SyntaxError, UnicodeDecodeError: it is no Python.
    """
    found: dict[str, object] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target: Optional[ast.expr] = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Name):
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found
