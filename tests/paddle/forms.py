"""Every public function in both forms in which Paddle saves it, brought to every target: what becomes of it.

``python -m tests.paddle.forms save FOLDER [NAME…]`` has the models written: as ``.json`` by the installed Paddle, as
``.pdmodel`` by the managed 2.6.2. ``python -m tests.paddle.forms run FOLDER [--write]`` converts each for each target and
runs it in the Paddle that the target stands for, against what the Paddle that wrote it gave; ``--write`` renews the
committed list.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from mconv import runtimes
from tests.paddle import sweep

LIST = Path(__file__).with_name("forms.json")
# form → the runtime that saves it
WRITERS = {"json": "current", "pdmodel": "paddle-2.6.2"}
# target → the runtime that it is for
RUNTIMES = {"1.8": "paddle-1.8.5", "2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2", "3": "current"}


def save(folder: Path, form: str, names: Iterable[str] = ()) -> dict[str, str]:
    """Have a model written for each case; gives the reason for those that its Paddle cannot save and run."""
    path = folder / form
    path.mkdir(parents=True, exist_ok=True)
    runtime = runtimes.find(WRITERS[form])
    subprocess.run(
        [str(runtime.python), str(sweep.HERE / "sweep.py"), "save", str(path), *names],
        env={**runtime.environ(), "FLAGS_enable_pir_api": str(int(form == "json"))},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=1800,
    )
    failed: dict[str, str] = json.loads((path / "failed.json").read_text())
    return failed


def run(folder: Path, form: str, target: str, names: Iterable[str]) -> dict[str, Optional[str]]:
    """Case → what went wrong (None: the numbers are the source's)."""
    with runtimes.find(RUNTIMES[target]).worker() as worker:
        return {name: sweep.run_case(folder / form, name, worker, target) for name in names}


def verdict(wrong: Optional[str]) -> str:
    """``works``, ``refused`` or ``wrong``: it could not be loaded, died, or gave other numbers."""
    return "works" if wrong is None else "refused" if wrong.startswith("UnsupportedError") else "wrong"


def main(arguments: list[str]) -> int:
    verb, folder, *rest = arguments
    names = [a for a in rest if not a.startswith("--")]
    path = Path(folder)
    if verb == "save":
        for form in WRITERS:
            print(form, "not saved:", len(save(path, form, names)))
        return 0
    listed: dict = {}
    for form in WRITERS:
        failed = json.loads((path / form / "failed.json").read_text())
        saved = [n for n in names or sweep.all_cases() if n not in failed and sweep.source(path / form, n).exists()]
        listed[form] = {"saved": saved, "fails": {}}
        for target in RUNTIMES:
            results = run(path, form, target, saved)
            fails = {n: re.sub(r"\S*/\S*", "…", w) for n, w in sorted(results.items()) if w is not None}
            listed[form]["fails"][target] = fails
            print(form, target, len(saved) - len(fails), "of", len(saved), flush=True)
    if "--write" in rest:
        LIST.write_text(json.dumps(listed, indent=1) + os.linesep)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
