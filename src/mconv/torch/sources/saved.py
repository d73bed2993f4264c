"""Files of ``torch.save`` as a SOURCE: a pickled module with trust, else an error that says what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from mconv.errors import MconvError, NotAModelError, UntrustedError
from mconv.torch.sources import unpickle, weights
from mconv.torch.sources.forms import Form
from mconv.torch.sources.source import Source, import_torch, shown

# first parts of keys → how the model of these weights is made
_KNOWN = {
    "conv1.weight layer1.0.conv1.weight fc.weight": "torchvision.models:resnet50",
    "features.0.0.weight classifier.1.weight": "torchvision.models:mobilenet_v2",
    "features.0.weight classifier.0.weight": "torchvision.models:vgg16",
    "patch_embed.proj.weight blocks.0.attn.qkv.weight": "timm.models:vit_base_patch16_224",
}
_HUGGING_FACE = ("bert.", "roberta.", "distilbert.", "electra.", "deberta.", "embeddings.word_embeddings.", "vit.",
                 "transformer.h.0.", "model.layers.0.self_attn.", "encoder.layer.0.attention.")  # fmt: skip


def open_saved(path: Path, form: Form, *, trust: bool) -> Source:
    """A pickled module.

    Raises:
        UntrustedError: it is one (or claims to be), and *trust* is not given.
        NotAModelError: it is a state dict, or something else than a module; the hint says what is missing.
        CorruptModelError: it is damaged.
    """
    if form is not Form.SAVED:
        raise _without_network(path, weights.read(path, trust=trust).tensors)
    torch = import_torch()
    try:
        held = unpickle.load(path, trust=trust)
    except unpickle.ForbiddenGlobal as e:
        raise _pickled_module(path, e) from None
    if isinstance(held, torch.nn.Module):
        return Source(form, type(held).__name__, held, files=[path])
    inner = next((v for v in held.values() if isinstance(v, torch.nn.Module)), None) if isinstance(held, dict) else None
    if inner is not None:
        return Source(form, type(inner).__name__, inner, files=[path])
    found = weights.state_of(held)
    if found is None:
        raise NotAModelError(f"{path}: holds a {type(held).__name__}, neither a module nor weights")
    raise _without_network(path, found[0])


def _pickled_module(path: Path, error: unpickle.ForbiddenGlobal) -> MconvError:
    names = error.names
    first = names[0] if names else ""
    if first.startswith("torch.nn.") or (first and first.rpartition(".")[2][:1].isupper()):
        return UntrustedError(
            f"{path}: a pickled object of the class {first}: unpickling it can run code hidden in it",
            "--trust allows it, if you know where the file comes from; without it: save torch.export.save(…), or "
            "model.state_dict() and give pkg.module:factory --weights",
        )
    return error


def _without_network(path: Path, tensors: dict[str, Any]) -> MconvError:
    keys = list(tensors)
    first = ", ".join(f"{k} {shown(tensors[k].shape)}" for k in keys[:3])
    more = ", …" if len(keys) > 3 else ""
    return NotAModelError(
        f"{path}: a state dict, {len(keys)} tensors without the network they belong to ({first}{more})",
        f"name what makes the network: mconv torch2paddle {_guess(tensors) or 'pkg.module:factory'} OUT "
        f"--weights {path}{_beside(path, keys)}",
    )


def _guess(tensors: dict[str, Any]) -> Optional[str]:
    return next((made for keys, made in _KNOWN.items() if all(k in tensors for k in keys.split())), None)


def _beside(path: Path, keys: list[str]) -> str:
    if any(k.startswith(_HUGGING_FACE) for k in keys):
        return "; these look like weights of transformers: with their config.json beside them, give the folder"
    return ""
