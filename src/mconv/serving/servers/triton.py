"""Triton Inference Server: a model repository with its python backend, started without Docker from ``nvidia-pytriton``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from mconv.errors import NotAModelError, UsageError
from mconv.serving.input_modules import MODULES, Service
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
    settings,
)
from mconv.serving.servers.interface import Addresses, Binding, FoundService, Launch, Model, Stage
from mconv.serving.servers.requests import OPEN_INFERENCE
from mconv.serving.service_options import ServiceOptions
from mconv.serving.sidecars import read_settings


class Triton:
    name = "triton"
    runtime = "triton"
    clients: tuple[str, ...] = (files.CLIENT,)
    backends: tuple[str, ...] = BACKENDS
    rpc = False
    tolerance = 1e-4  # OpenVINO computes in another order
    models = "stages"  # models/ is Triton's repository
    early_slice = True

    def check(self, options: ServiceOptions) -> None:
        usual = ServiceOptions()
        for option, given, hint in (
            ("--workers", options.workers, "--concurrency says how many processes run the model"),
            ("--log-file", options.log_file if options.log_file != usual.log_file else None, "its log goes to stderr"),
            ("--log-level", options.log_level if options.log_level != usual.log_level else None, "leave it out"),
            ("--device-type", options.device_type or None, "repositories/paddle has the form for GPUs"),
        ):
            if given is not None:
                raise UsageError(f"{option}: means nothing to a service of Triton", hint)
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
        try:
            content = json.loads(read_settings(path))
            name = str(content["name"])
            versions = [p for p in (folder / files.MODELS / name).iterdir() if p.name.isdigit()]
            newest = max(versions, key=lambda version: int(version.name))
            kind = next(kind for kind, module in MODULES.items() if (newest / module).is_file())
            engine = settings(_of_stages(folder)[0] if kind == OCR else newest / ENGINE)
            inside = newest.relative_to(folder).as_posix()
            values: dict[str, Any] = {
                "rpc_port": int(content["grpc_port"]),
                "http_port": int(content["http_port"]),
                "health_port": int(content["metrics_port"]) or None,
                "ir_optim": bool(engine.get("IR_OPTIM")),
                "drain": float(content["drain_timeout"]),
                "precision": precision(engine),
                # of a file of ONNX, the model that it was made of
                "model": content["model"]
                if kind == OCR or engine["MODEL"] == ONNX
                else files.from_service(inside, str(engine["MODEL"])),
            }
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            StopIteration,
            IndexError,
            SyntaxError,
            RecursionError,
        ) as e:
            first = (str(e).splitlines() or [""])[0]
            raise NotAModelError(
                f"{folder}: not a service of Triton as mconv writes it ({type(e).__name__}: {first})",
                "write it again with `mconv scaffold --server triton`",
            ) from None
        return FoundService(folder.absolute(), kind, name, **values, server_name=self.name, modules=inside)

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        environment = {
            "SERVICE_HOST": binding.host,
            "SERVICE_HTTP_PORT": str(binding.http_port),
            "SERVICE_GRPC_PORT": str(binding.rpc_port or 0),
            "SERVICE_METRICS_PORT": str(binding.health_port or 0),
        }
        engine = None
        for path in self._engines(service):
            engine = settings(path)["ENGINE"]
            if engine == ONNXRUNTIME and not path.with_name(ONNX).is_file():
                raise UsageError(
                    f"{path.parent} has no {ONNX}", f"make it with `mconv to-onnx MODEL {path.parent / ONNX}`"
                )
        models_in = "paddle-2.6.2" if engine == PADDLE else None
        return Launch((files.START,), service.folder, environment, models_in)

    @staticmethod
    def _engines(service: FoundService) -> list[Path]:
        """The modules that run the model, or each of several."""
        if service.kind != OCR:
            return [service.folder / service.modules / ENGINE]
        return _of_stages(service.folder)

    def addresses(self, service: FoundService, binding: Binding) -> Addresses:
        base = f"http://{binding.near}:{binding.http_port}/v2"
        return Addresses({OPEN_INFERENCE: f"{base}/models/{service.name}/infer"}, None, f"{base}/health/ready")

    def move(self, service: FoundService, binding: Binding) -> None:
        pass  # start.py goes by its environment


def _of_stages(folder: Path) -> list[Path]:
    """The modules that run the models of a service of several."""
    return sorted((folder / files.MODELS).glob(f"*/[0-9]*/{ENGINE}"))
