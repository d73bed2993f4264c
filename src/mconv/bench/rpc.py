"""The messages of Paddle Serving's pipeline over gRPC: ``pipeline_service.proto`` of paddle-serving-server 0.9.0."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from mconv.program.messages import build_classes

METHOD = "/baidu.paddle_serving.pipeline_serving.PipelineService/inference"
_PACKAGE = "baidu.paddle_serving.pipeline_serving"
_SCHEMA = {
    "Tensor": (
        ("int64_data", 1, "*int64"), ("float_data", 2, "*float"), ("int_data", 3, "*int32"),
        ("float64_data", 4, "*double"), ("uint32_data", 5, "*uint32"), ("bool_data", 6, "*bool"),
        ("complex64_data", 7, "*float"), ("complex128_data", 8, "*double"), ("str_data", 9, "*string"),
        ("byte_data", 10, "bytes"), ("elem_type", 20, "int32"), ("shape", 21, "*int32"), ("lod", 22, "*int32"),
        ("name", 23, "string"),
    ),
    "Request": (
        ("key", 1, "*string"), ("value", 2, "*string"), ("tensors", 3, "*Tensor"), ("name", 4, "string"),
        ("method", 5, "string"), ("logid", 6, "int64"), ("clientip", 7, "string"),
    ),
    "Response": (
        ("err_no", 1, "int32"), ("err_msg", 2, "string"), ("key", 3, "*string"), ("value", 4, "*string"),
        ("tensors", 5, "*Tensor"),
    ),
}  # fmt: skip


@functools.lru_cache(maxsize=1)
def _messages() -> Mapping[str, Any]:
    """Name → the class of a message."""
    return build_classes(_PACKAGE, _SCHEMA, "proto3")


def request(content: Mapping[str, Any]) -> bytes:
    """A request, from the gateway's JSON of it (:func:`mconv.serving.servers.requests.message`)."""
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
