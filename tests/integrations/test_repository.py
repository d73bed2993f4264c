"""The repository's own workflows, forms and settings, by their schemas and an auditor; what a release asks for; packages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from tools import release, repository

import mconv
from tests.integrations.github import ROOT

GITHUB = ROOT / ".github"
SCHEMAS = {
    **dict.fromkeys(sorted((GITHUB / "workflows").glob("*.yml")), "vendor.github-workflows"),
    **{GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml": "vendor.github-issue-forms" for name in ("bug", "conversion")},
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "vendor.github-issue-config",
    GITHUB / "dependabot.yml": "vendor.dependabot",
}


def tool(name: str, *arguments: str) -> str:
    """What a tool of the extra ``ci`` prints; it has to succeed."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / name), *arguments], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda p: p.name)
def test_files_follow_their_schema(path: Path) -> None:
    tool("check-jsonschema", "--builtin-schema", SCHEMAS[path], str(path))


def test_workflows_have_no_rights_they_need_not() -> None:
    """zizmor: injected expressions, rights, credentials left behind, actions of unknown people."""
    assert "No findings" in tool("zizmor", "--offline", "--no-progress", str(GITHUB), str(ROOT / "action.yml"))


def test_commands_of_workflows_are_there() -> None:
    """What a workflow runs of the project's own: targets of the Makefile, files."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    ran: list[str] = []
    for path in (GITHUB / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
            ran += [step["run"] for step in job["steps"] if "run" in step]
    assert ran
    for script in ran:
        for target in re.findall(r"^make ([\w-]+)", script, re.MULTILINE):
            assert target in targets, script
        for file in re.findall(r"(?<![\w/.-])((?:tests|tools|\.ci)/[\w./-]+)", script):
            assert (ROOT / file).exists(), script


CHANGES = "# Changes\n## 0.2.0 (2026-12-01)\n- New.\n\n## 0.1.0 (2026-01-01)\n- Old.\n"


def test_notes_of_a_release() -> None:
    assert release.notes("v0.2.0", "0.2.0", CHANGES) == "- New."
    assert release.version() == mconv.__version__
    assert release.newest((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))[0] == mconv.__version__


@pytest.mark.parametrize(
    ("tag", "version", "changes", "said"),
    [
        ("v0.2.1", "0.2.0", CHANGES, "has to be v0.2.0"),
        ("0.2.0", "0.2.0", CHANGES, "has to be v0.2.0"),
        ("v0.3.0", "0.3.0", CHANGES, "begins with 0.2.0"),
        ("v0.2.0", "0.2.0", CHANGES.replace("2026-12-01", "unreleased"), "needs the date"),
        ("v0.2.0", "0.2.0", CHANGES.replace("- New.\n", ""), "says nothing"),
        ("v0.2.0", "0.2.0", "# Changes\n", "no heading"),
    ],
)
def test_what_is_no_release(tag: str, version: str, changes: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        release.notes(tag, version, changes)


def test_the_repository_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = repository.named("pyproject.toml")
    for file in repository.PLACES:
        assert set(repository.named(file)) == {name}, file
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    repository.move("acme/convert-mconv")
    for file in repository.PLACES:
        before = (ROOT / file).read_text(encoding="utf-8")
        assert name not in (tmp_path / file).read_text(encoding="utf-8")
        assert (tmp_path / file).read_text(encoding="utf-8").replace("acme/convert-mconv", name) == before
    with pytest.raises(SystemExit, match="OWNER/NAME"):
        repository.move("acme")


@pytest.mark.long
def test_packages_hold_what_is_needed(tmp_path: Path) -> None:
    """The wheel has every file that the package reads, the source package all that its tests and documents need."""
    tool("python", "-m", "build", "--outdir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("paddle_mconv-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {f.removeprefix("src/") for f in tracked if f.startswith("src/mconv/")} <= inside
    (source,) = tmp_path.glob("paddle_mconv-*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f for f in tracked if f.startswith(("src/", "docs/", "recipes/", "integrations/", "docker/"))} <= names
