"""A service of its own over HTTP: FastAPI and uvicorn around OpenVINO or ONNX Runtime, without Paddle Serving.

It answers Paddle Serving's ``/NAME/prediction`` and the Open Inference Protocol's ``/v2/models/NAME/infer``; its files are
the templates in ``templates/http/``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from mconv import service_packages as packages
from mconv.errors import UsageError
from mconv.printable import quoted
from mconv.program.dtypes import DType
from mconv.serving.input_modules import MODULES, Service
from mconv.serving.kinds import ModelInput
from mconv.serving.rendering import literal, render
from mconv.serving.servers import manifests
from mconv.serving.servers.engines import (
    BACKENDS,
    ENGINE,
    ONNX,
    ONNXRUNTIME,
    OPENVINO,
    PADDLE,
    check_precision,
    engine,
    engine_of_stages,
    onnx_note,
    onnx_of,
    precision,
    require_onnx,
    settings,
)
from mconv.serving.servers.interface import (
    Addresses,
    Binding,
    FoundService,
    Launch,
    Model,
    Server,
    Stage,
    kind_in,
    reading,
    require_cpu,
    unusual,
)
from mconv.serving.servers.parts import (
    BATCHING,
    HOME,
    REQUEST_DATA,
    RESTARTS,
    SETTINGS,
    TAKEN,
    batching,
    client,
    containers,
    joinable,
)
from mconv.serving.servers.requests import KEY_VALUE, PAGES, TENSORS, open_type
from mconv.serving.service_options import ServiceOptions
from mconv.serving.sidecars import read_settings
from mconv.yaml_text import parsed

CONFIG, SERVICE, MODEL = "service.yml", "service.py", "model.py"
# what nothing is filled into
PARTS = ("batcher.py", "connections.py", "engine_process.py", "protocols.py", "reading.py")
INPUT_PACKAGES = (*packages.INPUTS, "numpy>=2,<3")
ENGINE_PACKAGES = {OPENVINO: packages.OPENVINO, ONNXRUNTIME: packages.ONNXRUNTIME, PADDLE: packages.PADDLE}
_BATCH = 32  # requests that are run together, at most
_LENGTH_STEP = 8  # tokens
# MiB of a request; texts have 400,000 characters at most, each of up to 12 bytes in JSON
_MAX_BODY, _MAX_TEXTS = 64, 8
_WITH_PADDLE = "http-paddle"  # the runtime whose engine is Paddle


class Http(Server):
    name = "http"
    runtime = "http"
    backends = BACKENDS
    tolerance = 2e-4  # Paddle and another engine add up in another order
    models = "models"

    def check(self, options: ServiceOptions) -> None:
        said = {
            "rpc_port": "it has no RPC",
            "health_port": "/health and /metrics are at --http-port",
            "workers": "it takes requests in one process, without threads that wait",
            "shapes": "it has no TensorRT",
            "onednn": "its engine decides that",
            "log_file": "its log is its output",
            "log_level": "its log is its output",
        }
        for flag, why in unusual(options, said):
            raise UsageError(f"{flag}: nothing that a service of {self.name} has: {why}", f"leave out {flag}")
        require_cpu(self, options)
        check_precision(options)

    def files(self, service: Service, model: Model, options: ServiceOptions) -> None:
        service.files[MODEL] = render(
            f"http/{MODEL}",
            MODULE=service.input_module,
            LABELS=literal(service.labels_file),
            ANSWERS=literal(service.answer_module),
            OUTPUTS=service.answer_module is None,
        )
        service.files[ENGINE] = engine(service, model, options)
        service.files[BATCHING] = batching(service, model)
        together = _BATCH if joinable(model) else 1
        # OpenVINO takes any length as quickly as one that it has had, the others prepare for each
        open_length = service.padding is not None and (options.backend or BACKENDS[0]) != OPENVINO
        step = _LENGTH_STEP if open_length else 1
        _add_around(service, model.path, options, model.inputs, _metadata(service, model), together, step, self.name)
        if options.backend == ONNXRUNTIME:
            service.notes.append(onnx_note(model.path, ONNX))

    def pipeline(self, service: Service, stages: Mapping[str, Stage], options: ServiceOptions) -> None:
        service.files[MODEL] = render(f"http/pipeline_{MODEL}")
        service.files[ENGINE] = engine_of_stages(stages, options)
        # each run of a model is one of few lines already
        service.files[BATCHING] = render(BATCHING, JOINABLE="False", PADDING=None, LENGTHS={}, AND_LENGTHS="")
        outputs = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in PAGES]
        metadata = {"inputs": [_values("image")], "outputs": outputs}
        _add_around(service, self.models, options, (), metadata, 1, 1, self.name)
        if options.backend == ONNXRUNTIME:
            first, *_ = (stage.model.path for stage in stages.values())
            service.notes.append(onnx_note(first, onnx_of(first), several=True))

    def read(self, folder: Path) -> Optional[FoundService]:
        kind = kind_in(folder)
        if kind is None or not all((folder / name).is_file() for name in (CONFIG, SERVICE, ENGINE)):
            return None
        path = folder / CONFIG
        with reading(f"{path}: not the configuration of a service", self.name):
            content = parsed(read_settings(path))
            if content.get("server", Http.name) != self.name:  # of one that is made of this one
                return None
            run_by = settings(folder / ENGINE)
            return FoundService(
                folder.absolute(),
                kind,
                str(content["name"]),
                rpc_port=None,
                http_port=int(content["http_port"]),
                ir_optim=True,
                model=str(content["model"]),
                drain=float(content["drain_timeout"]) + float(content["linger"]),
                server_name=self.name,
                runtime=_WITH_PADDLE if run_by.get("ENGINE") == PADDLE else None,
                precision=precision(run_by),
            )

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        found = settings(service.folder / ENGINE)
        if found.get("ENGINE") == ONNXRUNTIME:
            model = found.get("MODEL")
            for path in model.values() if isinstance(model, dict) else [model]:
                require_onnx(service.folder, str(path))
        return Launch((SERVICE,), service.folder, binding.environment)

    def addresses(self, service: FoundService, binding: Binding) -> Addresses:
        found = super().addresses(service, binding)
        own = dict.fromkeys((KEY_VALUE, TENSORS), f"{binding.root}/{service.name}/prediction")
        return replace(found, http={**own, **found.http})


def _add_around(
    service: Service,
    path: str,
    options: ServiceOptions,
    inputs: Sequence[ModelInput],
    metadata: Mapping[str, Any],
    together: int,
    step: int,
    server: str,
) -> None:
    """Add the server, its settings, what asks it, and what containers are made with.

    Args:
        path: the folder of the model or the models, as seen from the service's.
        inputs: of the model; empty: there are several.
        metadata: the inputs and outputs as the Open Inference Protocol's metadata has them.
        together: how many requests are run together at most.
        step: rows of open length are filled up to a multiple of that.
        server: the name of the server.
    """
    backend = options.backend or BACKENDS[0]
    service.files[CONFIG] = render(
        f"http/{CONFIG}",
        NAME=options.name,
        SERVER=server,
        HTTP_PORT=options.http_port,
        MODEL=quoted(path),
        CONCURRENCY=options.concurrency or 0,
        THREADS=options.threads,
        BATCH_SIZE=together,
        LENGTH_STEP=step,
        MAX_BODY=_MAX_TEXTS if service.kind == "text" else _MAX_BODY,
    )
    service.files[SERVICE] = render(
        f"http/{SERVICE}",
        SUMMARY=f"{TAKEN[service.kind]} in, JSON out",
        MODULE=service.input_module,
        KIND=service.kind,
        METADATA=literal(metadata),
    )
    for part in PARTS:
        service.files[part] = render(f"http/{part}")
    for part in (REQUEST_DATA, RESTARTS, SETTINGS):
        service.files[part] = render(part)
    onnx = [ONNX] if backend == ONNXRUNTIME and inputs else []
    first = [CONFIG, SERVICE, ENGINE, MODEL, *PARTS, REQUEST_DATA, RESTARTS, SETTINGS, BATCHING, MODULES[service.kind]]
    copied = [*first, *sorted({*service.files, *service.copies} - {*first}), *onnx]
    service.files["http_client.py"] = client("http_client.py", service.kind, options)
    required = (*packages.HTTP_SERVER, *INPUT_PACKAGES, ENGINE_PACKAGES[backend])
    docker = {"BACKEND": backend, "WORKDIR": HOME, "COPIED": " ".join(copied)}
    containers(service, options, "http", {"HTTP_PORT": options.http_port}, required, path, **docker)
    manifests.add(service, path, options, inputs=inputs, ports={"http": options.http_port}, ready="/health")


def _values(name: str) -> dict[str, Any]:
    return {"name": name, "datatype": "BYTES", "shape": [-1, 1]}


def _metadata(service: Service, model: Model) -> dict[str, Any]:
    """The inputs and outputs as the Open Inference Protocol's metadata has them."""
    inputs = [_values(service.kind)]
    if service.kind == "tensor":
        inputs = [_tensor(i.name, i.dtype, [-1 if d is None else d for d in i.shape]) for i in model.inputs]
    types = {var.alias: var.dtype for var in model.config.fetches}
    return {"inputs": inputs, "outputs": [_tensor(n, types[n] or DType.FP32, s) for n, s in model.outputs.items()]}


def _tensor(name: str, dtype: DType, shape: Iterable[int]) -> dict[str, Any]:
    return {"name": name, "datatype": open_type(name, dtype), "shape": list(shape)}
