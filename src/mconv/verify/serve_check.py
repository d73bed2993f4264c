"""``mconv serve-check``: the real Paddle Serving pipeline on a converted model, asked over HTTP and RPC."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mconv.errors import NotAModelError, RuntimeFailedError, VerificationError
from mconv.program.files import load_program, locate
from mconv.program.output import staged
from mconv.runtimes import Runtime, Worker, find
from mconv.runtimes.frames import kill_session, read_frame, write_frame
from mconv.serving import configure
from mconv.serving.configure import ServingConfig
from mconv.serving.scaffold import SERVICE, ServiceOptions, service_files
from mconv.verify.compare import Comparison, Tolerance, compare
from mconv.verify.feeds import load_feeds, random_feeds, specs_of
from mconv.verify.runners import Answers

DRIVER = Path(__file__).parent.parent / "runtimes" / "serving_main.py"
RUNTIME = "paddle-2.3.2"
_STOPPING = 10.0  # seconds
# a converted model must not lose anything on the way through JSON: float32 survives it exactly
TOLERANCE = Tolerance(absolute=1e-6, relative=1e-6)


@dataclass(frozen=True)
class FormResult:
    """One form of request, over all input sets.

    Attributes:
        form: ``http key/value``, ``http tensors``, ``rpc strings``, ``rpc tensors`` or ``rpc bytes``.
        ok: whether every output of every set equals direct inference.
        max_abs: largest absolute difference; None when there was no comparable answer.
        seconds: the time of each request; the first one also waits for the model to be loaded.
        reason: why it is not ok.
    """

    form: str
    ok: bool
    max_abs: Optional[float]
    seconds: list[float]
    reason: str = ""


@dataclass(frozen=True)
class ServeReport:
    """What ``mconv serve-check`` found.

    Attributes:
        ok: whether every form of request gave the answers of direct inference.
        folder: the ``serving_server/`` folder.
        runtime: the runtime that served and answered directly.
        paddle: its version of Paddle.
        isolated: whether the service ran in a network of its own. If not, its HTTP gateway, which takes no address,
            listened on every interface while the check ran.
        ready_seconds: from the start of the service until both ports were open.
        inputs: per input set, input → shape.
        outputs: what the service calls the outputs.
        forms: the results.
        kept: where the service was written to, if asked for.
    """

    ok: bool
    folder: Path
    runtime: str
    paddle: str
    isolated: bool
    ready_seconds: float
    inputs: list[dict[str, list[int]]]
    outputs: list[str]
    forms: list[FormResult]
    kept: Optional[Path] = None

    def require(self) -> None:
        """Raise unless every form agreed.

        Raises:
            VerificationError: names the first form that did not.
        """
        for form in self.forms:
            if not form.ok:
                raise VerificationError(f"{self.folder}: {form.form}: {form.reason}")


def serve_check(
    folder: Union[str, Path],
    *,
    inputs: Optional[Union[str, Path]] = None,
    keep: Optional[Union[str, Path]] = None,
    force: bool = False,
    runtime: str = RUNTIME,
    ir_optim: bool = True,
    ready_timeout: float = 120,
    request_timeout: float = 120,
    tolerance: Tolerance = TOLERANCE,
    namespace: bool = True,
    progress: Callable[[str], None] = lambda line: None,
) -> ServeReport:
    """Serve a converted model with the real pipeline (local predictor, CPU) and compare its answers.

    Args:
        folder: a ``serving_server/`` folder.
        inputs: a ``.npz`` with the model's inputs; random ones by default, in two shapes if the model has open
            dimensions.
        keep: write the generated service (config.yml, web_service.py) to this folder.
        force: replace what is in *keep*.
        runtime: a managed runtime that has Paddle Serving.
        ir_optim: whether Paddle may optimise the graph, in the service and in direct inference.
        ready_timeout: seconds until the service must listen.
        request_timeout: seconds for one request.
        tolerance: how far an answer may be from direct inference.
        namespace: whether to try to run the service in a network of its own.
        progress: called with one line whenever something happens.

    Raises:
        NotAModelError: *folder* is no ``serving_server/`` folder.
        RuntimeUnavailableError: the runtime is not installed.
        RuntimeFailedError: direct inference or the service fails.
        OutputExistsError: *keep* is there already.
    """
    folder = Path(folder).absolute()
    config = configure.find(folder) if folder.is_dir() else None
    if config is None or not (folder / configure.SERVER_TEXT).is_file():
        raise NotAModelError(
            f"{folder}: not a serving_server folder (there is no {configure.SERVER_TEXT})",
            "make one with `mconv to-serving MODEL`",
        )
    files = locate(folder)
    where = find(runtime)
    specs = specs_of(load_program(files))
    sets = load_feeds(Path(inputs), specs) if inputs is not None else random_feeds(specs)
    kept = _keep(config, folder, Path(keep), force) if keep is not None else None
    progress(f"direct inference in {where.name}")
    with Worker(where) as worker:
        result = worker.run(files.program, files.params, sets, ir_optim=ir_optim)
    direct = Answers(result.names, result.outputs, result.dtypes, result.version, result.seconds)
    with tempfile.TemporaryDirectory(prefix="mconv-serve-") as scratch:
        options = ServiceOptions(
            model=str(folder), rpc_port=_free_port(), http_port=_free_port(), ir_optim=ir_optim, threads=1
        )
        for name, text in service_files(config, options).items():
            (Path(scratch) / name).write_text(text, encoding="utf-8")
        progress(f"starting the pipeline service in {where.name}")
        asked = [_aliased(feed, config) for feed in sets]
        outcome = _drive(where, Path(scratch), options, asked, ready_timeout, request_timeout, namespace, progress)
    forms = _judge(outcome, direct, config, tolerance)
    return ServeReport(
        bool(forms) and all(form.ok for form in forms),
        folder,
        where.name,
        direct.version,
        outcome.isolated,
        outcome.ready_seconds,
        [{name: list(array.shape) for name, array in feed.items()} for feed in asked],
        [var.alias for var in config.fetches],
        forms,
        kept,
    )


def _keep(config: ServingConfig, folder: Path, target: Path, force: bool) -> Path:
    with staged(target, force=force, protect=[folder]) as stage:
        options = ServiceOptions(model=os.path.relpath(folder, target.absolute()))
        for name, text in service_files(config, options).items():
            (stage / name).write_text(text, encoding="utf-8")
    return target


def _aliased(feed: dict[str, np.ndarray], config: ServingConfig) -> dict[str, np.ndarray]:
    return {var.alias: feed[var.name] for var in config.feeds}


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class _Outcome:
    isolated: bool = False
    ready_seconds: float = 0.0
    # form → per input set (output → array, seconds, error)
    answers: dict[str, list[tuple[dict[str, np.ndarray], float, str]]] = field(default_factory=dict)


def _drive(
    where: Runtime,
    folder: Path,
    options: ServiceOptions,
    sets: Sequence[dict[str, np.ndarray]],
    ready_timeout: float,
    request_timeout: float,
    namespace: bool,
    progress: Callable[[str], None],
) -> _Outcome:
    request = {
        "folder": str(folder),
        "script": SERVICE,
        "name": options.name,
        "rpc_port": options.rpc_port,
        "http_port": options.http_port,
        "ready_timeout": ready_timeout,
        "request_timeout": request_timeout,
        "sets": [list(feed) for feed in sets],
    }
    outcome = _Outcome()
    finished = False
    log = folder / "driver.log"
    with log.open("wb") as errors:
        driver = subprocess.Popen(
            [str(where.python), str(DRIVER), *([] if namespace else ["--no-namespace"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=_clean(where.environ(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TMPDIR=str(folder))),
            start_new_session=True,
        )
    limit = ready_timeout + request_timeout * (len(sets) * 5 + 1)
    timer = threading.Timer(limit, kill_session, [driver])
    timer.daemon = True
    timer.start()
    service: Optional[int] = None
    try:
        for header, arrays in _events(driver, request, [a for feed in sets for a in feed.values()]):
            event = header["event"]
            if event == "network":
                outcome.isolated = header["isolated"]
            elif event == "started":
                service = header["pid"]
            elif event == "ready":
                outcome.ready_seconds = header["seconds"]
                progress(f"the service is ready after {header['seconds']:.1f} s; asking it over HTTP and RPC")
            elif event == "answer":
                answer = (dict(zip(header["names"], arrays)), header["seconds"], header.get("error", ""))
                outcome.answers.setdefault(header["form"], []).append(answer)
            elif event == "failed":
                raise RuntimeFailedError(f"the pipeline service: {header['error']}{_complaint(folder)}")
            elif event == "done":
                finished = True
        if not finished:
            raise RuntimeFailedError(f"the pipeline service could not be asked to the end{_complaint(folder)}")
    finally:
        timer.cancel()
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(_STOPPING)  # nobody listens any more: it ends the service, sees it gone, and goes
        kill_session(driver)
        driver.wait()
        if service is not None:
            # the driver ends it; this is for a driver that was killed. It leads a session, so nobody else has its number
            with contextlib.suppress(ProcessLookupError):
                os.killpg(service, signal.SIGKILL)
    return outcome


def _events(
    driver: subprocess.Popen[bytes], request: dict[str, Any], arrays: list[np.ndarray]
) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
    assert driver.stdin is not None and driver.stdout is not None
    with driver.stdout, contextlib.suppress(BrokenPipeError), driver.stdin:
        # the end of stdin tells the driver that nobody listens any more
        write_frame(driver.stdin, request, arrays)
        while True:
            frame = read_frame(driver.stdout)
            if frame is None:
                return
            yield frame
            if frame[0]["event"] in ("done", "failed"):
                return


def _clean(env: dict[str, str]) -> dict[str, str]:
    """Without proxies: grpc would ask them for 127.0.0.1."""
    return {k: v for k, v in env.items() if not k.lower().endswith("_proxy")}


def _complaint(folder: Path) -> str:
    """The last thing that the service or the pipeline's log complains about."""
    for log in (folder / "PipelineServingLogs" / "pipeline.log.wf", folder / "service.log", folder / "driver.log"):
        if log.is_file():
            lines = log.read_text(errors="replace").strip().splitlines()
            bad = [x.strip() for x in lines if "Error" in x or "error" in x or "ailed" in x]
            if bad:
                return f": {bad[-1][-400:]}"
    return ""


