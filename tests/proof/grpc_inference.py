"""The Open Inference Protocol over gRPC, as far as tests ask it: tensors of BYTES in and out.

Fields: ``grpc_service.proto`` of https://github.com/kserve/open-inference-protocol.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, Union

import pytest

_MESSAGES = {
    "Tensor": {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "int64*")},
    "Request": {"model_name": (1, "string"), "inputs": (5, "Tensor*"), "raw_input_contents": (7, "bytes*")},
    "Response": {"model_name": (1, "string"), "outputs": (5, "Tensor*"), "raw_output_contents": (6, "bytes*")},
    "Item": {"error": (1, "string"), "answer": (2, "Response")},
}
_TYPES = {"string": 9, "int64": 3, "bytes": 12}


class Refused(Exception):
    """The status and the text of an error."""


@functools.cache
def _messages() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package="inference", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = 3 if kind.endswith("*") else 1
            kind = kind.rstrip("*")
            if kind in _TYPES:
                message.field.add(name=field, number=number, label=label, type=_TYPES[kind])
            else:
                message.field.add(name=field, number=number, label=label, type=11, type_name=f".inference.{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}")) for name in _MESSAGES
    }


def grpc_infer(address: str, model: str, name: str, values: Sequence[bytes]) -> dict[str, list[bytes]]:
    """The outputs of BYTES of a model for one input of BYTES[values, 1].

    Raises:
        Refused: it answers with an error.
    """
    return {output: _items(raw) for output, raw in grpc_outputs(address, model, name, values).items()}


def _request(model: str, name: str, values: Sequence[bytes]) -> Any:
    made = _messages()
    tensor = made["Tensor"](name=name, datatype="BYTES", shape=[len(values), 1])
    raw = b"".join(len(value).to_bytes(4, "little") + value for value in values)
    return made["Request"](model_name=model, inputs=[tensor], raw_input_contents=[raw])


@contextlib.contextmanager
def _channel(address: str) -> Iterator[Any]:
    grpc = pytest.importorskip("grpc")
    options = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with grpc.insecure_channel(address, options) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            raise Refused(f"{error.code().name}: {error.details()}") from None


def _method(kind: Any, name: str, answer: str) -> Any:
    made = _messages()
    return kind(
        f"/inference.GRPCInferenceService/{name}",
        request_serializer=made["Request"].SerializeToString,
        response_deserializer=made[answer].FromString,
    )


def grpc_outputs(address: str, model: str, name: str, values: Sequence[bytes]) -> dict[str, bytes]:
    """The same, of any type: their bytes."""
    with _channel(address) as channel:
        call = _method(channel.unary_unary, "ModelInfer", "Response")
        answer = call(_request(model, name, values), timeout=300)
    return {output.name: raw for output, raw in zip(answer.outputs, answer.raw_output_contents)}


def grpc_stream(address: str, model: str, name: str, each: Sequence[bytes]) -> list[Union[dict[str, bytes], str]]:
    """The answers of one stream to several requests, of a value each: the bytes of the outputs, or an error."""
    with _channel(address) as channel:
        call = _method(channel.stream_stream, "ModelStreamInfer", "Item")
        answers = list(call(iter([_request(model, name, [value]) for value in each]), timeout=300))
    return [
        item.error or {o.name: raw for o, raw in zip(item.answer.outputs, item.answer.raw_output_contents)}
        for item in answers
    ]


def grpc_ask(address: str, method: str, request: bytes = b"") -> bytes:
    """What a method answers to the bytes of a message."""
    with _channel(address) as channel:
        return bytes(channel.unary_unary(method)(request, timeout=60))


def _items(raw: bytes) -> list[bytes]:
    """Elements of BYTES: the length of each, in four bytes, stands before it."""
    items, at = [], 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        items.append(raw[at + 4 : end])
        at = end
    return items
