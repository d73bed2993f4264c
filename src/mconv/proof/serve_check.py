"""``mconv serve-check``: the real server on a converted model, asked in every form that it takes."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Optional

import numpy as np

from mconv.artifacts.output import staged
from mconv.errors import UsageError
from mconv.options.serving import ServeCheck
from mconv.program.files import load_program, locate
from mconv.program.program import Program
from mconv.program.stored import ModelFiles
from mconv.proof import ocr_check, search
from mconv.proof import service as services
from mconv.proof.compare import Comparison, Tolerance, compare
from mconv.proof.feeds import load_feeds, shapes_of, specs_of
from mconv.proof.pipeline import HTTP_FORMS, Answer, Pipeline, Request
from mconv.proof.runners import Answers
from mconv.proof.serve_report import FormResult, OneDNNResult, ServeReport
from mconv.runtimes import Runtime, Worker, find
from mconv.runtimes.outcome import RunResult, WorkerError
from mconv.serving import configure, onednn, scaffold, servers
from mconv.serving.configure import ServingConfig
from mconv.serving.kinds import OCR, PICTURES
from mconv.serving.scaffold import ServiceOptions
from mconv.serving.servers import FoundService
from mconv.serving.servers.requests import PAGES, TENSORS

# in which forms of Paddle Serving's RPC a service of a kind is asked
RPC_FORMS = {
    "tensor": ("rpc strings", "rpc tensors", "rpc bytes"),
    "text": ("rpc strings", "rpc tensors"),
    **dict.fromkeys(PICTURES, ("rpc strings", "rpc tensors", "rpc bytes")),
}
# how often the input sets are run to compare times; what is slower, and what another answer, in parts of the largest number
_ROUNDS, _SLOWER, _DIFFERENT = 4, 1.15, 1e-3
_NOTICED = 5e-4  # seconds: what is less is noise
BAD = "bad requests"


def serve_check(chosen: ServeCheck) -> ServeReport:
    """Serve a converted model with the real server (on the CPU) and compare its answers with direct inference in Paddle.

    The service is the generated one that belongs to the model, unchanged, where there is one; it is asked with
    requests of its kind, and direct inference gets the arrays that its own module makes of them. Otherwise a service
    that takes tensors is made for the check.

    Raises:
        NotAModelError: *folder* is no ``serving_server/`` folder, *service* no generated service.
        UsageError: requests of another kind than the service's, or another server than it is made for.
        RuntimeUnavailableError: the runtime is not installed.
        RuntimeFailedError: direct inference or the service fails.
        OutputExistsError: *keep* is there already.
    """
    server, found = services.resolve(Path(chosen.folder), None if chosen.service is None else Path(chosen.service))
    if chosen.keep is not None and found is not None:
        if chosen.service is not None:
            raise UsageError("--keep is for a service that is made for the check", "leave out --service or --keep")
        found = None
    kind = found.kind if found is not None else "tensor"
    for option, given, wanted in (
        ("--inputs", chosen.inputs, "tensor"),
        ("--texts", chosen.texts, "text"),
        ("--image", chosen.images, OCR if kind == OCR else "image"),
    ):
        if given and kind != wanted:
            raise UsageError(f"{option} is for services of kind {wanted}; this one is of kind {kind}")
    made_for = servers.fitting(chosen.server, found)
    runtime = servers.runtime_of(made_for, found)
    where = find(chosen.runtime)
    host = where if made_for.rpc else find(runtime)  # Paddle Serving may be in another runtime than its own
    allowed = max(chosen.tolerance, made_for.tolerance)
    if found is not None and kind == OCR:
        return _several(chosen, found, where, host, allowed)
    config = configure.read(server / configure.SERVER_TEXT)
    files = locate(server)
    program = load_program(files)
    tolerance = Tolerance(allowed, allowed).at("float32" if found is None else found.precision)
    kept = None
    if chosen.keep is not None:
        options = ServiceOptions(service="tensor", server=made_for.name, ir_optim=chosen.ir_optim)
        kept = _keep(config, program, server, Path(chosen.keep), options, chosen.force)
    with tempfile.TemporaryDirectory(prefix="mconv-serve-") as scratch:
        if found is None:
            run = scaffold.make(server, Path(scratch), made_for.name, ir_optim=chosen.ir_optim, kind="tensor")
        else:
            run = replace(found, folder=services.copy(found, Path(scratch)))
        with _pipeline(chosen, host, run) as pipeline:
            chosen.progress(f"direct inference in {where.name}")

            def answer(sets: list[dict[str, np.ndarray]]) -> tuple[Answers, Optional[OneDNNResult]]:
                return _direct(where, files, _called(sets, config), config, run)

            if kind == "tensor":
                specs = specs_of(program)
                if chosen.inputs is None:
                    sets, (direct, fast), _ = search.find(specs, answer)
                else:
                    sets = load_feeds(Path(chosen.inputs), specs)
                    direct, fast = answer(sets)
                asked = _called(sets, config)
                requests: list[Request] = list(asked)
            else:
                requests = services.requests(kind, program, chosen.texts, chosen.images)
                asked = [pipeline.inputs(run.module, request) for request in requests]
                direct, fast = _direct(where, files, asked, config, run)
            if not made_for.rpc:
                fast = None  # another engine than Paddle has nothing of oneDNN in Paddle
            ready = _started(chosen, pipeline)
            forms = [
                _judge(form, [pipeline.ask(form, _shaped(kind, form, r)) for r in requests], direct, config, tolerance)
                for form in _forms(pipeline)
            ]
            if found is not None:
                first = _first(direct, 1)
                for client, answered in _by_clients(pipeline, requests[0]):
                    forms.append(_judge(client, [answered], first, config, tolerance))
                forms.append(_bad_requests(pipeline, kind, requests[0], asked[0], first, config, tolerance))
        isolated = pipeline.isolated or run.own_http
    return ServeReport(
        all(form.ok for form in forms) and (fast is None or fast.ok),
        server,
        where.name,
        direct.version,
        isolated,
        ready,
        shapes_of(asked),
        [var.alias for var in config.fetches],
        forms,
        kept,
        None if found is None else found.folder,
        kind,
        fast,
        made_for.name,
    )


def _several(chosen: ServeCheck, found: FoundService, where: Runtime, host: Runtime, tolerance: float) -> ServeReport:
    """A service of several models in *host*: its answers against those of its own steps around Paddle in *where*."""
    with tempfile.TemporaryDirectory(prefix="mconv-serve-") as scratch:
        run = replace(found, folder=services.copy(found, Path(scratch)))
        with _pipeline(chosen, host, run) as pipeline:
            chosen.progress(f"direct inference in {where.name}")
            requests = ocr_check.requests([Path(path) for path in chosen.images])
            wanted, version = ocr_check.direct(pipeline, requests, _tuned(where, run))
            ready = _started(chosen, pipeline)
            forms = []
            for form in _forms(pipeline):
                answers = [pipeline.ask(form, _shaped(OCR, form, request)) for request in requests]
                forms.append(ocr_check.judge(form, answers, wanted, tolerance))
            for client, answered in _by_clients(pipeline, requests[0]):
                forms.append(ocr_check.judge(client, [answered], wanted, tolerance))
            bad, seconds = _answered_as_bad(pipeline, OCR, {})
            again = ocr_check.judge(BAD, [pipeline.ask(forms[0].form, requests[0])], wanted, tolerance)
            forms.append(FormResult(BAD, not bad and again.ok, again.max_abs, seconds, bad or again.reason))
        isolated = pipeline.isolated or run.own_http
    return ServeReport(
        all(form.ok for form in forms), found.server, where.name, version, isolated, ready,
        [{"pages": [len(request)]} for request in requests], list(PAGES), forms, None, found.folder, OCR,
        server=found.server_name,
    )  # fmt: skip


def _pipeline(chosen: ServeCheck, where: Runtime, service: FoundService) -> Pipeline:
    return Pipeline(
        where, service, ready_timeout=chosen.ready_timeout,
        request_timeout=chosen.request_timeout or chosen.ready_timeout, namespace=chosen.namespace,
    )  # fmt: skip


def _started(chosen: ServeCheck, pipeline: Pipeline) -> float:
    """The seconds until the service was ready."""
    chosen.progress(f"starting the service in {pipeline.where.name}")
    ready = pipeline.start()
    chosen.progress(f"the service is ready after {ready:.1f} s; asking it")
    return ready


def _by_clients(pipeline: Pipeline, request: Request) -> Iterator[tuple[str, Answer]]:
    """Each of the service's own clients, and what it is answered."""
    told = services.arguments(pipeline.service.kind, request, pipeline.folder)
    for client in pipeline.server.clients:
        address = pipeline.url if client.startswith("http") else pipeline.endpoint
        yield client, pipeline.run(client, *address, *told)


