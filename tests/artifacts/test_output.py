"""Output appears whole or not at all, whatever happens to the process or beside it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest

from mconv.artifacts import renaming, stage
from mconv.artifacts.output import staged, staged_many
from mconv.errors import OutputExistsError, UsageError

FILES = ("a", "b", "sub/c")


def fill(folder: Path, text: str) -> None:
    for name in FILES:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def content(folder: Path) -> str:
    """What :func:`fill` wrote, ``""`` where nothing is; anything in between fails."""
    if not folder.exists():
        return ""
    found = {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in folder.rglob("*") if p.is_file()}
    assert sorted(found) == sorted(FILES), f"{folder} is incomplete: {sorted(found)}"
    (text,) = set(found.values())
    return text


def leftovers(parent: Path) -> list[str]:
    return [p.name for p in parent.iterdir() if p.name.startswith(stage.PREFIX)]


@pytest.fixture(params=["exchange", "two steps"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the kernel's exchange, and as on a system that has none."""
    if request.param == "two steps":
        monkeypatch.setattr(renaming, "_system_call", lambda: None)
    elif renaming._system_call() is None:
        pytest.skip("this system cannot exchange two paths")
    return request.param


def test_new_folder(tmp_path: Path, system: str) -> None:
    with staged(tmp_path / "x" / "y" / "out") as folder:
        assert folder.name == "out"
        fill(folder, "new")
        assert not (tmp_path / "x" / "y" / "out").exists()
    assert content(tmp_path / "x" / "y" / "out") == "new"
    assert not leftovers(tmp_path / "x" / "y")


def test_new_file(tmp_path: Path, system: str) -> None:
    with staged(tmp_path / "out.onnx", file=True) as path:
        path.write_text("new", encoding="utf-8")
    assert (tmp_path / "out.onnx").read_text(encoding="utf-8") == "new"
    with pytest.raises(OutputExistsError), staged(tmp_path / "out.onnx", file=True):
        pass
    with staged(tmp_path / "out.onnx", file=True, force=True) as path:
        path.write_text("newer", encoding="utf-8")
    assert (tmp_path / "out.onnx").read_text(encoding="utf-8") == "newer"
    assert not leftovers(tmp_path)


def test_permissions_are_those_of_an_ordinary_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with staged(tmp_path / "out") as folder:
        fill(folder, "new")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_existing_output_needs_force(tmp_path: Path, system: str) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with staged(target) as folder:  # an empty folder is no output
        fill(folder, "old")
    with pytest.raises(OutputExistsError, match=r"out: exists already") as e, staged(target):
        raise AssertionError("entered")
    assert "--force" in e.value.hint
    with staged(target, force=True) as folder:
        fill(folder, "new")
        assert content(target) == "old"
    assert content(target) == "new"
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_force_replaces_other_kinds(tmp_path: Path, system: str, kind: str) -> None:
    target, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    if kind == "file":
        target.write_text("old", encoding="utf-8")
    else:
        target.symlink_to(elsewhere)
        if kind == "link":
            elsewhere.mkdir()
            (elsewhere / "mine").touch()
    if kind != "dangling":
        with pytest.raises(OutputExistsError), staged(target):
            pass
    with staged(target, force=True) as folder:
        fill(folder, "new")
    assert content(target) == "new"
    assert target.is_symlink() == (kind != "file")  # a link is followed, not replaced


def test_failure_leaves_everything_as_it_was(tmp_path: Path, system: str) -> None:
    target = tmp_path / "made" / "out"
    with pytest.raises(ZeroDivisionError), staged(target) as folder:
        fill(folder, "new")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []  # not even the parent that was made for it
    target.mkdir(parents=True)
    fill(target, "old")
    with pytest.raises(KeyboardInterrupt), staged(target, force=True):
        raise KeyboardInterrupt
    assert content(target) == "old"
    assert not leftovers(target.parent)


