"""Our schema is Paddle's, and both live in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mconv.program import messages

ROOT = Path(__file__).parents[2]

# our message → Paddle's (framework.proto); the rest has the same name or is part of it
THEIRS = {
    "Version": "Version",
    "Complex": "Complex",
    "Scalar": "Scalar",
    "Attr": "OpDesc.Attr",
    "OpVar": "OpDesc.Var",
    "OpDesc": "OpDesc",
    "TensorDesc": "VarType.TensorDesc",
    "LoDTensorDesc": "VarType.LoDTensorDesc",
    "VarType": "VarType",
    "VarDesc": "VarDesc",
    "VarAttr": "VarDesc.Attr",
    "BlockDesc": "BlockDesc",
    "ProgramDesc": "ProgramDesc",
    "OpVersionMap": "OpVersionMap",
    "OpVersionPair": "OpVersionMap.OpVersionPair",
    "OpVersion": "OpVersion",
}
# as Paddle 3 calls it
RENAMED = {
    ("VarType", "lod_tensor"): "dense_tensor",
    ("LoDTensorDesc", "lod_level"): "legacy_lod_level",
    "VarType.LoDTensorDesc": "VarType.DenseTensorDesc",
    "VarType.LoDTensorArrayDesc": "VarType.DenseTensorArrayDesc",
}
# of Paddle 1.6 to 1.8, reserved since
GONE = {("ProgramDesc", "op_compatible_map")}
TEXT = {"string", "bytes"}


@pytest.fixture(scope="module")
def paddle_proto():
    pytest.importorskip("paddle")
    try:
        from paddle.base.proto import framework_pb2
    except ImportError:  # before 2.5
        from paddle.fluid.proto import framework_pb2
    return framework_pb2


def test_every_message_is_compared() -> None:
    assert set(THEIRS) == set(messages._SCHEMA)


def find(proto, name: str):
    """Paddle's class of a message of ours."""
    for names in (THEIRS[name], RENAMED.get(THEIRS[name], "")):
        found = proto
        for part in filter(None, names.split(".")):
            found = getattr(found, part, None)
        if found is not None:
            return found
    raise AssertionError(f"{name}: not in this Paddle")


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_schema_is_paddles(paddle_proto, name: str) -> None:
    """Field numbers, types and labels, read off Paddle's own descriptors."""
    theirs = find(paddle_proto, name)
    fields = theirs.DESCRIPTOR.fields_by_number
    for field, number, kind in messages._SCHEMA[name]:
        if (name, field) in GONE:
            assert number not in fields
            continue
        their = fields[number]
        assert their.name in (field, RENAMED.get((name, field)))
        repeated = their.is_repeated if hasattr(their, "is_repeated") else their.label == their.LABEL_REPEATED
        assert repeated == kind.startswith("*"), field
        kind, _, default = kind.lstrip("*").partition("=")
        type_name = messages._F.Type.Name(their.type)[len("TYPE_") :].lower()
        if type_name == "enum":
            assert kind == "int32", field
        elif type_name == "message":
            ours = set(messages._classes[kind].DESCRIPTOR.fields_by_number)
            assert ours <= set(their.message_type.fields_by_number), field
        elif type_name in TEXT:
            assert kind in TEXT, field
        else:
            assert kind == type_name, field
        if default:
            assert their.default_value == int(default)


@pytest.mark.parametrize("name", ["OpDesc", "Attr", "Scalar", "BlockDesc"])
def test_no_field_is_missing(paddle_proto, name: str) -> None:
    """Of the messages that passes rewrite, we know every field of Paddle's."""
    theirs = find(paddle_proto, name)
    assert set(theirs.DESCRIPTOR.fields_by_number) == {number for _, number, _ in messages._SCHEMA[name]}


def test_enumerations_are_paddles(paddle_proto) -> None:
    from mconv.program.dtypes import AttrType, DType, VarKind

    assert {(t.name, t.value) for t in AttrType} == set(paddle_proto.AttrType.items())
    renamed = {"LOD_TENSOR": "DENSE_TENSOR", "LOD_TENSOR_ARRAY": "DENSE_TENSOR_ARRAY"}
    theirs = dict(paddle_proto.VarType.Type.items())
    for member in (*DType, *VarKind):
        value = theirs.get(member.name, theirs.get(renamed.get(member.name, "")))
        assert value == member.value, member


@pytest.mark.parametrize(
    "imports", ["import paddle, mconv.program.program", "import mconv.program.program, paddle"], ids=["after", "before"]
)
def test_together_with_paddle(imports: str) -> None:
    """In both orders; registering the same names twice would abort the process."""
    pytest.importorskip("paddle")
    code = (
        f"{imports}\n"
        "from pathlib import Path\n"
        "from mconv.program.program import Program\n"
        "try:\n"
        "    from paddle.base.proto.framework_pb2 import ProgramDesc\n"
        "except ImportError:\n"
        "    from paddle.fluid.proto.framework_pb2 import ProgramDesc\n"
        "data = Path('tests/data/golden/paddle-2.3.2/mlp/inference_model/inference.pdmodel').read_bytes()\n"
        "ours = Program.from_bytes(data)\n"
        "theirs = ProgramDesc.FromString(ours.to_bytes())\n"
        "assert [o.type for o in theirs.blocks[0].ops] == [o.type for o in ours.main.ops]\n"
        "assert theirs.SerializeToString() == data\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "FLAGS_enable_pir_api": "0", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_pool_is_our_own() -> None:
    from google.protobuf import descriptor_pool

    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName(f"{messages.PACKAGE}.ProgramDesc")
