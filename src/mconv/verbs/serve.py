"""``mconv serve``: a service in the managed runtime that has its server, until it is stopped."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional

import numpy as np

from mconv.errors import NotAModelError, RuntimeFailedError, UsageError
from mconv.options.serving import Serve
from mconv.printable import printable
from mconv.program import sniff
from mconv.program.files import load_program, locate
from mconv.program.paths import PathLike
from mconv.proof import feeds, ocr_check
from mconv.proof import service as services
from mconv.proof.pipeline import Request
from mconv.runtimes import find, for_models
from mconv.runtimes.ports import free_ports, holder, taken
from mconv.runtimes.supervisor import Running, Start, Supervised, running, states, stop
from mconv.serving import configure, scaffold, servers
from mconv.serving.kinds import OCR, PICTURES
from mconv.serving.servers import Binding, FoundService, requests

# characters of a request that a command line shows; a longer one is put into a file
_SHOWN = 1500
# the sockets that Paddle Serving's processes talk through have names of at most 107 bytes
_LONGEST_TEMPORARY = 60
# seconds between two looks at the log
_FOLLOW = 0.3
# the script of a service that asks it over HTTP
CLIENT = "http_client.py"
# seconds that a server has beyond its own time to end
_MARGIN = 10


@dataclass(frozen=True)
class Serving:
    """A service that runs.

    Attributes:
        url: the address that takes requests over HTTP.
        rpc, health: host and port of RPC, the address that says that it is ready; None: there is none.
        host: the address that all of them listen on.
        kind, name: of the service.
        folder: the service's; None: one that was made for this run.
        model: the ``serving_server/`` folder.
        server, runtime: what serves, and where.
        pid: the process that keeps it; SIGTERM ends the service.
        log: the file with its log.
        detached: whether it goes on when ``mconv serve`` has ended.
        ready_seconds: from its start until it took requests.
        curl: a command line that asks it.
        stop: the command that ends it.
        notes: what is not as its files say.
    """

    url: str
    rpc: Optional[str]
    health: Optional[str]
    host: str
    kind: str
    name: str
    folder: Optional[Path]
    model: Path
    server: str
    runtime: str
    pid: int
    log: Path
    detached: bool
    ready_seconds: float
    curl: str
    stop: str
    notes: list[str]


class ServiceRun:
    """A service that was started; a context manager, at whose end it is stopped unless it is detached.

    Attributes:
        serving: where it is asked, and all else.
    """

    serving: Serving

    def __init__(self, supervised: Supervised):
        self._supervised: Optional[Supervised] = supervised

    def wait(self, show: Optional[Callable[[str], None]] = None) -> None:
        """Until it ends.

        Args:
            show: called with each line that comes to its log.

        Raises:
            RuntimeFailedError: it ended by itself.
        """
        assert self._supervised is not None
        with self.serving.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            event, rest = None, b""
            while event is None or event["event"] != "ended":
                event = self._supervised.event(_FOLLOW)
                if show is None:
                    continue
                *lines, rest = (rest + log.read()).split(b"\n")
                for line in lines:
                    show(line.decode("utf-8", "replace"))
        self._supervised = None
        if not event["asked"]:
            raise _failed(event, "has ended", self.serving.log)

    def stop(self) -> None:
        """End it, and wait until nothing is left of it; interrupted, it is ended at once."""
        supervised, self._supervised = self._supervised, None
        if supervised is None:
            return
        try:
            supervised.stop()
        except KeyboardInterrupt:
            supervised.stop()

    def leave(self) -> None:
        """Let it go on alone."""
        if self._supervised is not None:
            self._supervised.leave()
            self._supervised = None

    def __enter__(self) -> ServiceRun:
        return self

    def __exit__(self, kind: Optional[type], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.stop()


def serve(chosen: Serve) -> ServiceRun:
    """Start a service and wait until it takes requests.

    Raises:
        NotAModelError: *path* is none of that.
        UsageError: the port that was asked for is taken, the service runs already, or there is no such address.
        RuntimeUnavailableError: the runtime is not installed.
        RuntimeFailedError: it ended, or was not ready in time.
    """
    model, found = _resolve(Path(chosen.path), None if chosen.service is None else Path(chosen.service))
    if chosen.port is not None:
        _check_port(chosen.host, chosen.port)
    elif found is not None:
        _check_twice(chosen.host, found)
    made_for = servers.fitting(chosen.server, found)
    where = find(servers.runtime_of(made_for, found))
    parent = None if len(tempfile.gettempdir()) <= _LONGEST_TEMPORARY else "/tmp"
    scratch = Path(tempfile.mkdtemp(prefix="mconv-serve-", dir=parent))
    try:
        notes = []
        run = found
        if run is None:
            (scratch / "service").mkdir()
            run = scaffold.make(model, scratch / "service", made_for.name)
            notes.append(
                f"there is no service beside {model}: one of kind {run.kind} was made for this run; `mconv scaffold` "
                "writes one that stays"
            )
        binding = _binding(run, chosen.host, chosen.port, notes)
        launch = made_for.launch(run, binding)
        addresses = made_for.addresses(run, binding)
        environment = where.environ(
            TMPDIR=str(scratch), PYTHONUNBUFFERED="1", SERVICE_LOG_CONSOLE="1",
            **launch.environment, **for_models(launch.models_in),
        )  # fmt: skip
        if run.gpu:  # which the runtime's own environment hides
            environment.pop("CUDA_VISIBLE_DEVICES", None)
            environment.update({k: v for k, v in os.environ.items() if k == "CUDA_VISIBLE_DEVICES"})
        keep_log = chosen.log is not None
        log = states() / f"{binding.http_port}.log" if chosen.log is None else Path(chosen.log).absolute()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        chosen.progress(f"starting {run.name} in the runtime {where.name}")
        start = Start(
            [str(where.python), *launch.arguments],
            launch.folder,
            environment,
            host=chosen.host,
            ports=binding.ports,
            health=addresses.health,
            ready=chosen.ready_timeout,
            grace=run.drain + _MARGIN,
            scratch=scratch,
            url=addresses.predict,
            service=(model if found is None else run.folder).resolve(),
            model=model.resolve(),
            log=log,
            keep_log=keep_log,
            detached=chosen.detach,
        )
        supervised = Supervised(start)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    started = ServiceRun(supervised)
    try:
        event = supervised.event()
        if event is None or event["event"] != "ready":
            raise _failed(event, f"was not ready after {chosen.ready_timeout:g} s", log)
        if chosen.host in servers.interface.EVERYWHERE:
            notes.append("every interface of this machine takes requests; nobody is asked for a password")
        started.serving = Serving(
            addresses.predict, addresses.rpc, addresses.health, chosen.host, run.kind, run.name,
            None if found is None else run.folder, model, made_for.name, where.name, supervised.pid, log, chosen.detach,
            event["seconds"], curl(addresses, run, model, scratch),
            f"mconv serve --stop --port {binding.http_port}", notes,
        )  # fmt: skip
    except BaseException:
        started.stop()
        raise
    return started


def stop_served(path: Optional[PathLike] = None, port: Optional[int] = None) -> list[Running]:
    """Stop the service that runs, or the one of a folder or a port.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = running()
    if port is not None:
        found = [server for server in found if server.port == port]
    if path is not None:
        folder = Path(path).resolve()
        found = [s for s in found if folder in (s.folder, s.model, s.folder.parent, s.model.parent)]
    if not found:
        of = f" on port {port}" if port is not None else f" of {path}" if path is not None else ""
        raise UsageError(f"no service that `mconv serve` has started{of} runs")
    if len(found) > 1:
        told = ", ".join(f"{s.folder} (port {s.port})" for s in found)
        raise UsageError(f"{len(found)} services run: {told}", "say which with --port N")
    stop(found[0])
    return found


