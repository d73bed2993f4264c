"""The ProgramDesc messages, built at import time in a pool and package of our own.

The paddlepaddle package registers ``paddle.framework.proto.*`` in protobuf's default pool and a second
registration of the same names aborts the process, so these are called ``mconv.framework.*`` and live in a
private pool. The wire format carries no package name: the bytes are the same. Field numbers: Paddle's
``framework.proto`` (2.3 to 3.3), as listed in ``docs/formats.md``.

Enumerations are plain ``int32`` here, which is the same on the wire and lets values of newer Paddle versions be
seen instead of hidden among the unknown fields. All fields are optional so that a damaged file can be told from
a missing field by us, with a message of our own.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

__all__ = ["DecodeError", "OpDescMessage", "ProgramDescMessage", "TensorDescMessage", "VarDescMessage"]

PACKAGE = "mconv.framework"
_F = descriptor_pb2.FieldDescriptorProto

_SCHEMA: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Version": (("version", 1, "int64"),),
    "Complex": (("r", 1, "double"), ("i", 2, "double")),
    "Scalar": (("type", 1, "int32"), ("b", 2, "bool"), ("i", 3, "int64"), ("r", 4, "double"), ("c", 5, "Complex")),
    "Attr": (
        ("name", 1, "string"),
        ("type", 2, "int32"),
        ("i", 3, "int32"),
        ("f", 4, "float"),
        ("s", 5, "bytes"),
        ("ints", 6, "*int32"),
        ("floats", 7, "*float"),
        ("strings", 8, "*bytes"),
        ("b", 10, "bool"),
        ("bools", 11, "*bool"),
        ("block_idx", 12, "int32"),
        ("l", 13, "int64"),
        ("blocks_idx", 14, "*int32"),
        ("longs", 15, "*int64"),
        ("float64s", 16, "*double"),
        ("var_name", 17, "string"),
        ("vars_name", 18, "*string"),
        ("float64", 19, "double"),
        ("scalar", 20, "Scalar"),
        ("scalars", 21, "*Scalar"),
    ),
    "OpVar": (("parameter", 1, "string"), ("arguments", 2, "*string")),
    "OpDesc": (
        ("inputs", 1, "*OpVar"),
        ("outputs", 2, "*OpVar"),
        ("type", 3, "string"),
        ("attrs", 4, "*Attr"),
        ("is_target", 5, "bool"),
    ),
    "TensorDesc": (("data_type", 1, "int32"), ("dims", 2, "*int64")),
    "LoDTensorDesc": (("tensor", 1, "TensorDesc"), ("lod_level", 2, "int32")),
    "VarType": (
        ("type", 1, "int32"),
        ("selected_rows", 2, "TensorDesc"),
        ("lod_tensor", 3, "LoDTensorDesc"),
        ("tensor_array", 4, "LoDTensorDesc"),
    ),
    "VarDesc": (
        ("name", 1, "string"),
        ("type", 2, "VarType"),
        ("persistable", 3, "bool"),
        ("need_check_feed", 4, "bool"),
        ("is_parameter", 5, "bool"),
        ("stop_gradient", 6, "bool"),
        ("attrs", 7, "*VarAttr"),
    ),
    "VarAttr": (
        ("name", 1, "string"),
        ("type", 2, "int32"),
        ("i", 3, "int32"),
        ("s", 4, "bytes"),
        ("ints", 5, "*int32"),
    ),
    "BlockDesc": (
        ("idx", 1, "int32"),
        ("parent_idx", 2, "int32"),
        ("vars", 3, "*VarDesc"),
        ("ops", 4, "*OpDesc"),
        ("forward_block_idx", 5, "int32=-1"),
    ),
    # 3 was a message in Paddle 1.6 to 1.8 and is reserved since: kept as it is
    "ProgramDesc": (
        ("blocks", 1, "*BlockDesc"),
        ("op_compatible_map", 3, "bytes"),
        ("version", 4, "Version"),
        ("op_version_map", 5, "OpVersionMap"),
    ),
    "OpVersionMap": (("pair", 1, "*OpVersionPair"),),
    "OpVersionPair": (("op_name", 1, "string"), ("op_version", 2, "OpVersion")),
    "OpVersion": (("version", 1, "int32"),),
}
_SCALARS = {
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "bool": _F.TYPE_BOOL,
    "float": _F.TYPE_FLOAT,
    "double": _F.TYPE_DOUBLE,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
}


def build_classes(
    package: str, schema: dict[str, tuple[tuple[str, int, str], ...]], syntax: str = "proto2"
) -> dict[str, Any]:
    """Make protobuf classes in a private pool; works with every protobuf from 3.20 on.

    Args:
        package: proto package of the messages.
        schema: message → ((field, number, kind), …). A kind is a scalar of proto2 or a message of the schema,
            ``*kind`` a repeated field, ``kind=value`` one with a default.
        syntax: ``proto3`` writes repeated numbers in one piece, and knows no defaults.
    """
    file = descriptor_pb2.FileDescriptorProto(name=package.replace(".", "/") + ".proto", package=package, syntax=syntax)
    for message, fields in schema.items():
        proto = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = proto.field.add(name=name, number=number, json_name=name)
            field.label = _F.LABEL_REPEATED if kind[0] == "*" else _F.LABEL_OPTIONAL
            kind, _, default = kind.lstrip("*").partition("=")
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = _F.TYPE_MESSAGE, f".{package}.{kind}"
            if default:
                field.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    names = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in schema}
    if hasattr(message_factory, "GetMessageClass"):  # protobuf >= 4.22
        return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in names.items()}
    factory = message_factory.MessageFactory(pool)
    return {name: factory.GetPrototype(descriptor) for name, descriptor in names.items()}  # type: ignore[attr-defined]


_classes = build_classes(PACKAGE, _SCHEMA)
ProgramDescMessage = _classes["ProgramDesc"]
BlockDescMessage = _classes["BlockDesc"]
OpDescMessage = _classes["OpDesc"]
VarDescMessage = _classes["VarDesc"]
TensorDescMessage = _classes["TensorDesc"]
