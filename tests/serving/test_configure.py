"""The configuration files: bytes of the official tool, and damaged ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mconv.errors import CorruptModelError, MconvError, NotAModelError, UnsupportedError
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.serving import configure
from mconv.serving.configure import ServingConfig, ServingVar
from tests.golden import Case, case
from tests.measure import ends

FILES = [
    ("server", configure.SERVER_TEXT, ServingConfig.to_text),
    ("server", configure.SERVER_BINARY, ServingConfig.to_binary),
    ("client", configure.CLIENT_TEXT, ServingConfig.to_text),
    ("client", configure.CLIENT_BINARY, ServingConfig.to_binary),
]


@pytest.mark.parametrize(("side", "name", "write"), FILES, ids=[f[1] for f in FILES])
def test_reading_and_writing_gives_the_official_bytes(golden: Case, side: str, name: str, write) -> None:
    path = getattr(golden, side) / name
    config = configure.read(path)
    assert write(config) == path.read_bytes()
    assert config.feeds and config.fetches


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
variables = st.builds(
    ServingVar,
    name=names,
    alias=names,
    type=st.integers(-1, 11),
    shape=st.lists(st.integers(-1, (1 << 31) - 1), max_size=4),
    lod=st.booleans(),
)
configs = st.builds(
    ServingConfig, feeds=st.lists(variables, min_size=1, max_size=3), fetches=st.lists(variables, max_size=3)
)


@given(configs)
@settings(max_examples=100, deadline=None)
def test_both_forms_round_trip(config: ServingConfig) -> None:
    """Names of any characters survive; what the printer writes is what protobuf's parser reads."""
    assert ServingConfig.from_text(config.to_text()) == config
    assert ServingConfig.from_binary(config.to_binary()) == config


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_read_or_refused(at: int, byte: int) -> None:
    data = bytearray((case("2.3.2-bert").server / configure.SERVER_TEXT).read_bytes())
    data[at % len(data)] = byte
    _read_or_refuse(ServingConfig.from_text, bytes(data))
    data = bytearray((case("2.3.2-bert").server / configure.SERVER_BINARY).read_bytes())
    data[at % len(data)] = byte
    _read_or_refuse(ServingConfig.from_binary, bytes(data))


def _read_or_refuse(read, data: bytes) -> None:
    try:
        config = read(data)
    except CorruptModelError as e:
        assert "\n" not in e.message and len(e.message) < 1000
    else:
        assert config.feeds or config.fetches


FATAL = {
    "empty": b"",
    "only a comment": b"# nothing\n",
    "not text": b"\xff\xfe\x00\x01" * 10,
    "zeros": bytes(200),
    "unknown field": b'feed_var { name: "x" colour: 3 }',
    "unknown message": b'input { name: "x" }',
    "unclosed": b'feed_var {\n  name: "x"\n',
    "closed twice": b'feed_var { name: "x" } }',
    "open string": b'feed_var { name: "x }',
    "no name": b"feed_var { feed_type: 1 }",
    "a word for a number": b'feed_var { name: "x" feed_type: float }',
    "too big a number": b'feed_var { name: "x" shape: 99999999999999999999 }',
    "a number for a bool": b'feed_var { name: "x" is_lod_tensor: 7 }',
    "name not UTF-8": b'feed_var { name: "\\377\\376" }',
    "deeply nested": b"feed_var {" * 5000,
    "a program": (case("2.3.2-mlp").program_file).read_bytes(),
    "long line": b"feed_var { name: " + b"x" * 1_000_000,
}


@pytest.mark.parametrize("data", FATAL.values(), ids=FATAL.keys())
def test_damaged_text_is_one_clear_error(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / configure.SERVER_TEXT
    path.write_bytes(data)
    with ends(), pytest.raises(CorruptModelError) as caught:
        configure.read(path)
    assert str(path) in caught.value.message and "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("case_name", ["2.3.2-bert", "1.8.5-conv_custom"])
@pytest.mark.parametrize("name", [configure.SERVER_TEXT, configure.SERVER_BINARY])
def test_cut_anywhere_is_read_or_refused(case_name: str, name: str, tmp_path: Path) -> None:
    data = (case(case_name).server / name).read_bytes()
    path = tmp_path / name
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        try:
            configure.read(path)
        except CorruptModelError:
            refused += 1
    assert refused > 20


def test_damaged_binary_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / configure.SERVER_BINARY
    for data in (b"", b"\x0a\xff\xff\xff\xff\x0f", b"\x08" * 50, b"\xff" * 100):
        path.write_bytes(data)
        with pytest.raises(CorruptModelError):
            configure.read(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / configure.SERVER_TEXT
    with open(path, "wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(CorruptModelError, match="no Paddle Serving configuration"):
        configure.read(path)


def test_missing_and_unreadable(tmp_path: Path) -> None:
    assert configure.find(tmp_path) is None
    with pytest.raises(NotAModelError):
        configure.read(tmp_path / "nothing.prototxt")


def test_any_of_the_four_files_is_enough(tmp_path: Path) -> None:
    golden = case("2.3.2-multi")
    for side, name, _ in FILES:
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(getattr(golden, side) / name, folder)
        config = configure.find(folder)
        assert config is not None and [v.name for v in config.fetches] == sorted(golden.call["fetch"])


def program_with(dtype: DType, shape: tuple[int, ...], lod: int = 0) -> Program:
    program = Program.from_bytes(case("2.3.2-mlp").program_file.read_bytes())
    tensor = program.feeds[0].var.desc.type.lod_tensor
    tensor.lod_level = lod
    tensor.tensor.data_type = dtype
    del tensor.tensor.dims[:]
    tensor.tensor.dims.extend(shape)
    return program


@pytest.mark.parametrize("dtype", list(DType), ids=lambda d: d.label)
def test_every_type_has_a_number(dtype: DType) -> None:
    (feed,) = configure.from_program(program_with(dtype, (-1, 3))).feeds
    assert feed.type == configure.TYPES[dtype] and feed.dtype is dtype and feed.shape == [3]


def test_a_lod_variable_has_the_shape_minus_one() -> None:
    (feed,) = configure.from_program(program_with(DType.FP32, (-1, 3), lod=1)).feeds
    assert feed.lod and feed.shape == [-1]


def test_what_the_configuration_cannot_hold_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="int32"):
        configure.from_program(program_with(DType.FP32, (1 << 40,)))
    program = program_with(DType.FP32, (2,))
    program.feeds[0].var.desc.type.lod_tensor.tensor.data_type = 32
    with pytest.raises(MconvError, match="element type 32"):
        configure.from_program(program)
