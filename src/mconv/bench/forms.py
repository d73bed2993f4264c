"""The forms in which services are asked, and how their answers say that something went wrong.

Each form turns a :class:`~mconv.bench.payloads.Payload` into a body, and an answer into what is compared. Sources: Paddle
Serving 0.9.0 (``docs/serving.md``), the Open Inference Protocol's REST API (KServe V2), TorchServe's inference API,
TensorFlow Serving's REST API.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.bench import addresses, rpc
from mconv.bench.addresses import Address
from mconv.bench.payloads import IMAGE, TENSOR, TEXT, Payload
from mconv.errors import CorruptModelError, NotAModelError, RuntimeFailedError, UsageError
from mconv.program.copying import read_small
from mconv.serving.servers.requests import OPEN_INFERENCE, message

JSON, BYTES, PLAIN = "application/json", "application/octet-stream", "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Message:
    """A request as it is sent."""

    body: bytes
    content_type: str = JSON


# of requests → of services
_KINDS = {TEXT: "text", IMAGE: "image", TENSOR: "tensor"}
_MAX_BODY = 64 << 20  # bytes of a template; services of mconv take requests of that size


class ServiceError(Exception):
    """A service has answered, and what it says is that something went wrong.

    Attributes:
        number: its ``err_no``, where it has one.
    """

    def __init__(self, message: str, number: Any = None):
        super().__init__(message)
        self.number = number


class Form:
    """One form; also the one of what answers any JSON."""

    def message(self, payload: Payload) -> Message:
        """The request.

        Raises:
            UnsupportedError: the form cannot carry it.
        """
        raise NotImplementedError

    def read(self, body: bytes) -> Any:
        """What is compared of an answer.

        Raises:
            ServiceError: it says that something went wrong, or is nothing of this form.
        """
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ServiceError(f"no JSON: {body[:200].decode('utf-8', 'replace')}") from None


class PaddleHttp(Form):
    """Paddle Serving's pipeline over HTTP."""

    def __init__(self, form: str):
        self.form = form

    def message(self, payload: Payload) -> Message:
        return Message(json.dumps(message(payload.values, self.form)).encode())

    def read(self, body: bytes) -> Any:
        answer = super().read(body)
        if not isinstance(answer, dict):
            raise ServiceError(f"no JSON object: {body[:200].decode('utf-8', 'replace')}")
        return checked(answer)


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Paddle Serving's answer: its keys with their values, and its tensors.

    Raises:
        ServiceError: it is an error.
    """
    number = answer.get("err_no", answer.get("errNo", 0))
    if number not in (0, "0", None):
        said = answer.get("err_msg") or answer.get("errMsg") or answer.get("error") or "no reason given"
        raise ServiceError(f"error {number}: {said}", number)
    keys, values = answer.get("key") or [], answer.get("value") or []
    both = isinstance(keys, list) and isinstance(values, list) and len(keys) == len(values)
    found = dict(zip(map(str, keys), values)) if both else {"key": keys, "value": values}
    if answer.get("tensors"):
        found["tensors"] = answer["tensors"]
    if not found:
        raise ServiceError("an answer without outputs")
    return found


class PaddleRpc(Form):
    """Paddle Serving's pipeline over gRPC."""

    def __init__(self, form: str):
        self.form = form

    def message(self, payload: Payload) -> Message:
        return Message(rpc.request(message(payload.values, self.form)))

    def read(self, body: bytes) -> Any:
        try:
            answer = rpc.response(body)
        except ValueError as e:
            raise ServiceError(str(e)) from None
        return checked(answer)


class OpenInference(Form):
    """``/v2/models/NAME/infer``; texts or pictures are a tensor ``text`` or ``image`` of type BYTES and shape [n, 1],
    pictures in base64."""

    def message(self, payload: Payload) -> Message:
        return Message(json.dumps(message(payload.values, OPEN_INFERENCE, _KINDS[payload.kind])).encode())

    def read(self, body: bytes) -> Any:
        answer = super().read(body)
        _no_error(answer)
        outputs = answer.get("outputs") if isinstance(answer, dict) else None
        if not isinstance(outputs, list) or not all(isinstance(o, dict) and "name" in o for o in outputs):
            raise ServiceError(f"an answer without outputs: {body[:200].decode('utf-8', 'replace')}")
        return {str(o["name"]): {k: o.get(k) for k in ("datatype", "shape", "data")} for o in outputs}


