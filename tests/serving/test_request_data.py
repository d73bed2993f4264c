"""What generated services read from requests: texts of arrays, Tensor messages; right, or refused, and never for long."""

from __future__ import annotations

import io
import json
import random
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mconv.program.dtypes import DType
from tests.measure import ends
from tests.serving.attacks import TEXTS, mutated
from tests.serving.generated import load, service


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    return load(service({"x": (DType.FP32, (-1,))}), tmp_path, "request_data.py", monkeypatch)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[[1, 2], [3, 4]]", np.int64([[1, 2], [3, 4]])),
        (" 7\n", np.int64(7)),
        ("[9223372036854775807, -9223372036854775808]", np.int64([2**63 - 1, -(2**63)])),
        ("[1, 2.5e-3, -Infinity]", np.float64([1, 2.5e-3, -np.inf])),
        ("[99999999999999999999]", np.float64([1e20])),
        ("[true, false]", np.array([True, False])),
        ("array([ True, False])", np.array([True, False])),
        ("array(1.5, dtype=float32)", np.float64(1.5)),
        ("array(7)", np.int64(7)),
        ("array([[1., 2.],\n       [3., 4.]], dtype=float32)", np.float64([[1, 2], [3, 4]])),
        ("[[[]]]", np.zeros((1, 1, 0))),
        ("array([], shape=(0, 3), dtype=float32)", np.zeros((0, 3))),
        ("array([], shape=(9999999999, 3), dtype=float32)", np.zeros(0)),
    ],
)
def test_json_and_what_numpy_prints(data: Any, text: str, wanted: np.ndarray) -> None:
    got = data.parse(text)
    assert got.dtype == wanted.dtype and got.shape == wanted.shape
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", TEXTS)
def test_attacks_are_refused_at_once(data: Any, name: str) -> None:
    with ends(), pytest.raises(ValueError):
        data.parse(TEXTS[name])


def test_whatever_is_parsed_is_what_json_says(data: Any) -> None:
    """Thousands of damaged texts: what is taken has the value that JSON or numpy gives it, the rest is refused."""
    rng = random.Random(7)
    taken = 0
    for _ in range(6000):
        text = mutated(rng)
        try:
            got = data.parse(text)
        except ValueError:
            continue
        taken += 1
        try:
            wanted = json.loads(text)
        except ValueError:  # numpy's way of writing
            continue
        wanted = np.asarray(wanted)
        np.testing.assert_array_equal(got, wanted.astype(np.float64) if wanted.dtype == object else wanted)
    assert taken > 500


MANY = (1 << 20) + 1


@pytest.mark.parametrize(
    "body",
    [
        b'{"key": [' + b"[]," * MANY + b"[]]}",
        b'{"tensors": [' + b"{}," * MANY + b"{}]}",
        b'{"key": [' + b'"",' * MANY + b'""]}',
        b'{"key": ["\\\\", ' + b"[]," * MANY + b"[]]}",
        b'{"key": ["\\"", ' + b"[]," * MANY + b"[]]}",
    ],
    ids=["lists", "objects", "texts", "behind a backslash", "behind a quote"],
)
def test_json_of_small_things_is_refused_before_it_fills_the_memory(data: Any, body: bytes) -> None:
    with pytest.raises(ValueError, match="more than 1048576 lists, objects and texts"):
        data.check_json(body)


@pytest.mark.parametrize("text", ["[" * 2 * MANY, "{}" * MANY, '\\"[' * MANY, "\\\\[" * MANY, '[["\\\\\\"[' * MANY])
def test_what_stands_in_a_text_counts_as_one(data: Any, text: str) -> None:
    data.check_json(json.dumps({"key": ["0"], "value": [text]}).encode())
    data.check_json(json.dumps([0] * MANY).encode())


def tensor(elem_type: int, shape: list[int], **fields: Any) -> Any:
    empty = dict.fromkeys(("int64_data", "float_data", "int_data", "float64_data", "uint32_data", "bool_data"), ())
    return SimpleNamespace(name="x", elem_type=elem_type, shape=shape, lod=[], **{**empty, "byte_data": b"", **fields})


