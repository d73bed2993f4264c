"""External data: every file that a model names, wherever the tensor stands."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import api, budget
from mconv.errors import CorruptModelError, LimitError, MconvError, UntrustedError
from mconv.program import external_data
from mconv.proof.reference import ReferenceRunner
from mconv.proof.runners import OnnxRunner
from tests.onnx.make import model, node


def outside(name: str, location: str) -> TensorProto:
    """A tensor [4] whose data are in a file."""
    made = numpy_helper.from_array(np.ones(4, np.float32), name)
    made.ClearField("raw_data")
    made.data_location = TensorProto.EXTERNAL
    made.external_data.add(key="location", value=location)
    return made


def branch(location: str) -> onnx.GraphProto:
    add = node("Add", "x w", "z")
    return helper.make_graph([add], "b", [], [helper.make_tensor_value_info("z", 1, [4])], [outside("w", location)])


def test_tensors_of_every_place(tmp_path: Path) -> None:
    function = helper.make_function(
        "own", "Plus", ["x"], ["y"],
        [helper.make_node("Constant", [], ["c"], value=outside("c", "in/function")), node("Add", "x c", "y")],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    sparse = helper.make_sparse_tensor(
        outside("s", "sparse"), numpy_helper.from_array(np.arange(4, dtype=np.int64)), [9]
    )
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branch("then"), else_branch=branch("./else"))
    made = model([choice], functions=[function], tensors=[outside("i", "initializer"), outside("j", "m.onnx")])
    made.graph.sparse_initializer.append(sparse)
    large = numpy_helper.from_array(np.ones(4096, np.float32), "large")  # in the file itself
    large.external_data.add(key="location", value="not used: its data are here")
    made.graph.initializer.append(large)
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    assert api.external_data(path) == ["else", "in/function", "initializer", "sparse", "then"]


def test_no_elements_of_dimensions_that_no_tensor_has(tmp_path: Path) -> None:
    """numpy multiplies the others."""
    held = outside("w", "w.bin")
    del held.dims[:]
    held.dims.extend([0, 1 << 62])
    (tmp_path / "w.bin").write_bytes(b"")
    path = tmp_path / "m.onnx"
    path.write_bytes(model([node("Concat", "w w", "y", axis=0)], tensors=[held]).SerializeToString())
    with pytest.raises(
        CorruptModelError, match="w: it has dimensions .0, 4611686018427387904.: no tensor is that large"
    ):
        api.onnx2paddle(path, tmp_path / "out", verify=False)


@pytest.mark.parametrize("location", ["../x", "/x", "//x", "a/../../x", "..", "a/.."])
def test_nothing_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model([node("Relu", "x", "y")], tensors=[outside("i", location)]).SerializeToString())
    with pytest.raises(UntrustedError, match="outside of the model's folder"):
        api.external_data(path)


# the guard -------------------------------------------------------------------------------------------------------------


class Hostile(NamedTuple):
    """What lies in the folder beside the model, and what the model says of its tensor."""

    name: str
    error: type[MconvError]
    entries: dict[str, str]
    make: Callable[[Path], object] = lambda folder: None


def _digits(text: str) -> str:
    return "".join(chr(0x660 + int(c)) for c in text)  # Arabic-Indic


def _sparse(folder: Path) -> None:
    with (folder / "w").open("wb") as file:
        file.truncate(16)


HOSTILE = [
    Hostile("a link to a file outside", UntrustedError, {"location": "l"}, lambda f: (f / "l").symlink_to("../secret")),
    Hostile("a link to a folder outside", UntrustedError, {"location": "l/secret"}, lambda f: (f / "l").symlink_to("..")),
    Hostile("a way out", UntrustedError, {"location": "../secret"}),
    Hostile("an absolute path", UntrustedError, {"location": "/etc/hostname"}),
    Hostile("no location", UntrustedError, {}),
    Hostile("a folder", CorruptModelError, {"location": "d"}, lambda f: (f / "d").mkdir()),
    Hostile("a pipe", CorruptModelError, {"location": "p"}, lambda f: os.mkfifo(f / "p")),
    Hostile("links in a circle", CorruptModelError, {"location": "a"},
            lambda f: [(f / "a").symlink_to("b"), (f / "b").symlink_to("a")]),
    Hostile("a name too long for the file system", CorruptModelError, {"location": "x" * 300}),
    Hostile("a path too long for the file system", CorruptModelError, {"location": "x/" * 3000 + "x"}),
    Hostile("a control character", CorruptModelError, {"location": "w\x1b[31m"}),
    Hostile("a null byte", CorruptModelError, {"location": "w\0"}),
    Hostile("another script's digits", CorruptModelError, {"location": "w", "offset": _digits("0")}, _sparse),
    Hostile("another script's digits in the length", CorruptModelError, {"location": "w", "length": _digits("16")}, _sparse),
    Hostile("an offset below 0", CorruptModelError, {"location": "w", "offset": "-4"}, _sparse),
    Hostile("an offset with an underscore", CorruptModelError, {"location": "w", "offset": "1_0"}, _sparse),
    Hostile("an offset of many digits", CorruptModelError, {"location": "w", "offset": "1" * 5000}, _sparse),
    Hostile("data behind the end", CorruptModelError, {"location": "w", "offset": "8"}, _sparse),
    Hostile("another length than the tensor's", CorruptModelError, {"location": "w", "length": "8"}, _sparse),
]  # fmt: skip


def hostile(case: Hostile, folder: Path, dims: Sequence[int] = (4,)) -> Path:
    """A folder with a model that adds a tensor of external data to its input, and a secret beside the folder."""
    folder.mkdir()
    folder.with_name("secret").write_bytes(b"sixteen secrets!")
    case.make(folder)
    stored = TensorProto(name="w", data_type=1, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in case.entries.items():
        stored.external_data.add(key=key, value=value)
    path = folder / "m.onnx"
    path.write_bytes(model([node("Add", "x w", "y")], tensors=[stored]).SerializeToString())
    return path


READERS: dict[str, Callable[[Path], object]] = {
    "onnx2paddle": lambda path: api.onnx2paddle(path, path.with_name("out"), verify=False),
    "x2paddle": lambda path: external_data.check(path, onnx.load(path, load_external_data=False)),
    "ONNX Runtime": OnnxRunner,
    "ONNX's evaluator": ReferenceRunner,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case.name)
def test_every_reader_has_the_same_guard(case: Hostile, reader: str, tmp_path: Path) -> None:
    path = hostile(case, tmp_path / "d")
    before = sorted(p.name for p in path.parent.iterdir())
    if reader != "onnx2paddle" and case.name in (
        "data behind the end",
        "another length than the tensor's",
        "no location",
    ):
        return  # what the data mean is the reader's own affair
    with pytest.raises(case.error) as error:
        READERS[reader](path)
    assert "\n" not in error.value.message and len(error.value.message) < 400 and error.value.message.isprintable()
    assert "secret" not in error.value.message or "secret" in str(case.entries)
    assert sorted(p.name for p in path.parent.iterdir()) == before


@pytest.mark.parametrize("reader", READERS)
def test_a_link_within_the_folder_is_followed(reader: str, tmp_path: Path) -> None:
    if reader == "ONNX Runtime":
        pytest.skip("it refuses all links itself")

    def make(folder: Path) -> None:
        (folder / "real").write_bytes(np.arange(4, dtype=np.float32).tobytes())
        (folder / "l").symlink_to("real")

    READERS[reader](hostile(Hostile("", MconvError, {"location": "l"}, make), tmp_path / "d"))


def test_a_sparse_file_is_not_copied(tmp_path: Path) -> None:
    """A terabyte of holes takes no disk, and is out of proportion to it."""

    def make(folder: Path) -> None:
        with (folder / "w").open("wb") as file:
            file.truncate(1 << 40)

    path = hostile(Hostile("", LimitError, {"location": "w"}, make), tmp_path / "d", [1 << 16, 1 << 22])
    for reader in ("onnx2paddle", "ONNX's evaluator"):
        with pytest.raises(LimitError, match="beyond the limit"), budget.command():
            READERS[reader](path)


def test_inspecting_opens_no_external_data(tmp_path: Path) -> None:
    for case in HOSTILE[:8]:
        path = hostile(case, tmp_path / case.name.replace(" ", "-"))
        assert api.inspect(path).parameters == 1
