"""Triton Inference Server: a model repository with its python backend, started without Docker from ``nvidia-pytriton``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Optional

from mconv.errors import UsageError
from mconv.serving.input_modules import Service
from mconv.serving.kinds import OCR
from mconv.serving.servers import triton_files as files
from mconv.serving.servers.engines import (
    BACKENDS,
    ENGINE,
    ONNX,
    ONNXRUNTIME,
    PADDLE,
    check_precision,
    precision,
    require_onnx,
    settings,
)
from mconv.serving.servers.interface import (
    Binding,
    FoundService,
    Launch,
    Model,
    Server,
    Stage,
    reading,
    require_kind,
    unusual,
)
from mconv.serving.service_options import ServiceOptions
from mconv.serving.sidecars import read_settings


class Triton(Server):
    name = "triton"
    runtime = "triton"
    backends = BACKENDS
    tolerance = 1e-4  # OpenVINO computes in another order
    models = "stages"  # models/ is Triton's repository

    def check(self, options: ServiceOptions) -> None:
        said = {
            "workers": "--concurrency says how many processes run the model",
            "log_file": "its log goes to stderr",
            "log_level": "leave it out",
            "device_type": "repositories/paddle has the form for GPUs",
        }
        for flag, hint in unusual(replace(options, device_type=options.device_type or None), said):
            raise UsageError(f"{flag}: means nothing to a service of Triton", hint)
        if options.onednn is not None and options.backend != PADDLE:
            raise UsageError("--onednn: is of Paddle", "--backend paddle")
        check_precision(options)

    def files(self, service: Service, model: Model, options: ServiceOptions) -> None:
        files.add(service, model, options)

    def pipeline(self, service: Service, stages: Mapping[str, Stage], options: ServiceOptions) -> None:
        files.add_pipeline(service, stages, options, self.models)

    def read(self, folder: Path) -> Optional[FoundService]:
        path = folder / files.SERVICE
        if not (path.is_file() and (folder / files.START).is_file()):
            return None
        with reading(f"{folder}: not a service of Triton as mconv writes it", self.name):
            content = json.loads(read_settings(path))
            name = str(content["name"])
            versions = [p for p in (folder / files.MODELS / name).iterdir() if p.name.isdigit()]
            newest = max(versions, key=lambda version: int(version.name))
            inside = newest.relative_to(folder).as_posix()
            kind = require_kind(newest)
            engine = settings(_engines(folder, kind, inside)[0])
            # of a file of ONNX, the model that it was made of
            told = kind == OCR or engine["MODEL"] == ONNX
            return FoundService(
                folder.absolute(),
                kind,
                name,
                rpc_port=int(content["grpc_port"]),
                http_port=int(content["http_port"]),
                ir_optim=bool(engine.get("IR_OPTIM")),
                model=content["model"] if told else files.from_service(inside, str(engine["MODEL"])),
                health_port=int(content["metrics_port"]) or None,
                drain=float(content["drain_timeout"]),
                server_name=self.name,
                modules=inside,
                precision=precision(engine),
            )

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        environment = {
            **binding.environment,
            "SERVICE_GRPC_PORT": str(binding.rpc_port or 0),
            "SERVICE_METRICS_PORT": str(binding.health_port or 0),
        }
        engine = None
        for path in _engines(service.folder, service.kind, service.modules):
            with reading(f"{path}: not the engine of a service", self.name):
                engine = settings(path)["ENGINE"]
            if engine == ONNXRUNTIME:
                require_onnx(path.parent)
        models_in = "paddle-2.6.2" if engine == PADDLE else None
        return Launch((files.START,), service.folder, environment, models_in)


def _engines(folder: Path, kind: str, modules: str) -> list[Path]:
    """The modules of a service that run the model, or each of several."""
    return sorted((folder / files.MODELS).glob(f"*/[0-9]*/{ENGINE}")) if kind == OCR else [folder / modules / ENGINE]
