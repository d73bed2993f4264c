"""Hugging Face folders: ``config.json`` and weights → the class that ``architectures`` names."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from mconv import budget
from mconv.errors import (
    CorruptModelError,
    MconvError,
    MissingDependencyError,
    NotAModelError,
    UntrustedError,
    UsageError,
    WeightsError,
)
from mconv.extras import install
from mconv.printable import printable
from mconv.torch.sources import forms, huggingface_inputs, unpickle
from mconv.torch.sources.forms import Form
from mconv.torch.sources.source import Source

TASKS = {
    "feature-extraction": "AutoModel",
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "multiple-choice": "AutoModelForMultipleChoice",
    "fill-mask": "AutoModelForMaskedLM",
    "text-generation": "AutoModelForCausalLM",
    "text2text-generation": "AutoModelForSeq2SeqLM",
    "image-classification": "AutoModelForImageClassification",
    "semantic-segmentation": "AutoModelForSemanticSegmentation",
    "object-detection": "AutoModelForObjectDetection",
    "depth-estimation": "AutoModelForDepthEstimation",
    "zero-shot-image-classification": "AutoModelForZeroShotImageClassification",
    "audio-classification": "AutoModelForAudioClassification",
    "automatic-speech-recognition": "AutoModelForCTC",
    "speech-seq2seq": "AutoModelForSpeechSeq2Seq",
}

# what counts modules, and what it costs to make one of them, with those inside, in operations of the budget
_COUNTED = re.compile(r"(?:^|_)(?:layers?|blocks|depths?|experts|stages)$")
_WORK_OF_A_LAYER = 1 << 22
_BYTES_OF_A_LABEL = 256  # transformers names each, twice


def open_folder(
    folder: Path, arguments: dict[str, Any], task: Optional[str], *, partial: bool = False, trust: bool = False
) -> Source:
    """The model of a folder, loaded by transformers from the files in it and nothing else.

    Args:
        arguments: change the configuration, e.g. ``attn_implementation=eager``.
        task: one of :data:`TASKS` or a class of transformers, instead of what ``architectures`` names.
        partial: accept that the folder has no weights for some parameters, which stay random.

    Raises:
        UntrustedError: the folder brings Python code or pickles that are no weights, and *trust* is not given.
        NotAModelError, CorruptModelError: it has no weights, or damaged ones.
        UsageError: there is no such task or class.
        WeightsError: the weights are not those of the class.
        MissingDependencyError: transformers is not installed, or too old for the model.
    """
    transformers = import_transformers()
    config = forms.read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise CorruptModelError(f"{folder / 'config.json'}: not a configuration")
    if config.get("auto_map") and not trust and not _known(transformers, config):
        raise _own_code(folder)
    if forms.weights_in(folder) is None:
        others = [p.name for p in folder.iterdir() if p.suffix in (".h5", ".msgpack", ".onnx", ".pdparams", ".gguf")]
        raise NotAModelError(
            f"{folder}: has no weights of PyTorch" + (f" ({', '.join(sorted(others))} is there)" if others else ""),
            f"they are called {' or '.join(forms.WEIGHTS)}",
        )
    kind, name = _class(transformers, config, task, str(folder), trust)
    model, notes = load(folder, kind, arguments, partial=partial, trust=trust)
    source = Source(Form.HUGGING_FACE, type(model).__name__, model, notes=notes, files=files_of(folder))
    source.facts = {"model_type": model.config.model_type, "task": task or name}
    huggingface_inputs.describe(source, folder)
    return source


def import_transformers() -> Any:
    """The package transformers, quiet.

    Raises:
        MissingDependencyError: it is not installed, or cannot be imported.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a folder is complete
    try:
        import transformers
    except ImportError as e:
        raise MissingDependencyError(
            f"a Hugging Face folder needs transformers ({(str(e).splitlines() or ['?'])[0]})",
            f"install it with `{install('huggingface')}`",
        ) from None
    return transformers


