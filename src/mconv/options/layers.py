"""Of ``to-static``, and of saving a layer of Paddle in general."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional

from mconv.errors import UsageError
from mconv.options.declare import CONVERSION, INPUT, OUTPUT, VERIFICATION, Options, again, argument, option
from mconv.options.parsing import names
from mconv.options.proving import Arguments, Converting, PathLike, Proving

FORMATS = ("pdmodel", "json")


class OutputNames(Options):
    output_names: Optional[Sequence[str]] = option(
        default=None,
        metavar="A,B",
        typed=str,
        parse=names,
        help="Names for the outputs, in order.",
        group=OUTPUT,
    )


class Saving(OutputNames, Converting):
    """What saving a layer takes."""

    method: str = option(default="forward", help="The method of the layer to save.", group=INPUT)

    @property
    def form(self) -> str:
        """One of :data:`FORMATS`."""
        return FORMATS[0]


class ToStatic(Saving):
    """Of ``to-static``.

    Raises:
        UsageError: the format does not exist, or it leaves the outputs their names.
    """

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv to-static net.py:make out --weights net.pdparams -i 'x:float32[?,8]'",
        CONVERSION: "mconv to-static net.py:make out --target 2.6",
        OUTPUT: "mconv to-static net.py:make deploy/pb_model.pdmodel --output-names score",
        VERIFICATION: "mconv to-static net.py:make out --inputs real.npz --runtime paddle-2.3.2",
    }

    layer: Any = argument(
        metavar="SPEC",
        typed=str,
        help="pkg.module:factory, path/to/file.py:factory, or the folder of a PaddleNLP model.",
        kw_only=False,
    )
    input_spec: Optional[Sequence[Any]] = option(
        default=None,
        flags=["--input", "-i"],
        metavar="'NAME:int64[?,128]'",
        typed=list[str],
        help="An input: a parameter of the method, its type and shape; ? stays open. Repeatable.  [default: guessed]",
        group=INPUT,
        recipe=False,
        kw_only=False,
    )
    path: Optional[PathLike] = argument(
        default=None,
        metavar="OUT",
        help="The folder for inference.pdmodel, inference.pdiparams, report.json; or a name ending in .pdmodel "
        "or .json for the program, with the others beside it.",
        kw_only=False,
    )
    params: Optional[PathLike] = option(
        default=None,
        flags=["--weights"],
        metavar="X.PDPARAMS",
        help="The layer's weights, as paddle.save wrote them.",
        group=INPUT,
        recipe=False,
    )
    strict: bool = option(default=True, help="Whether the weights must be exactly the layer's.", group=INPUT)
    arguments: Arguments = option(
        default=(),
        flags=["--arg"],
        metavar="KEY=VALUE",
        typed=list[str],
        help="An argument of the factory, a Python literal. Repeatable.",
        group=INPUT,
        recipe=False,
    )
    trust: bool = option(
        default=False, help="Unpickle weights without restrictions: they can run code.", group=INPUT, recipe=False
    )
    format: str = option(
        default="pdmodel",
        help="pdmodel, or json: as Paddle 3 writes it.  [default: pdmodel]",
        group=OUTPUT,
        recipe=False,
    )
    output_names: Optional[Sequence[str]] = again(
        OutputNames, "output_names", help="Names for the outputs.  [default: keys of a dictionary]"
    )
    folder: bool = option(
        default=False,
        help="Whether the output is a folder to make, with inference.pdmodel and so on in it, not a prefix.",
        cli=False,
        recipe=False,
    )
    verify: Optional[bool] = again(Proving, "verify", help="Run the layer and the result, and compare.")

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"unknown format {self.format!r}", f"formats are {', '.join(FORMATS)}")
        if self.format == "json" and self.half is not None:
            raise UsageError("--half: Paddle 3 makes half precision of a .json itself", "--format pdmodel")
        if self.format == "json" and self.output_names is not None:
            raise UsageError("--output-names: a .json is left as Paddle writes it", "--format pdmodel has names")
        super().__post_init__()

    @property
    def form(self) -> str:
        return self.format
