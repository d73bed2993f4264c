"""The article's load, 20 threads × 200 requests each, on one model in every server that is installed: Paddle Serving's
pipeline as its own package has it, tuned by configuration (bench/stock.py), and as mconv generates it, `--server http`, and
Triton, these two in bfloat16, where the processor has it, and in int8 as well; each with the model that mconv has converted, asked in turns, in one run.

The model and the texts, of mixed lengths, are those of bench/serving.py. Needs the managed runtimes paddle-2.3.2 and http;
triton is left out where it is not installed.

    python bench/servers.py [--write docs/benchmarks.md] [--threads 20] [--loops 200] [--rounds 2] [--elsewhere LOOPS]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "processors"))
import avx2
import numpy as np
import stock
import yaml
from latency import NOT_INTEL
from section import Section, finish

from mconv import __version__, api, runtimes
from mconv.bench import payloads
from mconv.errors import RuntimeUnavailableError
from serving import free_ports, make_model, running

BEGIN, END = "<!-- servers: begin -->", "<!-- servers: end -->"
WANTED = 3.0  # times the requests a second of Paddle Serving's own pipeline, tuned
STOCK, GENERATED, HTTP, TRITON = "stock pipeline, tuned", "paddle-serving", "http", "triton"
# server → its runtime
SERVERS = {GENERATED: "paddle-2.3.2", HTTP: "http", TRITON: "triton"}
OPTIONAL = (TRITON,)
# the servers whose engine computes in bfloat16 what is float32, and in int8 what `mconv quantize` writes
BF16, INT8 = ({f"{name}, {precision}": name for name in (HTTP, TRITON)} for precision in ("bf16", "int8"))
CALIBRATION, SHORTEST, LONGEST = 64, 2, 40  # texts, words of each


def installed(name: str) -> bool:
    try:
        runtimes.find(SERVERS[name])
    except RuntimeUnavailableError:
        if name in OPTIONAL:
            return False
        raise
    return True


def calibration(model: Path, out: Path) -> None:
    """Texts of the benchmark's words in any order, as the model's inputs."""
    from transformers import AutoTokenizer

    words = [word for payload in payloads.texts() for text in payload.values.values() for word in str(text).split()]
    rng = np.random.default_rng(0)
    made = [" ".join(rng.choice(words, count)) for count in rng.integers(SHORTEST, LONGEST, CALIBRATION)]
    np.savez(out, **AutoTokenizer.from_pretrained(model)(made, padding=True, return_tensors="np"))


def has_bfloat16() -> bool:
    """Whether this processor, as far as this process may see it, has instructions for bfloat16."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def off(program: Path, data: Path) -> float:
    """How far OpenVINO's outputs in bfloat16 are off those in float32, in parts of the largest one."""
    import openvino

    core = openvino.Core()
    both = []
    for hint in ("f32", "bf16"):
        run = core.compile_model(core.read_model(program), "CPU", {"INFERENCE_PRECISION_HINT": hint})
        feeds = {name: array for name, array in np.load(data).items() if name in {i.any_name for i in run.inputs}}
        both.append([np.array(value) for value in run(feeds).values()])
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(*both))


def prepare(work: Path) -> tuple[float, Optional[float]]:
    """Convert the model, and generate its services; how far int8 and bfloat16 are off, in parts of the float32 outputs; None:
    the processor has no bfloat16."""
    model = work / "model"
    make_model(model)
    api.torch2paddle(str(model), str(work / "paddle"), verify=False)
    calibration(model, work / "texts.npz")
    quantized = api.quantize(str(work / "paddle"), str(work / "int8"), data=str(work / "texts.npz"), method="minmax")
    for label, name in served(has_bfloat16()).items():
        rpc, http, health = free_ports(3)
        options: dict[str, Any] = {"server": name, "service": "text", "tokenizer": str(model), "http_port": http}
        if name != HTTP:
            options.update(rpc_port=rpc, health_port=health)
        if label in BF16:
            options["precision"] = "bf16"
        api.to_serving(work / ("int8" if label in INT8 else "paddle"), out=work / label, pipeline=options)
    stock.write(work / GENERATED / "service", work / "stock", *free_ports(2))
    (program,) = (work / "paddle").glob("*.pdmodel")
    return max(output.error for output in quantized.outputs), off(
        program, work / "texts.npz"
    ) if has_bfloat16() else None


