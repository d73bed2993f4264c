"""mconv serve, with the real Paddle Serving: what it prints can be pasted, and whatever ends it leaves nothing behind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
from onnx import TensorProto, helper

from mconv import api
from mconv.errors import NotAModelError, RuntimeFailedError, UsageError
from mconv.runtimes.ports import free_ports, holder, taken
from mconv.runtimes.supervisor import running
from mconv.serving.kinds import OCR
from mconv.serving.servers import Addresses, FoundService, requests
from mconv.serving.servers.requests import KEY_VALUE, OPEN_INFERENCE
from mconv.verbs import serve
from tests.golden import case
from tests.managed import require

pytestmark = pytest.mark.runtime

LIMIT = 300  # seconds for whatever is waited for: the machine may be busy
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module", autouse=True)
def _paddle_serving() -> None:
    require("paddle-2.3.2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an MLP's serving_server/ and service/."""
    folder = tmp_path_factory.mktemp("made") / "mlp"
    # of this process of pytest alone: services of two that start at the same moment would take the same ones
    rpc, health = free_ports(2)
    options = {"name": "mlp", "rpc_port": rpc, "health_port": health}
    api.to_serving(case("2.3.2-mlp").model, out=folder, pipeline=options)
    return folder


@dataclass
class Started:
    """``mconv serve``, ready.

    Attributes:
        process: what was started: mconv, or the shell around it.
        said: the JSON document that it has printed.
        family: pid → start time of every process that there is of it, *process* included.
        ports: all that it listens on.
    """

    process: subprocess.Popen[str]
    said: dict[str, Any]
    family: dict[int, bytes]
    ports: list[int]

    def ask(self) -> dict[str, Any]:
        return asked(self.said)

    def gone(self) -> None:
        """Wait until no process and no port of it is left."""
        until(lambda: not [pid for pid, start in self.family.items() if start_of(pid) == start])
        assert not [port for port in self.ports if taken("127.0.0.1", port)]
        assert not [server for server in running() if server.port == self.ports[0]]
        assert not Path(f"/proc/{self.said['pid']}").exists() or start_of(self.said["pid"]) is None


def until(condition: Any) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def start_of(pid: int) -> Optional[bytes]:
    """When a living process was started; None where there is none."""
    try:
        fields = Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[19] if fields[0] not in (b"Z", b"X") else None


def family_of(pids: list[int]) -> dict[int, bytes]:
    """The processes and everything that they have started."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: start for pid in found for start in [start_of(pid)] if start is not None}


def asked(said: dict[str, Any]) -> dict[str, Any]:
    """What the curl line of the report is answered with; run by a shell where there is a curl."""
    if shutil.which("curl"):
        env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        text = subprocess.run(["sh", "-c", said["curl"]], capture_output=True, check=True, env=env).stdout.decode()
    else:
        sent, _, line = said["curl"].rpartition(" | ")
        words = shlex.split(line)
        if sent:  # a picture's request comes from a pipe
            request = Path(said["log"]).with_suffix(".request")
            request.write_bytes(subprocess.run(["sh", "-c", sent], capture_output=True, check=True).stdout)
            words[4] = f"@{request}"
        assert words[:2] == ["curl", "-s"] and words[3] == "-d"
        body = Path(words[4][1:]).read_bytes() if words[4].startswith("@") else words[4].encode()
        with DIRECT.open(urllib.request.Request(words[2], body), timeout=LIMIT) as reply:
            text = reply.read().decode()
    answer: dict[str, Any] = json.loads(text)
    assert answer["err_no"] == 0, answer
    return {key: json.loads(value) for key, value in zip(answer["key"], answer["value"])}


def document(stream: Any) -> dict[str, Any]:
    """The first JSON document of a stream that goes on."""
    text = ""
    for line in stream:
        text += line
        if line.rstrip() == "}":
            break
    found: dict[str, Any] = json.loads(text)
    return found


@contextlib.contextmanager
def serving(folder: Path, *options: str, shell: bool = False) -> Iterator[Started]:
    """``mconv serve FOLDER --json`` on a free port, in a session of its own, until it is ready."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "mconv", "serve", str(folder), "--port", str(port), "--json", *options]
    if shell:
        command = ["sh", "-c", f"{shlex.join(command)}; echo over"]
    with (folder / f"stderr-{port}").open("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        said = {}
        try:
            try:
                said = document(process.stdout)
            except ValueError:
                errors.seek(0)
                pytest.fail(errors.read()[-3000:])
            assert "error" not in said, said
            ports = [port, *(int(said[key].rpartition(":")[2].partition("/")[0]) for key in ("rpc", "health"))]
            yield Started(process, said, family_of([process.pid, said["pid"]]), ports)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
            if said.get("pid") and said.get("detached"):
                with contextlib.suppress(UsageError):
                    api.stop_served(port=port)


def mconv(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mconv", *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT
    )


# ------------------------------------------------------------------------------------------------ the end


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGKILL, *(pytest.param(n, marks=pytest.mark.slow) for n in (15, 1))]
)
def test_a_signal_to_mconv_ends_all_of_it(made: Path, number: int) -> None:
    """Ctrl-C, kill -9 of mconv alone, SIGTERM, SIGHUP."""
    with serving(made) as started:
        assert started.ask()["softmax_0.tmp_0"]
        assert len(started.family) >= 4  # mconv, its supervisor, the service, the Op
        os.kill(started.process.pid, number)
        assert started.process.wait(LIMIT) == (-9 if number == signal.SIGKILL else 0)
        started.gone()


