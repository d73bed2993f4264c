"""A real server around one service: started in the managed runtime that has it, asked, and ended for good."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional, Union

import numpy as np

from mconv.errors import RuntimeFailedError, UnsupportedError
from mconv.runtimes import Runtime, for_models
from mconv.runtimes.frames import kill_session, read_frame, write_frame
from mconv.runtimes.ports import free_ports
from mconv.serving import servers
from mconv.serving.servers import Addresses, Binding, FoundService
from mconv.serving.servers import requests as forms
from mconv.serving.servers.interface import EVERYWHERE

# how serve-check calls the forms over HTTP
HTTP_FORMS = {"http key/value": forms.KEY_VALUE, "http tensors": forms.TENSORS, "open inference": forms.OPEN_INFERENCE}
DRIVER = Path(__file__).parent.parent / "runtimes" / "serving_main.py"
# an input, or a key that the service knows → its array, or a text
Request = Mapping[str, Union[str, np.ndarray]]
# the name of a stage, and its model's inputs as the service calls them → the outputs
Run = Callable[[str, Mapping[str, np.ndarray]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Answer:
    """What the service answered.

    Attributes:
        values: output → array; numbers have the types that JSON gives them.
        others: what is no array of numbers.
        seconds: how long it took.
        error: what went wrong, or empty.
    """

    values: dict[str, np.ndarray] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""


class Pipeline:
    """A service in a folder; a context manager, at whose end nothing of it is left running.

    Args:
        where: the runtime that has its server.
        service: a copy of the service, whose folder the server writes its logs to.
        ready_timeout: seconds until it must be ready.
        request_timeout: seconds for one request.
        namespace: whether to try to run it in a network of its own.

    Attributes:
        binding: where it listens: where its files say, or on free ports where there is no network of its own.
    """

    def __init__(
        self,
        where: Runtime,
        service: FoundService,
        *,
        ready_timeout: float = 120,
        request_timeout: float = 120,
        namespace: bool = True,
    ):
        self.where = where
        self.service, self.server = service, servers.of(service)
        self.folder = service.folder
        self.ready_timeout = ready_timeout
        self.request_timeout = request_timeout
        self.namespace = namespace
        self.isolated = False
        host = "127.0.0.1" if service.own_http else EVERYWHERE[0]
        self.binding = Binding(host, service.http_port, service.rpc_port, service.health_port)
        self._driver: Optional[subprocess.Popen[bytes]] = None
        self._service: Optional[int] = None
        self._scratch: Optional[tempfile.TemporaryDirectory[str]] = None

    def __enter__(self) -> Pipeline:
        # not in the service's folder: its processes talk over sockets there, whose paths have at most 108 characters
        self._scratch = tempfile.TemporaryDirectory(prefix="mconv-pipe-")
        # outputs are compared, also where users are answered texts or boxes alone
        env = self.where.environ(
            OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TMPDIR=self._scratch.name, SERVICE_OUTPUTS="1"
        )
        with (self.folder / "driver.log").open("wb") as errors:
            self._driver = subprocess.Popen(
                [str(self.where.python), str(DRIVER), *([] if self.namespace else ["--no-namespace"])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=self.folder,
                env=_clean(env),
                start_new_session=True,
            )
        try:
            self.isolated = self._exchange({}, [], self.ready_timeout)[0]["isolated"]
            if not self.isolated:  # where they could meet another service's
                rpc_port, http_port, health_port = free_ports(3)
                self.binding = Binding(
                    self.binding.host,
                    http_port,
                    self.binding.rpc_port and rpc_port,
                    self.binding.health_port and health_port,
                )
                self.server.move(self.service, self.binding)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: Optional[type], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            for stream in (driver.stdin, driver.stdout):
                with contextlib.suppress(BrokenPipeError):
                    assert stream is not None
                    stream.close()  # the end of stdin tells the driver that nobody listens any more
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(10)
            kill_session(driver)
            driver.wait()
        if self._service is not None:
            # the driver ends it; this is for a driver that was killed. It leads a session, so nobody else has its number
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._service, signal.SIGKILL)
            self._service = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    @property
    def addresses(self) -> Addresses:
        return self.server.addresses(self.service, self.binding)

    @property
    def url(self) -> tuple[str, str]:
        """Options for an HTTP client."""
        return "--url", self.addresses.predict

    @property
    def endpoint(self) -> tuple[str, str]:
        """Options for an RPC client."""
        return "--endpoint", f"127.0.0.1:{self.binding.rpc_port}"

    def inputs(self, module: str, request: Request) -> dict[str, np.ndarray]:
        """What the service's own *module* makes of a request, in the runtime but outside of the pipeline.

        Raises:
            RuntimeFailedError: it fails, or refuses the request.
        """
        header, arrays = self._ask(
            {"do": "inputs", "folder": str(self.folder / self.service.modules), "module": module}, request
        )
        if header.get("error"):
            raise RuntimeFailedError(f"the service's {module}.py: {header['error']}")
        return dict(zip(header["names"], arrays))

    def whole(self, request: Request, run: Run) -> dict[str, Any]:
        """What the modules of a service of several models answer where *run* is what runs these.

        Raises:
            RuntimeFailedError: they fail, or refuse the request.
        """
        header, arrays = self._ask({"do": "whole", "folder": str(self.folder / self.service.modules)}, request)
        while "run" in header:
            outputs = run(header["run"], dict(zip(header["names"], arrays)))
            header, arrays = self._exchange({}, outputs, self.request_timeout + 30)
        if header.get("error"):
            raise RuntimeFailedError(f"the service's ocr_input.py: {header['error']}")
        found: dict[str, Any] = header["others"]
        return found

    def start(self) -> float:
        """Start the service; the seconds until it listened.

        Raises:
            RuntimeFailedError: it ended, or did not listen in time.
        """
        launch = self.server.launch(self.service, self.binding)
        addresses = self.addresses
        request = {
            "do": "start",
            "folder": str(launch.folder),
            "arguments": list(launch.arguments),
            "environment": {**launch.environment, **for_models(launch.models_in)},
            "everywhere": not self.service.own_http,
            "ports": self.binding.ports,
            "health": addresses.health,
            "rpc_port": self.binding.rpc_port,
            "ready_timeout": self.ready_timeout,
            "request_timeout": self.request_timeout,
        }
        header, _ = self._exchange(request, [], self.ready_timeout + 30)
        self._service = header.get("pid")
        if header.get("error"):
            raise RuntimeFailedError(f"the service: {header['error']}{self.complaint()}")
        return float(header["seconds"])

    def ask(self, form: str, request: Request) -> Answer:
        """Send a request in a form of :data:`HTTP_FORMS`, or one of the RPC's that ``serving_main.py`` lists; an error is
        an answer too.

        Raises:
            RuntimeFailedError: the service is gone.
        """
        if form not in HTTP_FORMS:
            return self._answer(*self._ask({"do": "ask", "form": form}, request))
        written = HTTP_FORMS[form]
        try:
            body = forms.body(request, written, self.service.kind)
        except UnsupportedError as e:
            return Answer(error=e.message)
        header, _ = self._ask(
            {"do": "post", "url": self.addresses.http[written]}, {"body": np.frombuffer(body, np.uint8)}
        )
        if "text" not in header:
            return self._answer(header, [])
        if header["status"] != 200:
            return Answer(seconds=header["seconds"], error=f"HTTP status {header['status']}: {header['text'][:300]}")
        try:
            found = forms.answer(header["text"], written)
        except (ValueError, KeyError, TypeError) as e:
            return Answer(seconds=header["seconds"], error=(str(e).splitlines() or [type(e).__name__])[0])
        return Answer(*_parted(found), seconds=header["seconds"])

    def run(self, script: str, *arguments: str) -> Answer:
        """Run one of the service's clients."""
        return self._answer(*self._ask({"do": "run", "script": script, "arguments": list(arguments)}, {}))

    def post(self, body: bytes, form: Optional[str] = None) -> tuple[int, str]:
        """Send a body over HTTP; the status and the text of the answer.

        Args:
            form: where to: to the address that takes that form; None: the first.

        Raises:
            RuntimeFailedError: there was none.
        """
        header, _ = self._ask(
            {"do": "post", "url": self.addresses.predict if form is None else self.addresses.http[form]},
            {"body": np.frombuffer(body, np.uint8)},
        )
        if header.get("error"):
            raise RuntimeFailedError(f"the service: {header['error']}{self.complaint()}")
        return header["status"], header["text"]

    def _answer(self, header: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
        if "ended" in header:
            raise RuntimeFailedError(
                f"the service ended with status {header['ended']} when it was asked{self.complaint()}"
            )
        values = dict(zip(header.get("names", []), arrays))
        return Answer(values, header.get("others", {}), header["seconds"], header.get("error", ""))

    def complaint(self) -> str:
        """The last thing that the service or the pipeline's log complains about, after a colon."""
        logs = [*sorted(self.folder.glob("**/*.log.wf")), self.folder / "service.log", self.folder / "driver.log"]
        for log in logs:
            if log.is_file():
                lines = log.read_text(errors="replace").strip().splitlines()
                bad = [x.strip() for x in lines if "Error" in x or "error" in x or "ailed" in x]
                if bad:
                    return f": {bad[-1][-400:]}"
        return ""

    def _ask(self, header: dict[str, Any], request: Request) -> tuple[dict[str, Any], list[np.ndarray]]:
        texts = {name: value for name, value in request.items() if isinstance(value, str)}
        arrays = [value for value in request.values() if not isinstance(value, str)]
        return self._exchange({**header, "names": list(request), "texts": texts}, arrays, self.request_timeout + 30)

    def _exchange(
        self, header: dict[str, Any], arrays: Sequence[np.ndarray], limit: float
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        driver = self._driver
        assert driver is not None and driver.stdin is not None and driver.stdout is not None
        timer = threading.Timer(limit, kill_session, [driver])
        timer.daemon = True
        timer.start()
        answer = None
        try:
            with contextlib.suppress(BrokenPipeError):
                write_frame(driver.stdin, header, arrays)
                answer = read_frame(driver.stdout)
        finally:
            timer.cancel()
        if answer is None:
            raise RuntimeFailedError(f"the service could not be asked to the end{self.complaint()}")
        return answer


def _parted(found: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The outputs that are arrays of numbers, and the others as they are."""
    arrays: dict[str, np.ndarray] = {}
    for name, value in found.items():
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            continue
        if array.dtype.kind in "biuf":
            arrays[name] = array
    return arrays, {name: value for name, value in found.items() if name not in arrays}


def _clean(env: dict[str, str]) -> dict[str, str]:
    """Without proxies: grpc would ask them for 127.0.0.1."""
    return {k: v for k, v in env.items() if not k.lower().endswith("_proxy")}
