"""Latency of converted models beside Paddle's own export of the same architecture, ONNX Runtime and OpenVINO.

    python bench/latency.py [--only bert,resnet50] [--seconds 8] [--threads 1] [--write docs/benchmarks.md]

For each architecture, in one run: what is compared with each other is loaded at the same time, each in a process of its
own, and run in turns; the figure is the fastest run of all rounds. Groups, each with a reference:

- in each Paddle: converted from PyTorch (with weights as training leaves them, and untrained), from ONNX and from
  ``.json``, beside what that very Paddle exports;
- converted from PyTorch in each Paddle, in 2.3.2 also as services were before (the program that mconv wrote then, without
  oneDNN; with as many threads as the others, and with the two that ``config.yml`` gave it), beside ONNX Runtime and
  OpenVINO;
- BERT and ViT in 2.3.2 before and now with the kernels that MKL and oneDNN choose on processors that are not Intel's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional
from unittest import mock

import numpy as np
from before import BEFORE, sources
from section import Section, finish
from to_serving import machine

from mconv import __version__, runtimes
from mconv.errors import MconvError
from mconv.program import files
from mconv.runtimes.latency import LatencyWorker, here
from mconv.serving.onednn import EXCEPT, PASSES

BEGIN, END = "<!-- latency: begin -->", "<!-- latency: end -->"
HERE = Path(__file__).resolve().parent
PADDLES = ("2.3.2", "2.6.2", "3.3.1")
MODELS = {
    "bert": "BERT-base, 1 × 128",
    "vit": "ViT-B/16",
    "resnet50": "ResNet-50",
    "mobilenetv3": "MobileNetV3-Large",
    "det": "PP-OCRv4 det, 640 × 640",
    "rec": "PP-OCRv4 rec, 48 × 320",
}
OWN, TORCH, UNTRAINED, ONNX, JSON = (
    "Paddle's own export",
    "from PyTorch",
    "from PyTorch, untrained",
    "from ONNX",
    "from .json",
)
# what has to hold, and where
OF_OWN, OF_ORT, OF_26, FASTER = 1.05, 1.25, 1.5, 2.0
NOW, THEN, THEN_TWO = "Paddle 2.3.2", "Paddle 2.3.2, before", "Paddle 2.3.2, before, 2 threads"
# MKL has kernels for AVX2 and AVX-512 and uses them on Intel's processors alone; oneDNN asks for what there is
NOT_INTEL = {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2"}
ELSEWHERE = "kernels of other processors"

# read from oneDNN's own log (ONEDNN_VERBOSE) and from `mconv inspect --fusions`, in 3.3.1
SMALL = """\
MobileNetV3 has no operator left that a pass could take: 46 of its 46 batch norms, all 47 activations and all 10 residuals
are part of a convolution, the squeeze-and-excitation blocks are two of these and a product. oneDNN's kernels take 60% of
the time, a little more than ONNX Runtime takes in all (6.8 ms against 5.9). The rest is not in kernels: what Paddle does
around each of its 85 operators; the new executor and PIR take as long.
"""
SMALL_ZH = """\
MobileNetV3 已没有任何 pass 还能取走的算子：46 个批归一化、47 个激活和 10 个残差全都并入了卷积，
squeeze-and-excitation 块为两个卷积和一个乘积。oneDNN 的核占 60% 的时间，略多于 ONNX Runtime 的全部时间（6.8 毫秒对 5.9）。
其余不在核里：是 Paddle 在它的 85 个算子前后各自所做的事；新执行器和 PIR 用时一样。
"""


@dataclass
class Lane:
    """A model in a runtime; *best* in milliseconds, None until it ran, or where it cannot."""

    label: str
    paddle: Optional[str]
    path: Path
    engine: str = "predictor"
    onednn: bool = True
    threads: Optional[int] = None
    variables: dict[str, str] = field(default_factory=dict)
    best: Optional[float] = None
    problem: str = ""
    worker: Optional[LatencyWorker] = None

    def open(self, threads: int, feed: dict[str, np.ndarray]) -> None:
        runtime = here(self.engine) if self.paddle is None else _runtime(self.paddle)
        with mock.patch.dict(os.environ, self.variables):
            self.worker = LatencyWorker(runtime, threads=self.threads or threads)
            self._load(feed)

    def _load(self, feed: dict[str, np.ndarray]) -> None:
        assert self.worker is not None
        tuned = self.onednn and self.paddle == "2.3.2"
        params = None
        path = self.path
        if self.paddle is not None:
            found = files.locate(path)
            path, params = found.program, found.params
        self.worker.open(
            path,
            params,
            engine=self.engine,
            onednn=self.onednn,
            passes=PASSES if tuned else (),
            onednn_except=EXCEPT if tuned else (),
        )
        self.worker.time(feed, 2)

    def turn(self, feed: dict[str, np.ndarray], runs: int, cpu: bool) -> None:
        assert self.worker is not None
        timed = self.worker.time(feed, runs)
        took = (timed.cpu_seconds / runs if cpu else min(timed.seconds)) * 1e3
        self.best = took if self.best is None else min(self.best, took)


@dataclass
class Group:
    """Lanes that are run in turns."""

    title: str
    lanes: list[Lane] = field(default_factory=list)

    def of(self, label: str) -> Optional[float]:
        return next((lane.best for lane in self.lanes if lane.label == label), None)


def _runtime(paddle: str) -> runtimes.Runtime:
    return runtimes.find("current" if paddle == "3.3.1" else f"paddle-{paddle}")


def run(group: Group, feed: dict[str, np.ndarray], seconds: float, threads: int, cpu: bool) -> None:
    """Measure a group: rounds for about *seconds* for each lane, at least four."""
    with contextlib.ExitStack() as stack:
        ready = []
        for lane in group.lanes:
            try:
                lane.open(threads, feed)
            except MconvError as e:
                lane.problem = str(e).splitlines()[0]
                print(f"  {lane.label}: {lane.problem}", file=sys.stderr)
            else:
                ready.append(lane)
            if lane.worker is not None:
                stack.callback(lane.worker.close)
        start, rounds = time.perf_counter(), 0
        while ready and (rounds < 4 or time.perf_counter() - start < seconds * len(ready)):
            for lane in ready[rounds % len(ready) :] + ready[: rounds % len(ready)]:
                lane.turn(feed, 3 if (lane.best or 1e9) < 100 else 1, cpu)
            rounds += 1
    figures = ", ".join(f"{lane.label} {lane.best:.1f}" for lane in group.lanes if lane.best)
    print(f"  {group.title} ({rounds} rounds): {figures}", file=sys.stderr)


# what is measured ----------------------------------------------------------------------------------------------------


def feeds(name: str, path: Optional[Path] = None) -> dict[str, np.ndarray]:
    """The inputs of a run."""
    rng = np.random.default_rng(0)
    if name == "bert":
        ids = rng.integers(1, 30000, (1, 128))
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    shape = {"det": (1, 3, 640, 640), "rec": (1, 3, 48, 320)}.get(name, (1, 3, 224, 224))
    key = "pixel_values" if path is None else files.load_program(files.locate(path)).feeds[0].name
    return {key: rng.random(shape, np.float32)}


def _do(command: Sequence[str], env: Optional[dict[str, str]] = None) -> None:
    done = subprocess.run(list(command), env=env, cwd=HERE, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")


def prepare(name: str, work: Path) -> dict[str, Path]:
    """Export and convert; what there is, by label; ``own-2.3.2``, … are what the Paddles export."""
    mconv = [sys.executable, "-m", "mconv"]
    then = {**os.environ, "PYTHONPATH": os.pathsep.join([str(sources(BEFORE, work / "sources")), str(HERE)])}
    if name in ("det", "rec"):
        import rapidocr_onnxruntime

        found = Path(rapidocr_onnxruntime.__file__).parent / "models" / f"ch_PP-OCRv4_{name}_infer.onnx"
        made = {ONNX: work / "onnx", THEN: work / "before", "file": found}
        for label, env in ((ONNX, None), (THEN, then)):
            _do([*mconv, "onnx2paddle", "-q", "--no-verify", str(found), str(made[label])], env)
        return made
    names = [
        "input_ids:int64[batch,length]",
        "attention_mask:int64[batch,length]",
        "token_type_ids:int64[batch,length]",
    ]
    inputs = names if name == "bert" else ["pixel_values:float32[batch,3,224,224]"]
    options = [part for given in inputs for part in ("--input", given)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    made = {
        TORCH: work / "torch",
        THEN: work / "before",
        UNTRAINED: work / "untrained",
        ONNX: work / "onnx",
        JSON: work / "json",
    }
    for label, variables in ((TORCH, env), (THEN, then), (UNTRAINED, {**env, "MCONV_UNTRAINED": "1"})):
        command = [*mconv, "torch2paddle", "-q", "--no-verify", *options, f"torch_models:{name}", str(made[label])]
        _do(command, variables)
    made["file"] = work / "model.onnx"
    _do([sys.executable, "torch_models.py", name, str(made["file"])], env)
    _do([*mconv, "onnx2paddle", "-q", "--no-verify", str(made["file"]), str(made[ONNX])])
    for paddle in PADDLES:
        runtime = _runtime(paddle)
        made[f"own-{paddle}"] = work / f"own-{paddle}"
        _do([str(runtime.python), "own.py", name, str(made[f"own-{paddle}"] / "model")], runtime.environ())
    _do([*mconv, "downgrade", "-q", str(made["own-3.3.1"] / "model.json"), str(made[JSON])])
    return made


def groups(name: str, made: dict[str, Path]) -> list[Group]:
    found = []
    converted = [label for label in (TORCH, UNTRAINED, ONNX, JSON) if label in made]
    if "own-2.3.2" in made:
        for paddle in PADDLES:
            lanes = [
                Lane(OWN, paddle, made[f"own-{paddle}"]),
                *(Lane(label, paddle, made[label]) for label in converted),
            ]
            found.append(Group(f"Paddle {paddle}", lanes))
    first = made[converted[0]]
    everywhere = [Lane(f"Paddle {paddle}", paddle, first) for paddle in PADDLES]
    everywhere[1:1] = [
        Lane(THEN, "2.3.2", made[THEN], onednn=False),
        Lane(THEN_TWO, "2.3.2", made[THEN], onednn=False, threads=2),
    ]
    everywhere += [
        Lane("ONNX Runtime", None, made["file"], "onnxruntime"),
        Lane("OpenVINO", None, made["file"], "openvino"),
    ]
    found.append(Group("everywhere", everywhere))
    if name in ("bert", "vit"):
        lanes = [
            Lane(THEN, "2.3.2", made[THEN], onednn=False, variables=NOT_INTEL),
            Lane(NOW, "2.3.2", first, variables=NOT_INTEL),
        ]
        found.append(Group(ELSEWHERE, lanes))
    return found


def named(measured: list[Group], title: str) -> Group:
    """The group of a title; an empty one where there is none."""
    return next((group for group in measured if group.title == title), Group(title))


# the report ----------------------------------------------------------------------------------------------------------


def missed(name: str, measured: list[Group]) -> list[tuple[str, str]]:
    """The targets that an architecture does not reach, in English and Chinese."""
    found = []

    def check(what: str, zh: str, value: Optional[float], of: Optional[float], most: float) -> None:
        if value is None or of is None:
            return
        if value / of > most:
            english = f"{MODELS[name]}: {what}: {value / of:.2f}, more than {most}"
            found.append((english, f"{MODELS[name]}：{zh}：{value / of:.2f}，大于 {most}"))

    for group in (group for group in measured if group.of(OWN)):
        for lane in group.lanes[1:]:
            what, zh = (
                f"{lane.label} in {group.title}, of Paddle's own export",
                f"{lane.label}，{group.title}，比 Paddle 自己的导出",
            )
            check(what, zh, lane.best, group.of(OWN), OF_OWN)
    last = named(measured, "everywhere")
    check(
        "in 3.3.1, of ONNX Runtime", "3.3.1，比 ONNX Runtime", last.of("Paddle 3.3.1"), last.of("ONNX Runtime"), OF_ORT
    )
    check("in 2.3.2, of 2.6.2", "2.3.2，比 2.6.2", last.of("Paddle 2.3.2"), last.of("Paddle 2.6.2"), OF_26)
    if name in ("bert", "vit"):
        what, zh = "of the configuration before", "比以前的配置"
        check(f"in 2.3.2, {what}", f"2.3.2，{zh}", last.of(NOW), last.of(THEN), 1 / FASTER)
        other = named(measured, ELSEWHERE)
        here = f"in 2.3.2 with {ELSEWHERE}, {what}", f"2.3.2，其他处理器的核，{zh}"
        check(*here, other.of(NOW), other.of(THEN), 1 / FASTER)
    return found


def _cell(value: Optional[float], of: Optional[float] = None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" + (f" ({value / of:.2f})" if of else "")


def _before_and_now(results: dict[str, list[Group]]) -> Optional[Section]:
    """The table of what tuning gained; None where no transformer was measured."""
    faster = []
    for name, measured in results.items():
        for group in (named(measured, "everywhere"), named(measured, ELSEWHERE)):
            was, now = group.of(THEN), group.of(NOW)
            if name in ("bert", "vit") and was and now:
                where = "this processor" if group.title == "everywhere" else "MKL with SSE4.2, oneDNN with AVX2"
                faster.append(f"| {MODELS[name]} | {where} | {was:.1f} | {now:.1f} | {was / now:.2f} |")
    if not faster:
        return None
    english = """\
