"""``mconv scaffold`` and ``mconv to-serving --pipeline``: their options reach the service, mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.golden import case

CONV = case("2.3.2-conv").model
BERT = case("2.3.2-bert").model


def test_options_reach_the_files(mconv: Run, tmp_path: Path) -> None:
    done = mconv(
        "to-serving", CONV, "-o", tmp_path, "--pipeline", "--service-dir", "svc", "--name", "net", "--rpc-port", "9001",
        "--mean", "0.5,0.4,0.3", "--std", "1", "--channel-order", "bgr", "--image-library", "opencv", "--workers", "9",
        "--log-level", "debug", "--device-type", "1", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    service = json.loads(done.stdout)["service"]
    assert (service["kind"], service["name"], service["rpc_port"], service["notes"]) == ("image", "net", 9001, [])
    module = (tmp_path / "svc" / "image_input.py").read_text()
    assert "MEAN = [0.5, 0.4, 0.3]\nSTD = [1.0, 1.0, 1.0]\n" in module and 'CHANNELS = "bgr"' in module
    config = (tmp_path / "svc" / "config.yml").read_text()
    assert "worker_num: 9\n" in config and 'devices: "0"\n' in config
    assert 'LOG_LEVEL = "DEBUG"' in (tmp_path / "svc" / "web_service.py").read_text()
    again = mconv("scaffold", tmp_path / "serving_server", "--service", "tensor")
    assert again.returncode == 0 and "a service of kind tensor" in again.stdout
    assert (tmp_path / "service" / "tensor_input.py").is_file()


def test_what_is_assumed_is_said(mconv: Run, tmp_path: Path) -> None:
    done = mconv("to-serving", CONV, "-o", tmp_path, "--pipeline")
    assert "assumed to be ImageNet's" in done.stderr and "http://127.0.0.1:18082/model/prediction" in done.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["to-serving", BERT, "--name", "x"], "add --pipeline"),
        (["to-serving", BERT, "--pipeline", "--show"], "--show writes nothing"),
        (["to-serving", BERT, "--pipeline", "--engine", "paddle-serving-client"], "makes no service"),
        (["to-serving", BERT, "--pipeline", "--service", "text"], "--tokenizer FILE"),
        (["to-serving", BERT, "--pipeline", "--text-input", "ids"], "not of the form NAME=ROLE"),
        (["to-serving", CONV, "--pipeline", "--mean", "a,b"], "no list of numbers"),
        (["to-serving", CONV, "--pipeline", "--tokenizer", "gone"], "gone: no such file"),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_mistakes(mconv: Run, tmp_path: Path, args: list, message: str) -> None:
    done = mconv(*args, "-o", tmp_path / "out")
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
