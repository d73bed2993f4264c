"""Settings of generated services that are wrong, in their real servers: the service ends at its start with status 2, and says in
one line which setting it is, what it is, and what it may be.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mconv import api
from mconv.serving import servers
from tests.golden import case
from tests.managed import require

pytestmark = pytest.mark.runtime
DRIVER = Path(__file__).with_name("settings_driver.py")
# server → what starts a service of it, and the file of its settings
FILES = {
    "paddle-serving": ("web_service.py", "config.yml"),
    "http": ("service.py", "service.yml"),
    "triton": ("start.py", "service.json"),
}
# what is no number; as a text of the environment, and in a file
NO_TEXTS = ("x", "1,5", "0x10", "nan", "inf", "-inf", "1e400", "9" * 5000, "true", " ", "\N{DEVANAGARI DIGIT ONE}x")
NO_VALUES = ("x", "", float("nan"), float("inf"), 10**30, "9" * 5000, True, None, [1], {"a": 1})
PORT, NO_HOST = ("-1", "65536", "1.5", *NO_TEXTS), ("no such host.", "999.1.1.1", "a b", "x" * 300)
ENVIRONMENT: dict[str, dict[str, tuple[str, ...]]] = {
    "paddle-serving": {
        **dict.fromkeys(("HTTP_PORT", "RPC_PORT"), ("0", *PORT)), "HEALTH_PORT": PORT, "LOG_LEVEL": ("loud", "10"),
        "LOG_FILE": ("/proc/x/y", "/proc/x"),
    },
    "http": {"HTTP_PORT": ("0", *PORT), "LOG_LEVEL": ("loud", "-1")},
    "triton": {
        "HTTP_PORT": ("0", *PORT), "GRPC_PORT": PORT, "METRICS_PORT": PORT, "DRAIN_TIMEOUT": ("-1", *NO_TEXTS),
        "LONGEST_INFERENCE": ("0", "-1", *NO_TEXTS), "MODEL_PYTHON": ("/nowhere/python", "/bin/false", "/bin/true"),
        "ADMIN_KEY": ("a b", "\N{CYRILLIC SMALL LETTER KA}", "a,b", "a\nb"),
    },
}  # fmt: skip
OP, MODEL = "op.model.", "op.model.local_service_conf."
WHOLE, TIME = (-2, 0, 1.5, *NO_VALUES), (-1, 0, *NO_VALUES)
PAUSE = (-1, *NO_VALUES)
NEEDED = ("rpc_port", "local_service_conf", "model", "op")
SETTINGS: dict[str, dict[str, tuple[Any, ...]]] = {
    "paddle-serving": {
        "rpc_port": (80, *WHOLE), "http_port": (80, *WHOLE), "health_port": (-1, *NO_VALUES), "request_timeout": TIME, "drain_timeout": PAUSE,
        "worker_num": WHOLE, "host": (1, "no such host."), OP + "concurrency": WHOLE, OP + "batch_size": WHOLE, OP + "timeout": (1.5, "x"),
        OP + "auto_batching_timeout": (-2, "x"), MODEL + "thread_num": WHOLE, MODEL + "device_type": (5, "gpu"), MODEL + "use_mkldnn": ("yes", 1),
        MODEL + "mkldnn_cache_capacity": (-1, "x"), MODEL[:-1]: (None, 1, []), OP[:-1]: (None, 1, []), "op": (None, 1, [], {"other": {}}), "dag": (1, []),
    },
    "http": {
        "http_port": WHOLE, "concurrency": (-1, 1000, *NO_VALUES), "threads": (-1, 10**6, *NO_VALUES), "batch_size": WHOLE, "length_step": WHOLE,
        "max_waiting": WHOLE, "max_body": TIME, "request_timeout": TIME, "drain_timeout": PAUSE, "linger": PAUSE,
        "host": (1, None, *NO_HOST), "name": (1, None, "a/b", "", "\N{LATIN SMALL LETTER A WITH DIAERESIS}"),
    },
    "triton": {
        "http_port": WHOLE, "grpc_port": (-1, *NO_VALUES), "metrics_port": (-1, *NO_VALUES), "drain_timeout": PAUSE, "longest_inference": TIME,
    },
}  # fmt: skip
TEXTS = ("", "[1]", "text", "{", "a: [", "\x00", "a: 2021-99-99")


def refused(server: str, folder: Path, cases: list[tuple[str, str, Any]]) -> list[str]:
    """What a service says, in one line, which does not start with a setting."""
    where, (script, path) = require(servers.named(server).runtime), FILES[server]
    done = subprocess.run(
        [str(where.python), str(DRIVER)],
        cwd=folder,
        env=where.environ(),
        input=json.dumps([script, path, cases]),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = []
    for each, (status, said) in zip(cases, json.loads(done.stdout)):
        found = [line for line in said.splitlines() if line.startswith("error: ")]
        assert status == 2 and len(found) == 1 and "Traceback" not in said, (each, status, said[-1500:])
        assert len(found[0]) < 500, each
        lines.append(found[0])
    return lines


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder of a service."""
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path, pipeline={"server": request.param})
    return tmp_path / "service"


def each_server(name: str = "server") -> Any:
    return pytest.mark.parametrize(("made", name), [(server, server) for server in FILES], indirect=["made"], ids=FILES)


@each_server()
def test_what_the_environment_says_wrongly(made: Path, server: str) -> None:
    settings = {**ENVIRONMENT[server], "HOST": NO_HOST, "STALLED": ("0", "-1", "1e9", *NO_TEXTS)}
    cases = [("environment", name, value) for name, values in settings.items() for value in values]
    for (_, name, _), line in zip(cases, refused(server, made, cases)):
        assert f"SERVICE_{name}" in line, line


@each_server()
def test_what_the_file_of_settings_says_wrongly(made: Path, server: str) -> None:
    cases = [("setting", name, value) for name, values in SETTINGS[server].items() for value in values]
    if server == "paddle-serving":  # null is what the pipeline takes for not set
        cases = [each for each in cases if each[2] is not None or each[1].rpartition(".")[2] in NEEDED]
    for (_, name, _), line in zip(cases, refused(server, made, cases)):
        assert FILES[server][1] in line and name.rpartition(".")[2] in line, (name, line)


@each_server()
def test_a_file_of_settings_that_is_none(made: Path, server: str) -> None:
    cases = [("text", "", text) for text in TEXTS]
    for line in refused(server, made, cases):
        assert FILES[server][1] in line, line
