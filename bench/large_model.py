"""A large ONNX model with external data: time and memory of ``mconv onnx2paddle`` beside ``cp`` of its files.

Matrices of 256 MB that have to be transposed (``Gemm`` with ``transB``, as PyTorch's exporters write a linear layer),
and a table as large that has not. The files are made in a temporary folder and deleted afterwards.

    python bench/large_model.py [--matrices 6] [--rounds 3] [--write docs/benchmarks.md]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from to_serving import Timing, finish, machine

from mconv import __version__

BEGIN, END = "<!-- large-model: begin -->", "<!-- large-model: end -->"
MAX_OF_CP = 1.6  # beside the start-up
MAX_PEAK = 250  # MB
START = "`mconv onnx2paddle` on a model of one node (start-up)"
COPY, OURS = "`cp` of the model's files", "`mconv onnx2paddle`"

# in a process of its own: what it holds is not to be charged to those that it starts
_MAKE = """
import sys
import numpy as np, onnx
from onnx import TensorProto, helper
folder, matrices = sys.argv[1], int(sys.argv[2])
WIDE, NARROW, SIZE = 16384, 4096, 256 << 20
rows, nodes, weights = np.random.default_rng(0).random(1 << 20, np.float32).tobytes(), [], []
with open(folder + "/weights.bin", "wb") as file:
    for index in range(matrices + 1):
        for _ in range(SIZE // len(rows)):
            file.write(rows)
        shape = (WIDE, NARROW) if index % 2 or not index else (NARROW, WIDE)
        tensor = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        for key, value in (("location", "weights.bin"), ("offset", str(index * SIZE)), ("length", str(SIZE))):
            tensor.external_data.add(key=key, value=value)
        weights.append(tensor)
nodes.append(helper.make_node("Gather", ["w0", "x"], ["h0"]))
for index in range(1, matrices + 1):  # [n, 4096] to [n, 16384] and back
    nodes.append(helper.make_node("Gemm", [f"h{index - 1}", f"w{index}"], [f"h{index}"], transB=1))
graph = helper.make_graph(
    nodes,
    "large",
    [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
    [helper.make_tensor_value_info(f"h{matrices}", TensorProto.FLOAT, None)],
    weights,
)
made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
open(folder + "/model.onnx", "wb").write(made.SerializeToString())
one = helper.make_graph(
    [helper.make_node("Relu", ["x"], ["y"])],
    "one",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
)
made = helper.make_model(one, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
open(folder + "/one.onnx", "wb").write(made.SerializeToString())
"""


def measure(work: Path, matrices: int, rounds: int) -> tuple[dict[str, Timing], int]:
    source = work / "source"
    source.mkdir()
    subprocess.run([sys.executable, "-c", _MAKE, str(source), str(matrices)], check=True)
    files = [source / "model.onnx", source / "weights.bin"]
    command = [sys.executable, "-m", "mconv", "onnx2paddle", "--quiet", "--no-verify", "--limit", "8G"]
    timings = {name: Timing() for name in (START, COPY, OURS)}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, line in (
            (START, [*command, str(source / "one.onnx"), str(work / "out")]),
            (COPY, ["cp", *map(str, files), str(work / "out")]),
            (OURS, [*command, str(files[0]), str(work / "out")]),
        ):
            shutil.rmtree(work / "out", ignore_errors=True)
            if name == COPY:
                (work / "out").mkdir()
            timings[name].run(line, None, work)
    return timings, sum(f.stat().st_size for f in files)


def report(timings: dict[str, Timing], size: int, matrices: int, rounds: int) -> tuple[str, list[str]]:
    start, copy, ours = (min(timings[name].wall) for name in (START, COPY, OURS))
    ratio, peak = (ours - start) / copy, max(timings[OURS].peak)
    failed = [] if ratio <= MAX_OF_CP else [f"{ratio:.2f} times cp, more than {MAX_OF_CP}"]
    failed += [] if peak <= MAX_PEAK else [f"{peak:.0f} MB at the peak, more than {MAX_PEAK}"]
    rows = "\n".join(timing.row(name) for name, timing in timings.items())
    text = f"""{BEGIN}
## A large ONNX model
{size / 1e9:.1f} GB of external data: {matrices} matrices of 256 MB that are transposed, and a table of 256 MB; in the page
cache, with `--no-verify`. Whole processes, {rounds} rounds of all commands in turn, mconv {__version__}. Machine:
{machine()}; load average at the end {os.getloadavg()[0]:.1f}. Command: `make bench`.

| command | median s | from, to | CPU s | peak MB |
|---|---|---|---|---|
{rows}

Fastest runs: beside its start-up, mconv takes {ratio:.2f} times as long as `cp` (at most {MAX_OF_CP} is the target), with
{peak:.0f} MB at the peak (at most {MAX_PEAK}).
{END}
"""
    return text, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matrices", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, help="the Markdown file whose section is replaced")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mconv-bench-") as work:
        timings, size = measure(Path(work), arguments.matrices, arguments.rounds)
    text, failed = report(timings, size, arguments.matrices, arguments.rounds)
    finish(text, failed, arguments.write, BEGIN, END)


if __name__ == "__main__":
    main()
