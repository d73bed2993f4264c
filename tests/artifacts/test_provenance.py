"""``provenance.json``: what every conversion leaves, and ``mconv check`` against everything that can happen to it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mconv import api
from mconv.artifacts import provenance
from mconv.artifacts.hashing import hash_file
from mconv.errors import AlteredError, CorruptModelError, MconvError, NotAModelError, UntrustedError, UsageError
from mconv.program import files
from tests.cli.conftest import Run, mconv
from tests.golden import case
from tests.onnx.make import mlp
from tests.paddle import fixtures

__all__ = ["mconv"]


def to_serving(folder: Path) -> tuple[Path, list[Path]]:
    source = folder / "in"
    shutil.copytree(case("2.3.2-mlp").model, source)
    api.to_serving(source, out=folder / "out", feed_alias={"x": "features"})
    return folder / "out" / "serving_server", [source]


def separate_to_serving(folder: Path) -> tuple[Path, list[Path]]:
    source = folder / "in"
    shutil.copytree(case("1.8.5-mlp_separate").model, source)
    api.to_serving(source, out=folder / "out")
    return folder / "out" / "serving_server", [source]


def downgrade(folder: Path) -> tuple[Path, list[Path]]:
    source = fixtures.unpack("3.3", "LeNet", folder / "in")
    api.downgrade(source, folder / "out")
    return folder / "out", [source]


def onnx2paddle(folder: Path) -> tuple[Path, list[Path]]:
    (folder / "in").mkdir(parents=True)
    path = mlp(folder / "in" / "model.onnx")
    api.onnx2paddle(path, folder / "out", verify=False)
    return folder / "out", [path]


MAKERS: list[Callable[[Path], tuple[Path, list[Path]]]] = [to_serving, separate_to_serving, downgrade, onnx2paddle]


@pytest.mark.parametrize("make", MAKERS, ids=lambda m: m.__name__)
def test_the_same_input_gives_the_same_bytes_wherever_it_lies(
    make: Callable[[Path], tuple[Path, list[Path]]], tmp_path: Path
) -> None:
    one, sources = make(tmp_path / "one")
    two, _ = make(tmp_path / "elsewhere" / "two")
    names = [p.name for p in one.iterdir() if p.name != "report.json"]
    assert provenance.NAME in names
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert str(tmp_path) not in (one / provenance.NAME).read_text()
    checked = api.check(one, sources=sources)
    assert checked.ok and checked.sources >= 1 and checked.files >= 2 and not checked.notes
    assert {f["name"] for f in json.loads((one / provenance.NAME).read_text())["files"]} == set(names) - {
        provenance.NAME
    }


@pytest.mark.parametrize("make", MAKERS, ids=lambda m: m.__name__)
def test_every_change_is_found(make: Callable[[Path], tuple[Path, list[Path]]], tmp_path: Path) -> None:
    out, sources = make(tmp_path / "m")
    program = next(p for p in out.iterdir() if p.suffix == ".pdmodel")
    whole = program.read_bytes()
    program.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # one bit, the same size
    assert [(f.kind, f.file) for f in api.check(out).findings] == [("changed", program.name)]
    program.write_bytes(whole + b"x")
    assert "bytes" in api.check(out).findings[0].detail
    program.unlink()
    assert [(f.kind, f.file) for f in api.check(out).findings] == [("missing", program.name)]
    program.write_bytes(whole)
    (out / "more.bin").write_bytes(b"")
    assert [(f.kind, f.file) for f in api.check(out).findings] == [("added", "more.bin")]
    (out / "more.bin").unlink()
    (out / "report.json").write_text("{}")  # has times, and is not covered
    assert api.check(out, sources=sources).ok
    source = next(
        p for p in ([sources[0]] if sources[0].is_file() else sorted(sources[0].iterdir())) if p.stat().st_size
    )
    source.write_bytes(source.read_bytes()[:-1] + b"\x00\x01")
    assert [(f.kind, f.of) for f in api.check(out, sources=sources).findings] == [("changed", "source")]
    assert api.check(out).ok


def test_what_matters_and_only_that_is_recorded(tmp_path: Path) -> None:
    out, _ = to_serving(tmp_path)
    record = json.loads((out / provenance.NAME).read_text())
    assert record["options"]["feed_alias"] == {"x": "features"} and record["target"] == "2.3"
    assert set(record["versions"]) == {"mconv"} and record["schema"] == 2 and record["command"] == "to-serving"
    client = out.parent / "serving_client"
    assert set(record["beside"]) == {"../serving_client"} and len(record["beside"]["../serving_client"]) == 2
    (client / "serving_client_conf.prototxt").write_text("")
    assert [f.file for f in api.check(out).findings] == ["../serving_client/serving_client_conf.prototxt"]
    shutil.rmtree(client)  # a server is deployed without its client
    assert api.check(out).ok and api.check(out).notes == ["../serving_client: not here, not compared"]


def test_a_record_of_schema_1_with_sha256(tmp_path: Path) -> None:
    out, sources = to_serving(tmp_path)
    path = out / provenance.NAME
    record = json.loads(path.read_text())

    def older(files: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
        return [hash_file(folder / f["name"], f["name"], algorithm="sha256").to_dict() for f in files]

    record["schema"], record["files"] = 1, older(record["files"], out)
    record["sources"] = older(record["sources"], sources[0])
    path.write_text(json.dumps(record))
    assert "blake3" not in json.dumps([record["files"], record["sources"]])
    assert api.check(out, sources=sources).ok
    program = next(p for p in out.iterdir() if p.suffix == ".pdmodel")
    program.write_bytes(program.read_bytes()[:-1] + b"\xff")
    assert [f.detail.split()[0] for f in api.check(out).findings] == ["sha256"]


def test_a_hard_link_and_a_copy_have_the_same_record(tmp_path: Path) -> None:
    model = tmp_path / "m"
    shutil.copytree(case("2.3.2-conv").model, model)
    records = []
    for link in (False, True):
        api.to_serving(model, out=tmp_path / str(link), link=link)
        records.append((tmp_path / str(link) / "serving_server" / provenance.NAME).read_bytes())
        assert api.check(tmp_path / str(link)).ok
    assert records[0] == records[1]


def test_it_can_be_left_away(tmp_path: Path) -> None:
    api.to_serving(case("2.3.2-conv").model, out=tmp_path, provenance=False)
    api.to_serving(fixtures.unpack("3.3", "LeNet", tmp_path / "in"), out=tmp_path / "pir", provenance=False)
    for folder in (tmp_path, tmp_path / "pir"):
        assert not (folder / "serving_server" / provenance.NAME).exists()
        assert len(list((folder / "serving_server").iterdir())) == 4


def test_the_record_does_not_disturb_finding_the_model(tmp_path: Path) -> None:
    out, _ = to_serving(tmp_path)
    assert files.locate(out).program.name == "inference.pdmodel"
    assert api.to_serving(out, out=tmp_path / "again").program is not None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", CorruptModelError),
        ("[]", CorruptModelError),
        ('{"schema": 99}', CorruptModelError),
        ('{"schema": 1}', CorruptModelError),
        ("[" * 100_000, CorruptModelError),
        ({"files": [{"name": "../x", "bytes": 1, "blake3": "0" * 64}]}, UntrustedError),
        ({"files": [{"name": "/etc/passwd", "bytes": 1, "blake3": "0" * 64}]}, UntrustedError),
        ({"files": [{"name": "x", "bytes": 1, "blake3": "0"}]}, CorruptModelError),
        ({"files": [{"name": "x", "bytes": 1, "md5": "0" * 64}]}, CorruptModelError),
        ({"files": [{"name": "x", "bytes": 1, "blake3": "0" * 64, "sha256": "0" * 64}]}, CorruptModelError),
        ({"beside": {"../..": []}}, UntrustedError),
        ({"beside": {"/etc": []}}, UntrustedError),
    ],
)
def test_a_damaged_or_hostile_record(text: object, error: type[MconvError], tmp_path: Path) -> None:
    out, _ = to_serving(tmp_path)
    path = out / provenance.NAME
    path.write_text(
        text if isinstance(text, str) else json.dumps({**json.loads(path.read_text()), **text})  # type: ignore[dict-item]
    )
    with pytest.raises(error):
        api.check(out)


def test_a_record_that_never_ends(tmp_path: Path) -> None:
    """To stat, the kernel's log is an ordinary file; reading it waited for a line."""
    out, _ = to_serving(tmp_path)
    (out / provenance.NAME).unlink()
    (out / provenance.NAME).symlink_to("/proc/kmsg")
    with pytest.raises(MconvError):
        api.check(out)


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="no such file"):
        api.check(tmp_path / "nowhere")
    with pytest.raises(NotAModelError, match="holds no provenance.json"):
        api.check(tmp_path)


