"""What ``make demo`` shows: models converted by ``mconv to-serving``, run in the real Paddle 2.3.2 that Paddle Serving
0.9.0 carries, and compared with the outputs that the source's own Paddle gave.

One of them is a BERT as Paddle 2.6 saves it, without the intermediate outputs that older runtimes insist on: as it is,
it kills the runtime's process; converted, it runs.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mconv import api, runtimes
from mconv.cli.failing import render_error
from mconv.cli.output import out
from mconv.errors import MconvError, RuntimeFailedError
from mconv.program import files
from mconv.runtimes import Worker

GOLDEN = Path(__file__).parent.parent / "tests" / "data" / "golden"
MODELS = [
    ("BERT of Paddle 1.8.5, model/params", "paddle-1.8.5/bert_custom"),
    ("convnet of 1.8.5, one file per parameter", "paddle-1.8.5/conv_separate"),
    ("three outputs, Paddle 2.3.2", "paddle-2.3.2/multi"),
    ("BERT of Paddle 2.3.2", "paddle-2.3.2/bert"),
]
PRUNED = "BERT as Paddle 2.6 saves it"
# read off models saved by 2.6.2
PRUNED_OUTPUTS = {"transpose2": ["XShape"], "unsqueeze2": ["XShape"], "squeeze2": ["XShape"], "dropout": ["Mask"]}
TOLERANCE = 1e-6


def as_saved_by_2_6(source: Path, folder: Path) -> Path:
    """The model without the outputs that only training needs, which Paddle leaves out since 2.6."""
    found = files.locate(source)
    program = files.load_program(found)
    for _, op in program.ops():
        for name in PRUNED_OUTPUTS.get(op.type, ()):
            op.set_output(name, None)
    program.version = 2006002
    folder.mkdir()
    files.write_model(program, [(r.name, r) for r in files.records(found, program)], folder)
    return folder


def inputs_of(case: Path) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """The stored inputs and the outputs that the source's Paddle gave for them."""
    with np.load(case / "io.npz") as stored:
        feeds = {k.split("_", 2)[2]: stored[k] for k in stored.files if k.startswith("in_")}
        count = sum(k.startswith("out_") for k in stored.files)
        return feeds, [stored[f"out_{i}"] for i in range(count)]


def rows(worker: Worker, work: Path) -> Iterator[list[str]]:
    for number, (title, where) in enumerate([*MODELS, (PRUNED, "paddle-2.3.2/bert")]):
        case = GOLDEN / where
        model = case / "inference_model"
        feeds, wanted = inputs_of(case)
        if title is PRUNED:
            model = as_saved_by_2_6(model, work / "pruned")
        found = files.locate(model)
        try:
            worker.run(found.program, found.params, feeds)
            before = "loads"
        except RuntimeFailedError as e:
            before = f"killed by {e.signal}" if getattr(e, "signal", None) else "fails"
        start = time.perf_counter()
        result = api.to_serving(model, out=work / str(number))
        seconds = time.perf_counter() - start
        run = worker.run(result.program, result.params, feeds)
        worst = max(float(np.abs(a.astype("f8") - b.astype("f8")).max()) for a, b in zip(run.outputs[0], wanted))
        verdict = "equal" if worst <= TOLERANCE else "DIFFERENT"
        yield [
            title,
            before,
            f"{seconds * 1000:.0f} ms",
            f"loads, {len(wanted)} output{'s' * (len(wanted) > 1)}",
            f"{worst:.1e}",
            verdict,
        ]


def main() -> int:
    out.configure(json="--json" in sys.argv[1:])
    runtime = runtimes.find("paddle-2.3.2")
    work = Path(tempfile.mkdtemp(prefix="mconv-demo-"))
    try:
        with runtime.worker() as worker:
            out.note("converting, and running in Paddle 2.3.2 (it starts once, which takes some seconds) …")
            found = list(rows(worker, work))
            version = worker.version()
    finally:
        shutil.rmtree(work)
    columns = ["model", f"in Paddle {version} before", "to-serving", "after", "largest difference", ""]
    out.table(columns, found, title=f"mconv to-serving → the real Paddle {version}", right=["to-serving"])
    if out.json:
        print(json.dumps([dict(zip(columns[:-1], row)) for row in found], indent=2))
    ok = all(row[-1] == "equal" for row in found)
    out.print(f"\n{len(found)} models: " + (f"all equal to {TOLERANCE:g}" if ok else "some differ"))
    return 0 if ok else 10


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MconvError as error:
        sys.exit(render_error(error, "demo"))
