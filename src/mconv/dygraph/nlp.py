"""PaddleNLP's models, by folder or by name."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mconv.dygraph import weights
from mconv.errors import CorruptModelError, MissingDependencyError, NotAModelError, UntrustedError, UsageError
from mconv.program.copying import read_small

_LIMIT = 16 << 20  # bytes of a configuration
CONFIGS = ("config.json", "model_config.json")
WEIGHTS = "model_state.pdparams"


def is_name(text: str) -> bool:
    """Whether a text may be the name of a model of a hub: ``bert-base-chinese``, ``ernie/ernie-3.0``."""
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text) is not None and not text.startswith(".")


def load(spec: str, arguments: Mapping[str, Any], *, trust: bool = False) -> Any:
    """The model of a folder (``config.json`` and ``model_state.pdparams``) or, with *trust*, of a name.

    Args:
        arguments: ``architecture``, the class of ``paddlenlp.transformers`` where the configuration names none or
            another is wanted; the others change the configuration.

    Raises:
        NotAModelError, CorruptModelError: it is no such folder, or damaged.
        UsageError: there is no such class, or the weights are not those of the model.
        UntrustedError: a name, whose weights PaddleNLP unpickles, or weights that bring code.
        MissingDependencyError: PaddleNLP is not installed.
    """
    folder = Path(spec)
    chosen = dict(arguments)
    architecture = chosen.pop("architecture", None)
    found = folder.is_dir() and _config(folder)
    if os.path.exists(spec) and not found:
        raise NotAModelError(
            f"{spec}: neither a PaddleNLP folder ({' or '.join(CONFIGS)} is missing) nor a factory",
            "SPEC is pkg.module:factory, path/to/file.py:factory, or the folder of a PaddleNLP model",
        )
    transformers = _transformers()
    if not found:
        if not trust:
            raise UntrustedError(
                f"{spec}: PaddleNLP downloads the model and unpickles it, which can run code",
                "--trust allows it; or download it and give the folder",
            )
        return _from_pretrained(transformers, architecture or "AutoModel", spec, chosen)
    assert isinstance(found, dict)
    name = architecture or next(iter(found.get("architectures") or [found.get("init_class")]), None)
    kind = _class(transformers, name, spec)
    with _nlp(spec):
        model = kind(kind.config_class.from_pretrained(str(folder), **chosen))
    stored = folder / WEIGHTS
    if stored.is_file():
        weights.put(model, weights.read(stored, trust=trust), str(stored))
        return model
    if not trust:
        raise NotAModelError(
            f"{spec}: has no {WEIGHTS}", "other forms of weights are loaded by PaddleNLP itself: --trust"
        )
    return _from_pretrained(transformers, name, str(folder), chosen)


def _config(folder: Path) -> dict[str, Any]:
    for name in CONFIGS:
        try:
            if not (folder / name).exists():
                continue
            found = json.loads(read_small(folder / name, _LIMIT, "are more than any configuration has"))
        except (OSError, ValueError, RecursionError) as e:
            raise CorruptModelError(f"{folder / name}: cannot be read ({e})") from None
        if not isinstance(found, dict):
            raise CorruptModelError(f"{folder / name}: not a configuration")
        return found
    return {}


def _transformers() -> Any:
    if importlib.util.find_spec("paddlenlp") is None:
        raise MissingDependencyError(
            "PaddleNLP is not installed",
            "pip install paddlenlp==3.0.0b4 'huggingface_hub<1' 'aistudio_sdk<=0.2.6' 'numpy<2' 'pyarrow<18' "
            "'datasets<3'; or give SPEC as file.py:factory",
        )
    try:
        import paddlenlp.transformers  # type: ignore[import-not-found,unused-ignore]
    except Exception as e:  # it breaks in many ways when its dependencies are too new
        raise MissingDependencyError(
            f"PaddleNLP cannot be imported: {type(e).__name__}: {(str(e).splitlines() or [''])[0]}",
            "its dependencies may be too new: 'huggingface_hub<1' 'aistudio_sdk<=0.2.6' 'numpy<2' 'pyarrow<18' "
            "'datasets<3'",
        ) from e
    return paddlenlp.transformers


def _class(transformers: Any, name: Any, spec: str) -> Any:
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(
            f"{spec}: the configuration does not say what the model is",
            "--arg architecture=BertForSequenceClassification",
        )
    kind = getattr(transformers, name, None)
    if not isinstance(kind, type) or not hasattr(kind, "from_pretrained"):
        raise UsageError(f"{spec}: paddlenlp.transformers has no model {name!r}", "--arg architecture=… names another")
    return kind


def _from_pretrained(transformers: Any, name: Any, spec: str, arguments: Mapping[str, Any]) -> Any:
    kind = _class(transformers, name, spec)
    with _nlp(spec):
        return kind.from_pretrained(spec, **arguments)


@contextlib.contextmanager
def _nlp(spec: str) -> Iterator[None]:
    try:
        yield
    except Exception as e:  # whatever PaddleNLP and its download raise
        lines = str(e).strip().splitlines()
        raise NotAModelError(f"{spec}: PaddleNLP fails with {type(e).__name__}: {lines[0] if lines else ''}") from e
