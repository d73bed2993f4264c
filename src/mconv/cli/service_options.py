"""The options of a pipeline service, which two commands have: ``to-serving --pipeline`` and ``scaffold``."""

from __future__ import annotations

import functools
import inspect
import shlex
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from mconv.cli.common import out
from mconv.errors import UsageError


def _declared(
    service: Annotated[
        Optional[str],
        typer.Option(metavar="KIND", help="text, image or tensor; guessed from the model's inputs by default."),
    ] = None,
    name: Annotated[Optional[str], typer.Option(help="The service's name, part of the URL; default model.")] = None,
    rpc_port: Annotated[Optional[int], typer.Option(help="Default 8088.")] = None,
    http_port: Annotated[Optional[int], typer.Option(help="Default 18082.")] = None,
    health_port: Annotated[
        Optional[int], typer.Option(help="Of /health and /metrics; default one above --http-port.")
    ] = None,
    workers: Annotated[
        Optional[int], typer.Option(help="Threads that take requests; default 4, of texts with a mask 32.")
    ] = None,
    concurrency: Annotated[
        Optional[int],
        typer.Option(help="Processes that run the model, each with a copy of it; default 1, of texts on a CPU 2."),
    ] = None,
    threads: Annotated[Optional[int], typer.Option(help="Threads of Paddle in each of them; default 1.")] = None,
    device_type: Annotated[
        Optional[int],
        typer.Option(help="0 CPU (default), 1 GPU (default in half precision), 2 TensorRT, 3 ARM CPU, 4 Kunlun XPU."),
    ] = None,
    shapes: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE", help="TensorRT: the shapes of all tensors, from `mconv shapes`; default the inputs' alone."
        ),
    ] = None,
    onednn: Annotated[
        Optional[bool],
        typer.Option("--onednn/--no-onednn", help="On a CPU: use oneDNN; by default where sizes of inputs are few."),
    ] = None,
    log_file: Annotated[
        Optional[str], typer.Option(metavar="FILE", help="The service's log; default PipelineServingLogs/pipeline.log.")
    ] = None,
    log_level: Annotated[Optional[str], typer.Option(help="DEBUG, INFO (default), WARNING or ERROR.")] = None,
    labels: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE",
            help="The names of the classes, one a line, for a label in the answers; default id2label of config.json.",
        ),
    ] = None,
    tokenizer: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE",
            help="Text: tokenizer.json, vocab.txt or SentencePiece's .model, or a folder with one; by default the one "
            "beside the model.",
        ),
    ] = None,
    max_length: Annotated[Optional[int], typer.Option(help="Text: longer ones are cut to so many tokens.")] = None,
    lowercase: Annotated[
        Optional[bool],
        typer.Option("--lowercase/--no-lowercase", help="Text, with vocab.txt: make texts lower case first."),
    ] = None,
    text_input: Annotated[
        Optional[list[str]],
        typer.Option(metavar="NAME=ROLE", help="Text: what an input holds: ids, types, mask or positions; repeatable."),
    ] = None,
    image_size: Annotated[
        Optional[str],
        typer.Option(metavar="SIZE", help="Image: 224, 48x192 (height x width), 48x? or ?; by default the model's."),
    ] = None,
    image_fit: Annotated[
        Optional[str],
        typer.Option(metavar="HOW", help="Image: stretch (default), crop (the middle), pad (zeros right and below)."),
    ] = None,
    short_edge: Annotated[
        Optional[int], typer.Option(help="Image, with crop: what the short edge is resized to first.")
    ] = None,
    mean: Annotated[
        Optional[str], typer.Option(metavar="A,B,C", help="Image: subtracted after --scale; default ImageNet's.")
    ] = None,
    std: Annotated[
        Optional[str], typer.Option(metavar="A,B,C", help="Image: divided by in the end; default ImageNet's.")
    ] = None,
    scale: Annotated[
        Optional[float], typer.Option(help="Image: what the pixels, 0 to 255, are multiplied by; default 1/255.")
    ] = None,
    channel_order: Annotated[Optional[str], typer.Option(help="Image: rgb (default), bgr or gray.")] = None,
    layout: Annotated[Optional[str], typer.Option(help="Image: nchw or nhwc; by default as the model has it.")] = None,
    resample: Annotated[
        Optional[str],
        typer.Option(help="Image: nearest, bilinear (default), bicubic, area or lanczos."),
    ] = None,
    image_library: Annotated[Optional[str], typer.Option(help="Image: pillow (default) or opencv.")] = None,
) -> None: ...


def with_service_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """*function* with all of them; it gets those that were given as its parameter ``given``, by the API's names."""
    own = [p for name, p in inspect.signature(function).parameters.items() if name != "given"]
    added = list(inspect.signature(_declared).parameters.values())
    hints = {
        **typing.get_type_hints(function, include_extras=True),
        **typing.get_type_hints(_declared, include_extras=True),
    }

    @functools.wraps(function)
    def wrapper(**arguments: Any) -> Any:
        values = {p.name: arguments.pop(p.name) for p in added}
        return function(**arguments, given=_by_field(values))

    del wrapper.__wrapped__
    keyword = inspect.Parameter.KEYWORD_ONLY
    wrapper.__signature__ = inspect.Signature([*own, *(p.replace(kind=keyword) for p in added)])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: hints[p.name] for p in (*own, *added)}
    return wrapper


def _by_field(values: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if value not in (None, [])}
    if "text_input" in given:
        given["text_inputs"] = dict(_pair(text) for text in given.pop("text_input"))
    for name in ("mean", "std"):
        if name in given:
            try:
                given[name] = [float(part) for part in given[name].split(",")]
            except ValueError:
                raise UsageError(
                    f"--{name}: {given[name]!r} is no list of numbers", "0.5 or 0.485,0.456,0.406"
                ) from None
    if "log_level" in given:
        given["log_level"] = given["log_level"].upper()
    return given


def _pair(text: str) -> tuple[str, str]:
    name, sign, role = text.rpartition("=")
    if not sign or not name:
        raise UsageError(f"--text-input: {text!r} is not of the form NAME=ROLE")
    return name, role


def show_service(service: Any) -> None:
    """What was written, for people."""
    out.print(f"{service.folder}/ written, a service of kind {service.kind}: {service.summary}")
    out.print(
        f"start it with `mconv serve {shlex.quote(str(service.folder))}/`: "
        f"HTTP POST http://127.0.0.1:{service.http_port}/{service.name}/prediction, RPC 127.0.0.1:{service.rpc_port}"
    )
    for note in service.notes:
        out.warn(note)