def served(bfloat16: bool) -> dict[str, str]:
    """Label → server, of what is generated; *bfloat16*: also what computes in it."""
    every = {**{n: n for n in SERVERS}, **(BF16 if bfloat16 else {}), **INT8}
    return {label: name for label, name in every.items() if installed(name)}


@contextlib.contextmanager
def started(work: Path, scratch: str, bfloat16: bool, generated: Mapping[str, str]) -> Iterator[list[str]]:
    """The services, running; their addresses, with labels. *generated*: environment of the generated pipeline."""
    with contextlib.ExitStack() as stack:
        runtime = runtimes.find(SERVERS[GENERATED])
        env = {k: v for k, v in runtime.environ().items() if not k.lower().endswith("_proxy")}
        for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            env.pop(variable, None)  # config.yml says how many threads there are
        port, path = stock.address(work / "stock")
        command = [str(runtime.python), "web_service.py"]
        stack.enter_context(running(command, work / "stock", env, port, work / scratch))
        urls = [f"{STOCK}=http://127.0.0.1:{port}{path}"]
        for label in served(bfloat16):
            with mock.patch.dict(os.environ, generated if label == GENERATED else {}):
                run = stack.enter_context(api.serve(work / label, ready_timeout=180, progress=say))
            urls.append(f"{label}={run.serving.url}")
            if label == HTTP:
                infer = run.serving.url.replace("/model/prediction", "/v2/models/model/infer")
                urls.append(f"{label} (Open Inference)={infer}")
        yield urls


def measure(
    work: Path,
    scratch: str,
    threads: int,
    loops: int,
    rounds: int,
    bfloat16: bool,
    generated: Optional[Mapping[str, str]] = None,
) -> tuple[Any, list[str]]:
    """The figures of all servers, and what is wrong; *generated* as in :func:`started`."""
    problems = []
    with started(work, scratch, bfloat16, generated or {}) as urls:
        found = api.bench_services(
            urls, send="texts", threads=threads, loops=loops, rounds=rounds, warmup=5, timeout=120, progress=say
        )
    for one in found.addresses:
        if one.status != "ok" or one.wrong or one.errors:
            problems.append(f"{one.label}: {one.status}: {one.wrong} wrong, {one.errors} errors: {one.reason}")
    return found, problems


@contextlib.contextmanager
def another_processor(work: Path) -> Iterator[None]:
    """Processes that are started inside have the kernels of a processor that has AVX2 alone and is none of Intel's: MKL
    uses those for SSE4.2 there. Where the machine lets CPUID be trapped and there is a C compiler, OpenVINO too is told so."""
    library = work / "avx2.so"
    source = Path(avx2.__file__).with_name("avx2.c")
    if shutil.which("cc") is not None:
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    with mock.patch.object(avx2, "LIBRARY", library):
        environment = {**avx2.environment(), **NOT_INTEL}
    with mock.patch.dict(os.environ, environment):
        yield


