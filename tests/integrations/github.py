"""As much of GitHub's runner as a composite action with shell steps needs, from the action's file itself."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
# actions that GitHub itself brings; here Python and the caches are there already
GIVEN = {"actions/setup-python", "actions/cache"}


@dataclass
class Job:
    """What a job leaves: the outcome of each step, the summary of the page, the action's outputs."""

    ok: bool = True
    log: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)


def run_action(workspace: Path, temp: Path, inputs: dict[str, str], **environment: str) -> Job:
    """Run the ``run:`` steps of ``action.yml`` in *workspace*, as ``uses:`` with these inputs does.

    Args:
        workspace: the checked-out repository that uses the action.
        temp: RUNNER_TEMP; what it holds stays from job to job of one test.
        inputs: ``with:``; the others have their defaults.
    """
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert set(inputs) <= set(action["inputs"])
    context: dict[str, Any] = {
        "inputs": {name: inputs.get(name, spec.get("default", "")) for name, spec in action["inputs"].items()},
        "runner": {"os": "Linux", "arch": "X64"},
        "steps": {},
    }
    files = {
        name: temp / name.lower() for name in ("GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV")
    }
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GITHUB_", "MCONV_", "PYTHONPATH"))}
    env |= {"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(ROOT), "GITHUB_WORKSPACE": str(workspace)}
    env |= {"RUNNER_TEMP": str(temp), "RUNNER_OS": "Linux", **{k: str(v) for k, v in files.items()}, **environment}
    job = Job()
    for path in files.values():
        path.write_text("")
    for step in action["runs"]["steps"]:
        if "uses" in step:
            assert step["uses"].split("@")[0] in GIVEN
            continue
        assert step["shell"] == "bash" and "if" not in step
        own = {k: evaluate(str(v), context) for k, v in step.get("env", {}).items()}
        files["GITHUB_OUTPUT"].write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", evaluate(step["run"], context)],
            cwd=workspace, env={**env, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
        )  # fmt: skip
        job.log += done.stdout
        job.ran.append(step["name"])
        pairs = [line.partition("=") for line in files["GITHUB_OUTPUT"].read_text().splitlines()]
        context["steps"][step.get("id", step["name"])] = {"outputs": {k: v for k, _, v in pairs}}
        for line in files["GITHUB_PATH"].read_text().splitlines():
            env["PATH"] = f"{line}{os.pathsep}{env['PATH']}"
        files["GITHUB_PATH"].write_text("")
        if done.returncode:
            job.ok = False
            break
    job.summary = files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
    job.outputs = {name: evaluate(spec["value"], context) for name, spec in action["outputs"].items()}
    return job


def evaluate(text: str, context: dict[str, Any]) -> str:
    """The text with its ``${{ a.b.c }}`` replaced; an unknown name is the empty string, as GitHub has it."""

    def value(match: re.Match[str]) -> str:
        found: Any = context
        for part in match[1].split("."):
            found = found.get(part, "") if isinstance(found, dict) else ""
        return str(found)

    return re.sub(r"\$\{\{ *([\w.-]+) *\}\}", value, text)
