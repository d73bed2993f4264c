"""Of ``bench``: of models in runtimes, and of services under load."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Optional, Union

from mconv.errors import UsageError
from mconv.options.declare import INPUT, LOAD, REPORT, VERIFICATION, again, argument, option
from mconv.options.proving import ABOVE_ZERO, Bounded, Paged, PathLike, Runs, Tolerated, logged

ENGINES = ("onnxruntime", "openvino")


class Measuring(Tolerated, Bounded):
    """What both take.

    Raises:
        UsageError: a number is below 1, or inputs are both given and made up.
    """

    rounds: int = option(default=5, help="In how many turns, one source after the other.", group=LOAD)
    warmup: int = option(
        default=3, help="Runs, or requests of each thread, before any is timed.", group=LOAD, schema={"minimum": 0}
    )
    shapes: Sequence[str] = option(
        default=(),
        flags=["--shape"],
        metavar="'NAME[8,128]'",
        help="Sizes of made-up inputs; each is measured by itself. Repeatable.",
        group=INPUT,
    )
    tolerance: Optional[float] = again(
        Tolerated, "tolerance", help="How far a right answer may be off, absolute and relative.  [default: 1e-5, 1e-4]"
    )
    timeout: float = again(Runs, "timeout", help="For loading a model, and for one request.")
    limit: Optional[Union[str, int]] = again(Bounded, "limit", cli=False)
    progress: Callable[[str], Any] = option(default=logged, help="Is told what is being done.", cli=False)

    def at_least_one(self, **numbers: int) -> None:
        """Raises UsageError: a number is below 1."""
        for name, number in numbers.items():
            if number < 1:
                raise UsageError(f"--{name} {number}: at least 1")

    def one_source(self, **given: Any) -> None:
        """Raises UsageError: more than one of these options, by their names, says what the inputs are."""
        flags = [f"--{name}" for name, value in given.items() if value]
        if len(flags) > 1:
            raise UsageError(f"{' and '.join(flags)}: only one of them can say what is sent")
        if self.shapes and given.get("inputs"):
            raise UsageError("--shape: sizes of made-up inputs, where --inputs gives them")


class BenchModels(Measuring):
    """Of ``bench`` with models."""

    models: Sequence[PathLike] = argument(
        metavar="SOURCE...",
        help=".onnx files and Paddle models of any era, of the same inputs and outputs.",
        kw_only=False,
    )
    threads: int = option(
        default=1, help="Of a framework (default 1), or requests to a service at a time (default 20).", group=LOAD
    )
    loops: int = option(
        default=50, help="Timed runs (default 50), or requests of each thread (default 200).", group=LOAD
    )
    feeds: Optional[PathLike] = option(
        default=None, flags=["--inputs"], metavar="X.NPZ", help="Inputs, instead of made-up ones.", group=INPUT
    )
    runtimes: Sequence[str] = option(
        default=(),
        flags=["--runtime"],
        help="Models: a managed runtime, `current`, `onnxruntime` or `openvino`, and no other. Repeatable.  [default: all that "
        "are installed]",
        group=VERIFICATION,
    )
    engines: Sequence[str] = option(
        default=ENGINES,
        help="Where *runtimes* names none of them: what runs ONNX models, and OpenVINO Paddle's: onnxruntime, openvino.",
        cli=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_one(threads=self.threads, warmup=self.warmup, loops=self.loops, rounds=self.rounds)
        self.one_source(inputs=self.feeds)


class BenchServices(Measuring):
    """Of ``bench`` with services."""

    urls: Sequence[str] = argument(
        metavar="SOURCE...", help="[LABEL=]http://HOST:PORT/SERVICE/prediction, grpc://HOST:PORT, …", kw_only=False
    )
    threads: int = again(BenchModels, "threads", default=20)
    loops: int = again(BenchModels, "loops", default=200)
    send: Optional[str] = option(
        default=None, metavar="KIND", help="Services: make up texts, images or tensors.", group=INPUT
    )
    texts: Optional[PathLike] = option(
        default=None, metavar="FILE", help="Services: send its lines, one text in a request.", group=INPUT
    )
    images: Sequence[PathLike] = option(
        default=(), flags=["--image"], metavar="FILE", help="Services: send a picture. Repeatable.", group=INPUT
    )
    inputs: Optional[PathLike] = again(BenchModels, "feeds")
    model: Optional[str] = option(
        default=None, metavar="MODEL", help="Services: make up the inputs of this model.", group=INPUT
    )
    body: Optional[PathLike] = option(
        default=None,
        metavar="FILE.JSON",
        help='Services: send this JSON, with "${text}", "${image}", "${NAME}" filled in.',
        group=INPUT,
    )
    request: Optional[str] = option(
        default=None,
        metavar="FORM",
        help="Services: key-value, tensors, open-inference, torchserve, tensorflow-serving or template; by default "
        "as the path says.",
        group=INPUT,
    )
    ignored: Sequence[str] = option(
        default=(),
        flags=["--ignore"],
        metavar="NAME",
        help="Services: a field of the answers that may differ. Repeatable.",
        group=VERIFICATION,
    )
    remote: bool = option(
        default=False,
        flags=["--allow-remote"],
        help="Services: put load on another machine than this one.",
        group=LOAD,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least_one(threads=self.threads, loops=self.loops, rounds=self.rounds)
        self.one_source(texts=self.texts, image=self.images, inputs=self.inputs, model=self.model)
        own = "texts" if self.texts else "images" if self.images else "tensors" if self.inputs or self.model else None
        if self.send and own and self.send != own:
            raise UsageError(f"--send {self.send}: other options say that {own} are sent")


class Judged(Paged):
    """What makes a measurement a failure, and the files for it, which the API writes by functions of their own."""

    max_p99: Optional[float] = option(
        default=None,
        metavar="MS",
        help="Fail where the 99th percentile is above.",
        group=REPORT,
        schema=ABOVE_ZERO,
    )
    min_tps: Optional[float] = option(
        default=None,
        metavar="N",
        help="Fail where right answers a second are fewer.",
        group=REPORT,
        schema=ABOVE_ZERO,
    )
    plot: Optional[PathLike] = option(default=None, metavar="X.SVG|PNG", help="Write the figure.", group=REPORT)


EXAMPLES: Mapping[str, str] = {
    INPUT: "mconv bench model.onnx out/ --shape 'x[1,3,640,640]'",
    LOAD: "mconv bench http://127.0.0.1:18082/model/prediction --threads 8 --loops 100",
    VERIFICATION: "mconv bench model.onnx out/ --runtime paddle-2.3.2 --runtime paddle-2.6.2",
    REPORT: "mconv bench http://127.0.0.1:18082/model/prediction --max-p99 50 --junit bench.xml",
}


class Bench(Judged, BenchServices, BenchModels):
    """All of it, for the command line, which sees by the sources what it is."""

    examples: ClassVar[Mapping[str, str]] = EXAMPLES
