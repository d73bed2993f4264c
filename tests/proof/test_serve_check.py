"""The real Paddle Serving pipeline answers like direct inference, over HTTP and RPC, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.api import serve_check
from mconv.errors import NotAModelError, OutputExistsError, RuntimeFailedError, RuntimeUnavailableError
from mconv.proof import pipeline
from mconv.proof import serve_check as room
from mconv.proof.compare import Tolerance
from mconv.proof.pipeline import Answer
from mconv.runtimes.outcome import RunResult
from mconv.runtimes.runtime import Runtime
from mconv.serving import configure, onednn, scaffold, servers
from mconv.serving.servers.paddle_serving_files import SERVICE
from tests.golden import case
from tests.managed import Pool, require

FORMS = ["http key/value", "http tensors", "rpc strings", "rpc tensors", "rpc bytes"]


def left_behind(marker: str) -> list[str]:
    """Command lines of processes that mention *marker*, there or in the path of the folder that they are in."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                folder = os.readlink(entry / "cwd")
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            if marker in command or marker in folder:
                found.append(command)
    return found


def listening(port: int) -> list[str]:
    """The local addresses (hexadecimal) on which a port of this machine is listened at."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and int(address.rpartition(":")[2], 16) == port:
                found.append(address.partition(":")[0])
    return found


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, pool: Pool) -> Iterator[Path]:
    """Where the service's files go in this test, which also marks its processes' command lines.

    The path is short: the pipeline's processes talk through sockets in it, whose names are limited to 107 bytes.
    """
    require("paddle-2.3.2")
    tmp_path_factory.getbasetemp()  # before: pytest's own folder must not be made in this one
    pool.on = False  # a worker that waits for the next one would keep its folder in this one
    with tempfile.TemporaryDirectory(prefix="mconv-test-") as folder:
        monkeypatch.setattr(room.tempfile, "tempdir", folder)
        yield Path(folder)
        monkeypatch.undo()
    pool.on = True


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str]) -> None:
    """Change ``web_service.py`` of the service that is made for the check."""
    original = scaffold.make

    def made(*args: Any, **options: Any) -> Any:
        service = original(*args, **options)
        path = service.folder / SERVICE
        path.write_text(change(path.read_text()))
        return service

    monkeypatch.setattr(scaffold, "make", made)


@pytest.mark.runtime
@pytest.mark.parametrize(
    "text",
    [
        "2.3.2-bert",
        "2.3.2-multi",
        "1.8.5-bert_separate",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("2.3.2-mlp", "2.3.2-conv")),
    ],
)
def test_every_form_equals_direct_inference(scratch: Path, text: str) -> None:
    report = serve_check(case(text).server)
    assert [f.form for f in report.forms] == FORMS
    for form in report.forms:
        assert (form.ok, form.reason) == (True, ""), form
        assert form.max_abs is not None and form.max_abs <= 1e-6
        assert len(form.seconds) == 2  # two shapes
    assert report.ok and report.paddle == "2.3.2"
    report.require()
    assert left_behind(str(scratch)) == []
    assert list(scratch.iterdir()) == []


@pytest.mark.runtime
def test_given_inputs_and_a_kept_service(scratch: Path, tmp_path: Path) -> None:
    server = tmp_path / "serving_server"
    shutil.copytree(case("2.3.2-mlp").server, server)
    kept = tmp_path / "service"
    report = serve_check(server, inputs=case("2.3.2-mlp").folder / "io.npz", keep=kept)
    assert report.ok and report.kept == kept
    assert report.inputs == [{n: list(a.shape) for n, a in case("2.3.2-mlp").inputs.items()}]
    assert {"config.yml", "web_service.py", "tensor_input.py"} < {p.name for p in kept.iterdir()}
    assert 'model_config: "../serving_server"' in (kept / "config.yml").read_text()
    with pytest.raises(OutputExistsError):
        serve_check(server, keep=kept)


@pytest.mark.runtime
def test_a_service_deep_in_folders(tmp_path: Path) -> None:
    """The sockets between the pipeline's processes are not below it: their paths are limited to 107 bytes."""
    require("paddle-2.3.2")
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    api.to_serving(case("2.3.2-mlp").model, out=deep, pipeline={})
    before = sorted(p.name for p in (deep / "service").iterdir())
    report = serve_check(deep / "serving_server")
    assert report.ok and sorted(p.name for p in (deep / "service").iterdir()) == before


