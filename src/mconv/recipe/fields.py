"""The fields of a recipe's steps: those options of the verbs that the recipe does not say elsewhere."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Union

from mconv.options.convert import Convert
from mconv.options.declare import Declared, Options, declared
from mconv.options.edit import Edit
from mconv.options.layers import ToStatic
from mconv.options.models import Downgrade, Half, Shapes
from mconv.options.onnx import Onnx2Paddle, ToOnnx
from mconv.options.quantize import Quantize
from mconv.options.serving import ServeCheck, ToServing
from mconv.options.torch import Torch2Paddle
from mconv.options.verify import Verify

# step → what it may be told
STEPS: dict[str, type[Options]] = {
    "to-static": ToStatic,
    "onnx2paddle": Onnx2Paddle,
    "torch2paddle": Torch2Paddle,
    "downgrade": Downgrade,
    "half": Half,
    "quantize": Quantize,
    "shapes": Shapes,
    "edit": Edit,
    "to-serving": ToServing,
    "convert": Convert,
    "to-onnx": ToOnnx,
    "verify": Verify,
    "serve-check": ServeCheck,
}
_DESCRIBED = {
    "shapes": "The shapes of the last model's tensors for TensorRT, which the service that to-serving makes takes; without "
    "minimum, optimum and maximum those of verification.data.",
    "edit": "The last model, or the source, with other sizes, names, inputs, outputs or files; before onnx2paddle an ONNX "
    "file.",
    "convert": "Any source to serving_server/ and serving_client/ in one step.",
    "to-onnx": "The last Paddle model, or the source, as ONNX; later steps go on from the Paddle model.",
}
# what `verify` compares, which a recipe names by its steps
_COMPARED = {
    "a": {
        "type": "string",
        "description": "The reference: `source`, or the name of an earlier step. By default the source where it is a "
        "file, else the first conversion's result.",
    },
    "b": {"type": "string", "description": "By default what the last conversion made."},
}
_DEPENDENT = {"torch2paddle": {"into_arguments": ["into"], "rules": ["into"]}}


def definitions() -> dict[str, Any]:
    """Step → the JSON Schema of its fields, for ``$defs``; and ``step``, which is one of them."""
    found = {name: _step(name, kind) for name, kind in STEPS.items()}
    found["step"] = {
        "type": ["string", "object"],
        "description": "A step by its name, or its name with options: `- verify: {tolerance: 1e-4}`.",
        "if": {"type": "string"},
        "then": {"enum": list(STEPS)},
        "else": {
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
            "properties": {name: {"$ref": f"#/$defs/{name}"} for name in STEPS},
        },
    }
    return found


def _step(name: str, kind: type[Options]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": ["object", "null"], "additionalProperties": False}
    if name in _DESCRIBED:
        made["description"] = _DESCRIBED[name]
    made["properties"] = dict(_COMPARED) if name == "verify" else {}
    made["properties"].update({d.name: _property(d) for d in declared(kind) if d.recipe and not d.argument})
    if name in _DEPENDENT:
        made["dependentRequired"] = _DEPENDENT[name]
    return made


def _property(d: Declared) -> dict[str, Any]:
    """The value's type, the limits that are declared, and the help."""
    kind: dict[str, Any] = {"enum": list(d.choices)} if d.choices else {}
    if not kind and not {"type", "enum"} & set(d.schema):
        kind = _kind(d.hint)
    if isinstance(d.default, int) and not isinstance(d.default, bool) and kind.get("type") == "integer":
        kind["default"] = d.default
    return {**kind, "description": _described(d), **d.schema}


def _described(d: Declared) -> str:
    """The help, without what is about the command line."""
    text = re.sub(r"\s*\[default: (.*)\]$", r" By default \1.", d.help)
    return re.sub(r"(\. Repeatable|; repeatable)(?=[.;]|$)", "", text)


def _kind(hint: Any) -> dict[str, Any]:
    inner = [a for a in typing.get_args(hint) if a is not type(None)]
    origin = typing.get_origin(hint)
    if hint is bool:
        return {"type": "boolean"}
    if hint is int:
        return {"type": "integer"}
    if hint is float:
        return {"type": "number"}
    if origin is Union and len(inner) == 1:
        return _kind(inner[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object"}
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "string"}
