"""Where a conversion's files go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mconv.artifacts.destination import Destination
from mconv.errors import OutputExistsError, UsageError


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(name)


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_folder_of_their_own(tmp_path: Path) -> None:
    where = Destination.of_folder(tmp_path / "out")
    with where.opened() as folder:
        fill(folder, "inference.pdmodel")
        assert not where.folder.exists()
    assert names(tmp_path) == ["out/inference.pdmodel"]
    assert where.failed == tmp_path / "out.failed-verification" and where.covered(folder) is None
    assert where.final(folder / "inference.pdmodel") == tmp_path / "out/inference.pdmodel"


@pytest.mark.parametrize(
    ("models", "record"),
    [
        ({"inference.pdmodel": "net.pdmodel", "inference.pdiparams": "net.pdiparams"}, "provenance.json"),
        ({"net.onnx": "net.onnx", "net.onnx.data": "net.onnx.data"}, "net.provenance.json"),
    ],
)
def test_files_beside_others(models: dict[str, str], record: str, tmp_path: Path) -> None:
    fill(tmp_path, "other")
    where = Destination.beside(tmp_path, "net", models)
    assert where.record == record and where.failed == tmp_path / "net.failed-verification"
    with where.opened() as folder:
        fill(folder, *models, "report.json", record)
        assert where.covered(folder) == {final: folder / made for made, final in models.items()}
    assert names(tmp_path) == sorted([*models.values(), "net.provenance.json", "net.report.json", "other"])
    with pytest.raises(OutputExistsError), where.opened():
        pass


def test_nothing_is_left_of_what_fails(tmp_path: Path) -> None:
    for where in (Destination.of_folder(tmp_path / "out"), Destination.beside(tmp_path, "net", {"m": "net.onnx"})):
        with pytest.raises(ZeroDivisionError), where.opened() as folder:
            fill(folder, "m")
            raise ZeroDivisionError
    assert names(tmp_path) == []


def test_inside_of_an_unfinished_folder(tmp_path: Path) -> None:
    where = replace(
        Destination.of_folder(tmp_path / "out"), folder=tmp_path / "out/inference", inside=tmp_path / "stage"
    )
    with where.opened() as folder:
        fill(folder, "m")
    assert names(tmp_path) == ["stage/m"] and where.failed == tmp_path / "out.failed-verification"
    assert where.final(folder / "m") == tmp_path / "out/inference/m"


@pytest.mark.parametrize("name", [".", "", "./", "..", "/"])
def test_what_has_no_name_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cannot be replaced|is or holds the current folder"):
        with Destination.of_folder(name).opened():
            pass
    if name != "..":
        with pytest.raises(UsageError, match="is a folder"):
            Destination.of_files([Path(name)])
    assert list(tmp_path.iterdir()) == []
