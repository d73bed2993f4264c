"""The article's load, 20 threads × 200 requests each, on one model in every server that is installed: Paddle Serving's
pipeline as it is generated (tuned), `--server http`, and Triton; each as mconv generates it, asked in turns, in one run.

The model and the texts, of mixed lengths, are those of bench/serving.py. Needs the managed runtimes paddle-2.3.2 and http;
triton is left out where it is not installed.

    python bench/servers.py [--write docs/benchmarks.md] [--threads 20] [--loops 200] [--rounds 2]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from section import Section, finish

from mconv import __version__, api, runtimes
from mconv.errors import RuntimeUnavailableError
from serving import free_ports, make_model

BEGIN, END = "<!-- servers: begin -->", "<!-- servers: end -->"
WANTED = 3.0  # times the requests a second of Paddle Serving's pipeline
# server → its runtime
SERVERS = {"paddle-serving": "paddle-2.3.2", "http": "http", "triton": "triton"}
OPTIONAL = ("triton",)


def installed(name: str) -> bool:
    try:
        runtimes.find(SERVERS[name])
    except RuntimeUnavailableError:
        if name in OPTIONAL:
            return False
        raise
    return True


def measure(work: Path, threads: int, loops: int, rounds: int) -> tuple[Any, list[str]]:
    """The figures of all servers, and what is wrong."""
    model = work / "model"
    make_model(model)
    api.torch2paddle(str(model), str(work / "paddle"), verify=False)
    urls, problems = [], []
    with contextlib.ExitStack() as stack:
        for name in filter(installed, SERVERS):
            rpc, http, health = free_ports(3)
            options: dict[str, Any] = {"server": name, "service": "text", "tokenizer": str(model), "http_port": http}
            if name == "paddle-serving":
                options.update(rpc_port=rpc, health_port=health)
            api.to_serving(work / "paddle", out=work / name, pipeline=options)
            run = stack.enter_context(api.serve(work / name, ready_timeout=180, progress=say))
            urls.append(f"{name}={run.serving.url}")
            if name == "http":
                urls.append(
                    f"{name} (Open Inference)={run.serving.url.replace('/model/prediction', '/v2/models/model/infer')}"
                )
        found = api.bench_services(
            urls, send="texts", threads=threads, loops=loops, rounds=rounds, warmup=5, timeout=120, progress=say
        )
    for one in found.addresses:
        if one.status != "ok" or one.wrong or one.errors:
            problems.append(f"{one.label}: {one.status}: {one.wrong} wrong, {one.errors} errors: {one.reason}")
    return found, problems


def say(text: str) -> None:
    print(text, file=sys.stderr)


def report(found: Any) -> Section:
    pipeline = found.addresses[0]

    def row(one: Any) -> str:
        if not one.tps or not pipeline.tps:
            return f"| {one.label} | {one.status} | | | | | | | |"
        return (
            f"| {one.label} | {one.tps:.1f} | {one.tps / pipeline.tps:.2f} | {one.figures.p50:.0f} | {one.figures.p99:.0f} | "
            f"{one.wrong} | {one.errors} | {1e3 * one.server.cpu_seconds / one.requests:.1f} | "
            f"{one.server.peak_bytes / 1e6:.0f} |"
        )

    rows = "\n".join(map(row, found.addresses))
    table = f"""\
| server | TPS | to the pipeline | p50 ms | p99 | wrong | errors | CPU ms per request | MB |
|---|---|---|---|---|---|---|---|---|
{rows}"""
    cores, processor = found.machine.cores, found.machine.processor
    memory, load = f"{found.machine.memory_bytes / 2**30:.0f} GB", f"{found.machine.load:.1f}"
    english = f"""\
{found.threads} threads × {found.loops} requests each on the BERT classifier of 6 layers and the texts of mixed lengths of the section above, in
every server as `mconv to-serving --pipeline --server NAME` writes it, all on this machine, asked in turns
({found.rounds} rounds), mconv {__version__}. Machine: {cores} cores ({processor}), {memory}, which also ran the load;
load average at the end {load}. Command: `make bench-servers`."""
    chinese = f"""\
{found.threads} 个线程 × 每个 {found.loops} 个请求，加在上一节的 6 层 BERT 分类模型和长短不一的文本上，每种服务器都如
`mconv to-serving --pipeline --server NAME` 所写，都在这台机器上，轮流请求（{found.rounds} 轮），mconv {__version__}。
机器：{cores} 核（{processor}），{memory}，负载也由它产生；结束时的平均负载 {load}。命令：`make bench-servers`。"""
    rest = f"{WANTED:.0f} times the pipeline, which joins texts and uses oneDNN itself, is the target."
    rest_zh = f"目标是 pipeline 的 {WANTED:.0f} 倍；pipeline 自己也合并文本并使用 oneDNN。"
    return Section.of(english, table, chinese, (rest, rest_zh))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=20)
    parser.add_argument("--loops", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--write", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as work:
        found, problems = measure(Path(work), options.threads, options.loops, options.rounds)
    pipeline = found.addresses[0]
    for one in found.addresses[1:]:
        if not one.tps or not pipeline.tps or one.tps < WANTED * pipeline.tps:
            problems.append(f"{one.label}: not {WANTED:.0f} times the requests a second of the pipeline")
    finish(report(found), problems, options.write, BEGIN, END)


if __name__ == "__main__":
    main()
