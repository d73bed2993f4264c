"""From a recipe to calls of :mod:`mconv.api`: what each step reads, makes and is told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts.provenance import NAME
from mconv.errors import MconvError, UsageError
from mconv.options.declare import declared
from mconv.options.torch import Torch2Paddle, Transplant
from mconv.recipe.load import CONVERSIONS, Recipe, StepSpec, step_for
from mconv.recipe.step import Step

_FROM_SOURCE = ("to-static", "onnx2paddle", "torch2paddle", "convert")
# options that a transplant has no use for
_OF_A_GRAPH = {d.name for d in declared(Torch2Paddle)} - {d.name for d in declared(Transplant)}
_SHAPES = "shape_range_info"  # as Paddle calls the file
_FIXED_NAMES = ("server", "client", "service", "fetch_order")  # fields of `serving` that convert has no choice in


@dataclass
class Found:
    """The recipe's files on this machine."""

    source: Optional[Path] = None
    weights: Optional[Path] = None
    data: Optional[Path] = None
    service: dict[str, Path] = field(default_factory=dict)  # option of the pipeline service → file
    rules: dict[str, list[Path]] = field(default_factory=dict)  # as the recipe has it → the file, those it extends


def plan(recipe: Recipe, found: Found, folder: Path) -> list[Step]:
    """The steps of a recipe.

    Args:
        folder: where the recipe's output goes.

    Raises:
        UsageError: a step does not fit the source, or comes too early or too late.
    """
    return _Planner(recipe, found, folder).steps()


