"""From a recipe to calls of :mod:`mconv.api`: what each step reads, makes and is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.errors import UsageError
from mconv.recipe.load import CONVERSIONS, Recipe, StepSpec

_FROM_SOURCE = ("to-static", "onnx2paddle", "torch2paddle")


@dataclass
class Found:
    """The recipe's files on this machine."""

    source: Optional[Path] = None
    weights: Optional[Path] = None
    data: Optional[Path] = None
    service: dict[str, Path] = field(default_factory=dict)  # option of the pipeline service → file


@dataclass
class Step:
    """One call.

    Attributes:
        name: of the step; ``id``: the same, numbered.
        verb: the function of :mod:`mconv.api`.
        reads: parameter → a file or folder; the hash of what is in it is part of the step's key. A name that begins
            with + is no parameter: there are others that say the same with a path.
        made_by: parameter → the step that made what it reads.
        places: parameter → where the output goes, relative to the recipe's folder.
        options: the other parameters; + as above.
        hidden: options that are no part of the key, because another field says the same without a path.
        outputs: files and folders that are made, relative to the recipe's folder.
    """

    name: str
    id: str
    verb: str
    line: int
    reads: dict[str, Path] = field(default_factory=dict)
    made_by: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    hidden: dict[str, Any] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)

    def arguments(self, folder: Path) -> dict[str, Any]:
        """The keyword arguments of the call, JSON values."""
        return {
            **self.options,
            **self.hidden,
            **{name: str(path) for name, path in self.reads.items()},
            **{name: str(folder / place) for name, place in self.places.items()},
        }


def plan(recipe: Recipe, found: Found, folder: Path) -> list[Step]:
    """The steps of a recipe.

    Args:
        folder: where the recipe's output goes.

    Raises:
        UsageError: a step does not fit the source, or comes in the wrong place.
    """
    return _Planner(recipe, found, folder).steps()