def test_a_source_that_was_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with provenance.Recording("to-static", []) as record:
        record.write(tmp_path)
    assert api.check(tmp_path).ok
    with pytest.raises(UsageError, match="no file"):
        api.check(tmp_path, sources=[tmp_path])


def test_a_source_that_cannot_be_read_is_an_error_in_time(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="gone"), provenance.Recording("x", [tmp_path / "gone"]) as record:
        record.write(tmp_path)


def test_the_command(mconv: Run, tmp_path: Path) -> None:
    out, (source,) = to_serving(tmp_path)
    done = mconv("check", out.parent, "--source", source)
    assert done.returncode == 0 and "all 6 files are as they were" in done.stdout, done.stderr
    document = json.loads(mconv("check", out, "--json").stdout)
    assert document["ok"] and set(document) == {
        "path", "ok", "command", "target", "options", "versions", "files", "bytes", "sources", "findings", "notes",
    }  # fmt: skip
    os.truncate(out / "inference.pdiparams", 3)
    (out / "x").write_text("")
    done = mconv("check", out)
    assert done.returncode == AlteredError.exit_code == 12
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["changed", "added"]
    assert "error: " in done.stderr and "(and 1 more)" in done.stderr and "hint: " in done.stderr
    error = json.loads(mconv("check", out, "--json").stdout)["error"]
    assert error["exit_code"] == 12 and [r["kind"] for r in error["rows"]] == ["changed", "added"]