class _Planner:
    def __init__(self, recipe: Recipe, found: Found, folder: Path):
        self.recipe, self.found, self.folder = recipe, found, folder
        self.made: dict[str, tuple[Path, str]] = {}  # step's name → what it made, and the step's id
        self.model: Optional[str] = None  # the step that made the Paddle model so far
        self.last: Optional[str] = None  # the last conversion, to-onnx included, which no other step goes on from
        self.server: Optional[str] = None  # the step that made it
        self.service: Optional[Path] = None
        self.edited: Optional[Path] = None  # the source as edit has made it, where that is still to be converted
        # what `shapes` writes, its step's id, and the step that made the model
        self.shapes: Optional[tuple[Path, str, Optional[str]]] = None
        self.for_gpus = False  # whether the model computes in half precision by now
        self.halved: set[str] = set()  # conversions that have made it so

    def steps(self) -> list[Step]:
        return [self._step(i, spec) for i, spec in enumerate(self.recipe.steps)]

    def _bad(self, spec: StepSpec, what: str, hint: Optional[str] = None) -> UsageError:
        return wrong_step(self.recipe, spec, UsageError(what, hint))

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
            "half": self._half,
            "quantize": self._quantize,
            "shapes": self._shapes,
            "edit": self._edit,
            "to-serving": self._to_serving,
            "convert": self._convert,
            "to-onnx": self._to_onnx,
            "verify": self._verify,
            "serve-check": self._serve_check,
        }[spec.name]
        build(step, spec)
        if self.recipe.limit is not None:  # another limit gives no other result
            step.hidden["limit"] = self.recipe.limit
        if step.options.get("half") is not None:
            self.for_gpus = True
            self.halved.add(spec.name)
        if spec.name in CONVERSIONS:
            step.product = step.product or step.outputs[0]
            step.record = step.record or f"{step.product}/{NAME}"
            self.made[spec.name] = (self.folder / step.product, step.id)
            self.last = spec.name
            if spec.name != "to-onnx" and not (spec.name == "edit" and self.edited is not None and self.model is None):
                self.model = spec.name
        return step

    def _to_static(self, step: Step, spec: StepSpec) -> None:
        self._first(spec)
        source = self.recipe.source
        if source.spec is None:
            raise self._bad(spec, "needs a source with spec:", "spec: pkg.module:factory, file.py:factory or a name")
        self._spec(step, "layer", source.spec)
        step.outputs_at["path"] = "to-static"
        step.options.update({"folder": True, "arguments": source.arguments, "trust": source.trust, "format": "pdmodel"})
        step.options["input_spec"] = self.recipe.inputs or None
        if self.found.weights is not None:
            step.reads["params"] = self.found.weights
        self._conversion(step)

    def _importer(self, step: Step, spec: StepSpec) -> None:
        self._first(spec)
        if self.edited is not None:
            step.reads["model"], step.made_by["model"] = self.made["edit"]
        elif self.found.source is not None:
            step.reads["model"] = self.found.source
        elif spec.name == "onnx2paddle":
            raise self._bad(spec, "needs a source with path:", "path: model.onnx")
        else:
            self._spec(step, "model", self.recipe.source.spec or "")
        if spec.name == "torch2paddle":
            source = self.recipe.source
            step.options.update({"arguments": source.arguments, "trust": source.trust})
            if self.found.weights is not None:
                step.reads["weights"] = self.found.weights
            if "into" in step.options:
                self._into(step, spec)
        for i, plugin in enumerate(step.options.pop("plugins", [])):
            step.reads[f"+plugin{i}"] = self.recipe.folder / plugin
            step.hidden.setdefault("plugins", []).append(str(self.recipe.folder / plugin))
        step.outputs_at["out"] = spec.name
        step.options["inputs"] = self.recipe.inputs
        self._conversion(step)

    def _into(self, step: Step, spec: StepSpec) -> None:
        """The weights are put into a layer: what makes it, and the rules, whose content counts and not their path."""
        refused = [name for name in step.options if name in _OF_A_GRAPH]
        if refused:
            raise self._bad(spec, f"{', '.join(refused)}: not with into, which converts no graph", "leave it out")
        step.kind = "transplant"
        self._spec(step, "into", step.options.pop("into"), "into")
        called, given = [], []
        for i, text in enumerate(rules_of(spec)):
            files = self.found.rules.get(text, [])
            step.reads.update({f"+rules{i}.{n}": file for n, file in enumerate(files)})
            called.append(files[0].name if files else text)
            given.append(str(files[0]) if files else text)
        step.options.pop("rules", None)
        if given:
            step.options["+rules"], step.hidden["rules"] = called, given

    def _conversion(self, step: Step) -> None:
        """What all conversions to Paddle that compare have in common."""
        step.options["target"] = self.recipe.target.name
        self._compared(step)
        step.outputs = [step.name]

    def _compared(self, step: Step, *, of_source: bool = True) -> None:
        step.options["force"] = True
        step.options.setdefault("tolerance", self.recipe.verification.get("tolerance"))
        step.options.setdefault("verify", True)
        if step.options["verify"]:
            step.options["runtime"] = self.recipe.verification.get("runtime")
            if self.found.data is not None and of_source:
                step.reads["feeds"] = self.found.data

    def _convert(self, step: Step, spec: StepSpec) -> None:
        """The whole chain in one step, whatever the source is."""
        self._first(spec)
        source, serving = self.recipe.source, self.recipe.serving
        fixed = [f"serving.{name}" for name in _FIXED_NAMES if name in serving]
        if fixed:
            raise self._bad(spec, f"{', '.join(fixed)}: it has no choice in that", "a conversion and to-serving have")
        if self.found.source is not None:
            step.reads["source"] = self.found.source
        else:
            self._spec(step, "source", source.spec or "")
        if self.found.weights is not None:
            step.reads["weights"] = self.found.weights
        step.options.update({"arguments": source.arguments, "trust": source.trust, "inputs": self.recipe.inputs})
        step.options.update({name: serving[name] for name in ("feed_alias", "fetch_alias") if name in serving})
        step.outputs_at["out"] = spec.name
        self._conversion(step)
        step.product = f"{spec.name}/serving_server"
        self.server = spec.name
        if self.recipe.pipeline is not False:
            self._service_options(step)
            self.service = self.folder / spec.name / "service"

    def _to_onnx(self, step: Step, spec: StepSpec) -> None:
        """A file beside the chain: what comes after goes on from the Paddle model that it was made from."""
        self._model(step, spec, "path")
        self._compared(step)
        if step.options["verify"] and step.reads["path"] == self.found.source:
            step.options["inputs"] = self.recipe.inputs
        step.outputs_at["out"] = f"{spec.name}/model.onnx"
        step.outputs = [f"{spec.name}/model.{end}" for end in ("onnx", "report.json", NAME)]
        step.record = step.outputs[2]

    def _of_model(self, step: Step, spec: StepSpec) -> None:
        """A Paddle model made of the last one, in a folder that is called as the step is."""
        self._model(step, spec, "path")
        step.outputs_at["out"] = spec.name
        step.options.update({"target": self.recipe.target.name, "force": True})
        step.outputs = [spec.name]

    def _downgrade(self, step: Step, spec: StepSpec) -> None:
        self._of_model(step, spec)

    def _half(self, step: Step, spec: StepSpec) -> None:
        self._of_model(step, spec)
        step.options.setdefault("verify", True)
        calibrate = step.options.pop("calibrate", False)
        if calibrate and self.found.data is None:
            raise self._bad(spec, "calibrate: needs real inputs", "verification: {data: inputs.npz}")
        if step.options["verify"] or calibrate:
            step.options["runtime"] = self.recipe.verification.get("runtime")
            if self.found.data is not None:
                step.reads["calibrate" if calibrate else "feeds"] = self.found.data
        self.for_gpus = not step.options.get("weights_only")

    def _edit(self, step: Step, spec: StepSpec) -> None:
        """A Paddle model, or an ONNX file that the conversion after it reads."""
        source = self.found.source
        if self.model is None and source is not None and step_for(source) is not None:
            if step_for(source) != "onnx2paddle":
                raise self._bad(spec, "takes a Paddle model or an .onnx file", "a conversion comes first")
            step.reads["path"] = source
            step.outputs_at["out"] = "edit/model.onnx"
            step.outputs = ["edit"]
            step.product, step.record = "edit/model.onnx", f"edit/model.{NAME}"
            self.edited = self.folder / step.product
        else:
            self._model(step, spec, "path")
            step.outputs_at["out"] = "edit"
            step.outputs = ["edit"]
        self._compared(step, of_source=step.reads["path"] == source)

    def _quantize(self, step: Step, spec: StepSpec) -> None:
        self._of_model(step, spec)
        if self.found.data is None:
            raise self._bad(spec, "needs real inputs to calibrate with", "verification: {data: inputs.npz}")
        step.options["runtime"] = self.recipe.verification.get("runtime")
        step.reads["data"] = self.found.data

    def _shapes(self, step: Step, spec: StepSpec) -> None:
        """A file beside the chain, or one for each profile, which the service takes."""
        self._model(step, spec, "path")
        if self.shapes is not None:
            raise self._bad(spec, "is there twice", "several profiles are one step: name each input again")
        if self.for_gpus:
            raise self._bad(spec, "the model is for GPUs by now, and this runs it on the CPU", "it comes before half")
        given = step.options.get("minimum", [])
        if not given:
            if self.found.data is None:
                raise self._bad(
                    spec, "needs minimum, optimum and maximum, or real inputs", "verification: {data: inputs.npz}"
                )
            step.reads["feeds"] = self.found.data
        names = [text.partition("[")[0] for text in given]
        count = max(map(names.count, names), default=1)
        # another number of profiles is another folder: none of the files there is of an earlier run
        folder = "shapes" if count == 1 else f"shapes-{count}"
        step.outputs_at["out"] = f"{folder}/{_SHAPES}.pbtxt"
        step.outputs = [
            f"{folder}/{_SHAPES}{end}.pbtxt" for end in ([""] if count == 1 else [f"_{n + 1}" for n in range(count)])
        ]
        step.options.update({"target": self.recipe.target.name, "force": True})
        step.options["runtime"] = self.recipe.verification.get("runtime")
        self.shapes = self.folder / (step.outputs[0] if count == 1 else folder), step.id, self.model

    def _to_serving(self, step: Step, spec: StepSpec) -> None:
        self._model(step, spec, "path")
        serving = self.recipe.serving
        server, client = serving.get("server", "serving_server"), serving.get("client", "serving_client")
        step.outputs_at["out"] = "."
        step.options.update({"serving_server": server, "serving_client": client, "target": self.recipe.target.name})
        for name in ("fetch_order", "feed_alias", "fetch_alias"):
            if name in serving:
                step.options[name] = serving[name]
        step.options["force"] = True
        step.outputs = [server, client]
        self.server = spec.name
        if self.recipe.pipeline is not False:
            self._pipeline(step, serving.get("service", "service"))
            self._shaped(step, spec)

    def _pipeline(self, step: Step, service: str) -> None:
        """A service beside the model."""
        step.options["service_dir"] = service
        self._service_options(step)
        step.outputs.append(service)
        self.service = self.folder / service

    def _shaped(self, step: Step, spec: StepSpec) -> None:
        """The service takes what `shapes` has found."""
        if self.shapes is None or "shapes" in step.hidden["pipeline"]:
            return
        path, found_by, model = self.shapes
        if model != self.model:
            raise self._bad(
                spec, f"its model is not the one whose shapes were found: {self.model} came after", "shapes comes last"
            )
        step.hidden["pipeline"] = {**step.hidden["pipeline"], "shapes": str(path)}
        step.reads["+shapes"], step.made_by["+shapes"] = path, found_by

    def _service_options(self, step: Step) -> None:
        """What a service is like; its files are known by what is in them."""
        plain = {} if self.recipe.pipeline is True else dict(self.recipe.pipeline)  # type: ignore[arg-type]
        step.hidden["pipeline"] = {**plain, **{name: str(path) for name, path in self.found.service.items()}}
        step.options["+pipeline"] = {k: v for k, v in plain.items() if k not in self.found.service}
        step.reads.update({f"+{name}": path for name, path in self.found.service.items()})

    def _verify(self, step: Step, spec: StepSpec) -> None:
        conversions = list(self.made)
        alone = conversions[:1] == ["torch2paddle"] or (conversions[:1] == ["convert"] and not self._plain_source())
        # else the conversion has compared its result with the source itself
        first = "source" if self.found.source is not None and not alone else (conversions[0] if conversions else "")
        a, b = step.options.pop("a", first), step.options.pop("b", self.last or "")
        if not a or not b or a == b:
            hint = "it comes after a conversion; a: and b: name them"
            if conversions[:1] == ["convert"]:
                hint = "convert has compared its result with the source; `a: source` does it again"
            raise self._bad(spec, "has no two models to compare", hint)
        if self.for_gpus and {a, b} & {"half", "to-serving", *self.halved}:
            raise self._bad(spec, "the model is for GPUs by now, and this runs it on the CPU", "half has compared it")
        for which, name in (("a", a), ("b", b)):
            self._read_by(step, spec, which, name)
        step.options.setdefault("tolerance", self.recipe.verification.get("tolerance"))
        step.options.setdefault("runtime", self.recipe.verification.get("runtime"))
        step.options["inputs"] = self.recipe.inputs if step.reads["a"] == self.found.source else []
        if self.found.data is not None:
            step.reads["feeds"] = self.found.data

    def _plain_source(self) -> bool:
        """Whether the source of a convert is a file that says what its inputs are."""
        return self.found.source is not None and step_for(self.found.source) in (None, "onnx2paddle")

    def _read_by(self, step: Step, spec: StepSpec, which: str, name: str) -> None:
        if name == "source" and self.found.source is not None:
            step.reads[which] = self.found.source
        elif name in self.made:
            step.reads[which], step.made_by[which] = self.made[name]
        else:
            known = (["source"] if self.found.source is not None else []) + list(self.made)
            raise self._bad(spec, f"{which}: {name!r} is no earlier conversion", f"there are {', '.join(known)}")

    def _serve_check(self, step: Step, spec: StepSpec) -> None:
        if self.server is None:
            raise self._bad(spec, "there is no served model yet", "it comes after to-serving or convert")
        if self.for_gpus:
            raise self._bad(spec, "the model is for GPUs by now, and this runs it on the CPU", "half has compared it")
        step.reads["folder"], step.made_by["folder"] = self.made[self.server]
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
        if self.last is not None and not (self.last == "edit" and spec.name == "onnx2paddle" and self.model is None):
            raise self._bad(spec, f"comes after {self.last}", f"{', '.join(_FROM_SOURCE)} take the source")

    def _model(self, step: Step, spec: StepSpec, parameter: str) -> None:
        """Read the Paddle model that was made last, or the source."""
        if self.model == "convert" and spec.name != "to-onnx":
            raise self._bad(spec, "comes after convert, which has done it", "only to-onnx, verify and serve-check do")
        if self.model is not None:
            step.reads[parameter], step.made_by[parameter] = self.made[self.model]
        elif self.found.source is not None:
            step.reads[parameter] = self.found.source
        else:
            raise self._bad(spec, "takes a file, and the source is a spec", "to-static comes first")

    def _spec(self, step: Step, parameter: str, spec: str, name: str = "spec") -> None:
        """What makes a layer: where it is a file, its content and not its path is part of the key."""
        path, colon, factory = spec.rpartition(":")
        file = self.recipe.folder / path
        if colon and path.endswith(".py"):
            step.reads[f"+{name}"] = file
            step.options[f"+{name}"] = f"{os.path.basename(path)}:{factory}"
            step.hidden[parameter] = f"{file}:{factory}"
        elif not colon and (self.recipe.folder / spec).is_dir():
            step.reads[parameter] = self.recipe.folder / spec
        else:
            step.options[parameter] = spec


def wrong_step(recipe: Recipe, spec: StepSpec, error: MconvError) -> Any:
    """The error, saying in which step of the recipe it is."""
    made = type(error)(f"{recipe.file}:{spec.line}: {spec.name}: {error.message}", error.hint)
    made.line = spec.line  # for the result, and marks in the recipe
    return made


def rules_of(spec: StepSpec) -> dict[str, Optional[str]]:
    """The rules of a torch2paddle step: sets, and paths or addresses of files → their pins."""
    given = spec.options.get("rules", [])
    entries = given if isinstance(given, list) else [given]
    return dict((e, None) if isinstance(e, str) else (e["path"], e.get("sha256")) for e in entries)
