"""What only a machine with a GPU can show, in one command: ``python tools/gpu_check.py [--json report.json]``.

BERT, ResNet-50 and PP-OCRv4 (detector, recogniser), converted by mconv, run in the Paddle of this Python (a
``paddlepaddle-gpu``) as float32, in half precision (``mconv half``), and by TensorRT in FP32 and FP16 with the shapes of
``mconv shapes``; each is compared with float32 on the CPU and timed. What this machine lacks is said first, and nothing
is run then. The report is described in docs/gpu-check.md; its schema is ``tools/gpu_check.schema.json``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np

MODES = ("fp32", "fp16", "tensorrt-fp32", "tensorrt-fp16")
LIMITS = {"fp32": 1e-3, "fp16": 2e-2, "tensorrt-fp32": 1e-3, "tensorrt-fp16": 2e-2}  # of an output's largest value
RUNS, WARM = 30, 10


@dataclass
class Run:
    """One model in one mode."""

    model: str
    mode: str
    status: str = "passed"  # passed, differs, failed
    error: Optional[float] = None  # of the worst output, as a part of its largest value
    milliseconds: Optional[float] = None  # the median
    fastest: Optional[float] = None
    load_seconds: Optional[float] = None
    reason: str = ""


@dataclass
class Report:
    """What is written with ``--json``."""

    missing: list[str] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    schema: int = 1


def missing() -> list[str]:
    """What this machine lacks, a sentence each; empty where all can be run."""
    found = []
    if shutil.which("nvidia-smi") is None or subprocess.run(["nvidia-smi"], capture_output=True).returncode != 0:
        found.append("no NVIDIA GPU: nvidia-smi is not there or finds none")
    if importlib.util.find_spec("paddle") is None:
        found.append("no Paddle: pip install paddlepaddle-gpu")
    else:
        import paddle

        if not paddle.is_compiled_with_cuda():
            found.append(f"Paddle {paddle.__version__} is built for CPUs: pip install paddlepaddle-gpu instead")
        elif not found and paddle.device.cuda.device_count() < 1:
            found.append("Paddle sees no GPU: does its CUDA fit the driver?")
        elif not _tensorrt():
            found.append("no TensorRT in reach of Paddle: its libraries belong on LD_LIBRARY_PATH")
    for package, why in (
        ("torch", "ResNet-50 and BERT are made with it"),
        ("torchvision", "it has ResNet-50"),
        ("transformers", "it has BERT"),
        ("rapidocr_onnxruntime", "it holds PP-OCRv4"),
    ):
        if importlib.util.find_spec(package) is None:
            found.append(f"no {package}: {why}")
    return found


def _tensorrt() -> bool:
    from paddle import inference

    return tuple(inference.get_trt_runtime_version()) > (0, 0, 0)


# models -----------------------------------------------------------------------------------------------------------------


def bert(folder: Path) -> dict[str, np.ndarray]:
    from transformers import BertConfig, BertModel

    from mconv import api

    net = BertModel(BertConfig(attn_implementation="eager")).eval()
    api.torch2paddle(net, folder, inputs=["input_ids:int64[batch,length]"], target="2.6", verify=False)
    return {"input_ids": np.random.default_rng(0).integers(0, 30000, (1, 128))}


def resnet50(folder: Path) -> dict[str, np.ndarray]:
    import torch
    from torchvision.models import resnet50 as make

    from mconv import api

    torch.manual_seed(0)
    api.torch2paddle(make().eval(), folder, inputs=["x:float32[batch,3,224,224]"], target="2.6", verify=False)
    return {"x": np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)}


def _ocr(part: str, shape: tuple[int, ...]) -> Callable[[Path], dict[str, np.ndarray]]:
    def make(folder: Path) -> dict[str, np.ndarray]:
        import rapidocr_onnxruntime

        from mconv import api

        (path,) = (Path(rapidocr_onnxruntime.__file__).parent / "models").glob(f"*_{part}_infer.onnx")
        api.onnx2paddle(path, folder, target="2.6", verify=False)
        return {"x": np.random.default_rng(0).normal(size=shape).astype(np.float32)}

    return make


MODELS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    "bert": bert,
    "resnet50": resnet50,
    "ppocrv4-det": _ocr("det", (1, 3, 640, 640)),
    "ppocrv4-rec": _ocr("rec", (1, 3, 48, 320)),
}


# runs -------------------------------------------------------------------------------------------------------------------


def predictor(model: Path, mode: str, feed: dict[str, np.ndarray], shapes: Path) -> Any:
    from paddle import inference

    config = inference.Config(str(model / "inference.pdmodel"), str(model / "inference.pdiparams"))
    if mode == "cpu":
        config.disable_gpu()
        return inference.create_predictor(config)
    config.enable_use_gpu(1024, 0)
    if mode.startswith("tensorrt"):
        kind = inference.PrecisionType.Half if mode.endswith("fp16") else inference.PrecisionType.Float32
        config.enable_tensorrt_engine(1 << 30, 1, 3, kind, False, False)
        config.enable_tuned_tensorrt_dynamic_shape(str(shapes), True)
    return inference.create_predictor(config)


def answers(made: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    for name in made.get_input_names():
        made.get_input_handle(name).copy_from_cpu(feed[name])
    made.run()
    return [made.get_output_handle(name).copy_to_cpu() for name in made.get_output_names()]


def measured(
    name: str, mode: str, model: Path, feed: dict[str, np.ndarray], wanted: list[np.ndarray], shapes: Path
) -> Run:
    run, start = Run(name, mode), time.perf_counter()
    try:
        made = predictor(model, mode, feed, shapes)
        got = answers(made, feed)
        run.load_seconds = round(time.perf_counter() - start, 3)
        seconds = []
        for number in range(WARM + RUNS):
            begin = time.perf_counter()
            answers(made, feed)
            if number >= WARM:
                seconds.append(time.perf_counter() - begin)
    except Exception as e:  # noqa: BLE001 - whatever Paddle raises is the result of this run
        from mconv.runtimes.outcome import last_words

        run.status, run.reason = "failed", last_words(str(e)) or type(e).__name__
        return run
    run.milliseconds, run.fastest = round(float(np.median(seconds)) * 1e3, 3), round(min(seconds) * 1e3, 3)
    compare(run, wanted, got)
    return run


def compare(run: Run, wanted: list[np.ndarray], got: list[np.ndarray]) -> None:
    """Put the worst output's error into the run, and what it means."""
    from mconv.verbs.half_proof import error_of

    errors = [error_of(a, b.astype(a.dtype)) for a, b in zip(wanted, got)]
    if len(wanted) != len(got) or None in errors:
        run.status, run.reason = "differs", "an output has another shape, or is not finite"
        return
    run.error = max(e for e in errors if e is not None)
    if run.error > LIMITS[run.mode]:
        run.status, run.reason = "differs", f"off by {run.error:.2%}, {LIMITS[run.mode]:.2%} is allowed"


