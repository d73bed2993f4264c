"""Running recipes: done once, resumed, in parallel, isolated; the same bytes in the end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mconv import api
from mconv.errors import MconvError, UnprovedError, UsageError
from mconv.recipe import api as recipes
from mconv.recipe.render import junit
from mconv.recipe.results import Event
from tests.cli.conftest import Run
from tests.golden import case
from tests.onnx.make import mlp, picky
from tests.recipe.conftest import STEPS, Write, again, hidden, states, tree


def test_a_second_run_does_nothing_and_changes_nothing(write: Write, tmp_path: Path, mconv: Run) -> None:
    write("a"), write("b")
    first = mconv("run", "a.yaml", "b.yaml", "-j", "2", "--json")
    assert first.returncode == 0, first.stderr
    before = tree(tmp_path / "build", times=True)
    document = json.loads((tmp_path / "build" / "summary.json").read_text())
    assert document["ok"] and [r["name"] for r in document["recipes"]] == ["a", "b"]
    spent, second = again([sys.executable, "-m", "mconv", "run", "a.yaml", "b.yaml", "-j", "2"], tmp_path)
    assert spent < 2
    assert "nothing to do: all 2 recipes" in second.stdout
    assert second.stderr.count(": nothing to do") == 4 and "passed" not in second.stderr
    assert tree(tmp_path / "build", times=True) == before


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        ("nothing", ["cached", "cached"], ""),
        ("source", ["done", "done"], "inputs changed"),
        ("source touched", ["cached", "cached"], ""),
        ("target", ["done", "done"], "options changed"),
        ("alias", ["cached", "done"], "options changed"),
        ("output changed", ["done", "cached"], "inference.pdiparams was changed"),
        ("output gone", ["cached", "done"], "is gone"),
        ("output touched", ["cached", "cached"], ""),
        ("state gone", ["done", "cached"], "not done yet"),
        ("state damaged", ["done", "cached"], "not done yet"),
        ("recipe moved", ["cached", "cached"], ""),
        ("forced", ["done", "done"], "asked for"),
    ],
)
def test_a_step_runs_again_when_it_has_to(
    change: str, expected: list[str], reason: str, write: Write, tmp_path: Path
) -> None:
    path, out = write("a"), tmp_path / "out"
    recipes.run([path], out=out).require()
    kept = tree(out)
    program = out / "a" / "onnx2paddle" / "inference.pdiparams"
    if change == "source":
        mlp(tmp_path / "a.onnx", seed=99)
    elif change == "source touched":
        os.utime(tmp_path / "a.onnx")
    elif change == "target":
        path = write("a", model=False, source="a.onnx", target="2.6")
    elif change == "alias":
        path = write("a", model=False, source="a.onnx", serving={"fetch_alias": {"y": "scores"}})
    elif change == "output changed":
        program.write_bytes(program.read_bytes()[:-1] + b"x")
    elif change == "output gone":
        (out / "a" / "serving_client" / "serving_client_conf.prototxt").unlink()
    elif change == "output touched":
        os.utime(program)
    elif change == "state gone":
        (out / "a" / ".mconv" / "01-onnx2paddle.json").unlink()
    elif change == "state damaged":
        (out / "a" / ".mconv" / "01-onnx2paddle.json").write_text('{"schema": 1, "ke')
    elif change == "recipe moved":
        (tmp_path / "elsewhere").mkdir()
        for name in ("a.onnx", "a.yaml"):
            shutil.copy2(tmp_path / name, tmp_path / "elsewhere" / name)
        path = tmp_path / "elsewhere" / "a.yaml"
        shutil.rmtree(tmp_path / "elsewhere" / "x", ignore_errors=True)
    result = recipes.run([path], out=out, force=change == "forced")
    result.require()
    assert [s.status for s in result.recipes[0].steps] == expected
    assert any(reason in s.reason for s in result.recipes[0].steps)
    if change not in ("source", "target", "alias"):
        assert tree(out) == kept


def test_what_lies_beside_the_model_counts_too(tmp_path: Path, write: Write) -> None:
    """A recipe that names a program, or a prefix, depends on the parameters beside it."""
    for name in ("inference.pdmodel", "inference"):
        model = tmp_path / name / "model"
        shutil.copytree(case("2.3.2-mlp").model, model)
        path = write("a", source=str(model / name), steps=["to-serving"])
        out = tmp_path / name / "out"
        assert states(recipes.run([path], out=out)) == ["to-serving done"]
        assert states(recipes.run([path], out=out)) == ["to-serving cached"]
        params = model / "inference.pdiparams"
        params.write_bytes(params.read_bytes()[:-4] + b"\0\0\0\1")
        result = recipes.run([path], out=out)
        assert states(result) == ["to-serving done"]
        assert "inference.pdiparams of the source changed" in result.recipes[0].steps[0].reason
        assert (out / "a" / "serving_server" / "inference.pdiparams").read_bytes() == params.read_bytes()


@pytest.mark.parametrize("moments", [(1,), pytest.param((0, 1, 6), marks=pytest.mark.slow)], ids=str)
@pytest.mark.long
def test_killed_at_any_moment_and_run_again_gives_the_same_bytes(
    write: Write, tmp_path: Path, moments: tuple[int, ...]
) -> None:
    steps = [*STEPS, {"verify": {"runtime": "current"}}]
    paths = [write("a", steps=steps, target="3"), write("b", steps=steps, target="3")]
    command = [sys.executable, "-m", "mconv", "run", *map(str, paths), "-j", "2", "-q"]
    subprocess.run([*command, "-o", str(tmp_path / "whole")], check=True, timeout=400)
    wanted = tree(tmp_path / "whole")
    assert len(wanted) == 2 * (2 + 1 + 5 + 2)
    reached = set()
    for files in moments:  # how many are there when it is killed, at least
        out = tmp_path / f"out{files}"
        process = subprocess.Popen([*command, "-o", str(out)], start_new_session=True)
        until = time.monotonic() + 120
        while process.poll() is None and len(tree(out)) < files and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)  # mconv alone: its steps notice, and end
        process.wait()
        reached.add(len(tree(out)))
        subprocess.run([*command, "-o", str(out)], check=True, timeout=400)
        assert tree(out) == wanted
        assert not hidden(out)
    assert len(reached) > 1 or len(moments) == 1  # it was not killed at the same step each time


def test_a_failure_does_not_stop_the_others(write: Write, tmp_path: Path, mconv: Run) -> None:
    write("good")
    write("bad", source="nothing.onnx")
    done = mconv("run", "bad.yaml", "good.yaml", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 3 and not document["ok"]
    bad, good = document["recipes"]
    assert [s["status"] for s in bad["steps"]] == ["failed", "skipped"] and not bad["ok"]
    assert (
        bad["steps"][0]["error"]["kind"] == "NotAModelError" and "nothing.onnx" in bad["steps"][0]["error"]["message"]
    )
    assert [s["status"] for s in good["steps"]] == ["done", "done"] and good["ok"]
    assert "error: 1 of 2 recipes failed: bad (onnx2paddle)" in done.stderr and "hint: " in done.stderr
    assert json.loads((tmp_path / "build" / "summary.json").read_text())["ok"] is False


def test_a_crash_of_a_step_is_a_failure_like_any_other(write: Write, tmp_path: Path) -> None:
    (tmp_path / "crash.py").write_text(
        "import os, signal\nprint('last words', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    bad = write("bad", steps=[{"onnx2paddle": {"verify": False, "plugins": ["crash.py"]}}, "to-serving"])
    result = recipes.run([bad, write("good")], out=tmp_path / "out", jobs=2)
    assert [r.status for r in result.recipes] == ["failed", "done"]
    error = result.recipes[0].steps[0].error
    assert error is not None and "ended with SIGSEGV: last words" in error["message"] and error["exit_code"] == 9
    assert Path(error["hint"].rpartition(" ")[2]).read_text().strip().endswith("last words")


def test_a_bug_is_told_as_one() -> None:
    """The process of a step answers with it, and leaves the traceback in the log."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "mconv.recipe.child", str(writing)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[writing],
    )  # fmt: skip
    os.close(writing)
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write(b'{"verb": "nothing", "arguments": {}}\n')
    process.stdin.flush()  # and not closed: that would tell the process that nobody waits
    with open(reading) as answers, process.stderr, process.stdin:
        error = json.loads(answers.read())["error"]
        told = process.stderr.read()
    process.wait()
    assert error["kind"] == "Bug" and error["exit_code"] == 70 and "AttributeError" in error["message"]
    assert b"Traceback" in told


