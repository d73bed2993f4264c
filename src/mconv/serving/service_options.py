"""What a pipeline service is to be like: the options, by their fields and by the names that users give them."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from mconv.errors import UsageError
from mconv.printable import printable, require_visible
from mconv.program.paths import PathLike
from mconv.program.typecheck import fits, name_of
from mconv.serving.image_settings import ImageOptions
from mconv.serving.kinds import KINDS, PADDLE_SERVING

DEVICES = {0: "CPU", 1: "GPU", 2: "TensorRT", 3: "ARM CPU", 4: "Kunlun XPU"}
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FP32, BF16 = PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class ServiceOptions:
    """What a service is to be like.

    Attributes:
        service: ``text``, ``image`` or ``tensor``; None: guessed from the model's inputs.
        server: what it runs on: a name of :data:`mconv.serving.servers.SERVERS`.
        backend: what runs the model, where the server has a choice; None: the first of its own.
        precision: one of :data:`PRECISIONS`, in which OpenVINO computes what the model has in float32; None: ``fp32``.
            ``bf16`` where the processor has instructions for it (AVX512-BF16, AMX), float32 elsewhere.
        name: the service's name, a word; HTTP requests go to ``/<name>/prediction``.
        rpc_port, http_port: where it listens.
        health_port: where /health and /metrics are; None: one above *http_port*.
        workers: threads that take requests; None: four, and 32 of a service that runs requests together.
        concurrency: how many copies of the model run; None: two of a text model that is not large, on a CPU, else one.
        threads: threads of Paddle's mathematics library.
        device_type: one of :data:`DEVICES`; None: 0, or 1 for a program in half precision.
        shapes: Paddle's shape file for TensorRT, as ``mconv shapes`` writes it, or a folder of several, for an engine
            each; None: the ranges of the inputs alone.
        ir_optim: whether Paddle may optimise the graph.
        onednn: whether a CPU uses oneDNN; None: where it is faster, see :mod:`mconv.serving.onednn`.
        log_file, log_level: of the pipeline's log; the file as seen from the service's folder.
        labels: a file with the name of one class a line.
        tokenizer: a tokenizer file, or a folder with one; None: the one beside the source.
        lowercase: for a vocab.txt: whether texts are made lower case first.
        max_length: the most tokens of a text.
        text_inputs: input → what it holds, where its name does not say so.
        image: how pictures become the model's input.
    """

    service: Optional[str] = None
    server: str = PADDLE_SERVING
    backend: Optional[str] = None
    precision: Optional[str] = None
    name: str = "model"
    rpc_port: int = 8088
    http_port: int = 18082
    health_port: Optional[int] = None
    workers: Optional[int] = None
    concurrency: Optional[int] = None
    threads: int = 1
    device_type: Optional[int] = None
    shapes: Optional[PathLike] = None
    ir_optim: bool = True
    onednn: Optional[bool] = None
    log_file: str = "PipelineServingLogs/pipeline.log"
    log_level: str = "INFO"
    labels: Optional[PathLike] = None
    tokenizer: Optional[PathLike] = None
    lowercase: Optional[bool] = None
    max_length: Optional[int] = None
    text_inputs: Mapping[str, str] = field(default_factory=dict)
    image: ImageOptions = ImageOptions()

    @property
    def health(self) -> int:
        """The port of /health and /metrics."""
        if self.health_port is not None:
            return self.health_port
        return self.http_port + 1 if self.http_port + 1 not in (self.rpc_port, 65536) else self.http_port - 1


# option → field of ImageOptions
_PICTURES = {
    "image_size": "size",
    "image_fit": "fit",
    "short_edge": "short_edge",
    "mean": "mean",
    "std": "std",
    "scale": "scale",
    "channel_order": "order",
    "layout": "layout",
    "resample": "resample",
    "image_library": "library",
}


def options_from(given: Mapping[str, Any]) -> ServiceOptions:
    """Options by the names that the command line and recipes have: ``name``, ``tokenizer``, ``image_size``, …

    Raises:
        UsageError: there is no such option, or it is of another type.
    """
    own = {f.name for f in dataclasses.fields(ServiceOptions)} - {"image"}
    unknown = sorted(set(given) - own - set(_PICTURES))
    if unknown:
        known = ", ".join(sorted(own | set(_PICTURES)))
        raise UsageError(f"a service has no option {', '.join(unknown)}", f"options are {known}")
    for option, value in given.items():
        kind, name = (ImageOptions, _PICTURES[option]) if option in _PICTURES else (ServiceOptions, option)
        hint = _hints(kind)[name]
        if not fits(value, hint) or (isinstance(value, float) and not math.isfinite(value)):
            raise UsageError(f"--{option.replace('_', '-')}: {_shown(value)} is not {name_of(hint)}")
    image = {_PICTURES[k]: v for k, v in given.items() if k in _PICTURES}
    return ServiceOptions(**{k: v for k, v in given.items() if k in own}, image=ImageOptions(**image))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, localns={"os": os})  # which PathLike names


def _shown(value: Any) -> str:
    try:
        return printable(repr(value), 60)
    except ValueError:  # a number of thousands of digits
        return "a huge number"


def check(options: ServiceOptions) -> None:
    """Refuse what no service can have.

    Raises:
        UsageError: names the option.
    """
    if options.service is not None and options.service not in KINDS:
        raise UsageError(f"--service: {options.service!r} is not one of {', '.join(KINDS)}")
    if not re.fullmatch(r"[A-Za-z]\w{,199}", options.name, re.ASCII):
        raise UsageError(
            f"--name: {printable(options.name, 80)!r} is no word of at most 200 letters, digits and _",
            "it is part of the URL",
        )
    require_visible(options.log_file, "--log-file")
    ports = {"--rpc-port": options.rpc_port, "--http-port": options.http_port, "--health-port": options.health}
    for option, port in ports.items():
        if not 1024 <= port <= 65535:  # what the pipeline accepts
            raise UsageError(f"{option}: {port} is not between 1024 and 65535")
    for one, other in (
        ("--rpc-port", "--http-port"),
        ("--rpc-port", "--health-port"),
        ("--http-port", "--health-port"),
    ):
        if ports[one] == ports[other]:
            raise UsageError(f"{one} and {other} are both {ports[one]}")
    for option, count in (
        ("--workers", 1 if options.workers is None else options.workers),
        ("--concurrency", 1 if options.concurrency is None else options.concurrency),
        ("--threads", options.threads),
        ("--max-length", 1 if options.max_length is None else options.max_length),
    ):
        if count < 1:
            raise UsageError(f"{option}: {count} is less than 1")
    if options.device_type is not None and options.device_type not in DEVICES:
        known = ", ".join(f"{number} {name}" for number, name in DEVICES.items())
        raise UsageError(f"--device-type: {options.device_type} is not one of {known}")
    if options.precision is not None and options.precision not in PRECISIONS:
        raise UsageError(f"--precision: {printable(options.precision, 80)!r} is not one of {', '.join(PRECISIONS)}")
    if options.log_level not in LEVELS:
        raise UsageError(f"--log-level: {options.log_level!r} is not one of {', '.join(LEVELS)}")