def _resolve(path: Path, service: Optional[Path]) -> tuple[Path, Optional[FoundService]]:
    try:
        return services.resolve(path, service)
    except NotAModelError as e:
        if not path.exists():
            raise NotAModelError(f"{path}: no such file or folder") from None
        if "serving_server" not in e.message or service is not None:
            raise
        kind = sniff.what(path) if path.is_file() else None
        if kind in sniff.FOREIGN:
            raise NotAModelError(f"{path}: {kind.value}", sniff.NEAR_MISSES[kind]) from None
        quoted = shlex.quote(str(path))
        out = "out/" if path.absolute() != Path("out").absolute() else "service/"  # never over what it is made of
        raise NotAModelError(
            f"{path}: neither a service nor a serving_server folder",
            f"`mconv convert {quoted} {out} --pipeline` makes both, then `mconv serve {out}`",
        ) from None


def _check_port(host: str, port: int) -> None:
    """Refuse a port that was asked for and is taken."""
    _check_range(port)
    if not taken(host, port):
        return
    known = next((server for server in running() if server.port == port), None)
    if known is not None:
        raise _runs(known, "another port")
    who = holder(port)
    by = "" if who is None else f" by process {who[0]}: {printable(who[1], 100)}"
    raise UsageError(f"port {port} is taken{by}", "another port")