def test_kill_9_of_the_shell_around_mconv_ends_all_of_it(made: Path) -> None:
    with serving(made, shell=True) as started:
        assert len(started.family) >= 5
        os.kill(started.process.pid, signal.SIGKILL)
        started.gone()


@pytest.mark.slow
def test_kill_9_of_what_keeps_the_service_ends_all_of_it(made: Path) -> None:
    with serving(made) as started:
        os.kill(started.said["pid"], signal.SIGKILL)
        assert started.process.wait(LIMIT) == RuntimeFailedError.exit_code
        started.gone()


def test_the_first_process_of_the_service_that_dies_ends_all_of_it(made: Path) -> None:
    """It has the connections; the one that runs the model is replaced, and everything goes on."""
    with serving(made) as started:
        model = max(family_of([started.said["pid"]]))  # which comes last
        first = int(Path(f"/proc/{model}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(model, signal.SIGKILL)
        assert started.ask() and started.process.poll() is None
        started.family.update(family_of([started.said["pid"]]))
        os.kill(first, signal.SIGKILL)
        assert started.process.wait(LIMIT) == RuntimeFailedError.exit_code
        started.gone()


@pytest.mark.long
def test_detached_it_goes_on_and_is_stopped_by_a_command(made: Path) -> None:
    with serving(made, "--detach") as started:
        assert started.process.wait(LIMIT) == 0
        family = family_of([started.said["pid"]])
        started.family.update(family)
        assert started.ask()
        port = started.ports[0]

        # a second start on that port says who has it
        again = mconv("serve", made, "--port", port)
        (error, hint) = [line for line in again.stderr.splitlines() if line.startswith(("error", "hint"))]
        assert again.returncode == UsageError.exit_code and not again.stdout
        assert f"port {port} is taken by the service {made / 'service'}, which `mconv serve` has started" in error
        assert f"`mconv serve --stop --port {port}`" in hint

        # on another one it runs beside, its RPC elsewhere
        with serving(made, "--detach") as beside:
            assert beside.process.wait(LIMIT) == 0 and beside.ask()
            assert not set(beside.ports) & set(started.ports)
            assert any("is taken: RPC is on" in note for note in beside.said["notes"])
            several = mconv("serve", made, "--stop")
            assert several.returncode == UsageError.exit_code and "2 services run" in several.stderr
            assert mconv(*shlex.split(beside.said["stop"])[1:]).returncode == 0
            beside.gone()

        assert started.ask()
        done = mconv("serve", made, "--stop", "--json")
        assert done.returncode == 0 and json.loads(done.stdout)["stopped"]["port"] == port
        started.gone()
        nothing = mconv("serve", made, "--stop")
        assert nothing.returncode == UsageError.exit_code and "no service" in nothing.stderr


# ------------------------------------------------------------------------------------------------ where it listens


def outside() -> str:
    """An address of this machine that is not the loopback's."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        found = str(probe.getsockname()[0])
    if found.startswith("127."):
        pytest.skip("this machine has no address but the loopback's")
    return found


def reached(address: str, ports: list[int]) -> list[int]:
    found = []
    for port in ports:
        with contextlib.closing(socket.socket()) as probe:
            probe.settimeout(LIMIT)
            if probe.connect_ex((address, port)) == 0:
                found.append(port)
    return found


@pytest.mark.parametrize("host", [None, "0.0.0.0"])
def test_only_this_machine_reaches_it_unless_it_is_told_to_listen_everywhere(made: Path, host: Optional[str]) -> None:
    address = outside()
    with serving(made, *([] if host is None else ["--host", host])) as started:
        assert len(started.ports) == 3 and reached("127.0.0.1", started.ports) == started.ports
        assert reached(address, started.ports) == ([] if host is None else started.ports)
        assert any("every interface" in note for note in started.said["notes"]) == (host is not None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 0}, "ports are 1 to 65535"),
        ({"host": "203.0.113.9"}, "--host: 203.0.113.9: "),
        ({"host": "no such host."}, "--host: no such host."),
    ],
)
def test_what_cannot_be_listened_on(made: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        api.serve(made, **options)


def test_what_is_taken_and_was_not_asked_for_is_elsewhere(tmp_path: Path) -> None:
    """All three ports; what the service's own client asks is said; the service is not started beside itself."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [server.getsockname()[1] for server in held]
        options = dict(zip(("http_port", "rpc_port", "health_port"), ports))
        api.to_serving(case("2.3.2-mlp").model, out=tmp_path, pipeline=options)
        with api.serve(tmp_path) as run:
            said = vars(run.serving)
            found = [int(said[key].rpartition(":")[2].partition("/")[0]) for key in ("url", "rpc", "health")]
            wanted = [f"port {a} is taken: {w} is on {b}" for a, b, w in zip(ports, found, ("HTTP", "RPC", "health"))]
            client = f"http_client.py of the service asks port {ports[0]} unless it is told --url"
            assert said["notes"] == [*wanted, client] and not set(ports) & set(found)
            assert asked(said)
    with api.serve(tmp_path) as run:
        assert f":{ports[0]}/" in run.serving.url and run.serving.notes == []
        with pytest.raises(
            UsageError, match=f"port {ports[0]} is taken by the service {tmp_path / 'service'}"
        ) as again:
            api.serve(tmp_path)
        assert str(again.value.hint).endswith("or --port N")


def test_a_port_of_somebody_else(made: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        found = holder(port)
        assert found is not None and found[0] == os.getpid()
        with pytest.raises(UsageError, match=f"port {port} is taken by process {os.getpid()}: .*python"):
            api.serve(made, port=port)


# ------------------------------------------------------------------------------------------------ what is served


def image_model(folder: Path, batch: Any = "n") -> Path:
    """ONNX: the mean of each channel of a picture of 32 by 32."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0)], "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [batch, 3])],
    )  # fmt: skip
    path = folder / "means.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString())
    return path


def test_a_picture_and_a_model_without_a_service(made: Path, tmp_path: Path) -> None:
    """The curl line carries a picture; a service is made where there is none, and goes with the run."""
    api.convert(
        image_model(tmp_path),
        tmp_path / "out",
        pipeline=dict(zip(("rpc_port", "health_port"), free_ports(2))),
        verify=False,
    )
    (port,) = free_ports(1)
    with api.serve(tmp_path / "out", port=port) as run:
        assert "base64 -w0" in run.serving.curl and len(run.serving.curl) < 250
        assert run.serving.kind == "image" and run.serving.folder == tmp_path / "out" / "service"
        assert np.shape(asked(vars(run.serving))["mean"]) == (1, 3)
    shutil.rmtree(tmp_path / "out" / "service")
    before = sorted(p.name for p in (tmp_path / "out").rglob("*"))
    with api.serve(tmp_path / "out" / "serving_server", port=port) as run:
        assert run.serving.folder is None and "a service" not in run.serving.notes
        assert any("one of kind image was made for this run" in note for note in run.serving.notes)
        assert np.shape(asked(vars(run.serving))["mean"]) == (1, 3)
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == before


@pytest.mark.parametrize(
    ("form", "kind", "batch"),
    [(f, "image", n) for f in (KEY_VALUE, OPEN_INFERENCE) for n in ("n", 2)] + [(KEY_VALUE, OCR, "n")],
)
def test_the_line_of_a_picture_reads_a_file(tmp_path: Path, form: str, kind: str, batch: Any) -> None:
    """The request that a shell makes of the line is the example, whatever the form, and it is short."""
    model = tmp_path / "model"
    api.onnx2paddle(image_model(tmp_path, batch), model, verify=False)
    service = FoundService(tmp_path, kind, "x", rpc_port=1, http_port=2, ir_optim=False, model=str(model))
    line = serve.curl(Addresses({form: "http://127.0.0.1:2/x"}), service, model, tmp_path)
    assert len(line) < 250 + len(str(tmp_path))
    shell = 'curl() { case "$4" in @-) cat;; *) cat "${4#@}";; esac; }\n' + line
    sent = subprocess.run(["sh", "-c", shell], capture_output=True, check=True).stdout
    assert json.loads(sent) == requests.message(serve.example(service, model), form, kind)


def test_what_is_no_service_says_which_command_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = image_model(tmp_path)
    with pytest.raises(NotAModelError) as caught:
        api.serve(model)
    assert caught.value.hint == f"`mconv convert {model} out/ --pipeline` makes both, then `mconv serve out/`"
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotAModelError) as caught:
        api.serve("out")  # which cannot be made of itself
    assert caught.value.hint == "`mconv convert out service/ --pipeline` makes both, then `mconv serve service/`"
    with pytest.raises(NotAModelError, match="no such file"):
        api.serve(tmp_path / "gone")


def test_a_service_that_fails_says_why_and_leaves_nothing(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "x")
    path = tmp_path / "x" / "service" / "web_service.py"
    path.write_text(path.read_text().replace("self.inputs = Inputs()", "raise OSError('the Error of the day')"))
    (port,) = free_ports(1)
    with pytest.raises(RuntimeFailedError, match="the service has ended with status 1") as caught:
        api.serve(tmp_path / "x", port=port)
    assert caught.value.hint is not None
    assert "the Error of the day" in Path(caught.value.hint.partition(": ")[2]).read_text()
    assert not taken("127.0.0.1", port) and not [s for s in running() if s.port == port]


def test_a_missing_runtime_is_one_line(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCONV_CACHE", str(tmp_path))
    (port,) = free_ports(1)
    done = mconv("serve", made, "--port", port)
    assert done.returncode == 8 and "mconv runtime install paddle-2.3.2" in done.stderr
    assert len(done.stderr.splitlines()) == 2 and not done.stdout


def test_http_in_all_its_forms(made: Path) -> None:
    """Chunks, several requests over one connection, and what is refused; afterwards a good one is answered."""
    (port,) = free_ports(1)
    body = json.dumps({"key": ["x"], "value": [json.dumps([[0.5] * 8])]}).encode()
    with api.serve(made, port=port) as run:
        path = "/" + run.serving.url.split("/", 3)[3]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)

        def send(method: str, where: str, sent: Any, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
            connection.request(method, where, sent, headers, encode_chunked="Transfer-Encoding" in headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read() or b"{}")

        status, first = send("POST", path, body, {})
        assert status == 200 and first["err_no"] == 0 and first["tensors"] == []
        pieces = (body[at : at + 7] for at in range(0, len(body), 7))
        assert send("POST", path, pieces, {"Transfer-Encoding": "chunked"}) == (200, first)
        for method, where, sent, headers, want in (
            ("POST", "/", body, {}, 404),
            ("POST", path, b"[1", {}, 400),
            ("POST", path, b'{"key": [' + b"9" * 100_000 + b"]}", {}, 400),
            ("POST", path, b"x" * (65 << 20), {}, 413),
            ("GET", path, None, {}, 405),
            ("POST", path, None, {"Content-Length": "-1"}, 411),
        ):
            status, refused = send(method, where, sent, headers)
            assert status == want and refused["message"] and refused["error"] == refused["message"], (status, refused)
        assert send("POST", path, body, {}) == (200, first)
        connection.close()
