"""The Paddle Serving pipeline service around a converted model: a folder that runs as it is, and that users maintain.

Its files are the templates in ``templates/``, in which ``@NAMES@`` are replaced by literals. What the service does
differently from a plain ``Op`` was measured with paddle-serving-server 0.9.0 (``docs/serving.md``).
"""

from __future__ import annotations

import json
import os
import posixpath
from dataclasses import replace
from pathlib import Path
from typing import Optional

from mconv.artifacts.output import staged
from mconv.errors import NotAModelError, UsageError
from mconv.passes import half
from mconv.printable import quoted
from mconv.program import files
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.serving import configure, input_modules, onednn, paddlex, shape_ranges, tokenizer_files
from mconv.serving.configure import ServingConfig
from mconv.serving.image_settings import ImageOptions
from mconv.serving.input_modules import ANSWERS, CHARACTERS, LABELS, MODULES, Service, Shapes
from mconv.serving.kinds import Written, inputs_of
from mconv.serving.rendering import literal, render
from mconv.serving.service_options import ServiceOptions, check, options_from

__all__ = ["CONFIG", "MODULES", "SERVICE", "Service", "ServiceOptions", "Written", "kind_of", "options_from", "plan"]
CONFIG, SERVICE, HTTP_SERVER = "config.yml", "web_service.py", "http_server.py"
# what no setting is filled into: what requests carry and how they get about, start and end, how Paddle is set up
PARTS = ("channels.py", HTTP_SERVER, "lifecycle.py", "predictor.py", "request_data.py")
BATCHING = "batching.py"
SHAPES = "dynamic_shapes.json"
# requests under way at a time, and how many of them are run together
_WORKERS, _MANY_WORKERS, _BATCH = 4, 32, 8
_LARGE = 256 << 20  # bytes of weights of which there is one copy, unless the user wants more
_MODEL_HOME = "/home/model-server"  # in the container, as in the article


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
        raise NotAModelError(
            f"{server}: not a serving_server folder (there is no {configure.SERVER_TEXT})",
            "make one with `mconv to-serving MODEL`",
        )
    folder = Path(os.path.realpath(server)).parent / "service" if out is None else Path(out)
    program = files.load_program(files.locate(server))
    config = configure.read(server / configure.SERVER_TEXT)
    service = plan(config, program, options, model=relative(server, folder), beside=server)
    with staged(folder, force=force, protect=[server, *service.copies.values()]) as stage:
        service.write(stage)
    return service.written(folder, options)


def plan(
    config: ServingConfig,
    program: Optional[Program],
    options: ServiceOptions,
    *,
    model: str = "../serving_server",
    beside: Optional[Path] = None,
) -> Service:
    """Work out a service.

    Args:
        config: the inputs and outputs as the servers see them.
        program: the model, for the shapes of its inputs.
        model: the ``serving_server/`` folder, as seen from the service's.
        beside: the source's folder, where a tokenizer, ``inference.yml`` or ``preprocessor_config.json`` may be.

    Raises:
        UsageError: the options contradict each other or the model.
        UnsupportedError: an input cannot be served.
        CorruptModelError: one of these is damaged.
    """
    check(options)
    if options.device_type is None:
        options = replace(options, device_type=0 if program is None or half.for_gpus(program) is None else 1)
    inputs = inputs_of(config, program)
    tokenizer = tokenizer_files.find(options.tokenizer, beside) if options.service in (None, "text") else None
    service = Service(options.service or input_modules.guess(inputs, options, tokenizer is not None))
    for what, given, kind in (
        ("--tokenizer", options.tokenizer, "text"),
        ("--text-input", options.text_inputs or None, "text"),
        ("--max-length", options.max_length, "text"),
        ("--lowercase", options.lowercase, "text"),
        ("the options of pictures", None if options.image == ImageOptions() else options.image, "image"),
    ):
        if given is not None and service.kind != kind:
            hint = f"--service {kind} says what it is" if options.service is None else f"leave out {what}"
            raise UsageError(f"{what}: this is no service of kind {kind} but {service.kind}", hint)
    described = paddlex.find(beside)
    if service.kind == "text":
        # answers of one size, whatever the length of the text
        pooled = all(s and all(size > 0 for size in s[1:]) for s in _outputs(config, program).values())
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
    _around(service, config, program, options, model, shapes)
    return service


