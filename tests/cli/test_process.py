"""The command as a process: its streams closed, full or of another encoding, and the signals that stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.golden import case
from tests.onnx.make import mlp

MCONV = [sys.executable, "-m", "mconv"]
INSPECT = ["inspect", str(case("2.3.2-mlp").model)]


def shell(line: str, folder: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which ``$M`` is the command."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder, env={**os.environ, "M": " ".join(MCONV), **env}, capture_output=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["--help", "--version", " ".join(INSPECT), " ".join([*INSPECT, "--json"])])
@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">/dev/full", 6, b"error: stdout: cannot be written (No space left on device)\n"),
        (">&-", 6, b"error: stdout: cannot be written (Bad file descriptor)\n"),
        ("| head -0", 141, b""),
        (">/dev/full 2>/dev/full", 6, b""),
        (">/dev/null 2>&-", 0, b""),
    ],
)
def test_streams_that_take_nothing(command: str, redirection: str, code: int, said: bytes, tmp_path: Path) -> None:
    done = shell(f"$M {command} {redirection}", tmp_path)
    if code == 141 and done.returncode == 0:
        return  # it was done before the reader had gone
    assert (done.returncode, done.stderr) == (code, said)


def test_a_file_never_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    done = shell(f"$M to-serving {INSPECT[1]} -o out --quiet 0<&- 1>&- 2>&-", tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "out/serving_server/inference.pdmodel").read_bytes()[:1] == b"\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_lacks_characters(encoding: str, tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx", x="输入😀é")
    done = shell("$M --help && $M inspect m.onnx", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert b"\\u8f93\\u5165\\U0001f600" in done.stdout
    done = shell("$M inspect m.onnx --json", tmp_path, PYTHONIOENCODING=encoding)
    import json

    assert json.loads(done.stdout)["inputs"][0]["name"] == "输入😀é"


@pytest.mark.parametrize(
    "command",
    ["inspect {long}", "onnx2paddle {long} out", "to-serving loop -o out", "inspect locked/m", "run {long}", "check {long}",
     "onnx2paddle m.onnx {long}", "onnx2paddle loop out", "onnx2paddle m.onnx loop/out", "run loop", "check loop",
     "init {long}", "scaffold {long}", "downgrade {long} out", "convert {long} out", "verify {long} {long}",
     "onnx2paddle m.onnx out --no-verify --plugin {long}", "scaffold loop -o loop", "to-onnx {long} x.onnx"],
)  # fmt: skip
def test_paths_that_the_system_refuses(command: str, tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "locked").mkdir(mode=0o000)
    done = subprocess.run(
        [*MCONV, *command.format(long="x" * 300).split()], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    (tmp_path / "locked").chmod(0o755)
    assert 2 <= done.returncode <= 6, done.stderr
    assert done.stderr.startswith("error: ") and len(done.stderr) < 2000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["locked", "loop", "m.onnx"]


def test_a_limit_of_file_sizes(tmp_path: Path) -> None:
    done = shell(f"ulimit -f 4; $M to-serving {case('2.3.2-bert').model} -o out", tmp_path)
    assert (done.returncode, done.stdout) == (6, b"")
    assert done.stderr.decode().rstrip().endswith("cannot be written (File too large)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["/dev/stdout", "/dev/null", "/dev/fd/1", "/proc/self/fd/1", "pipe", "/dev/mconv-out"])
def test_an_output_that_is_no_folder(out: str, tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    os.mkfifo(tmp_path / "pipe")
    for force in ("", "--force"):
        done = shell(f"$M onnx2paddle m.onnx {out} --no-verify {force} | cat", tmp_path)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"name a new folder" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "pipe"]


# signals ------------------------------------------------------------------------------------------------------------

SLOW = """
import signal, sys, time
from mconv.program import output
from mconv.cli import process
class Slow(output._Stage):
    def commit(self, force):
        print("writing", flush=True)
        time.sleep(20)
output._Stage = Slow
process.start()
"""


@pytest.mark.parametrize(("number", "word"), [(2, "interrupted"), (15, "terminated"), (1, "hung up")])
def test_a_signal_leaves_nothing_behind(number: int, word: str, tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    (tmp_path / "slow.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "slow.py", "onnx2paddle", "m.onnx", "out/inner", "--no-verify", "--quiet"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)  # a second one does not break the cleaning off
    _, stderr = process.communicate(timeout=30)
    if number != signal.SIGINT:
        assert (process.returncode, stderr.decode()) == (128 + number, f"error: {word}\n")
    assert process.returncode in (130, 143, 129)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "slow.py"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_time(number: signal.Signals, tmp_path: Path) -> None:
    """From the first instruction of mconv's own on; what the interpreter does before is not its own."""
    mlp(tmp_path / "m.onnx")
    starter = "import sys, mconv.cli.process as p; p.end_at_once(); print(flush=True); p.start()"
    for i in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", starter, "onnx2paddle", "m.onnx", "out", "--no-verify", "--force"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.03 * i)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
        assert process.returncode in (0, 128 + number), stderr
        assert b"Traceback" not in stderr and b"ignored" not in stderr
        assert {p.name for p in tmp_path.iterdir()} <= {"m.onnx", "out"}
        if process.returncode and not (tmp_path / "out").exists():
            assert stderr.startswith(b"error: ")


def test_nohup_is_respected(tmp_path: Path) -> None:
    done = shell(f"trap '' HUP; {sys.executable} -c '{_HANGS_UP}' {' '.join(INSPECT)}", tmp_path)
    assert done.returncode == 0, done.stderr


_HANGS_UP = "import os, signal, mconv.cli.process as p; os.kill(os.getpid(), signal.SIGHUP); p.start()"


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    code = "import os, sys; os.mkdir(sys.argv[1]); os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]);"
    code += "from mconv.cli.main import run; sys.exit(run(['onnx2paddle', '/m.onnx', '/out']))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "gone")], capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr.startswith("error: the current folder does not exist any more")
