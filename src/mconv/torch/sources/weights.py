"""Weights of every form: read without running code, and put into a module."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import CorruptModelError, MissingDependencyError, NotAModelError, UntrustedError, WeightsError
from mconv.extras import install
from mconv.printable import printable
from mconv.torch.sources import forms, unpickle
from mconv.torch.sources.forms import Form
from mconv.torch.sources.source import import_torch, shown

# where checkpoints of trainers keep the weights, by how often
_KEYS = ("state_dict", "model_state_dict", "model", "net", "module", "weights", "params", "ema", "params_ema")
# what wrappers put before every name: DataParallel, torch.compile, Lightning, and the usual attribute names
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")


@dataclass
class Weights:
    """A state dict and where it came from.

    Attributes:
        tensors: name → torch tensor on the CPU; a numpy array (bfloat16: uint16) where torch is not installed.
        where: the path, for messages.
        files: (name, path) of every file that was read; the name is empty for a single file.
        notes: what a user should know.
    """

    tensors: dict[str, Any]
    where: str
    files: list[tuple[str, Path]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(path: Path, *, trust: bool = False) -> Weights:
    """The weights of a ``.pt``, ``.pth``, ``.bin``, ``.ckpt`` or ``.safetensors`` file, of the index of sharded ones,
    or of a folder with one of them; judged by the content.

    Raises:
        NotAModelError: it holds no weights.
        CorruptModelError: it is damaged, or a shard is missing.
        UntrustedError: unpickling it can run code and *trust* is not given, or a shard lies outside of the folder.
        MissingDependencyError: safetensors is not installed.
    """
    if path.is_dir():
        inner = forms.weights_in(path)
        if inner is None:
            raise NotAModelError(f"{path}: a folder without weights", f"it needs {' or '.join(forms.WEIGHTS)}")
        path = inner
    form = forms.of_file(path)
    if form is Form.SHARDS:
        return _sharded(path, trust)
    if form is Form.SAFETENSORS:
        return Weights(_safetensors(path), str(path), [("", path)])
    if form is Form.SAVED:
        found = state_of(unpickle.load(path, trust=trust))
        if found is None:
            raise NotAModelError(f"{path}: holds no weights", "a file of torch.save(model.state_dict(), …) does")
        notes = [f"{path}: the weights under {found[1]!r} are taken"] if found[1] else []
        return Weights(found[0], str(path), [("", path)], notes)
    if form in (Form.EXPORTED, Form.SCRIPT):
        raise NotAModelError(f"{path}: {form.value}, a model of its own", "give it as MODEL")
    raise NotAModelError(f"{path}: no weights of PyTorch", "weights are .pt, .pth, .bin or .safetensors files")


def state_of(held: Any) -> Optional[tuple[dict[str, Any], str]]:
    """The state dict in what was unpickled, and the key that it was under; None where there is none."""
    torch = import_torch()

    def tensors(value: Any) -> Optional[dict[str, Any]]:
        if isinstance(value, torch.nn.Module):
            value = value.state_dict()
        if not isinstance(value, Mapping) or not value:
            return None
        found = {str(k): v for k, v in value.items() if isinstance(v, torch.Tensor)}
        return found if found and len(found) * 2 > len(value) else None

    whole = tensors(held)
    if whole is not None:
        return whole, ""
    if isinstance(held, Mapping):
        for key in _KEYS:
            inner = tensors(held.get(key))
            if inner is not None:
                return inner, key
    return None


def _safetensors(path: Path) -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return _mapped(path)
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise MissingDependencyError(
            "reading safetensors files needs the package safetensors", f"install it with `{install('torch')}`"
        ) from None
    try:
        return dict(load_file(path))
    except Exception as e:  # noqa: BLE001 - its reader raises nearly every class on damaged files
        raise _unsound(path, e) from None


# safetensors' names of types → numpy's; bfloat16 in its bits
_NUMPY = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip


def _mapped(path: Path) -> dict[str, Any]:
    """The same without torch: numpy arrays over the file."""
    try:
        from safetensors import safe_open
    except ImportError:
        raise MissingDependencyError(
            "reading safetensors files needs the package safetensors", "install it with `pip install safetensors`"
        ) from None
    try:
        with safe_open(path, framework="np") as file:  # which checks the header against the file
            names = list(file.keys())
        with open(path, "rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            header = json.loads(raw.read(size))
        found = {}
        for name in names:
            one = header[name]
            if one["dtype"] not in _NUMPY:
                raise CorruptModelError(f"{path}: {name} holds {one['dtype']}, which numpy does not have", "use torch")
            start, end = one["data_offsets"]
            shape = tuple(one["shape"])
            kind = np.dtype(_NUMPY[one["dtype"]])
            found[name] = np.memmap(path, kind, "r", 8 + size + start, shape) if end > start else np.zeros(shape, kind)
        return found
    except CorruptModelError:
        raise
    except Exception as e:  # noqa: BLE001 - as above
        raise _unsound(path, e) from None


def _unsound(path: Path, error: BaseException) -> CorruptModelError:
    return CorruptModelError(
        f"{path}: not a sound safetensors file ({printable(str(error), 200) or type(error).__name__})"
    )


def _sharded(index: Path, trust: bool) -> Weights:
    names = forms.weight_map(index)
    made = Weights({}, str(index), [(index.name, index)])
    for shard in sorted(set(names.values())):
        path = index.parent / shard
        if os.path.isabs(shard) or not path.resolve().is_relative_to(index.parent.resolve()):
            raise UntrustedError(
                f"{index}: the shard {printable(shard, 120)!r} lies outside of its folder", "move it there"
            )
        if not path.is_file():
            raise CorruptModelError(f"{index}: the shard {printable(shard, 120)} is missing")
        part = read(path, trust=trust)
        made.tensors.update(part.tensors)
        made.files.append((shard, path))
    missing = [n for n in names if n not in made.tensors]
    if missing:
        raise CorruptModelError(f"{index}: the shards do not have {printable(missing[0], 120)!r}" + _more(missing))
    return made


def put(module: Any, weights: Weights, *, partial: bool = False) -> list[str]:
    """Load weights into a module.

    Args:
        partial: let parameters of the module stay as they are, and ignore weights it does not have.

    Returns:
        Notes: prefixes that were removed, and with *partial* what did not match.

    Raises:
        WeightsError: the weights are not those of the module (``rows`` lists the names, what is wrong, and the shapes);
            ``--partial`` does not excuse different shapes.
    """
    notes = list(weights.notes)
    wanted = dict(module.state_dict())
    given, removed = _without_prefix(weights.tensors, wanted)
    if removed:
        notes.append(f"{weights.where}: the prefix {removed!r} of its names is left out")
    missing = [n for n in wanted if n not in given and not n.endswith("num_batches_tracked")]
    left = [n for n in given if n not in wanted and not n.endswith(("num_batches_tracked", ".position_ids"))]
    other = [n for n in wanted if n in given and tuple(given[n].shape) != tuple(wanted[n].shape)]
    rows = [
        {"parameter": n, "problem": problem, "module": _said(wanted.get(n)), "file": _said(given.get(n))}
        for names, problem in ((other, "other shape"), (missing, "missing in the file"), (left, "unexpected"))
        for n in names
    ]
    if other:
        name = other[0]
        raise WeightsError(
            f"{weights.where}: {name} is {shown(given[name].shape)}, {type(module).__name__} has "
            f"{shown(wanted[name].shape)}{_more(other)}",
            "give the factory the arguments that the weights were trained with: --arg key=value",
            rows,
        )
    if not _matches(given, wanted):
        raise WeightsError(
            f"{weights.where}: none of its {len(given)} tensors is one of {type(module).__name__}'s "
            f"({', '.join(list(given)[:2])}, …; it has {', '.join(list(wanted)[:2])}, …)",
            "they are the weights of another network",
            rows,
        )
    problems = []
    if missing:
        problems.append(f"{missing[0]} is missing{_more(missing)}")
    if left:
        problems.append(f"{left[0]} is not the module's{_more(left)}")
    if problems and not partial:
        raise WeightsError(
            f"{weights.where}: not the weights of {type(module).__name__}: {'; '.join(problems)}",
            "--partial loads what there is",
            rows,
        )
    notes += [f"{weights.where}: {p}" for p in problems]
    module.load_state_dict({n: t for n, t in given.items() if n in wanted}, strict=False)
    return notes


def _said(tensor: Any) -> str:
    return "" if tensor is None else shown(tensor.shape)


def _without_prefix(given: dict[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The weights under the names that fit the module best."""
    best, score, removed, current = given, _matches(given, wanted), "", given
    total = ""
    for _ in range(2):  # Lightning around DataParallel
        prefix = next((p for p in _PREFIXES if current and all(n.startswith(p) for n in current)), None)
        if prefix is None:
            break
        total += prefix
        current = {n[len(prefix) :]: t for n, t in current.items()}
        if _matches(current, wanted) > score:
            best, score, removed = current, _matches(current, wanted), total
    return best, removed


def _matches(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    return sum(n in wanted for n in given)


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
