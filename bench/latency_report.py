"""What ``latency.py`` says of its figures: tables, what has to hold and whether it does, and the plot."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from before import BEFORE
from latency_lanes import (
    ELSEWHERE,
    JSON,
    MODELS,
    NOW,
    ONNX,
    OWN,
    PADDLES,
    PROCESSES,
    THEN,
    THEN_TWO,
    TORCH,
    TRANSFORMERS,
    UNTRAINED,
    Group,
    Inside,
    named,
)
from latency_service import Pair
from section import Section
from to_serving import machine

from mconv import __version__

# what has to hold
OF_OWN, OF_ORT, OF_26, FASTER = 1.05, 1.25, 1.5, 2.0


@dataclass
class Target:
    """Something that has to hold, in English and Chinese.

    Attributes:
        limit: what a ratio may be at most; where *faster*, at least.
        cases: of whom (in both languages), and the ratio.
        because: why it is not reached, where that can be said.
    """

    english: str
    chinese: str
    limit: float
    faster: bool = False
    cases: list[tuple[str, str, float]] = field(default_factory=list)
    because: tuple[str, str] = ("", "")

    def add(self, english: str, chinese: str, value: Optional[float], of: Optional[float]) -> None:
        if value and of:
            self.cases.append((english, chinese, value / of))

    def missed(self) -> list[tuple[str, str, float]]:
        return [case for case in self.cases if (case[2] < self.limit if self.faster else case[2] > self.limit)]

    def verdict(self) -> tuple[str, str]:
        """A line of a list in each language."""
        if not self.cases:
            return f"- {self.english}: not measured in this run.", f"- {self.chinese}：本次没有测量。"
        missed = self.missed()
        worst = min if self.faster else max
        others = [case for case in self.cases if case not in missed]
        english, chinese = f"- {self.english}: ", f"- {self.chinese}："
        if missed:
            english += f"**not reached** by {', '.join(f'{en} ({value:.2f})' for en, _, value in missed)}"
            chinese += f"**未达到**：{'、'.join(f'{zh}（{value:.2f}）' for _, zh, value in missed)}"
        else:
            english, chinese = english + "reached", chinese + "达到"
        if others:
            en, zh, value = worst(others, key=lambda case: case[2])
            english += f"; {'the others are' if missed else 'all are'} at {'least' if self.faster else 'most'} {value:.2f} ({en})"
            chinese += f"；{'其余' if missed else '全部'}{'至少' if self.faster else '至多'} {value:.2f}（{zh}）"
        if missed:
            english, chinese = english + self.because[0], chinese + self.because[1]
        return english + ".", chinese + "。"


def targets_of(
    results: dict[str, list[Group]], served: dict[str, Pair], insides: dict[str, Inside], cpu: bool
) -> list[Target]:
    """What has to hold, with the ratios of this run; *cpu*: of services, requests per second of the processor.

    A model that *insides* has is held to ONNX Runtime by its kernels where the whole takes too long: what Paddle does
    around them is not the program's.
    """
    own = Target(
        f"Converted at most {OF_OWN} times Paddle's own export in the same runtime, with weights as training leaves them "
        "and untrained",
        f"转换后至多为同一运行环境中 Paddle 自己的导出的 {OF_OWN} 倍，无论权重像训练过的还是未训练的",
        OF_OWN,
    )
    ort = Target(
        f"In 3.3.1 at most {OF_ORT} times ONNX Runtime", f"在 3.3.1 至多为 ONNX Runtime 的 {OF_ORT} 倍", OF_ORT
    )
    tuned = Target(f"The tuned 2.3.2 at most {OF_26} times 2.6.2", f"调优的 2.3.2 至多为 2.6.2 的 {OF_26} 倍", OF_26)
    what = f"BERT and ViT in the tuned 2.3.2 at least {FASTER:g} times as fast as before, a run at a time in one thread"
    zh = f"BERT 和 ViT 在调优的 2.3.2 至少为以前的 {FASTER:g} 倍快，一次运行一个、一个线程"
    of, of_zh = (" of the processor", "处理器") if cpu else ("", "")
    busy = Target(
        f"BERT and ViT as the generated service runs them at least {FASTER:g} times the requests a second{of} of before",
        f"BERT 和 ViT 如生成的服务那样运行时，每秒{of_zh}的请求数至少为以前的 {FASTER:g} 倍",
        FASTER,
        True,
    )
    for name, pair in served.items():
        busy.add(MODELS[name], MODELS[name], pair.times(cpu), 1.0)
    here = Target(f"{what}, with the kernels of this processor", f"{zh}，用本机处理器的核", FASTER, True)
    elsewhere = Target(
        f"{what}, with those of processors that are not Intel's", f"{zh}，用非 Intel 处理器的核", FASTER, True
    )
    reasons, in_kernels = [], []
    for name, measured in results.items():
        model = MODELS[name]
        for group in measured:
            for lane in group.lanes[1:] if group.of(OWN) else []:
                own.add(
                    f"{model} {lane.label} in {group.title}",
                    f"{model}，{lane.label}，{group.title}",
                    lane.best,
                    group.of(OWN),
                )
        last = named(measured, "everywhere")
        whole, other = last.of("Paddle 3.3.1"), last.of("ONNX Runtime")
        if name in insides and whole and other and whole > OF_ORT * other:
            in_kernels.append((model, whole / other, insides[name].kernels / other))
            whole = insides[name].kernels
        ort.add(model, model, whole, other)
        tuned.add(model, model, last.of(NOW), last.of("Paddle 2.6.2"))
        if name in TRANSFORMERS:
            here.add(model, model, last.of(THEN), last.of(NOW))
            other = named(measured, ELSEWHERE)
            elsewhere.add(model, model, other.of(THEN), other.of(NOW))
            was, floor = (
                last.of(THEN),
                min([lane.best for lane in last.lanes if lane.best and not lane.threads] or [0.0]),
            )
            if was and floor > was / FASTER:
                reasons.append((model, was / FASTER, floor))
    if in_kernels:
        ort.english += ", or in its kernels where the rest is Paddle's own work around them (" + (
            "; ".join(f"{model}: {all_in:.2f}, in its kernels {alone:.2f}" for model, all_in, alone in in_kernels) + ")"
        )
        ort.chinese += "，其余是 Paddle 在核前后所做的事时，以核计（" + (
            "；".join(f"{model}：{all_in:.2f}，核 {alone:.2f}" for model, all_in, alone in in_kernels) + "）"
        )
    if reasons:
        here.because = (
            ". Without oneDNN the products ran in MKL, which has kernels for AVX2 and AVX-512 and uses them on Intel's "
            "processors alone. Twice as fast would be "
            + ", ".join(
                f"{half:.0f} ms for {model}, where the fastest runtime here takes {floor:.0f}"
                for model, half, floor in reasons
            ),
            "。没有 oneDNN 时乘积在 MKL 中运行，它的 AVX2 和 AVX-512 的核只用于 Intel 的处理器。2 倍快即为 "
            + "、".join(
                f"{model} {half:.0f} 毫秒，而这里最快的运行环境用 {floor:.0f}" for model, half, floor in reasons
            ),
        )
    return [own, ort, tuned, here, elsewhere, busy]


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
            if name in TRANSFORMERS and was and now:
                where = "this processor" if group.title == "everywhere" else "MKL with SSE4.2, oneDNN with AVX2"
                faster.append(f"| {MODELS[name]} | {where} | {was:.1f} | {now:.1f} | {was / now:.2f} |")
    if not faster:
        return None
    english = """\
