"""The command as a process: its streams closed, full or of another encoding, and the signals that stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
        cwd=folder, env={**os.environ, "M": " ".join(MCONV), **env}, capture_output=True, timeout=240,
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
        [*MCONV, *command.format(long="x" * 300).split()], cwd=tmp_path, capture_output=True, text=True, timeout=240
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


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("runtime list", 0, ""),
        ("onnx2paddle m.onnx out --runtime paddle-2.3.2", 8, "paddle-2.3.2 is not installed"),
        ("runtime install paddle-2.3.2", 8, "cannot be used (Not a directory)\nhint: set MCONV_CACHE to a folder of yours"),
    ],
)  # fmt: skip
def test_a_cache_folder_that_is_none(command: str, code: int, said: str, tmp_path: Path) -> None:
    mlp(tmp_path / "m.onnx")
    done = shell(f"unset MCONV_CACHE; $M {command}", tmp_path, XDG_CACHE_HOME="/dev/null")
    assert done.returncode == code and said in done.stderr.decode(), done.stderr


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="Linux")
@pytest.mark.parametrize("command", ["inspect F", "to-serving F -o out", "torch2paddle F out", "verify F F", "init F"])
def test_what_the_system_cannot_read_is_the_input(command: str, tmp_path: Path) -> None:
    done = shell(f"$M {command.replace('F', '/proc/self/mem')}", tmp_path)
    assert (done.returncode, done.stderr) == (3, b"error: /proc/self/mem: cannot be read (Input/output error)\n")


# signals ------------------------------------------------------------------------------------------------------------

SLOW = """
import signal, sys, time
from mconv.artifacts import output, stage
from mconv.cli import entry
class Slow(stage.Stage):
    def commit(self, force):
        print("writing", flush=True)
        time.sleep(20)
output.Stage = Slow
entry.start()
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
    _, stderr = process.communicate(timeout=120)
    if number != signal.SIGINT:
        assert (process.returncode, stderr.decode()) == (128 + number, f"error: {word}\n")
    assert process.returncode in (130, 143, 129)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "slow.py"]


# sends itself the signal of argv[1] at the event of number argv[2] that Python audits (imports, files, processes, …)
AT_EVENT = """
import os, sys
number, left = int(sys.argv[1]), int(sys.argv[2])
seen = 0
def count(event, arguments):
    global seen
    seen += 1
    if seen == left:
        os.kill(os.getpid(), number)
from mconv.cli import entry, signals
sys.argv[1:] = sys.argv[3:]
signals.end_at_once()
sys.addaudithook(count)
try:
    entry.start()
finally:
    print(seen)
"""


def _stopped_at(event: int, number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["onnx2paddle", "m.onnx", "out", "--no-verify", "--force", "--quiet"]
    return subprocess.run(
        [sys.executable, "-c", AT_EVENT, str(number), str(event), *command],
        cwd=folder, capture_output=True, text=True, timeout=240,
    )  # fmt: skip


def test_a_signal_at_any_time(tmp_path: Path) -> None:
    """From the first instruction of mconv's own on to its last; what the interpreter does around is not its own."""
    mlp(tmp_path / "m.onnx")
    done = _stopped_at(0, signal.SIGINT, tmp_path)
    assert done.returncode == 0, done.stderr
    events = int(done.stdout)
    assert events > 500
    for i, number in enumerate([signal.SIGINT, signal.SIGTERM, signal.SIGHUP] * 3):
        done = _stopped_at(1 + events * i // 9, number, tmp_path)
        # (the answer to a signal in the middle of the conversion's end can come too late)
        assert done.returncode == 128 + number or (done.returncode == 0 and i > 7), (i, done.stderr)
        assert "Traceback" not in done.stderr and "ignored" not in done.stderr
        assert {p.name for p in tmp_path.iterdir()} <= {"m.onnx", "out"}
        if done.returncode:
            assert done.stderr.startswith("error: "), done.stderr


def test_nothing_is_imported_before_signals_are_handled() -> None:
    """What Python does by itself is a traceback: so there is to be next to nothing before."""
    code = "import sys; before = set(sys.modules); import mconv.cli.entry; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "__future__",
        "mconv",
        "mconv.cli",
        "mconv.cli.entry",
        "mconv.cli.signals",
        "mconv.version",
    ]


def test_nohup_is_respected(tmp_path: Path) -> None:
    done = shell(f"trap '' HUP; {sys.executable} -c '{_HANGS_UP}' {' '.join(INSPECT)}", tmp_path)
    assert done.returncode == 0, done.stderr


_HANGS_UP = "import os, signal, mconv.cli.entry as p; os.kill(os.getpid(), signal.SIGHUP); p.start()"


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    code = "import os, sys; os.mkdir(sys.argv[1]); os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]);"
    code += "from mconv.cli.main import run; sys.exit(run(['onnx2paddle', '/m.onnx', '/out']))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "gone")], capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr.startswith("error: the current folder does not exist any more")


def test_what_is_imported_is_not_looked_through_again_and_again() -> None:
    """Neither while the command works nor at its end; what is to be done there is done."""
    code = (
        "import atexit, gc, sys; sys.argv = ['mconv', '--version'];"
        "atexit.register(lambda: print(gc.get_threshold()[0] >= 10_000, gc.get_freeze_count() > 1000));"
        "from mconv.cli.entry import start; start()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["True True"])
