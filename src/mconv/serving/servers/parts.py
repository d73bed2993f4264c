"""Files of services that more than one server has."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Optional

from mconv.printable import quoted
from mconv.serving.input_modules import Service
from mconv.serving.kinds import OCR, PICTURES
from mconv.serving.rendering import literal, render
from mconv.serving.servers.interface import Model
from mconv.serving.service_options import ServiceOptions

BATCHING, REQUEST_DATA, RESTARTS = "batching.py", "request_data.py", "restarts.py"
SETTINGS = "setting_checks.py"
# where the service is in its container, as in the article
HOME = "/home/model-server/service"
# what requests hold
TAKEN = {"text": "texts", "image": "pictures", "tensor": "tensors", OCR: "pages"}
# what a client is called with
USAGE = {"text": "TEXT ...", "tensor": "NAME=JSON|NAME=@FILE ...", **dict.fromkeys(PICTURES, "PICTURE ...")}


def joinable(model: Model) -> bool:
    """Whether requests can be run together: the first dimension of every input and output is open."""
    outputs = model.outputs.values()
    return bool(outputs) and all(i.shape[:1] == (None,) for i in model.inputs) and all(s[:1] == (-1,) for s in outputs)


def batching(service: Service, model: Model) -> str:
    """``batching.py`` of the service."""
    outputs = model.outputs
    lengths = {name: [axis for axis, size in enumerate(shape) if axis and size < 0] for name, shape in outputs.items()}
    return render(
        BATCHING,
        JOINABLE=joinable(model),
        PADDING=literal(service.padding),
        LENGTHS=literal(lengths),
        AND_LENGTHS="" if service.padding is None else ", and in the length of the rows,\nwhich are filled up",
    )


def in_container(path: str) -> str:
    """Where a path that is meant from the service's folder is in its container."""
    return posixpath.normpath(posixpath.join(HOME, path))


def containers(
    service: Service,
    options: ServiceOptions,
    templates: str,
    values: Mapping[str, object],
    packages: Iterable[str],
    mounted: Optional[str],
    **docker: str,
) -> None:
    """Add what containers are made with.

    Args:
        templates: the folder of the server's own.
        values: what the Dockerfile and the compose file want.
        packages: the requirements that are not in the template; none: they all are.
        mounted: the folder of the model or the models, as seen from the service's; None: it is inside of that.
        docker: what the Dockerfile wants beside.
    """
    required = "\n".join(sorted(packages))
    service.files["requirements.txt"] = render(
        f"{templates}/requirements.txt", **({"REQUIREMENTS": required} if required else {})
    )
    service.files["Dockerfile"] = render(f"{templates}/Dockerfile", **values, **docker)
    where = {} if mounted is None else {"MODEL_SOURCE": mounted, "MODEL_TARGET": in_container(mounted)}
    service.files["docker-compose.yml"] = render(
        f"{templates}/docker-compose.yml",
        **values,
        **{name: quoted(path).replace("$", "$$") for name, path in where.items()},
        NAME=options.name,
        COMPOSE_NAME=options.name.lower(),
    )


def client(name: str, kind: str, options: ServiceOptions) -> str:
    """The script ``http_client.py`` or ``rpc_client.py`` for services of a kind."""
    over_http = name.startswith("http")
    address = {"HTTP_PORT": options.http_port, "NAME": options.name} if over_http else {"RPC_PORT": options.rpc_port}
    imports = [*(["base64"] if kind in PICTURES else []), *(["http.client"] if over_http else []), "json", "sys"]
    return render(
        name,
        **address,
        **({"MAIN": client_main()} if over_http else {}),
        IMPORTS="\n".join(f"import {module}" for module in imports),
        USAGE=USAGE[kind],
        REQUEST=request_of(kind),
    )


def client_main(read: str = "request_of", ask: str = "predict") -> str:
    """What an ``http_client.py`` does when it is called.

    Args:
        read, ask: its functions that make a request of its arguments, and an answer of a request and the address.
    """
    return render("client_main.py", READ=read, ASK=ask).rstrip("\n")


def request_of(kind: str) -> str:
    """The function of a client that makes a request of its arguments."""
    return render(f"client_{'image' if kind in PICTURES else kind}.py").rstrip("\n")
