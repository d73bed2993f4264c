"""``mconv downgrade`` on a BERT-base sized PIR model against ``cp`` of its files, paired in one run.

Every round runs, as whole processes on a model in the page cache: ``cp -r``, ``mconv downgrade`` (which copies the
parameters) and ``mconv downgrade --link``. Needs a Paddle 3 in this Python to make the model.

    python bench/pir.py [--rounds 5] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from section import Section, finish
from to_serving import Timing, machine

HERE = Path(__file__).parent
BEGIN, END = "<!-- pir: begin -->", "<!-- pir: end -->"
# the targets: seconds on top of copying the parameters, and peak memory
MAX_SECONDS, MAX_MB = 1.0, 200.0


def measure(rounds: int) -> dict[str, Timing]:
    names = ("cp -r", "mconv downgrade", "mconv downgrade --link")
    timings = {name: Timing() for name in names}
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as scratch:
        folder = Path(scratch)
        source = folder / "source"
        source.mkdir()
        subprocess.run([sys.executable, str(HERE / "make_bert_pir.py"), str(source)], check=True, capture_output=True)
        mconv = [sys.executable, "-m", "mconv", "downgrade", str(source / "bert.json")]
        for number in range(rounds + 1):
            fresh = {name: Timing() for name in names} if number == 0 else timings  # the first round warms up
            fresh["cp -r"].run(["cp", "-r", str(source), str(folder / "copy")])
            fresh["mconv downgrade"].run([*mconv, str(folder / "made"), "--quiet"])
            fresh["mconv downgrade --link"].run([*mconv, str(folder / "linked"), "--link", "--quiet"])
            for name in ("copy", "made", "linked"):
                shutil.rmtree(folder / name)
    return timings


def report(timings: dict[str, Timing], rounds: int) -> Section:
    rows = [timing.row(f"`{name}`") for name, timing in timings.items()]
    table = "\n".join(["| | s | from … to | CPU s | peak MB |", "|---|---|---|---|---|", *rows])
    english = (
        f"BERT-base sized PIR model (418 MB of parameters), {machine()}, Python {sys.version.split()[0]}; "
        f"whole processes, median of {rounds}."
    )
    chinese = f"BERT-base 大小的 PIR 模型（418 MB 参数），{machine()}，Python {sys.version.split()[0]}；整个进程，{rounds} 次的中位数。"
    return Section.of(english, table, chinese)


def main() -> NoReturn:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="put the table between the marks in this file")
    arguments = parser.parse_args()
    timings = measure(arguments.rounds)
    over = timings["mconv downgrade"].seconds - timings["cp -r"].seconds
    peak = max(max(t.peak) for name, t in timings.items() if name != "cp -r")
    linked = timings["mconv downgrade --link"].seconds
    print(f"on top of cp: {over:.2f} s; without copying: {linked:.2f} s; peak {peak:.0f} MB\n")
    failed = [f"{linked:.2f} s without copying"] if linked > MAX_SECONDS else []
    failed += [f"{peak:.0f} MB"] if peak > MAX_MB else []
    finish(report(timings, arguments.rounds), failed, arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
