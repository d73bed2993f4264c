"""Damaged files end in one line, quickly, in little memory, and leave nothing behind."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from mconv import api
from mconv.errors import CorruptModelError, MconvError, NotAModelError
from mconv.onnx.convert import convert
from mconv.onnx.reader import read
from mconv.program.targets import PADDLE_3
from tests.damaged import boundaries
from tests.measure import ends
from tests.onnx.bad_models import CASES
from tests.onnx.make import mlp, model, node
from tests.onnx.suite import cases

MEGABYTES = 500


def _make(name: str, folder: Path) -> Path:
    made = CASES[name][0](folder)
    path = folder / "bad.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_bad_model_is_one_line_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    path = _make(name, tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    with ends(), pytest.raises(CASES[name][1]) as caught:
        api.onnx2paddle(path, tmp_path / "out")
    assert type(caught.value) is CASES[name][1]
    assert "\n" not in caught.value.message and len(caught.value.message) < 400
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_bad_models_take_little_memory(tmp_path: Path) -> None:
    """All of them in one process of its own."""
    paths = []
    for i, name in enumerate(CASES):
        (tmp_path / str(i)).mkdir()
        paths.append(str(_make(name, tmp_path / str(i))))
    code = (
        "import sys\n"
        "from mconv.errors import MconvError\n"
        "from mconv.onnx.convert import convert\n"
        "from tests.measure import peak_megabytes\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        convert(path)\n"
        "    except MconvError:\n"
        "        continue\n"
        "    sys.exit(f'{path} was converted')\n"
        "print(peak_megabytes())\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < MEGABYTES


@pytest.mark.parametrize("what", ["missing.onnx", "a folder"])
def test_a_path_that_is_no_file(what: str, tmp_path: Path) -> None:
    (tmp_path / "a folder").mkdir()
    with pytest.raises(NotAModelError):
        api.onnx2paddle(tmp_path / what, tmp_path / "out")


@pytest.mark.parametrize("limit", [0, 4096], ids=["small tensors", "large tensors"])
def test_a_truncated_model_is_never_read(limit: int, tmp_path: Path) -> None:
    """Cut at every field's boundary and one byte before it."""
    path = mlp(tmp_path / "m.onnx")
    if limit:
        weights = {"w": np.ones((4, 1024), np.float32)}
        onnx.save(model([node("MatMul", "x w", "y")], weights=weights), path)
    data = path.read_bytes()
    cuts = sorted({c - d for c in boundaries(data, 0, len(data), 4) for d in (0, 1)} | {1, len(data) - 1})
    graph_end = _end_of_graph(data)
    for cut in cuts:
        if not 0 < cut < graph_end:
            continue
        path.write_bytes(data[:cut])
        with pytest.raises((CorruptModelError, NotAModelError)):
            convert(path)


def _end_of_graph(data: bytes) -> int:
    """Where field 7 of the model ends; what is behind it (the operator sets) can be left out."""
    at = 0
    while True:
        key, at = data[at], at + 1
        length = shift = 0
        while True:
            length |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if data[at - 1] < 0x80:
                break
        if key & 7 == 2:
            at += length
            if key >> 3 == 7:
                return at


SEEDS = [c.model_path for c in cases() if c.kind in ("node", "simple") and c.model_path.exists()][::23]


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    which=st.integers(0, len(SEEDS) - 1),
    edits=st.lists(
        st.tuples(st.sampled_from(["flip", "cut", "double", "drop", "noise"]), st.integers(0, 1 << 30)),
        min_size=1,
        max_size=6,
    ),
)
def test_mutated_models_are_converted_or_refused(which: int, edits: list[tuple[str, int]], tmp_path_factory) -> None:
    """Real models with random damage: a typed error or a conversion, nothing else."""
    data = bytearray(SEEDS[which].read_bytes())
    for what, seed in edits:
        pick = random.Random(seed)
        at = pick.randrange(len(data)) if data else 0
        size = pick.randrange(1, 40)
        if what == "flip" and data:
            data[at] ^= 1 << pick.randrange(8)
        elif what == "cut":
            del data[at:]
        elif what == "double":
            data[at:at] = data[max(0, at - size) : at]
        elif what == "drop":
            del data[at : at + size]
        elif what == "noise":
            data[at : at + size] = pick.randbytes(size)
    path = tmp_path_factory.getbasetemp() / "mutated.onnx"
    path.write_bytes(data)
    try:
        convert(path, PADDLE_3)
    except MconvError as e:
        assert "\n" not in e.message


@pytest.mark.parametrize("field", ["raw_data", "float_data", "double_data"])
def test_large_tensors_stay_in_the_file(field: str, tmp_path: Path) -> None:
    """However they are stored, the reader leaves them where they are and finds every one again."""
    values = np.random.default_rng(0).standard_normal((64, 64)).astype("f8" if field == "double_data" else "f4")
    stored = numpy_helper.from_array(values, "w")
    if field != "raw_data":
        stored = onnx.helper.make_tensor("w", stored.data_type, values.shape, values.ravel())
    small = numpy_helper.from_array(np.arange(3, dtype=np.int64), "s")
    made = model([node("Identity", "w", "y"), node("Identity", "s", "z")], tensors=[stored, small])
    onnx.save(made, tmp_path / "m.onnx")
    found = read(tmp_path / "m.onnx")
    assert found.proto.ByteSize() < 2000
    by_name = {t.name: t for t in found.proto.graph.initializer}
    np.testing.assert_array_equal(found.array(by_name["w"]), values)
    np.testing.assert_array_equal(found.array(by_name["s"]), np.arange(3))
