"""``mconv to-onnx`` on a BERT-base sized PIR model against ``cp`` of its weights and paddle2onnx, paired in one run.

Every round runs, as whole processes on a model in the page cache: ``cp`` of the parameters, ``mconv to-onnx --no-verify``
on the same network with next to no weights (what does not depend on them: the start-up, and all operators), on the
network itself, and paddle2onnx. Needs a Paddle 3 in this Python.

    python bench/to_onnx.py [--rounds 5] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from section import Section, finish
from to_serving import Timing, machine

from mconv.runtimes import paddle2onnx

HERE = Path(__file__).parent
BEGIN, END = "<!-- to-onnx: begin -->", "<!-- to-onnx: end -->"
# the targets: times of cp beside the start-up, and peak memory
MAX_RATIO, MAX_MB = 2.0, 200.0
SMALL = "mconv to-onnx, width 24"
NAMES = ("cp", SMALL, "mconv to-onnx", "paddle2onnx")
OTHER = "import sys, paddle2onnx; paddle2onnx.export(sys.argv[1], sys.argv[2], sys.argv[3], opset_version=17)"


def measure(rounds: int) -> dict[str, Timing]:
    timings = {name: Timing() for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as scratch:
        folder = Path(scratch)
        source = folder / "source"
        for target, more in ((source, []), (folder / "small", ["24"])):
            target.mkdir()
            subprocess.run([sys.executable, str(HERE / "make_bert_pir.py"), str(target), *more], check=True, capture_output=True)  # fmt: skip
        program, weights, out = str(source / "bert.json"), str(source / "bert.pdiparams"), folder / "out"
        for number in range(rounds + 1):
            fresh = {name: Timing() for name in NAMES} if number == 0 else timings  # the first round warms up
            out.mkdir()
            fresh["cp"].run(["cp", weights, str(out / "copy")])
            ours = [sys.executable, "-m", "mconv", "to-onnx", "--opset", "17", "--no-verify", "--quiet"]
            fresh[SMALL].run([*ours, str(folder / "small" / "bert.json"), str(out / "small.onnx")])
            fresh["mconv to-onnx"].run([*ours, program, str(out / "ours.onnx")])
            fresh["paddle2onnx"].run(
                [str(paddle2onnx.runtime().python), "-c", OTHER, program, weights, str(out / "other.onnx")]
            )
            shutil.rmtree(out)
    return timings


def ratio(timings: dict[str, Timing]) -> float:
    """What the weights take, in times of ``cp``: the median of the rounds."""
    rows = zip(*(timings[name].wall for name in ("mconv to-onnx", SMALL, "cp")))
    return statistics.median((ours - start) / copy for ours, start, copy in rows)


def missed(timings: dict[str, Timing]) -> list[str]:
    """The targets that are not reached, in words."""
    times, peak = ratio(timings), max(timings["mconv to-onnx"].peak)
    found = [f"{times:.2f} times cp beside the start-up, more than {MAX_RATIO}"] if times > MAX_RATIO else []
    return [*found, *([f"{peak:.0f} MB at the peak, not below {MAX_MB:.0f}"] if peak >= MAX_MB else [])]


def report(timings: dict[str, Timing], rounds: int) -> Section:
    rows = [timing.row(f"`{name}`") for name, timing in timings.items()]
    table = "\n".join(["| | s | from … to | CPU s | peak MB |", "|---|---|---|---|---|", *rows])
    english = (
        f"BERT-base sized `.json` (418 MB of parameters), opset 17, {machine()}, Python {sys.version.split()[0]}; whole "
        f"processes, median of {rounds}."
    )
    chinese = (
        f"BERT-base 大小的 `.json`（418 MB 参数），opset 17，{machine()}，Python {sys.version.split()[0]}；"
        f"整个进程，{rounds} 次的中位数。"
    )
    times = f"{ratio(timings):.2f} × `cp`"
    rest = f"For the weights, `mconv to-onnx` takes {times}.", f"对于权重，`mconv to-onnx` 用时 {times}。"
    return Section.of(english, table, chinese, rest)


def main() -> NoReturn:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="put the table between the marks in this file")
    arguments = parser.parse_args()
    timings = measure(arguments.rounds)
    finish(report(timings, arguments.rounds), missed(timings), arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
