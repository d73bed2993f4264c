"""What int8 and bfloat16 make of the speed on this CPU: ``python bench/precision.py [--runs 20] [--rounds 3]``.

ResNet-50 and BERT-base of torch, converted and quantised on random inputs (their speed does not depend on the numbers),
in oneDNN of each Paddle: float32, bfloat16 and int8 in turns, one thread, batch 1. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import inspect
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch_models

from mconv import api
from mconv.runtimes import find

RUNTIMES = {"2.6.2": "paddle-2.6.2", "3.3.1": "current"}


def resnet50(folder: Path) -> dict[str, np.ndarray]:
    net = torch_models.resnet50()
    api.torch2paddle(net, folder, inputs=["pixel_values:float32[batch,3,224,224]"], target="2.6", verify=False)
    return {"pixel_values": np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)}


def bert(folder: Path) -> dict[str, np.ndarray]:
    random, shape = np.random.default_rng(0), (1, 128)
    net = torch_models.bert()
    names = list(inspect.signature(net.forward).parameters)
    api.torch2paddle(net, folder, inputs=[f"{n}:int64[batch,length]" for n in names], target="2.6", verify=False)
    ids = random.integers(1, 20000, shape)
    return {n: ids if n == "input_ids" else np.ones(shape, np.int64) * (n == "attention_mask") for n in names}


MODELS = {"ResNet-50": resnet50, "BERT-base, length 128": bert}


def measured(
    runtime: str, models: dict[str, Path], feed: dict[str, np.ndarray], runs: int, rounds: int
) -> dict[str, Any]:
    """The median seconds of each precision, in turns; what the runtime says where it has none."""
    found: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    workers = {kind: find(runtime).worker() for kind in models}
    for _ in range(rounds):
        for kind, folder in models.items():
            precision: Any = None if kind == "float32" else kind
            files = folder / "inference.pdmodel", folder / "inference.pdiparams"
            try:
                run = workers[kind].run(*files, [feed] * (runs + 3), onednn=True, precision=precision, timeout=900)
            except Exception as e:  # noqa: BLE001 - what a runtime refuses is a result
                failed[kind] = str(e)
                continue
            found.setdefault(kind, []).extend(run.seconds[3:])
    for worker in workers.values():
        worker.close()
    return {**{kind: statistics.median(s) for kind, s in found.items()}, **failed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print("| model | Paddle | float32 ms | bfloat16 ms | int8 ms | bfloat16 | int8 |\n|---|---|---|---|---|---|---|")
    for name in options.models:
        with tempfile.TemporaryDirectory(prefix="bench-precision-") as scratch:
            plain, small = Path(scratch) / "plain", Path(scratch) / "int8"
            feed = MODELS[name](plain)
            np.savez(Path(scratch) / "x.npz", **feed)
            api.quantize(
                plain, small, data=Path(scratch) / "x.npz", method="minmax", max_drop=1.0, target="2.6",
                progress=lambda text: print(text, file=sys.stderr, flush=True),
            )  # fmt: skip
            models = {"float32": plain, "bfloat16": plain, "int8": small}
            for version, runtime in RUNTIMES.items():
                seconds = measured(runtime, models, feed, options.runs, options.rounds)
                row = [f"{seconds[k] * 1e3:.1f}" if isinstance(seconds[k], float) else "–" for k in models]
                row += [
                    f"{seconds['float32'] / seconds[k]:.2f} ×"
                    if isinstance(seconds[k], float)
                    else str(seconds[k])[:80]
                    for k in ("bfloat16", "int8")
                ]
                print(f"| {name} | {version} | {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