@pytest.mark.parametrize("make", MAKERS, ids=lambda m: m.__name__)
def test_nothing_large_is_read_twice(
    make: Callable[[Path], tuple[Path, list[Path]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources are hashed once, parameters while they are written or copied."""
    read: list[Path] = []

    def counted(path: Path, *more: Any, **options: Any) -> Any:
        read.append(Path(path))
        return hash_file(path, *more, **options)

    monkeypatch.setattr(provenance, "hash_file", counted)
    out, _ = make(tmp_path / "m")
    assert len(set(read)) == len(read) and not [p for p in read if "params" in p.name and ".mconv-" in str(p)]
    assert api.check(out).ok


def test_a_folder_that_is_no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe can name the home folder; what is hidden in it is not even looked at."""
    for name in ("a", "inner/b", "inner/c", ".cache/d", "inner/__pycache__/e", ".f"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".cache").chmod(0)
    monkeypatch.setattr(provenance, "_MOST_FILES", 3)
    assert [name for name, _ in provenance.expand([tmp_path])] == ["a", "inner/b", "inner/c"]
    monkeypatch.setattr(provenance, "_MOST_FILES", 2)
    with pytest.raises(NotAModelError, match="more than 2 files"):
        provenance.expand([tmp_path])
    (tmp_path / ".cache").chmod(0o755)