class TorchServe(Form):
    """``/predictions/NAME``, as its handlers read it: a text, a picture's bytes; tensors as JSON by name."""

    def message(self, payload: Payload) -> Message:
        if payload.kind == TENSOR:
            return Message(json.dumps({n: v.tolist() for n, v in _arrays(payload).items()}).encode())
        ((_, value),) = payload.values.items()
        if payload.kind == IMAGE:
            return Message(base64.b64decode(str(value)), BYTES)
        return Message(str(value).encode(), PLAIN)

    def read(self, body: bytes) -> Any:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return body.decode("utf-8", "replace")  # a handler may answer a bare text
        if isinstance(answer, dict) and isinstance(answer.get("code"), int) and "type" in answer:
            raise ServiceError(f"{answer['code']} {answer['type']}: {answer.get('message', '')}")
        return answer


class TensorFlowServing(Form):
    """``/v1/models/NAME:predict``: tensors as columns, texts and pictures as instances."""

    def message(self, payload: Payload) -> Message:
        if payload.kind == TENSOR:
            body: dict[str, Any] = {"inputs": {n: v.tolist() for n, v in _arrays(payload).items()}}
        else:
            values = list(payload.values.values())
            body = {"instances": [{"b64": v} for v in values] if payload.kind == IMAGE else values}
        return Message(json.dumps(body).encode())

    def read(self, body: bytes) -> Any:
        answer = super().read(body)
        _no_error(answer)
        found = answer.get("outputs", answer.get("predictions")) if isinstance(answer, dict) else None
        if found is None:
            raise ServiceError(f"neither outputs nor predictions: {body[:200].decode('utf-8', 'replace')}")
        return found


class Template(Form):
    """The user's JSON, in which ``"${text}"``, ``"${image}"`` (base64) and ``"${NAME}"`` of a tensor are filled in.

    Raises:
        UsageError: the file cannot be read, or is no JSON.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.body = json.loads(read_small(path, _MAX_BODY, "are no template of a request"))
        except (NotAModelError, CorruptModelError) as e:
            raise UsageError(f"--body: {e.message}") from None
        except (ValueError, RecursionError) as e:
            raise UsageError(f"--body: {path}: not a JSON document ({e})") from None

    @property
    def names(self) -> set[str]:
        """What it wants to be filled in."""
        found: set[str] = set()
        _filled(self.body, lambda name: found.add(name))
        return found

    def message(self, payload: Payload) -> Message:
        known: dict[str, Any] = {n: v if isinstance(v, str) else v.tolist() for n, v in payload.values.items()}
        if payload.kind in (TEXT, IMAGE):
            known[{TEXT: "text", IMAGE: "image"}[payload.kind]] = next(iter(payload.values.values()))

        def value(name: str) -> Any:
            if name not in known:
                raise UsageError(
                    f"--body: {self.path} has ${{{name}}}, which the requests do not hold",
                    f"they hold {', '.join('${' + n + '}' for n in known) or 'nothing'}",
                )
            return known[name]

        return Message(json.dumps(_filled(self.body, value)).encode())


def _filled(node: Any, value: Any) -> Any:
    if isinstance(node, dict):
        return {key: _filled(inner, value) for key, inner in node.items()}
    if isinstance(node, list):
        return [_filled(inner, value) for inner in node]
    if isinstance(node, str) and node.startswith("${") and node.endswith("}"):
        return value(node[2:-1])
    return node


def _arrays(payload: Payload) -> dict[str, np.ndarray]:
    return {name: value for name, value in payload.values.items() if isinstance(value, np.ndarray)}


def _no_error(answer: Any) -> None:
    if isinstance(answer, dict) and answer.get("error"):
        raise ServiceError(str(answer["error"]))


def form_of(address: Address, template: Optional[Path] = None) -> Form:
    """The form of an address's requests.

    Raises:
        UsageError: it is a template, and none is given.
    """
    if template is not None or address.form == addresses.TEMPLATE:
        if template is None:
            raise UsageError("--request template needs the template", "give it with --body file.json")
        return Template(template)
    if address.form in (addresses.KEY_VALUE, addresses.TENSORS):
        return PaddleRpc(address.form) if address.scheme == "grpc" else PaddleHttp(address.form)
    return {
        OPEN_INFERENCE: OpenInference,
        addresses.TORCHSERVE: TorchServe,
        addresses.TENSORFLOW: TensorFlowServing,
    }[address.form]()


def messages(form: Form, payloads: Sequence[Payload]) -> list[Message]:
    """The requests; of a template without anything to fill in, the one that it is.

    Raises:
        RuntimeFailedError: there is nothing to send.
    """
    if isinstance(form, Template) and not form.names:
        return [form.message(Payload(TENSOR, {}))]
    if not payloads:
        raise RuntimeFailedError("there is nothing to send")
    return [form.message(payload) for payload in payloads]