def _check_range(port: int) -> None:
    if not 0 < port < 65536:
        raise UsageError(f"--port {port}: ports are 1 to 65535")


def _check_twice(host: str, service: FoundService) -> None:
    """Refuse to start a service beside itself where no other port was asked for."""
    _check_range(service.http_port)
    if not taken(host, service.http_port):
        return
    for server in running():
        if server.port == service.http_port and server.folder == service.folder.resolve():
            raise _runs(server, "--port N")


def _runs(server: Running, other: str) -> UsageError:
    return UsageError(
        f"port {server.port} is taken by the service {server.folder}, which `mconv serve` has started "
        f"(process {server.pid})",
        f"`mconv serve --stop --port {server.port}` stops it; or {other}",
    )


def _binding(run: FoundService, host: str, port: Optional[int], notes: list[str]) -> Binding:
    """Where it listens: as was asked for and as its configuration says, but for what is taken."""
    ports: dict[str, Optional[int]] = {}
    wanted_by = {"HTTP": run.http_port if port is None else port, "RPC": run.rpc_port, "health": run.health_port}
    for what, wanted in wanted_by.items():
        free = what == "HTTP" and port is not None  # it was looked at
        if wanted and not free and (wanted in ports.values() or taken(host, wanted)):
            (ports[what],) = free_ports(1, host)
            notes.append(f"port {wanted} is taken: {what} is on {ports[what]}")
        else:
            ports[what] = wanted
    http = ports["HTTP"]
    assert http is not None
    if http != run.http_port and CLIENT in servers.named(run.server_name).clients:
        notes.append(f"{CLIENT} of the service asks port {run.http_port} unless it is told --url")
    return Binding(host, http, ports["RPC"], ports["health"])


def _failed(event: Optional[Mapping[str, Any]], what: str, log: Path) -> RuntimeFailedError:
    event = event or {"event": "ended"}
    if event.get("problem"):
        return RuntimeFailedError(f"the service cannot be started: {event['problem']}")
    if event["event"] == "ended":
        status = event.get("status")
        what = "has ended" + (f" with status {status}" if status is not None else "")
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    bad = [line for line in lines if "rror" in line or "service ends" in line] or lines
    last = f": {printable(bad[-1], 300)}" if bad else ""
    return RuntimeFailedError(f"the service {what}{last}", f"its log: {log}")


# ------------------------------------------------------------------------------------------------ an example


def curl(addresses: servers.Addresses, run: FoundService, model: Path, scratch: Path) -> str:
    """A command line for a shell that asks the service for something that it takes; a long request, or the picture that
    it reads, is in *scratch*."""
    url, asked = addresses.predict, example(run, model)
    if run.kind in PICTURES and len(asked) == 1:
        ((key, value),) = asked.items()
        path = scratch / "picture.png"
        path.write_bytes(base64.b64decode(str(value)))
        form = shlex.quote(requests.body({key: "%s"}, addresses.form, run.kind).decode())
        return f'printf {form} "$(base64 -w0 {shlex.quote(str(path))})" | curl -s {url} -d @-'
    body = requests.body(asked, addresses.form, run.kind)
    if len(body) > _SHOWN:
        path = scratch / "request.json"
        path.write_bytes(body)
        return f"curl -s {url} -d @{shlex.quote(str(path))}"
    return f"curl -s {url} -d {shlex.quote(body.decode())}"


def example(run: FoundService, model: Path) -> Request:
    """A request that the service takes: a text, a small picture, a page, or tensors of one row."""
    if run.kind == OCR:
        return ocr_check.requests()[0]
    program = load_program(locate(model))
    if run.kind == "text":
        return services.requests("text", program)[0]
    if run.kind == "image":
        small = services.image_request(services.picture(24, 24))
        fixed = [port.shape[0] for port in program.feeds if port.shape and port.shape[0] > 0]
        return services.of_batch([small], fixed[0] if fixed else None)[0]
    config = configure.read(model / configure.SERVER_TEXT)
    sizes = feeds.Sizes(batch=(1,), length=(8,))
    (values,) = feeds.random_feeds(feeds.specs_of(program), sets=1, sizes=sizes)
    short = {n: v.astype(np.float64).round(2) if v.dtype.kind == "f" else v for n, v in values.items()}
    return {var.alias: short[var.name] for var in config.feeds}
