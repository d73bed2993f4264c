"""Sources at addresses: fetched once, by their pins; in installed packages; pins of what lies here."""

from __future__ import annotations

import functools
import hashlib
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mconv import api
from mconv.errors import (
    AlteredError,
    MconvError,
    MissingDependencyError,
    NotAModelError,
    RuntimeFailedError,
    UsageError,
)
from mconv.recipe import remote
from tests.golden import case
from tests.onnx.make import mlp
from tests.recipe.conftest import Write, states

fsspec = pytest.importorskip("fsspec")


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and its address on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    Quiet.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_fetched_once_by_its_pin(served: tuple[Path, str], write: Write, tmp_path: Path) -> None:
    folder, address = served
    pin = sha256(mlp(folder / "m.onnx"))
    path = write("a", source={"path": f"{address}/m.onnx", "sha256": pin})
    assert states(api.run([path], out=tmp_path / "one")) == ["source done", "onnx2paddle done", "to-serving done"]
    asked = len([p for p in Quiet.asked if p == "/m.onnx"])
    assert asked >= 1
    (folder / "m.onnx").unlink()  # it is not needed any more
    assert states(api.run([path], out=tmp_path / "one")) == ["onnx2paddle cached", "to-serving cached"]
    assert states(api.run([path], out=tmp_path / "two")) == ["onnx2paddle done", "to-serving done"]
    assert len([p for p in Quiet.asked if p == "/m.onnx"]) == asked
    kept = tmp_path / "sources" / pin / "m.onnx"
    assert sha256(kept) == pin


@pytest.mark.parametrize(
    ("name", "pin", "kind", "message"),
    [
        ("m.onnx", "0" * 64, AlteredError, "the recipe says 0000"),
        ("n.onnx", "0" * 64, NotAModelError, "no such file"),
        ("m.onnx", None, UsageError, "needs its sha256"),
    ],
)
def test_what_is_refused(
    name: str,
    pin: str | None,
    kind: type[MconvError],
    message: str,
    served: tuple[Path, str],
    write: Write,
    tmp_path: Path,
) -> None:
    folder, address = served
    mlp(folder / "m.onnx")
    source = {"path": f"{address}/{name}"} if pin is None else {"path": f"{address}/{name}", "sha256": pin}
    result = api.run([write("a", source=source)], out=tmp_path / "out")
    error = result.recipes[0].steps[0].error
    assert error is not None and error["kind"] == kind.__name__ and message in error["message"]
    assert states(result)[1:] == ["onnx2paddle skipped", "to-serving skipped"]
    assert not list((tmp_path / "sources").glob("*")) if (tmp_path / "sources").exists() else True


def test_a_folder_of_a_store(write: Write, tmp_path: Path) -> None:
    """As s3:// and gs:// have them: the model of a folder, with one pin for all of it."""
    memory = fsspec.filesystem("memory")
    for file in case("2.3.2-mlp").model.iterdir():
        memory.pipe(f"/bucket/models/mlp/{file.name}", file.read_bytes())
    pin = remote.pin_of(case("2.3.2-mlp").model)
    lines = "".join(f"{sha256(p)}  {p.name}\n" for p in sorted(case("2.3.2-mlp").model.iterdir()))
    assert pin == hashlib.sha256(lines.encode()).hexdigest()
    path = write("a", source={"path": "memory://bucket/models/mlp", "sha256": pin}, steps=["to-serving"])
    result = api.run([path], out=tmp_path / "out")
    assert result.ok and states(result) == ["source done", "to-serving done"], result
    served = tmp_path / "out" / "a" / "serving_server" / "inference.pdiparams"
    assert served.read_bytes() == (case("2.3.2-mlp").model / "inference.pdiparams").read_bytes()
    memory.pipe("/bucket/models/mlp/more", b"x")
    with pytest.raises(AlteredError):
        remote.resolve("memory://bucket/models/mlp", "1" * 64, tmp_path)


def test_no_network_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailedError, match="cannot be fetched"):
        remote.resolve("http://127.0.0.1:9/m.onnx", "0" * 64, tmp_path)


@pytest.mark.parametrize("address", ["nonsense://x/y.onnx", "s3://bucket/x.onnx", "gs://bucket/x.onnx"])
def test_schemes(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MconvError) as caught:
        remote.resolve(address, "0" * 64, tmp_path)
    assert isinstance(caught.value, UsageError if "nonsense" in address else MissingDependencyError)


def test_without_fsspec_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"fsspec, which is not installed\npip install 'mconv\[remote\]'"):
        remote.resolve("https://example.invalid/x.onnx", "0" * 64, tmp_path)


def test_a_local_pin(write: Write, tmp_path: Path) -> None:
    pin = sha256(mlp(tmp_path / "m.onnx"))
    path = write("a", source={"path": "m.onnx", "sha256": pin})
    assert api.run([path], out=tmp_path / "out").ok
    mlp(tmp_path / "m.onnx", seed=7)
    result = api.run([path], out=tmp_path / "out")
    error = result.recipes[0].steps[0].error
    assert error is not None and error["exit_code"] == 12 and "the recipe says" in error["message"]


def test_packages(tmp_path: Path) -> None:
    import tests

    found = remote.resolve("package:tests/data", None, tmp_path)
    assert found.samefile(Path(tests.__file__ or "").parent / "data")
    for name in ("package:no_such_package/x", "package:../x", "package:"):
        with pytest.raises(MissingDependencyError) as caught:
            remote.resolve(name, None, tmp_path, install="some-package==1")
        assert caught.value.hint == "pip install some-package==1"


def test_init_pins_what_it_fetches(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    pin = sha256(mlp(folder / "m.onnx"))
    draft = api.init(f"{address}/m.onnx", out=tmp_path / "m.yaml")
    assert f"sha256: {pin}" in draft.text
    assert api.run(
        [tmp_path / "m.yaml"],
        out=tmp_path / "out",
        settings=["steps=[onnx2paddle]", "target=3", "verification.runtime=current"],
    ).ok


@pytest.mark.parametrize(
    ("address", "name"),
    [("s3://b/m.onnx", "m.onnx"), ("s3://b/x/", "x"), ("s3://b/a/..", "source"), ("s3://b", "source")],
)
def test_names_of_what_is_fetched(address: str, name: str) -> None:
    assert remote.file_name(address) == name