def load(
    folder: Path, kind: Any, arguments: dict[str, Any], *, partial: bool = False, trust: bool = False
) -> tuple[Any, list[str]]:
    """``kind.from_pretrained`` on a folder: the model and notes; its own poolers are left out where the folder has no
    weights for them.

    Raises:
        WeightsError: the weights are not those of the class.
        UntrustedError, CorruptModelError, MissingDependencyError: see :func:`open_folder`.
    """
    if arguments.get("trust_remote_code") and not trust:
        raise UsageError("--arg trust_remote_code=…: is what --trust says")
    options: dict[str, Any] = {"local_files_only": True, "output_loading_info": True, **arguments}
    # never left open: transformers would ask on the terminal
    options["trust_remote_code"] = trust
    if not trust:
        check(folder)
    with quiet(), unpickle.restricted(str(folder), trust=trust), _errors(folder):
        model, info = kind.from_pretrained(str(folder), **options)
        missing = sorted(info.get("missing_keys") or ())
        pooler = [n for n in missing if n.startswith("pooler.") or ".pooler." in n]
        notes = []
        if missing and pooler == missing and not partial:
            accepts = "add_pooling_layer" in inspect.signature(type(model).__init__).parameters
            if accepts:
                model, info = kind.from_pretrained(str(folder), add_pooling_layer=False, **options)
                missing = sorted(info.get("missing_keys") or ())
                notes.append(f"{type(model).__name__} has no pooler: the folder has no weights for it")
    without_cache(model)
    wrong = [str(n) for n in info.get("mismatched_keys") or ()]
    if wrong:
        raise WeightsError(f"{folder}: {wrong[0]} is of another shape than in {type(model).__name__}")
    if missing and not partial:
        raise WeightsError(
            f"{folder}: has no weights for {missing[0]} of {type(model).__name__}"
            + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""),
            "--task names what the folder was trained for; --partial leaves them random",
            [{"parameter": n, "problem": "missing in the file"} for n in missing],
        )
    if forms.read_json(folder / "config.json").get("auto_map") and not _from_code(model):
        notes.append(
            f"{folder}: its own Python code (auto_map) was not used, but {type(model).__name__} of transformers"
            + ("" if trust else "; --trust runs the code, if you know what it does")
        )
    if missing:
        notes.append(f"{folder}: no weights for {', '.join(missing[:5])}: they are random")
    return model, notes


def _own_code(folder: Path) -> UntrustedError:
    return UntrustedError(
        f"{folder}: the model is defined by Python code in the folder", "--trust runs it, if you know what it does"
    )


def check(folder: Path) -> None:
    """Look through what ``from_pretrained`` would take from a folder beside its weights, and through pickled weights.

    Raises:
        UntrustedError: the folder names code or other models, or its pickles or shards lead elsewhere.
        CorruptModelError, LimitError: its pickled weights are damaged, or unfold to far more than they are.
        LimitError: its configuration asks for thousands of layers, or millions of labels.
    """
    for name in ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"):
        if os.path.lexists(folder / name):
            raise UntrustedError(
                f"{folder}: holds an adapter ({name}), which says what model and which Python modules it is for",
                "merge it into the weights (peft: merge_and_unload), or --trust, if you know where it comes from",
            )
    config = forms.read_json(folder / "config.json")
    _draw(config, folder)
    kernel = _kernel(config)
    if kernel is not None:
        raise UntrustedError(
            f"{folder / 'config.json'}: takes its attention from {printable(kernel, 80)}, which is code to be fetched",
            "--arg attn_implementation=eager takes transformers' own",
        )
    for path in sorted(folder.glob("pytorch_model*.bin")):
        unpickle.check(path)
    for path in sorted(folder.glob("*.index.json")):
        for shard in set(forms.weight_map(path).values()):
            if shard != os.path.basename(shard) or shard in ("", ".", ".."):
                raise UntrustedError(f"{path}: the shard {printable(shard, 80)!r} is not beside it", "move it there")


def _settings(config: Any) -> Iterator[tuple[str, Any]]:
    """What a configuration and those in it say: key and value."""
    stack = [config]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield from value.items()
            stack += value.values()
        elif isinstance(value, list):
            stack += value


def _draw(config: Any, folder: Path) -> None:
    """Draw the work of making the layers that a configuration asks for, each of which is modules of Python before any
    weight is read, and the memory of its labels' names.

    Raises:
        LimitError: they are more than is left.
    """
    for key, value in _settings(config):
        for count in value if isinstance(value, list) else [value]:
            if not isinstance(count, int) or count <= 0:
                continue
            if _COUNTED.search(key):
                budget.work(count * _WORK_OF_A_LAYER, f"{folder / 'config.json'}: {_count(key, count)}")
            elif key == "num_labels":
                budget.memory(count * _BYTES_OF_A_LABEL, f"{folder / 'config.json'}: {_count(key, count)}")


def _count(key: str, count: int) -> str:
    return f"{printable(key, 80)} {count if count < 1 << 63 else 'of more than 64 bits'}"


def _kernel(config: Any) -> Optional[str]:
    """A configuration's attention where it is none of transformers' own but one of a hub."""
    for key, inner in _settings(config):
        if key.endswith(("attn_implementation", "kernel_config", "attn_implementation_internal")):
            texts = [v for v in (inner.values() if isinstance(inner, dict) else [inner]) if isinstance(v, str)]
            found = next((t for t in texts if "/" in t or ":" in t), None)
            if found is not None:
                return found
    return None


