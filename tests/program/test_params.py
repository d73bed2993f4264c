"""Parameter files: listing, lazy reading, streamed writing."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mconv.errors import CorruptModelError, MconvError, NotAModelError, UnsupportedError, UntrustedError
from mconv.program import copying
from mconv.program.dtypes import DType, VarKind
from mconv.program.files import load_program, locate, records
from mconv.program.params import ArraySource, FileSource, TensorSource, list_combined, list_separate
from mconv.program.params_writing import record_header, write_combined
from mconv.program.program import Var
from tests.damaged import header
from tests.golden import CASES, Case, case
from tests.measure import calls

DTYPES = list(DType)


def var(name: str, source: TensorSource) -> Var:
    return Var.tensor(name, source.dtype, source.shape, persistable=True)


def combined(*items: tuple[str, TensorSource]) -> bytes:
    file = io.BytesIO()
    write_combined(file, items)
    return file.getvalue()


# ---------------------------------------------------------------------------------------------- golden


def test_combining_is_concatenation(golden: Case, tmp_path: Path) -> None:
    """Each golden model's parameters, combined, are the bytes that the official converter wrote."""
    files = locate(golden.model)
    found = records(files, load_program(files))
    official = locate(golden.server).params
    assert official is not None
    write_combined(tmp_path / "all", ((r.name, r) for r in found))
    assert (tmp_path / "all").read_bytes() == official.read_bytes()
    # and so they are when each is read and written as an array, or as a stream
    assert combined(*((r.name, ArraySource(r.array())) for r in found)) == official.read_bytes()
    assert combined(*((r.name, FileSource(r.path, r.offset, r.dtype, r.shape)) for r in found)) == official.read_bytes()


def test_lazy_reading(golden: Case) -> None:
    files = locate(golden.model)
    for record in records(files, load_program(files)):
        array = record.array()
        assert (array.shape, array.dtype, array.nbytes) == (record.shape, record.dtype.numpy, record.nbytes)
        assert b"".join(record.chunks(100)) == array.tobytes()
        assert not array.flags.writeable


def test_values_are_paddles(golden: Case) -> None:
    """A bias of the first layer is what the file says, read here without the code under test."""
    files = locate(golden.model)
    record = min(records(files, load_program(files)), key=lambda r: r.nbytes)
    raw = record.path.read_bytes()[record.offset : record.offset + record.nbytes]
    assert raw == np.asarray(record.array(), record.dtype.numpy.newbyteorder("<")).tobytes()
    assert np.isfinite(record.array()).all()


# ---------------------------------------------------------------------------------------------- round trips

shapes = hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5)
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@st.composite
def tensors(draw: st.DrawFn) -> ArraySource:
    dtype = draw(st.sampled_from(DTYPES))
    array = draw(hnp.arrays(dtype.numpy, draw(shapes)))
    if draw(st.booleans()):
        array = array.T
    if draw(st.booleans()):
        array = array.astype(array.dtype.newbyteorder(">"))
    return ArraySource(array, dtype)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(names, tensors(), max_size=5))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, ArraySource]) -> None:
    path = tmp_path_factory.mktemp("round") / "params"
    items = sorted(tensors.items(), key=lambda item: item[0].encode())
    write_combined(path, items)
    found = list_combined(path, [var(*item) for item in items])
    assert [(r.name, r.dtype, r.shape) for r in found] == [(n, s.dtype, s.shape) for n, s in items]
    for record, (_, source) in zip(found, items):
        got, wanted = record.array(), source.array()
        assert (got.dtype, got.shape) == (source.dtype.numpy, source.shape)
        assert got.tobytes() == wanted.astype(wanted.dtype.newbyteorder("<")).tobytes()
    assert combined(*((r.name, r) for r in found)) == path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(tensors(), st.integers(1, 50))
