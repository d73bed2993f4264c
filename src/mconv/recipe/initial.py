"""``mconv init``: a recipe to start from, for a model that is there."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts.output import staged
from mconv.options.proving import TargetLike
from mconv.options.running import Init
from mconv.printable import printable, quoted
from mconv.recipe import remote
from mconv.recipe.document import SCHEMA
from mconv.recipe.load import step_for

SCHEMA_NAME = "mconv-recipe.schema.json"
_SAY = "inputs: say them, as --input takes them, e.g. 'x:float32[?,8]'; else they are guessed"


@dataclass
class Draft:
    """A recipe that was written.

    Attributes:
        path: where it is; None where it was only to be shown.
        text: the recipe.
        steps: what it does.
        notes: what to look at before it is run.
    """

    path: Optional[Path]
    text: str
    steps: list[str]
    notes: list[str] = field(default_factory=list)


@dataclass
class _Look:
    """What was found out about a model: lines of ``source:``, the inputs, the first step."""

    source: list[str]
    first: Optional[str]
    inputs: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def init(chosen: Init) -> Draft:
    """Look at a model and write a recipe for it; no code of it is run, except where nothing else tells what a spec makes.

    The schema is put beside it, where there is none, for editors that complete.

    Raises:
        NotAModelError, CorruptModelError, UsageError: it is no model.
        OutputExistsError: the file is there already.
    """
    model = chosen.model
    path = Path(f"{_name(model)}.yaml") if chosen.out is None else Path(chosen.out)
    folder = Path(os.path.abspath(path)).parent
    look = _look(model, folder)
    steps = [*([look.first] if look.first else []), "to-serving", "verify"]
    text = _text(model, look, steps, chosen.target, path)
    if chosen.show:
        return Draft(None, text, steps, look.notes)
    schema = folder / SCHEMA_NAME
    with staged(path, file=True, force=chosen.force) as new:
        new.write_text(text, "utf-8")
        if not os.path.lexists(schema):  # within: where it does not fit on the disk, there is no recipe either
            with staged(schema, file=True) as beside:
                beside.write_bytes(SCHEMA.read_bytes())
    return Draft(path, text, steps, look.notes)


def _name(model: str) -> str:
    """What the recipe is called: the model's file or folder, or the factory."""
    inner = (
        remote.split(model).path if remote.is_remote(model) else model.rpartition(":")[2] if _is_spec(model) else model
    )
    path = Path(os.path.abspath(inner)) if inner in (".", "..") else Path(inner.rstrip("/"))
    stem = path.name if path.is_dir() else re.sub(r"\.(onnx|pdmodel|json|pt2?|pth)$", "", path.name)
    if stem in ("inference_model", "inference", "model", "__model__", "saved_model"):
        stem = path.parent.name or stem
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._") or "model"


def _is_spec(model: str) -> bool:
    return ":" in model and not model.startswith(remote.PACKAGE) and not os.path.exists(model)


def _look(model: str, folder: Path) -> _Look:
    if remote.is_remote(model):
        with tempfile.TemporaryDirectory(prefix="mconv-init-") as scratch:
            local = Path(scratch) / remote.file_name(model)
            remote.fetch_whole(model, local)
            return _file(local, model)
    if _is_spec(model):
        return _spec(model, folder)
    local = remote.resolve(model, None, Path())
    return _file(local, model if model.startswith(remote.PACKAGE) else _relative(local, folder))


def _relative(path: Path, folder: Path) -> str:
    """As the recipe in *folder* has it: relative, unless it was given as a path from the root and lies elsewhere."""
    whole = Path(os.path.abspath(path))
    if path.is_absolute() and folder not in whole.parents:
        return whole.as_posix()
    return Path(os.path.relpath(whole, folder)).as_posix()


def _file(path: Path, shown: str) -> _Look:
    """A file, folder or prefix: looked at before it is hashed, so that what is no model costs nothing."""
    first = step_for(path)
    if first == "to-static":  # a folder of PaddleNLP
        return _Look([f"spec: {_quoted(shown)}"], first, notes=[_SAY])
    look = _Look([f"path: {_quoted(shown)}"], first)
    if first == "torch2paddle":
        look.source += _pinned(path)
        return look
    from mconv import api

    seen = api.inspect(path)
    look.source += _pinned(path)
    look.known = [f"{t.name}: {t.dtype} {_dims(t.shape)}" for t in seen.inputs]
    if first is not None:
        look.inputs = [f"{t.name}{_dims(t.shape)}" for t in seen.inputs if t.shape is not None and _open(t.shape)]
    return look


def _pinned(path: Path) -> list[str]:
    pin = remote.pin_of(path) if path.exists() else None
    return [f"sha256: {pin}"] if pin else []


def _open(shape: Sequence[Any]) -> bool:
    return any(not isinstance(d, int) or d < 0 for d in shape)


def _dims(shape: Optional[Sequence[Any]]) -> str:
    if shape is None:
        return "[of unknown rank]"
    return "[" + ",".join(str(d) if isinstance(d, int) and d >= 0 else "?" for d in shape) + "]"


def _spec(model: str, folder: Path) -> _Look:
    path, _, factory = model.rpartition(":")
    step = step_for(model) or "to-static"
    shown = f"{_relative(Path(path), folder)}:{factory}" if path.endswith(".py") else model
    return _Look([f"spec: {_quoted(shown)}"], step, notes=[_SAY])


def _quoted(text: str) -> str:
    """The text as YAML has it; JSON's form where it needs quotes."""
    plain = re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./+@-]*", text)
    return text if plain and not re.fullmatch(r"[\d.+-]+|true|false|yes|no|null|on|off", text, re.I) else quoted(text)


def _text(model: str, look: _Look, steps: Sequence[str], target: Optional[TargetLike], path: Path) -> str:
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_NAME}",
        f"# Written by `mconv init {printable(model)}`. Run it with `mconv run {printable(str(path))}`.",
        "source:",
        *(f"  {line}" for line in look.source),
    ]
    if look.known:
        lines += [f"# inputs: {'; '.join(map(printable, look.known))}"]
    if look.inputs:
        lines += ["# sizes that are ? stay open; put numbers to fix them", "inputs:"]
        lines += [f"  - {quoted(text)}" for text in look.inputs]
    elif look.first == "to-static":
        lines += ["# the inputs are guessed; say them here", "# inputs:", "#   - 'input_ids:int64[?,?]'"]
    lines += [
        f"target: {quoted(str(target))}  # the Paddle that will load it; 2.3 is what Paddle Serving 0.9.0 carries",
        "steps:",
        *(f"  - {step}" for step in steps),
        "  # - serve-check  # starts the real Paddle Serving on it; `mconv runtime install paddle-2.3.2`",
        "# verification:",
        "#   data: inputs.npz  # real inputs instead of random ones",
        "#   tolerance: 1e-4",
    ]
    return "\n".join(lines) + "\n"
