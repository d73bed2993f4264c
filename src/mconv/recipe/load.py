"""A recipe file as a :class:`Recipe`: checked, with the profile and the settings of this run applied."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import MconvError, UsageError
from mconv.printable import printable
from mconv.program import targets
from mconv.program.targets import Target
from mconv.recipe import remote
from mconv.recipe.document import Document, parse_value

_MAGIC = re.compile(r"[*?\[]")  # of a pattern of the shell
CONVERSIONS = (
    "to-static",
    "onnx2paddle",
    "torch2paddle",
    "downgrade",
    "half",
    "quantize",
    "edit",
    "to-serving",
    "convert",
    "to-onnx",
)


@dataclass(frozen=True)
class Source:
    """Where the model comes from; *path* or *spec* is given. See the schema for the fields."""

    path: Optional[str] = None
    spec: Optional[str] = None
    sha256: Optional[str] = None
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: Optional[str] = None
    weights_sha256: Optional[str] = None
    trust: bool = False
    install: Optional[str] = None


@dataclass(frozen=True)
class StepSpec:
    """One step as the recipe has it, and its line."""

    name: str
    options: dict[str, Any]
    line: int


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    Attributes:
        file: the YAML file; relative paths in it are relative to its folder.
        name: of the output folder: the recipe's, with ``.PROFILE`` where a profile is applied.
        profile: the profile that is applied.
    """

    file: Path
    name: str
    description: str
    source: Source
    inputs: list[str]
    target: Target
    steps: list[StepSpec]
    serving: dict[str, Any]
    pipeline: Union[bool, dict[str, Any]]
    verification: dict[str, Any]
    profile: Optional[str] = None
    limit: Union[int, str, None] = None

    @property
    def folder(self) -> Path:
        return self.file.parent


def load_each(path: Path, *, profile: Optional[str] = None, settings: Sequence[str] = ()) -> list[Recipe]:
    """As :func:`load`; of a recipe whose source is a pattern (``models/*``), one for each model.

    Raises:
        MconvError: see :func:`load`; or no model has a name of that pattern, or two would go to one folder.
    """
    made, document = _read(path, profile, settings)
    return [_with_steps(each, document) for each in _spread(made)]


def load(path: Path, *, profile: Optional[str] = None, settings: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        profile: apply this profile where the recipe has it.
        settings: ``key.inner=value`` texts that change single fields.

    Raises:
        NotAModelError, UsageError, MissingDependencyError: see :class:`mconv.recipe.document.Document`.
    """
    return _with_steps(*_read(path, profile, settings))


def _read(path: Path, profile: Optional[str], settings: Sequence[str]) -> tuple[Recipe, Document]:
    """The recipe as it stands there."""
    document = Document(path)
    document.check()
    data = dict(document.data)
    profiles = data.pop("profiles", {}) or {}
    applied = profile if profile in profiles else None
    if applied is not None:
        data.update(profiles[applied])
    for text in settings:
        _set(data, text)
    if settings:
        changed = {k: v for k, v in data.items() if v != document.data.get(k)}
        try:
            document.check(changed)
        except UsageError as e:
            raise UsageError(f"--set {printable(' '.join(settings), 200)}: {e.message}", e.hint) from None
    name = data.get("name") or path.stem
    source = data["source"]
    read = Source(path=source) if isinstance(source, str) else Source(**source)
    prefix = ("steps",) if applied is None or "steps" not in profiles[applied] else ("profiles", applied, "steps")
    steps = [
        StepSpec(s, {}, document.line((*prefix, i)))
        if isinstance(s, str)
        else StepSpec(next(iter(s)), dict(next(iter(s.values())) or {}), document.line((*prefix, i)))
        for i, s in enumerate(data.get("steps", []))
    ]
    made = Recipe(
        path,
        name if applied is None else f"{name}.{applied}",
        data.get("description", ""),
        read,
        list(data.get("inputs", [])),
        targets.get(data.get("target", targets.DEFAULT)),
        steps,
        dict(data.get("serving", {})),
        data.get("pipeline", False),
        dict(data.get("verification", {})),
        applied,
        data.get("limit"),
    )
    return made, document


def _spread(recipe: Recipe) -> list[Recipe]:
    """One recipe for each model that the source is a pattern for, in a folder below its own; else itself.

    Raises:
        NotAModelError: there is none. UsageError: two of them have one name, or what can only be of one model.
    """
    source, text = recipe.source, recipe.source.path
    if text is None or not _MAGIC.search(text) or text.startswith(remote.PACKAGE) or remote.is_remote(text):
        return [recipe]
    pattern = recipe.folder / os.path.expanduser(text)
    if pattern.exists():  # a file that is really called so
        return [recipe]
    for name, given in (("sha256", source.sha256), ("weights", source.weights)):
        if given is not None:
            raise UsageError(f"{recipe.file}: source.{name}: is of one model, and {text} may be several", "name one")
    from mconv import api

    try:
        found = api.matching_sources(str(pattern), recipe.name)
    except MconvError as e:
        raise type(e)(f"{recipe.file}: source: {e.message}", e.hint) from None
    return [
        replace(recipe, name=f"{recipe.name}/{name}", source=replace(source, path=os.path.relpath(path, recipe.folder)))
        for name, path in found.items()
    ]


def has_profile(path: Path, profile: str) -> bool:
    """Whether a recipe has such a profile."""
    profiles = Document(path).data.get("profiles")
    return isinstance(profiles, dict) and profile in profiles  # what else it is is told when the recipe is read


def _set(data: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(
            f"--set {printable(text, 200)}: not of the form key=value",
            "--set target=2.6, --set source.arguments.layers=2",
        )
    at = data
    *outer, last = key.split(".")
    for part in outer:
        inner = at.get(part)
        if isinstance(inner, str) and part == "source":
            inner = {"path": inner}
        if inner is not None and not isinstance(inner, Mapping):
            raise UsageError(f"--set {printable(text, 200)}: {printable(part, 80)} has no fields")
        at[part] = dict(inner or {})
        at = at[part]
    at[last] = parse_value(value, f"--set {printable(text, 200)}")


def _with_steps(recipe: Recipe, document: Document) -> Recipe:
    """With the steps that a source of this kind needs, where it has none."""
    if recipe.steps:
        return recipe
    kind = _first_step(recipe)
    steps = [StepSpec(n, {}, document.line(("source",))) for n in ([kind] if kind else []) + ["to-serving"]]
    return replace(recipe, steps=steps)


def _first_step(recipe: Recipe) -> Optional[str]:
    """The conversion for a source: by what it is where it lies here, else by its name; None: it needs none."""
    if recipe.source.spec is not None:
        return "to-static"
    text = recipe.source.path or ""
    here = recipe.folder / text
    if here.exists():
        return step_for(here)
    name = text.rstrip("/").lower()
    if name.endswith(".onnx"):
        return "onnx2paddle"
    return "torch2paddle" if name.endswith((".pt", ".pt2", ".pth")) else None


def step_for(source: Union[str, Path]) -> Optional[str]:
    """The conversion that reads a source; None for a Paddle inference model, which needs none.

    Raises:
        NotAModelError, UsageError: it is nothing that can be converted.
    """
    from mconv import api

    kind = api.recognise(source).name.lower()
    return {"onnx": "onnx2paddle", "torch": "torch2paddle", "layer": "to-static"}.get(kind)
