"""What a SOURCE is, by its content: cheap, and without torch."""

from __future__ import annotations

import enum
import importlib.util
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import CorruptModelError, NotAModelError
from mconv.factory import loading
from mconv.program import sniff
from mconv.program.copying import open_regular, read_at, read_small
from mconv.program.zip_archive import ZipArchive

PathLike = Union[str, "os.PathLike[str]"]

# what torch.save begins with when it writes no zip archive: the pickled magic number, after the protocol
_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# the record that tells torch.export.save before 2.8
OLD_PROGRAM = "serialized_exported_program.json"
_NAME = re.compile(r"(timm:|hf[-_]hub:)?[\w.-]+(/[\w.-]+)?")
_CONFIG_LIMIT = 16 << 20
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def weights_in(folder: Path) -> Optional[Path]:
    """The weights of a Hugging Face folder, or the index of sharded ones: the first of :data:`WEIGHTS` that is there."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


class Form(enum.Enum):
    """The forms that a PyTorch model comes in."""

    EXPORTED = "a torch.export archive"
    SCRIPT = "a TorchScript archive"
    FACTORY = "a class or function that makes a module"
    HUGGING_FACE = "a Hugging Face folder"
    SENTENCES = "a sentence-transformers folder"
    TIMM = "a model of timm"
    SAVED = "a file of torch.save"
    SAFETENSORS = "a safetensors file"
    SHARDS = "the index of sharded weights"

    @property
    def is_model(self) -> bool:
        """Whether it can be a whole model: weights alone, in a file that can hold nothing else, cannot."""
        return self not in (Form.SAFETENSORS, Form.SHARDS)


def recognise(spec: PathLike) -> Optional[Form]:
    """What *spec* is; None where it is nothing of PyTorch's.

    A file or folder is judged by its content, whatever it is called; torch is not imported.
    """
    text = os.fspath(spec)
    path = Path(text)
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return of_file(path)
    if loading.split(text) is not None and not text.startswith(("timm:", "hf-hub:", "hf_hub:")):
        return Form.FACTORY
    if text.startswith("timm:"):
        return Form.TIMM
    if _NAME.fullmatch(text) and not text.endswith((".py", ".pt", ".pth")) and importlib.util.find_spec("timm"):
        return Form.TIMM
    return None


def of_file(path: Path) -> Optional[Form]:
    """What a file is; None where it is nothing of PyTorch's.

    Raises:
        NotAModelError: it cannot be read, or is no ordinary file.
    """
    fd = open_regular(path)
    try:
        head = read_at(fd, sniff.HEAD, 0, path)
    finally:
        os.close(fd)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if _LEGACY in head[:20]:
        return Form.SAVED
    if head[:1] == b"{" and path.name.endswith(".index.json"):
        return Form.SHARDS
    return Form.SAFETENSORS if sniff.what(path) is sniff.Kind.SAFETENSORS else None


def _archive(path: Path) -> Optional[Form]:
    try:
        with ZipArchive(path) as archive:
            names = list(archive.by_name)
    except CorruptModelError:
        # said when it is opened; what it is, is to be known before
        try:
            with zipfile.ZipFile(path) as other:
                names = other.namelist()
        except Exception:  # noqa: BLE001 - zipfile raises nearly every class on a damaged directory
            return Form.SAVED if path.name.endswith((".pt", ".pth", ".bin", ".pt2", ".ckpt")) else None
    inner = {n.partition("/")[2] for n in names}
    if OLD_PROGRAM in names or "archive_format" in inner:
        return Form.EXPORTED
    if "constants.pkl" in inner and any(n.startswith("code/") for n in inner):
        return Form.SCRIPT
    return Form.SAVED if "data.pkl" in inner else None


def _folder(path: Path) -> Optional[Form]:
    if (path / "modules.json").is_file():
        return Form.SENTENCES
    config = read_json(path / "config.json") if (path / "config.json").is_file() else None
    if not isinstance(config, dict) or not ("model_type" in config or "architectures" in config):
        return None
    torch_weights = any((path / name).is_file() for name in WEIGHTS)
    return None if (path / "model_state.pdparams").is_file() and not torch_weights else Form.HUGGING_FACE


def read_json(path: Path) -> Any:
    """What a configuration file holds.

    Raises:
        NotAModelError: it cannot be read.
        CorruptModelError: it is no JSON.
    """
    raw = read_small(path, _CONFIG_LIMIT, "is more than any configuration has")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise CorruptModelError(f"{path}: not valid JSON ({e})") from None


def weight_map(index: Path) -> dict[str, str]:
    """Tensor → the file that has it, of an index of sharded weights.

    Raises:
        CorruptModelError: it is none.
    """
    described = read_json(index)
    names = described.get("weight_map") if isinstance(described, dict) else None
    if not isinstance(names, dict) or not all(isinstance(v, str) for v in names.values()):
        raise CorruptModelError(f"{index}: not the index of sharded weights")
    return names


def not_recognised(spec: str) -> NotAModelError:
    """The error for what :func:`recognise` does not know."""
    forms = "a .pt2 or TorchScript file, pkg.module:factory, file.py:factory, a Hugging Face folder, a name of timm"
    path = Path(spec)
    if path.is_dir():
        if (path / "model_index.json").is_file():
            return NotAModelError(
                f"{spec}: a diffusers pipeline, which is several models", "give one of its folders, e.g. text_encoder"
            )
        if any((path / name).is_file() for name in WEIGHTS):
            return NotAModelError(f"{spec}: weights without a config.json", "the folder of the model has one")
        if (path / "config.json").is_file() and not (path / "model_state.pdparams").is_file():
            return NotAModelError(f"{spec}: its config.json names neither a model_type nor architectures", forms)
        return NotAModelError(f"{spec}: a folder without config.json", f"MODEL is {forms}")
    if path.exists():
        kind = sniff.what(path)
        advice = None if kind is sniff.Kind.TORCH else sniff.NEAR_MISSES.get(kind)
        what = kind.value if kind is not sniff.Kind.OTHER else "no PyTorch model"
        return NotAModelError(f"{spec}: {what}", advice or f"MODEL is {forms}")
    if spec.endswith(".py"):
        return NotAModelError(f"{spec}: what makes the module is not said", f"{spec}:factory")
    timm = "" if importlib.util.find_spec("timm") else " (timm is not installed)"
    return NotAModelError(f"{spec}: no such file or folder", f"MODEL is {forms}{timm}")
