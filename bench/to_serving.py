"""``mconv to-serving`` against ``cp -r`` of the same files and against the official converter, paired in one run.

Every round runs the three as whole processes, one after the other, on a model that is in the page cache; the medians
of the rounds are compared. Needs the managed runtime paddle-2.3.2.

    python bench/to_serving.py [--rounds 5] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Optional

from section import Section, finish

from mconv import __version__, runtimes

HERE = Path(__file__).parent
SMALL = HERE.parent / "tests" / "data" / "golden" / "paddle-2.3.2" / "mlp" / "inference_model"
BEGIN, END = "<!-- to-serving: begin -->", "<!-- to-serving: end -->"
# the targets: at most so many times `cp` beside the start-up, so many times faster than the official converter
MAX_OF_CP, MIN_SPEEDUP, MAX_MB = 1.5, 10.0, 150.0


class Timing:
    """Wall clock, CPU seconds and peak memory (MB) of the runs of one command."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.peak: list[float] = []

    @classmethod
    def warm(cls, commands: Iterable[Sequence[str]], cwd: Path) -> None:
        """Run each once, unmeasured: a user's first call compiles Python's modules, all others find them compiled."""
        for command in commands:
            cls().run(command, None, cwd)

    def run(self, command: Sequence[str], env: Optional[Mapping[str, str]] = None, cwd: Optional[Path] = None) -> None:
        # as for a user: what Python compiles at the first call is there from then on
        env = {k: v for k, v in (os.environ if env is None else env).items() if k != "PYTHONDONTWRITEBYTECODE"}
        os.sync()  # what the run before has written is not charged to this one
        start = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            env=env,
            cwd=cwd,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stderr is not None
        log = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        self.wall.append(time.perf_counter() - start)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}\n{log[-2000:]}")
        self.cpu.append(usage.ru_utime + usage.ru_stime)
        self.peak.append(usage.ru_maxrss / 1024)

    @property
    def seconds(self) -> float:
        return statistics.median(self.wall)

    def row(self, name: str) -> str:
        spread = f"{min(self.wall):.2f} to {max(self.wall):.2f}"
        return f"| {name} | {self.seconds:.2f} | {spread} | {statistics.median(self.cpu):.2f} | {max(self.peak):.0f} |"


def machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, {platform.system()} {platform.release()}"


def measure(work: Path, rounds: int) -> tuple[dict[str, Timing], int]:
    runtime = runtimes.find("paddle-2.3.2")
    python, env = str(runtime.python), runtime.environ(OMP_NUM_THREADS="1")
    model = work / "model"
    subprocess.run([python, str(HERE / "make_bert.py"), str(model)], env=env, check=True, capture_output=True)
    for extra in model.glob("*.info"):
        extra.unlink()
    size = sum(p.stat().st_size for p in model.iterdir())
    mconv = [sys.executable, "-m", "mconv", "to-serving", "--quiet"]
    commands: dict[str, tuple[list[str], Optional[Mapping[str, str]]]] = {
        "start-up": ([*mconv, str(SMALL), "--out", str(work / "a")], None),
        "cp -r": (["cp", "-r", str(model), str(work / "b")], None),
        "mconv to-serving": ([*mconv, str(model), "--out", str(work / "c")], None),
        "without hashes": ([*mconv, "--no-provenance", str(model), "--out", str(work / "e")], None),
        "paddle_serving_client.convert": (
            [
                python, "-m", "paddle_serving_client.convert", "--dirname", str(model),
                "--model_filename", "bert.pdmodel", "--params_filename", "bert.pdiparams",
                "--serving_server", str(work / "d" / "server"), "--serving_client", str(work / "d" / "client"),
            ],
            env,
        ),
    }  # fmt: skip
    timings = {name: Timing() for name in commands}
    Timing.warm([commands["start-up"][0]], work)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, (command, environ) in commands.items():
            for folder in "abcde":
                shutil.rmtree(work / folder, ignore_errors=True)
            timings[name].run(command, environ, work)
        if number == 0:
            # by `cmp`: a file read here would count as memory of the processes forked from this one
            pair = [str(folder / "bert.pdiparams") for folder in (work / "d" / "server", model)]
            if subprocess.run(["cmp", "-s", *pair]).returncode != 0:
                raise SystemExit("the official converter wrote other parameters")
    return timings, size


def report(timings: dict[str, Timing], size: int, rounds: int) -> tuple[Section, list[str]]:
    ours, copy, bare = timings["mconv to-serving"], timings["cp -r"], timings["without hashes"]
    start, official = timings["start-up"], timings["paddle_serving_client.convert"]
    of_copy = max(0.0, ours.seconds - start.seconds) / copy.seconds
    speedup, peak = official.seconds / ours.seconds, max(ours.peak)
    failed = []
    for ok, text in (
        (of_copy <= MAX_OF_CP, f"{of_copy:.2f} times cp beside the start-up, more than {MAX_OF_CP}"),
        (speedup >= MIN_SPEEDUP, f"{speedup:.1f} times faster than the official converter, less than {MIN_SPEEDUP}"),
        (peak < MAX_MB, f"{peak:.0f} MB at the peak, not below {MAX_MB:.0f}"),
    ):
        if not ok:
            failed.append(text)
    table = f"""\
| command | median s | from, to | CPU s | peak MB |
|---|---|---|---|---|
{start.row("`mconv to-serving` on a model of 1 kB (start-up)")}
{copy.row("`cp -r` of the model's files")}
{ours.row("`mconv to-serving`")}
{bare.row("`mconv to-serving --no-provenance`")}
{official.row("`python -m paddle_serving_client.convert` (0.9.0 on Paddle 2.3.2)")}"""
    load, less = os.getloadavg()[0], max(official.peak) / peak
    english = f"""\
A BERT-base sized model ({size / 1e6:.0f} MB; `bench/make_bert.py`, saved by Paddle 2.3.2), in the page cache. Whole
processes, {rounds} rounds of all commands in turn after a call that is not counted, mconv {__version__} on Python {platform.python_version()}.
Machine: {machine()}; load average at the end {load:.1f} (an idle machine shows about 1). Command:
`make bench`."""
    chinese = f"""\
BERT-base 大小的模型（{size / 1e6:.0f} MB；`bench/make_bert.py`，由 Paddle 2.3.2 保存），已在页缓存中。
整个进程，先有一次不计入的调用，然后所有命令轮流执行 {rounds} 轮，mconv {__version__}，Python {platform.python_version()}。
机器：{machine()}；结束时的平均负载 {load:.1f}（空闲的机器约为 1）。命令：`make bench`。"""
    rest = f"""\
Beside its start-up, mconv takes {of_copy:.2f} times as long as `cp` (at most {MAX_OF_CP} is the target), the hashes of all
files in `provenance.json` included. It is {speedup:.1f} times as fast as the official converter (at least {MIN_SPEEDUP:.0f}), with
{less:.0f} times less memory."""
    rest_zh = f"""\
除去启动，mconv 用时为 `cp` 的 {of_copy:.2f} 倍（目标：至多 {MAX_OF_CP}），包括 `provenance.json` 中所有文件的散列值。
速度为官方转换工具的 {speedup:.1f} 倍（至少 {MIN_SPEEDUP:.0f}），内存为其 1/{less:.0f}。"""
    return Section.of(english, table, chinese, (rest, rest_zh)), failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is replaced")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as work:
        timings, size = measure(Path(work), arguments.rounds)
    text, failed = report(timings, size, arguments.rounds)
    finish(text, failed, arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
