"""The files of a service for Triton: the model repository, what starts the server, a client, a container.

The form of ``config.pbtxt`` is ``model_config.proto`` of triton-inference-server/common; what the server and its python
backend do was found with Triton 2.51 (``docs/triton.md``).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

from mconv import service_packages as packages
from mconv.errors import UnsupportedError, UsageError
from mconv.printable import quoted
from mconv.program.dtypes import DType
from mconv.serving import input_modules, shape_ranges
from mconv.serving.input_modules import Service
from mconv.serving.kinds import OCR, PICTURES, ModelInput
from mconv.serving.rendering import literal, render
from mconv.serving.servers import manifests, paddle_serving_files
from mconv.serving.servers import parts as shared
from mconv.serving.servers.engines import ENGINE, ONNX, ONNXRUNTIME, PADDLE, engine, onnx_note
from mconv.serving.servers.interface import Model, Stage
from mconv.serving.servers.requests import OPEN_TYPES, PAGES
from mconv.serving.service_options import ServiceOptions

SERVICE, START, MODELS, CLIENT = "service.json", "start.py", "models", "http_client.py"
WAITING = "waiting.py"
TENSORS, FRONTS = "tensors.py", ("connections.py", "front.py", "front_grpc.py", "request_checks.py", "retrying.py")
CONFIG = "config.pbtxt"
DRAIN = 30
# seconds after which a process that has not answered an inference is taken for one that hangs
LONGEST = 120
# forms for backends that are on no package registry: models go into 1/ under the names that these look for
FORMS = {"paddle": ("paddle", "model.pdmodel and model.pdiparams"), "onnx": ("onnxruntime", "model.onnx")}
# rows of a batch: as many as requests of texts may have, or of pictures
_MOST_ROWS = {"text": 64, "image": 16, "tensor": 64}
# requests that wait; a later one is refused
_QUEUE = 1000
# Triton has one type more than requests in JSON
TYPES = {
    **{dtype: f"TYPE_{OPEN_TYPES[dtype.label]}" for dtype in DType if dtype.label in OPEN_TYPES},
    DType.BF16: "TYPE_BF16",
}
_BYTES = "TYPE_STRING"
# texts, or what is written as JSON
_COLUMN: tuple[Optional[int], int] = (None, 1)
# what is read off outputs, by the module that does
_READ = {"text_answer": ("text", "score"), "box_answer": ("boxes", "score")}


def from_service(version: str, path: str) -> str:
    """A path that is meant from the folder of a version, as seen from the service's."""
    return posixpath.normpath(posixpath.join(version, path))


def add(service: Service, model: Model, options: ServiceOptions) -> None:
    """Add them; the module for requests and what it reads move into the folder of version 1.

    Raises:
        UnsupportedError: an input or an output has a type that Triton does not have.
    """
    files, copies = _repository(service, model, options)
    for there, moved in ((service.files, files), (service.copies, copies)):
        there.clear()
        there.update(moved)  # type: ignore[arg-type]
    if options.backend == ONNXRUNTIME:
        service.notes.append(onnx_note(model.path, posixpath.join(MODELS, options.name, "1", ONNX)))
    for form, (backend, names) in FORMS.items():
        service.files[posixpath.join("repositories", form, options.name, CONFIG)] = _form(
            model, options, _rows(service, model), backend, names
        )
    _add_around(
        service, model.path, options, inputs=model.inputs, cpus=paddle_serving_files.copies(service, options, model)
    )


def add_pipeline(service: Service, stages: Mapping[str, Stage], options: ServiceOptions, models: str) -> None:
    """Add those of a service of several models: one model of Triton's that runs the others (business logic scripting).

    Args:
        models: the folder of the models, as seen from the service's.

    Raises:
        UsageError: the service is called as a stage is.
        UnsupportedError: an input or an output has a type that Triton does not have.
    """
    if options.name in stages:
        raise UsageError(f"--name {options.name}: a model inside of the service is called so", "another name")
    inside = posixpath.join(MODELS, options.name, "1")
    own = {
        **service.files,
        shared.REQUEST_DATA: render(shared.REQUEST_DATA),
        TENSORS: render(f"triton/{TENSORS}"),
        "model.py": render(
            "triton/pipeline_model.py",
            SUMMARY="Pages in, texts and their boxes out",
            OUTPUTS=literal(
                {name: [var.alias for var in stage.model.config.fetches] for name, stage in stages.items()}
            ),
        ),
    }
    service.files.clear()
    service.files.update({posixpath.join(inside, name): text for name, text in own.items()})
    for name, stage in stages.items():
        one = Service("tensor")
        input_modules.tensor(one, stage.model.inputs, stage.options)
        files, _ = _repository(one, stage.model, replace(stage.options, name=name))
        service.files.update(files)
    if options.backend == ONNXRUNTIME:
        name, first = next(iter(stages.items()))
        service.notes.append(onnx_note(first.model.path, posixpath.join(MODELS, name, "1", ONNX), several=True))
    at_work = max(2, len(stages) * (options.concurrency or 1))
    service.files[posixpath.join(MODELS, options.name, CONFIG)] = render(
        "triton/config.pbtxt",
        NAME=quoted(options.name),
        ROWS=input_modules.MAX_PAGES,
        INPUTS=_tensor("image", _BYTES, _COLUMN, input_modules.MAX_PAGES),
        OUTPUTS=",\n".join(_tensor(name, _BYTES, _COLUMN, input_modules.MAX_PAGES) for name in PAGES),
        BATCHING=_NOT_JOINED,
        COUNT=at_work,
        AND_THREADS=_EACH,
        THREADS=options.threads,
        COPIES="",
    )
    _add_around(service, models, options, inputs=(), cpus=len(stages))