# ------------------------------------------------------------------------------------- the files around it


def _outputs(config: ServingConfig, program: Optional[Program]) -> dict[str, tuple[int, ...]]:
    """Output → its shape, -1 for what is open; empty where it is not known."""
    shapes = {} if program is None else {port.name: port.shape for port in program.fetches}
    return {var.alias: shapes.get(var.name, ()) for var in config.fetches}


def _batching(service: Service, config: ServingConfig, program: Optional[Program]) -> dict[str, str]:
    """What :mod:`batching` of the service has to know of the model, as literals."""
    inputs = inputs_of(config, program)
    outputs = _outputs(config, program)
    first = [i.shape[:1] for i in inputs] == [(None,)] * len(inputs) and all(s[:1] == (-1,) for s in outputs.values())
    lengths = {name: [axis for axis, size in enumerate(shape) if axis and size < 0] for name, shape in outputs.items()}
    return {
        "JOINABLE": str(bool(outputs) and first),
        "PADDING": literal(service.padding),
        "LENGTHS": literal(lengths),
        "AND_LENGTHS": "" if service.padding is None else ", and in the length of the rows,\nwhich are filled up",
    }


def _dynamic_shapes(service: Service, options: ServiceOptions, shapes: Shapes) -> dict[str, str]:
    """The literals of the ranges for TensorRT; those of a shape file are a file of the service's own."""
    if options.shapes is None:
        ranges = {
            f"{which}_input_shape": {name: list(values[at]) for name, values in shapes.items()}
            for at, which in enumerate(("min", "max", "opt"))
        }
        rows = "".join(f'    "{key}": {literal(table, 1)},\n' for key, table in ranges.items())
        more = 'each input. Where TensorRT asks for\n# another variable, such as "unsqueeze2_0.tmp_0", `mconv shapes` finds it'
        return {"SHAPED": more, "DYNAMIC_SHAPES": "{\n" + rows + "}"}
    found = shape_ranges.from_paddle(options.shapes)
    unknown = [name for name in shapes if name not in found.shapes]
    if unknown:
        raise UsageError(
            f"--shapes: {options.shapes} has no shape of the input {', '.join(unknown)}",
            "is it of this model? `mconv shapes MODEL --out FILE` writes one",
        )
    ranges = {f"{which}_input_shape": table for which, table in shape_ranges.tables(found).items()}
    service.files[SHAPES] = json.dumps(ranges, indent=1) + "\n"
    return {
        "SHAPED": "every tensor, from `mconv shapes`",
        "DYNAMIC_SHAPES": f'json.load(open("{SHAPES}", encoding="utf-8"))',
    }


def _copies(service: Service, options: ServiceOptions, weights: int) -> int:
    """How many processes run the model. Two with one thread each answer about twice as many texts a second as one with
    two threads, which a single text leaves little to do (docs/benchmarks.md)."""
    if options.concurrency is not None:
        return options.concurrency
    return 2 if service.kind == "text" and options.device_type == 0 and weights <= _LARGE else 1