Transformers in 2.3.2, before and now: with the kernels that MKL (before) and oneDNN (now) choose on this processor, and with
those that they choose on processors that are not Intel's (`MKL_ENABLE_INSTRUCTIONS=SSE4_2`, `ONEDNN_MAX_CPU_ISA=AVX2`):"""
    chinese = """\
2.3.2 中的 Transformer，以前和现在：用 MKL（以前）和 oneDNN（现在）在本机处理器上选择的核，以及它们在非 Intel 处理器上选择的核
（`MKL_ENABLE_INSTRUCTIONS=SSE4_2`、`ONEDNN_MAX_CPU_ISA=AVX2`）："""
    table = ["| model | kernels | before | now | times as fast |", "|---|---|---|---|---|", *faster]
    return Section.of(english, "\n".join(table), chinese)


def _as_served(served: dict[str, Pair], cpu: bool) -> Optional[Section]:
    """The table of what services gained; None where none was measured."""
    rows = [
        f"| {MODELS[name]} | {when} | {one.said()} | {one.rate or 0:.2f} | {one.cpu or 0:.0f} | {times} |"
        for name, pair in served.items()
        for when, one, times in (("before", pair.before, "1.00"), ("now", pair.now, f"{pair.times(cpu) or 0:.2f}"))
    ]
    if not rows:
        return None
    by, by_zh = ("CPU time", "CPU 时间") if cpu else ("requests a second", "每秒请求数")
    english = f"""\
The same two as the service runs them that {BEFORE[:7]} generated and that is generated now, each with its defaults: the processes,
threads and settings of its `config.yml`, all processes kept busy, in turns; requests of one length, as many in a run as
the service joins. Times as fast by {by}:"""
    chinese = f"""\
同样两个模型，如 {BEFORE[:7]} 生成的和现在生成的服务那样运行，各用其默认值：`config.yml` 中的进程数、线程数和设置，所有进程都不空闲，
轮流测量；请求长度相同，一次运行的请求数为服务所合并的。倍数按{by_zh}计："""
    head = "| model | service | as | requests a second | CPU ms per request | times as fast |"
    return Section.of(english, "\n".join([head, "|---|---|---|---|---|---|", *rows]), chinese)


