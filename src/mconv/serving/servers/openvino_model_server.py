"""OpenVINO Model Server: a model repository that its own container serves, as it is in no package that mconv could start.

The server takes and gives the model's tensors; texts and pictures become tensors in the client, by the same modules as in
the services of the other servers. Layout and ``mapping_config.json``: the server's "Prepare a Model Repository"; the keys of
``config.json``: ``src/schema.cpp`` of openvinotoolkit/model_server; what it serves over HTTP: its "KServe compatible RESTful
API".
"""

from __future__ import annotations

import importlib.util
import json
import posixpath
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

from mconv.errors import RuntimeUnavailableError, UnsupportedError, UsageError
from mconv.printable import printable
from mconv.program.copying import copy_file
from mconv.program.files import locate
from mconv.serving.input_modules import Service
from mconv.serving.kinds import OPENVINO_MODEL_SERVER
from mconv.serving.rendering import literal, render
from mconv.serving.servers import manifests, paddle_serving_files
from mconv.serving.servers.engines import HINTS, ONNX, PADDLE
from mconv.serving.servers.http import INPUT_PACKAGES
from mconv.serving.servers.interface import (
    Binding,
    FoundService,
    Launch,
    Model,
    Server,
    reading,
    require_cpu,
    require_kind,
    unusual,
)
from mconv.serving.servers.parts import HOME, REQUEST_DATA, USAGE, client_main, containers, request_of
from mconv.serving.servers.requests import open_type
from mconv.serving.service_options import FP32, ServiceOptions
from mconv.serving.sidecars import read_settings

SERVICE, MODELS, CONFIG, MAPPING, CLIENT = (
    "service.json", "models", "config.json", "mapping_config.json", "http_client.py",
)  # fmt: skip
# the forms of a model that the server reads, of which mconv writes the first
FORMS = (PADDLE, "onnx")
PROGRAM, PARAMETERS = "model.pdmodel", "model.pdiparams"
_READ = "import sys; sys.modules['openvino_telemetry'] = None; import openvino; openvino.Core().read_model(sys.argv[1])"
_READ_TIMEOUT = 600  # seconds


class OpenVINOModelServer(Server):
    name = OPENVINO_MODEL_SERVER
    backends = FORMS
    tolerance = 1e-4  # OpenVINO computes in another order

    def check(self, options: ServiceOptions) -> None:
        said = {
            "workers": "--concurrency says how many requests are run at a time",
            "health_port": "/v2/health/ready and /metrics are at --http-port",
            "shapes": "it has no TensorRT",
            "onednn": "OpenVINO decides that",
            "log_file": "its log is its output",
            "log_level": "CMD of the Dockerfile has it",
        }
        for flag, hint in unusual(options, said):
            raise UsageError(f"{flag}: means nothing to a service of {self.name}", hint)
        require_cpu(self, options)

    def files(self, service: Service, model: Model, options: ServiceOptions) -> None:
        service.path = "/v2/models/NAME/infer"
        version = posixpath.join(MODELS, options.name, "1")
        home = posixpath.join(HOME, MODELS)
        copies = paddle_serving_files.copies(service, options, model)
        service.files[posixpath.join(MODELS, CONFIG)] = _text(_config(options, home, copies))
        renamed = {
            side: {var.name: var.alias for var in variables if var.alias != var.name}
            for side, variables in (("inputs", model.config.feeds), ("outputs", model.config.fetches))
        }
        if any(renamed.values()):
            service.files[posixpath.join(version, MAPPING)] = _text(renamed)
        described = {"name": options.name, "model": model.path}
        ports = {"http_port": options.http_port, "grpc_port": options.rpc_port}
        service.files[SERVICE] = _text({**described, **ports})
        service.files[REQUEST_DATA] = render(REQUEST_DATA)
        service.files[CLIENT] = render(
            f"openvino_model_server/{CLIENT}",
            NAME=options.name,
            HTTP_PORT=options.http_port,
            USAGE=USAGE[service.kind],
            MODULE=service.input_module,
            REQUEST=request_of(service.kind),
            TYPES=literal({i.name: open_type(i.name, i.dtype) for i in model.inputs}),
            OUTPUTS=literal([var.alias for var in model.config.fetches]),
            LABELS=literal(service.labels_file),
            ANSWERS=literal(service.answer_module),
            PREDICT=render("client_open_inference.py").rstrip("\n"),
            MAIN=client_main(ask="ask"),
        )
        values = {"HOME": home, "HTTP_PORT": options.http_port, "GRPC_PORT": options.rpc_port}
        containers(service, options, "openvino_model_server", values, INPUT_PACKAGES, None)
        manifests.add(
            service,
            MODELS,
            options,
            inputs=model.inputs,
            ports={"http": options.http_port, "grpc": options.rpc_port},
            ready="/v2/health/ready",
            live="/v2/health/live",
            cpus=copies,
        )
        if options.backend == FORMS[1]:
            service.notes.append(
                f"OpenVINO wants {ONNX} in {version}: `mconv to-onnx {model.path} {posixpath.join(version, ONNX)}` in the "
                "service's folder"
            )
            return
        service.later = [posixpath.join(version, name) for name in (PROGRAM, PARAMETERS)]
        service.finish = lambda folder, source: _add_model(service, folder / version, source)

    def read(self, folder: Path) -> Optional[FoundService]:
        path = folder / SERVICE
        if not (path.is_file() and (folder / MODELS / CONFIG).is_file()):
            return None
        with reading(f"{folder}: not a service of {self.name} as mconv writes it", self.name):
            content = json.loads(read_settings(path))
            return FoundService(
                folder.absolute(),
                require_kind(folder),
                str(content["name"]),
                rpc_port=int(content["grpc_port"]),
                http_port=int(content["http_port"]),
                ir_optim=True,
                model=str(content["model"]),
                server_name=self.name,
            )

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        raise not_startable(service)

    def move(self, service: FoundService, binding: Binding) -> None:
        raise not_startable(service)