Transformers in 2.3.2, before and now. Without oneDNN, products run in MKL, whose kernels for AVX2 and AVX-512 are used on
Intel's processors alone; there they are about as fast as those of ONNX Runtime, which leaves little to gain (see above).
The second row has the kernels that both libraries choose on other processors:"""
    chinese = """\
2.3.2 中的 Transformer，以前和现在。没有 oneDNN 时乘积在 MKL 中运行，其 AVX2 和 AVX-512 的核只用于 Intel 的处理器；
在那里它们和 ONNX Runtime 的差不多快，可改进的余地很小（见上）。第二行用的是两个库在其他处理器上选择的核："""
    table = ["| model | kernels | before | now | times as fast |", "|---|---|---|---|---|", *faster]
    return Section.of(english, "\n".join(table), chinese)


def report(
    results: dict[str, list[Group]], threads: int, cpu: bool, failed: list[tuple[str, str]], picture: bool
) -> Section:
    labels = [OWN, TORCH, UNTRAINED, ONNX, JSON]
    rows = []
    for name, measured in results.items():
        for group in measured:
            own = group.of(OWN)
            if own is None:
                continue
            cells = [_cell(own), *(_cell(group.of(label), own) for label in labels[1:])]
            rows.append(f"| {MODELS[name]} | {group.title} | {' | '.join(cells)} |")
    runtimes_of = [THEN, THEN_TWO, *(f"Paddle {p}" for p in PADDLES), "ONNX Runtime", "OpenVINO"]
    across = []
    for name, measured in results.items():
        last = named(measured, "everywhere")
        across.append(
            f"| {MODELS[name]} | {' | '.join(_cell(last.of(p), last.of('ONNX Runtime')) for p in runtimes_of)} |"
        )
    load, plural = os.getloadavg()[0], "s" if threads > 1 else ""
    image = "\n\n![{}](latency.svg)" if picture else ""
    first = Section.of(
        f"""\
