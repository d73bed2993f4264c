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

from section import Section, finish
from to_serving import Timing, machine

from mconv import __version__

BEGIN, END = "<!-- large-model: begin -->", "<!-- large-model: end -->"
MAX_OF_CP = 1.6  # beside the start-up
MAX_PEAK = 250  # MB
START = "`mconv onnx2paddle` on a model of one node (start-up)"
COPY, OURS = "`cp` of the model's files", "`mconv onnx2paddle`"
IMPORTED = "imports of the two below"
HASHES, TURNING = "hashing what is read and what is written, alone", "transposing the matrices, alone, into memory"
# what mconv does beside what `cp` does, each part in a process of its own
_PARTS = """
import sys
from mconv.artifacts.hashing import hash_file
from mconv.emit.weights import TransposedSource
from mconv.program.dtypes import DType
from mconv.program.params import FileSource
part, matrices, *paths = sys.argv[1:]
WIDE, NARROW, SIZE = 16384, 4096, 256 << 20
if part == "hash":
    for path in paths:
        hash_file(path)
elif part == "turn":
    for index in range(1, int(matrices) + 1):
        shape = (WIDE, NARROW) if index % 2 else (NARROW, WIDE)
        for piece in TransposedSource(FileSource(paths[0], index * SIZE, DType.FP32, shape)).chunks():
            pass
"""

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
    timings = {name: Timing() for name in (START, COPY, OURS, IMPORTED, HASHES, TURNING)}
    parts, written = [sys.executable, "-c", _PARTS], str(work / "out" / "inference.pdiparams")
    Timing.warm([[*command, str(source / "one.onnx"), str(work / "out")]], work)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for name, line in (
            (START, [*command, str(source / "one.onnx"), str(work / "out")]),
            (COPY, ["cp", *map(str, files), str(work / "out")]),
            (OURS, [*command, str(files[0]), str(work / "out")]),
            (IMPORTED, [*parts, "", "0"]),
            (HASHES, [*parts, "hash", "0", str(files[1]), written]),
            (TURNING, [*parts, "turn", str(matrices), str(files[1])]),
        ):
            if name in (START, COPY, OURS):
                shutil.rmtree(work / "out", ignore_errors=True)
            if name == COPY:
                (work / "out").mkdir()
            timings[name].run(line, None, work)
    return timings, sum(f.stat().st_size for f in files)


def report(timings: dict[str, Timing], size: int, matrices: int, rounds: int) -> tuple[Section, list[str]]:
    start, copy, ours = (min(timings[name].wall) for name in (START, COPY, OURS))
    ratio, peak = (ours - start) / copy, max(timings[OURS].peak)
    imports, hashes, turning = (min(timings[name].cpu) for name in (IMPORTED, HASHES, TURNING))
    cpu = min(timings[OURS].cpu) - min(timings[START].cpu)
    copied, hashes, turning = min(timings[COPY].cpu), hashes - imports, turning - imports
    cores = os.cpu_count() or 1
    least = (copied + hashes + turning) / cores / copy
    failed = [] if ratio <= MAX_OF_CP else [f"{ratio:.2f} times cp, more than {MAX_OF_CP}"]
    failed += [] if peak <= MAX_PEAK else [f"{peak:.0f} MB at the peak, more than {MAX_PEAK}"]
    table = "\n".join(
        [
            "| command | median s | from, to | CPU s | peak MB |",
            "|---|---|---|---|---|",
            *(timing.row(name) for name, timing in timings.items()),
        ]
    )
    load = os.getloadavg()[0]
    english = f"""\
{size / 1e9:.1f} GB of external data: {matrices} matrices of 256 MB that are transposed, and a table of 256 MB; in the page
cache, with `--no-verify`. Whole processes, {rounds} rounds of all commands in turn after a call that is not counted, mconv {__version__}. Machine:
{machine()}; load average at the end {load:.1f}. Command: `make bench`."""
    chinese = f"""\
{size / 1e9:.1f} GB 外部数据：{matrices} 个需要转置的 256 MB 矩阵和一个 256 MB 的表；已在页缓存中，使用 `--no-verify`。
整个进程，先有一次不计入的调用，然后所有命令轮流执行 {rounds} 轮，mconv {__version__}。机器：{machine()}；结束时的平均负载 {load:.1f}。命令：`make bench`。"""
    rest = f"""\
Fastest runs: beside its start-up, mconv takes {ratio:.2f} times as long as `cp` (at most {MAX_OF_CP} is the target), with
{peak:.0f} MB at the peak (at most {MAX_PEAK}). Beside what `cp` does, every byte is hashed in the source and in what
is written, for `provenance.json`, and the matrices are transposed. Of the {cpu:.2f} s on the processor, `cp`'s own work is
{copied:.2f}, the hashes {hashes:.2f}, transposing {turning:.2f}: without any loss between them, {cores} cores take {least:.2f} times as long as `cp`."""
    rest_zh = f"""\
按最快的一次：除去启动，mconv 用时为 `cp` 的 {ratio:.2f} 倍（目标：至多 {MAX_OF_CP}），
内存峰值 {peak:.0f} MB（至多 {MAX_PEAK}）。除了 `cp` 所做的，还为 `provenance.json` 对来源和写出的
每个字节计算散列值，并转置各矩阵。处理器上的 {cpu:.2f} 秒中，`cp` 所做的占 {copied:.2f}，散列 {hashes:.2f}，转置 {turning:.2f}：
即使三者之间毫无损耗，{cores} 个核也要用 `cp` 的 {least:.2f} 倍时间。"""
    text = Section.of(english, table, chinese, (rest, rest_zh))
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