def without_cache(model: Any) -> bool:
    """Tell a module, and all in it that are of transformers, to keep no cache of keys and values, which is no tensor.

    Returns:
        Whether one of them would have kept one.
    """
    changed = False
    for part in model.modules():  # encoders and decoders have configurations of their own
        config: Any = getattr(part, "config", None)
        # a dictionary or a dataclass of someone else's may have a field of that name, too
        if getattr(config, "use_cache", False) and hasattr(config, "model_type"):
            config.use_cache = False
            changed = True
    return changed


def _from_code(model: Any) -> bool:
    """Whether a folder's own code defines the model's class, and not transformers."""
    return str(type(model).__module__).startswith("transformers_modules.")


def _class(transformers: Any, config: dict[str, Any], task: Optional[str], folder: str, trust: bool) -> tuple[Any, str]:
    """The class to load, and what it is called."""
    if task is not None:
        name = TASKS.get(task, task)
        found = getattr(transformers, name, None) if name.isidentifier() else None
        if not _is_model(transformers, found):
            raise UsageError(f"--task {task}: unknown", f"tasks are {', '.join(TASKS)}, or a class of transformers")
        return found, name
    if config.get("auto_map") and trust:
        auto = next((k for k in list(config["auto_map"]) if str(k).startswith("AutoModel")), "AutoModel")
        return getattr(transformers, auto, transformers.AutoModel), auto
    name = _architecture(config) or "AutoModel"
    found = getattr(transformers, name, None) if name.isidentifier() else None
    if found is None:
        raise MissingDependencyError(
            f"{folder}: transformers {transformers.__version__} has no {printable(name, 80)}",
            "pip install -U transformers; --task names another class",
        )
    if not _is_model(transformers, found):
        raise UsageError(f"{folder}: {name} is no model of transformers", "--task names another class")
    return found, name


def _is_model(transformers: Any, kind: Any) -> bool:
    """Whether something of transformers is a class of models, and not a tokenizer or a retriever, which load other
    things from a folder."""
    if not isinstance(kind, type) or not hasattr(kind, "from_pretrained"):
        return False
    return kind.__name__.startswith("AutoModel") or issubclass(kind, transformers.PreTrainedModel)


def _architecture(config: dict[str, Any]) -> str:
    """The class that a configuration names; empty where it names none."""
    names = config.get("architectures")
    first = names[0] if isinstance(names, list) and names else None
    return first if isinstance(first, str) else ""


def _known(transformers: Any, config: dict[str, Any]) -> bool:
    """Whether transformers itself has the class, so that the folder's code is not needed."""
    name = _architecture(config)
    return name.isidentifier() and hasattr(transformers, name)


def files_of(folder: Path) -> list[Any]:
    """The configurations and weights in a folder: (name, path)."""
    weights = forms.weights_in(folder)
    found = [(p.name, p) for p in (folder / "config.json", weights) if p is not None]
    if weights is not None and weights.name.endswith(".index.json"):
        shards = forms.read_json(weights).get("weight_map", {})
        found += [(s, folder / s) for s in sorted(set(shards.values())) if (folder / s).is_file()]
    return found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' and huggingface_hub's own chatter."""
    import logging

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(n) for n in ("transformers", "huggingface_hub")]
        levels = [one.level for one in loggers]
        for one in loggers:
            one.setLevel(logging.CRITICAL)
        try:
            import transformers.utils.logging as chatter

            shown = chatter.is_progress_bar_enabled() if hasattr(chatter, "is_progress_bar_enabled") else False
            chatter.disable_progress_bar()
        except ImportError:
            shown = False
        try:
            yield
        finally:
            for one, level in zip(loggers, levels):
                one.setLevel(level)
            if shown:
                chatter.enable_progress_bar()


@contextlib.contextmanager
def _errors(folder: Path) -> Iterator[None]:
    import pickle

    try:
        yield
    except (MconvError, pickle.UnpicklingError):
        raise
    except Exception as e:
        unpicklable = unpickle.refusing(e)
        if unpicklable is not None:
            raise unpicklable from None
        lines = [line.strip() for line in str(e).splitlines() if line.strip()]
        text = printable(f"{type(e).__name__}: {lines[0]}" if lines else type(e).__name__, 300)
        if isinstance(e, ImportError):
            raise MissingDependencyError(f"{folder}: {text}") from e
        if "trust_remote_code" in str(e):
            raise _own_code(folder) from None
        kind = type(e).__name__
        if kind in ("SafetensorError", "JSONDecodeError", "EOFError", "RuntimeError", "OSError", "KeyError"):
            raise CorruptModelError(f"{folder}: transformers cannot load it ({text})") from e
        raise NotAModelError(f"{folder}: transformers cannot load it ({text})") from e


__all__ = ["TASKS", "files_of", "import_transformers", "load", "open_folder", "quiet", "without_cache"]