Milliseconds{" on the processor" if cpu else ""} of the fastest run, {threads} thread{plural}; the ratio to Paddle's own export in the same
runtime in parentheses. Models of the same architecture and size with random weights; each in a process of its own, loaded
at the same time and run in turns. Paddle with oneDNN, 2.3.2 with the two `fc` passes that it leaves out and without
oneDNN's transposed convolution, as the generated services. mconv {__version__}; {machine()}; load average at the end
{load:.1f}. Command: `make bench-latency`.{image.format("Latency")}""",
        "\n".join([f"| model | runtime | {' | '.join(labels)} |", "|---|---|" + "---|" * len(labels), *rows]),
        f"""\
最快一次的{"处理器" if cpu else ""}毫秒数，{threads} 个线程；括号中是与同一运行环境中 Paddle 自己的导出之比。模型架构和大小相同，
权重随机；每个模型在自己的进程中，同时加载，轮流运行。Paddle 使用 oneDNN，2.3.2 加上它省略的两个 `fc` pass、
不用 oneDNN 的转置卷积，同生成的服务。mconv {__version__}；{machine()}；结束时的平均负载 {load:.1f}。
命令：`make bench-latency`。{image.format("延迟")}""",
    )
    second = Section.of(
        f"""\
The converted model everywhere, with the ratio to ONNX Runtime; "before" is what {BEFORE[:7]} wrote, without oneDNN, as
services ran it, with as many threads as the others and with the two that `config.yml` had:""",
        "\n".join([f"| model | {' | '.join(runtimes_of)} |", "|---|" + "---|" * len(runtimes_of), *across]),
        f"""\