def test_the_exit_code_is_that_of_the_failures(write: Write, tmp_path: Path) -> None:
    results = {
        3: [write("a", source="nothing.onnx")],
        1: [write("a", source="nothing.onnx"), write("b", steps=["verify"])],
    }
    for code, paths in results.items():
        with pytest.raises(MconvError) as caught:
            recipes.run(paths, out=tmp_path / "out").require()
        assert caught.value.exit_code == code


def test_two_runs_of_one_recipe_wait_for_each_other(write: Write, tmp_path: Path) -> None:
    path = write("a")
    command = [sys.executable, "-m", "mconv", "run", str(path), "-o", str(tmp_path / "out"), "-v"]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=240)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sum("nothing to do" in text for text in told) == 1


def test_names_must_differ(write: Write, tmp_path: Path) -> None:
    one, two = write("a"), write("b", source="a.onnx")
    for path in (one, two):
        path.write_text(f"name: x\n{path.read_text()}")
    with pytest.raises(UsageError, match="both are called 'x'"):
        recipes.run([one, two], out=tmp_path / "out")
    assert recipes.run([one, one], out=tmp_path / "out").ok  # the same file twice is one recipe
    with pytest.raises(UsageError, match="holds no recipe"):
        (tmp_path / "empty").mkdir()
        recipes.run([tmp_path / "empty"], out=tmp_path / "out")


