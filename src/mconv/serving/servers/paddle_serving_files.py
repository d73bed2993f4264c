"""The files of a service for Paddle Serving's pipeline, beside the module that turns requests into arrays.

They are the templates in ``templates/``, in which ``@NAMES@`` are replaced by literals. What the service does differently
from a plain ``Op`` was measured with paddle-serving-server 0.9.0 (``docs/serving.md``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

from mconv.errors import UsageError
from mconv.passes import half_loading
from mconv.printable import quoted
from mconv.program.targets import PADDLE_2_3
from mconv.serving import onednn, shape_ranges
from mconv.serving.input_modules import Service
from mconv.serving.kinds import KINDS, ModelInput
from mconv.serving.rendering import literal, render
from mconv.serving.servers import manifests, parts
from mconv.serving.servers.interface import Model, Stage, kind_in
from mconv.serving.service_options import ServiceOptions

CONFIG, SERVICE, HTTP_SERVER = "config.yml", "web_service.py", "http_server.py"
# what no setting is filled into: what requests carry and how they get about, start and end, how Paddle is set up
PARTS = (
    *("arriving.py", "channels.py", "configuration.py", HTTP_SERVER, "lifecycle.py", "op_processes.py"),
    *("pipeline_op.py", "predictor.py", parts.REQUEST_DATA, parts.RESTARTS, parts.SETTINGS),
)
OPERATOR = "operator.yml"
# what is asked from elsewhere, and does not go into the container
CLIENTS = ("http_client.py", "rpc_client.py")
SHAPES = "dynamic_shapes.json"
# requests under way at a time, and how many of them are run together
_WORKERS, _MANY_WORKERS, _BATCH = 4, 32, 8
_PIPELINE_WORKERS = 8  # several models are at work on different requests
_LARGE = 768 << 20  # bytes of weights of which there is one copy, unless the user wants more


def dynamic_shape_info(ranges: Mapping[str, Mapping[str, list[int]]]) -> dict[str, Mapping[str, list[int]]]:
    """``min``, ``max``, ``opt`` → variable → shape, as an Op of Paddle Serving calls them."""
    return {f"{which}_input_shape": table for which, table in ranges.items()}


def _dynamic_shapes(service: Service, options: ServiceOptions, model: Model) -> dict[str, str]:
    """The literals of the ranges for TensorRT; those of a shape file are a file of the service's own."""
    if options.shapes is None:
        # of the program's variables, whatever clients call them
        ranges = dynamic_shape_info(model.ranges)
        rows = "".join(f'    "{key}": {literal(table, 1)},\n' for key, table in ranges.items())
        more = 'each input. Where TensorRT asks for\n# another variable, such as "unsqueeze2_0.tmp_0", `mconv shapes` finds it'
        return {"SHAPED": more, "DYNAMIC_SHAPES": "{\n" + rows + "}", "MORE_SHAPES": "[]"}
    found = shape_ranges.profiles(options.shapes)
    unknown = [var.name for var in model.config.feeds if not all(var.name in one.shapes for one in found)]
    if unknown:
        raise UsageError(
            f"--shapes: {options.shapes} has no shape of the input {', '.join(unknown)}",
            "is it of this model? `mconv shapes MODEL --out FILE` writes one",
        )
    profiles = [dynamic_shape_info(shape_ranges.tables(one)) for one in found]
    service.files[SHAPES] = json.dumps(profiles, indent=1) + "\n"
    return {
        "SHAPED": "every tensor, from `mconv shapes`",
        "DYNAMIC_SHAPES": f'json.load(open("{SHAPES}", encoding="utf-8"))[0]',
        "MORE_SHAPES": f'json.load(open("{SHAPES}", encoding="utf-8"))[1:]' if len(found) > 1 else "[]",
    }


def copies(service: Service, options: ServiceOptions, model: Model, kinds: Sequence[str] = ("text",)) -> int:
    """How many processes run the model. On a CPU two with one thread each answer more than one with two threads, which
    wait for each other at each operator (docs/benchmarks.md); *kinds* of services have two unless they are told."""
    if options.concurrency is not None:
        return options.concurrency
    small = onednn.weight_bytes(model.program) <= _LARGE
    return 2 if service.kind in kinds and options.device_type == 0 and small else 1


def _processes(service: Service, options: ServiceOptions, model: Model) -> int:
    """:func:`copies` of this server, whatever the kind: the pipeline gives a process one request at a time."""
    return copies(service, options, model, tuple(KINDS))


def _batched(service: Service, model: Model) -> bool:
    """Whether requests are run together: texts come one by one, and are too short to keep a processor busy."""
    return service.kind == "text" and service.padding is not None and parts.joinable(model)


