"""Weights without running what a file brings."""

from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv.dygraph import unpickle, weights
from mconv.errors import CorruptModelError, MconvError, NotAModelError, UntrustedError

STATE = collections.OrderedDict(
    [
        ("linear.weight", np.arange(12, dtype=np.float32).reshape(3, 4)),
        ("fortran", np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3))),
        ("half", np.ones(3, np.float16)),
        ("flag", np.array([True, False])),
        ("scalar", np.array(2.5)),
        ("big endian", np.arange(3, dtype=">f4")),
        ("empty", np.zeros((0, 4), np.float32)),
        ("pair", ("linear_0.b_0", np.arange(2, dtype=np.uint8))),
    ]
)


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps(STATE, protocol))
    found = weights.read(path)
    for name, value in STATE.items():
        wanted = value[1] if isinstance(value, tuple) else value
        assert found[name].dtype == wanted.dtype.newbyteorder("=") and found[name].shape == wanted.shape
        assert np.array_equal(found[name], wanted)


def test_what_paddle_saves(tmp_path: Path) -> None:
    paddle = pytest.importorskip("paddle")
    layer = paddle.nn.Sequential(paddle.nn.Linear(3, 2), paddle.nn.BatchNorm1D(2))
    for protocol in (2, 3, 4):
        paddle.save(layer.state_dict(), str(tmp_path / "x.pdparams"), protocol=protocol)
        found = weights.read(tmp_path / "x.pdparams")
        assert list(found) == list(layer.state_dict())
        for name, tensor in layer.state_dict().items():
            assert np.array_equal(found[name], tensor.numpy())
    # tensors inside other objects are saved in another way
    paddle.save({"a": paddle.ones([2]), "b": [paddle.zeros([1]), 3]}, str(tmp_path / "y.pdparams"))
    assert np.array_equal(unpickle.load(tmp_path / "y.pdparams")["a"][1], np.ones(2, np.float32))


def test_large_parameters_in_pieces(tmp_path: Path) -> None:
    """Protocols 2 and 3 cut arrays above 1 GB and note how; here with small ones."""
    raw = {
        "w@@.0": np.arange(4, dtype=np.float32), "w@@.1": np.arange(4, 6, dtype=np.float32),
        "UnpackBigParamInfor@@": {"w": {"OriginShape": (2, 3), "slices": ["w@@.0", "w@@.1"]}},
    }  # fmt: skip
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps(raw, 2))
    assert np.array_equal(weights.read(tmp_path / "x.pdparams")["w"], np.arange(6, dtype=np.float32).reshape(2, 3))
    raw["UnpackBigParamInfor@@"]["w"]["slices"] = ["nowhere"]
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps(raw, 2))
    with pytest.raises(NotAModelError, match="pieces of 'w'"):
        weights.read(tmp_path / "x.pdparams")


class _Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def _evil(marker: Path) -> dict[str, Any]:
    command = f"touch {marker}"
    return {
        "os.system": _Calls(os.system, command),
        "eval": _Calls(eval, f"__import__('os').system('{command}')"),
        "eval with names": _Calls(eval, "data.x", {"data": 1}),
        "exec": _Calls(exec, f"import os; os.system('{command}')"),
        "getattr": _Calls(getattr, "text", "format_map"),
        "open": _Calls(open, str(marker), "w"),
        "numpy": _Calls(np.fromfile, "/etc/passwd"),
        "numpy class": _Calls(np.memmap, "/etc/passwd"),
        "array of a subclass": _Calls(np._core.multiarray._reconstruct, np.matrix, (0,), b"b")
        if hasattr(np, "_core")
        else _Calls(np.core.multiarray._reconstruct, np.matrix, (0,), b"b"),
        "objects": np.array([_Calls(os.system, command)], dtype=object),
        "records": np.zeros(2, dtype=[("a", "f4")]),
        "inside": {"w": np.ones(2), "config": [_Calls(os.system, command)]},
        "a class": collections.Counter("abc"),
    }


@pytest.mark.parametrize("kind", _evil(Path("x")))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_is_never_run(kind: str, protocol: int, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps({"w": np.ones(2), "x": _evil(marker)[kind]}, protocol))
    with pytest.raises(UntrustedError) as error:
        weights.read(path)
    assert not marker.exists()
    assert "\n" not in error.value.message and "--trust" in (error.value.hint or "")


