"""Paddle Serving's pipeline, version 0.9.0: services as :mod:`mconv.serving.scaffold` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import NotAModelError, UnsupportedError, UsageError
from mconv.program.dtypes import DType
from mconv.program.files import load_program, locate
from mconv.serving import configure, scaffold
from mconv.serving.configure import TYPES
from mconv.serving.scaffold import ServiceOptions
from mconv.serving.servers.interface import EVERYWHERE, Addresses, Binding, FoundService, Launch

FORMS = ("key-value", "tensors")
# type of the elements → their field in the service's Tensor message; the numbers are the configuration's
FIELDS = {
    DType.INT64: "int64_data",
    DType.FP32: "float_data",
    DType.INT32: "int_data",
    DType.FP64: "float64_data",
    DType.INT16: "int_data",
    DType.FP16: "float_data",
    DType.UINT8: "uint32_data",
    DType.INT8: "int_data",
    DType.BOOL: "bool_data",
}
_STRING = 12  # elem_type of a text


class PaddleServing:
    name = "paddle-serving"

    def read(self, folder: Path) -> Optional[FoundService]:
        import yaml

        kind = scaffold.kind_of(folder)
        if kind is None:
            return None
        path = folder / scaffold.CONFIG
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            ((name, operator),) = content["op"].items()
            local = operator["local_service_conf"]
            values: dict[str, Any] = {
                "name": name,
                "rpc_port": int(content["rpc_port"]),
                "http_port": int(content["http_port"]),
                "ir_optim": bool(local.get("ir_optim", False)),
                "model": str(local["model_config"]),
                "onednn": bool(local.get("use_mkldnn")) and local.get("device_type") == 0,
                "passes": bool(local.get("onednn_fc")),
                "health_port": int(content["health_port"]) if content.get("health_port") else None,
                "gpu": local.get("device_type") in (1, 2),
                "drain": float(content.get("drain_timeout") or 30),
            }
        except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as e:
            first = (str(e).splitlines() or [""])[0]
            raise NotAModelError(
                f"{path}: not the configuration of one service ({type(e).__name__}: {first})",
                "write it again with `mconv scaffold`",
            ) from None
        own_http = (folder / scaffold.HTTP_SERVER).is_file()
        return FoundService(folder.absolute(), kind, **values, own_http=own_http, server_name=self.name)

    def make(
        self,
        model: Path,
        folder: Path,
        binding: Optional[Binding] = None,
        *,
        ir_optim: bool = True,
        kind: Optional[str] = None,
    ) -> FoundService:
        options = ServiceOptions(service=kind, ir_optim=ir_optim)
        if binding is not None:
            options = ServiceOptions(
                service=kind,
                ir_optim=ir_optim,
                http_port=binding.http_port,
                rpc_port=binding.rpc_port or options.rpc_port,
                health_port=binding.health_port,
            )
        config = configure.read(model / configure.SERVER_TEXT)
        planned = scaffold.plan(
            config, load_program(locate(model)), options, model=str(model.absolute()), beside=model
        )  # fmt: skip
        planned.write(folder)
        made = self.read(folder)
        assert made is not None
        return made

    def launch(self, service: FoundService, binding: Binding) -> Launch:
        if not service.own_http and binding.host not in EVERYWHERE:
            raise UsageError(
                f"{service.folder} was written by an earlier mconv: the HTTP gateway of Paddle Serving listens on every "
                f"interface, not on {binding.host} alone",
                "write it again with `mconv scaffold --force`, or say --host 0.0.0.0",
            )
        environment = {"SERVICE_HOST": binding.host, "SERVICE_HTTP_PORT": str(binding.http_port)}
        if binding.rpc_port:
            environment["SERVICE_RPC_PORT"] = str(binding.rpc_port)
        if binding.health_port:
            environment["SERVICE_HEALTH_PORT"] = str(binding.health_port)
        return Launch("paddle-2.3.2", (scaffold.SERVICE,), service.folder, environment)

    def addresses(self, service: FoundService, binding: Binding) -> Addresses:
        near = binding.near
        return Addresses(
            f"http://{near}:{binding.http_port}/{service.name}/prediction",
            f"{near}:{binding.rpc_port}" if binding.rpc_port else None,
            f"http://{near}:{binding.health_port}/health" if binding.health_port else None,
        )

    def body(self, request: Mapping[str, object], form: str = "key-value") -> bytes:
        return json.dumps(message(request, form), ensure_ascii=False).encode("utf-8", "surrogatepass")


def message(feed: Mapping[str, object], form: str) -> dict[str, Any]:
    """The request of arrays and texts, as the JSON of Paddle Serving's message.

    Args:
        form: one of :data:`FORMS`.

    Raises:
        UnsupportedError: requests have no field for an array's type.
    """
    if form == "tensors":
        return {"tensors": [_tensor(name, value) for name, value in feed.items()]}
    values = [v if isinstance(v, str) else json.dumps(_plain(np.asarray(v))) for v in feed.values()]
    return {"key": list(feed), "value": values}


def _plain(array: np.ndarray) -> Any:
    if array.dtype.kind == "c":
        raise UnsupportedError(f"a request has no form for {array.dtype.name}")
    return array.tolist()


def _tensor(name: str, value: object) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": name, "elem_type": _STRING, "str_data": [value]}
    array = np.asarray(value)
    kind = DType.of(array.dtype.name)
    if kind not in FIELDS:
        raise UnsupportedError(f"input {name!r}: Paddle Serving's tensors have no field for {kind.label}")
    return {"name": name, "elem_type": TYPES[kind], "shape": list(array.shape), FIELDS[kind]: array.ravel().tolist()}