def _forms(pipeline: Pipeline) -> list[str]:
    """The forms in which the service is asked."""
    taken, kind = pipeline.addresses.http, pipeline.service.kind
    # a picture in base64 is a text in the Tensor message, which says nothing more than the key/value form
    found = [name for name, form in HTTP_FORMS.items() if form in taken and not (kind in PICTURES and form == TENSORS)]
    return [*found, *(RPC_FORMS[kind] if pipeline.server.rpc else ())]


def _keep(
    config: ServingConfig, program: Program, server: Path, target: Path, options: ServiceOptions, force: bool
) -> Path:
    with staged(target, force=force, protect=[server]) as stage:
        planned = scaffold.plan(config, program, options, model=scaffold.relative(server, target), folder=server)
        planned.write(stage, server)
    return target


def _called(sets: Sequence[Mapping[str, np.ndarray]], config: ServingConfig) -> list[dict[str, np.ndarray]]:
    """Input sets by the names that clients use."""
    return [{var.alias: feed[var.name] for var in config.feeds} for feed in sets]


def _direct(
    where: Runtime,
    files: ModelFiles,
    asked: Sequence[Mapping[str, np.ndarray]],
    config: ServingConfig,
    run: FoundService,
) -> tuple[Answers, Optional[OneDNNResult]]:
    """Direct inference on arrays named as clients name them, set up as the service is; and with and without oneDNN."""
    sets = [{var.name: feed[var.alias] for var in config.feeds} for feed in asked]
    results: dict[bool, RunResult] = {}
    with Worker(_tuned(where, run)) as worker:
        old = worker.version().startswith("2.3.")
        passes = onednn.PASSES if run.passes and old else ()
        for on in (run.onednn, not run.onednn):
            try:
                results[on] = worker.run(
                    files.program, files.params, sets * _ROUNDS, ir_optim=run.ir_optim, onednn=on,
                    passes=passes if on else (), onednn_except=onednn.EXCEPT if on and old else (),
                )  # fmt: skip
            except WorkerError:
                if on == run.onednn:
                    raise
    result, count = results[run.onednn], len(sets)
    return _first(Answers.of(result), count), _compared_onednn(run.onednn, results[True], results[False], count) if len(
        results
    ) == 2 else None