def test_pieces(source: ArraySource, size: int) -> None:
    pieces = list(source.chunks(size))
    assert b"".join(pieces) == np.ascontiguousarray(source.array()).tobytes()
    assert all(len(p) <= max(size, source.dtype.itemsize) for p in pieces)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.lists(tensors(), max_size=2))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, tail: bytes, tensors: list[ArraySource]) -> None:
    """Bytes of any kind are refused, or they are exactly what is wanted."""
    path = tmp_path_factory.mktemp("any") / "params"
    items = list(zip("ab", tensors))
    path.write_bytes(combined(*items) + tail)
    wanted = [var(*item) for item in items] + ([Var.tensor("c", DType.FP32, (2,), persistable=True)] if tail else [])
    try:
        found = list_combined(path, wanted)
    except MconvError as e:
        assert tail
        assert "offset" in e.message
    else:
        assert not tail or found[-1].end == len(path.read_bytes())


def test_bfloat16_of_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    source = ArraySource(np.array([1.0, -2.5], ml_dtypes.bfloat16))
    assert source.dtype is DType.BF16
    assert b"".join(source.chunks()) == struct.pack("<2H", 0x3F80, 0xC020)


def test_array_of_another_type() -> None:
    with pytest.raises(ValueError, match="float32 does not hold bfloat16"):
        ArraySource(np.zeros(2, np.float32), DType.BF16)
    with pytest.raises(KeyError):
        ArraySource(np.zeros(2, np.uint64))


# ---------------------------------------------------------------------------------------------- writing


def test_order_is_checked() -> None:
    one = ArraySource(np.zeros(2, np.float32))
    combined(("B", one), ("a", one), ("é", one), ("日", one))
    for first, second in (("b", "a"), ("a", "a"), ("日", "é")):
        with pytest.raises(ValueError, match="byte order"):
            combined((first, one), (second, one))


def test_source_that_gives_too_little() -> None:
    class Short(TensorSource):
        dtype, shape = DType.FP32, (4,)

        def chunks(self, size: int = 0) -> Iterator[bytes]:
            yield bytes(12)

        def array(self) -> np.ndarray:
            raise AssertionError("not needed to write")

    with pytest.raises(ValueError, match="'w' gave 12 bytes, 16 were announced"):
        combined(("w", Short()))