def _around(
    service: Service,
    config: ServingConfig,
    program: Optional[Program],
    options: ServiceOptions,
    model: str,
    shapes: Shapes,
) -> None:
    module = MODULES[service.kind]
    weights = onednn.product_bytes(program)
    # texts come one by one, and are too short to keep a processor busy
    batching = _batching(service, config, program)
    batched = service.kind == "text" and service.padding is not None and batching["JOINABLE"] == "True"
    fast = onednn.settle(options.onednn, options.device_type == 0, service.sizes, weights, batched)
    names = {"NAME": options.name, "RPC_PORT": options.rpc_port, "HTTP_PORT": options.http_port}
    service.files[CONFIG] = render(
        CONFIG,
        **names,
        HEALTH_PORT=options.health,
        WORKERS=options.workers or (_MANY_WORKERS if batched else _WORKERS),
        BATCH_SIZE=_BATCH if batched else 1,
        BATCH_TIMEOUT=5 if batched else -1,
        CONCURRENCY=_copies(service, options, weights),
        MODEL=quoted(model),
        DEVICE_TYPE=options.device_type,
        DEVICES='"0"' if options.device_type in (1, 2, 4) else '""',
        THREADS=options.threads,
        IR_OPTIM=str(options.ir_optim).lower(),
        ONEDNN=str(fast.on).lower(),
        ONEDNN_REASON=f"; {fast.reason}" if fast.reason else "",
        ONEDNN_PASSES=str(fast.passes).lower(),
        ONEDNN_SHAPES=fast.shapes,
        FETCHES=literal([var.alias for var in config.fetches]),
    )
    answers = next((name[: -len(".py")] for name in ANSWERS.values() if name in service.files), None)
    service.files[SERVICE] = render(
        SERVICE,
        NAME=options.name,
        SUMMARY={"text": "texts in", "image": "pictures in", "tensor": "tensors in"}[service.kind] + ", JSON out",
        MODULE=module[: -len(".py")],
        LOG_FILE=quoted(options.log_file),
        LOG_LEVEL=quoted(options.log_level),
        LABELS=literal(LABELS if LABELS in {*service.copies, *service.files} else None),
        ANSWERS=literal(answers),
        OUTPUTS=answers is None,
        # of the program's variables, whatever clients call them
        **_dynamic_shapes(service, options, {var.name: shapes[var.alias] for var in config.feeds}),
    )
    for client in ("http_client.py", "rpc_client.py"):
        imports = ["base64", "json", "sys"] if service.kind == "image" else ["json", "sys"]
        port = {k: v for k, v in names.items() if k != ("RPC_PORT" if client.startswith("http") else "HTTP_PORT")}
        if client.startswith("rpc"):
            del port["NAME"]
        service.files[client] = render(
            client,
            **port,
            IMPORTS="\n".join(f"import {name}" for name in imports),
            USAGE={"text": "TEXT ...", "image": "PICTURE ...", "tensor": "NAME=JSON|NAME=@FILE ..."}[service.kind],
            REQUEST=render(f"client_{service.kind}.py").rstrip("\n"),
        )
    home = posixpath.join(_MODEL_HOME, "service")
    more = sorted({*service.copies, *({LABELS, SHAPES, CHARACTERS, *ANSWERS.values()} & set(service.files))})
    for part in PARTS:
        service.files[part] = render(part)
    service.files[BATCHING] = render(BATCHING, **batching)
    copied = [CONFIG, SERVICE, module, *PARTS, BATCHING, *more]
    ports = {"RPC_PORT": options.rpc_port, "HTTP_PORT": options.http_port, "HEALTH_PORT": options.health}
    service.files["Dockerfile"] = render("Dockerfile", **ports, WORKDIR=home, COPIED=" ".join(copied))
    service.files["docker-compose.yml"] = render(
        "docker-compose.yml",
        **names,
        HEALTH_PORT=options.health,
        COMPOSE_NAME=options.name.lower(),
        MODEL_SOURCE=quoted(model).replace("$", "$$"),
        MODEL_TARGET=quoted(posixpath.normpath(posixpath.join(home, model))).replace("$", "$$"),
    )
    service.files["requirements.txt"] = render("requirements.txt")


# ------------------------------------------------------------------------------------- services on disk


def kind_of(folder: Path) -> Optional[str]:
    """The kind of the generated service in a folder; None when there is none."""
    if not all((folder / name).is_file() for name in (CONFIG, SERVICE)):
        return None
    return next((kind for kind, module in MODULES.items() if (folder / module).is_file()), None)


def relative(model: Path, service: Path) -> str:
    """The model's folder as seen from the service's, where it will be."""
    return os.path.relpath(os.path.realpath(model), os.path.realpath(service)).replace(os.sep, "/")