def _first(answers: Answers, count: int) -> Answers:
    """Those to the first input sets."""
    return replace(
        answers, outputs=answers.outputs[:count], dtypes=answers.dtypes[:count], seconds=answers.seconds[:count]
    )


def _tuned(where: Runtime, run: FoundService) -> Runtime:
    """The runtime with the environment that the service gives itself: other kernels round otherwise."""
    return replace(where, extra={**where.extra, **onednn.mkl_variables()}) if run.mkl else where


def _compared_onednn(on: bool, with_it: RunResult, without: RunResult, count: int) -> OneDNNResult:
    """Judge two runs of the same *count* input sets, repeated."""

    def seconds(result: RunResult) -> float:
        rounds = [sum(result.seconds[at : at + count]) for at in range(0, len(result.seconds), count)]
        return min(rounds[1:] or rounds)  # the first one prepares

    largest = 0.0
    for have, want in zip(with_it.outputs[:count], without.outputs[:count]):
        for a, b in zip(have, want):
            if a.shape != b.shape:
                largest = math.inf
            elif a.size and a.dtype.kind == "f":
                scale = max(float(np.abs(b).max()), 1e-6)
                largest = max(largest, float(np.nan_to_num(np.abs(a - b), nan=0.0).max()) / scale)
    fast, slow = seconds(with_it), seconds(without)
    same = largest <= _DIFFERENT
    advice = ""
    if not same and on:
        advice = (
            f"oneDNN answers something else ({largest:.2g} of the largest number): write the service with --no-onednn"
        )
    elif on and fast > slow * _SLOWER and fast - slow > _NOTICED:
        advice = f"slower with oneDNN ({fast * 1e3:.1f} ms, {slow * 1e3:.1f} without): --no-onednn writes it without"
    elif not on and same and slow > fast * _SLOWER and slow - fast > _NOTICED:
        advice = f"faster with oneDNN ({fast * 1e3:.1f} ms, {slow * 1e3:.1f} without): --onednn writes it so"
    return OneDNNResult(on, fast, slow, largest if math.isfinite(largest) else None, same or not on, advice)