@pytest.mark.skipif(sys.platform != "linux", reason="the call is Linux's")
def test_blocks_are_shared_where_the_file_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system of the tests seldom can: the call is answered as XFS and Btrfs do."""
    data = np.random.default_rng(0).bytes(10_000)
    source = tmp_path / "source"
    source.write_bytes(data)
    calls = []

    def ioctl(target: int, request: int, argument: bytes) -> int:
        origin, offset, size, at = struct.unpack("=qQQQ", argument)
        calls.append((request, offset, size, at))
        if (offset + size) % 4096 and offset + size < len(data):
            raise OSError(errno.EINVAL, "neither whole blocks nor up to the end")
        return os.pwrite(target, os.pread(origin, size, offset), at)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with open(source, "rb") as read, open(tmp_path / "target", "wb", buffering=0) as write:
        for offset, size in ((0, 4096), (4096, 5904), (0, 100), (8192, 100)):
            copying.copy_range(read.fileno(), write.fileno(), offset, size, source)
    assert (tmp_path / "target").read_bytes() == data + data[:100] + data[8192:8292]
    assert calls == [(0x4020940D, 0, 4096, 0), (0x4020940D, 4096, 5904, 4096)]  # later the target is out of step


@pytest.mark.parametrize("already", [0, 10], ids=["blocks in step", "out of step"])
def test_copying_to_where_the_target_stands(tmp_path: Path, already: int) -> None:
    data = np.random.default_rng(0).bytes(3_000_000)
    source = tmp_path / "source"
    source.write_bytes(data)
    with open(source, "rb") as read, open(tmp_path / "target", "wb", buffering=0) as write:
        write.write(b"x" * already)
        copying.copy_range(read.fileno(), write.fileno(), 0, 1_500_001, source)
        copying.copy_range(read.fileno(), write.fileno(), 1_500_001, 1_499_999, source)
        assert write.tell() == already + len(data)
        with pytest.raises(CorruptModelError, match="1 bytes short"):
            copying.copy_range(read.fileno(), write.fileno(), len(data) - 5, 6, source)
    assert (tmp_path / "target").read_bytes() == b"x" * already + data + data[-5:]


def test_failure_to_write_is_told(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError) as e:
        write_combined("/dev/full", [("w", ArraySource(np.zeros(10, np.float32)))])
    assert e.value.errno == errno.ENOSPC


@pytest.mark.parametrize("link", [False, True])
def test_copy_file(tmp_path: Path, link: bool) -> None:
    (tmp_path / "real").write_bytes(b"data" * 1000)
    (tmp_path / "a").symlink_to("real")
    copying.copy_file(tmp_path / "a", tmp_path / "b", link=link)
    assert (tmp_path / "b").read_bytes() == b"data" * 1000
    assert (tmp_path / "b").samefile(tmp_path / "real") == link
    assert not (tmp_path / "b").is_symlink()
    with pytest.raises(FileExistsError):
        copying.copy_file(tmp_path / "a", tmp_path / "b", link=link)


# ---------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("shape", "declared", "sound"),
    [
        ((2, 3), (2, 3), True),
        ((2, 3), (-1, 3), True),
        ((2, 3), (-1, -1), True),
        ((2, 3), (3, 2), False),
        ((2, 3), (6,), False),
        ((2, 3), (), False),
        ((), (1,), True),
        ((1,), (), True),
        ((0,), (0,), True),
        ((0,), (1,), False),
    ],
)
def test_shape_against_the_program(
    tmp_path: Path, shape: tuple[int, ...], declared: tuple[int, ...], sound: bool
) -> None:
    path = tmp_path / "params"
    write_combined(path, [("w", ArraySource(np.zeros(shape, np.float32)))])
    wanted = [Var.tensor("w", DType.FP32, declared, persistable=True)]
    if sound:
        assert list_combined(path, wanted)[0].shape == shape
    else:
        with pytest.raises(CorruptModelError, match=r"'w' at offset 20: shape .* in the file, .* in the program"):
            list_combined(path, wanted)


def test_errors_name_variable_and_offset(tmp_path: Path) -> None:
    golden = case("2.3.2-mlp")
    files = locate(golden.model)
    program = load_program(files)
    found = records(files, program)
    assert files.params is not None
    data = files.params.read_bytes()
    path = tmp_path / "params"
    second = found[1]

    def message(content: bytes) -> str:
        path.write_bytes(content)
        with pytest.raises(CorruptModelError) as e:
            list_combined(path, program.parameters)
        assert e.value.hint
        return e.value.message

    at = second.record_offset
    assert message(data[:-1]).startswith(f"{path}: parameter {found[-1].name!r} at offset {found[-1].offset}: ")
    assert f"ends at offset {at}, before parameter {second.name!r}: it holds 1 of the 4" in message(data[:at])
    assert f"3 more bytes at offset {len(data)}, after {found[-1].name!r}" in message(data + b"abc")
    absurd = data[:at] + header(5, (-3, 4)) + data[second.offset :]
    assert f"parameter {second.name!r} at offset {at + 20}: negative dimension in shape [-3, 4]" in message(absurd)
    huge = data[:at] + header(5, (1 << 40, 1 << 40)) + data[second.offset :]
    assert f"parameter {second.name!r} at offset {at + 20}: shape" in message(huge)
    double = data[:at] + header(6, second.shape) + data[second.offset :] + bytes(second.nbytes)
    assert "float64 in the file, float32 in the program" in message(double)


def test_lod_is_carried_along(tmp_path: Path) -> None:
    """A record may hold LoD offsets; they are skipped when it is read and kept when it is copied."""
    lod = struct.pack("<IQQ2Q", 0, 1, 16, 0, 3)
    record = lod + record_header(DType.FP32, (3,))[12:] + np.arange(3, dtype=np.float32).tobytes()
    path = tmp_path / "params"
    path.write_bytes(record)
    (found,) = list_combined(path, [Var.tensor("w", DType.FP32, (3,), persistable=True, lod_level=1)])
    assert found.array().tolist() == [0, 1, 2]
    assert combined(("w", found)) == record


def test_separate_files(tmp_path: Path) -> None:
    one = ArraySource(np.arange(6, dtype=np.float32).reshape(2, 3))
    (tmp_path / "conv").mkdir()
    write_combined(tmp_path / "conv" / "weights", [("conv/weights", one)])
    assert list_separate(tmp_path, [var("conv/weights", one)])[0].array().tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(CorruptModelError, match="the file of parameter 'w' is missing"):
        list_separate(tmp_path, [var("w", one)])
    with open(tmp_path / "conv" / "weights", "ab") as file:
        file.write(b"more")
    with pytest.raises(CorruptModelError, match=r"4 more bytes at offset \d+, after parameter 'conv/weights'"):
        list_separate(tmp_path, [var("conv/weights", one)])


@pytest.mark.parametrize("name", ["/etc/passwd", "../params", "a/../../b", ".."])
def test_separate_files_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UntrustedError, match="leads out of the model's folder"):
        list_separate(tmp_path, [Var.tensor(name, DType.FP32, (1,), persistable=True)])


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "日" * 100])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorruptModelError, match="cannot be that of a file") as e:
        list_separate(tmp_path, [Var.tensor(name, DType.FP32, (1,), persistable=True)])
    assert len(e.value.message) < 300


def test_no_ordinary_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "missing"):
        with pytest.raises(NotAModelError):
            list_combined(path, [])


def test_no_dense_tensor(tmp_path: Path) -> None:
    (tmp_path / "params").write_bytes(bytes(100))
    with pytest.raises(UnsupportedError, match="'rows' is no dense tensor"):
        list_combined(tmp_path / "params", [Var.of_kind("rows", VarKind.SELECTED_ROWS, persistable=True)])


def test_file_that_shrinks_after_listing(tmp_path: Path) -> None:
    path = tmp_path / "params"
    write_combined(path, [("w", ArraySource(np.zeros(1000, np.float32)))])
    (record,) = list_combined(path, [Var.tensor("w", DType.FP32, (1000,), persistable=True)])
    os.truncate(path, 500)
    for action in (record.array, lambda: list(record.chunks()), lambda: combined(("w", record))):
        with pytest.raises(CorruptModelError, match="ends at offset 500"):
            action()


# ---------------------------------------------------------------------------------------------- size and speed

HUGE = """
import sys
from mconv.program.dtypes import DType
from mconv.program.params import list_combined
from mconv.program.params_writing import record_header, write_combined
from mconv.program.program import Var
from tests.measure import peak_megabytes

