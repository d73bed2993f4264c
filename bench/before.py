"""The package as it was before services and programs were tuned, for benchmarks that say what that gained."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# the last commit whose services were as Paddle Serving's examples are: thread_num 2, no oneDNN, no batching of requests;
# and whose programs did not have the forms that Paddle's passes look for
BEFORE = "889e84b0785d025762e7e2eaa33b96c04e242e7c"


def sources(commit: str, folder: Path) -> Path:
    """The package as it was at a commit, below a new folder; needs the repository's history."""
    folder.mkdir()
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit, "src"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder / "src"
