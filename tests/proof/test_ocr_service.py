"""The real servers on a service of several models: ten pages over HTTP, RPC and gRPC, many at a time, what is broken or huge."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from PIL import Image

from mconv import api
from mconv.errors import UsageError
from mconv.proof import ocr_check
from mconv.proof.pipeline import Answer, Pipeline
from mconv.proof.service import as_bytes
from mconv.runtimes.ports import free_ports
from mconv.serving.servers.requests import KEY_VALUE, OPEN_INFERENCE, PAGES, answer, body
from tests.managed import require
from tests.proof import killed
from tests.proof.grpc_inference import Refused, grpc_infer
from tests.proof.services import running
from tests.serving import ocr_pages

pytestmark = pytest.mark.runtime
slow = pytest.mark.slow
# server → the form in which it is asked
FORMS = {"paddle-serving": "http key/value", "http": "open inference", "triton": "open inference"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(ocr_pages.models(tmp_path_factory.mktemp("models")).values())


@pytest.fixture(scope="module")
def folders(models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The service for a server, on ports of its own."""

    @functools.cache
    def made(server: str) -> Path:
        http_port, rpc_port, health_port = free_ports(3)
        ports: dict[str, Any] = {"http_port": http_port, "rpc_port": rpc_port, "health_port": health_port}
        if server == "http":
            ports = {"http_port": http_port}
        folder = tmp_path_factory.mktemp(server) / "service"
        return api.scaffold(models, folder, pipeline="ocr", server=server, **ports).folder

    return made


