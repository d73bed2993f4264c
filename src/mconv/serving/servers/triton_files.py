"""The files of a service for Triton: the model repository, what starts the server, a client, a container.

The form of ``config.pbtxt`` is ``model_config.proto`` of triton-inference-server/common; what the server and its python
backend do was found with Triton 2.51 (``docs/triton.md``).
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence
from typing import Optional

from mconv.errors import UnsupportedError
from mconv.printable import quoted
from mconv.program.dtypes import DType
from mconv.serving import shape_ranges
from mconv.serving.input_modules import Service
from mconv.serving.rendering import literal, render
from mconv.serving.servers import manifests, paddle_serving_files
from mconv.serving.servers import parts as shared
from mconv.serving.servers.engines import ENGINE, engine
from mconv.serving.servers.interface import Model
from mconv.serving.servers.requests import OPEN_TYPES
from mconv.serving.service_options import ServiceOptions

SERVICE, START, MODELS, CLIENT = "service.json", "start.py", "models", "http_client.py"
CONFIG = "config.pbtxt"
DRAIN = 30
# forms for backends that are on no package registry: models go into 1/ under the names that these look for
FORMS = {"paddle": ("paddle", "model.pdmodel and model.pdiparams"), "onnx": ("onnxruntime", "model.onnx")}
# rows of a batch: as many as requests of texts may have, or of pictures
_MOST_ROWS = {"text": 64, "image": 16, "tensor": 64}
_BATCH = 8
# requests that wait; a later one is refused
_QUEUE = 1000
# Triton has one type more than requests in JSON
TYPES = {
    **{dtype: f"TYPE_{OPEN_TYPES[dtype.label]}" for dtype in DType if dtype.label in OPEN_TYPES},
    DType.BF16: "TYPE_BF16",
}
_BYTES = "TYPE_STRING"


def from_service(version: str, path: str) -> str:
    """A path that is meant from the folder of a version, as seen from the service's."""
    return posixpath.normpath(posixpath.join(version, path))


def add(service: Service, model: Model, options: ServiceOptions) -> None:
    """Add them; the module for requests and what it reads move into the folder of version 1.

    Raises:
        UnsupportedError: an input or an output has a type that Triton does not have.
    """
    inside = posixpath.join(MODELS, options.name, "1")
    service.path, service.rpc = "/v2/models/NAME/infer", False
    joined = shared.batching(service, model)
    # what has one dimension alone would get a second one
    flat = any(len(shape) == 1 for shape in (*(i.shape for i in model.inputs), *model.outputs.values()))
    rows = _MOST_ROWS[service.kind] if joined["JOINABLE"] == "True" and not flat else 0
    answers, labels = service.answer_module, service.labels_file
    read = {"text_answer": ("text", "score"), "box_answer": ("boxes", "score")}.get(answers or "", ())
    parts = {
        **service.files,
        shared.REQUEST_DATA: render(shared.REQUEST_DATA),
        shared.BATCHING: render(shared.BATCHING, **joined),
        ENGINE: engine(service, model, options, paddle=True, up="../../.."),
        "model.py": render(
            "triton/model.py",
            SUMMARY=f"{shared.TAKEN[service.kind].capitalize()} in, tensors out",
            MODULE=service.input_module,
            LABELS=literal(labels),
            ANSWERS=literal(answers),
            READ=literal(read),
            OUTPUTS=answers is None,
            VALUES=literal(None if service.kind == "tensor" else service.kind),
            TYPES=literal({var.alias: _dtype(var.dtype, var.alias).label for var in model.config.fetches}),
        ),
    }
    service.files.clear()
    service.files.update({posixpath.join(inside, name): text for name, text in parts.items()})
    copies = {posixpath.join(inside, name): path for name, path in service.copies.items()}
    service.copies.clear()
    service.copies.update(copies)
    service.files[posixpath.join(MODELS, options.name, CONFIG)] = _config(
        service, model, options, rows, (*read, *(("label",) if labels else ())), outputs=answers is None
    )
    for form, (backend, names) in FORMS.items():
        service.files[posixpath.join("repositories", form, options.name, CONFIG)] = _form(
            model, options, rows, backend, names
        )
    ports = {"HTTP_PORT": options.http_port, "GRPC_PORT": options.rpc_port, "METRICS_PORT": options.health}
    described = {"name": options.name, "model": model.path, **{k.lower(): v for k, v in ports.items()}}
    service.files[SERVICE] = json.dumps({**described, "drain_timeout": DRAIN}, indent=1) + "\n"
    service.files[START] = render("triton/start.py")
    service.files[CLIENT] = render(
        "triton/http_client.py",
        NAME=options.name,
        HTTP_PORT=options.http_port,
        KIND=service.kind,
        USAGE=shared.USAGE[service.kind],
        PREDICT=render("client_open_inference.py").rstrip("\n"),
        TYPES=literal(
            {i.name: OPEN_TYPES.get(i.dtype.label, "FP32") for i in model.inputs} if service.kind == "tensor" else {}
        ),
    )
    service.files["requirements.txt"] = render("triton/requirements.txt")
    service.files["Dockerfile"] = render("triton/Dockerfile", **ports, WORKDIR=shared.HOME)
    service.files["docker-compose.yml"] = render(
        "triton/docker-compose.yml",
        **ports,
        NAME=options.name,
        COMPOSE_NAME=options.name.lower(),
        **shared.mounted(model.path),
    )
    manifests.add(
        service,
        model.path,
        options,
        inputs=model.inputs,
        ports={"http": options.http_port, "grpc": options.rpc_port, "metrics": options.health},
        ready="/v2/health/ready",
        live="/v2/health/live",
        cpus=paddle_serving_files.copies(service, options, model),
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


def _config(
    service: Service, model: Model, options: ServiceOptions, rows: int, read: Sequence[str], *, outputs: bool
) -> str:
    inputs, given = _inputs(model, rows), _outputs(model, rows)
    column: tuple[Optional[int], int] = (None, 1)
    if service.kind != "tensor":
        inputs = [_tensor(service.kind, _BYTES, column, rows)]
    given = (given if outputs else []) + [_tensor(name, _BYTES, column, rows) for name in read]
    if service.kind == "text":
        given.append(_tensor("truncated", "TYPE_BOOL", column, rows))
    joined = rows and service.kind == "text" and service.padding is not None
    return render(
        "triton/config.pbtxt",
        NAME=quoted(options.name),
        ROWS=rows,
        INPUTS=",\n".join(inputs),
        OUTPUTS=",\n".join(given),
        BATCHING=render("triton/batching.pbtxt", QUEUE=_QUEUE) if joined else _NOT_JOINED,
        COUNT=paddle_serving_files.copies(service, options, model),
        THREADS=options.threads,
    )


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