def _where_it_goes(name: str, measured: list[Group], inside: Inside) -> Optional[Section]:
    """What of a model's time is in kernels; None where it was not measured."""
    last = named(measured, "everywhere")
    whole, other = last.of(f"Paddle {PADDLES[-1]}"), last.of("ONNX Runtime")
    if whole is None or other is None:
        return None
    passes = ", ".join(f"`{name}` {count}" for name, count in inside.passes.items())
    kinds = ", ".join(f"{kind} {ms:.1f}" for kind, ms in inside.kinds.items())
    around = 1 - inside.kernels / whole
    return Section(
        f"""\
Of the {whole:.1f} ms of {MODELS[name]} in Paddle {PADDLES[-1]}, {inside.kernels:.1f} are in the {inside.calls} kernels of oneDNN that it calls (its own log, each kernel
at its fastest: {kinds}); ONNX Runtime takes {other:.1f} in all. The rest, {around:.0%}, is what Paddle does around them:
without it, it would be {inside.kernels / other:.2f} times ONNX Runtime. Matches of its passes: {passes}.""",
        f"""\
{MODELS[name]} 在 Paddle {PADDLES[-1]} 的 {whole:.1f} 毫秒中，{inside.kernels:.1f} 毫秒在它调用的 {inside.calls} 个 oneDNN 的核里（它自己的日志，每个核取最快的一次：{kinds}）；
ONNX Runtime 全部用 {other:.1f} 毫秒。其余 {around:.0%} 是 Paddle 在它们前后所做的事：没有它则为 ONNX Runtime 的
{inside.kernels / other:.2f} 倍。各 pass 的匹配数：{passes}。""",
    )


def report(
    results: dict[str, list[Group]],
    served: dict[str, Pair],
    insides: dict[str, Inside],
    targets: list[Target],
    threads: int,
    *,
    cpu: bool,
    picture: bool,
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
at the same time and run in turns, {PROCESSES} times over, as where the memory of a process lies makes it up to 8% slower.
Paddle with oneDNN, 2.3.2 with the two `fc` passes that it leaves out and without
oneDNN's transposed convolution, as the generated services. mconv {__version__}; {machine()}; load average at the end
{load:.1f}. Command: `make bench-latency`.{image.format("Latency")}""",
        "\n".join([f"| model | runtime | {' | '.join(labels)} |", "|---|---|" + "---|" * len(labels), *rows]),
        f"""\
最快一次的{"处理器" if cpu else ""}毫秒数，{threads} 个线程；括号中是与同一运行环境中 Paddle 自己的导出之比。模型架构和大小相同，
权重随机；每个模型在自己的进程中，同时加载，轮流运行，共 {PROCESSES} 遍，因为进程内存所在的位置可使其慢至多 8%。
Paddle 使用 oneDNN，2.3.2 加上它省略的两个 `fc` pass、不用 oneDNN 的转置卷积，同生成的服务。
mconv {__version__}；{machine()}；结束时的平均负载 {load:.1f}。
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
    lines = [target.verdict() for target in targets]
    verdicts = Section(
        "\n".join(["What has to hold, and whether it does in this run:", "", *(english for english, _ in lines)]),
        "\n".join(["必须成立的，以及本次运行是否成立：", "", *(chinese for _, chinese in lines)]),
    )
    where = [_where_it_goes(name, results[name], inside) for name, inside in insides.items()]
    parts = [
        part
        for part in (first, second, _before_and_now(results), _as_served(served, cpu), *where, verdicts)
        if part is not None
    ]
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
