"""Kubernetes manifests of a service: a Deployment with probes, its Service and its autoscaler; KServe's InferenceService.

Sources: Kubernetes' API of apps/v1, v1 and autoscaling/v2, KServe's of serving.kserve.io/v1beta1, by whose schemas the
tests validate them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence

from mconv.printable import quoted
from mconv.program.dtypes import DType
from mconv.serving.input_modules import Service
from mconv.serving.kinds import OPENVINO_MODEL_SERVER, ModelInput
from mconv.serving.rendering import render
from mconv.serving.servers.parts import in_container
from mconv.serving.service_options import ServiceOptions

KUBERNETES, KSERVE = "kubernetes.yaml", "kserve.yaml"


def label(name: str) -> str:
    """A service's name as the name of an object of Kubernetes (RFC 1035): lower case, hyphens, at most 50 characters."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:50].strip("-")


def add(
    service: Service,
    path: str,
    options: ServiceOptions,
    *,
    inputs: Sequence[ModelInput],
    ports: Mapping[str, int],
    ready: str,
    live: str = "",
    cpus: int = 1,
) -> None:
    """Add them to a service.

    Args:
        path: the folder of the model or the models, as seen from the service's.
        inputs: of the model; empty: there are several models.
        ports: ``http`` and others → what the service listens on in its container; ``health`` or ``metrics`` answers
            /metrics, else ``http`` does.
        ready: the path that answers 200 while it takes requests, on the port ``health``, else ``http``.
        live: the path that answers while it lives; empty: that one.
        cpus: processors that it keeps busy.
    """
    name = label(options.name)
    target = in_container(path)
    probed = "health" if "health" in ports else "http"
    metrics = next(ports[kind] for kind in ("metrics", "health", "http") if kind in ports)
    common = {
        "NAME": name,
        "CLAIM": f"{name}-model",
        "MODEL_NAME": quoted(posixpath.basename(target)),
        "MODEL_TARGET": quoted(target),
        "READY": ready,
        "CPUS": cpus,
    }
    service.files[KUBERNETES] = render(
        KUBERNETES,
        **common,
        LIVE=live or ready,
        READY_PORT=probed,
        METRICS_PORT=metrics,
        CONTAINER_PORTS="\n".join(
            f"            - {{name: {kind}, containerPort: {port}}}" for kind, port in ports.items()
        ),
        SERVICE_PORTS="\n".join(
            f"    - {{name: {kind}, port: {port}, targetPort: {kind}}}" for kind, port in ports.items()
        ),
    )
    service.files[KSERVE] = render(
        KSERVE, **common, READY_PORT=ports[probed], HTTP_PORT=ports["http"], FORMAT=_format(posixpath.basename(target), inputs, options, name)
    ).rstrip("\n") + "\n"  # fmt: skip


def _format(folder: str, inputs: Sequence[ModelInput], options: ServiceOptions, name: str) -> str:
    """What KServe's own runtimes can serve: the forms for Triton, or a model with one float32 input for that of Paddle."""
    if options.server == "triton" and inputs:
        what = "Triton, with the forms in repositories/ in the volume, models put into their folders 1/"
        storage = f"pvc://{name}-model/repositories/paddle"
        return _filled(what, name, "triton", "v2", storage)
    if len(inputs) == 1 and inputs[0].dtype is DType.FP32 and options.backend != "onnx":
        # OpenVINO Model Server's folder is that of all models
        inside = f"{folder}/{options.name}/1" if options.server == OPENVINO_MODEL_SERVER else folder
        return _filled("Paddle, with arrays in and out", name, "paddle", "v1", f"pvc://{name}-model/{inside}")
    return ""


def _filled(what: str, name: str, form: str, protocol: str, storage: str) -> str:
    return render("kserve_format.yaml", WHAT=what, NAME=name, FORMAT=form, PROTOCOL=protocol, STORAGE=quoted(storage))