def test_events_tell_what_happens(write: Write, tmp_path: Path) -> None:
    events: list[Event] = []
    recipes.run([write("a")], out=tmp_path / "out", progress=events.append)
    assert [(e.step, e.status) for e in events if not e.text.startswith("converting")] == [
        ("onnx2paddle", "running"), ("onnx2paddle", "done"), ("to-serving", "running"), ("to-serving", "done"),
    ]  # fmt: skip


def test_a_live_table_on_a_terminal(write: Write, tmp_path: Path) -> None:
    import pty

    path = write("a")
    main, other = pty.openpty()
    command = [sys.executable, "-m", "mconv", "run", str(path), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=other, text=True, env={**os.environ, "TERM": "xterm"}
    )
    os.close(other)
    shown = b""
    while True:
        try:
            piece = os.read(main, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    assert process.stdout is not None and "passed" in process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert b"onnx2paddle" in shown and b"\x1b[" in shown and b"a: onnx2paddle: passed" not in shown


def test_an_interrupt_ends_all_of_it(write: Write, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'here')!r}).touch()\ntime.sleep(60)\n"
    )
    path = write("a", steps=[{"onnx2paddle": {"verify": False, "plugins": ["slow.py"]}}])
    code = f"import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nfrom mconv.cli.main import run\nsys.exit(run(['run', {str(path)!r}]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "here").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130 and told.splitlines()[-1] == "error: interrupted" and "bug" not in told


def test_an_output_that_cannot_be_written(write: Write, tmp_path: Path, mconv: Run) -> None:
    (tmp_path / "file").write_text("kept")
    write("a")
    done = mconv("run", "a.yaml", "--out", "file")
    assert done.returncode == 6 and "cannot be made" in done.stderr and (tmp_path / "file").read_text() == "kept"
    (tmp_path / "build" / "a").mkdir(parents=True)
    (tmp_path / "build" / "a" / ".mconv").write_text("in the way")
    done = mconv("run", "a.yaml", "--json")
    assert (
        done.returncode == 6
        and json.loads(done.stdout)["recipes"][0]["steps"][0]["error"]["kind"] == "OutputExistsError"
    )


def test_files_of_the_service_count_too(tmp_path: Path, write: Write) -> None:
    """The text of a label file is part of the service; where it lies is not."""
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    path = write(
        "a", pipeline={"service": "tensor", "labels": "labels.txt"}, serving={"service": "around", "server": "srv"}
    )
    result = recipes.run([path], out=tmp_path / "out")
    assert result.ok and result.recipes[0].steps[1].outputs == ["srv", "serving_client", "around"]
    assert (tmp_path / "out" / "a" / "around" / "config.yml").is_file() and api.check(tmp_path / "out" / "a" / "srv").ok
    assert states(recipes.run([path], out=tmp_path / "out")) == ["onnx2paddle cached", "to-serving cached"]
    (tmp_path / "labels.txt").write_text("a\nb\nc\ne\n")
    result = recipes.run([path], out=tmp_path / "out")
    assert states(result) == ["onnx2paddle cached", "to-serving done"]
    assert result.recipes[0].steps[1].reason == "inputs changed"


def test_a_recipe_fails_with_it(write: Write, tmp_path: Path) -> None:
    picky(tmp_path / "m.onnx")
    recipe = write("a", source="m.onnx", target="3", steps=["onnx2paddle"], verification={"runtime": "current"})
    result = recipes.run([recipe], out=tmp_path / "build")
    step = result.recipes[0].failed()
    assert step is not None and step.error is not None and step.error["exit_code"] == 15
    assert "nothing is proved" in junit(result, "mconv")
    with pytest.raises(MconvError) as caught:
        result.require()
    assert caught.value.exit_code == UnprovedError.exit_code
