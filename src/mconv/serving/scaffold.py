"""The service around a converted model: a folder that runs as it is on one of the servers, and that users maintain."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Optional

from mconv.artifacts.output import staged
from mconv.errors import UsageError
from mconv.passes import half_loading
from mconv.program import files
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.serving import configure, input_modules, onednn, paddlex, servers, tokenizer_files
from mconv.serving.configure import ServingConfig
from mconv.serving.image_settings import ImageOptions
from mconv.serving.input_modules import MODULES, Service
from mconv.serving.kinds import Written, inputs_of
from mconv.serving.servers.interface import Binding, FoundService, Model
from mconv.serving.service_options import ServiceOptions, check, options_from

__all__ = ["MODULES", "Service", "ServiceOptions", "Written", "make", "options_from", "plan", "relative", "scaffold"]


def scaffold(
    server: PathLike, out: Optional[PathLike] = None, options: ServiceOptions = ServiceOptions(), *, force: bool = False
) -> Written:
    """Write a service around a ``serving_server/`` folder.

    Args:
        server: the folder.
        out: the service's folder; default ``service`` beside it.
        force: replace what is there.

    Raises:
        NotAModelError: *server* is no such folder.
        MconvError: see :func:`plan`.
        OutputExistsError: *out* is there already.
    """
    server = Path(server)
    if not (server / configure.SERVER_TEXT).is_file():
        raise configure.not_a_server(server)
    folder = Path(os.path.realpath(server)).parent / "service" if out is None else Path(out)
    program = files.load_program(files.locate(server))
    config = configure.read(server / configure.SERVER_TEXT)
    service = plan(config, program, options, model=relative(server, folder), beside=server, folder=server)
    with staged(folder, force=force, protect=[server, *service.copies.values()]) as stage:
        service.write(stage, server)
    return service.written(folder, options)


def plan(
    config: ServingConfig,
    program: Optional[Program],
    options: ServiceOptions,
    *,
    model: str = "../serving_server",
    beside: Optional[Path] = None,
    folder: Optional[Path] = None,
) -> Service:
    """Work out a service.

    Args:
        config: the inputs and outputs as the servers see them.
        program: the model, for the shapes of its inputs.
        model: the ``serving_server/`` folder, as seen from the service's.
        beside: the source's folder, where a tokenizer, ``inference.yml`` or ``preprocessor_config.json`` may be.
        folder: the ``serving_server/`` folder, where it is written already.

    Raises:
        UsageError: the options contradict each other or the model.
        UnsupportedError: an input cannot be served.
        CorruptModelError: one of these is damaged.
    """
    check(options)
    made_for = servers.chosen(options)
    options = settled(options, program)
    inputs = inputs_of(config, program)
    tokenizer = tokenizer_files.find(options.tokenizer, beside) if options.service in (None, "text") else None
    kind = options.service or input_modules.guess(inputs, options, tokenizer is not None)
    service = Service(kind, rpc=made_for.rpc)
    for what, given, wanted in (
        ("--tokenizer", options.tokenizer, "text"),
        ("--text-input", options.text_inputs or None, "text"),
        ("--max-length", options.max_length, "text"),
        ("--lowercase", options.lowercase, "text"),
        ("the options of pictures", None if options.image == ImageOptions() else options.image, "image"),
    ):
        if given is not None and kind != wanted:
            hint = f"--service {wanted} says what it is" if options.service is None else f"leave out {what}"
            raise UsageError(f"{what}: this is no service of kind {wanted} but {kind}", hint)
    described = paddlex.find(beside)
    if service.kind == "text":
        # answers of one size, whatever the length of the text
        outputs = Model(config, program, model).outputs
        pooled = all(s and all(size > 0 for size in s[1:]) for s in outputs.values())
        shapes = input_modules.text(
            service, inputs, options, tokenizer, onednn.product_bytes(program) if pooled else None
        )
    elif service.kind == "image":
        shapes = input_modules.image(service, inputs, options, beside, described)
    else:
        shapes = input_modules.tensor(service, inputs, options)
    input_modules.labels(service, options, program, beside, described)
    if service.kind == "image":
        input_modules.answers(service, program, described)
    made_for.files(service, Model(config, program, model, shapes, folder), options)
    return service


def settled(options: ServiceOptions, program: Optional[Program]) -> ServiceOptions:
    """The options with the device that the program is for, where the user names none."""
    if options.device_type is not None:
        return options
    return replace(options, device_type=0 if program is None or half_loading.for_gpus(program) is None else 1)


def make(
    model: Path,
    folder: Path,
    server: str = servers.DEFAULT,
    binding: Optional[Binding] = None,
    *,
    ir_optim: bool = True,
    kind: Optional[str] = None,
) -> FoundService:
    """Write a service around a ``serving_server/`` folder, for one run of it.

    Args:
        model: that folder.
        folder: an empty one that the service is written to.
        server: the server that it is for.
        binding: its ports; default the usual ones.
        ir_optim: whether Paddle may optimise the graph.
        kind: ``text``, ``image`` or ``tensor``; None: guessed.

    Raises:
        MconvError: see :func:`plan`.
    """
    options = ServiceOptions(service=kind, server=server, ir_optim=ir_optim)
    if binding is not None:
        options = replace(
            options,
            http_port=binding.http_port,
            rpc_port=binding.rpc_port or options.rpc_port,
            health_port=binding.health_port,
        )
    config = configure.read(model / configure.SERVER_TEXT)
    program = files.load_program(files.locate(model))
    planned = plan(config, program, options, model=str(model.absolute()), beside=model, folder=model)
    planned.write(folder, model)
    made = servers.SERVERS[server].read(folder)
    assert made is not None
    return made


def relative(model: Path, service: Path) -> str:
    """The model's folder as seen from the service's, where it will be."""
    return os.path.relpath(os.path.realpath(model), os.path.realpath(service)).replace(os.sep, "/")
