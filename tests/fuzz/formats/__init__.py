"""The formats that are tried: each module declares some; only the one that is asked for is imported."""

from __future__ import annotations

from importlib import import_module

from tests.fuzz.harness import Format

# format → the module that declares it as a constant of its name in capitals
FORMATS = {
    "onnx": "onnx",
    "onnx_operators": "onnx",
    "external": "onnx",
    "pir": "pir",
    "program": "paddle",
    "params": "paddle",
    "pdparams": "paddle",
    "configuration": "serving",
    "tokenizer": "serving",
    "description": "serving",
    "names": "serving",
    "provenance": "documents",
    "recipe": "documents",
    "piped": "documents",
    "npz": "arrays",
    "safetensors": "arrays",
    "torch": "torch",
    "exported": "torch",
    "commands": "commands",
}


def load(name: str) -> Format:
    """The format of a name."""
    found: Format = getattr(import_module(f"{__name__}.{FORMATS[name]}"), name.upper())
    assert found.name == name
    return found
