"""What a caller may say of a conversion: a frozen class for each verb, whose fields ``mconv.api`` takes as keywords.

What does not fit together is refused when one is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from mconv.errors import UsageError
from mconv.program import targets
from mconv.program.params import PathLike
from mconv.proof.compare import Tolerance

Arguments = Union[Mapping[str, Any], Sequence[str]]  # of a factory: by name, or ``key=value`` texts

ENGINES = ("native", "x2paddle")
EXPORT, ONNX = "export", "onnx"
ROADS = (EXPORT, ONNX)
FORMATS = ("pdmodel", "json")
DEFAULT_OPSET = 13


@dataclass(frozen=True)
class Proving:
    """What all verbs take that convert and prove.

    Attributes:
        verify: run both models and compare; None = where there is what that takes, False = do not.
        runtime: where to run Paddle's side: a managed runtime's name or ``current``; default the one of the target, and
            where a Paddle model is the source the one that it was saved by, or the Paddle that this Python can import.
        feeds: a ``.npz`` file with inputs to verify with, instead of random ones.
        tolerance: how far outputs may be apart, both absolute (for outputs of size 1) and relative.
        force: replace what is at the place of the output.
        timeout: seconds for each run of either model, and for an engine that is a program of its own.
        progress: called with one line for each phase.

    Raises:
        UsageError: *tolerance* is not above 0, or something says how to verify where *verify* says not to.
    """

    verify: Optional[bool] = None
    runtime: Optional[str] = None
    feeds: Optional[Path] = None
    tolerance: Optional[float] = None
    force: bool = False
    timeout: float = 600
    progress: Callable[[str], Any] = lambda text: None

    def __post_init__(self) -> None:
        if self.feeds is not None:
            object.__setattr__(self, "feeds", Path(self.feeds))
        _ = self.limits  # refuses what is none
        said = self.said_of_verifying()
        if self.verify is False and any(said.values()):
            *first, last = said
            raise UsageError(f"{', '.join(first)} and {last} say how to verify, and --no-verify not to")

    @property
    def limits(self) -> Tolerance:
        return Tolerance.of(self.tolerance)

    def said_of_verifying(self) -> dict[str, bool]:
        """The options that only say how to verify, and whether they were given."""
        return {"--inputs": self.feeds is not None, "--runtime": self.runtime is not None}


@dataclass(frozen=True)
class Converting(Proving):
    """What all verbs take that make a Paddle model.

    Attributes:
        target: the Paddle that will load the result.
    """

    target: str = targets.DEFAULT_TARGET

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", targets.get(self.target).name)  # it may be given as a number
        super().__post_init__()

    def common(self) -> dict[str, Any]:
        """The fields that all of these verbs have, to pass them on to another."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(Converting)}


# onnx2paddle --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Onnx2Paddle(Converting):
    """Of ``onnx2paddle``.

    Attributes:
        inputs: ``name[1,3,?,640]`` for inputs whose shape shall be another than the file says.
        engine: ``native``, or ``x2paddle``: X2Paddle in its managed runtime.
        plugins: Python files with converters of your own.
        constants: input → its value for good; the result does not have it.

    Raises:
        UsageError: *engine* does not exist, or does not know *constants*.
    """

    inputs: Sequence[str] = ()
    engine: str = "native"
    plugins: Sequence[PathLike] = ()
    constants: Arguments = ()

    def __post_init__(self) -> None:
        _check_engine(self.engine)
        if self.constants and self.engine != "native":
            raise UsageError(f"--const: {self.engine} has no use for it", "leave out --engine")
        super().__post_init__()


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}", f"engines are {', '.join(ENGINES)}")


# to-onnx ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToOnnx(Proving):
    """Of ``to_onnx``.

    Attributes:
        opset: the version of ONNX's operators; a newer one is taken, and said, where the model needs it.
        inputs: ``name[1,3,?,640]``: shapes of the random inputs to verify with.
    """

    opset: int = DEFAULT_OPSET
    inputs: Sequence[str] = ()

    def __post_init__(self) -> None:
        from mconv.runtimes.paddle2onnx import OPSETS

        low, high = OPSETS
        if not low <= self.opset <= high:
            raise UsageError(f"--opset {self.opset}: paddle2onnx writes {low} to {high}")
        super().__post_init__()

    def said_of_verifying(self) -> dict[str, bool]:
        return {"--input": bool(self.inputs), **super().said_of_verifying()}


# torch2paddle -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromTorch(Converting):
    """What opening a PyTorch model takes; see :func:`mconv.torch.sources.open_source`.

    Attributes:
        inputs: ``name:int64[batch,seq]`` for each input of ``forward`` (with ``into``, of the layer); sizes with a name,
            and ``?``, stay open. By default what the source says, or a guess.
        weights: for a factory: a state dict in ``.pt``, ``.pth``, ``.bin``, ``.safetensors``, the index of sharded ones.
        arguments: for a factory.
        task: for a Hugging Face folder.
        partial: accept weights that are not exactly those of the module; with ``into``, leave the rest of the layer as
            its constructor made it.
        trust: unpickle without restrictions, and run code that a folder brings.
    """

    inputs: Sequence[str] = ()
    weights: Optional[PathLike] = None
    arguments: Arguments = ()
    task: Optional[str] = None
    partial: bool = False
    trust: bool = False

    def opening(self) -> dict[str, Any]:
        """For :func:`mconv.torch.sources.open_source`."""
        return {
            "weights": self.weights,
            "arguments": self.arguments,
            "task": self.task,
            "partial": self.partial,
            "trust": self.trust,
        }


