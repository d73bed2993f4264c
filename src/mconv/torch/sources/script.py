"""TorchScript archives: ``torch.jit.save``."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

from mconv.errors import CorruptModelError, UntrustedError
from mconv.factory.inputs import Input, known
from mconv.torch.sources.forms import Form
from mconv.torch.sources.inputs import from_layer, rows
from mconv.torch.sources.source import Source, import_torch

# TorchScript has no access to Python, but these of its functions write or read any file
_FILES = re.compile(r"\b(save|from_file|write_file|read_file|load_library|fork_exec)\b\s*\(")


def open_script(path: Path, *, trust: bool) -> Source:
    """The module of a TorchScript archive, which is interpreted by torch and has no access to Python.

    Raises:
        UntrustedError: its code writes or reads files, and *trust* is not given.
        CorruptModelError: it is damaged, or of a version that this torch does not read.
    """
    torch = import_torch()
    if not trust:
        _check(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.load(path, map_location="cpu")
    except (RuntimeError, ValueError, EOFError, OSError) as e:
        raise CorruptModelError(f"{path}: cannot be read as TorchScript ({_first(e)})") from None
    label = getattr(module, "original_name", None) or "the TorchScript module"
    source = Source(Form.SCRIPT, label, module, positional=True, files=[path])
    arguments = module.forward.schema.arguments[1:]
    tensors = [a for a in arguments if str(a.type) == "Tensor"]
    required = [a.name for a in tensors if not a.has_default_value()]
    source.facts["arguments"] = [f"{a.name}: {a.type}" for a in arguments]
    guessed = [known(n) for n in required]
    if len(required) == 1 and guessed[0] is None:
        guessed = [from_layer(required[0], module)]
    inputs = [one for one in guessed if one is not None]
    if len(inputs) == len(guessed):
        source.inputs = [Input(i.name, i.dtype, i.dims, rows(i, module)) for i in inputs]
        source.guessed = True
    return source


def _check(path: Path) -> None:
    torch = import_torch()
    try:
        with zipfile.ZipFile(path) as archive:
            texts: list[tuple[str, Any]] = [(n, archive.read(n)) for n in archive.namelist() if _is_code(n)]
        reader = torch._C.PyTorchFileReader(str(path))  # what torch itself will see
        texts += [(n, reader.get_record(n)) for n in reader.get_all_records() if _is_code(n)]
    except (zipfile.BadZipFile, RuntimeError, OSError, NotImplementedError, EOFError) as e:
        raise CorruptModelError(f"{path}: not a sound archive ({_first(e)})") from None
    for name, text in texts:
        found = _FILES.search(text.decode("utf-8", "replace"))
        if found:
            raise UntrustedError(
                f"{path}: its code ({name}) calls {found[1]}, which writes or reads files",
                "--trust allows it, if you know where the file comes from",
            )


def _is_code(name: str) -> bool:
    return name.endswith(".py")


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
