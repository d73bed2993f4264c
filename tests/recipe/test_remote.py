"""Sources at addresses: fetched once, by their pins; in installed packages; pins of what lies here."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from mconv import api
from mconv.errors import (
    AlteredError,
    MconvError,
    MissingDependencyError,
    NotAModelError,
    RuntimeFailedError,
    UntrustedError,
    UsageError,
)
from mconv.extras import install
from mconv.recipe import api as recipes
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
    assert states(recipes.run([path], out=tmp_path / "one")) == ["source done", "onnx2paddle done", "to-serving done"]
    asked = len([p for p in Quiet.asked if p == "/m.onnx"])
    assert asked >= 1
    (folder / "m.onnx").unlink()  # it is not needed any more
    assert states(recipes.run([path], out=tmp_path / "one")) == ["onnx2paddle cached", "to-serving cached"]
    assert states(recipes.run([path], out=tmp_path / "two")) == ["onnx2paddle done", "to-serving done"]
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
    result = recipes.run([write("a", source=source)], out=tmp_path / "out")
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
    result = recipes.run([path], out=tmp_path / "out")
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
    with pytest.raises(MissingDependencyError, match="fsspec, which is not installed\n" + re.escape(install("remote"))):
        remote.resolve("https://example.invalid/x.onnx", "0" * 64, tmp_path)


def test_a_local_pin(write: Write, tmp_path: Path) -> None:
    pin = sha256(mlp(tmp_path / "m.onnx"))
    path = write("a", source={"path": "m.onnx", "sha256": pin})
    assert recipes.run([path], out=tmp_path / "out").ok
    mlp(tmp_path / "m.onnx", seed=7)
    result = recipes.run([path], out=tmp_path / "out")
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
    draft = recipes.init(f"{address}/m.onnx", out=tmp_path / "m.yaml")
    assert f"sha256: {pin}" in draft.text
    assert recipes.run(
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


# external data ------------------------------------------------------------------------------------------------------


def with_external_data(path: Path, location: str, *, name: str = "m.onnx") -> tuple[Path, Path]:
    """An MLP in the folder *path* whose tensors are in a file of its own, one of them in a node's attribute."""
    path.mkdir(parents=True, exist_ok=True)
    model = onnx.load(mlp(path / name))
    (second,) = [t for t in model.graph.initializer if t.name == "W2"]
    constant = onnx.helper.make_node("Constant", [], ["W2"], value=second)
    model.graph.initializer.remove(second)
    model.graph.node.insert(0, constant)
    data = path / location
    data.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        model, path / name, save_as_external_data=True, location=location, size_threshold=0, convert_attribute=True
    )
    assert data.stat().st_size >= 4 * (16 * 8 + 8 + 8 * 4)
    return path / name, data


def point_to(model: Path, location: str) -> None:
    """Have a model name another file for its external data, whatever is there."""
    made = onnx.load(model, load_external_data=False)
    for tensor in [*made.graph.initializer, *(a.t for n in made.graph.node for a in n.attribute if a.name == "value")]:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    model.write_bytes(made.SerializeToString())


@pytest.mark.parametrize("location", ["m.onnx_data", "weights/all of them #1.bin"])
def test_external_data_come_with_the_model(
    location: str, served: tuple[Path, str], write: Write, tmp_path: Path
) -> None:
    """Into the same folder of the cache, under one pin; the result is that of the model with its data inside."""
    folder, address = served
    model, data = with_external_data(folder / "hub", location)
    draft = recipes.init(f"{address}/hub/m.onnx?download=true", out=tmp_path / "m.yaml")
    lines = "".join(f"{sha256(p)}  {n}\n" for n, p in sorted({"m.onnx": model, location: data}.items()))
    pin = hashlib.sha256(lines.encode()).hexdigest()
    assert f"sha256: {pin}" in draft.text and pin == remote.pin_of(model)
    source = {"path": f"{address}/hub/m.onnx?download=true", "sha256": pin}
    path = write("a", source=source)
    assert states(recipes.run([path], out=tmp_path / "one")) == ["source done", "onnx2paddle done", "to-serving done"]
    kept = tmp_path / "sources" / pin
    assert {p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file()} == {"m.onnx", location}
    asked = len(Quiet.asked)
    data.unlink()
    assert states(recipes.run([path], out=tmp_path / "one")) == ["onnx2paddle cached", "to-serving cached"]
    assert len(Quiet.asked) == asked
    inside = tmp_path / "inside"
    api.onnx2paddle(mlp(tmp_path / "m.onnx"), inside, verify=False)
    made = tmp_path / "one" / "a" / "onnx2paddle"
    assert (made / "inference.pdiparams").read_bytes() == (inside / "inference.pdiparams").read_bytes()


