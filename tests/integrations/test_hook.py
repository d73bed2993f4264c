"""The pre-commit hook: a repository that tracks models, sound ones and damaged ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mconv.cli.hook import main, models
from tests.golden import case
from tests.integrations.github import ROOT

BERT = case("2.3.2-bert").model
OLD = case("1.8.5-conv_separate").model


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository whose pre-commit runs the hook of ``.pre-commit-hooks.yaml``, installed here already."""
    pytest.importorskip("pre_commit")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["language"] == "python" and hook["entry"].startswith("python ")
    hook |= {"language": "system", "entry": hook["entry"].replace("python ", f"{sys.executable} ", 1)}
    config = {"repos": [{"repo": "local", "hooks": [hook]}]}
    (tmp_path / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "settings.json").write_text("{}\n")
    git(tmp_path, "init", "--quiet")
    return tmp_path


def git(folder: Path, *args: str) -> None:
    subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True)


def pre_commit(repository: Path) -> subprocess.CompletedProcess[str]:
    git(repository, "add", "--all")
    return subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", "--all-files"],
        cwd=repository, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PRE_COMMIT_HOME": str(repository / ".git" / "pre-commit")},
    )  # fmt: skip


def test_sound_and_damaged_models(repository: Path) -> None:
    shutil.copytree(BERT, repository / "bert")
    shutil.copytree(OLD, repository / "old")
    done = pre_commit(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout
    params = repository / "bert" / "inference.pdiparams"
    params.write_bytes(params.read_bytes()[:-100])
    (repository / "cut.onnx").write_bytes(b"\x08\x08\x12")
    done = pre_commit(repository)
    assert done.returncode == 1 and "bert/inference.pdiparams" in done.stdout and "cut.onnx" in done.stdout
    assert "old" not in done.stdout and "settings.json" not in done.stdout


def test_hook_definition_is_valid() -> None:
    clientlib = pytest.importorskip("pre_commit.clientlib")
    clientlib.load_manifest(str(ROOT / ".pre-commit-hooks.yaml"))


def test_files_of_one_model_are_one(tmp_path: Path) -> None:
    for name in (
        "a.pdmodel",
        "a.pdiparams",
        "b.json",
        "b.pdiparams",
        "c.json",
        "d.pdiparams",
        "m/__model__",
        "m/__params__",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    every = [p for p in sorted(tmp_path.rglob("*")) if p.is_file()]
    found = {str(m.relative_to(tmp_path)): len(files) for m, files in models(every).items()}
    assert found == {"a.pdmodel": 2, "b.json": 2, "d.pdiparams": 1, "m/__model__": 2}


def test_a_pointer_of_git_lfs_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pointer = tmp_path / "model.onnx"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert main([str(pointer)]) == 4
    assert capsys.readouterr().err.splitlines() == [
        f"{pointer} is a Git LFS pointer, not the file itself",
        "  hint: git lfs pull",
    ]


def test_parameters_without_a_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lonely = tmp_path / "x.pdiparams"
    shutil.copy(BERT / "inference.pdiparams", lonely)
    assert main([str(lonely)]) == 3
    assert "x.pdiparams" in capsys.readouterr().err
