"""Of what goes from a Paddle model to a Paddle model, and of looking at models: ``downgrade``, ``half``, ``shapes``, ``inspect``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Optional, Union

from mconv.errors import UsageError
from mconv.options.declare import CONVERSION, INPUT, OUTPUT, VERIFICATION, again, argument, one_of, option
from mconv.options.layers import OutputNames
from mconv.options.proving import (
    Bounded,
    Feeds,
    Force,
    ForTarget,
    Halving,
    Paged,
    PathLike,
    Progress,
    Proving,
    Runs,
    Shaped,
    Targeted,
    TargetLike,
    finite_tolerance,
)

MODEL = "A Paddle model: a folder, a .pdmodel or __model__, or a prefix."
FILES = "The folder for inference.pdmodel and inference.pdiparams."


class Downgrade(OutputNames, Halving, Targeted, Force, Bounded, Paged):
    """Of ``downgrade``."""

    path: PathLike = argument(
        help="The model: a folder, a file (.json, .pdmodel, __model__) or a prefix of them.", kw_only=False
    )
    out: PathLike = argument(metavar="OUT", help=FILES, kw_only=False)
    output_names: Optional[Sequence[str]] = again(OutputNames, "output_names", metavar="A,B,…")
    name: str = option(default="inference", help="What the two files are called.", group=OUTPUT, recipe=False)
    link: bool = option(
        default=False, help="Hard-link the parameters instead of copying them.", group=OUTPUT, recipe=False
    )


class Half(ForTarget, Feeds, Runs, Force, Bounded, Paged, Progress):
    """Of ``half``.

    Raises:
        UsageError: *dtype* or *io* does not exist.
    """

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv half out/inference.pdmodel out16 --calibrate real.npz",
        CONVERSION: "mconv half out/inference.pdmodel out16 --dtype bf16 --keep softmax",
        VERIFICATION: "mconv half out/inference.pdmodel out16 --tolerance 1e-2",
    }

    path: PathLike = argument(help=MODEL, kw_only=False)
    out: PathLike = argument(metavar="OUT", help=FILES, kw_only=False)
    dtype: str = option(default="fp16", help="fp16 or bf16.", group=CONVERSION, choices=("fp16", "bf16"))
    target: Optional[TargetLike] = again(
        Targeted,
        "target",
        default=None,
        help="The Paddle that will load it: 2.3, 2.6, 3.  [default: the program's]",
    )
    keep: Sequence[str] = option(
        default=(),
        metavar="NAME",
        help="An operator or a variable that stays float32. Repeatable.",
        group=CONVERSION,
        schema={"description": "Operators and variables that stay float32."},
    )
    io: str = option(
        default="float",
        help="float or half: the type of inputs and outputs.",
        group=CONVERSION,
        choices=("float", "half"),
        schema={"description": "The type of inputs and outputs."},
    )
    calibrate: Optional[PathLike] = option(
        default=None,
        metavar="X.NPZ",
        help="Real inputs: what leaves the range or loses too much stays float32.",
        group=INPUT,
        schema={
            "type": "boolean",
            "description": "What leaves the range or loses too much on verification.data stays float32.",
        },
    )
    weights_only: bool = option(
        default=False, help="Half the size, computed in float32: it runs everywhere.", group=CONVERSION
    )
    verify: Optional[bool] = again(Proving, "verify")
    feeds: Optional[PathLike] = again(Feeds, "feeds", help="Inputs to prove it with, instead of random ones.")
    inputs: Sequence[str] = again(Shaped, "inputs")
    tolerance: Optional[float] = option(
        default=None,
        help="The largest error, as a part of an output's largest value.  [default: 5e-3; bf16: 4e-2]",
        group=VERIFICATION,
        schema={"exclusiveMinimum": 0},
    )
    runtime: Optional[str] = again(
        Runs, "runtime", help="Where to emulate it: a managed runtime or `current`.  [default: the target's]"
    )
    timeout: float = again(Runs, "timeout", help="For running the model.")
    name: str = option(default="inference", help="What the two files are called.", cli=False, recipe=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is not None:
            finite_tolerance(self.tolerance)
        one_of("--dtype", self.dtype, ("fp16", "bf16"))
        one_of("--io", self.io, ("float", "half"))
        if self.weights_only and self.calibrate is not None:
            raise UsageError(
                "--calibrate: with --weights-only all is computed in float32", "--keep NAME keeps a weight"
            )
        if self.weights_only and self.io != "float":
            raise UsageError("--io half: with --weights-only all is computed in float32", "give one of the two")

    @property
    def must_verify(self) -> bool:
        """Whether a run is asked for, so that a runtime that is not there is an error."""
        return bool(self.verify) or any(said is not None for said in (self.calibrate, self.feeds, self.runtime))


class Shapes(Feeds, Targeted, Runs, Force, Bounded, Progress):
    """Of ``shapes``."""

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv shapes out --min 'x[1,3,32,32]' --opt 'x[1,3,48,320]' --max 'x[8,3,48,1024]'",
        OUTPUT: "mconv shapes out --inputs real.npz --out shapes.pbtxt",
    }

    path: PathLike = argument(help=MODEL, kw_only=False)
    out: Optional[PathLike] = option(
        default=None,
        flags=["--out", "-o"],
        metavar="FILE",
        help="Write it there.  [default: print it]",
        group=OUTPUT,
        kw_only=False,
        recipe=False,
    )
    minimum: Sequence[str] = option(
        default=(),
        flags=["--min"],
        metavar="'NAME[1,3,32,32]'",
        help="The least shape of an input. Repeatable; again for a profile more.",
        group=INPUT,
    )
    optimum: Sequence[str] = option(
        default=(),
        flags=["--opt"],
        metavar="'NAME[1,3,32,32]'",
        help="The usual shape of an input. Repeatable; again for a profile more.",
        group=INPUT,
    )
    maximum: Sequence[str] = option(
        default=(),
        flags=["--max"],
        metavar="'NAME[1,3,32,32]'",
        help="The largest shape of an input. Repeatable; again for a profile more.",
        group=INPUT,
    )
    feeds: Optional[PathLike] = again(Feeds, "feeds", help="Real inputs, in several sets, instead.", group=INPUT)
    form: Optional[str] = option(
        default=None,
        help="paddle, python, serving, triton, paddlex or trtexec.  [default: by the name of --out]",
        group=OUTPUT,
        recipe=False,
    )
    trt_inputs: bool = option(
        default=False, help="Only the tensors that TensorRT's parts of the program are fed.", group=OUTPUT
    )
    runtime: Optional[str] = again(
        Runs,
        "runtime",
        help="Where to run it: a managed runtime or `current`.  [default: the target's]",
        group=CONVERSION,
    )
    timeout: float = again(Runs, "timeout", help="For running the model.", group=CONVERSION)
    force: bool = again(Force, "force", help="Replace what is there.")


class Inspect(Bounded):
    """Of ``inspect``."""

    path: PathLike = argument(
        help="A Paddle model of any era (folder, file or prefix), a serving folder, or an .onnx file.", kw_only=False
    )
    variables: bool = option(default=False, flags=["--vars"], help="List every variable.")
    text: bool = option(default=False, help="Print the whole program.")
    fusions: Optional[str] = option(
        default=None,
        metavar="RUNTIME",
        help="Load it in a managed runtime or `current`: which passes match there.",
    )
    onednn: bool = option(default=True, help="With --fusions: let Paddle use oneDNN.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.onednn and self.fusions is None:
            raise UsageError("--no-onednn belongs to --fusions", "name a runtime: --fusions paddle-2.6.2")


class Check(Bounded):
    """Of ``check``."""

    path: PathLike = argument(
        metavar="OUT", help="A converted folder, its provenance.json, or a prefix such as ./pb_model.", kw_only=False
    )
    sources: Sequence[PathLike] = option(
        default=(),
        flags=["--source"],
        metavar="PATH",
        help="The source model: compare it, too. Repeatable where there were several.",
    )
    limit: Optional[Union[str, int]] = again(Bounded, "limit", cli=False)


class Recognise(Bounded):
    """Of finding out what a source is."""

    source: PathLike = argument(help="What `mconv convert` takes.", kw_only=False)
    framework: Optional[str] = option(
        default=None, help="torch or paddle: what a factory makes.  [default: told by its file]", kw_only=False
    )


class ExternalData(Bounded):
    """Of finding the files that hold an ONNX model's large tensors."""

    path: PathLike = argument(help="The .onnx file.", kw_only=False)
