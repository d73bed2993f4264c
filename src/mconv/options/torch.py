"""Of ``torch2paddle``, and of putting PyTorch's weights into a layer of Paddle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

from mconv.errors import UsageError
from mconv.options.declare import (
    CONVERSION,
    INPUT,
    INTO,
    OUTPUT,
    VERIFICATION,
    Options,
    again,
    argument,
    option,
    refuse,
)
from mconv.options.layers import Saving
from mconv.options.onnx import ENGINES, check_engine
from mconv.options.parsing import names_of_all
from mconv.options.proving import Arguments, Converting, PathLike

EXPORT, ONNX = "export", "onnx"
ROUTES = (EXPORT, ONNX)


class Traced(Options):
    """What becomes of a state and of random numbers."""

    accept_frozen: bool = option(
        default=False,
        help="Take a decision by the values of the inputs as for the inputs traced with, where no exporter keeps it.",
        group=CONVERSION,
    )
    carry_state: bool = option(
        default=False,
        help="Make inputs and outputs of the buffers that forward changes, such as a stream's cache.",
        group=CONVERSION,
    )
    deterministic: bool = option(
        default=False,
        help="Take the means of random numbers that forward draws (zeros for randn), in the reference and the result.",
        group=CONVERSION,
    )


class FromTorch(Options):
    """What opening a PyTorch model takes; see :func:`mconv.torch.sources.open_source`."""

    inputs: Sequence[str] = option(
        default=(),
        flags=["--input", "-i"],
        metavar="'NAME:int64[batch,seq]'",
        help="An input of forward, its type and shape; a word or ? stays open. Repeatable.  [default: the model's "
        "own, or guessed]",
        group=INPUT,
        recipe=False,
    )
    weights: Optional[PathLike] = option(
        default=None,
        flags=["--weights", "-w"],
        metavar="FILE",
        help="For a factory: a state dict in .pt, .pth, .bin, .safetensors, or the index of sharded ones.",
        group=INPUT,
        recipe=False,
    )
    arguments: Arguments = option(
        default=(),
        flags=["--arg"],
        metavar="KEY=VALUE",
        typed=list[str],
        help="An argument of the factory, a Python literal. Repeatable.",
        group=INPUT,
        recipe=False,
    )
    task: Optional[str] = option(
        default=None,
        help="For a Hugging Face folder: text-classification, fill-mask, … or a class of transformers.",
        group=INPUT,
    )
    partial: bool = option(
        default=False,
        help="Accept weights that are not exactly those of the module or layer.",
        group=INPUT,
    )
    trust: bool = option(
        default=False,
        help="Unpickle without restrictions, and run code that a folder brings: it can do anything.",
        group=INPUT,
        recipe=False,
    )

    def opening(self) -> dict[str, Any]:
        """For :func:`mconv.torch.sources.open_source`."""
        return {
            "weights": self.weights,
            "arguments": self.arguments,
            "task": self.task,
            "partial": self.partial,
            "trust": self.trust,
        }


class IntoLayer(Options):
    """Which layer of Paddle gets the weights."""

    rules: Union[PathLike, Sequence[PathLike]] = option(
        default=(),
        metavar="NAME|FILE",
        typed=list[str],
        help="With --into: which tensor goes where; bert-paddlenlp, or a YAML file. Repeatable.  [default: the "
        "set that fits]",
        group=INTO,
        schema={
            "type": ["string", "object", "array"],
            "minLength": 1,
            "additionalProperties": False,
            "required": ["path"],
            "properties": {"path": {"type": "string", "minLength": 1}, "sha256": {"$ref": "#/$defs/sha256"}},
            "items": {"$ref": "#/$defs/rules"},
            "description": "With `into`: which tensor goes where: a set of mconv's own (bert-paddlenlp), a YAML file, "
            "{path, sha256} of one at an address, or several of them. By default the set that fits.",
        },
    )
    into_arguments: Arguments = option(
        default=(),
        flags=["--into-arg"],
        metavar="KEY=VALUE",
        typed=list[str],
        help="An argument of --into's factory. Repeatable.",
        group=INTO,
        schema={"type": "object", "description": "Keyword arguments of the factory of `into`."},
    )


class Torch2Paddle(IntoLayer, FromTorch, Traced, Converting):
    """Of ``torch2paddle``, with and without *into*.

    Raises:
        UsageError: *engine* or *via* does not exist, X2Paddle shall read what ``torch.export`` gives, or an option is
            not for the way that is taken, with *into* or without.
    """

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv torch2paddle net.py:make out -w net.pt -i 'x:float32[n,3,224,224]'",
        INTO: "mconv torch2paddle bert.safetensors out --into bert.py:make",
        CONVERSION: "mconv torch2paddle model.pt2 out --target 2.6 --strict",
        VERIFICATION: "mconv torch2paddle model.pt2 out --inputs real.npz --runtime paddle-2.3.2",
    }

    model: Any = argument(
        typed=str,
        help="A .pt2 or TorchScript file, pkg.module:factory, path/to/file.py:factory, the folder of a Hugging Face "
        "or sentence-transformers model, or the name of a timm model.",
        kw_only=False,
    )
    out: PathLike = argument(
        metavar="OUT", help="The folder for inference.pdmodel, inference.pdiparams, report.json.", kw_only=False
    )
    example: Optional[PathLike] = option(
        default=None,
        metavar="X.NPZ",
        help="Values to trace with, instead of random ones.",
        group=INPUT,
        recipe=False,
    )
    outputs: Optional[Sequence[str]] = option(
        default=None,
        flags=["--output", "-o"],
        metavar="NAME",
        parse=names_of_all,
        help="An output to keep; repeatable.  [default: all]",
        group=OUTPUT,
    )
    via: Optional[str] = option(
        default=None,
        help="export, or onnx: through PyTorch's ONNX exporters.  [default: export, onnx where it fails]",
        group=CONVERSION,
        choices=ROUTES,
    )
    strict: bool = option(
        default=False,
        help="Fail where the result is not the whole model: torch fixes a dimension that was to stay open, a decision "
        "is taken while tracing, nothing reads an input, forward keeps a state.",
        group=CONVERSION,
    )
    keep_dtype: bool = option(
        default=False,
        help="Keep float16 and bfloat16, instead of carrying them as float32.",
        group=CONVERSION,
    )
    keep: bool = option(
        default=False,
        help="Leave the intermediate graph in OUT: intermediate.pt2 or intermediate.onnx.",
        group=OUTPUT,
        recipe=False,
    )
    engine: str = option(
        default="native",
        help="native, or x2paddle: X2Paddle in its managed runtime, which is given PyTorch's ONNX export, as a "
        "second opinion.",
        group=CONVERSION,
        choices=ENGINES,
    )
    into: Any = option(
        default=None,
        metavar="SPEC",
        typed=str,
        help="Put the weights into a paddle.nn.Layer instead of converting the graph: pkg.module:factory, "
        "path/to/file.py:factory, a PaddleNLP folder. MODEL may then be a state dict alone.",
        group=INTO,
        schema={
            "type": "string",
            "minLength": 1,
            "description": "Put the weights into a paddle.nn.Layer instead of converting the graph: file.py:factory, "
            "pkg.module:factory, a PaddleNLP folder. The source may then be a state dict alone.",
        },
    )
    method: str = again(Saving, "method", cli=False, recipe=False)
    output_names: Optional[Sequence[str]] = again(Saving, "output_names", cli=False, recipe=False)

    def __post_init__(self) -> None:
        check_engine(self.engine)
        if self.via is not None and self.via not in ROUTES:
            raise UsageError(f"--via {self.via}: unknown", f"--via is {' or '.join(ROUTES)}")
        if self.engine == "x2paddle" and self.via == EXPORT:
            raise UsageError("X2Paddle reads ONNX, not what torch.export gives", "leave out --via export")
        super().__post_init__()
        if self.into is None:
            refuse(
                [d for d in self.stated_options() if d.name in _OF_A_LAYER],
                "only with --into",
            )
        else:
            refuse(self.foreign(Transplant), "not with --into, which converts no graph", "leave it out")

    @property
    def example_file(self) -> Optional[Path]:
        """*example*, which is a file."""
        return None if self.example is None else Path(self.example)

    def transplanting(self) -> Transplant:
        """What putting the weights into *into* takes."""
        return Transplant(**self.shared(Transplant))


class Transplant(IntoLayer, FromTorch, Saving):
    """Of putting a PyTorch model's weights into *into*, a ``paddle.nn.Layer`` or what makes it."""

    model: Any = argument(help="The weights, or the model that has them.", kw_only=False)
    into: Any = argument(help="The layer, or what makes it.", kw_only=False)
    out: PathLike = argument(help="The folder to make.", kw_only=False)


_OF_A_LAYER = ("rules", "into_arguments", "method", "output_names")
