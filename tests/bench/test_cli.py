"""``mconv bench`` as a command: exit codes, tables of 80 columns, files, and what does not fit together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.models import linear
from tests.bench.servers import every_form, failing, server
from tests.bench.test_service import FIRST, PADDLE, WRONG


def mconv(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mconv", "bench", *map(str, arguments)]
    env = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(
    ("every", "limits", "code", "said"),
    [
        (0, [], 0, ""),
        (0, ["--max-p99", "0.001"], 16, "p99 is"),
        (0, ["--min-tps", "1e9"], 16, "are fewer than 1e+09"),
        (5, ["--max-p99", "0.001"], 10, "4 of 20 answers are wrong: y: 1 of 1 elements differ"),
    ],
)
def test_a_service(every: int, limits: list[str], code: int, said: str, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    answer = failing(every, 200, WRONG, FIRST) if every else every_form
    with server(answer) as made:
        address = f"one={made.url(PADDLE)}"
        options = ["--send", "texts", "--threads", 4, "--loops", 5, "--warmup", 1, "--junit", "j.xml"]
        done = mconv(address, *options, *limits, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert "5 texts; 4 threads × 5 requests" in done.stdout and "TPS" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if ": wrong:" not in line) <= 80
    assert ("<failure" in (tmp_path / "j.xml").read_text()) is bool(code)


@pytest.mark.long
def test_models_with_all_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    linear(tmp_path / "x.onnx")
    linear(tmp_path / "wrong.onnx", weight=2)
    options = ["--loops", 4, "--rounds", 2, "--html", "p.html", "--plot", "f.svg", "--summary", "s.md"]
    done = mconv("x.onnx", "wrong.onnx", *options, cwd=tmp_path)
    assert done.returncode == 10 and "wrong.onnx: a wrong answer" in done.stderr
    assert "A: x.onnx" in done.stdout and "B ONNX Runtime" in done.stdout and "wrong" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines() if ": output" not in line) <= 80
    assert all((tmp_path / name).stat().st_size > 500 for name in ("p.html", "f.svg", "s.md"))
    done = mconv("x.onnx", "--loops", 2, "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["contenders"][0]["sizes"][0]["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["x.onnx", "http://127.0.0.1:1/m/prediction"], 2, "x.onnx is taken for a model, http://127.0.0.1:1/m/pre"),
        (["x.onnx", "--texts", "t.txt", "--allow-remote"], 2, "--texts and --allow-remote: for services"),
        (["http://127.0.0.1:1/m/prediction", "--send", "texts", "--runtime", "current"], 2, "--runtime: for models"),
        (["http://127.0.0.1:1/m/prediction", "--send", "texts"], 9, "cannot be reached: Connection refused"),
        (["http://127.0.0.1:1/m/prediction", "--send", "texts", "--max-p99", "0"], 2, "--max-p99 0: must be above 0"),
        (["http://127.0.0.1:1/m/prediction", "--texts", "t", "--inputs", "x"], 2, "--texts and --inputs: only one"),
        (["http://127.0.0.1:1/m/prediction", "--texts", "t", "--send", "images"], 2, "say that texts are sent"),
        (["x.onnx", "--inputs", "x.npz", "--shape", "x[1,3]"], 2, "--shape: sizes of made-up inputs"),
        (["http://192.0.2.1:1/m/prediction", "--send", "texts"], 2, "is another machine"),
        (["nothing.onnx"], 3, "nothing.onnx"),
        (["x.onnx", "--plot", "x.gif"], 2, ".svg or .png"),
        (["x.onnx", "--loops", "0"], 2, "at least 1"),
    ],
)
def test_what_does_not_fit_together(arguments: list[str], code: int, said: str, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    linear(tmp_path / "x.onnx")
    done = mconv(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert any(part in done.stderr for part in said.split("|")) and "Traceback" not in done.stderr
    assert done.stdout == "" and sorted(p.name for p in tmp_path.iterdir()) == ["x.onnx"]


@pytest.mark.parametrize("source", ["ftp://a/b", "s3://bucket/m.onnx", "one=ws://127.0.0.1:1/x"])
def test_an_address_of_no_service(source: str, tmp_path: Path) -> None:
    done = mconv(source, cwd=tmp_path)
    assert done.returncode == 2 and f"{source}: services are asked at http://, https://, grpc://" in done.stderr