def check(report: Report, scratch: Path, say: Callable[[str], Any]) -> None:
    from mconv import api

    for name, make in MODELS.items():
        say(f"{name}: converting")
        plain, small = scratch / name, scratch / f"{name}-fp16"
        feed = make(plain)
        sizes = [f"{n}[{','.join(map(str, a.shape))}]" for n, a in feed.items()]
        shapes = scratch / f"{name}.pbtxt"
        api.shapes(plain, shapes, minimum=sizes, optimum=sizes, maximum=sizes, target="2.6")
        api.half(plain, small, verify=False)
        wanted = answers(predictor(plain, "cpu", feed, shapes), feed)
        for mode in MODES:
            say(f"{name}: {mode}")
            report.runs.append(measured(name, mode, small if mode == "fp16" else plain, feed, wanted, shapes))


def machine() -> dict[str, Any]:
    import paddle
    from paddle import inference

    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    gpu = subprocess.run(query, capture_output=True, text=True).stdout.strip().splitlines()
    version = ".".join(map(str, inference.get_trt_runtime_version()))
    return {"gpu": gpu, "paddle": paddle.__version__, "cuda": paddle.version.cuda(), "tensorrt": version}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the report there")
    options = parser.parse_args()
    report = Report(missing())
    if not report.missing:
        report.machine = machine()
        with tempfile.TemporaryDirectory(prefix="gpu-check-") as scratch:
            check(report, Path(scratch), lambda text: print(text, file=sys.stderr, flush=True))
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
    for text in report.missing:
        print(f"missing: {text}")
    for run in report.runs:
        time_ = "" if run.milliseconds is None else f"{run.milliseconds:9.2f} ms"
        error = "" if run.error is None else f"{run.error:9.4%} off"
        print(f"{run.model:12} {run.mode:14} {time_:>12} {error:>14}  {run.status} {run.reason}".rstrip())
    if report.missing:
        print("nothing was run: this is for a machine with a GPU")
        return 2
    return 0 if all(run.status == "passed" for run in report.runs) else 1


if __name__ == "__main__":
    sys.exit(main())