def _shaped(kind: str, form: str, request: Request) -> Request:
    return services.as_bytes(request) if kind in PICTURES and form in ("rpc tensors", "rpc bytes") else request


def _bad_requests(
    pipeline: Pipeline,
    kind: str,
    request: Request,
    feeds: Mapping[str, np.ndarray],
    direct: Answers,
    config: ServingConfig,
    tolerance: Tolerance,
) -> FormResult:
    """Whether every bad request is answered with an error and a good one is answered as before."""
    bad, seconds = _answered_as_bad(pipeline, kind, feeds)
    if bad:
        return FormResult(BAD, False, None, seconds, bad)
    again = _judge(BAD, [pipeline.ask(_forms(pipeline)[0], request)], direct, config, tolerance)
    reason = f"afterwards a good one: {again.reason}" if again.reason else ""
    return FormResult(BAD, again.ok, again.max_abs, seconds, reason)


def _answered_as_bad(pipeline: Pipeline, kind: str, feeds: Mapping[str, np.ndarray]) -> tuple[str, list[float]]:
    """What bad request is answered as if it were a good one, or nothing; and the time of each."""
    seconds = []
    for what, body in services.bad_bodies(kind, feeds).items():
        started = time.monotonic()
        status, text = pipeline.post(body)
        seconds.append(time.monotonic() - started)
        try:
            refused = status != 200 or bool(json.loads(text).get("err_no"))
        except (ValueError, AttributeError):
            refused = False
        if not refused:
            return f"{what} is answered as if it were a request: {text[:200]}", seconds
    return "", seconds


def _judge(
    form: str, answers: Sequence[Answer], direct: Answers, config: ServingConfig, tolerance: Tolerance
) -> FormResult:
    seconds = [a.seconds for a in answers]
    error = next((a.error for a in answers if a.error), "")
    if error:
        return FormResult(form, False, None, seconds, error)
    compared = _compared([a.values for a in answers], direct, config, tolerance)
    bad = [o for o in compared.outputs if not o.ok]
    reason = (compared.problems + [f"output {o.name}, input set {o.input_set}: {o.reason}" for o in bad] + [""])[0]
    figure = compared.max_abs if np.isfinite(compared.max_abs) else None
    return FormResult(form, compared.ok, figure, seconds, reason)


def _compared(
    answers: Sequence[Mapping[str, np.ndarray]], direct: Answers, config: ServingConfig, tolerance: Tolerance
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