def _rows(service: Service, model: Model) -> int:
    """Rows of a batch; 0: the tensors have no dimension for them."""
    # what has one dimension alone would get a second one
    flat = any(len(shape) == 1 for shape in (*(i.shape for i in model.inputs), *model.outputs.values()))
    return _MOST_ROWS[service.kind] if shared.joinable(model) and not flat else 0


def _queued(service: Service, model: Model) -> bool:
    """Whether requests wait for others that they are run together with."""
    return bool(_rows(service, model)) and service.kind == "text" and service.padding is not None


def _repository(service: Service, model: Model, options: ServiceOptions) -> tuple[dict[str, str], dict[str, Path]]:
    """One model's part of the repository: files and copies, by their paths from the service's folder."""
    inside = posixpath.join(MODELS, options.name, "1")
    answers, labels = service.answer_module, service.labels_file
    read = _READ.get(answers or "", ())
    queued = _queued(service, model)
    files = {
        **service.files,
        shared.REQUEST_DATA: render(shared.REQUEST_DATA),
        shared.BATCHING: shared.batching(service, model),
        ENGINE: engine(service, model, options, "../../.."),
        TENSORS: render(f"triton/{TENSORS}"),
        "model.py": render(
            "triton/model.py",
            SUMMARY=f"{shared.TAKEN[service.kind].capitalize()} in, tensors out",
            JOINED_BY="wait at the same time in waiting.py" if queued else "Triton hands over together, if any",
            QUEUED=queued,
            MODULE=service.input_module,
            LABELS=literal(labels),
            ANSWERS=literal(answers),
            READ=literal(read),
            OUTPUTS=answers is None,
            VALUES=literal(None if service.kind == "tensor" else service.kind),
            TYPES=literal({var.alias: _dtype(var.dtype, var.alias).label for var in model.config.fetches}),
        ),
    }
    if queued:
        files[WAITING] = render(f"triton/{WAITING}")
    found = {posixpath.join(inside, name): text for name, text in files.items()}
    found[posixpath.join(MODELS, options.name, CONFIG)] = _config(
        service, model, options, (*read, *(("label",) if labels else ())), outputs=answers is None
    )
    return found, {posixpath.join(inside, name): path for name, path in service.copies.items()}


def _add_around(
    service: Service, path: str, options: ServiceOptions, *, inputs: Sequence[ModelInput], cpus: int
) -> None:
    """Add what starts the server and asks it, and what containers are made with.

    Args:
        path: the folder of the model or the models, as seen from the service's.
        inputs: of the model; empty: there are several.
        cpus: processors that the service keeps busy.
    """
    service.path = "/v2/models/NAME/infer"
    ports = {"HTTP_PORT": options.http_port, "GRPC_PORT": options.rpc_port, "METRICS_PORT": options.health}
    described = {"name": options.name, "model": path, **{k.lower(): v for k, v in ports.items()}}
    service.files[SERVICE] = (
        json.dumps({**described, "drain_timeout": DRAIN, "longest_inference": LONGEST}, indent=1) + "\n"
    )
    for name in (START, *FRONTS):
        service.files[name] = render(f"triton/{name}")
    for part in (shared.RESTARTS, shared.REQUEST_DATA, shared.SETTINGS):
        service.files[part] = render(part)
    service.files[CLIENT] = render(
        "triton/http_client.py",
        NAME=options.name,
        HTTP_PORT=options.http_port,
        KIND="image" if service.kind in PICTURES else service.kind,
        WRITTEN=literal(PAGES if service.kind == OCR else ()),
        USAGE=shared.USAGE[service.kind],
        PREDICT=render("client_open_inference.py").rstrip("\n"),
        MAIN=shared.client_main("inputs_of", "ask"),
        TYPES=literal(
            {i.name: OPEN_TYPES.get(i.dtype.label, "FP32") for i in inputs} if service.kind == "tensor" else {}
        ),
    )
    engines = packages.PADDLE_IN_TRITON if options.backend == PADDLE else (packages.OPENVINO, packages.ONNXRUNTIME)
    required = (packages.FRONT_HTTP, packages.FRONT_GRPC, *engines, *packages.INPUTS, "numpy<2")
    shared.containers(service, options, "triton", ports, required, path, WORKDIR=shared.HOME)
    manifests.add(
        service,
        path,
        options,
        inputs=inputs,
        ports={"http": options.http_port, "grpc": options.rpc_port, "metrics": options.health},
        ready="/v2/health/ready",
        live="/v2/health/live",
        cpus=cpus,
    )


