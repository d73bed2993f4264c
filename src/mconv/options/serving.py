"""Of ``to-serving``, ``serve`` and ``serve-check``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Optional

from mconv.errors import UsageError
from mconv.options.aliases import Aliases
from mconv.options.declare import (
    CONVERSION,
    INPUT,
    OUTPUT,
    SERVICE,
    VERIFICATION,
    Options,
    again,
    argument,
    option,
)
from mconv.options.proving import ABOVE_ZERO, Bounded, Force, ForTarget, Paged, PathLike, Progress, Targeted, TargetLike

OFFICIAL = "paddle-serving-client"
SERVING_ENGINES = ("native", OFFICIAL)
SAME = "same"
FETCH_ORDERS = ("model", "sorted")


class ToServing(ForTarget, Aliases, Force, Bounded, Paged):
    """Of ``to-serving``.

    Raises:
        UsageError: an order of outputs or an engine does not exist, or an option means nothing to the engine.
    """

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv to-serving ./pb_model --out deploy",
        CONVERSION: "mconv to-serving model.json --out deploy --target 2.6",
        OUTPUT: "mconv to-serving ./pb_model --feed-alias x=image --fetch-order sorted --link",
        SERVICE: "mconv to-serving bert/ --pipeline --service text --http-port 18082",
    }

    no_target: ClassVar[tuple[Any, ...]] = (SAME,)  # which leaves the program alone
    path: PathLike = argument(
        help="The model: a folder, a file, or a prefix such as ./pb_model (any era of Paddle).", kw_only=False
    )
    out: PathLike = option(
        default=".",
        flags=["--out", "-o"],
        metavar="DIR",
        help="Where serving_server/ and serving_client/ are put.",
        group=OUTPUT,
        recipe=False,
    )
    serving_server: PathLike = option(
        default="serving_server", metavar="NAME", help="The server's folder.", group=OUTPUT, recipe=False
    )
    serving_client: PathLike = option(
        default="serving_client", metavar="NAME", help="The client's folder.", group=OUTPUT, recipe=False
    )
    target: TargetLike = again(
        Targeted,
        "target",
        help="The Paddle that will load it: 1.8, 2.3, 2.6, 3; `same` leaves the program alone.",
    )
    fetch_order: str = option(
        default="model",
        help="model: the model's own order of outputs; sorted: by name, as the official tool does.",
        group=OUTPUT,
        recipe=False,
    )
    show: bool = option(default=False, help="Print the configuration and write nothing.", group=OUTPUT, recipe=False)
    link: bool = option(default=False, help="Hard-link the parameters instead of copying them.", group=OUTPUT)
    engine: str = option(
        default="native",
        help="native, or paddle-serving-client: the official package, to compare.",
        group=CONVERSION,
        choices=SERVING_ENGINES,
    )
    provenance: bool = option(
        default=True, help="Write provenance.json, which hashes the model's files.", group=OUTPUT, recipe=False
    )
    pipeline: Optional[Mapping[str, Any]] = option(
        default=None,
        help="Also write a service like this, see `mconv scaffold`; {}: as usual.",
        cli=False,
        recipe=False,
    )
    service_dir: PathLike = option(
        default="service", metavar="NAME", help="The service's folder.", group=SERVICE, recipe=False
    )
    beside: Optional[PathLike] = option(
        default=None,
        help="Where the service finds a tokenizer and settings that it is not given; default: the model's folder.",
        cli=False,
        recipe=False,
    )
    force: bool = again(Force, "force", help="Replace what is there.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pipeline is not None:
            if self.engine != "native":
                raise UsageError(
                    f"{self.engine} makes no service", "use --engine native, or `mconv scaffold` afterwards"
                )
            if self.show:
                raise UsageError("--show writes nothing, a service neither", "leave out --pipeline")
        if self.engine not in SERVING_ENGINES:
            raise UsageError(f"unknown engine {self.engine!r}", f"engines are {', '.join(SERVING_ENGINES)}")
        if self.engine == OFFICIAL:
            unknown = [d.flag for d in self.stated_options() if d.name in ("link", "show")]
            unknown += ["--target"] if self.goal is not None and "target" in self.stated() else []
            if unknown:
                raise UsageError(f"{OFFICIAL} does not know {', '.join(unknown)}", "use --engine native")
        if self.fetch_order not in FETCH_ORDERS:
            raise UsageError(f"unknown fetch order {self.fetch_order!r}", f"orders are {', '.join(FETCH_ORDERS)}")


class Timed(Options):
    """How long a service may take."""

    ready_timeout: float = option(
        default=120,
        flags=["--timeout"],
        help="Seconds that the start may take.",
        group=SERVICE,
        recipe=False,
        schema=ABOVE_ZERO,
    )


class Served(Timed):
    """What serves, where there is no service beside the model yet."""

    server: Optional[str] = option(
        default=None,
        metavar="NAME",
        help="What a service that is made for this run runs on; default paddle-serving.",
        group=SERVICE,
        recipe=False,
    )


class Serve(Served):
    """Of ``serve``."""

    path: PathLike = argument(
        metavar="FOLDER",
        help="A service made by `mconv convert --pipeline` or `mconv scaffold`, its serving_server/, or the folder above.",
        kw_only=False,
    )
    host: str = option(default="127.0.0.1", metavar="ADDRESS", help="Where to listen; 0.0.0.0: on every interface.")
    port: Optional[int] = option(
        default=None,
        metavar="N",
        help="The port of HTTP; by default what the service's configuration says, or another one where that is taken.",
    )
    service: Optional[PathLike] = option(
        default=None, metavar="DIR", help="The service to start; by default the one beside the model."
    )
    detach: bool = option(
        default=False, flags=["--detach", "-d"], help="Return when it is ready, and leave it running."
    )
    log: Optional[PathLike] = option(
        default=None, metavar="FILE", help="Write its log there; by default into mconv's cache."
    )
    progress: Callable[[str], Any] = again(
        Progress, "progress", help="Called with one line whenever something happens."
    )


class ServeCheck(Served, Paged):
    """Of ``serve-check``."""

    folder: PathLike = argument(
        help="A serving_server/ folder made by `mconv to-serving`, its service's, or the one above.", kw_only=False
    )
    service: Optional[PathLike] = option(
        default=None,
        metavar="DIR",
        help="The service to test; by default the one beside the model, if there is one.",
        group=SERVICE,
        recipe=False,
    )
    inputs: Optional[PathLike] = option(
        default=None,
        metavar="FILE.npz",
        help="The model's inputs, for a service of tensors; random ones by default.",
        group=INPUT,
        recipe=False,
    )
    texts: Optional[PathLike] = option(
        default=None,
        metavar="FILE",
        help="For a service of texts: one text a line; some are built in.",
        group=INPUT,
        schema={"type": "string", "description": "A file with one text a line, for services that take texts."},
    )
    images: Sequence[PathLike] = option(
        default=(),
        flags=["--image"],
        metavar="FILE",
        help="For a service of pictures: a picture; repeatable; two are built in.",
        group=INPUT,
        schema={"description": "Files of pictures, for services that take pictures."},
    )
    keep: Optional[PathLike] = option(
        default=None, metavar="DIR", help="Make a service for the check, and keep it there.", group=OUTPUT, recipe=False
    )
    force: bool = again(Force, "force", help="Replace what is in --keep's folder.")
    runtime: str = option(
        default="paddle-2.3.2",
        help="The managed runtime whose Paddle answers directly; for Paddle Serving also the one that has it.",
        group=VERIFICATION,
    )
    ir_optim: bool = option(default=True, help="Let Paddle optimise the graph.", group=VERIFICATION)
    ready_timeout: float = again(Timed, "ready_timeout", help="Seconds for the start and for each request.")
    request_timeout: Optional[float] = option(
        default=None,
        help="Seconds for one request; default those for the start.",
        cli=False,
        recipe=False,
        schema=ABOVE_ZERO,
    )
    tolerance: float = option(
        default=1e-6,  # nothing may be lost on the way through JSON: float32 survives it exactly
        help="How far an answer may be from direct inference, absolute and relative.",
        group=VERIFICATION,
        cli=False,
        schema=ABOVE_ZERO,
    )
    namespace: bool = option(
        default=True, help="Whether to try to run the service in a network of its own.", cli=False, recipe=False
    )
    progress: Callable[[str], Any] = again(
        Progress, "progress", help="Called with one line whenever something happens."
    )
