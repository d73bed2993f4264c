"""Of ``onnx2paddle`` and ``to-onnx``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from mconv.errors import UsageError
from mconv.options.declare import CONVERSION, INPUT, Options, again, argument, option
from mconv.options.proving import Arguments, Converting, Force, PathLike, Proving, Runs, Shaped

ENGINES = ("native", "x2paddle")
ONNX_ENGINES = ("mconv", "paddle2onnx")
PROFILES = ("tensorrt", "rknn", "ascend", "ncnn", "mnn")  # mconv.exporters.onnx.profiles
DEFAULT_OPSET = 13
OPSETS = (7, 20)  # that paddle2onnx 2.1 writes


def check_engine(engine: str) -> None:
    """Raises UsageError: there is no such engine."""
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}", f"engines are {', '.join(ENGINES)}")


class Constants(Options):
    constants: Arguments = option(
        default=(),
        flags=["--const"],
        metavar="NAME=VALUE",
        typed=list[str],
        help="Give an input of an ONNX file one value for good: sr=16000. Repeatable.",
        group=INPUT,
        schema={"type": "object", "description": "Inputs of the ONNX file that have one value for good: {sr: 16000}."},
    )


class Onnx2Paddle(Constants, Converting):
    """Of ``onnx2paddle``.

    Raises:
        UsageError: *engine* does not exist, or does not know *constants*.
    """

    model: PathLike = argument(help="The .onnx file; external data beside it is found.", kw_only=False)
    out: PathLike = argument(
        metavar="OUT", help="The folder for inference.pdmodel, inference.pdiparams, report.json.", kw_only=False
    )
    inputs: Sequence[str] = option(
        default=(),
        flags=["--input", "-i"],
        metavar="'NAME[1,3,?,640]'",
        help="Another shape for an input; ? stays open. Repeatable.",
        group=INPUT,
        recipe=False,
    )
    engine: str = option(
        default="native",
        help="native, or x2paddle: X2Paddle in its managed runtime, as a second opinion.",
        group=CONVERSION,
        choices=ENGINES,
    )
    plugins: Sequence[PathLike] = option(
        default=(),
        flags=["--plugin"],
        metavar="MY_OPS.PY",
        help="Converters of your own; repeatable.",
        group=CONVERSION,
    )
    timeout: float = again(Runs, "timeout", help="For each run of either model, or X2Paddle.")

    def __post_init__(self) -> None:
        check_engine(self.engine)
        if self.constants and self.engine != "native":
            raise UsageError(f"--const: {self.engine} has no use for it", "leave out --engine")
        super().__post_init__()


class ToOnnx(Proving):
    """Of ``to-onnx``.

    Raises:
        UsageError: the engine does not exist, does not write *opset*, or has no use for *plugins* or *profile*.
    """

    path: PathLike = argument(
        help="The model: a folder, a file, or a prefix (any era of Paddle, .json included).", kw_only=False
    )
    out: PathLike = argument(metavar="OUT.ONNX", help="The file to write; a report is put beside it.", kw_only=False)
    opset: Optional[int] = option(
        default=None,
        metavar="NUMBER",
        help="The version of ONNX's operators; a newer one where it is needed.  [default: 13]",
        group=CONVERSION,
        schema={"minimum": OPSETS[0], "description": "The version of ONNX's operators."},
    )
    profile: Optional[str] = option(
        default=None,
        flags=["--for"],
        metavar="TOOL",
        help="What reads the file next, tensorrt, rknn, ascend, ncnn or mnn: its opset, fixed sizes by --input, no forms that it lacks.",
        group=CONVERSION,
        choices=PROFILES,
        recipe=False,
    )
    engine: str = option(
        default="mconv",
        help="mconv, or paddle2onnx as a second opinion.",
        group=CONVERSION,
        choices=ONNX_ENGINES,
    )
    plugins: Sequence[PathLike] = again(Onnx2Paddle, "plugins", recipe=False)
    inputs: Sequence[str] = again(
        Shaped, "inputs", help="Shape of a random input to verify with; with --for, of the input for good. Repeatable."
    )
    verify: Optional[bool] = again(
        Proving, "verify", help="Run both models and compare.  [default: if onnxruntime is there]"
    )
    runtime: Optional[str] = again(
        Runs,
        "runtime",
        help="Where the Paddle model runs: a managed runtime or `current`.  [default: the program's Paddle]",
    )
    timeout: float = again(Runs, "timeout", help="For the conversion, and for running the Paddle model.")
    force: bool = again(Force, "force", help="Replace what is there.")

    def __post_init__(self) -> None:
        low, high = OPSETS
        if self.engine not in ONNX_ENGINES:
            raise UsageError(f"unknown engine {self.engine!r}", f"engines are {', '.join(ONNX_ENGINES)}")
        if self.engine == "paddle2onnx":
            if self.opset is not None and not low <= self.opset <= high:
                raise UsageError(f"--opset {self.opset}: paddle2onnx writes {low} to {high}")
            if self.plugins or self.profile:
                given = "--plugin" if self.plugins else "--for"
                raise UsageError(f"{given}: paddle2onnx has no use for it", "leave out --engine")
        if self.profile is not None and self.profile not in PROFILES:
            raise UsageError(f"unknown tool {self.profile!r}", f"profiles are {', '.join(PROFILES)}")
        super().__post_init__()

    def said_of_verifying(self) -> dict[str, bool]:
        return {"--input": bool(self.inputs) and self.profile is None, **super().said_of_verifying()}
