"""Addresses of services: which form of requests each takes, and whether it is on this machine."""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from dataclasses import dataclass
from typing import Optional

from mconv import hub
from mconv.errors import UsageError
from mconv.printable import printable
from mconv.serving.servers import requests
from mconv.serving.servers.requests import KEY_VALUE, TENSORS

TORCHSERVE, TENSORFLOW, TEMPLATE = "torchserve", "tensorflow-serving", "template"
FORMS = (*requests.ALL, TORCHSERVE, TENSORFLOW, TEMPLATE)
_PATHS = (
    (re.compile(r"/v1/models/[^/]+(/versions/[^/]+)?:predict"), TENSORFLOW),
    (re.compile(r"/predictions/[^/]+(/[^/]+)?"), TORCHSERVE),
)
_NAMED = re.compile(r"(?:(?P<label>[^=/:?#]+)=)?(?P<url>(?P<scheme>\w+)://.*)", re.DOTALL)
_SCHEMES = ("http", "https", "grpc")
_EXAMPLES = (
    "http://127.0.0.1:18082/SERVICE/prediction, grpc://127.0.0.1:18081, http://127.0.0.1:8000/v2/models/NAME/infer"
)


@dataclass(frozen=True)
class Address:
    """Where a service takes requests.

    Attributes:
        label: what reports call it: the address itself, or the ``LABEL=`` before it.
        url: as it was given. scheme: ``http``, ``https`` or ``grpc``.
        form: of the requests, one of :data:`FORMS`.
    """

    label: str
    url: str
    scheme: str
    host: str
    port: int
    form: str

    @property
    def local(self) -> bool:
        """Whether it is an address of the loopback interface; names are not looked up."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(text: str) -> bool:
    """Whether a source is a service, not a file.

    Raises:
        UsageError: it is an address of something that is no service.
    """
    match = None if hub.is_address(text) else _NAMED.fullmatch(text)
    if match is not None and match["scheme"] not in _SCHEMES:
        raise UsageError(
            f"{printable(text, 200)}: services are asked at {', '.join(f'{scheme}://' for scheme in _SCHEMES)}",
            "a model is a file, a folder or hf://ORG/NAME",
        )
    return match is not None


def address(text: str, form: Optional[str] = None, *, remote: bool = False) -> Address:
    """The address that a text means: ``[LABEL=]http://HOST:PORT/PATH``, ``grpc://HOST:PORT``.

    Args:
        form: of the requests, where the path does not say it.
        remote: whether it may be another machine's.

    Raises:
        UsageError: it is no address, one of another machine, or its form is not known.
    """
    match = _NAMED.fullmatch(text)
    if match is None or match["scheme"] not in _SCHEMES:
        raise UsageError(f"{text}: not the address of a service", _EXAMPLES)
    try:
        parts = urllib.parse.urlsplit(match["url"])
        host, port = parts.hostname, parts.port
    except ValueError as e:
        raise UsageError(f"{text}: not the address of a service ({e})", _EXAMPLES) from None
    if not host or parts.username is not None or not match["url"].isprintable() or " " in match["url"]:
        raise UsageError(f"{text}: not the address of a service", _EXAMPLES)
    if parts.scheme == "grpc" and port is None:
        raise UsageError(f"{text}: the address has no port", _EXAMPLES)
    if form is not None and form not in FORMS:
        raise UsageError(f"unknown form of requests {form!r}", f"forms are {', '.join(FORMS)}")
    found = form or _form_of(parts.scheme, parts.path)
    if found is None:
        raise UsageError(f"{text}: its path does not say which form of requests it takes", "say it with --request")
    if parts.scheme == "grpc" and found not in (KEY_VALUE, TENSORS):
        raise UsageError(f"{text}: grpc:// is the RPC of Paddle Serving's pipeline", "--request key-value or tensors")
    if not remote and not is_loopback(host):
        raise UsageError(
            f"{host} is another machine: it would be sent as many requests as it bears",
            "--allow-remote, where you may do that",
        )
    default = 443 if parts.scheme == "https" else 80
    return Address(match["label"] or match["url"], match["url"], parts.scheme, host, port or default, found)


def _form_of(scheme: str, path: str) -> Optional[str]:
    if scheme == "grpc":
        return KEY_VALUE
    known = next((form for pattern, form in _PATHS if pattern.fullmatch(path.rstrip("/"))), None)
    return known or requests.form_of(path)