@pytest.mark.parametrize("dtype", ["int64", "float32", "int32", "float64", "int16", "uint8", "int8", "bool", "float16"])
def test_tensors(data: Any, dtype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    ((number, field),) = [(n, f) for n, (d, f) in data.FIELDS.items() if d == dtype]
    got = data.array_of(tensor(number, [2, 3], **{field: array.ravel().tolist()}))
    assert got.dtype == array.dtype and (got == array).all()
    for order in "CF":
        file = io.BytesIO()
        np.save(file, np.asarray(array, order=order))
        got = data.array_of(tensor(13, [], byte_data=file.getvalue()))
        assert got.dtype == array.dtype and (got == array).all()


def npy(header: str, values: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version == b"\1\0" else 4, "little") + text + values


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, x=np.zeros(10**6))
    return file.getvalue()


SUM = "1+" * 30_000 + "1"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (tensor(1, [2, 2], float_data=[1.0]), "has 1 elements"),
        (tensor(1, [-1, 1], float_data=[1.0]), "its shape is"),
        (tensor(1, [-1, -1], float_data=[1.0]), "its shape is"),
        (tensor(1, [10**9, 10**9]), "has 0 elements"),
        (tensor(1, [1] * 17, float_data=[1.0]), "has 1 elements"),
        (tensor(0, [1], float_data=[1.0]), "has 0 elements in int64_data"),
        (tensor(8, [1], int_data=[300]), "are no int8"),
        (tensor(7, [1], uint32_data=[256]), "are no uint8"),
        (tensor(99, [1]), "elem_type 99"),
        (tensor(10, [1]), "elem_type 10"),
        (tensor(13, [], byte_data=b""), "as numpy.save writes it"),
        (tensor(13, [], byte_data=pickled()), "as numpy.save writes it"),
        (tensor(13, [], byte_data=zipped()), "as numpy.save writes it"),
        (tensor(13, [], byte_data=npy(SUM)), "as numpy.save writes it"),
        (tensor(13, [], byte_data=npy(SUM, version=b"\2\0")), "as numpy.save writes it"),
        (tensor(13, [], byte_data=npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9, 9), }")), "0 bytes"),
        (tensor(13, [], byte_data=npy("{'descr': '|O8', 'fortran_order': False, 'shape': (1,), }", b"12345678")), "save"),
        (tensor(13, [], byte_data=npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", b"1234")), "save"),
    ],
)  # fmt: skip
def test_tensors_that_contradict_themselves(data: Any, message: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        data.array_of(message)


def test_lod_and_names(data: Any) -> None:
    with pytest.raises(ValueError, match="LoD"):
        data.array_of(SimpleNamespace(name="x", elem_type=1, shape=[1], lod=[0, 1], float_data=[1.0]))
    assert data.shown("a" * 60) == "a" * 50 + "..."
    assert data.shown("a\x1b[31m\n") == r"a\x1b[31m\n"


def test_brackets_that_are_misplaced_are_found_without_a_search_that_keeps_threads_waiting(data: Any) -> None:
    """As an expression would find them, which takes 28 ms for each MiB, and lets no other thread run meanwhile."""
    pattern, rng = re.compile(rb"[^\[,\s]\s*\[|\]\s*[^\],\s]"), random.Random(5)
    for _ in range(20000):
        text = bytes(rng.choices(b"[],1 \n\t", k=rng.randrange(8)))
        assert data.misplaced(text) == bool(pattern.search(text)), text
    large = json.dumps(np.random.default_rng(0).random((20000, 8)).tolist()).encode()

    def seconds(search: Any) -> float:
        found = []
        for _ in range(5):
            start = time.thread_time()
            assert not search(large)
            found.append(time.thread_time() - start)
        return min(found)

    assert seconds(data.misplaced) < seconds(pattern.search) / 2