def _judge(outcome: _Outcome, direct: Answers, config: ServingConfig, tolerance: Tolerance) -> list[FormResult]:
    results = []
    for form, answers in outcome.answers.items():
        error = next((e for _, _, e in answers if e), "")
        seconds = [s for _, s, _ in answers]
        if error:
            results.append(FormResult(form, False, None, seconds, error))
            continue
        compared = _compared([values for values, _, _ in answers], direct, config, tolerance)
        bad = [o for o in compared.outputs if not o.ok]
        reason = (compared.problems + [f"output {o.name}, input set {o.input_set}: {o.reason}" for o in bad] + [""])[0]
        figure = compared.max_abs if np.isfinite(compared.max_abs) else None
        results.append(FormResult(form, compared.ok, figure, seconds, reason))
    return results


def _compared(
    answers: list[dict[str, np.ndarray]], direct: Answers, config: ServingConfig, tolerance: Tolerance
) -> Comparison:
    wanted: list[list[np.ndarray]] = []
    got: list[list[np.ndarray]] = []
    for index, values in enumerate(answers):
        named = dict(zip(direct.names, direct.outputs[index]))
        missing = [v.alias for v in config.fetches if v.alias not in values]
        if missing:
            return Comparison(problems=[f"the reply has no output {', '.join(missing)}"])
        wanted.append([named[v.name] for v in config.fetches])
        # JSON knows neither types nor the shape of what is empty
        got.append([_typed(values[v.alias], named[v.name]) for v in config.fetches])
    return compare(wanted, got, [v.alias for v in config.fetches], tolerance=tolerance)


def _typed(value: np.ndarray, like: np.ndarray) -> np.ndarray:
    value = value.astype(like.dtype)
    return value.reshape(like.shape) if value.size == like.size == 0 else value