def test_second_target_fails(tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was put in place before is taken back."""
    fill_old(tmp_path)
    real = stage.move_new

    def failing(old: Path, new: Path) -> None:
        if new.name == "client":
            raise PermissionError(13, "Permission denied", str(new))
        real(old, new)

    monkeypatch.setattr(stage, "move_new", failing)
    with pytest.raises(OutputExistsError, match="Permission denied"):
        write_pair(tmp_path, "new", force=True)
    assert (content(tmp_path / "server"), content(tmp_path / "client")) == ("old", "old")
    assert not leftovers(tmp_path)


def test_target_that_appears_meanwhile(tmp_path: Path, system: str) -> None:
    with pytest.raises(OutputExistsError, match="client: appeared while"):
        with staged_many([tmp_path / "server", tmp_path / "client"]) as folders:
            for folder in folders:
                fill(folder, "new")
            (tmp_path / "client").mkdir()
            (tmp_path / "client" / "mine").touch()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["client"]
    assert [p.name for p in (tmp_path / "client").iterdir()] == ["mine"]


def test_missing_output_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(OutputExistsError, match="nothing was written"), staged(tmp_path / "f", file=True):
        pass
    assert list(tmp_path.iterdir()) == []


def test_errors_of_the_block_keep_their_type(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), staged(tmp_path / "out"):
        open(tmp_path / "missing")


def test_protected_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "home" / "work"
    work.mkdir(parents=True)
    (work / "model").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(work)
    for target in (".", "..", str(tmp_path / "home"), str(tmp_path), "/"):
        with pytest.raises(UsageError), staged(target, force=True):
            raise AssertionError(target)
    monkeypatch.chdir("/")
    with pytest.raises(UsageError, match="holds the input"), staged(work, force=True, protect=[work / "model"]):
        raise AssertionError
    with pytest.raises(UsageError, match="in one another"), staged_many([work / "a", work / "a" / "b"]):
        raise AssertionError
    with pytest.raises(UsageError, match="a folder"), staged(work, force=True, file=True):
        raise AssertionError
    assert [p.name for p in work.iterdir()] == ["model"]


def test_parent_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputExistsError, match="cannot be made"), staged(tmp_path / "file" / "out"):
        raise AssertionError


# ---------------------------------------------------------------------------------------------- kill -9


def fill_old(parent: Path) -> None:
    for name in ("server", "client"):
        (parent / name).mkdir()
        fill(parent / name, "old")


def write_pair(parent: Path, text: str, *, force: bool) -> None:
    with staged_many([parent / "server", parent / "client"], force=force) as folders:
        for folder in folders:
            fill(folder, text)


def write_one(parent: Path, text: str, *, force: bool) -> None:
    with staged(parent / "server", force=force) as folder:
        fill(folder, text)


def dies_at(event: int, work: Callable[[], None]) -> bool:
    """Run *work* in a process that kills itself before its *event*-th call that changes the file system.

    Returns:
        Whether it came to that; False when the work was done before.
    """
    pid = os.fork()
    if pid == 0:
        left = event

        def hook(name: str, args: tuple) -> None:
            nonlocal left
            writes = name == "open" and isinstance(args[2], int) and args[2] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR)
            if writes or name in ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "fcntl.flock"):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(hook)
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def clean(parent: Path) -> None:
    """What the next run begins with, some minutes later."""
    past = time.time() - 2 * stage._NEWBORN
    for name in leftovers(parent):
        os.utime(parent / name, (past, past))
    stage.clean(parent)


@pytest.mark.parametrize("force", [False, True], ids=["new", "replace"])
@pytest.mark.parametrize("write", [write_one, write_pair])
def test_killed_anywhere(tmp_path: Path, system: str, write: Callable[..., None], force: bool) -> None:
    """Killed before each change of the file system in turn: old, nothing or new, and the next run tidies up."""
    seen = set()
    for event in range(1, 500):
        parent = tmp_path / str(event)
        parent.mkdir()
        (parent / "mine").touch()
        if force:
            fill_old(parent)
        killed = dies_at(event, lambda: write(parent, "new", force=force))
        state = (content(parent / "server"), content(parent / "client"))
        seen.add(state)
        if write is write_pair:
            assert not {"old", "new"} <= set(state), f"event {event}: new and old side by side"
        elif system == "exchange" and force:
            assert state[0], f"event {event}: the old output was gone for a moment"
        if not killed:
            break
        # what the next run finds is all old or all new, then it writes its own
        clean(parent)
        recovered = (content(parent / "server"), content(parent / "client"))
        assert recovered in ({("old", "old"), ("new", "new")} if force else {("", ""), ("new", "new")}) or (
            write is write_one and recovered in {("new", "old"), ("new", "")}
        ), f"event {event}: {recovered}"
        assert not leftovers(parent)
        write(parent, "newest", force=True)
        assert content(parent / "server") == "newest"
        assert (parent / "mine").exists()
        assert not leftovers(parent)
    else:
        raise AssertionError("the work never ended")
    assert event > 15
    assert any("new" in state for state in seen)
    assert any("new" not in state for state in seen)


def test_killed_anywhere_with_targets_in_two_folders(tmp_path: Path, system: str) -> None:
    """The plan lies in both folders: whichever the next run looks into, both targets end up alike."""
    for event in range(1, 500):
        one, two = tmp_path / f"{event}a", tmp_path / f"{event}b"
        for folder in (one, two):
            (folder / "out").mkdir(parents=True)
            fill(folder / "out", "old")

        def work(one: Path = one, two: Path = two) -> None:
            with staged_many([one / "out", two / "out"], force=True) as folders:
                for folder in folders:
                    fill(folder, "new")

        killed = dies_at(event, work)
        state = {content(one / "out"), content(two / "out")}
        assert not {"old", "new"} <= state
        if not killed:
            break
        clean(one if event % 2 else two)
        assert {content(one / "out"), content(two / "out")} in ({"old"}, {"new"}), f"event {event}"
        for folder in (one, two):
            clean(folder)
            assert not leftovers(folder)
        assert {content(one / "out"), content(two / "out")} in ({"old"}, {"new"}), f"event {event}"
    assert state == {"new"}


def test_recovery_does_not_bring_back_what_the_user_removed(tmp_path: Path, system: str) -> None:
    """A run is killed when it has only its old output left to remove; the user removes the new one by hand."""
    for event in range(1, 200):
        parent = tmp_path / str(event)
        parent.mkdir()
        fill_old(parent)
        if not dies_at(event, lambda: write_one(parent, "new", force=True)):
            break
        if content(parent / "server") != "new":
            continue
        for path in sorted((parent / "server").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (parent / "server").rmdir()
        clean(parent)
        assert not (parent / "server").exists()
        assert not leftovers(parent)


SCRIPT = """
import sys, time
from mconv.artifacts.output import staged
with staged(sys.argv[1], force=True) as folder:
    print("ready", flush=True)
    i = 0
    while True:
        (folder / str(i)).write_bytes(bytes(1 << 20))
        i += 1
"""


def test_killed_while_writing_and_living_run_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    fill(target, "old")
    run = [sys.executable, "-c", SCRIPT, str(target)]
    with (
        subprocess.Popen(run, stdout=subprocess.PIPE) as living,
        subprocess.Popen(run, stdout=subprocess.PIPE) as dying,
    ):
        try:
            assert living.stdout and dying.stdout
            assert living.stdout.readline() == dying.stdout.readline() == b"ready\n"
            living.send_signal(signal.SIGSTOP)
            dying.kill()
            dying.wait()
            assert content(target) == "old"
            assert len(leftovers(tmp_path)) == 2
            write_into = tmp_path / "other"
            with staged(write_into) as folder:
                fill(folder, "new")
            assert content(write_into) == "new"
            assert len(leftovers(tmp_path)) == 1, "the living run's folder must stay, the killed one's must go"
        finally:
            living.kill()
    stage.clean(tmp_path)
    assert not leftovers(tmp_path)
    assert content(target) == "old"


def test_folder_without_a_lock_is_removed_when_old(tmp_path: Path) -> None:
    """A run may be killed between making its folder and locking it."""
    home = tmp_path / f"{stage.PREFIX}0123"
    home.mkdir()
    stage.clean(tmp_path)
    assert home.exists(), "it may be a newborn run's"
    past = time.time() - 2 * stage._NEWBORN
    os.utime(home, (past, past))
    stage.clean(tmp_path)
    assert not home.exists()


# ---------------------------------------------------------------------------------------------- concurrency


def racer(parent: str, number: int, force: bool, rounds: int, barrier, results) -> None:
    won = 0
    for i in range(rounds):
        folder = Path(parent) / str(i)
        barrier.wait()
        try:
            write_pair(folder, f"{number}", force=force)
            won += 1
        except OutputExistsError:
            pass
    results.put((number, won))


@pytest.mark.parametrize("force", [False, True], ids=["first wins", "last wins"])
def test_runs_at_once_do_not_mix(tmp_path: Path, force: bool) -> None:
    context = multiprocessing.get_context("fork")
    runs, rounds = 4, 25
    for i in range(rounds):
        (tmp_path / str(i)).mkdir()
    barrier, results = context.Barrier(runs), context.Queue()
    workers = [
        context.Process(target=racer, args=(str(tmp_path), n, force, rounds, barrier, results)) for n in range(runs)
    ]
    for worker in workers:
        worker.start()
    won = dict(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    for i in range(rounds):
        folder = tmp_path / str(i)
        server, client = content(folder / "server"), content(folder / "client")
        assert server == client != ""
        assert not leftovers(folder)
    assert sum(won.values()) == (runs * rounds if force else rounds)
