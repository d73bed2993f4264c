"""SPEC → a layer: ``pkg.module:factory``, ``path/to/file.py:factory``, or a PaddleNLP model."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from mconv.errors import MissingDependencyError, NotAModelError, UsageError
from mconv.extras import install
from mconv.factory import loading

_FORM = "SPEC is pkg.module:factory, path/to/file.py:factory, or the folder of a PaddleNLP model"
# what ends so is the file of a model, and no name of one of a hub
_MODELS = (".onnx", ".json", ".pdmodel", ".pdparams", ".pdiparams", ".pt", ".pt2", ".pth", ".bin", ".safetensors")


def import_paddle() -> Any:
    """The package paddle, imported without its chatter.

    Raises:
        MissingDependencyError: it is not installed, or cannot be imported.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    import warnings

    if "paddle" not in sys.modules:
        import zlib

        # Paddle 2.6 brings symbols of its own zlib into the process: what Python's uses must be bound before
        zlib.decompress(zlib.compress(b""))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import paddle
        except ImportError as e:
            raise MissingDependencyError(
                f"making a static model of a layer needs Paddle here: {(str(e).splitlines() or ['?'])[0]}",
                f"install it with `{install('paddle')}`",
            ) from None
    return paddle


def load(spec: str, arguments: Mapping[str, Any], *, trust: bool = False) -> Any:
    """The layer that a SPEC makes.

    Args:
        arguments: keyword arguments of the factory.
        trust: for PaddleNLP's models by name: load their weights with its own loader, which runs what they bring.

    Raises:
        NotAModelError: there is no such file, module or factory; it fails, or what it makes is no layer.
        UsageError: SPEC has another form, or the factory does not take these arguments.
        MissingDependencyError: Paddle, PaddleNLP or a package that the module imports is missing.
        UntrustedError: a model by name, and *trust* is not given.
    """
    if loading.split(spec) is None:
        from mconv.dygraph import nlp

        if spec.endswith(".py") or (not os.path.exists(spec) and not nlp.is_name(spec)):
            raise UsageError(f"{spec!r}: what makes the layer is not said", f"{_FORM}, e.g. {spec}:factory")
        if spec.endswith(_MODELS) and not os.path.exists(spec):
            raise NotAModelError(f"{spec}: no such file", f"{_FORM}, e.g. file.py:factory")
        _need_no_module(spec)
        return nlp.load(spec, arguments, trust=trust)
    import_paddle()
    return make(loading.find(spec), arguments, spec)


def _need_no_module(spec: str) -> None:
    """Refuse the name of a module, which lacks the factory, before it is taken for a model's."""
    import importlib.util

    found = os.path.exists(spec) or not spec.isidentifier()
    if not found and (os.path.isfile(f"{spec}.py") or importlib.util.find_spec(spec) is not None):
        raise UsageError(f"{spec}: what makes the layer is not said", f"{_FORM}, e.g. {spec}:factory")


def make(factory: Any, arguments: Mapping[str, Any], spec: str) -> Any:
    """Call a factory and check that it gives a layer; a layer itself is taken as it is.

    Raises:
        NotAModelError: it fails, or what it makes is no layer.
        UsageError: it does not take these arguments.
    """
    return loading.call(factory, arguments, spec, import_paddle().nn.Layer, "paddle.nn.Layer")
