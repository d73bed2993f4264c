"""A service of its own over HTTP: FastAPI and uvicorn around OpenVINO or ONNX Runtime, without Paddle Serving.

It answers Paddle Serving's ``/NAME/prediction`` and the Open Inference Protocol's ``/v2/models/NAME/infer``; its files are
the templates in ``templates/http/``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from mconv.errors import NotAModelError, UsageError
from mconv.printable import quoted
from mconv.serving.input_modules import ANSWERS, CHARACTERS, LABELS, MODULES, Service
from mconv.serving.rendering import literal, render
from mconv.serving.servers import manifests
from mconv.serving.servers.engines import BACKENDS, ENGINE, ONNX, ONNXRUNTIME, OPENVINO, PADDLE, engine, settings
from mconv.serving.servers.interface import Addresses, Binding, FoundService, Launch, Model
from mconv.serving.servers.parts import BATCHING, HOME, REQUEST_DATA, TAKEN, batching, client, mounted
from mconv.serving.servers.requests import KEY_VALUE, OPEN_INFERENCE, OPEN_TYPES, TENSORS
from mconv.serving.service_options import ServiceOptions

CONFIG, SERVICE = "service.yml", "service.py"
# what nothing is filled into
PARTS = ("batcher.py", "protocols.py")
# of the runtime `http`, and of a service's requirements.txt
SERVER_PACKAGES = (
    "fastapi==0.165.0",
    "uvicorn==0.54.0",
    "httptools==0.9.0",
    "uvloop==0.23.0",
    "orjson==3.13.0",
    "prometheus-client==0.26.0",
    "pyyaml>=6",
)
INPUT_PACKAGES = (
    "tokenizers==0.23.3",
    "sentencepiece<0.3",
    "pillow<13",
    "opencv-python-headless<5",
    "pyclipper<1.5",
    "numpy>=2,<3",
)
ENGINE_PACKAGES = {
    OPENVINO: "openvino==2026.4.1", ONNXRUNTIME: "onnxruntime==1.23.2", PADDLE: "paddlepaddle==3.3.1",
}  # fmt: skip
_BATCH = 32  # requests that are run together, at most
_LENGTH_STEP = 8  # tokens
# Paddle and another engine add up in another order
_TOLERANCE = 2e-4


class Http:
    name = "http"
    runtime = "http"
    clients: tuple[str, ...] = ("http_client.py",)
    backends: tuple[str, ...] = BACKENDS
    rpc = False
    tolerance = _TOLERANCE

    def check(self, options: ServiceOptions) -> None:
        usual = ServiceOptions()
        for flag, field, why in (
            ("--rpc-port", "rpc_port", "it has no RPC"),
            ("--health-port", "health_port", "/health and /metrics are at --http-port"),
            ("--workers", "workers", "it takes requests in one process, without threads that wait"),
            ("--shapes", "shapes", "it has no TensorRT"),
            ("--onednn", "onednn", "its engine decides that"),
            ("--log-file", "log_file", "its log is its output"),
            ("--log-level", "log_level", "its log is its output"),
        ):
            if getattr(options, field) != getattr(usual, field):
                raise UsageError(f"{flag}: nothing that a service of {self.name} has: {why}", f"leave out {flag}")
        if options.device_type not in (None, 0):
            raise UsageError(f"--device-type {options.device_type}: {self.name} runs models on the CPU", "leave it out")

    def files(self, service: Service, model: Model, options: ServiceOptions) -> None:
        service.rpc = False
        backend = options.backend or self.backends[0]
        joined = batching(service, model)
        service.files[CONFIG] = render(
            f"http/{CONFIG}",
            NAME=options.name,
            HTTP_PORT=options.http_port,
            MODEL=quoted(model.path),
            CONCURRENCY=options.concurrency or 0,
            THREADS=options.threads,
            BATCH_SIZE=_BATCH if joined["JOINABLE"] == "True" else 1,
            LENGTH_STEP=_LENGTH_STEP if service.padding is not None else 1,
        )
        service.files[SERVICE] = render(
            f"http/{SERVICE}",
            SUMMARY=f"{TAKEN[service.kind]} in, JSON out",
            MODULE=service.input_module,
            KIND=service.kind,
            LABELS=literal(service.labels_file),
            ANSWERS=literal(service.answer_module),
            OUTPUTS=service.answer_module is None,
            METADATA=literal(_metadata(service, model)),
        )
        service.files[ENGINE] = engine(service, model, options, paddle=False)
        for part in PARTS:
            service.files[part] = render(f"http/{part}")
        service.files[REQUEST_DATA] = render(REQUEST_DATA)
        service.files[BATCHING] = render(BATCHING, **joined)
        service.files["http_client.py"] = client("http_client.py", service.kind, options)
        needed = sorted((*SERVER_PACKAGES, *INPUT_PACKAGES, ENGINE_PACKAGES[backend]))
        service.files["requirements.txt"] = render("http/requirements.txt", REQUIREMENTS="\n".join(needed))
        more = sorted({*service.copies, *({LABELS, CHARACTERS, *ANSWERS.values()} & set(service.files))})
        onnx = [ONNX] if backend == ONNXRUNTIME else []
        copied = [CONFIG, SERVICE, ENGINE, *PARTS, REQUEST_DATA, BATCHING, MODULES[service.kind], *more, *onnx]
        service.files["Dockerfile"] = render(
            "http/Dockerfile", BACKEND=backend, WORKDIR=HOME, COPIED=" ".join(copied), HTTP_PORT=options.http_port
        )
        service.files["docker-compose.yml"] = render(
            "http/docker-compose.yml",
            NAME=options.name,
            COMPOSE_NAME=options.name.lower(),
            HTTP_PORT=options.http_port,
            **mounted(model.path),
        )
        manifests.add(
            service, model.path, options, inputs=model.inputs, ports={"http": options.http_port}, ready="/health"
        )
        if backend == ONNXRUNTIME:
            service.notes.append(
                f"ONNX Runtime wants {ONNX} in the service's folder: `mconv to-onnx {model.path} {ONNX}` there"
            )

    def read(self, folder: Path) -> Optional[FoundService]:
        import yaml

        if not all((folder / name).is_file() for name in (CONFIG, SERVICE, ENGINE)):
            return None
        kind = next((kind for kind, module in MODULES.items() if (folder / module).is_file()), None)
        if kind is None:
            return None
        path = folder / CONFIG
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            values: dict[str, Any] = {
                "name": str(content["name"]),
                "rpc_port": None,
                "http_port": int(content["http_port"]),
                "ir_optim": True,
                "model": str(content["model"]),
                "drain": float(content["drain_timeout"]) + float(content["linger"]),
            }
        except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as e:
            first = (str(e).splitlines() or [""])[0]
            raise NotAModelError(
                f"{path}: not the configuration of a service ({type(e).__name__}: {first})",
                "write it again with `mconv scaffold --server http`",
            ) from None
        return FoundService(folder.absolute(), kind, **values, server_name=self.name)

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        backend = settings(service.folder / ENGINE).get("ENGINE")
        if backend == PADDLE:
            raise UsageError(
                f"{service.folder}: its engine is Paddle, which the managed runtime {self.runtime} does not have",
                "run it where requirements.txt is installed (its Dockerfile does that)",
            )
        if backend == ONNXRUNTIME and not (service.folder / ONNX).is_file():
            raise UsageError(f"{service.folder} has no {ONNX}", f"make it with `mconv to-onnx MODEL THERE/{ONNX}`")
        environment = {"SERVICE_HOST": binding.host, "SERVICE_HTTP_PORT": str(binding.http_port)}
        return Launch(self.runtime, (SERVICE,), service.folder, environment)

    def addresses(self, service: FoundService, binding: Binding) -> Addresses:
        root = f"http://{binding.near}:{binding.http_port}"
        prediction = f"{root}/{service.name}/prediction"
        infer = f"{root}/v2/models/{service.name}/infer"
        return Addresses(
            {KEY_VALUE: prediction, TENSORS: prediction, OPEN_INFERENCE: infer}, health=f"{root}/v2/health/ready"
        )

    def move(self, service: FoundService, binding: Binding) -> None:
        pass  # it goes by its environment


def _metadata(service: Service, model: Model) -> dict[str, Any]:
    """The inputs and outputs as the Open Inference Protocol's metadata has them."""
    inputs: list[dict[str, Any]] = [{"name": service.kind, "datatype": "BYTES", "shape": [-1, 1]}]
    if service.kind == "tensor":
        inputs = [
            {"name": i.name, "datatype": OPEN_TYPES[i.dtype.label], "shape": [-1 if d is None else d for d in i.shape]}
            for i in model.inputs
        ]
    types = {var.alias: var.dtype for var in model.config.fetches}
    outputs = [
        {"name": name, "datatype": OPEN_TYPES[kind.label if (kind := types[name]) is not None else "float32"], "shape": list(shape)}
        for name, shape in model.outputs.items()
    ]  # fmt: skip
    return {"inputs": inputs, "outputs": outputs}
