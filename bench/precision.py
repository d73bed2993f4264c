"""What int8, bfloat16 and weights in half precision make of the speed on this CPU.

ResNet-50 and BERT-base of torch, converted for 2.3, which all Paddles load, and quantised on random inputs (their speed
does not depend on the numbers), in oneDNN of each Paddle: float32, bfloat16, int8 and float16 weights (``mconv half
--weights-only``) in turns, one thread, batch 1.

    python bench/precision.py [--runs 10] [--rounds 3] [--models NAME …] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import inspect
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch_models
from section import Section, finish
from to_serving import machine

from mconv import api
from mconv.errors import MconvError
from mconv.runtimes import find

BEGIN, END = "<!-- precision: begin -->", "<!-- precision: end -->"
RUNTIMES = {"2.3.2": "paddle-2.3.2", "2.6.2": "paddle-2.6.2", "3.3.1": "current"}
KINDS = {"float32": "float32", "bf16": "bfloat16", "int8": "int8", "weights": "float16 weights"}
WITHOUT = {("2.3.2", "int8"): "no kernels"}  # they came with 2.5


def resnet50(folder: Path) -> dict[str, np.ndarray]:
    net = torch_models.resnet50()
    api.torch2paddle(net, folder, inputs=["pixel_values:float32[batch,3,224,224]"], target="2.3", verify=False)
    return {"pixel_values": np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)}


def bert(folder: Path) -> dict[str, np.ndarray]:
    random, shape = np.random.default_rng(0), (1, 128)
    net = torch_models.bert()
    names = list(inspect.signature(net.forward).parameters)
    api.torch2paddle(net, folder, inputs=[f"{n}:int64[batch,length]" for n in names], target="2.3", verify=False)
    ids = random.integers(1, 20000, shape)
    return {n: ids if n == "input_ids" else np.ones(shape, np.int64) * (n == "attention_mask") for n in names}


MODELS = {"ResNet-50": resnet50, "BERT-base, length 128": bert}


def measured(
    version: str, models: dict[str, Path], feed: dict[str, np.ndarray], runs: int, rounds: int
) -> dict[str, Any]:
    """The median seconds of each kind, in turns; what the runtime says where it has none."""
    found: dict[str, list[float]] = {}
    failed = {kind: WITHOUT[version, kind] for kind in models if (version, kind) in WITHOUT}
    workers = {kind: find(RUNTIMES[version]).worker() for kind in models if kind not in failed}
    try:
        for _ in range(rounds):
            for kind, worker in workers.items():
                precision: Any = KINDS[kind] if kind in ("bf16", "int8") else None
                files = models[kind] / "inference.pdmodel", models[kind] / "inference.pdiparams"
                try:
                    run = worker.run(*files, [feed] * (runs + 3), onednn=True, precision=precision, timeout=900)
                except MconvError as e:
                    print(f"Paddle {version}, {kind}: {e.message}", file=sys.stderr)
                    failed[kind] = "fails"
                    continue
                found.setdefault(kind, []).extend(run.seconds[3:])
    finally:
        for worker in workers.values():
            worker.close()
    return {**{kind: statistics.median(s) for kind, s in found.items()}, **failed}


def row(name: str, version: str, seconds: dict[str, Any]) -> str:
    """A line of the table: milliseconds, and how many times as fast as float32."""
    base = seconds["float32"]
    cells = []
    for kind in KINDS:
        value = seconds[kind]
        if not isinstance(value, float):
            cells.append(str(value))
        elif kind == "float32" or not isinstance(base, float):
            cells.append(f"{value * 1e3:.1f}")
        else:
            cells.append(f"{value * 1e3:.1f} ({base / value:.2f} ×)")
    return f"| {name} | {version} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is replaced")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start, lines, sizes = time.monotonic(), [], []

    def say(text: str) -> None:
        print(f"{time.monotonic() - start:4.0f} s  {text}", file=sys.stderr, flush=True)

    for name in options.models:
        with tempfile.TemporaryDirectory(prefix="bench-precision-") as scratch:
            plain, small, weights = (Path(scratch) / kind for kind in ("plain", "int8", "weights"))
            say(f"{name}: converting")
            feed = MODELS[name](plain)
            np.savez(Path(scratch) / "x.npz", **feed)
            api.quantize(
                plain, small, data=Path(scratch) / "x.npz", method="minmax", max_drop=1.0, target="2.6", progress=say
            )
            made = api.half(plain, weights, weights_only=True, verify=False)
            sizes.append(f"{name} {made.bytes['before'] / 1e6:.0f} → {made.bytes['after'] / 1e6:.0f} MB")
            models = {"float32": plain, "bf16": plain, "int8": small, "weights": weights}
            for version in RUNTIMES:
                say(f"{name}: Paddle {version}")
                lines.append(row(name, version, measured(version, models, feed, options.runs, options.rounds)))
    table = "\n".join([f"| model | Paddle | {' | '.join(KINDS.values())} |", "|---|---|" + "---|" * len(KINDS), *lines])
    count = f"{options.rounds} × {options.runs}"
    english = f"""\
`make bench-precision`: float32, bfloat16, int8 (`mconv quantize`) and float32 with float16 weights (`mconv half
--weights-only`; {", ".join(sizes)}) in oneDNN of each Paddle, in turns, one thread, batch 1, ms, the median of
{count} runs, in brackets times as fast as float32. {machine()}; load average at the end {os.getloadavg()[0]:.1f}."""
    chinese = f"""\
`make bench-precision`：float32、bfloat16、int8（`mconv quantize`）和权重为 float16 的 float32（`mconv half --weights-only`；
{"，".join(sizes)}），在各个 Paddle 的 oneDNN 中轮流运行，一个线程，批大小 1，毫秒，{count} 次的中位数，
括号中为 float32 速度的倍数。{machine()}；结束时的平均负载 {os.getloadavg()[0]:.1f}。"""
    say("done")
    finish(Section.of(english, table, chinese), [], options.write, BEGIN, END)


if __name__ == "__main__":
    main()