def operator(name: str, service: Service, model: Model, options: ServiceOptions) -> str:
    """The part of ``config.yml`` on one model: an Op of that name."""
    batched = _batched(service, model)
    weights = onednn.product_bytes(model.program)
    fast = onednn.settle(options.onednn, options.device_type == 0, service.sizes, weights, batched)
    dtype = None if model.program is None else half_loading.dtype_of(model.program)
    return render(
        OPERATOR,
        OPERATOR=name,
        BATCH_SIZE=_BATCH if batched else 1,
        BATCH_TIMEOUT=5 if batched else -1,
        CONCURRENCY=_processes(service, options, model),
        MODEL=quoted(model.path),
        DEVICE_TYPE=options.device_type,
        DEVICES='"0"' if options.device_type in (1, 2, 4) else '""',
        THREADS=options.threads,
        IR_OPTIM=str(options.ir_optim).lower(),
        WITHOUT_PASSES=literal(half_loading.unfit_passes(PADDLE_2_3, dtype) if dtype is not None else []),
        ONEDNN=str(fast.on).lower(),
        ONEDNN_REASON=f"; {fast.reason}" if fast.reason else "",
        ONEDNN_PASSES=str(fast.passes).lower(),
        ONEDNN_SHAPES=fast.shapes,
        FETCHES=literal([var.alias for var in model.config.fetches]),
    ).rstrip("\n")


def settings(options: ServiceOptions, operators: str, workers: int, also: str = "") -> str:
    """``config.yml`` around its operators."""
    return render(
        CONFIG,
        **_addresses(options),
        NAME=options.name,
        WORKERS=options.workers or workers,
        OPERATORS=operators,
        ALSO=also,
    )


def _addresses(options: ServiceOptions) -> dict[str, int]:
    return {"RPC_PORT": options.rpc_port, "HTTP_PORT": options.http_port, "HEALTH_PORT": options.health}


def add(service: Service, model: Model, options: ServiceOptions) -> None:
    """Add them.

    Raises:
        UsageError: the shape file is not of this model.
    """
    workers = _MANY_WORKERS if _batched(service, model) else _WORKERS
    service.files[CONFIG] = settings(options, operator(options.name, service, model, options), workers)
    service.files[SERVICE] = render(
        SERVICE,
        NAME=options.name,
        SUMMARY=f"{parts.TAKEN[service.kind]} in, JSON out",
        MODULE=service.input_module,
        LOG_FILE=quoted(options.log_file),
        LOG_LEVEL=quoted(options.log_level),
        LABELS=literal(service.labels_file),
        ANSWERS=literal(service.answer_module),
        OUTPUTS=service.answer_module is None,
        **_dynamic_shapes(service, options, model),
    )
    service.files[parts.BATCHING] = parts.batching(service, model)
    add_around(service, options, model.path, model.inputs, _processes(service, options, model))


def add_pipeline(service: Service, stages: Mapping[str, Stage], options: ServiceOptions, models: str) -> None:
    """Add those of a service of several models: one Op each.

    Args:
        models: the folder of the models, as seen from the service's.
    """
    operators: list[str] = []
    for name, stage in stages.items():
        # one process for each: they are several, at work on different requests
        one = replace(stage.options, concurrency=stage.options.concurrency or 1)
        text = operator(name, stage.service, stage.model, one)
        operators.append(_without_comments(text) if operators else text)
    also = f"# the service's name, part of the URL\nname: {options.name}\n"
    service.files[CONFIG] = settings(options, "\n".join(operators), _PIPELINE_WORKERS, also)
    service.files[SERVICE] = render(
        "ocr_service.py",
        SUMMARY="pages in, texts and their boxes out",
        NAME=options.name,
        LOG_FILE=quoted(options.log_file),
        LOG_LEVEL=quoted(options.log_level),
        DYNAMIC_SHAPES=literal({name: dynamic_shape_info(stage.model.ranges) for name, stage in stages.items()}),
    )
    add_around(service, options, f"./{models}")


def _without_comments(text: str) -> str:
    """Another operator's settings: what they mean is said at the first."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def add_around(
    service: Service, options: ServiceOptions, model: str, inputs: Sequence[ModelInput] = (), cpus: int = 1
) -> None:
    """Add the programs that ask the service, the parts of every service, and what containers are made with.

    Args:
        model: what is mounted, as seen from the service's folder.
        inputs: of the model; empty: there are several.
        cpus: processors that the service keeps busy.
    """
    ports = _addresses(options)
    for name in CLIENTS:
        service.files[name] = parts.client(name, service.kind, options)
    for part in PARTS:
        service.files[part] = render(part)
    copied = [CONFIG, SERVICE, *sorted({*service.files, *service.copies} - {CONFIG, SERVICE, *CLIENTS})]
    parts.containers(service, options, ".", ports, (), model, WORKDIR=parts.HOME, COPIED=" ".join(copied))
    manifests.add(
        service,
        model,
        options,
        inputs=inputs,
        ports={"http": options.http_port, "rpc": options.rpc_port, "health": options.health},
        ready="/health",
        cpus=cpus,
    )


def kind_of(folder: Path) -> Optional[str]:
    """The kind of the generated service in a folder; None when there is none."""
    if not all((folder / name).is_file() for name in (CONFIG, SERVICE)):
        return None
    return kind_in(folder)