class _Planner:
    def __init__(self, recipe: Recipe, found: Found, folder: Path):
        self.recipe, self.found, self.folder = recipe, found, folder
        self.made: dict[str, tuple[Path, str]] = {}  # step's name → what it made, and the step's id
        self.model: Optional[str] = None  # the step that made the model so far
        self.server: Optional[str] = None
        self.service: Optional[Path] = None

    def steps(self) -> list[Step]:
        return [self._step(i, spec) for i, spec in enumerate(self.recipe.steps)]

    def _bad(self, spec: StepSpec, what: str, hint: Optional[str] = None) -> UsageError:
        return UsageError(f"{self.recipe.file}:{spec.line}: {spec.name}: {what}", hint)

    def _step(self, index: int, spec: StepSpec) -> Step:
        if spec.name in CONVERSIONS and spec.name in self.made:
            raise self._bad(spec, "is there twice", "a conversion is done once")
        step = Step(spec.name, f"{index + 1:02}-{spec.name}", spec.name.replace("-", "_"), spec.line)
        step.options = dict(spec.options)
        build = {
            "to-static": self._to_static,
            "onnx2paddle": self._importer,
            "torch2paddle": self._importer,
            "downgrade": self._downgrade,
            "to-serving": self._to_serving,
            "verify": self._verify,
            "serve-check": self._serve_check,
        }[spec.name]
        build(step, spec)
        if spec.name in CONVERSIONS:
            self.made[spec.name] = (self.folder / step.outputs[0], step.id)
            self.model = spec.name
        return step

    def _to_static(self, step: Step, spec: StepSpec) -> None:
        self._first(spec)
        source = self.recipe.source
        if source.spec is None:
            raise self._bad(spec, "needs a source with spec:", "spec: pkg.module:factory, file.py:factory or a name")
        self._spec(step, "layer")
        step.places["path"] = "to-static"
        step.options.update({"folder": True, "arguments": source.arguments, "trust": source.trust, "format": "pdmodel"})
        step.options["input_spec"] = self.recipe.inputs or None
        if self.found.weights is not None:
            step.reads["params"] = self.found.weights
        self._conversion(step)

    def _importer(self, step: Step, spec: StepSpec) -> None:
        self._first(spec)
        if self.found.source is not None:
            step.reads["model"] = self.found.source
        elif spec.name == "onnx2paddle":
            raise self._bad(spec, "needs a source with path:", "path: model.onnx")
        else:
            self._spec(step, "model")
        if spec.name == "torch2paddle":
            source = self.recipe.source
            step.options.update({"arguments": source.arguments, "trust": source.trust})
            if self.found.weights is not None:
                step.reads["weights"] = self.found.weights
        for i, plugin in enumerate(step.options.pop("plugins", [])):
            step.reads[f"+plugin{i}"] = self.recipe.folder / plugin
            step.hidden.setdefault("plugins", []).append(str(self.recipe.folder / plugin))
        step.places["out"] = spec.name
        step.options["inputs"] = self.recipe.inputs
        self._conversion(step)

    def _conversion(self, step: Step) -> None:
        """What all conversions that compare have in common."""
        step.options.update({"target": self.recipe.target, "force": True})
        step.options.setdefault("tolerance", self.recipe.verification.get("tolerance"))
        step.options.setdefault("verify", True)
        if step.options["verify"]:
            step.options["runtime"] = self.recipe.verification.get("runtime")
            if self.found.data is not None:
                step.reads["feeds"] = self.found.data
        step.outputs = [step.name]

    def _downgrade(self, step: Step, spec: StepSpec) -> None:
        self._model(step, spec, "path")
        step.places["out"] = "downgrade"
        step.options.update({"target": self.recipe.target, "force": True})
        step.outputs = ["downgrade"]

    def _to_serving(self, step: Step, spec: StepSpec) -> None:
        self._model(step, spec, "path")
        serving = self.recipe.serving
        server, client = serving.get("server", "serving_server"), serving.get("client", "serving_client")
        step.places["out"] = "."
        step.options.update({"serving_server": server, "serving_client": client, "target": self.recipe.target})
        for name in ("fetch_order", "feed_alias", "fetch_alias"):
            if name in serving:
                step.options[name] = serving[name]
        step.options["force"] = True
        step.outputs = [server, client]
        self.server = step.id
        if self.recipe.pipeline is not False:
            self._pipeline(step, serving.get("service", "service"))

    def _pipeline(self, step: Step, service: str) -> None:
        """A service beside the model; its files are known by what is in them."""
        plain = {} if self.recipe.pipeline is True else dict(self.recipe.pipeline)  # type: ignore[arg-type]
        step.options["service_dir"] = service
        step.hidden["pipeline"] = {**plain, **{name: str(path) for name, path in self.found.service.items()}}
        step.options["+pipeline"] = {k: v for k, v in plain.items() if k not in self.found.service}
        step.reads.update({f"+{name}": path for name, path in self.found.service.items()})
        step.outputs.append(service)
        self.service = self.folder / service

    def _verify(self, step: Step, spec: StepSpec) -> None:
        conversions = list(self.made)
        torch = conversions[:1] == ["torch2paddle"]  # which has compared its result with the source itself
        first = "source" if self.found.source is not None and not torch else (conversions[0] if conversions else "")
        a, b = step.options.pop("a", first), step.options.pop("b", self.model or "")
        if not a or not b or a == b:
            raise self._bad(spec, "has no two models to compare", "it comes after a conversion; a: and b: name them")
        for side, name in (("a", a), ("b", b)):
            self._side(step, spec, side, name)
        step.options.setdefault("tolerance", self.recipe.verification.get("tolerance"))
        step.options.setdefault("runtime", self.recipe.verification.get("runtime"))
        step.options["inputs"] = self.recipe.inputs if step.reads["a"] == self.found.source else []
        if self.found.data is not None:
            step.reads["feeds"] = self.found.data

    def _side(self, step: Step, spec: StepSpec, side: str, name: str) -> None:
        if name == "source" and self.found.source is not None:
            step.reads[side] = self.found.source
        elif name in self.made:
            step.reads[side], step.made_by[side] = self.made[name]
        else:
            known = (["source"] if self.found.source is not None else []) + list(self.made)
            raise self._bad(spec, f"{side}: {name!r} is no earlier conversion", f"there are {', '.join(known)}")

    def _serve_check(self, step: Step, spec: StepSpec) -> None:
        if self.server is None:
            raise self._bad(spec, "there is no served model yet", "it comes after to-serving")
        step.reads["folder"], step.made_by["folder"] = self.made["to-serving"]
        if self.service is not None:
            step.hidden["service"] = str(self.service)
        for option in ("texts", "images"):
            given = step.options.pop(option, [])
            for i, name in enumerate([given] if isinstance(given, str) else given):
                step.reads[f"+{option}{i}"] = self.recipe.folder / name
            if given:
                paths = [str(p) for k, p in step.reads.items() if k.startswith(f"+{option}")]
                step.hidden[option] = paths[0] if option == "texts" else paths
        if self.found.data is not None and not step.hidden.keys() & {"texts", "images"}:
            step.reads["inputs"] = self.found.data

    def _first(self, spec: StepSpec) -> None:
        if self.model is not None:
            raise self._bad(spec, f"comes after {self.model}", f"{', '.join(_FROM_SOURCE)} take the source")

    def _model(self, step: Step, spec: StepSpec, parameter: str) -> None:
        """Read what was made last, or the source."""
        if self.model is not None:
            step.reads[parameter], step.made_by[parameter] = self.made[self.model]
        elif self.found.source is not None:
            step.reads[parameter] = self.found.source
        else:
            raise self._bad(spec, "takes a file, and the source is a spec", "to-static comes first")

    def _spec(self, step: Step, parameter: str) -> None:
        """What makes a layer: where it is a file, its content and not its place is part of the key."""
        spec = self.recipe.source.spec or ""
        path, colon, factory = spec.rpartition(":")
        file = self.recipe.folder / path
        if colon and path.endswith(".py"):
            step.reads["+spec"] = file
            step.options["+spec"] = f"{os.path.basename(path)}:{factory}"
            step.hidden[parameter] = f"{file}:{factory}"
        elif not colon and (self.recipe.folder / spec).is_dir():
            step.reads[parameter] = self.recipe.folder / spec
        else:
            step.options[parameter] = spec


def call(step: Step, folder: Path) -> tuple[str, dict[str, Any]]:
    """The function of the API and its arguments."""
    return step.verb, {k: v for k, v in step.arguments(folder).items() if v is not None and not k.startswith("+")}


def ingredients(step: Step, inputs: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """What the key of a step is made of."""
    return {
        "step": step.name,
        "options": step.options,
        "inputs": dict(inputs),
        "versions": dict(versions),
        "outputs": step.places,
    }
