"""``mconv torch2paddle`` on a BERT-base folder with random weights, by phase: PyTorch's share, and what comes after it.

Every round is a whole process; the medians of the phases over the rounds are shown. The route through PyTorch's ONNX
exporter is run once.

    python bench/torch2paddle.py [--rounds 3] [--write docs/benchmarks.md] [--no-onnx]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from section import Section, finish
from to_serving import Timing, machine

from mconv import __version__

BEGIN, END = "<!-- torch2paddle: begin -->", "<!-- torch2paddle: end -->"
# the target: everything after PyTorch's export in so large a part of its time
MAX_OF_EXPORT = 0.1
EXPORT, AFTER = ("torch.export", "decompositions"), ("import", "passes", "write")
_MODEL = """
import sys, torch
from transformers import BertConfig, BertForSequenceClassification
torch.manual_seed(0)
BertForSequenceClassification(BertConfig()).save_pretrained(sys.argv[1])
"""


def measure(
    work: Path, rounds: int, with_onnx: bool
) -> tuple[Timing, list[dict[str, float]], Timing, dict[str, float]]:
    model = work / "bert"
    subprocess.run([sys.executable, "-c", _MODEL, str(model)], check=True, capture_output=True)
    command = [sys.executable, "-m", "mconv", "torch2paddle", "--quiet", "--no-verify", str(model)]
    ours, phases, onnx, onnx_phases = Timing(), [], Timing(), {}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        out = work / "out"
        ours.run([*command, str(out)], None, work)
        phases.append(json.loads((out / "report.json").read_text())["seconds"])
        shutil.rmtree(out)
    if with_onnx:
        onnx.run([*command, str(work / "onnx"), "--via", "onnx"], None, work)
        onnx_phases = json.loads((work / "onnx" / "report.json").read_text())["seconds"]
    return ours, phases, onnx, onnx_phases


def report(
    ours: Timing, phases: list[dict[str, float]], onnx: Timing, onnx_phases: dict[str, float], rounds: int
) -> tuple[Section, list[str]]:
    import torch

    median = {name: statistics.median(p[name] for p in phases) for name in phases[0] if name != "verify"}
    export, after = (sum(median[n] for n in group) for group in (EXPORT, AFTER))
    share = after / export
    failed = [] if share <= MAX_OF_EXPORT else [f"{share:.3f} of the export, more than {MAX_OF_EXPORT}"]
    rows = [f"| {name} | {seconds:.2f} |" for name, seconds in median.items()]
    other = other_zh = ""
    if onnx_phases:
        total, exporter, most = onnx_phases["total"], onnx_phases["torch.onnx.export"], max(onnx.peak)
        other = (
            f" The route through ONNX (one run) takes {total:.1f} s, {exporter:.1f} s of them in PyTorch's\n"
            f"exporter, with {most:.0f} MB."
        )
        other_zh = f"经过 ONNX 的路线（一次）用时 {total:.1f} 秒，其中 PyTorch 的导出器 {exporter:.1f} 秒，内存 {most:.0f} MB。"
    load = os.getloadavg()[0]
    english = f"""\
A Hugging Face folder of BERT-base with random weights (110 million), with `--no-verify`: phases of the report, medians
of {rounds} whole processes, mconv {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}.
Machine: {machine()}; load average at the end {load:.1f}. Command: `make bench`."""
    chinese = f"""\
带随机权重（1.1 亿）的 BERT-base Hugging Face 文件夹，使用 `--no-verify`：报告中的各阶段，{rounds} 个完整进程的中位数，
mconv {__version__}，PyTorch {torch.__version__}，Python {platform.python_version()}。
机器：{machine()}；结束时的平均负载 {load:.1f}。命令：`make bench`。"""
    rest = f"""\
Everything after PyTorch's export ({", ".join(AFTER)}) takes {after:.2f} s, {100 * share:.1f}% of the export's {export:.2f} s.
The whole process takes {ours.seconds:.1f} s and {max(ours.peak):.0f} MB at the peak.{other}"""
    rest_zh = f"""\
PyTorch 导出之后的一切（{"、".join(AFTER)}）用时 {after:.2f} 秒，为导出 {export:.2f} 秒的 {100 * share:.1f}%。
整个进程用时 {ours.seconds:.1f} 秒，内存峰值 {max(ours.peak):.0f} MB。{other_zh}"""
    text = Section.of(english, "\n".join(["| phase | s |", "|---|---|", *rows]), chinese, (rest, rest_zh))
    return text, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is replaced")
    parser.add_argument("--no-onnx", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as work:
        found = measure(Path(work), arguments.rounds, not arguments.no_onnx)
    text, failed = report(*found, arguments.rounds)
    finish(text, failed, arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