@pytest.fixture(scope="module", params=FORMS)
def service(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Iterator[Pipeline]:
    with contextlib.ExitStack() as stack:
        if request.param != "paddle-serving":
            stack.enter_context(ocr_pages.whole_processor())
        yield stack.enter_context(running(folders(request.param)))


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def asked(service: Pipeline, *files: bytes) -> Answer:
    return service.ask(FORMS[service.service.server_name], {str(i): encoded(data) for i, data in enumerate(files)})


def pages(answer: Answer) -> list[Any]:
    """Texts, boxes and scores of each page."""
    assert not answer.error, answer.error
    values = {**answer.others, **{name: array.tolist() for name, array in answer.values.items()}}
    return [ocr_check.read(values[key]) for key in PAGES]


def read(service: Pipeline, data: bytes) -> tuple[list[str], Any, list[float]]:
    (texts,), (boxes,), (scores,) = pages(asked(service, data))
    return texts, boxes, scores


def refused(answer: Answer) -> bool:
    """With status 400, which Paddle Serving says inside of its answer."""
    return "error 400: " in answer.error or "HTTP status 400: " in answer.error


def few(page: str, server: str) -> bool:
    """What is shown in the fast tests: one page in one server."""
    return (page, server) == ("Chinese and Latin", "triton")


@pytest.mark.parametrize(
    ("service", "page"),
    [pytest.param(s, p, marks=[] if few(p, s) else slow) for s in FORMS for p in ocr_pages.PAGES],
    indirect=["service"],
)
def test_pages_over_http(page: str, service: Pipeline) -> None:
    image = ocr_pages.PAGES[page]()
    ocr_pages.equal(*read(service, ocr_pages.png(image)), image)


@slow
@pytest.mark.parametrize("service", ["paddle-serving"], indirect=True)
@pytest.mark.parametrize("form", ["rpc strings", "rpc tensors", "rpc bytes"])
def test_pages_over_rpc(form: str, service: Pipeline) -> None:
    image = ocr_pages.PAGES["slanted"]()
    request: Any = {"0": encoded(ocr_pages.png(image))}
    answer = service.ask(form, request if form == "rpc strings" else as_bytes(request))
    ocr_pages.equal(*(pages[0] for pages in pages(answer)), image)


@slow
def test_pages_over_grpc(folders: Callable[[str], Path]) -> None:
    """Of the Open Inference Protocol, from several clients at a time: the files as they are, and in base64."""
    with api.serve(folders("triton")) as run:
        address = f"127.0.0.1:{json.loads((folders('triton') / 'service.json').read_text())['grpc_port']}"
        assert run.serving.kind == "ocr"

        def ask(page: str, raw: bool) -> None:
            image = ocr_pages.PAGES[page]()
            data = ocr_pages.png(image)
            found = grpc_infer(address, "ocr", "image", [data if raw else encoded(data).encode()])
            ocr_pages.equal(*(json.loads(found[key][0]) for key in PAGES), image)

        with futures.ThreadPoolExecutor(4) as pool:
            for _ in pool.map(ask, ocr_pages.PAGES, [True, False] * 5):
                pass
        with pytest.raises(Refused, match="INVALID_ARGUMENT.*no picture"):
            grpc_infer(address, "ocr", "image", [b"\x89PNG\r\n\x1a\n" + b"x" * 100])


@slow
def test_empty_pages(service: Pipeline) -> None:
    for image in ocr_pages.EMPTY:
        assert read(service, ocr_pages.png(image)) == ([], [], [])


@slow
def test_pages_of_one_request(service: Pipeline) -> None:
    names = ("small letters", "upside down")
    files = [ocr_pages.png(ocr_pages.PAGES[name]()) for name in names]
    texts, boxes, scores = pages(asked(service, files[0], ocr_pages.png(ocr_pages.EMPTY[0]), files[1]))
    assert (texts[1], boxes[1], scores[1]) == ([], [], [])
    for index, name in zip((0, 2), names):
        ocr_pages.equal(texts[index], boxes[index], scores[index], ocr_pages.PAGES[name]())


@slow
def test_what_is_broken_or_huge_is_answered(service: Pipeline) -> None:
    """Each with an error or an answer of its own; afterwards a page is read as before."""
    image = ocr_pages.PAGES["two columns"]()
    good = ocr_pages.png(image)
    grey16 = Image.fromarray(np.array(image.convert("L")).astype("uint16") * 257)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    frames = [image.convert("P"), Image.new("P", image.size)]
    answered = {
        "grayscale": ocr_pages.png(image.convert("L")),
        "alpha": ocr_pages.png(image.convert("RGBA")),
        "16 bit": ocr_pages.png(grey16),
        "JPEG": ocr_pages.png(image, format="JPEG", quality=97),
        "turned by EXIF": ocr_pages.png(image.rotate(90, expand=True), format="JPEG", quality=97, exif=exif),
    }
    wanted = read(service, good)[0]
    for what, data in answered.items():
        assert read(service, data)[0] == wanted, what
    for what, data in {
        "one pixel": ocr_pages.png(Image.new("RGB", (1, 1))),
        "one row": ocr_pages.png(Image.new("RGB", (4000, 1))),
        "one column": ocr_pages.png(Image.new("RGB", (1, 4000))),
        "noise": ocr_pages.png(Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 800, 3), "uint8"))),
    }.items():
        assert not asked(service, data).error, what
    for what, data in {
        "20,000 x 20,000": ocr_pages.png(Image.new("1", (20000, 20000))),
        "cut off PNG": good[: len(good) // 3],
        "no picture": b"\x89PNG\r\n\x1a\n" + b"x" * 100,
        "nothing": b"",
    }.items():
        answer = asked(service, data)
        assert refused(answer), (what, answer)
    # what these are read as is up to OpenCV: its versions differ
    for data in (
        ocr_pages.png(image, format="JPEG")[:3000],
        ocr_pages.png(frames[0], format="GIF", save_all=True, append_images=frames[1:]),
    ):
        answer = asked(service, data)
        assert not answer.error or refused(answer), answer
    assert refused(asked(service, *[good] * 5))
    ocr_pages.equal(*read(service, good), image)


def patient(folder: Path, server: str) -> Path:
    """The service, which waits for longer than a busy machine needs."""
    config = folder / {"paddle-serving": "config.yml", "http": "service.yml"}.get(server, "service.json")
    config.write_text(config.read_text().replace("request_timeout: 60", "request_timeout: 300"))
    return folder


@slow
@pytest.mark.parametrize("server", FORMS)
def test_many_clients_each_get_their_own_answer(server: str, folders: Callable[[str], Path]) -> None:
    """Pages of different sizes at the same time, errors among them: each answer is the one that the page gets alone."""
    folder = patient(folders(server), server)
    form = {"triton": OPEN_INFERENCE}.get(server, KEY_VALUE)  # that of the address that people are told
    names = ("plain", "Chinese", "small letters", "upside down")
    requests: dict[str, dict[str, Any]] = {
        name: {"0": encoded(ocr_pages.png(ocr_pages.PAGES[name]()))} for name in names
    }
    requests["broken"] = {"0": "x"}
    bodies = {name: body(request, form, "ocr") for name, request in requests.items()}
    with api.serve(folder, port=None) as run:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask(body: bytes) -> Any:
            try:
                with opener.open(urllib.request.Request(run.serving.url, body), timeout=300) as reply:
                    return answer(reply.read().decode(), form)
            except (urllib.error.HTTPError, ValueError) as error:
                return str(error)

        alone = {name: ask(body) for name, body in bodies.items()}
        assert [name for name, answer in alone.items() if isinstance(answer, str)] == ["broken"]
        order = [name for name in bodies for _ in range(4)]
        barrier = threading.Barrier(5)

        def together(at: int) -> list[Any]:
            barrier.wait()
            return [ask(bodies[name]) for name in order[at::5]]

        with futures.ThreadPoolExecutor(5) as pool:
            for at, answers in enumerate(pool.map(together, range(5))):
                assert answers == [alone[name] for name in order[at::5]]


@slow
def test_a_stage_whose_process_dies_loses_no_page(folders: Callable[[str], Path]) -> None:
    """In Triton each model has processes of its own: that of the recogniser dies, then one of those that run them all."""
    image = ocr_pages.PAGES["small letters"]()
    sent = body({"0": encoded(ocr_pages.png(image))}, OPEN_INFERENCE, "ocr")
    with api.serve(folders("triton")) as run, futures.ThreadPoolExecutor(4) as pool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask(_: int) -> Any:
            with opener.open(urllib.request.Request(run.serving.url, sent), timeout=300) as reply:
                return answer(reply.read().decode(), OPEN_INFERENCE)

        wanted = ask(0)
        for name in ("rec", "ocr"):
            asked = [pool.submit(ask, i) for i in range(12)]
            futures.wait(asked[:2], return_when=futures.FIRST_COMPLETED)
            victim = stub_of(folders("triton") / "models" / name)
            os.kill(victim, signal.SIGKILL)
            assert all(one.result() == wanted for one in asked)
            deadline = time.monotonic() + 120
            while f"process {victim}, which ran {name}, has ended" not in run.serving.log.read_text(errors="replace"):
                assert time.monotonic() < deadline
                time.sleep(0.2)


@slow
@pytest.mark.parametrize("server", ["http", "paddle-serving"])
def test_a_model_whose_process_is_killed_loses_no_page(server: str, folders: Callable[[str], Path]) -> None:
    """Each model has a process of its own: those of all are killed, one after the other, while pages are read."""
    pictures = [encoded(ocr_pages.png(ocr_pages.PAGES[name]())) for name in ("small letters", "plain")]
    sent = [body({"0": picture}, KEY_VALUE, "ocr") for picture in pictures]
    folder = patient(folders(server), server)
    with api.serve(folder) as run, futures.ThreadPoolExecutor(4) as pool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask(index: int) -> Any:
            with opener.open(urllib.request.Request(run.serving.url, sent[index % 2]), timeout=300) as reply:
                return answer(reply.read().decode(), KEY_VALUE)

        wanted = [ask(0), ask(1)]
        first = min(killed.in_folder(folder))
        processes = killed.children(first)
        assert len(processes) == 3
        for victim in processes:
            asked = [pool.submit(ask, index) for index in range(8)]
            futures.wait(asked[:2], return_when=futures.FIRST_COMPLETED)
            os.kill(victim, signal.SIGKILL)
            assert [one.result() for one in asked] == wanted * 4
        assert len(killed.children(first)) == 3 and not {*killed.children(first)} & {*processes}


def stub_of(model: Path) -> int:
    """A process of Triton's that runs a model of that folder; Triton has a link to the folder."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if any(model.resolve() in Path(os.path.realpath(os.fsdecode(each))).parents for each in arguments[1:]):
                return int(entry.name)
    raise AssertionError(f"nothing runs {model}")


ENGINES = [(server, backend) for server in ("http", "triton") for backend in ("onnxruntime", "paddle")]


@slow
@pytest.mark.parametrize(("server", "backend"), ENGINES)
def test_other_engines_read_the_same(server: str, backend: str, models: list[Path], tmp_path: Path) -> None:
    """Those of services of several models beside OpenVINO; what ONNX Runtime reads is made where the note says."""
    folder = tmp_path / "service"
    if backend == "paddle":
        require({"http": "http-paddle", "triton": "paddle-2.6.2"}[server])
    made = api.scaffold(models, folder, pipeline="ocr", server=server, backend=backend)
    if backend == "onnxruntime":
        with pytest.raises(UsageError, match="model.onnx"):
            api.serve(folder)
        inside, beside = ("models/{0}", "models/{0}") if server == "http" else ("stages/{0}", "models/{0}/1")
        first = f"`mconv to-onnx {inside.format('det')} {beside.format('det')}/model.onnx`"
        assert any(first in note for note in made.notes), made.notes
        for name in ("det", "cls", "rec"):
            api.to_onnx(folder / inside.format(name), folder / beside.format(name) / "model.onnx", verify=False)
    report = api.serve_check(folder)
    assert report.ok, [f for f in report.forms if not f.ok]


@slow
@pytest.mark.parametrize("server", FORMS)
def test_serve_check_knows_it(server: str, folders: Callable[[str], Path]) -> None:
    report = api.serve_check(folders(server))
    assert report.ok and (report.kind, report.server) == ("ocr", server), [f for f in report.forms if not f.ok]
    assert [f.form for f in report.forms][-1] == "bad requests"
