"""Installing runtimes: a recipe with tiny local packages goes through everything that a real one does."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mconv.errors import RuntimeUnavailableError, UsageError
from mconv.runtimes import find, runtimes_folder, statuses
from mconv.runtimes.install import LOG, install, install_recipe, remove
from mconv.runtimes.recipes import RECIPES, Recipe, Step, recipe_for
from mconv.runtimes.runtime import STATE, missing, runtime_of

MINOR = "{}.{}".format(*sys.version_info[:2])
ROOT = Path(__file__).parent.parent.parent


def wheel(folder: Path, name: str, version: str = "1.0") -> None:
    """A wheel with one module, written by hand."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = '{version}'\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def recipe(shelf: Path, *packages: str, imports: tuple[str, ...] = ("tiny_a",)) -> Recipe:
    options = ("--no-index", "--find-links", str(shelf))
    steps = tuple(Step(name, (name,), options) for name in packages)
    return Recipe("tiny", "a test", (MINOR,), steps, 0.01, runs_models=False, imports=imports)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels for pip; the cache is a new one."""
    monkeypatch.setenv("MCONV_CACHE", str(tmp_path / "cache"))
    # whatever the machine's pip is configured to add: these tests know exactly which packages exist
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "shelf"
    folder.mkdir()
    wheel(folder, "tiny_a")
    return folder


def log() -> str:
    return (runtimes_folder() / "tiny" / LOG).read_text()


def test_install_once_then_leave_alone(shelf: Path) -> None:
    tiny = recipe(shelf, "tiny_a")
    lines: list[str] = []
    runtime = install_recipe(tiny, python=sys.executable, progress=lines.append)
    assert missing(tiny) is None
    done = subprocess.run(
        [str(runtime.python), "-c", "import tiny_a; print(tiny_a.__file__)"], capture_output=True, text=True
    )
    assert str(runtimes_folder()) in done.stdout
    assert any("tiny_a" in line for line in lines) and "ready" in lines[-1]
    lines.clear()
    install_recipe(tiny, progress=lines.append)
    assert lines == ["tiny is already installed"]


@pytest.mark.long
def test_a_failed_step_is_resumed_and_the_finished_one_not_repeated(shelf: Path) -> None:
    tiny = recipe(shelf, "tiny_a", "tiny_b", imports=("tiny_a", "tiny_b"))
    with pytest.raises(
        RuntimeUnavailableError, match="cannot install tiny_b for tiny: No matching distribution"
    ) as caught:
        install_recipe(tiny, python=sys.executable)
    assert LOG in (caught.value.hint or "")
    assert missing(tiny) == "is only partly installed"
    wheel(shelf, "tiny_b")
    lines: list[str] = []
    install_recipe(tiny, progress=lines.append)
    assert "tiny_a: already there" in lines
    assert missing(tiny) is None
    assert "--ignore-installed" not in log()  # pip had ended by itself


@pytest.mark.long
def test_an_installation_killed_in_the_middle_is_finished(shelf: Path, tmp_path: Path) -> None:
    tiny = recipe(shelf, "tiny_a")
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        from mconv.runtimes.install import install_recipe
        from tests.runtimes.test_install import recipe
        from pathlib import Path

        def progress(line):
            if line.startswith("  Installing"):
                os.kill(os.getpid(), signal.SIGKILL)

        install_recipe(recipe(Path({str(shelf)!r}), "tiny_a"), python=sys.executable, progress=progress)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", script], env=env, cwd=tmp_path, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert missing(tiny) == "is only partly installed"
    install_recipe(tiny)
    assert missing(tiny) is None
    assert "--ignore-installed" in log()


@pytest.mark.long
def test_two_installations_at_once(shelf: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import sys
        from mconv.runtimes.install import install_recipe
        from tests.runtimes.test_install import recipe
        from pathlib import Path
        install_recipe(recipe(Path({str(shelf)!r}), "tiny_a"), progress=print)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    runs = [
        subprocess.Popen([sys.executable, "-c", script], env=env, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum("tiny is already installed" in text for text in said) == 1
    assert sum("tiny is ready" in text for text in said) == 1


@pytest.mark.slow
def test_a_changed_recipe_is_noticed_and_only_the_change_installed(shelf: Path) -> None:
    install_recipe(recipe(shelf, "tiny_a"), python=sys.executable)
    wheel(shelf, "tiny_b")
    wider = recipe(shelf, "tiny_a", "tiny_b", imports=("tiny_b",))
    assert "with other packages" in (missing(wider) or "")
    lines: list[str] = []
    install_recipe(wider, progress=lines.append)
    assert "tiny_a: already there" in lines and missing(wider) is None


@pytest.mark.slow
def test_what_does_not_pass_its_check_is_not_taken_for_installed(shelf: Path) -> None:
    tiny = recipe(shelf, "tiny_a", imports=("no_such_module",))
    with pytest.raises(RuntimeUnavailableError, match="cannot import no_such_module: ModuleNotFoundError"):
        install_recipe(tiny, python=sys.executable)
    assert missing(tiny) == "is only partly installed"


@pytest.mark.slow
def test_a_lost_interpreter_is_noticed_and_replaced(shelf: Path) -> None:
    tiny = recipe(shelf, "tiny_a")
    runtime = install_recipe(tiny, python=sys.executable)
    runtime.python.unlink()
    assert "has lost its interpreter" in (missing(tiny) or "")
    install_recipe(tiny, python=sys.executable)
    assert missing(tiny) is None


@pytest.mark.parametrize("content", ["", "{", "[]"], ids=["empty", "cut", "other"])
def test_a_damaged_note_means_not_installed(shelf: Path, content: str) -> None:
    (runtimes_folder() / "tiny").mkdir(parents=True)
    (runtimes_folder() / "tiny" / STATE).write_text(content)
    assert missing(recipe(shelf, "tiny_a")) == "is not installed"


def test_without_space_nothing_is_begun(shelf: Path) -> None:
    huge = Recipe("tiny", "a test", (MINOR,), (), 1e6, runs_models=False)
    with pytest.raises(RuntimeUnavailableError, match="GB free"):
        install_recipe(huge, python=sys.executable)
    assert not (runtimes_folder() / "tiny" / "env").exists()


@pytest.mark.slow
def test_remove(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = recipe(shelf, "tiny_a")
    monkeypatch.setitem(RECIPES, "tiny", tiny)
    assert remove("tiny") is False
    install("tiny", python=sys.executable)
    assert find("tiny").python.exists()
    assert {s.name: s.installed for s in statuses()}["tiny"]
    assert remove("tiny") is True
    with pytest.raises(RuntimeUnavailableError, match="is not installed") as caught:
        find("tiny")
    assert caught.value.hint == "install it with `mconv runtime install tiny`"
    with pytest.raises(UsageError, match="no runtime 'nonsense'"):
        find("nonsense")


@pytest.mark.slow
def test_pip_is_not_led_astray(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "foreign"))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "pip.py").write_text("raise SystemExit('the wrong pip')")
    tiny = recipe(shelf, "tiny_a")
    install_recipe(tiny, python=sys.executable)
    assert not (tmp_path / "elsewhere").exists()


def test_environment_of_a_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("LD_PRELOAD", "/lib/other.so")
    runtime = runtime_of(recipe_for("2.6.2"))
    env = runtime.environ(OMP_NUM_THREADS="1")
    assert "PYTHONPATH" not in env
    assert (env["OMP_NUM_THREADS"], env["CUDA_VISIBLE_DEVICES"], env["LD_PRELOAD"]) == ("1", "", "/lib/other.so")
    old = type(runtime)("x", runtime.python, {"LD_PRELOAD": "/shim.so"})
    assert old.environ()["LD_PRELOAD"] == "/shim.so:/lib/other.so"


@pytest.mark.parametrize(
    "found, said",
    [
        (("glibc", "2.31"), "has glibc 2.31"),
        (("", ""), "has another C library"),
    ],
)
def test_a_c_library_that_is_too_old_is_said_before_anything_is_made(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[str, str], said: str
) -> None:
    wanting = replace(recipe(shelf, "tiny_a"), glibc=(2, 35))
    monkeypatch.setattr(platform, "libc_ver", lambda *_: found)
    with pytest.raises(RuntimeUnavailableError, match=f"tiny needs glibc 2.35 or newer; this system {said}"):
        install_recipe(wanting)
    assert not (runtimes_folder() / "tiny").exists()
    monkeypatch.setattr(platform, "libc_ver", lambda *_: ("glibc", "2.35"))
    assert install_recipe(wanting).name == "tiny"


def test_a_probe_that_fails_leaves_the_installation_unfinished(shelf: Path) -> None:
    failing = replace(recipe(shelf, "tiny_a"), probe="import sys, tiny_a\nsys.exit('tiny_a is ' + tiny_a.VERSION)")
    with pytest.raises(RuntimeUnavailableError, match="the runtime tiny does not work: tiny_a is 1.0"):
        install_recipe(failing)
    assert missing(failing) == "is only partly installed"


def test_what_a_probe_writes_where_it_runs_is_not_kept(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paddle Serving's modules make a folder of logs when they are imported."""
    here = shelf / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    install_recipe(replace(recipe(shelf, "tiny_a"), probe="import os; os.mkdir('Logs')"))
    assert not list(here.iterdir()) and not list(runtimes_folder().rglob("Logs"))
