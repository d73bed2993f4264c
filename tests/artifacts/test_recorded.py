"""The output of one command: all of its files with their record, or none; never over what they are made of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Recording, model_sources
from mconv.artifacts.recorded import Output
from mconv.errors import UsageError
from mconv.program.files import in_order, load_model, locate
from tests.golden import case


def written(model: Path, out: Path, *, name: str = "inference", protect: tuple[Path, ...] = ()) -> Output:
    found = locate(model)
    program, params = load_model(found)
    output = Output(Destination.of_folder(out), force=True)
    recording = Recording("test", model_sources(found, params.values()), target="2.3")
    with output.opened(protect, recording):
        assert output.write_model(program, in_order(program, params), name)[0].parent == output.folder
    return output


def test_the_files_and_their_record(tmp_path: Path) -> None:
    output = written(case("2.3.2-mlp").model, tmp_path / "out", name="small")
    program, params = output.model_files("small")
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == ["provenance.json", params.name, program.name]
    record = json.loads((tmp_path / "out/provenance.json").read_text())
    assert [f["name"] for f in record["files"]] == ["small.pdiparams", "small.pdmodel"] and record["sources"]


def test_without_a_record_there_is_none(tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    output = Output(Destination.of_files(paths), force=False)
    with output.opened() as folder:
        for path in paths:
            (folder / path.name).write_text(path.name)
    assert sorted(tmp_path.iterdir()) == paths and paths[1].read_text() == "b.txt"


@pytest.mark.parametrize("kept", ["the model", "an input"])
def test_what_it_is_made_of_is_not_replaced(tmp_path: Path, kept: str) -> None:
    model = tmp_path / "model"
    shutil.copytree(locate(case("2.3.2-mlp").model).folder, model)
    data = tmp_path / "data" / "x.npz"
    data.parent.mkdir()
    data.write_bytes(b"numbers")
    before = sorted(p.name for p in model.iterdir())
    with pytest.raises(UsageError):
        written(model, model if kept == "the model" else data.parent, protect=(data,))
    assert sorted(p.name for p in model.iterdir()) == before and data.read_bytes() == b"numbers"


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    output = Output(Destination.of_folder(tmp_path / "out"), force=False)
    with pytest.raises(ZeroDivisionError), output.opened() as folder:
        (folder / "half").write_text("x")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
