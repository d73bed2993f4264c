"""sentence-transformers folders: the transformer and what comes after it, as one module.

What such a folder is wanted for is the embedding of a sentence, so pooling and normalisation are part of the model:
the outputs are ``sentence_embedding``, which is converted by default, and ``token_embeddings``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mconv.errors import CorruptModelError, UnsupportedError, UntrustedError
from mconv.torch.sources import forms, huggingface, huggingface_inputs, weights
from mconv.torch.sources.forms import Form
from mconv.torch.sources.source import Source, import_torch

TASKS = ("sentence-similarity", "sentence-embedding")
_POOLING = {  # key of the configuration → mode
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def open_folder(folder: Path, arguments: dict[str, Any], *, trust: bool) -> Source:
    """The module of a folder with ``modules.json``.

    Raises:
        UnsupportedError: it has a kind of module that mconv does not know.
        UntrustedError: a module's folder lies outside, or is defined by code that the folder brings.
        CorruptModelError: a file is damaged.
    """
    torch = import_torch()
    listed = forms.read_json(folder / "modules.json")
    if not isinstance(listed, list) or not all(isinstance(m, dict) and isinstance(m.get("type"), str) for m in listed):
        raise CorruptModelError(f"{folder / 'modules.json'}: not a list of modules")
    parts = [(m["type"], _inside(folder, str(m.get("path", "")))) for m in listed]
    if not parts or parts[0][0].rpartition(".")[2] != "Transformer":
        raise UnsupportedError(f"{folder}: does not begin with a Transformer but with {parts[0][0] if parts else '-'}")
    transformers = huggingface.import_transformers()
    base = parts[0][1]
    model, notes = huggingface.load(base, transformers.AutoModel, arguments, trust=trust)
    made = [_part(kind, path) for kind, path in parts[1:]]
    module = _pipeline(torch, model, made)
    source = Source(Form.SENTENCES, f"{type(model).__name__} with {', '.join(k.rpartition('.')[2] for k, _ in parts[1:])}",
                    module, outputs=["sentence_embedding"], notes=[n for n in notes if "pooler" not in n])  # fmt: skip
    about = Source(Form.HUGGING_FACE, type(model).__name__, model)
    huggingface_inputs.describe(about, base)
    source.inputs, source.sizes = about.inputs, about.sizes
    source.files = [("modules.json", folder / "modules.json")]
    for _, path in parts:
        name = path.relative_to(folder).as_posix()
        if path == base:
            source.files += [(n if name == "." else f"{name}/{n}", p) for n, p in huggingface.files_of(path)]
        elif path.is_dir():
            source.files.append((name, path))
    source.facts = {"model_type": model.config.model_type, "task": TASKS[0], "modules": [k for k, _ in parts]}
    return source


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UntrustedError(f"{folder / 'modules.json'}: the module {name!r} lies outside of the folder")
    return path


def _part(kind: str, folder: Path) -> Any:
    """The function or module for one entry of modules.json: features and mask → features."""
    torch = import_torch()
    name = kind.rpartition(".")[2]
    known = kind.startswith("sentence_transformers.")
    if known and name == "Pooling":
        return _Pooling.of(forms.read_json(folder / "config.json"), folder)
    if known and name == "Normalize":
        return "normalize"
    if known and name == "Dropout":
        return None
    if known and name == "Dense":
        config = _config(folder, "in_features", "out_features")
        found = _weights(folder, "linear.")
        shape = config["out_features"], config["in_features"]
        if tuple(getattr(found.tensors.get("weight"), "shape", ())) != shape:  # before memory is taken for it
            raise CorruptModelError(f"{folder}: its weights are not those of a layer of {shape[1]} to {shape[0]}")
        dense = torch.nn.Linear(shape[1], shape[0], bool(config.get("bias", True)))
        weights.put(dense, found)
        activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
        if activation not in ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU"):
            raise UnsupportedError(f"{folder}: the activation {activation} is not known")
        return torch.nn.Sequential(dense, getattr(torch.nn, activation)())
    if known and name == "LayerNorm":
        norm = torch.nn.LayerNorm(_config(folder, "dimension")["dimension"])
        weights.put(norm, _weights(folder, "norm."))
        return norm
    raise UnsupportedError(
        f"{folder}: mconv does not know the module {kind}",
        "--task feature-extraction converts the transformer alone, without what comes after it",
    )


def _weights(folder: Path, prefix: str) -> weights.Weights:
    """The weights of a module, without the *prefix* of their names."""
    found = weights.read(folder)
    found.tensors = {n.removeprefix(prefix): t for n, t in found.tensors.items()}
    return found


def _config(folder: Path, *sizes: str) -> dict[str, Any]:
    """The configuration of a module, whose *sizes* are numbers.

    Raises:
        CorruptModelError: they are not, or no layer has such.
    """
    config = forms.read_json(folder / "config.json")
    for name in sizes:
        value = config.get(name) if isinstance(config, dict) else None
        if type(value) is not int or not 0 < value <= 1 << 24:
            raise CorruptModelError(f"{folder / 'config.json'}: {name} is no size")
    return dict(config)


class _Pooling:
    """How the embeddings of the tokens become one: the modes that are concatenated."""

    def __init__(self, modes: list[str]):
        self.modes = modes

    @classmethod
    def of(cls, config: Any, folder: Path) -> _Pooling:
        modes = config.get("pooling_mode") if isinstance(config, dict) else None
        if isinstance(modes, str):  # newer folders name it
            chosen = [modes]
        elif isinstance(modes, list):
            chosen = modes
        else:
            chosen = [mode for key, mode in _POOLING.items() if isinstance(config, dict) and config.get(key)]
        unknown = [m for m in chosen if m not in _POOLING.values()]
        if unknown or not chosen:
            raise UnsupportedError(
                f"{folder}: pools by {', '.join(map(str, unknown)) or 'nothing'}, which is not known"
            )
        return cls(chosen)

    def __call__(self, tokens: Any, attention_mask: Any) -> Any:
        torch = import_torch()
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        parts = []
        for mode in self.modes:
            if mode == "cls":
                parts.append(tokens[:, 0])
            elif mode == "max":
                parts.append(tokens.masked_fill(mask == 0, -1e9).amax(1))
            elif mode == "weightedmean":
                steps = torch.arange(1, tokens.shape[1] + 1, device=tokens.device, dtype=tokens.dtype)
                weighted = mask * steps.unsqueeze(0).unsqueeze(-1)
                parts.append((tokens * weighted).sum(1) / weighted.sum(1).clamp(min=1e-9))
            elif mode == "lasttoken":
                last = (attention_mask * torch.arange(tokens.shape[1]).unsqueeze(0)).argmax(1)
                index = last.unsqueeze(-1).unsqueeze(-1).expand(-1, 1, tokens.shape[2])
                parts.append(tokens.gather(1, index).squeeze(1))
            else:
                total, count = (tokens * mask).sum(1), mask.sum(1).clamp(min=1e-9)
                parts.append(total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count))
        return torch.cat(parts, -1) if len(parts) > 1 else parts[0]


def _pipeline(torch: Any, model: Any, parts: list[Any]) -> Any:
    """A module with the transformer's own parameters of ``forward`` that runs everything."""

    class SentenceEmbedding(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = model
            self.parts = torch.nn.ModuleList([p for p in parts if isinstance(p, torch.nn.Module)])
            self.order = parts

        def pooled(self, tokens: Any, attention_mask: Any) -> dict[str, Any]:
            value = tokens
            for part in self.order:
                if isinstance(part, _Pooling):
                    value = part(value, attention_mask)
                elif part == "normalize":
                    value = torch.nn.functional.normalize(value, p=2, dim=-1)
                elif part is not None:
                    value = part(value)
            return {"sentence_embedding": value, "token_embeddings": tokens}

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> dict[str, Any]:
            extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            tokens = self.transformer(input_ids=input_ids, attention_mask=attention_mask, **extra)[0]
            return self.pooled(tokens, attention_mask)

    return SentenceEmbedding()