def chosen_there(service: Path) -> dict[str, str]:
    """What a generated service sets by itself on such a processor (``mkl_all_processors``), which its own look at
    /proc/cpuinfo cannot find where the processor is only emulated."""
    conf = yaml.safe_load((service / "config.yml").read_text(encoding="utf-8"))
    if not any(op["local_service_conf"].get("mkl_all_processors") for op in conf["op"].values()):
        return {}
    kernels = runpy.run_path(str(service / "predictor.py"))["mkl_kernels"]("vendor_id: AuthenticAMD\nflags: avx2 fma\n")
    return {"MKL_DEBUG_CPU_TYPE": kernels, "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


def say(text: str) -> None:
    print(text, file=sys.stderr)


def ratio(one: Any, of: Any) -> Optional[float]:
    """How many times the requests a second of another it answers."""
    return one.tps / of.tps if one.tps and of.tps else None


def table(found: Any) -> str:
    by = {one.label: one for one in found.addresses}

    def row(one: Any) -> str:
        to = [ratio(one, by[label]) for label in (STOCK, GENERATED)]
        if None in to or one.server is None or one.figures is None:
            return f"| {one.label} | {one.status} |" + " |" * 8
        return (
            f"| {one.label} | {one.tps:.1f} | {to[0]:.2f} | {to[1]:.2f} | {one.figures.p50:.0f} | {one.figures.p99:.0f} | "
            f"{one.wrong} | {one.errors} | {1e3 * one.server.cpu_seconds / one.requests:.1f} | "
            f"{one.server.peak_bytes / 1e6:.0f} |"
        )

    head = "| server | TPS | to stock | to generated | p50 ms | p99 | wrong | errors | CPU ms per request | MB |"
    return "\n".join([head, "|---|" + "---|" * 9, *map(row, found.addresses)])


def compared(found: Any) -> tuple[str, str]:
    """What http and triton reach of both pipelines, in both languages."""
    by = {one.label: one for one in found.addresses}
    said = []
    for name in (HTTP, TRITON, *BF16, *INT8):
        to = [ratio(by[name], by[label]) for label in (STOCK, GENERATED)] if name in by else [None]
        if None not in to:
            said.append((name, *to))
    return (
        "; ".join(f"`{n}` {a:.2f} and {b:.2f}" for n, a, b in said),
        "；".join(f"`{n}` 为 {a:.2f} 与 {b:.2f}" for n, a, b in said),
    )  # fmt: skip


def reached(found: Any) -> dict[str, dict[str, float]]:
    """Server → what of it → times the requests a second of Paddle Serving's own pipeline."""
    by = {one.label: one for one in found.addresses}
    return {
        name: {
            label: ratio(by[label], by[STOCK]) or 0.0
            for label in (name, f"{name}, bf16", f"{name}, int8")
            if label in by
        }
        for name in (HTTP, TRITON)
        if name in by
    }


def said(labels: list[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "none"


def said_zh(labels: list[str]) -> str:
    return "、".join(f"`{label}`" for label in labels) or "无"


def report(found: Any, elsewhere: Any, error: float, bfloat16: Optional[float]) -> Section:
    cores, processor = found.machine.cores, found.machine.processor
    memory, load = f"{found.machine.memory_bytes / 2**30:.0f} GB", f"{found.machine.load:.1f}"
    in_bfloat16 = (
        (" This processor has no instructions for bfloat16.", "该处理器没有 bfloat16 指令。")
        if bfloat16 is None
        else (
            f" bf16 is the float32 model\nwith `--precision bf16` ({bfloat16:.1%} off), for which this processor has instructions.",
            f"bf16 为加了\n`--precision bf16` 的 float32 模型（相差 {bfloat16:.1%}），该处理器有相应的指令。",
        )
    )
    english = f"""\
{found.threads} threads × {found.loops} requests each on the BERT classifier of 6 layers and the texts of mixed lengths of the section above, all
on this machine, asked in turns ({found.rounds} rounds), mconv {__version__}. The first row is Paddle Serving's pipeline as
paddle-serving-server 0.9.0 has it, with what its configuration can reach: oneDNN with room for each length, the two `fc`
passes, one thread, {stock.CONCURRENCY} processes, {stock.WORKERS} workers, no debug log (`bench/stock.py`). The others are what
`mconv to-serving --pipeline --server NAME` writes; `{GENERATED}` is the same pipeline with mconv's own pipes, HTTP server
and batches of texts. The model of `http` and `triton` computes the first token alone where no other is read, as these
services are written (`passes/early_slice.py`); that of both pipelines is whole. int8 is the model after `mconv quantize`, calibrated on {CALIBRATION} made-up texts: its outputs are
{error:.1%} off those of float32, and its answers are compared with its own.{in_bfloat16[0]} Machine: {cores} cores ({processor}), {memory}, which also ran the load;
load average at the end {load}. Command: `make bench-servers`."""
    chinese = f"""\
{found.threads} 个线程 × 每个 {found.loops} 个请求，加在上一节的 6 层 BERT 分类模型和长短不一的文本上，都在这台机器上，轮流请求
（{found.rounds} 轮），mconv {__version__}。第一行是 paddle-serving-server 0.9.0 原样的 Paddle Serving pipeline，加上其配置所能做到的：
oneDNN（每种长度都有缓存）、两个 `fc` pass、一个线程、{stock.CONCURRENCY} 个进程、{stock.WORKERS} 个 worker、不写调试日志（`bench/stock.py`）。
其余为 `mconv to-serving --pipeline --server NAME` 所写；`{GENERATED}` 是同一 pipeline，换上了 mconv 自己的管道、HTTP 服务器和文本批处理。
`http` 与 `triton` 的模型在只读第一个 token 的地方只计算它，这些服务就是这样写出的（`passes/early_slice.py`）；两个 pipeline 的模型是完整的。
int8 为 `mconv quantize` 之后的模型，用 {CALIBRATION} 段虚构的文本校准：其输出与 float32 相差 {error:.1%}，其回答与它自己单独的回答比较。{in_bfloat16[1]}
机器：{cores} 核（{processor}），{memory}，负载也由它产生；结束时的平均负载 {load}。命令：`make bench-servers`。"""
    both, both_zh = compared(found)
    every = {label: times for labels in reached(found).values() for label, times in labels.items()}
    met, missed = ([label for label, times in every.items() if (times >= WANTED) is wanted] for wanted in (True, False))
    rest = f"""\
Requests a second, in times of the first two rows, Paddle Serving's own pipeline and the generated one: {both}.
{WANTED:.0f} times the first is the target: reached by {said(met)}, not by {said(missed)}."""
    rest_zh = f"""\
每秒请求数与前两行（Paddle Serving 自己的 pipeline 和生成的）之比：{both_zh}。
目标是第一个的 {WANTED:.0f} 倍。达到：{said_zh(met)}；未达到：{said_zh(missed)}。"""
    first = Section.of(english, table(found), chinese, (rest, rest_zh))
    if elsewhere is None:
        return first
    both, both_zh = compared(elsewhere)
    second = Section.of(
        f"""\
The same with the kernels that libraries choose on a processor that is not Intel's and has AVX2 alone (emulated: AVX-512
and what came after it are hidden from every process, MKL is held to SSE4.2 but where the generated pipeline has it take
AVX2's, `mkl_all_processors`), {elsewhere.threads} threads × {elsewhere.loops} requests:""",
        table(elsewhere),
        f"""\
同样的负载，但使用各个库在只有 AVX2、不是 Intel 的处理器上选择的核（模拟：对每个进程隐藏 AVX-512 及之后的指令集，MKL 限于 SSE4.2，除非生成的
pipeline 让它使用 AVX2 的核，即 `mkl_all_processors`），
{elsewhere.threads} 个线程 × {elsewhere.loops} 个请求：""",
        (f"There, in times of the first two rows: {both}.", f"在那里，与前两行之比：{both_zh}。"),
    )
    return Section(*(f"{one}\n\n{two}" for one, two in zip(first, second)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=20)
    parser.add_argument("--loops", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--elsewhere",
        type=int,
        default=50,
        metavar="LOOPS",
        help="of each thread with other processors' kernels; 0: none",
    )
    parser.add_argument("--write", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    elsewhere = None
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as folder:
        work = Path(folder)
        error, bfloat16 = prepare(work)
        found, problems = measure(work, "log", options.threads, options.loops, options.rounds, bfloat16 is not None)
        if options.elsewhere:
            with another_processor(work):
                own = chosen_there(work / GENERATED / "service")
                elsewhere, more = measure(
                    work, "log-elsewhere", options.threads, options.elsewhere, options.rounds, False, own
                )
            problems += [f"with other processors' kernels, {line}" for line in more]
    problems += [
        f"{name}: in no precision {WANTED:.0f} times the requests a second of Paddle Serving's own pipeline"
        for name, labels in reached(found).items()
        if max(labels.values()) < WANTED
    ]
    finish(report(found, elsewhere, error, bfloat16), problems, options.write, BEGIN, END)


if __name__ == "__main__":
    main()
