"""Of ``edit``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional, Union

from mconv.errors import UsageError
from mconv.options.declare import CONVERSION, OUTPUT, again, argument, option
from mconv.options.onnx import Constants
from mconv.options.parsing import aliases, names_of_all
from mconv.options.proving import Arguments, Feeds, ForTarget, PathLike, Proving, Shaped, Targeted, TargetLike

PADDLE_WEIGHTS = ("combined", "fluid", "separate", "inside")
ONNX_WEIGHTS = ("inside", "external")
NAMES = {"type": "string", "minLength": 1}  # in a recipe
_SEVERAL = "Several: again, or with commas."
_OTHERS = ("verify", "runtime", "timeout", "feeds", "tolerance", "force", "limit", "progress", "sizes", "target")


class Edit(ForTarget, Proving):
    """Of ``edit``; names are the source's, or those by which clients of a serving folder know its inputs and outputs.

    Raises:
        UsageError: nothing is to be done, or two options say the same thing differently.
    """

    examples = {CONVERSION: "mconv edit model.onnx small.onnx --dim batch=1 --dim length=128 --fold"}

    path: PathLike = argument(
        help="The model: an .onnx file, or of Paddle a folder, a file, or a prefix (any era).", kw_only=False
    )
    out: PathLike = argument(
        metavar="OUT", help="What to make: an .onnx file of an ONNX model, else a folder.", kw_only=False
    )
    dims: Union[Mapping[str, int], Sequence[str]] = option(
        default=(),
        flags=["--dim"],
        metavar="NAME=SIZE",
        typed=list[str],
        help="Fix a size: by its name in ONNX, as batch, length, height, width, or as INPUT.AXIS. Repeatable.",
        group=CONVERSION,
        schema={
            "type": "object",
            "additionalProperties": {"type": "integer", "minimum": 1},
            "description": "Sizes that become numbers: {batch: 1, length: 128, x.2: 640}.",
        },
    )
    constants: Arguments = again(
        Constants,
        "constants",
        help="Give an input one value for good. Repeatable.",
        group=CONVERSION,
        schema={"type": "object", "description": "Inputs that have one value for good: {sr: 16000}."},
    )
    outputs: Optional[Sequence[str]] = option(
        default=None,
        metavar="NAME",
        typed=list[str],
        parse=names_of_all,
        help=f"End there: any tensors; what only others need goes. {_SEVERAL}",
        group=CONVERSION,
        schema={"items": NAMES, "minItems": 1, "description": "Where the result ends."},
    )
    inputs: Optional[Sequence[str]] = option(
        default=None,
        metavar="NAME",
        typed=list[str],
        parse=names_of_all,
        help=f"Begin there: any tensors; what computes them goes. {_SEVERAL}",
        group=CONVERSION,
        schema={"items": NAMES, "minItems": 1, "description": "Where the result begins."},
    )
    add_outputs: Sequence[str] = option(
        default=(),
        flags=["--add-output"],
        metavar="NAME",
        help="One output more. Repeatable.",
        group=CONVERSION,
        schema={"items": NAMES},
    )
    drop_outputs: Sequence[str] = option(
        default=(),
        flags=["--drop-output"],
        metavar="NAME",
        help="One output less. Repeatable.",
        group=CONVERSION,
        schema={"items": NAMES},
    )
    drop_inputs: Sequence[str] = option(
        default=(),
        flags=["--drop-input"],
        metavar="NAME",
        help="One input less, which no output needs. Repeatable.",
        group=CONVERSION,
        schema={"items": NAMES},
    )
    without_nms: bool = option(
        default=False,
        help="End a detector before it suppresses boxes: boxes and scores.",
        group=CONVERSION,
        schema={"description": "End a detector before it suppresses boxes."},
    )
    renames: Union[Mapping[str, str], Sequence[str]] = option(
        default=(),
        flags=["--rename"],
        metavar="OLD=NEW",
        typed=list[str],
        help="Rename an input, output, tensor or weight. Repeatable.",
        group=CONVERSION,
        schema={
            "type": "object",
            "additionalProperties": NAMES,
            "description": "Old name: new one.",
        },
    )
    fold: bool = option(
        default=False,
        help="Put numbers in the place of what computes the same in every run.",
        group=CONVERSION,
        schema={"description": "Numbers in the place of what computes the same in every run."},
    )
    opset: Optional[int] = option(
        default=None,
        metavar="NUMBER",
        help="Of an ONNX model: the version of its operators.",
        group=CONVERSION,
        schema={"minimum": 7, "description": "Of an ONNX file, the version of its operators."},
    )
    target: Optional[TargetLike] = again(
        Targeted, "target", default=None, help="Of a .json: the Paddle that will load the .pdmodel.  [default: 3]"
    )
    weights: Optional[str] = option(
        default=None,
        help="Of Paddle: combined (.pdiparams), fluid (__params__), separate, inside; of ONNX: inside, external.  "
        "[default: as they are]",
        group=OUTPUT,
        schema={
            "enum": list(dict.fromkeys([*PADDLE_WEIGHTS, *ONNX_WEIGHTS])),
            "description": "How the weights are stored.",
        },
    )
    sizes: Sequence[str] = again(Shaped, "inputs", help="Shape of a random input to verify with. Repeatable.")
    feeds: Optional[PathLike] = again(
        Feeds, "feeds", flags=("--feeds",), help="Inputs of the source to verify with, instead of random ones."
    )

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs"):
            given = getattr(self, name)
            if given is not None:
                self.settle(name, [n for n in ([given] if isinstance(given, str) else given) if n])
        if any(n.endswith(".npz") for n in self.inputs or ()):
            raise UsageError(
                f"--inputs {', '.join(self.inputs or ())}: tensors to begin at",
                f"{self.feeds_option()} X.NPZ has numbers",
            )
        if self.without_nms and self.outputs is not None:
            raise UsageError("--without-nms and --outputs both say where the result ends", "give one of the two")
        if self.inputs is not None and self.drop_inputs:
            raise UsageError("--inputs and --drop-input both say what the inputs are", "give one of the two")
        if not any(name not in _OTHERS and value for name, value in self.stated().items()) and self.outputs is None:
            raise UsageError("nothing to edit is said", "--dim, --outputs, --rename, … (mconv edit --help)")
        super().__post_init__()

    @property
    def new_names(self) -> dict[str, str]:
        """*renames* as a dictionary.

        Raises:
            UsageError: a text has another form, or gives a name twice.
        """
        return dict(self.renames) if isinstance(self.renames, Mapping) else aliases("--rename", self.renames)

    def said_of_verifying(self) -> dict[str, bool]:
        return {"--input": bool(self.sizes), **super().said_of_verifying()}