@dataclass(frozen=True)
class Torch2Paddle(FromTorch):
    """Of ``torch2paddle``.

    Attributes:
        example: a ``.npz`` file with values to trace with.
        outputs: which outputs the result has, in the model's order; by default all (of a sentence-transformers
            folder: ``sentence_embedding``).
        via: ``export`` or ``onnx`` to force a route; by default ``torch.export``, and ONNX where that fails.
        strict: what the result does not have of the model is an error, not a warning: a dimension that torch fixes
            although it was to stay open, a decision that tracing takes once and for all, an input that nothing reads, a
            state.
        keep_dtype: keep float16 and bfloat16, instead of carrying them as float32.
        carry_state: the buffers that ``forward`` changes are inputs and outputs of the result.
        deterministic: random numbers that ``forward`` draws are their means, in the reference and the result.
        keep: leave the intermediate graph in the output: ``intermediate.pt2`` or ``intermediate.onnx``.
        engine: ``native``, or ``x2paddle``: X2Paddle in its managed runtime, from PyTorch's ONNX export.

    Raises:
        UsageError: *engine* or *via* does not exist, or X2Paddle shall read what ``torch.export`` gives.
    """

    example: Optional[Path] = None
    outputs: Optional[Sequence[str]] = None
    via: Optional[str] = None
    strict: bool = False
    keep_dtype: bool = False
    carry_state: bool = False
    deterministic: bool = False
    keep: bool = False
    engine: str = "native"

    def __post_init__(self) -> None:
        if self.example is not None:
            object.__setattr__(self, "example", Path(self.example))
        _check_engine(self.engine)
        if self.via is not None and self.via not in ROADS:
            raise UsageError(f"--via {self.via}: unknown", f"--via is {' or '.join(ROADS)}")
        if self.engine == "x2paddle" and self.via == EXPORT:
            raise UsageError("X2Paddle reads ONNX, not what torch.export gives", "leave out --via export")
        super().__post_init__()


# layers of Paddle ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Saving(Converting):
    """What saving a layer takes.

    Attributes:
        method: which of the layer's methods to save.
        format: ``pdmodel``, or ``json`` for the program as Paddle 3 itself writes it.
        output_names: names of the outputs; by default the keys of a dictionary, else Paddle's own.

    Raises:
        UsageError: the format does not exist, or it leaves the outputs their names.
    """

    method: str = "forward"
    format: str = "pdmodel"
    output_names: Optional[Sequence[str]] = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"unknown format {self.format!r}", f"formats are {', '.join(FORMATS)}")
        if self.format == "json" and self.output_names is not None:
            raise UsageError("--output-names: a .json is left as Paddle writes it", "--format pdmodel has names")
        super().__post_init__()


@dataclass(frozen=True)
class ToStatic(Saving):
    """Of ``to_static``.

    Attributes:
        arguments: of the factory.
        params: a ``.pdparams`` file with the layer's weights.
        strict: whether the weights must be exactly those of the layer.
        trust: unpickle weights without restrictions, which can run code hidden in them.
        folder: the output is a folder to make, with ``inference.pdmodel`` and so on in it, not a prefix.
    """

    arguments: Arguments = ()
    params: Optional[PathLike] = None
    strict: bool = True
    trust: bool = False
    folder: bool = False


@dataclass(frozen=True)
class Transplant(FromTorch, Saving):
    """Of ``torch2paddle`` with ``into``.

    Attributes:
        rules: sets of rules (``bert-paddlenlp``) and YAML files; by default the shipped set that fits.
        into_arguments: of the layer's factory.
    """

    rules: Union[PathLike, Sequence[PathLike]] = ()
    into_arguments: Arguments = ()
    format: str = field(default="pdmodel", init=False)


# convert ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convert(Converting):
    """Of ``convert``; what the conversion of the source takes is passed on to it.

    Attributes:
        inputs, weights, arguments, task, trust, constants, carry_state, deterministic: as ``onnx2paddle``, ``torch2paddle`` and ``to_static`` take
            them.
        framework: ``torch`` or ``paddle``: what a factory makes, where its file does not tell.
        feed_alias, fetch_alias: variable → what clients call it.
        pipeline: also write ``OUT/service/``, a pipeline service like this, see
            :func:`mconv.serving.scaffold.options_from`; ``{}``: as usual.
        keep_inference: also leave the inference model that lies between, in ``OUT/inference/``.
    """

    inputs: Sequence[str] = ()
    weights: Optional[PathLike] = None
    arguments: Arguments = ()
    task: Optional[str] = None
    trust: bool = False
    framework: Optional[str] = None
    feed_alias: Optional[Mapping[str, str]] = None
    fetch_alias: Optional[Mapping[str, str]] = None
    pipeline: Optional[Mapping[str, Any]] = None
    keep_inference: bool = False
    constants: Arguments = ()
    carry_state: bool = False
    deterministic: bool = False
