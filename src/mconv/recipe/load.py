"""A recipe file as a :class:`Recipe`: checked, with the profile and the settings of this run applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import UsageError
from mconv.printable import printable
from mconv.recipe.document import Document, parse_value

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
    target: str
    steps: list[StepSpec]
    serving: dict[str, Any]
    pipeline: Union[bool, dict[str, Any]]
    verification: dict[str, Any]
    profile: Optional[str] = None
    limit: Union[int, str, None] = None

    @property
    def folder(self) -> Path:
        return self.file.parent


def load(path: Path, *, profile: Optional[str] = None, settings: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        profile: apply this profile where the recipe has it.
        settings: ``key.inner=value`` texts that change single fields.

    Raises:
        NotAModelError, UsageError, MissingDependencyError: see :class:`mconv.recipe.document.Document`.
    """
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
        Source(path=source) if isinstance(source, str) else Source(**source),
        list(data.get("inputs", [])),
        str(data.get("target", "2.3")),
        steps,
        dict(data.get("serving", {})),
        data.get("pipeline", False),
        dict(data.get("verification", {})),
        applied,
        data.get("limit"),
    )
    return made if steps else _with_steps(made, document)


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
    """The steps that a source of this kind needs."""
    kind = _first_step(recipe)
    steps = [StepSpec(n, {}, document.line(("source",))) for n in ([kind] if kind else []) + ["to-serving"]]
    return Recipe(**{**vars(recipe), "steps": steps})


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
