"""What a source is: any file, folder or SPEC that one of the conversions takes."""

from __future__ import annotations

import ast
import enum
import importlib.util
import inspect
import os
from pathlib import Path
from typing import Any, Optional

from mconv.errors import NotAModelError, UsageError
from mconv.factory import loading
from mconv.program import files
from mconv.program.paths import PathLike
from mconv.program.sniff import Kind, what
from mconv.program.stored import Era
from mconv.torch.sources import forms

FRAMEWORKS = ("torch", "paddle")
# packages whose modules belong to one framework
_OF_TORCH = {"torch", "torchvision", "torchaudio", "transformers", "timm", "sentence_transformers", "diffusers"}
_OF_PADDLE = {"paddle", "paddlenlp", "paddleseg", "paddledet", "ppdet", "ppcls", "ppocr", "paddlex", "paddlevideo"}
_NLP = ("config.json", "model_config.json")
_NLP_WEIGHTS = "model_state.pdparams"


class SourceKind(enum.Enum):
    """What a source is, and with it the conversion that reads it."""

    ONNX = "an ONNX model"
    TORCH = "a PyTorch model"
    LAYER = "a paddle.nn.Layer"
    PADDLE = "a Paddle inference model"
    PIR = "a Paddle 3 model (.json)"


def recognise(source: PathLike, framework: Optional[str] = None) -> SourceKind:
    """What *source* is: content decides, not names; nothing of it is run where that can be avoided.

    Args:
        framework: ``torch`` or ``paddle``: what a factory makes, where its file does not tell.

    Raises:
        NotAModelError: it is nothing that mconv converts.
        UsageError: a factory of which nothing tells the framework.
    """
    if framework is not None and framework not in FRAMEWORKS:
        raise UsageError(f"unknown framework {framework!r}", f"frameworks are {', '.join(FRAMEWORKS)}")
    text = os.fspath(source)
    path = Path(text)
    if path.is_file() and what(path) is Kind.ONNX:
        return SourceKind.ONNX
    if path.is_dir() and (path / _NLP_WEIGHTS).is_file() and any((path / n).is_file() for n in _NLP):
        return SourceKind.LAYER
    form = forms.recognise(text)
    if form is forms.Form.FACTORY:
        made = framework or framework_of(text)
        return SourceKind.TORCH if made == "torch" else SourceKind.LAYER
    # a Paddle model beside the config.json of its tokenizer has no weights of PyTorch
    bare = form is forms.Form.HUGGING_FACE and forms.weights_in(path) is None
    if form is not None and not bare and (path.exists() or text.startswith("timm:")):
        return SourceKind.TORCH
    try:
        found = files.locate(path)
    except NotAModelError:
        if bare or (form is not None and not path.exists()):  # a folder without its weights, a name of timm
            return SourceKind.TORCH
        raise
    return SourceKind.PIR if found.era is Era.PIR else SourceKind.PADDLE


def framework_of(spec: str) -> str:
    """``torch`` or ``paddle``: which of them the factory of a SPEC makes a model of.

    Told by what its file imports; where that is both or neither, by the bases of a class. No factory is called.

    Raises:
        NotAModelError: there is no such file, module or factory.
        UsageError: nothing tells.
    """
    path, name = loading.split(spec) or ("", "")
    top = path.partition(".")[0]
    if top in _OF_TORCH or top in _OF_PADDLE:
        return "torch" if top in _OF_TORCH else "paddle"
    found = _imported(_file_of(path))
    if len(found) == 1:
        return found.pop()
    member = loading.find(spec)
    kinds = [member] if inspect.isclass(member) else [type(member)] if not callable(member) else []
    bases = {base.__module__.partition(".")[0] for kind in kinds for base in kind.__mro__}
    told = bases & set(FRAMEWORKS) or _annotated(member)
    if len(told) != 1:
        raise UsageError(
            f"{spec}: its file imports {'both torch and paddle' if found else 'neither torch nor paddle'}, and "
            f"{name} does not say which of them it makes a model of",
            "--framework torch or --framework paddle",
        )
    return told.pop()


def _file_of(path: str) -> Optional[Path]:
    if path.endswith(".py") or os.sep in path:
        if not os.path.isfile(path):
            raise NotAModelError(f"{path}: no such file", loading.FORM)
        return Path(path)
    try:
        spec = importlib.util.find_spec(path)
    except (ImportError, ValueError):
        return None  # loading it says what is wrong
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _imported(file: Optional[Path]) -> set[str]:
    """Which frameworks a Python file imports, anywhere in it."""
    if file is None:
        return set()
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return set()  # loading it says what is wrong
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return {name for name, packages in (("torch", _OF_TORCH), ("paddle", _OF_PADDLE)) if names & packages}


def _annotated(member: Any) -> set[str]:
    """The framework of the class that a function says it returns."""
    said = getattr(member, "__annotations__", {}).get("return")
    module = said.partition(".")[0] if isinstance(said, str) else getattr(said, "__module__", "")
    return {module.partition(".")[0]} & set(FRAMEWORKS)
