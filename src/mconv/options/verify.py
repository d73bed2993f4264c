"""Of ``verify``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Optional

from mconv.options.declare import INPUT, REPORT, VERIFICATION, Options, again, argument, option
from mconv.options.proving import Bounded, Feeds, Paged, PathLike, Progress, Runs, Shaped, Tolerated


class Reported(Options):
    """The files for a continuous integration, which the API writes by another function."""

    junit_file: Optional[PathLike] = option(
        default=None, flags=["--junit"], metavar="FILE", help="Write a JUnit XML report.", group=REPORT, recipe=False
    )
    summary_file: Optional[PathLike] = option(
        default=None, flags=["--summary"], metavar="FILE", help="Write a Markdown summary.", group=REPORT, recipe=False
    )


class Opening(Options):
    """How one of the two things that are compared is opened."""

    request: str = option(
        default="key-value",
        metavar="FORM",
        help="How a service is asked: key-value or tensors.",
        group=INPUT,
        recipe=False,
    )
    config: Optional[PathLike] = option(
        default=None,
        metavar="SERVING_CLIENT_CONF.PROTOTXT",
        help="The names that a service takes.  [default: those of the other one]",
        group=INPUT,
        recipe=False,
    )
    trust: bool = option(
        default=False,
        help="Unpickle PyTorch files without restrictions: they can run code.",
        group=INPUT,
        recipe=False,
    )
    onednn: Optional[bool] = option(
        default=None,
        help="Run Paddle with oneDNN.  [default: as it comes]",
        group=VERIFICATION,
    )
    ir_optim: bool = option(default=True, help="Let Paddle optimise the graph.", group=VERIFICATION)


class Verify(Opening, Feeds, Tolerated, Runs, Bounded, Paged, Progress):
    """Of ``verify``."""

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv verify model.onnx out/inference.pdmodel --input 'x[1,3,?,640]'",
        VERIFICATION: "mconv verify model.onnx out/inference.pdmodel --layers --runtime paddle-2.3.2",
        REPORT: "mconv verify model.onnx out/inference.pdmodel --junit verify.xml --reduce smallest",
    }

    a: PathLike = argument(
        metavar="A",
        typed=str,
        help="The reference: a model file or folder of any kind, or a service: http://HOST/NAME/prediction.",
        kw_only=False,
    )
    b: PathLike = argument(metavar="B", typed=str, help="The other: the same kinds.", kw_only=False)
    runtime: Optional[str] = again(
        Runs,
        "runtime",
        help="Where Paddle models run: a managed runtime or `current`.  [default: the program's Paddle]",
        recipe=True,
    )
    runtime_a: Optional[str] = option(default=None, help="The same for A alone.", group=VERIFICATION, recipe=False)
    inputs: Sequence[str] = again(Shaped, "inputs")
    feeds: Optional[PathLike] = again(Feeds, "feeds", help="Inputs, instead of random ones.", group=INPUT)
    layers: bool = option(
        default=False, help="Find the first tensor inside that differs (by its name in both).", group=VERIFICATION
    )
    reduce: Optional[PathLike] = option(
        default=None,
        metavar="FOLDER",
        help="Where they differ, write the smallest parts of both that do, with their inputs.",
        group=REPORT,
        recipe=False,
    )
    timeout: float = again(Runs, "timeout", help="For loading and running one model, or one request.")
