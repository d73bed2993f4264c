"""What all subcommands share: help, exit codes, one-line errors, JSON, interrupts, pipes."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mconv.cli import failing
from mconv.cli import main as frame
from mconv.errors import MconvError, OutputExistsError, UnsupportedError, VerificationError
from mconv.printable import plain
from tests import newer
from tests.cli.conftest import Run
from tests.golden import case

HEAVY = {
    "numpy", "onnx", "google.protobuf", "rich", "typer", "click", "yaml",
    "paddle", "torch", "onnxruntime", "x2paddle", "paddle2onnx",
}  # fmt: skip
MLP = case("2.3.2-mlp").model


def test_help_lists_the_commands_in_groups(mconv: Run) -> None:
    done = mconv("--help")
    assert done.returncode == 0 and done.stderr == ""
    listed = [line.split()[0] for line in done.stdout.splitlines() if re.match("  [a-z]", line)]
    wanted = [name for commands in frame.COMMANDS.values() for name in commands if frame.available(name)]
    assert listed == wanted and {"to-serving", "inspect"} <= set(listed)
    assert [line for line in done.stdout.splitlines() if line in ("Convert:", "Serve:", "Look:")]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_help_fits_the_terminal(width: int) -> None:
    lines = frame.help_text(width).splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == " ".join(frame.help_text(1000).split())


@pytest.mark.parametrize("command", ["inspect", "verify", "runtime install"])
@pytest.mark.parametrize("width", [40, 80])
def test_help_of_a_command_fits_the_terminal(command: str, width: int, mconv: Run) -> None:
    done = mconv(*command.split(), "--help", COLUMNS=str(width))
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and all(len(line) <= width or len(line.split()) < 3 for line in lines)


def test_help_is_cheap() -> None:
    """Under 0.2 s of CPU time, children of the interpreter included; the best of three, machines being what they are."""
    best = 9.0
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "mconv", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert best < 0.2


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from mconv.cli import main; main.run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("name", [n for commands in frame.COMMANDS.values() for n in commands if frame.available(n)])
def test_every_command_has_help_and_the_global_options(name: str, mconv: Run) -> None:
    done = mconv(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: mconv {name}" in done.stdout
    module = __import__(frame.module_of(name), fromlist=["x"])
    if hasattr(module, "command"):
        for option in ("--json", "--verbose", "--quiet", "--debug"):
            assert option in done.stdout


def test_every_command_module_is_in_the_table() -> None:
    folder = Path(frame.__file__).parent
    modules = {p.stem for p in folder.glob("*.py")} - {"__init__", "main", "common"}
    table = {frame.module_of(name).rpartition(".")[2] for commands in frame.COMMANDS.values() for name in commands}
    missing = {
        m
        for m in modules - table
        if "\ndef command(" in (folder / f"{m}.py").read_text() or "app = typer" in (folder / f"{m}.py").read_text()
    }
    assert not missing


@pytest.mark.parametrize(
    ("args", "code", "message", "hint"),
    [
        ([], 2, None, None),
        (["to-servin"], 2, "no command 'to-servin'", "did you mean `mconv to-serving`?"),
        (["--jason"], 2, "no option '--jason'", "mconv --help"),
        (["to-serving"], 2, "Missing argument", "mconv to-serving --help"),
        (["convert"], 2, "Missing argument 'SOURCE...'", "mconv convert --help"),
        (["convert", MLP], 2, "Missing argument 'OUT'", "mconv convert SOURCE... OUT"),
        (["runtime"], 2, "mconv runtime: which command?", "mconv runtime install|list|remove|path|run"),
        (["runtime", "run"], 2, "Missing argument 'name'", "mconv runtime run --help"),
        (["to-serving", MLP, "--nonsense"], 2, "--nonsense", "--help"),
        (["to-serving", MLP, "--feed-alias", "x"], 2, "not of the form old=new", None),
        (["to-serving", MLP, "--target", "4"], 2, "unknown target", "1.8, 2.3"),
        (["to-serving", MLP, "--target", "2.3", "--target=2.6"], 2, "--target: given 2 times", "give it once"),
        (["verify", MLP, MLP, *["--inputs", "x.npz"] * 3], 2, "--inputs: given 3 times", "give it once"),
        (["convert", MLP, "o", "--verify", "--no-verify"], 2, "--verify and --no-verify", "one of the two"),
        (["to-serving", "nowhere"], 3, "no such file", None),
        (["to-serving", ""], 2, "an argument is empty", "a variable of the shell"),
        (["inspect", __file__], 3, "a Python file", "FILE.py:CLASS"),
        (["inspect", "cut.pdmodel"], 4, "cut.pdmodel", None),
        (["to-serving", "newer.pdmodel", "--target", "1.8"], 5, newer.LACKED, "--target"),
    ],
)
def test_errors_are_one_line_and_a_hint(
    args: list, code: int, message: str | None, hint: str | None, mconv: Run, tmp_path: Path
) -> None:
    newer.written(tmp_path)
    (tmp_path / "cut.pdmodel").write_bytes((MLP / "inference.pdmodel").read_bytes()[:500])
    (tmp_path / "cut.pdiparams").write_bytes((MLP / "inference.pdiparams").read_bytes())
    done = mconv(*args)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if message is None:
        return
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0]
    assert len([line for line in lines if line.startswith("error:")]) == 1
    if hint:
        assert lines[1].startswith("hint: ") and hint in lines[1]


def test_existing_output_is_exit_code_6(mconv: Run) -> None:
    assert mconv("to-serving", MLP).returncode == 0
    done = mconv("to-serving", MLP)
    assert done.returncode == 6 and "hint: --force replaces it" in done.stderr
    assert mconv("to-serving", MLP, "--force").returncode == 0


def test_json_is_exactly_one_document_and_everything_else_is_on_stderr(mconv: Run) -> None:
    done = mconv("to-serving", MLP, "--json", "-vv", "--feed-alias", "x=features")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert set(document) == {
        "source", "era", "saved_by", "target", "server", "client", "program", "params", "feeds", "fetches", "coded_warnings",
        "fetch_order", "linked", "changes", "warnings", "config", "engine", "service",
    }  # fmt: skip
    assert document["feeds"] == [{"name": "x", "alias": "features", "type": 1, "shape": [8], "lod": False}]
    assert len(document["warnings"]) == 1 and "warning:" in done.stderr


def test_json_of_a_failure(mconv: Run, tmp_path: Path) -> None:
    newer.written(tmp_path)
    for args, kind, code in (
        (["to-serving", "nowhere", "--json"], "NotAModelError", 3),
        (["to-serving", "newer.pdmodel", "--target", "1.8", "--json"], "UnsupportedError", 5),
        (["to-serving", "--json"], "UsageError", 2),
    ):
        done = mconv(*args)
        error = json.loads(done.stdout)["error"]
        assert done.returncode == error["exit_code"] == code and error["kind"] == kind
        assert error["message"] and done.stderr.startswith("error: ")
    rows = json.loads(mconv("to-serving", "newer.pdmodel", "--target", "1.8", "--json").stdout)["error"]["rows"]
    assert rows[0] == {"operator": newer.LACKED, "count": 1, "reason": "no such operator"}


def test_debug_shows_the_traceback(mconv: Run) -> None:
    done = mconv("inspect", "nowhere", "--debug")
    assert done.returncode == 3 and "Traceback" in done.stderr and "error: " in done.stderr


def test_quiet_prints_nothing_but_warnings(mconv: Run) -> None:
    done = mconv("to-serving", MLP, "-q", "--feed-alias", "x=y")
    assert done.returncode == 0 and done.stdout == ""
    assert done.stderr.splitlines() == [line for line in done.stderr.splitlines() if line.startswith("warning: ")]


def test_version(mconv: Run) -> None:
    assert mconv("--version").stdout.startswith("mconv ")


def test_a_closed_pipe_is_silent(tmp_path: Path) -> None:
    """`mconv inspect … | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mconv", "inspect", str(case("2.3.2-bert").model), "--text"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=120) in (failing.EXIT_PIPE, -signal.SIGPIPE)


def test_an_interrupt_ends_with_130() -> None:
    code = (
        "import signal, time, sys\nfrom mconv import api\nfrom mconv.cli import main\n"
        # what starts the tests in the background may have it ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def slow(*a, **k):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "api.inspect = slow\nsys.exit(main.run(['inspect', 'x']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130 and error == "error: interrupted\n"


def test_a_bug_is_one_line_and_exit_code_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mconv import api

    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("division by zero\nsecond line")

    monkeypatch.setattr(api, "inspect", broken)
    assert frame.run(["inspect", "x"]) == 70
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "error: a bug of mconv: ZeroDivisionError: division by zero"
    assert lines[1] == "hint: please report it" and lines[2].startswith("to report it: mconv report-bug -- ")
    assert len(lines) == 3


@pytest.mark.parametrize(("kind", "lines"), [(UnsupportedError, 2), (VerificationError, 1)])
def test_the_figures_of_outputs_are_no_lines_of_an_error(
    kind: type[MconvError], lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have a table of their own; what is unsupported is a line for each, where there is no terminal."""
    failing.render_error(kind("it is not so", None, [{"name": "y", "max_abs": 3.0}]), "mconv")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_no_folder_for_temporary_files_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(os, "open", full)
    with pytest.raises(FileNotFoundError) as caught:
        tempfile.gettempdir()
    monkeypatch.undo()
    assert failing.render_error(caught.value, "mconv half") == OutputExistsError.exit_code
    lines = capsys.readouterr().err.splitlines()
    assert "temporary files" in lines[0] and "TMPDIR" in lines[1]


def test_plain_values() -> None:
    import numpy as np

    @dataclass
    class Inner:
        path: Path
        number: object

    value = {"a": Inner(Path("x"), np.float32(1.5)), 3: (np.arange(2), float("inf"), None, {1})}
    assert plain(value) == {"a": {"path": "x", "number": 1.5}, "3": [[0, 1], "inf", None, [1]]}
    json.dumps(plain({"nan": float("nan"), "bad": "\udcff"}), allow_nan=False)


def test_completion_knows_the_commands(mconv: Run) -> None:
    done = mconv(_MCONV_COMPLETE="complete_bash", COMP_WORDS="mconv to-", COMP_CWORD="1")
    assert "to-serving" in done.stdout.split()


# ---------------------------------------------------------------------------------------------- killed, and twice at once


def big_model(folder: Path, megabytes: int = 64) -> Path:
    """The golden MLP with one more parameter, large enough that copying it takes a moment."""
    from mconv.program import files
    from mconv.program.dtypes import DType
    from mconv.program.params import FileSource
    from mconv.program.program import Var

    found = files.locate(MLP)
    program = files.load_program(found)
    items = [(r.name, r) for r in files.records(found, program)]
    count = megabytes << 18
    program.main.add_var(Var.tensor("zzz_big", DType.FP32, (count,), persistable=True))
    with open(folder.parent / "zeros", "wb") as file:
        file.truncate(count * 4)
    folder.mkdir()
    files.write_model(
        program, [*items, ("zzz_big", FileSource(folder.parent / "zeros", 0, DType.FP32, (count,)))], folder
    )
    return folder


def whole(out: Path) -> bool:
    server, client = out / "serving_server", out / "serving_client"
    return len(list(server.iterdir())) == 5 and len(list(client.iterdir())) == 2


@pytest.mark.long
def test_killed_at_any_moment_leaves_all_or_nothing(tmp_path: Path) -> None:
    model = big_model(tmp_path / "m")
    command = [sys.executable, "-m", "mconv", "to-serving", str(model), "-q"]
    start = time.monotonic()
    subprocess.run([*command, "--out", str(tmp_path / "first")], check=True)
    whole_run = time.monotonic() - start
    seen = set()
    for i in range(16):
        out = tmp_path / f"o{i}"
        process = subprocess.Popen([*command, "--out", str(out)])
        time.sleep(whole_run * (0.3 + 0.75 * i / 15))
        process.kill()
        process.wait()
        there = sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) if out.exists() else []
        assert there in ([], ["serving_client", "serving_server"], ["serving_server"], ["serving_client"])
        # the next run completes or removes what is left, and then all is there
        subprocess.run([*command, "--out", str(out), "--force"], check=True)
        assert whole(out) and not [p for p in out.iterdir() if p.name.startswith(".")]
        assert os.path.getsize(out / "serving_server" / "inference.pdiparams") == os.path.getsize(
            model / "inference.pdiparams"
        )
        seen.add(len(there))
    assert 0 in seen


def test_two_runs_into_one_place_do_not_mix(tmp_path: Path) -> None:
    models = {"mlp": MLP, "conv": case("2.3.2-conv").model}
    for i in range(4):
        out = tmp_path / f"o{i}"
        running = [
            subprocess.Popen(
                [sys.executable, "-m", "mconv", "to-serving", str(m), "--out", str(out), "-q"], stderr=subprocess.PIPE
            )
            for m in models.values()
        ]
        codes = [process.wait(timeout=240) for process in running]
        for process in running:
            assert process.stderr is not None
            process.stderr.close()
        assert sorted(codes) == [0, 6]
        winner = list(models.values())[codes.index(0)]
        assert (out / "serving_server" / "inference.pdiparams").read_bytes() == (
            winner / "inference.pdiparams"
        ).read_bytes()
        assert (out / "serving_client" / "serving_client_conf.prototxt").read_bytes() == (
            out / "serving_server" / "serving_server_conf.prototxt"
        ).read_bytes()