def test_external_data_that_changed_or_are_gone(served: tuple[Path, str], write: Write, tmp_path: Path) -> None:
    folder, address = served
    model, data = with_external_data(folder, "m.onnx_data")
    pin, alone = remote.pin_of(model), sha256(model)

    def failure(sha: str, path: str = f"{address}/m.onnx") -> dict[str, Any]:
        result = recipes.run([write("a", source={"path": path, "sha256": sha})], out=tmp_path / "out")
        assert not result.ok and not list((tmp_path / "sources").glob("[0-9a-f]*"))
        error = result.recipes[0].steps[0].error
        assert error is not None
        return error

    assert "that of the file alone" in failure(alone)["hint"]
    data.write_bytes(data.read_bytes()[:-1] + b"\x7f")
    assert failure(pin)["kind"] == "AlteredError"
    assert failure(pin, str(model))["kind"] == "AlteredError"  # here, too
    data.unlink()
    gone = failure(pin)
    assert gone["kind"] == "NotAModelError" and gone["message"].startswith(f"{address}/m.onnx_data: there is no")
    assert gone["hint"] == "m.onnx has its weights in it"
    assert "'m.onnx_data' are missing" in failure(pin, str(model))["message"]


@pytest.mark.parametrize(
    "location", ["../secret", "/etc/hostname", "a/../../secret", "..", ".", "x/..", "../served/m.onnx_data"]
)
def test_external_data_may_not_lead_out(location: str, served: tuple[Path, str], write: Write, tmp_path: Path) -> None:
    """Nothing is asked for, and nothing is written outside of the cache's folder."""
    folder, address = served
    (folder / "secret").write_bytes(b"x" * 4096)
    model, _ = with_external_data(folder / "hub", "m.onnx_data")
    point_to(model, location)
    result = recipes.run(
        [write("a", source={"path": f"{address}/hub/m.onnx", "sha256": "0" * 64})], out=tmp_path / "out"
    )
    error = result.recipes[0].steps[0].error
    assert (
        error is not None and error["kind"] == "UntrustedError" and "outside of the model's folder" in error["message"]
    )
    assert set(Quiet.asked) == {"/hub/m.onnx"} and not list((tmp_path / "sources").rglob("*"))
    with pytest.raises(UntrustedError):
        recipes.init(f"{address}/hub/m.onnx", out=tmp_path / "m.yaml")
    with pytest.raises(UntrustedError):
        recipes.init(str(model), out=tmp_path / "m.yaml")
    assert not (tmp_path / "m.yaml").exists()


def test_external_data_of_a_store(write: Write, tmp_path: Path) -> None:
    """As s3:// has them; a name in which fsspec would see another address is none."""
    model, data = with_external_data(tmp_path / "there", "m.onnx_data")
    memory = fsspec.filesystem("memory")
    for file in (model, data):
        memory.pipe(f"/hub/{file.name}", file.read_bytes())
    source = {"path": "memory://hub/m.onnx", "sha256": remote.pin_of(model)}
    result = recipes.run([write("a", source=source)], out=tmp_path / "out")
    assert states(result) == ["source done", "onnx2paddle done", "to-serving done"]
    point_to(model, "x::file:/etc/hostname")
    memory.pipe("/hub/m.onnx", model.read_bytes())
    with pytest.raises(UntrustedError, match="no file beside it"):
        remote.resolve("memory://hub/m.onnx", "1" * 64, tmp_path)
