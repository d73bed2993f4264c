"""Which service belongs to a model, the copy that is run, and serve-check on generated services."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from mconv import api
from mconv.api import serve_check
from mconv.errors import NotAModelError, RuntimeFailedError, UsageError
from mconv.proof import service as services
from mconv.serving import servers
from tests.golden import case


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an MLP's serving_server/, serving_client/ and service/."""
    folder = tmp_path_factory.mktemp("made") / "mlp"
    api.to_serving(case("2.3.2-mlp").model, out=folder, pipeline={"name": "mlp", "rpc_port": 9998})
    return folder


def test_the_service_is_found_from_everywhere(made: Path) -> None:
    for path in (made, made / "serving_server", made / "service"):
        server, found = services.resolve(path)
        assert found is not None and server.resolve() == found.server == (made / "serving_server").resolve()
        assert (found.kind, found.name, found.rpc_port, found.http_port, found.ir_optim, found.module) == (
            "tensor", "mlp", 9998, 18082, True, "tensor_input",
        )  # fmt: skip


def test_without_a_service_there_is_none(tmp_path: Path) -> None:
    shutil.copytree(case("2.3.2-mlp").server, tmp_path / "serving_server")
    assert services.resolve(tmp_path / "serving_server") == (tmp_path / "serving_server", None)
    assert services.resolve(tmp_path) == (tmp_path / "serving_server", None)


def test_a_service_of_another_model_is_not_taken(made: Path, tmp_path: Path) -> None:
    shutil.copytree(case("2.3.2-bert").server, tmp_path / "serving_server")
    shutil.copytree(made / "service", tmp_path / "service")
    config = tmp_path / "service" / "config.yml"
    config.write_text(config.read_text().replace("../serving_server", str(made / "serving_server")))
    assert services.resolve(tmp_path / "serving_server")[1] is None
    with pytest.raises(UsageError, match="serves .*, not"):
        services.resolve(tmp_path / "serving_server", tmp_path / "service")
    server, found = services.resolve(made / "serving_server", tmp_path / "service")
    assert found is not None and found.folder == tmp_path / "service"


def test_several_services_have_to_be_told_apart(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "two")
    shutil.copytree(made / "service", tmp_path / "two" / "another")
    for path in (tmp_path / "two", tmp_path / "two" / "serving_server"):
        with pytest.raises(UsageError, match="several services"):
            services.resolve(path)
    _, found = services.resolve(tmp_path / "two" / "serving_server", tmp_path / "two" / "another")
    assert found is not None and found.folder.name == "another"