转换后的模型在各处，括号中是与 ONNX Runtime 之比；“before”是 {BEFORE[:7]} 所写、不用 oneDNN、如当时的服务那样运行，
线程数与其他相同，以及 `config.yml` 当时的两个线程：""",
    )
    targets = Section(
        f"""\
Targets: converted at most {OF_OWN} times Paddle's own export; in 3.3.1 at most {OF_ORT} times ONNX Runtime; 2.3.2 at most
{OF_26} times 2.6.2; BERT and ViT in 2.3.2 at least {FASTER:g} times as fast as before. """
        + (f"Missed: {'; '.join(english for english, _ in failed)}." if failed else "All targets are reached."),
        f"""\
目标：转换后至多为 Paddle 自己的导出的 {OF_OWN} 倍；在 3.3.1 至多为 ONNX Runtime 的 {OF_ORT} 倍；2.3.2 至多为 2.6.2 的 {OF_26} 倍；
BERT 和 ViT 在 2.3.2 至少为以前的 {FASTER:g} 倍快。"""
        + (f"未达到：{'；'.join(chinese for _, chinese in failed)}。" if failed else "全部达到。"),
    )
    small = Section(SMALL.rstrip(), SMALL_ZH.rstrip()) if "mobilenetv3" in results else None
    parts = [part for part in (first, second, _before_and_now(results), small, targets) if part is not None]
    return Section("\n\n".join(part.english for part in parts), "\n\n".join(part.chinese for part in parts))


def plot(results: dict[str, list[Group]], path: Path) -> None:
    """Bars for each architecture."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mconv", "font.size": 8}):
        columns = 2 if len(results) > 1 else 1
        lines = -(-len(results) // columns)
        figure = Figure(figsize=(4.8 * columns, 2.9 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False).reshape(-1)
        for axis in axes[len(results) :]:
            axis.set_visible(False)
        for axis, (name, measured) in zip(axes, results.items()):
            last = named(measured, "everywhere").lanes
            paired = [group for group in measured if group.of(OWN)]
            lanes = [(f"{g.title}: {lane.label}", lane.best) for g in paired for lane in g.lanes if lane.best]
            wanted = last if not lanes else [last[1], *last[-2:]]
            lanes += [(lane.label, lane.best) for lane in wanted if lane.best]
            colours = ["#dd8452" if OWN in label else "#4c72b0" if "from" in label else "#b0b0b0" for label, _ in lanes]
            bars = axis.barh(range(len(lanes)), [best for _, best in lanes], color=colours)
            axis.bar_label(bars, fmt="%.3g", padding=2, fontsize=7)
            axis.set_yticks(range(len(lanes)), [label for label, _ in lanes], fontsize=6)
            axis.invert_yaxis()
            axis.margins(x=0.15)
            axis.set_title(f"{MODELS[name]}, ms")
            axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text("utf-8").splitlines()) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each model in each runtime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="time on the processor: for a machine that others use, too")
    parser.add_argument(
        "--write", type=Path, help="the Markdown file whose section is replaced; the plot goes beside it"
    )
    arguments = parser.parse_args()
    results: dict[str, list[Group]] = {}
    failed: list[tuple[str, str]] = []
    for name in arguments.only.split(","):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="mconv-bench-") as work:
            made = prepare(name, Path(work))
            print(f"{MODELS[name]}: prepared in {time.perf_counter() - start:.0f} s", file=sys.stderr)
            feed = feeds(name, made[ONNX] if name in ("det", "rec") else None)
            results[name] = groups(name, made)
            for group in results[name]:
                run(group, feed, arguments.seconds, arguments.threads, arguments.cpu)
        failed += missed(name, results[name])
        print(f"{MODELS[name]}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    text = report(results, arguments.threads, arguments.cpu, failed, bool(arguments.write))
    if arguments.write:
        plot(results, arguments.write.with_name("latency.svg"))
    finish(text, [english for english, _ in failed], arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
