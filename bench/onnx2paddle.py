"""``mconv onnx2paddle`` on a 440 MB BERT-base ONNX file against ``cp`` of the file and against X2Paddle, in one run.

Every round runs all commands as whole processes, one after the other, on a model that is in the page cache; the medians
of the rounds are compared. X2Paddle is run once, where its managed runtime is installed (x2paddle-1.6.0).

    python bench/onnx2paddle.py [--rounds 5] [--write docs/benchmarks.md] [--no-x2paddle]
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Optional

from section import Section, finish
from to_serving import Timing, machine

from mconv import __version__, runtimes
from mconv.errors import RuntimeUnavailableError
from mconv.runtimes import x2paddle

HERE = Path(__file__).parent
BEGIN, END = "<!-- onnx2paddle: begin -->", "<!-- onnx2paddle: end -->"
# the targets: at most so many times `cp` beside the start-up, memory below
MAX_OF_CP, MAX_MB = 2.5, 300.0
HEAVY = ("paddle", "torch", "onnxruntime", "x2paddle")
_WATCHED = """
import sys
from mconv.cli.main import run
code = run(sys.argv[1:])
heavy = [name for name in {heavy!r} if name in sys.modules]
sys.exit(code or (f"imported: {{', '.join(heavy)}}" if heavy else 0))
"""
# a model of one node, so that what is left is the start-up: interpreter, onnx, the operators' tables
_SMALL = """
import sys, onnx
from onnx import TensorProto, helper
ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "small", ports[:1], ports[1:])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), sys.argv[1])
"""


def measure(work: Path, rounds: int, with_x2paddle: bool) -> tuple[dict[str, Timing], int]:
    model, small = work / "bert.onnx", work / "small.onnx"
    # in processes of their own: what they take would count as memory of those forked from this one
    subprocess.run([sys.executable, str(HERE / "make_bert_onnx.py"), str(model)], check=True)
    subprocess.run([sys.executable, "-c", _SMALL, str(small)], check=True)
    mconv = [sys.executable, "-m", "mconv", "onnx2paddle", "--quiet", "--no-verify"]
    commands = {
        "start-up": [*mconv, str(small), str(work / "a")],
        "cp": ["cp", str(model), str(work / "b")],
        "mconv onnx2paddle": [*mconv, str(model), str(work / "c")],
    }
    timings = {name: Timing() for name in commands}
    Timing.warm([commands["start-up"]], work)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, command in commands.items():
            _clear(work)
            timings[name].run(command, None, work)
    _clear(work)
    watched = [sys.executable, "-c", _WATCHED.format(heavy=HEAVY), "onnx2paddle", "--no-verify", "--quiet"]
    Timing().run([*watched, str(model), str(work / "d")], None, work)
    if with_x2paddle:
        timings["x2paddle"] = _x2paddle(model, work)
    return timings, model.stat().st_size


def _x2paddle(model: Path, work: Path) -> Timing:
    """X2Paddle itself in its runtime, its statistics off."""
    runtime, timing = x2paddle.runtime(), Timing()
    command = [
        str(runtime.python), "-m", "x2paddle.convert", "--framework", "onnx", "--model", str(model),
        "--save_dir", str(work / "e"), "--disable_feedback", "1",
    ]  # fmt: skip
    timing.run(command, runtime.environ(), work)
    if not (work / "e" / "inference_model" / "model.pdmodel").is_file():
        raise SystemExit("X2Paddle wrote no model")
    return timing


def _clear(work: Path) -> None:
    for name in "abcde":
        path = work / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def report(timings: dict[str, Timing], size: int, rounds: int) -> tuple[Section, list[str]]:
    start, copy, ours = timings["start-up"], timings["cp"], timings["mconv onnx2paddle"]
    of_copy, peak = max(0.0, ours.seconds - start.seconds) / copy.seconds, max(ours.peak)
    failed = []
    for ok, text in (
        (of_copy <= MAX_OF_CP, f"{of_copy:.2f} times cp beside the start-up, more than {MAX_OF_CP}"),
        (peak < MAX_MB, f"{peak:.0f} MB at the peak, not below {MAX_MB:.0f}"),
    ):
        if not ok:
            failed.append(text)
    other: Optional[Timing] = timings.get("x2paddle")
    rows = [
        start.row("`mconv onnx2paddle` on a model of one node (start-up)"),
        copy.row("`cp` of the file"),
        ours.row("`mconv onnx2paddle`"),
    ]
    comparison = comparison_zh = ""
    if other is not None:
        rows.append(other.row("`x2paddle --framework onnx` (1.6.0 on Paddle 2.6.2; one run)"))
        faster, less = other.seconds / ours.seconds, max(other.peak) / peak
        comparison = f" It is {faster:.1f} times as fast as X2Paddle, with {less:.0f}\ntimes less memory."
        comparison_zh = f"速度为 X2Paddle 的 {faster:.1f} 倍，内存为其 1/{less:.0f}。"
    load = os.getloadavg()[0]
    english = f"""\
A BERT-base sized ONNX model of opset 11 ({size / 1e6:.0f} MB; `bench/make_bert_onnx.py`), in the page cache, with
`--no-verify`. Whole processes, {rounds} rounds of all commands in turn after a call that is not counted, mconv {__version__} on Python
{platform.python_version()}. Machine: {machine()}; load average at the end {load:.1f} (an idle machine
shows about 1). Command: `make bench`."""
    chinese = f"""\
BERT-base 大小、opset 11 的 ONNX 模型（{size / 1e6:.0f} MB；`bench/make_bert_onnx.py`），已在页缓存中，使用 `--no-verify`。
整个进程，先有一次不计入的调用，然后所有命令轮流执行 {rounds} 轮，mconv {__version__}，Python {platform.python_version()}。
机器：{machine()}；结束时的平均负载 {load:.1f}（空闲的机器约为 1）。命令：`make bench`。"""
    rest = f"""\
Beside its start-up, mconv takes {of_copy:.2f} times as long as `cp` (at most {MAX_OF_CP} is the target).{comparison} No process of mconv imports
{", ".join(HEAVY[:-1])} or {HEAVY[-1]} (checked in the run)."""
    rest_zh = f"""\
除去启动，mconv 用时为 `cp` 的 {of_copy:.2f} 倍（目标：至多 {MAX_OF_CP}）。{comparison_zh}
mconv 的任何进程都不导入 {"、".join(HEAVY)}（运行时检查）。"""
    table = "\n".join(["| command | median s | from, to | CPU s | peak MB |", "|---|---|---|---|---|", *rows])
    text = Section.of(english, table, chinese, (rest, rest_zh))
    return text, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is replaced")
    parser.add_argument("--no-x2paddle", action="store_true")
    arguments = parser.parse_args()
    with_x2paddle = not arguments.no_x2paddle
    try:
        runtimes.find(x2paddle.RUNTIME)
    except RuntimeUnavailableError as e:
        print(f"without X2Paddle: {e.message}", file=sys.stderr)
        with_x2paddle = False
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as work:
        timings, size = measure(Path(work), arguments.rounds, with_x2paddle)
    text, failed = report(timings, size, arguments.rounds)
    finish(text, failed, arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