@pytest.mark.parametrize("content", ["", "[", "op: {}", "op: {a: 1, b: 2}", "rpc_port: x", "op: {a: null}"])
def test_a_damaged_configuration_is_named(made: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(made, tmp_path / "x")
    (tmp_path / "x" / "service" / "config.yml").write_text(content)
    with pytest.raises(NotAModelError, match="config.yml: not the configuration of one service"):
        services.resolve(tmp_path / "x")


def test_what_is_no_service(made: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="no service that mconv has written"):
        services.resolve(made / "serving_server", tmp_path)
    with pytest.raises(NotAModelError, match="not a serving_server folder"):
        services.resolve(tmp_path)


@pytest.mark.parametrize("depth", ["service", "a/b/service"])
def test_the_copy_is_unchanged_and_finds_its_model(made: Path, tmp_path: Path, depth: str) -> None:
    shutil.copytree(made / "serving_server", tmp_path / "here" / "serving_server")
    api.scaffold(tmp_path / "here" / "serving_server", tmp_path / "here" / depth)
    found = services.read(tmp_path / "here" / depth)
    assert found is not None
    copied = services.copy(found, tmp_path / "scratch")
    for name in ("config.yml", "web_service.py", "tensor_input.py"):
        assert (copied / name).read_bytes() == (found.folder / name).read_bytes()
    assert (copied / found.model / "serving_server_conf.prototxt").is_file()
    servers.of(found).move(replace(found, folder=copied), servers.Binding("127.0.0.1", 2222, 1111, 3333))
    config = yaml.safe_load((copied / "config.yml").read_text())
    assert (config["rpc_port"], config["http_port"], config["health_port"]) == (1111, 2222, 3333)


def test_requests_of_another_kind_are_refused(made: Path, tmp_path: Path) -> None:
    for option in ({"texts": "x.txt"}, {"images": ["x.png"]}):
        with pytest.raises(UsageError, match="for services of kind .*; this one is of kind tensor"):
            serve_check(made, **option)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--keep"):
        serve_check(made, keep=tmp_path / "kept", service=made / "service")


def test_texts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "texts"
    path.write_text("one\n\ntwo 一\n", encoding="utf-8")
    assert services.text_requests(path) == [{"0": "one"}, {"0": "two 一"}]
    path.write_text("\n")
    for missing in (path, tmp_path / "gone"):
        with pytest.raises(UsageError, match="--texts"):
            services.text_requests(missing)
    with pytest.raises(UsageError, match="--image"):
        services.image_requests([tmp_path / "gone"])


def test_requests_for_a_model_of_fixed_batch() -> None:
    requests = [{"0": "a"}, {"0": "b", "1": "c"}]
    assert services.of_batch(requests, None) == requests
    assert services.of_batch(requests, 1) == [{"0": "a"}, {"0": "b"}, {"0": "c"}]
    assert services.of_batch(requests, 2) == [{"0": "a", "1": "b"}, {"0": "c", "1": "a"}]


@pytest.mark.runtime
def test_serve_check_tests_the_generated_service(made: Path) -> None:
    inputs = case("2.3.2-mlp").folder / "io.npz"
    report = serve_check(made / "serving_server", inputs=inputs)
    assert report.ok and (report.kind, report.service) == ("tensor", made / "service")
    assert [f.form for f in report.forms] == [
        "http key/value", "http tensors", "rpc strings", "rpc tensors", "rpc bytes", "http_client.py", "rpc_client.py",
        "bad requests",
    ]  # fmt: skip
    assert report.inputs == [{n: list(a.shape) for n, a in case("2.3.2-mlp").inputs.items()}]
    # nothing of it is left in the user's folder
    assert not [p for p in (made / "service").iterdir() if p.is_dir() or p.suffix in (".log", ".json")]


@pytest.mark.runtime
def test_a_service_that_ends_is_an_error_with_its_reason(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "x")
    path = tmp_path / "x" / "service" / "web_service.py"
    path.write_text(path.read_text().replace("self.inputs = Inputs()", "raise OSError('the Error of the day')"))
    with pytest.raises(RuntimeFailedError, match="ended with status 1 before it was ready: .*the Error of the day"):
        serve_check(tmp_path / "x")


@pytest.mark.runtime
@pytest.mark.slow
def test_a_service_that_users_have_spoiled_is_found_out(made: Path, tmp_path: Path) -> None:
    """One that answers something else, and one that takes what it should not."""
    shutil.copytree(made, tmp_path / "x")
    path = tmp_path / "x" / "service" / "web_service.py"
    good = path.read_text()
    path.write_text(good.replace("(plain(array))", "(plain(array * 2))"))
    report = serve_check(tmp_path / "x", namespace=False)
    assert report.isolated and not any(f.ok for f in report.forms if f.form != "bad requests")
    path.write_text(
        good.replace(
            "return None, False, 400, str(error)", "return [{'x': __import__('numpy').ones((1, 8))}], False, None, ''"
        )
    )
    report = serve_check(tmp_path / "x")
    (bad,) = [f for f in report.forms if not f.ok]
    assert bad.form == "bad requests" and "is answered as if it were a request" in bad.reason
    assert np.isfinite(report.ready_seconds)
