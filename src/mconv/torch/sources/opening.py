"""``open_source``: a SOURCE of any form → the live module."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import NotAModelError, UsageError
from mconv.factory import loading
from mconv.torch.sources import forms
from mconv.torch.sources.forms import Form
from mconv.torch.sources.inputs import guess
from mconv.torch.sources.source import Source, import_torch

_TAKING_ARGUMENTS = (Form.FACTORY, Form.HUGGING_FACE, Form.SENTENCES, Form.TIMM)
PathLike = Union[str, "os.PathLike[str]"]
Arguments = Union[Mapping[str, Any], Sequence[str]]


def open_source(
    spec: Any,
    *,
    weights: Optional[PathLike] = None,
    arguments: Arguments = (),
    task: Optional[str] = None,
    partial: bool = False,
    trust: bool = False,
) -> Source:
    """The model that *spec* is, live, on the CPU, in evaluation mode.

    Args:
        spec: a path, ``pkg.module:factory``, ``file.py:factory``, the name of a timm model, or a ``torch.nn.Module``.
        weights: a file or folder of weights for a factory or a timm model: ``.pt``, ``.pth``, ``.bin``,
            ``.safetensors``, the index of sharded ones.
        arguments: of the factory: a mapping, or ``key=value`` texts. For a Hugging Face folder they change its
            configuration.
        task: for a Hugging Face folder, another task or class than its configuration names.
        partial: accept weights that are not exactly those of the module.
        trust: unpickle without restrictions, and import modules that a folder brings: both can run any code.

    Raises:
        NotAModelError: it is nothing of PyTorch's, or weights alone; the hint says what is missing.
        CorruptModelError: it is damaged.
        UntrustedError: opening it would run code that it brings, and *trust* is not given.
        UsageError: the weights or options do not fit.
        MissingDependencyError: torch, transformers, safetensors or timm is missing, or a module that the model imports.
    """
    torch = import_torch()
    given = loading.arguments_of(arguments)
    if isinstance(spec, torch.nn.Module):
        source = Source(Form.FACTORY, type(spec).__name__, spec)
        return _finished(source, weights, given, task, partial, trust)
    if not isinstance(spec, (str, os.PathLike)):
        raise UsageError(f"a value of the type {type(spec).__name__} is no model of PyTorch, nor the path of one")
    text = os.fspath(spec)
    form = forms.recognise(text)
    if form in (Form.SAVED, Form.SAFETENSORS, Form.SHARDS) and Path(text).name in forms.WEIGHTS:
        # a file of a Hugging Face folder stands for the folder
        folder = Path(text).parent
        if forms.recognise(folder) in (Form.HUGGING_FACE, Form.SENTENCES):
            text, form = str(folder), forms.recognise(folder)
    if form is None:
        raise forms.not_recognised(text)
    source = _opened(form, text, given, task, weights, partial, trust)
    return _finished(source, weights, {} if form in _TAKING_ARGUMENTS else given, task, partial, trust)


def _opened(
    form: Form,
    text: str,
    arguments: dict[str, Any],
    task: Optional[str],
    weights: Optional[PathLike],
    partial: bool,
    trust: bool,
) -> Source:
    path = Path(text)
    if form is Form.FACTORY:
        torch = import_torch()
        made = loading.call(loading.find(text), arguments, text, torch.nn.Module, "torch.nn.Module")
        return Source(form, type(made).__name__, made, files=_factory_files(text))
    if form is Form.EXPORTED:
        from mconv.torch.sources import exported

        return exported.open_archive(path, trust=trust)
    if form is Form.SCRIPT:
        from mconv.torch.sources import script

        return script.open_script(path, trust=trust)
    if form in (Form.HUGGING_FACE, Form.SENTENCES):
        from mconv.torch.sources import huggingface, sentences

        if form is Form.SENTENCES and task in (None, *sentences.TASKS):
            return sentences.open_folder(path, arguments, trust=trust)
        return huggingface.open_folder(path, arguments, task, partial=partial, trust=trust)
    if form is Form.TIMM:
        from mconv.torch.sources import zoo

        return zoo.open_timm(text, arguments, pretrained=weights is None, trust=trust)
    from mconv.torch.sources import saved

    return saved.open_saved(path, form, trust=trust)


def _finished(
    source: Source,
    weights: Optional[PathLike],
    arguments: dict[str, Any],
    task: Optional[str],
    partial: bool,
    trust: bool,
) -> Source:
    torch = import_torch()
    if arguments:
        raise UsageError(f"--arg {next(iter(arguments))}=…: {source.form.value} takes no arguments")
    if task is not None and source.form not in (Form.HUGGING_FACE, Form.SENTENCES):
        raise UsageError(f"--task {task}: only a Hugging Face folder has tasks")
    if weights is not None:
        if source.form not in (Form.FACTORY, Form.TIMM, Form.SAVED):
            raise UsageError(f"--weights {os.fspath(weights)}: {source.form.value} has its own weights")
        from mconv.torch.sources import weights as loading_weights

        found = loading_weights.read(Path(weights), trust=trust)
        source.notes += loading_weights.put(source.module, found, partial=partial)
        source.files += [(f"weights/{n}" if n else Path(p).name, p) for n, p in found.files]
        source.facts["weights"] = os.fspath(weights)
    if not isinstance(source.module, torch.nn.Module):
        raise NotAModelError(f"{source.label}: not a torch.nn.Module")
    if source.program is None:  # what torch.export wrote has no mode
        source.module.eval()
        source.module.to("cpu")
    source.facts = {"form": source.form.name.lower(), "class": source.label, **source.facts}
    if source.form in (Form.FACTORY, Form.SAVED):
        _of_transformers(source)
    if not source.inputs and source.form in (Form.FACTORY, Form.TIMM, Form.SAVED):
        guess(source)
    return source


def _of_transformers(source: Source) -> None:
    """What is known of a module that is, or holds, a model of transformers: its inputs; no cache."""
    import sys

    package = sys.modules.get("transformers")
    if package is None:  # nothing can be of it
        return
    from mconv.torch.sources import huggingface, huggingface_inputs

    if huggingface.without_cache(source.module):
        source.notes.append(f"{source.label}: use_cache=False, as a cache of keys and values is no tensor")
    if isinstance(source.module, package.PreTrainedModel):
        huggingface_inputs.describe(source, None)


def _factory_files(spec: str) -> list[Any]:
    """The file that defines the factory; what it imports is not known."""
    import sys

    path, _ = loading.split(spec) or ("", "")
    if os.path.isfile(path):
        return [path]
    module = sys.modules.get(path)
    return [module.__file__] if module is not None and getattr(module, "__file__", None) else []