def test_code_in_raw_opcodes(tmp_path: Path) -> None:
    """Forms that no Pickler writes: names by INST, classes from the extension registry, persistent ids."""
    marker = tmp_path / "marker"
    command = f"touch {marker}".encode()
    for body in (b"(S'" + command + b"'\nios\nsystem\n.", b"cos\nsystem\n(S'" + command + b"'\ntR.", b"Pid\n."):
        path = tmp_path / "x.pdparams"
        path.write_bytes(body)
        with pytest.raises((UntrustedError, CorruptModelError)):
            weights.read(path)
        assert not marker.exists()


def test_trust_runs_it(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps({"w": np.ones(2), "x": _Calls(os.system, f"touch {marker}")}))
    with pytest.raises(NotAModelError, match=r"x \(int\)"):  # the result of os.system is no array
        weights.read(path, trust=True)
    assert marker.exists()


def test_sizes_that_lie(tmp_path: Path) -> None:
    """A shape that does not match the bytes; negative, huge and wrong ones."""
    good = pickle.dumps(np.arange(6, dtype=np.float32).reshape(2, 3), 2)
    marker = b"K\x02K\x03"
    assert marker in good
    for shape in (b"K\x02K\x04", b"K\x00K\x00", b"J" + struct.pack("<i", -1) + b"K\x03"):
        (tmp_path / "x.pdparams").write_bytes(good.replace(marker, shape))
        with pytest.raises(CorruptModelError):
            unpickle.load(tmp_path / "x.pdparams")


def test_small_file_does_not_become_large(tmp_path: Path) -> None:
    """A hundred lists, each holding the one before it twice: 2^100 if anything copied them."""
    value: Any = [np.ones(1)]
    for _ in range(100):
        value = [value, value]
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps({"w": value}, 4))
    with pytest.raises(NotAModelError, match=r"w \(list\)"):
        weights.read(tmp_path / "x.pdparams")
    loop: list[Any] = []
    loop.append(loop)
    (tmp_path / "x.pdparams").write_bytes(pickle.dumps({"w": loop}, 4))
    with pytest.raises(CorruptModelError, match="holds itself"):
        weights.read(tmp_path / "x.pdparams")


@pytest.mark.parametrize("protocol", [2, 4])
def test_damaged_at_every_place(protocol: int, tmp_path: Path) -> None:
    """Truncated and with flipped bytes: an error of one line, or arrays; never another exception."""
    data = pickle.dumps(dict(list(STATE.items())[:3]), protocol)
    path = tmp_path / "x.pdparams"
    rng = np.random.default_rng(0)
    cases = [data[:i] for i in range(0, len(data), 7)]
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.integers(len(data))] = rng.integers(256)
        cases.append(bytes(changed))
    refused = 0
    for case in cases:
        path.write_bytes(case)
        try:
            weights.read(path)
        except MconvError as e:
            refused += 1
            assert "\n" not in e.message and e.exit_code in (3, 4, 11)
    assert refused > len(data) // 7 - 2


def test_other_files(tmp_path: Path) -> None:
    for name, content, kind in (
        ("empty.pdparams", b"", CorruptModelError),
        ("text.pdparams", b"hello, this is no pickle", CorruptModelError),
        ("list.pdparams", pickle.dumps([1, 2]), NotAModelError),
        ("config.pdparams", pickle.dumps({"epoch": 3, "model": {}}), NotAModelError),
        ("x.safetensors", b"\x00" * 20, NotAModelError),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(kind):
            weights.read(tmp_path / name)
    with pytest.raises(NotAModelError):
        weights.read(tmp_path / "nowhere.pdparams")
    with pytest.raises(NotAModelError):
        weights.read(tmp_path)


def test_the_allowed_names_are_few() -> None:
    """Everything that a file can call is a function of ours or an empty container."""
    for module, names in unpickle._ALLOWED.items():
        for name, value in names.items():
            own = getattr(value, "__module__", "") == unpickle.__name__
            assert own or value in (tuple, list, dict, set, collections.OrderedDict), f"{module}.{name}"


def test_opcodes_of_paddle_are_those_allowed() -> None:
    """The names in a real file, read without unpickling, are all in the table."""
    buffer = io.BytesIO()
    pickle.dump(STATE, buffer, 2)
    named = {argument for code, argument, _ in pickletools.genops(buffer.getvalue()) if code.name == "GLOBAL"}
    for text in named:
        module, name = str(text).split(" ")
        assert name in unpickle._ALLOWED[module]
