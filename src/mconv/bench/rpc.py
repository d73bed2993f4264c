"""The messages of Paddle Serving's pipeline over gRPC: ``pipeline_service.proto`` of paddle-serving-server 0.9.0."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

METHOD = "/baidu.paddle_serving.pipeline_serving.PipelineService/inference"
_PACKAGE = "baidu.paddle_serving.pipeline_serving"
# field: name, number, type of FieldDescriptorProto, whether it is repeated
_DOUBLE, _FLOAT, _INT64, _INT32, _BOOL, _STRING, _MESSAGE, _BYTES, _UINT32 = 1, 2, 3, 5, 8, 9, 11, 12, 13
_TENSOR = (
    ("int64_data", 1, _INT64, True), ("float_data", 2, _FLOAT, True), ("int_data", 3, _INT32, True),
    ("float64_data", 4, _DOUBLE, True), ("uint32_data", 5, _UINT32, True), ("bool_data", 6, _BOOL, True),
    ("complex64_data", 7, _FLOAT, True), ("complex128_data", 8, _DOUBLE, True), ("str_data", 9, _STRING, True),
    ("byte_data", 10, _BYTES, False), ("elem_type", 20, _INT32, False), ("shape", 21, _INT32, True),
    ("lod", 22, _INT32, True), ("name", 23, _STRING, False),
)  # fmt: skip
_REQUEST = (
    ("key", 1, _STRING, True), ("value", 2, _STRING, True), ("tensors", 3, _MESSAGE, True),
    ("name", 4, _STRING, False), ("method", 5, _STRING, False), ("logid", 6, _INT64, False),
    ("clientip", 7, _STRING, False),
)  # fmt: skip
_RESPONSE = (
    ("err_no", 1, _INT32, False), ("err_msg", 2, _STRING, False), ("key", 3, _STRING, True),
    ("value", 4, _STRING, True), ("tensors", 5, _MESSAGE, True),
)  # fmt: skip


@functools.lru_cache(maxsize=1)
def _messages() -> Mapping[str, Any]:
    """Name → the class of a message."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="mconv/pipeline_service.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in (("Tensor", _TENSOR), ("Request", _REQUEST), ("Response", _RESPONSE)):
        kind = file.message_type.add(name=name)
        for label, number, of, repeated in fields:
            field = kind.field.add(name=label, number=number, type=of, label=3 if repeated else 1)
            if of == _MESSAGE:
                field.type_name = f".{_PACKAGE}.Tensor"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("Tensor", "Request", "Response")
    if hasattr(message_factory, "GetMessageClass"):
        return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{n}")) for n in names}
    factory = message_factory.MessageFactory(pool)  # before protobuf 4.22
    return {n: factory.GetPrototype(pool.FindMessageTypeByName(f"{_PACKAGE}.{n}")) for n in names}  # type: ignore[attr-defined]


def request(content: Mapping[str, Any]) -> bytes:
    """A request, from the gateway's JSON of it (:func:`mconv.serving.servers.paddle_serving.message`)."""
    from google.protobuf import json_format

    made = json_format.ParseDict(dict(content), _messages()["Request"]())
    made.clientip = "127.0.0.1"
    return bytes(made.SerializeToString())


def response(raw: bytes) -> dict[str, Any]:
    """An answer, as the gateway's JSON of it.

    Raises:
        ValueError: it is none.
    """
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError

    made = _messages()["Response"]()
    try:
        made.ParseFromString(raw)
    except DecodeError:
        raise ValueError("no message of Paddle Serving's pipeline") from None
    found: dict[str, Any] = json_format.MessageToDict(made, preserving_proto_field_name=True)
    return found
