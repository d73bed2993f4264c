"""Latency of converted models beside Paddle's own export of the same architecture, ONNX Runtime and OpenVINO.

    python bench/latency.py [--only bert,resnet50] [--seconds 3] [--threads 1] [--write docs/benchmarks.md]

For each architecture, in one run: what is compared with each other is loaded at the same time, each in a process of its
own, and run in turns, three times over; the figure is the fastest run of all. Groups, each with a reference:

- in each Paddle: converted from PyTorch (with weights as training leaves them, and untrained), from ONNX and from
  ``.json``, beside what that very Paddle exports;
- converted from PyTorch in each Paddle, in 2.3.2 also as services were before (the program that mconv wrote then, without
  oneDNN; with as many threads as the others, and with the two that ``config.yml`` gave it), beside ONNX Runtime and
  OpenVINO;
- BERT and ViT in the processes of the services that were generated before and are now, kept busy;
- BERT and ViT in 2.3.2 before and now with the kernels that MKL and oneDNN choose on processors that are not Intel's.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

import numpy as np
from before import BEFORE, sources
from latency_lanes import (
    ELSEWHERE,
    JSON,
    MODELS,
    NOT_INTEL,
    NOW,
    ONNX,
    OWN,
    PADDLES,
    THEN,
    THEN_TWO,
    TORCH,
    TRANSFORMERS,
    UNTRAINED,
    Group,
    Inside,
    Lane,
    do,
    look_into,
    run,
    runtime_of,
)
from latency_report import plot, report, targets_of
from latency_service import Pair, Served, generate
from latency_service import run as keep_busy
from section import finish

from mconv.program import files

BEGIN, END = "<!-- latency: begin -->", "<!-- latency: end -->"
HERE = Path(__file__).resolve().parent


def feeds(name: str, path: Optional[Path] = None) -> dict[str, np.ndarray]:
    """The inputs of a run."""
    rng = np.random.default_rng(0)
    if name == "bert":
        ids = rng.integers(1, 30000, (1, 128))
        return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    shape = {"det": (1, 3, 640, 640), "rec": (1, 3, 48, 320)}.get(name, (1, 3, 224, 224))
    key = "pixel_values" if path is None else files.load_program(files.locate(path)).feeds[0].name
    return {key: rng.random(shape, np.float32)}


def then(work: Path) -> dict[str, str]:
    """The environment of the package as it was, whose sources are in *work*."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(work / "sources" / "src"), str(HERE)])}


def prepare(name: str, work: Path) -> dict[str, Path]:
    """Export and convert; what there is, by label; ``own-2.3.2``, … are what the Paddles export."""
    mconv = [sys.executable, "-m", "mconv"]
    sources(BEFORE, work / "sources")
    if name in ("det", "rec"):
        import rapidocr_onnxruntime

        found = Path(rapidocr_onnxruntime.__file__).parent / "models" / f"ch_PP-OCRv4_{name}_infer.onnx"
        made = {ONNX: work / "onnx", THEN: work / "before", "file": found}
        for label, env in ((ONNX, None), (THEN, then(work))):
            do([*mconv, "onnx2paddle", "-q", "--no-verify", str(found), str(made[label])], env)
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
    for label, variables in ((TORCH, env), (THEN, then(work)), (UNTRAINED, {**env, "MCONV_UNTRAINED": "1"})):
        command = [*mconv, "torch2paddle", "-q", "--no-verify", *options, f"torch_models:{name}", str(made[label])]
        do(command, variables)
    made["file"] = work / "model.onnx"
    do([sys.executable, "torch_models.py", name, str(made["file"])], env)
    do([*mconv, "onnx2paddle", "-q", "--no-verify", str(made["file"]), str(made[ONNX])])
    for paddle in PADDLES:
        runtime = runtime_of(paddle)
        made[f"own-{paddle}"] = work / f"own-{paddle}"
        do([str(runtime.python), "own.py", name, str(made[f"own-{paddle}"] / "model")], runtime.environ())
    do([*mconv, "downgrade", "-q", str(made["own-3.3.1"] / "model.json"), str(made[JSON])])
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
    if name in TRANSFORMERS:
        lanes = [
            Lane(THEN, "2.3.2", made[THEN], onednn=False, variables=NOT_INTEL),
            Lane(NOW, "2.3.2", first, variables=NOT_INTEL),
        ]
        found.append(Group(ELSEWHERE, lanes))
    return found


def services(name: str, made: dict[str, Path], work: Path) -> Pair:
    """The model in the services of both versions."""
    pair = []
    for label, env in ((THEN, then(work)), (TORCH, dict(os.environ))):
        service = generate(name, made[label], work / f"service-{label.replace(' ', '-')}", env)
        pair.append(Served.read(made[label], service))
    return Pair(*pair)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(MODELS), help=f"of {', '.join(MODELS)}")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each model in each runtime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="time on the processor: for a machine that others use, too")
    parser.add_argument(
        "--write", type=Path, help="the Markdown file whose section is replaced; the plot goes beside it"
    )
    arguments = parser.parse_args()
    results: dict[str, list[Group]] = {}
    insides: dict[str, Inside] = {}
    served: dict[str, Pair] = {}
    for name in arguments.only.split(","):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="mconv-bench-") as work:
            made = prepare(name, Path(work))
            print(f"{MODELS[name]}: prepared in {time.perf_counter() - start:.0f} s", file=sys.stderr)
            feed = feeds(name, made[ONNX] if name in ("det", "rec") else None)
            results[name] = groups(name, made)
            for group in results[name]:
                run(group, feed, arguments.seconds, arguments.threads, arguments.cpu)
            if name in TRANSFORMERS:
                served[name] = services(name, made, Path(work))
                keep_busy(served[name], feed, 3 * arguments.seconds)
            if name == "mobilenetv3":
                insides[name] = look_into(made[TORCH], feed, arguments.threads)
        print(f"{MODELS[name]}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    targets = targets_of(results, served, insides, arguments.cpu)
    text = report(
        results, served, insides, targets, arguments.threads, cpu=arguments.cpu, picture=bool(arguments.write)
    )
    if arguments.write:
        plot(results, arguments.write.with_name("latency.svg"))
    failed = [target.verdict()[0].removeprefix("- ") for target in targets if target.missed()]
    finish(text, failed, arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
