"""Of ``convert``, and what of it goes on to the conversion of the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Optional, Union

from mconv.options.aliases import Aliases
from mconv.options.declare import (
    CONVERSION,
    INPUT,
    OUTPUT,
    SERVICE,
    VERIFICATION,
    Declared,
    Options,
    again,
    argument,
    declared,
    option,
)
from mconv.options.layers import ToStatic
from mconv.options.onnx import Constants, Onnx2Paddle
from mconv.options.proving import Arguments, Converting, PathLike
from mconv.options.torch import FromTorch, Torch2Paddle, Traced


class Convert(Aliases, Constants, Traced, Converting):
    """Of ``convert``; what the conversion of the source takes is passed on to it."""

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv convert model.onnx out --input 'x[1,3,?,640]'",
        CONVERSION: "mconv convert model.pt2 out --target 2.6",
        OUTPUT: "mconv convert model.onnx out --feed-alias x=image --fetch-alias y=score",
        VERIFICATION: "mconv convert model.onnx out --inputs real.npz --tolerance 1e-4",
        SERVICE: "mconv convert bert/ out --pipeline --service text --http-port 18082",
    }

    source: Union[PathLike, Sequence[PathLike]] = argument(
        typed=str,
        help="Any model: .onnx, a Paddle model of any era, .pt2, TorchScript, a Hugging Face or PaddleNLP folder, "
        "pkg.module:factory, path/to/file.py:factory.",
        kw_only=False,
    )
    out: PathLike = argument(
        metavar="OUT", help="The folder for serving_server/, serving_client/ and report.json.", kw_only=False
    )
    inputs: Sequence[str] = again(
        FromTorch,
        "inputs",
        metavar="'NAME:int64[batch,128]'",
        help="An input's shape, and its type where the source does not say; a word or ? stays open. Repeatable.",
    )
    weights: Optional[PathLike] = again(FromTorch, "weights", help="For a factory: its weights.")
    arguments: Arguments = again(FromTorch, "arguments")
    framework: Optional[str] = option(
        default=None,
        help="torch or paddle: what a factory makes.  [default: told by its file]",
        group=INPUT,
        schema={"enum": ["torch", "paddle"], "description": "What a factory makes, where its file does not tell."},
    )
    task: Optional[str] = again(FromTorch, "task", help="For a Hugging Face folder, see torch2paddle.")
    trust: bool = again(ToStatic, "trust")
    pipeline: Optional[Mapping[str, Any]] = option(
        default=None,
        help="Also write OUT/service/, a service like this, see `mconv scaffold`; {}: as usual.",
        cli=False,
        recipe=False,
    )
    keep_inference: bool = option(
        default=False,
        help="Also leave the inference model between, in OUT/inference/.",
        group=OUTPUT,
    )

    def foreign_to(self, kind: Optional[type[Options]]) -> list[Declared]:
        """What was said and a source of that kind has no use for: the options of other kinds, and for a Paddle model,
        which is converted by no class, what lies between."""
        of_all = (FromTorch, Constants, Traced)
        names = {d.name for k in of_all for d in declared(k)} - {"inputs", "trust"}
        mine = {d.name for d in declared(kind)} if kind is not None else set()
        mine |= {"weights"} if "params" in mine else set()
        mine |= {"keep_inference"} if kind is not None else set()
        said = self.stated()
        return [
            d
            for d in declared(type(self))
            if d.name in said and d.name in names | {"keep_inference"} and d.name not in mine
        ]

    def of_onnx(self, out: PathLike) -> Onnx2Paddle:
        """What converting the source as an ONNX model into the folder *out* takes."""
        return Onnx2Paddle(**{**self.shared(Onnx2Paddle), "model": self.source, "out": out})

    def of_torch(self, out: PathLike) -> Torch2Paddle:
        """The same of a PyTorch model."""
        return Torch2Paddle(**{**self.shared(Torch2Paddle), "model": self.source, "out": out})

    def of_layer(self, out: PathLike) -> ToStatic:
        """The same of a layer of Paddle."""
        given = {**self.shared(ToStatic), "layer": self.source, "path": out, "input_spec": self.inputs or None}
        return ToStatic(**given, params=self.weights, folder=True)