def not_startable(service: Optional[FoundService]) -> RuntimeUnavailableError:
    """What is said where the server would have to be started.

    Args:
        service: the one that is to be; None: there is none yet.
    """
    folder = "the folder that `mconv scaffold` writes" if service is None else service.folder
    name = "NAME" if service is None else service.name
    return RuntimeUnavailableError(
        f"{OPENVINO_MODEL_SERVER}: the server is in no package registry, so that mconv cannot start it",
        f"`docker compose up --build` in {folder}; `mconv verify MODEL http://127.0.0.1:38000/v2/models/{name}/infer` "
        "compares it then",
    )


def _config(options: ServiceOptions, home: str, copies: int) -> dict[str, Any]:
    """``config.json``; values of plugin_config are texts, as the server wants them."""
    plugin = {
        "NUM_STREAMS": str(copies),
        "INFERENCE_NUM_THREADS": str(copies * options.threads),
        # said, as it would take bfloat16 by itself where the processor has it
        "INFERENCE_PRECISION_HINT": HINTS[options.precision or FP32],
    }
    described = {
        "name": options.name,
        "base_path": posixpath.join(home, options.name),
        "target_device": "CPU",
        "plugin_config": plugin,
    }
    return {"model_config_list": [{"config": described}], "monitoring": {"metrics": {"enable": True}}}


def _add_model(service: Service, version: Path, source: Path) -> None:
    """Copy the program and its parameters out of a ``serving_server/`` folder, and read them as the server will.

    Raises:
        UnsupportedError: the parameters are in several files, or OpenVINO cannot read the program.
    """
    found = locate(source)
    if found.params is None or found.separate:
        raise UnsupportedError(
            f"{source}: OpenVINO reads parameters from one file alone", "`mconv to-serving` makes it"
        )
    version.mkdir(parents=True, exist_ok=True)
    for path, name in ((found.program, PROGRAM), (found.params, PARAMETERS)):
        copy_file(path, version / name)
    if importlib.util.find_spec("openvino") is None:
        service.notes.append(
            "whether OpenVINO reads the model was not tried: `pip install openvino`, and write it again"
        )
        return
    reason = refusal(version / PROGRAM)
    if reason is not None:
        raise UnsupportedError(
            f"OpenVINO cannot read this model ({reason})",
            f"--backend {FORMS[1]} takes it as ONNX, from `mconv to-onnx`",
        )


def refusal(program: Path) -> Optional[str]:
    """Why OpenVINO, as it is installed here, does not read a model; None: it does.

    It is read in a process of its own, whose death is a result.

    Raises:
        UnsupportedError: it took longer than ten minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _READ, program.name],
            cwd=program.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_READ_TIMEOUT,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise UnsupportedError(f"OpenVINO has not read this model within {_READ_TIMEOUT} seconds") from None
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"it ends by {signal.Signals(-done.returncode).name}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    said = (
        [line for line in lines if line.startswith(("No creator", "Fail", "Internal"))] or lines[-1:] or ["no reason"]
    )
    return printable(said[-1], 200)


def _text(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
