"""What runs the model where a server of its own does not: ``engine.py`` of a service, for OpenVINO, ONNX Runtime or Paddle."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from mconv.errors import UsageError
from mconv.serving import onednn
from mconv.serving.configure import ServingVar
from mconv.serving.input_modules import Service
from mconv.serving.rendering import literal, render
from mconv.serving.servers.interface import Model, Stage
from mconv.serving.service_options import BF16, FP32, ServiceOptions
from mconv.serving.sidecars import read_settings

ENGINE = "engine.py"
OPENVINO, ONNXRUNTIME, PADDLE = BACKENDS = ("openvino", "onnxruntime", "paddle")
# --precision → how OpenVINO calls it
HINTS = {FP32: "f32", BF16: "bf16"}
# the file of ONNX Runtime, beside engine.py
ONNX = "model.onnx"
# for what OpenVINO cannot read
_INSTEAD = f"--backend {PADDLE}, or --backend {ONNXRUNTIME} (`mconv to-onnx MODEL {ONNX}` makes its file)"


def engine(service: Service, model: Model, options: ServiceOptions, up: str = "") -> str:
    """The text of ``engine.py``.

    Args:
        up: the service's folder, as seen from the one that ``engine.py`` is in.
    """
    path = ONNX if options.backend == ONNXRUNTIME else posixpath.join(up, model.path)
    weights = onednn.product_bytes(model.program)
    fast = onednn.settle(options.onednn, options.device_type == 0, service.sizes, weights)
    return _rendered(options, fast.on, path, _variables(model.config.feeds), _variables(model.config.fetches))


def engine_of_stages(stages: Mapping[str, Stage], options: ServiceOptions) -> str:
    """The text of ``engine.py`` for several models, by their stages."""
    onnx = options.backend == ONNXRUNTIME
    return _rendered(
        options,
        False,
        {name: onnx_of(stage.model.path) if onnx else stage.model.path for name, stage in stages.items()},
        {name: _variables(stage.model.config.feeds) for name, stage in stages.items()},
        {name: _variables(stage.model.config.fetches) for name, stage in stages.items()},
    )


def check_precision(options: ServiceOptions) -> None:
    """Refuse what the engine does not do.

    Raises:
        UsageError: another engine than OpenVINO is to compute a float32 model in bfloat16.
    """
    if options.precision == BF16 and options.backend not in (None, OPENVINO):
        raise UsageError(
            f"--precision {BF16}: {options.backend} computes a float32 model in float32", "leave --backend out"
        )


def onnx_of(folder: str) -> str:
    """The file of ONNX Runtime of one of several models, beside its folder's program."""
    return posixpath.join(folder, ONNX)


def require_onnx(folder: Path, file: str = ONNX) -> None:
    """Refuse to start where ONNX Runtime's file, as seen from a folder, is missing.

    Raises:
        UsageError: says how it is made.
    """
    if not (folder / file).is_file():
        raise UsageError(f"{folder} has no {file}", f"make it with `mconv to-onnx MODEL {folder / file}`")


def onnx_note(source: str, file: str, *, several: bool = False) -> str:
    """What is left to do for ONNX Runtime: make a model's file, both as seen from the service's folder."""
    wanted, rest = (f"{ONNX} for each model", " and so on") if several else (file, "")
    return f"ONNX Runtime wants {wanted}: `mconv to-onnx {source} {file}`{rest} in the service's folder"


def _variables(found: Iterable[ServingVar]) -> dict[str, str]:
    """What clients call an input or an output → the model's variable."""
    return {var.alias: var.name for var in found}


def _rendered(options: ServiceOptions, fast: bool, model: Any, inputs: Any, outputs: Any) -> str:
    backend = options.backend or OPENVINO
    return render(
        ENGINE,
        ENGINE=backend,
        PRECISION=HINTS[options.precision or FP32],
        INSTEAD=literal(_INSTEAD),
        MODEL=literal(model),
        EACH="" if isinstance(model, str) else "; of each stage",
        INPUTS=literal(inputs),
        OUTPUTS=literal(outputs),
        IR_OPTIM=options.ir_optim,
        ONEDNN=fast and backend == PADDLE,
    )


def precision(found: Mapping[str, object]) -> str:
    """In what ``engine.py`` computes a float32 model, by its :func:`settings`: ``float32`` or ``bfloat16``."""
    return "bfloat16" if found.get("PRECISION") == HINTS[BF16] else "float32"


def settings(path: Path) -> dict[str, object]:
    """What a module of a service sets to literals at its top: name → value; nothing of it is run.

    Raises:
        SyntaxError: it is no Python, or nested beyond what Python's parser takes.
        NotAModelError, CorruptModelError: it cannot be read.
    """
    found: dict[str, object] = {}
    try:
        body = ast.parse(read_settings(path)).body
    except (RecursionError, MemoryError):  # the latter is what the parser says of its own stack
        raise SyntaxError("nested too deeply") from None
    except ValueError as e:  # a NUL; a number of thousands of digits
        raise SyntaxError(str(e)) from None
    for node in body:
        target: Optional[ast.expr] = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.Assign) and isinstance(target, ast.Name):
            try:
                found[target.id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # what literal_eval documents
                continue
    return found
