"""action.yml, the GitLab template and the Dockerfiles, checked by their own schemas and linters, and against the code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mconv.runtimes.recipes import RECIPES
from tests.golden import case
from tests.integrations.github import ROOT
from tests.integrations.test_action import own_path

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@pytest.mark.parametrize(
    ("schema", "file"), [("vendor.github-actions", "action.yml"), ("vendor.gitlab-ci", "integrations/gitlab.yml")]
)
def test_files_follow_their_schema(schema: str, file: str) -> None:
    pytest.importorskip("check_jsonschema")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(ROOT / file)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_action_says_what_its_scripts_take() -> None:
    """Every input reaches a variable that a script documents and reads; nothing is pasted into a script's text."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    scripts = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "integrations").glob("*.sh"))
    used = re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(used) == set(action["inputs"])
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        for name in step.get("env", {}):
            assert re.search(rf"^#   {name} ", scripts, re.M) and f"${{{name}" in scripts


def test_the_scripts_one_after_the_other_in_a_shell(tmp_path: Path) -> None:
    """As docs/ci.md types them: what install.sh exports ends with it."""
    shutil.copytree(case("2.3.2-mlp").model, tmp_path / "mlp")
    bare = os.pathsep.join(f for f in ("/usr/bin", "/bin") if not shutil.which("mconv", path=f))

    def convert() -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": bare, "MCONV_VENV": str(tmp_path / "venv"), "MCONV_MODEL": "mlp"}
        command = [str(ROOT / "integrations" / "convert.sh")]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    done = convert()
    assert (
        done.returncode == 7 and done.stderr == f"error: no mconv on PATH or in {tmp_path}/venv: run install.sh first\n"
    )
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    installed = tmp_path / "venv" / "bin" / "mconv"
    installed.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mconv "$@"\n')
    installed.chmod(0o755)
    done = convert()
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mconv-reports" / "junit.xml").is_file() and list((tmp_path / "build").rglob("serving_server"))


def test_gitlab_job(tmp_path: Path) -> None:
    """The template's script, with the variables that GitLab gives, on the scripts of this checkout."""
    job = yaml.safe_load((ROOT / "integrations" / "gitlab.yml").read_text(encoding="utf-8"))[".mconv"]
    source, project = tmp_path / "source", tmp_path / "project"
    shutil.copytree(ROOT / "integrations", source / "integrations")
    for command in ("init -q -b main", "add .", "-c user.name=x -c user.email=x@x commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=source, check=True, capture_output=True)
    shutil.copytree(case("2.3.2-mlp").model, project / "mlp")
    given = {
        "CI_PROJECT_DIR": str(project), **job["variables"], "MCONV_REPOSITORY": str(source), "MCONV_MODEL": "mlp",
        "MCONV_PACKAGE": "installed", "MCONV_RUNTIMES": "",
    }  # fmt: skip
    exports = [f'export {name}="{value}"' for name, value in given.items()]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join([*exports, *job["script"]])],
        cwd=project, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PATH": own_path()},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "build" / "mlp" / "serving_server").is_dir()
    reports = [
        os.path.expandvars(p.replace("$MCONV_REPORTS", given["MCONV_REPORTS"])) for p in job["artifacts"]["paths"]
    ]
    assert (project / reports[0] / "junit.xml").exists() and reports[0] in job["artifacts"]["reports"]["junit"].replace(
        "$MCONV_REPORTS", given["MCONV_REPORTS"]
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.stem)
def test_dockerfiles_pass_hadolint(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "--no-color", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda p: p.stem)
def test_dockerfiles_copy_what_is_there(path: Path) -> None:
    """Each COPY source exists in the context that the file's first lines build with, and runs as no root."""
    text = path.read_text(encoding="utf-8")
    context = re.search(r"docker build -f (\S+) -t \S+ (\S+)", text)
    assert context and (ROOT / context[1]) == path
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        assert all((ROOT / context[2] / source).exists() for source in sources.split())
    assert re.search(r"^USER [1-9]\d*$", text, re.M)
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) <= {"python:3.11-slim", "${BASE}"}


def test_serving_image_is_the_managed_runtime() -> None:
    """The packages that tests run models in are those that the image installs."""
    lines = (ROOT / "docker" / "serving-requirements.txt").read_text(encoding="utf-8").splitlines()
    with_dependencies = {line for line in lines if line and not line.startswith("#")}
    text = (ROOT / "docker" / "serving.Dockerfile").read_text(encoding="utf-8")
    last = text.replace("\\\n", " ").split("--no-deps ")[-1].split("\n")[0]
    without = set(shlex.split(last))
    steps = RECIPES["paddle-2.3.2"].steps
    assert with_dependencies == {r for s in steps if "--no-deps" not in s.options for r in s.requirements}
    assert without == {r for s in steps if "--no-deps" in s.options for r in s.requirements}
    assert re.search(r"^ARG BASE=python:3\.8-", text, re.M)


@pytest.mark.slow
def test_converter_image_converts(tmp_path: Path) -> None:
    """The RUN lines of the converter's build stage, executed in a folder, and its entry point."""
    text = (ROOT / "docker" / "converter.Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    build = text.split("\nFROM ")[1]
    src = tmp_path / "src"
    for sources, target in re.findall(r"^COPY (.*) (\S+)$", build, re.M):
        for source in sources.split():
            where = src / target / source if target == "./" else src / target
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, where, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                where.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, where)
    for command in re.findall(r"^RUN (.*)$", build, re.M):
        subprocess.run(["sh", "-c", command.replace("/opt/mconv", str(tmp_path / "mconv"))], cwd=src, check=True)
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", text, re.M)
    shutil.copytree(case("2.3.2-bert").model, tmp_path / "models" / "bert")
    command = [*yaml.safe_load(entry), "to-serving", "bert"]
    env = {"PATH": f"{tmp_path / 'mconv' / 'bin'}{os.pathsep}/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run(["sh", "-c", shlex.join(command)], cwd=tmp_path / "models", check=True, env=env)
    assert (tmp_path / "models" / "serving_server").is_dir()
    heavy = "import importlib.util as u; print([m for m in ('paddle', 'torch') if u.find_spec(m)])"
    done = subprocess.run([str(tmp_path / "mconv" / "bin" / "python"), "-c", heavy], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