def _dtype(dtype: Optional[DType], name: str) -> DType:
    if dtype is None or dtype not in TYPES:
        raise UnsupportedError(f"{name}: Triton has no tensors of {'unknown type' if dtype is None else dtype.label}")
    return dtype


def _tensor(name: str, kind: str, shape: Sequence[Optional[int]], rows: int) -> str:
    """An input or output in ``config.pbtxt``; of a batch, the first dimension is not said."""
    dims = [-1 if d is None or d < 0 else d for d in (shape[1:] if rows else shape)]
    said = ", ".join(map(str, dims or [1]))
    # a scalar is said to have a dimension, and loses it on the way
    lost = "" if dims else " reshape { shape: [ ] }"
    return f"  {{ name: {quoted(name)} data_type: {kind} dims: [ {said} ]{lost} }}"


def _outputs(model: Model, rows: int) -> list[str]:
    shapes = model.outputs
    return [
        _tensor(var.alias, TYPES[_dtype(var.dtype, var.alias)], shapes[var.alias] or (-1, *var.shape), rows)
        for var in model.config.fetches
    ]


def _inputs(model: Model, rows: int) -> list[str]:
    return [_tensor(i.name, TYPES[_dtype(i.dtype, i.name)], i.shape, rows) for i in model.inputs]


def _config(service: Service, model: Model, options: ServiceOptions, read: Sequence[str], *, outputs: bool) -> str:
    rows = _rows(service, model)
    inputs, given = _inputs(model, rows), _outputs(model, rows)
    if service.kind != "tensor":
        inputs = [_tensor(service.kind, _BYTES, _COLUMN, rows)]
    given = (given if outputs else []) + [_tensor(name, _BYTES, _COLUMN, rows) for name in read]
    if service.kind == "text":
        given.append(_tensor("truncated", "TYPE_BOOL", _COLUMN, rows))
    queued, copies = _queued(service, model), paddle_serving_files.copies(service, options, model)
    # copies of the model that share its weights, and choose among the same requests; Paddle has a process for each
    threads = copies if queued and options.backend != PADDLE else 1
    return render(
        "triton/config.pbtxt",
        NAME=quoted(options.name),
        ROWS=rows,
        INPUTS=",\n".join(inputs),
        OUTPUTS=",\n".join(given),
        BATCHING=render("triton/batching.pbtxt", QUEUE=_QUEUE) if queued else _NOT_JOINED,
        COUNT=copies // threads,
        AND_THREADS="" if queued else _EACH,
        THREADS=options.threads,
        COPIES=_CONCURRENCY.format(threads) if queued else "",
    )


_EACH = ", each with a copy of it"
_CONCURRENCY = """# batches that each process runs at a time
parameters {{ key: "concurrency" value: {{ string_value: "{}" }} }}
"""
_NOT_JOINED = """# requests are run one after the other; for requests that wait to be run together, where a batch is faster:
# dynamic_batching { }
"""


def _form(model: Model, options: ServiceOptions, rows: int, backend: str, names: str) -> str:
    """``config.pbtxt`` for another backend, which takes and gives the model's own tensors."""
    return render(
        "triton/form.pbtxt",
        NAME=quoted(options.name),
        BACKEND=backend,
        FILES=names,
        ROWS=rows,
        INPUTS=",\n".join(_inputs(model, rows)),
        OUTPUTS=",\n".join(_outputs(model, rows)),
        BATCHING="dynamic_batching { }\n" if rows else "",
        ACCELERATOR=_tensorrt(model, options, rows) if backend == "paddle" else "",
    )


def _tensorrt(model: Model, options: ServiceOptions, rows: int) -> str:
    """TensorRT for the paddle backend, with the shapes of ``mconv shapes`` or those of the inputs."""
    ranges = model.ranges
    if options.shapes is not None:
        if Path(options.shapes).is_dir():
            raise UsageError(
                f"--shapes: {options.shapes} is a folder, and Triton's paddle backend takes one profile",
                "name one file",
            )
        ranges = shape_ranges.tables(shape_ranges.from_paddle(options.shapes))
    tables = "".join(
        f'        {{ name: "{which}_shape"\n'
        + "".join(
            f'          parameters {{ key: {quoted(name)} value: "{" ".join(map(str, shape))}" }}\n'
            for name, shape in table.items()
        )
        + "        },\n"
        for which, table in ranges.items()
    )
    return render("triton/tensorrt.pbtxt", ROWS=max(rows, 1), TABLES=tables.rstrip(",\n") + "\n")
