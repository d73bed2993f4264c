"""The reader of PIR's JSON: sound files of every version, and damaged ones."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from mconv.errors import CorruptModelError, MconvError, NotAModelError, UnsupportedError
from mconv.paddle import pir_reader as reader
from mconv.program.dtypes import DType
from tests.paddle import fixtures


@pytest.mark.parametrize("version", fixtures.VERSIONS)
@pytest.mark.parametrize("name", fixtures.MODELS)
def test_every_version(version: str, name: str) -> None:
    program = reader.parse(fixtures.program(version, name))
    assert program.writer == version
    assert program.parameters == sorted(program.parameters, key=lambda p: p[0].encode())
    assert sum(op.name == "pd_op.fetch" for op in program.block.ops) >= 1


def test_values_are_plain_python() -> None:
    ops = reader.parse(fixtures.program("3.3", "LeNet")).block.ops
    data = next(op for op in ops if op.name == "pd_op.data")
    assert data.attrs["name"] == "image" and data.attrs["shape"] == [-1, 1, 28, 28]
    assert data.attrs["dtype"] is DType.FP32
    conv = next(op for op in ops if op.name == "pd_op.conv2d")
    assert conv.attrs["strides"] == [1, 1] and conv.attrs["data_format"] == "NCHW"
    assert conv.outputs[0][1] == reader.TensorType(DType.FP32, (-1, 6, 28, 28))


def test_a_loop_has_a_block_of_its_own() -> None:
    ops = reader.parse(fixtures.program("3.3", "branches")).block.ops
    loop = next(op for op in ops if op.name == "pd_op.while")
    (body,) = loop.regions[0]
    assert len(body.args) == len(loop.inputs) - 1 and all(ident < 0 for ident, _ in body.args)
    assert body.ops[-1].name == "cf.yield"


def test_numbers_that_json_lacks() -> None:
    for text, check in (
        ("INF", lambda v: v == float("inf")),
        ("-INF", lambda v: v == float("-inf")),
        ("NaN", lambda v: v != v),
    ):
        document = _document()
        _ops(document)[-1]["A"] = [{"N": "value", "AT": {"#": "0.a_f64", "VD": text}}]
        op = reader.parse(json.dumps(document).encode()).block.ops[-1]
        assert check(op.attrs["value"])


def _document() -> Any:
    return json.loads(fixtures.program("3.3", "bert"))


def _ops(document: Any) -> list:
    return document["program"]["regions"][0]["blocks"][0]["ops"]


@pytest.mark.parametrize("version, says", [(0, "from before"), (5, "newer than"), (99, "newer than")])
def test_unknown_version(version: int, says: str) -> None:
    document = _document()
    document["base_code"]["version"] = version
    with pytest.raises(UnsupportedError, match=rf"PIR version {version}, written by a Paddle {says}.*3\.0 to 3\.3"):
        reader.parse(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"{}", b"[]", b"1", b'{"base_code": {"magic": "other"}}', b'{"base_code": 3}'])
def test_json_of_another_kind(data: bytes) -> None:
    with pytest.raises(NotAModelError):
        reader.parse(data)


def test_missing_file(tmp_path: Any) -> None:
    with pytest.raises(NotAModelError, match="cannot be read"):
        reader.read(tmp_path / "no.json")


def _changes() -> dict[str, Any]:
    def change(path: list, value: Any) -> Any:
        def apply(document: Any) -> None:
            at = document
            for key in path[:-1]:
                at = at[key]
            if value is KeyError:
                del at[path[-1]]
            else:
                at[path[-1]] = value

        return apply

    main = ["program", "regions", 0, "blocks", 0, "ops"]
    return {
        "no version": change(["base_code", "version"], KeyError),
        "version is text": change(["base_code", "version"], "4"),
        "no program": change(["program"], KeyError),
        "no regions": change(["program", "regions"], []),
        "no ops": change(["program", "regions", 0, "blocks", 0, "ops"], KeyError),
        "ops are text": change(main, "ops"),
        "an op is a list": change([*main, 50], []),
        "an op has no name": change([*main, 50, "#"], KeyError),
        "an op's name is a number": change([*main, 50, "#"], 7),
        "a value from nowhere": change([*main, -1, "I", 0, "%"], 99999),
        "a value's number is text": change([*main, -1, "I", 0, "%"], "x"),
        "a value given twice": change([*main, 0, "O", "%"], 2),
        "a shape of text": change([*main, 0, "O", "TT", "D", 1], "8"),
        "a shape of ten": change([*main, 0, "O", "TT", "D", 1], [1] * 10),
        "an enormous dimension": change([*main, 0, "O", "TT", "D", 1], [1 << 70]),
        "a parameter without name": change([*main, 0, "A"], [0, 1]),
        "a parameter with an empty name": change([*main, 0, "A", 3], ""),
        "an attribute without type": change([*main, 45, "A", 0, "AT"], {}),
        "attributes are a number": change([*main, 45, "A"], 3),
    }


@pytest.mark.parametrize("label", _changes())
def test_damaged(label: str) -> None:
    document = _document()
    _changes()[label](document)
    with pytest.raises(CorruptModelError):
        reader.parse(json.dumps(document).encode())


@pytest.mark.parametrize("half", ["\\ud800", "\\uDBff", "\\udc80"])
def test_half_a_character(half: str) -> None:
    """JSON can say it; nothing that is written later can."""
    sound = fixtures.program("3.3", "LeNet")
    damaged = sound.replace(b'"image"', b'"im%sage"' % half.encode())
    assert damaged != sound
    with pytest.raises(CorruptModelError, match="no character"):
        reader.parse(damaged)
    reader.parse(sound.replace(b'"image"', b'"\\ud83d\\ude00"'))


def test_truncated() -> None:
    data = fixtures.program("3.3", "LeNet")
    for length in range(0, len(data) - 2, 97):
        with pytest.raises(MconvError):
            reader.parse(data[:length])


def test_nested_beyond_reason() -> None:
    with pytest.raises(CorruptModelError, match="nested"):
        reader.parse(b"[" * 200_000)
    document = _document()
    deep: Any = {"#": "0.a_bool", "D": True}
    for _ in range(100):
        deep = {"#": "0.a_array", "D": [deep]}
    _ops(document)[45]["A"] = [{"N": "x", "AT": deep}]
    with pytest.raises(CorruptModelError, match="nested"):
        reader.parse(json.dumps(document).encode())


@pytest.mark.long
def test_any_change_is_read_or_refused() -> None:
    """Whatever is put in place of whatever: an error that names the place, or a program."""
    rng = random.Random(5)
    base = _document()
    values = [None, True, -1, 0, 1 << 65, 1.5, "", "x", [], {}, [{}], {"#": "1.add"}, {"%": 3}]
    refused = 0
    for _ in range(400):
        document = copy.deepcopy(base)
        at: Any = _ops(document)[rng.randrange(40, 160)]
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(at[key], (dict, list)) and at[key] and rng.random() < 0.7:
                at = at[key]
                continue
            at[key] = rng.choice(values)
            break
        try:
            reader.parse(json.dumps(document).encode())
        except CorruptModelError as error:
            refused += 1
            assert "ops[" in error.message
    assert refused > 100
