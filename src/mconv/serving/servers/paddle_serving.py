"""Paddle Serving's pipeline, version 0.9.0."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Optional

from mconv.errors import UsageError
from mconv.serving.input_modules import Service
from mconv.serving.kinds import OCR, PADDLE_SERVING
from mconv.serving.servers import paddle_serving_files as files
from mconv.serving.servers.interface import (
    EVERYWHERE,
    Addresses,
    Binding,
    FoundService,
    Launch,
    Model,
    Server,
    Stage,
    reading,
)
from mconv.serving.servers.requests import KEY_VALUE, TENSORS
from mconv.serving.service_options import BF16, ServiceOptions
from mconv.serving.sidecars import read_settings
from mconv.yaml_text import parsed


class PaddleServing(Server):
    name = PADDLE_SERVING
    runtime = "paddle-2.3.2"
    clients = files.CLIENTS
    rpc = True
    models = "models"
    early_slice = False

    def check(self, options: ServiceOptions) -> None:
        if options.precision == BF16:
            raise UsageError(
                f"--precision {BF16}: on a CPU, Paddle Serving computes a float32 model in float32",
                "--server http or triton; for a GPU, `mconv half` makes the model half precision",
            )

    def files(self, service: Service, model: Model, options: ServiceOptions) -> None:
        files.add(service, model, options)

    def pipeline(self, service: Service, stages: Mapping[str, Stage], options: ServiceOptions) -> None:
        files.add_pipeline(service, stages, options, self.models)

    def read(self, folder: Path) -> Optional[FoundService]:
        kind = files.kind_of(folder)
        if kind is None:
            return None
        path = folder / files.CONFIG
        with reading(f"{path}: not the configuration of one service", self.name):
            content = parsed(read_settings(path))
            (name, operator), *others = content["op"].items()
            local = operator["local_service_conf"]
            model = str(local["model_config"])
            if kind == OCR:
                name, model = str(content["name"]), str(PurePosixPath(model).parent)
            elif others:
                raise ValueError(f"{1 + len(others)} operators")
            return FoundService(
                folder.absolute(),
                kind,
                name,
                rpc_port=int(content["rpc_port"]),
                http_port=int(content["http_port"]),
                ir_optim=bool(local.get("ir_optim", False)),
                model=model,
                onednn=bool(local.get("use_mkldnn")) and local.get("device_type") == 0,
                passes=bool(local.get("onednn_fc")),
                mkl=bool(local.get("mkl_all_processors")),
                health_port=int(content["health_port"]) if content.get("health_port") else None,
                gpu=local.get("device_type") in (1, 2),
                own_http=(folder / files.HTTP_SERVER).is_file(),
                drain=float(content.get("drain_timeout") or 30),
                server_name=self.name,
            )

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        if not service.own_http and binding.host not in EVERYWHERE:
            raise UsageError(
                f"{service.folder} was written by an earlier mconv: the HTTP gateway of Paddle Serving listens on every "
                f"interface, not on {binding.host} alone",
                "write it again with `mconv scaffold --force`, or say --host 0.0.0.0",
            )
        environment = binding.environment
        if binding.rpc_port:
            environment["SERVICE_RPC_PORT"] = str(binding.rpc_port)
        if binding.health_port:
            environment["SERVICE_HEALTH_PORT"] = str(binding.health_port)
        return Launch((files.SERVICE,), service.folder, environment)

    def addresses(self, service: FoundService, binding: Binding) -> Addresses:
        return Addresses(
            dict.fromkeys((KEY_VALUE, TENSORS), f"{binding.root}/{service.name}/prediction"),
            f"{binding.near}:{binding.rpc_port}" if binding.rpc_port else None,
            f"http://{binding.near}:{binding.health_port}/health" if binding.health_port else None,
        )

    def move(self, service: FoundService, binding: Binding) -> None:
        path = service.folder / files.CONFIG
        text = read_settings(path)
        ports = {"rpc_port": binding.rpc_port, "http_port": binding.http_port, "health_port": binding.health_port}
        for key, port in ports.items():
            text = re.sub(rf"^{key}:.*$", f"{key}: {port}", text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
