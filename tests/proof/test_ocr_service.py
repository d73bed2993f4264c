"""The real pipeline on a service of several models: ten pages over HTTP and RPC, many at a time, what is broken or huge."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mconv import api
from mconv.proof import ocr_check
from mconv.proof.pipeline import Pipeline
from mconv.proof.service import as_bytes
from mconv.runtimes.ports import free_ports
from tests.proof.services import post, running
from tests.serving import ocr_pages

pytestmark = [pytest.mark.slow, pytest.mark.runtime]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = ocr_pages.models(tmp_path_factory.mktemp("models"))
    http_port, rpc_port, health_port = free_ports(3)
    ports: dict[str, Any] = {"http_port": http_port, "rpc_port": rpc_port, "health_port": health_port}
    return api.scaffold(
        list(models.values()), tmp_path_factory.mktemp("ocr") / "service", pipeline="ocr", **ports
    ).folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Pipeline]:
    with running(folder) as pipeline:
        yield pipeline


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read(service: Pipeline, data: bytes) -> tuple[list[str], Any, list[float]]:
    answer = post(service, ["0"], [encoded(data)])
    assert answer["err_no"] == 0, answer["err_msg"]
    values = dict(zip(answer["key"], answer["value"]))
    texts, boxes, scores = (json.loads(values[key])[0] for key in ocr_check.OUTPUTS)
    return texts, boxes, scores


@pytest.mark.parametrize("page", ocr_pages.PAGES)
def test_pages_over_http(page: str, service: Pipeline) -> None:
    image = ocr_pages.PAGES[page]()
    ocr_pages.equal(*read(service, ocr_pages.png(image)), image)


@pytest.mark.parametrize("form", ["rpc strings", "rpc tensors", "rpc bytes"])
def test_pages_over_rpc(form: str, service: Pipeline) -> None:
    image = ocr_pages.PAGES["slanted"]()
    request: Any = {"0": encoded(ocr_pages.png(image))}
    answer = service.ask(form, request if form == "rpc strings" else as_bytes(request))
    assert not answer.error
    values = {**answer.others, **answer.values}
    ocr_pages.equal(*(values[key][0] for key in ocr_check.OUTPUTS), image)


def test_empty_pages(service: Pipeline) -> None:
    for image in ocr_pages.EMPTY:
        assert read(service, ocr_pages.png(image)) == ([], [], [])


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
        assert post(service, ["0"], [encoded(data)])["err_no"] == 0, what
    for what, data in {
        "20,000 x 20,000": ocr_pages.png(Image.new("1", (20000, 20000))),
        "cut off PNG": good[: len(good) // 3],
        "no picture": b"\x89PNG\r\n\x1a\n" + b"x" * 100,
        "nothing": b"",
    }.items():
        answer = post(service, ["0"], [encoded(data)])
        assert answer["err_no"] == 400 and answer["err_msg"], what
    # what these are read as is up to OpenCV: its versions differ
    for data in (
        ocr_pages.png(image, format="JPEG")[:3000],
        ocr_pages.png(frames[0], format="GIF", save_all=True, append_images=frames[1:]),
    ):
        assert post(service, ["0"], [encoded(data)])["err_no"] in (0, 400)
    assert post(service, [str(i) for i in range(5)], [encoded(good)] * 5)["err_no"] == 400
    ocr_pages.equal(*read(service, good), image)


def test_many_clients_each_get_their_own_answer(folder: Path) -> None:
    """Pages of different sizes at the same time, errors among them: each answer is the one that the page gets alone."""
    config = folder / "config.yml"
    config.write_text(config.read_text().replace("request_timeout: 60", "request_timeout: 300"))
    pages = {
        name: ocr_pages.png(ocr_pages.PAGES[name]()) for name in ("plain", "Chinese", "small letters", "upside down")
    }
    bodies: dict[str, bytes] = {
        name: json.dumps({"key": ["0"], "value": [encoded(data)]}).encode() for name, data in pages.items()
    }
    bodies["broken"] = json.dumps({"key": ["0"], "value": ["x"]}).encode()
    with api.serve(folder, port=None) as run:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def ask(body: bytes) -> dict[str, Any]:
            with opener.open(urllib.request.Request(run.serving.url, body), timeout=300) as reply:
                found: dict[str, Any] = json.loads(reply.read())
                return found

        alone = {name: ask(body) for name, body in bodies.items()}
        assert [name for name, answer in alone.items() if answer["err_no"]] == ["broken"]
        names = [name for name in bodies for _ in range(4)]
        barrier = threading.Barrier(5)

        def together(at: int) -> list[dict[str, Any]]:
            barrier.wait()
            return [ask(bodies[name]) for name in names[at::5]]

        with futures.ThreadPoolExecutor(5) as pool:
            for at, answers in enumerate(pool.map(together, range(5))):
                assert answers == [alone[name] for name in names[at::5]]


def test_serve_check_knows_it(folder: Path) -> None:
    report = api.serve_check(folder)
    assert report.ok and report.kind == "ocr", [f for f in report.forms if not f.ok]
    assert [f.form for f in report.forms][-1] == "bad requests"