path, target = sys.argv[1:]
shape = (512, 1024, 1024)
head = record_header(DType.FP32, shape)
with open(path, "wb") as file:
    file.write(head)
    file.truncate(len(head) + 2**31)
var = Var.tensor("w", DType.FP32, shape, persistable=True)
(record,) = list_combined(path, [var])
assert record.nbytes == 2**31
array = record.array()
assert array.shape == shape and array[100, 200, 300] == 0

class Counting:
    size = 0
    def write(self, data):
        self.size += len(data)

counting = Counting()
write_combined(counting, [("w", record)])
assert counting.size == len(head) + 2**31
if target:
    write_combined(target, [("w", record)])
print(round(peak_megabytes()))
"""


@pytest.mark.parametrize("copied", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.long
def test_two_gigabytes(tmp_path: Path, copied: bool) -> None:
    """Listing, mapping, streaming and copying 2 GB take less than 200 MB of memory."""
    target = str(tmp_path / "copy") if copied else ""
    done = subprocess.run(
        [sys.executable, "-c", HUGE, str(tmp_path / "huge"), target],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200, f"{done.stdout.strip()} MB"
    if copied:
        assert os.path.getsize(target) == os.path.getsize(tmp_path / "huge")
        os.unlink(target)


def test_listing_parameters_is_work_in_proportion_to_their_number(tmp_path: Path) -> None:
    one = ArraySource(np.zeros(1, np.float32))
    items = [(f"w{i:05}", one) for i in range(2000)]
    variables = [var(*item) for item in items]
    write_combined(tmp_path / "few", items[:200])
    write_combined(tmp_path / "params", items)
    _, few = calls(lambda: list_combined(tmp_path / "few", variables[:200]))
    found, many = calls(lambda: list_combined(tmp_path / "params", variables))
    assert many < 12 * few
    assert found[-1].end == (tmp_path / "params").stat().st_size


def test_no_case_is_missing() -> None:
    assert len(CASES) == 13