@pytest.mark.runtime
def test_without_a_namespace_rpc_is_bound_to_loopback(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = pipeline.free_ports(3)
    handed_out, free = [ports], pipeline.free_ports
    monkeypatch.setattr(pipeline, "free_ports", lambda count: handed_out.pop(0) if handed_out else free(count))
    seen: list[list[str]] = []

    def progress(line: str) -> None:
        if "is ready" in line:
            seen.append(listening(ports[0]))

    report = serve_check(case("2.3.2-mlp").server, namespace=False, progress=progress)
    assert report.ok and report.isolated  # by where it listens, without a network of its own
    # 127.0.0.1, plain or as the IPv6 socket that gRPC makes of it
    assert len(seen) == 1 and set(seen[0]) <= {"0100007F", "0000000000000000FFFF00000100007F"} and seen[0]
    assert left_behind(str(scratch)) == [] and listening(ports[0]) == [] and listening(ports[1]) == []


@pytest.mark.runtime
def test_a_wrong_answer_is_found(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda text: text.replace("(plain(array))", "(plain(array + 0.001))"))
    report = serve_check(case("2.3.2-mlp").server)
    assert not report.ok and all(not f.ok and "differ by more" in f.reason for f in report.forms)


@pytest.mark.runtime
def test_a_model_that_does_not_load_is_an_error(scratch: Path, tmp_path: Path) -> None:
    server = tmp_path / "serving_server"
    shutil.copytree(case("2.3.2-mlp").server, server)
    (program,) = server.glob("*.pdmodel")
    program.write_bytes(program.read_bytes().replace(b"matmul_v2", b"matmul_v9"))
    with pytest.raises(RuntimeFailedError, match="matmul_v9"):
        serve_check(server)


@pytest.mark.runtime
def test_a_service_that_does_not_start_is_an_error(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda text: "raise ValueError('no such thing')\n")
    with pytest.raises(RuntimeFailedError, match="status 1 before it was ready: ValueError: no such thing"):
        serve_check(case("2.3.2-mlp").server)
    assert left_behind(str(scratch)) == []


def test_what_is_no_serving_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone", case("2.3.2-mlp").model, case("2.3.2-mlp").client):
        with pytest.raises(NotAModelError, match="not a serving_server folder"):
            serve_check(folder)


def test_the_runtime_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCONV_CACHE", str(tmp_path))
    with pytest.raises(RuntimeUnavailableError, match="is not installed"):
        serve_check(case("2.3.2-mlp").server)


@pytest.mark.parametrize(
    ("on", "factor", "error", "ok", "advice"),
    [
        (True, 1.0, 1e-6, True, ""),
        (True, 2.0, 1e-6, True, "slower with oneDNN (20.0 ms, 10.0 without): --no-onednn"),
        (True, 0.5, 0.1, False, "oneDNN answers something else (0.1 of the largest number)"),
        (False, 0.5, 1e-6, True, "faster with oneDNN (5.0 ms, 10.0 without): --onednn"),
        (False, 0.5, 0.1, True, ""),
    ],
)
def test_what_is_said_of_onednn(on: bool, factor: float, error: float, ok: bool, advice: str) -> None:
    def result(seconds: float, shift: float) -> RunResult:
        outputs = [[np.float32([1, 2]) + np.float32(shift * 2)], [np.zeros((0, 3), np.float32)]] * 3
        times = [9.0, 9.0] + [seconds / 2] * 4  # the first round prepares
        return RunResult(outputs, ["y"], [["float32"]] * 6, "2.3.2", "predictor", 0.0, times)

    found = room._compared_onednn(on, result(0.01 * factor, error), result(0.01, 0), 2)
    assert (found.on, found.ok) == (on, ok) and found.advice.startswith(advice) and bool(found.advice) == bool(advice)
    assert found.seconds == pytest.approx(0.01 * factor) and found.max_abs == pytest.approx(error, rel=0.5)


def test_a_missing_output_is_named() -> None:
    config = configure.find(case("2.3.2-multi").server)
    assert config is not None
    values = [np.ones(1, np.float32) for _ in config.fetches]
    direct = room.Answers([v.name for v in config.fetches], [values], [["float32"] * 3], "2.3.2", [0.0])
    reply = {v.alias: a for v, a in list(zip(config.fetches, values))[:-1]}
    form = room._judge("http tensors", [Answer(reply)], direct, config, Tolerance(1e-6, 1e-6))
    assert not form.ok and config.fetches[-1].alias in form.reason


@pytest.mark.parametrize("said, variables", [(True, {"MKL_DEBUG_CPU_TYPE": "5"}), (False, {})])
def test_direct_inference_has_the_kernels_of_the_service(
    said: bool, variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that is not Intel's, where a service has MKL use its fast ones, whose sums round otherwise."""
    service = scaffold.make(case("2.3.2-mlp").server, tmp_path / "service", "paddle-serving", kind="tensor")
    conf = service.folder / "config.yml"
    if not said:
        conf.write_text(conf.read_text().replace("mkl_all_processors: true", "mkl_all_processors: false"))
    found = servers.read(service.folder)
    assert found is not None and found.mkl == said
    amd = tmp_path / "cpuinfo"
    amd.write_text("vendor_id: AuthenticAMD\nflags: avx2 fma\n")
    monkeypatch.setattr(onednn, "_CPUINFO", amd)
    monkeypatch.delenv("MKL_DEBUG_CPU_TYPE", raising=False)
    where = Runtime("paddle-2.3.2", Path(sys.executable), {"A": "b"})
    assert room._tuned(where, found).extra == {"A": "b", **variables}
    amd.write_text("vendor_id: GenuineIntel\nflags: avx2 fma\n")
    assert room._tuned(where, found).extra == {"A": "b"}
