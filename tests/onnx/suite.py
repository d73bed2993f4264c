"""ONNX's own backend tests, converted and run in the real Paddle.

As a script it runs the whole suite or a part of it and writes what became of every case:

    python -m tests.onnx.suite --target 3 --runtime current --jobs 2 --out results.json
    python -m tests.onnx.suite --only 'test_resize' --verbose
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import fcntl
import functools
import json
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.program import targets
from mconv.program.small_types import SMALL, carrier

# where the cases of the installed onnx are kept
MADE = Path(__file__).resolve().parents[2] / "build"

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")

# numpy's names of ONNX's types of 8 bits and fewer → the type that carries them, which holds each of their values
_SMALL = {kind.numpy: carrier(kind) for kind in SMALL.values()}
# types that Paddle's programs have (facts: "core" cases use no other)
CORE_TYPES = frozenset({1, 2, 3, 5, 6, 7, 9, 10, 11})


@dataclass
class Outcome:
    """What became of a case: ``pass``, ``refused`` (a typed error), ``wrong``, ``failed`` (Paddle raised),
    ``crashed`` (Paddle's process died), ``bug`` (mconv raised something else) or ``not run`` with the reason."""

    name: str
    status: str
    detail: str = ""
    core: bool = True


@dataclass(frozen=True)
class Case:
    name: str
    folder: Path
    kind: str

    @property
    def model_path(self) -> Path:
        return self.folder / "model.onnx"


@functools.cache
def cases() -> tuple[Case, ...]:
    """All cases of the installed onnx package, in a fixed order."""
    import onnx

    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    made = MADE / f"onnx-{onnx.__version__}"
    with _locked(made):
        if not made.is_dir():
            _make_node_cases(made)
    found = [Case(folder.name, folder, "node") for folder in sorted(made.iterdir())]
    for kind in KINDS[1:]:
        for test in _stored(kind):
            folder = Path(test.model_dir) if test.model_dir else data / "light" / Path(test.url).stem
            found.append(Case(test.name, folder, kind))
    return tuple(found)


def _stored(kind: str) -> list[Any]:
    from onnx.backend.test import loader

    return loader.load_model_tests(kind=kind)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_node_cases(folder: Path) -> None:
    """onnx makes these cases with its own code; until 1.18 it had files of them, in the form that is written here."""
    from onnx import TensorProto
    from onnx.backend.test.case.node import collect_testcases

    part = Path(tempfile.mkdtemp(dir=folder.parent))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of the infinities among the data
        tests = collect_testcases(None)
    for test in tests:
        (part / test.name).mkdir()
        (part / test.name / "model.onnx").write_bytes(test.model.SerializeToString())
        for i, (inputs, outputs) in enumerate(test.data_sets or ()):
            data = part / test.name / f"test_data_set_{i}"
            data.mkdir()
            for side, values, infos in (
                ("input", inputs, test.model.graph.input),
                ("output", outputs, test.model.graph.output),
            ):
                for j, (value, info) in enumerate(zip(values, infos)):
                    tensor = value if isinstance(value, TensorProto) else _tensor(value, info)
                    (data / f"{side}_{j}.pb").write_bytes(tensor.SerializeToString() if tensor else b"")
    part.rename(folder)


def _tensor(value: Any, info: Any) -> Any:
    """A value as a tensor; None where it is a sequence or an optional, of which nothing is read again."""
    from onnx import numpy_helper

    if info.type.WhichOneof("value") != "tensor_type" or value is None:
        return None
    return numpy_helper.from_array(np.asarray(value), info.name)


def pass_list(target: str) -> Path:
    """The committed list of the cases that pass."""
    return Path(__file__).parent / ("suite_passes.txt" if target == "3" else f"suite_passes_{target}.txt")


def load_model(case: Case) -> Any:
    import onnx

    return onnx.load(case.model_path if case.model_path.exists() else case.folder.with_suffix(".onnx"))


def load(case: Case) -> tuple[Any, list[tuple[list[Any], list[Any]]]]:
    """The model and its (inputs, expected outputs) pairs; None stands for a value that is no tensor."""
    import onnx
    from onnx import numpy_helper

    model = load_model(case)
    sets = []
    for data in sorted(case.folder.glob("test_data_set*")):
        pair = []
        for side in ("input", "output"):
            values: list[Any] = []
            for i in range(len(list(data.glob(f"{side}_*.pb")))):
                tensor = onnx.TensorProto()
                raw = (data / f"{side}_{i}.pb").read_bytes()
                infos = model.graph.input if side == "input" else model.graph.output
                if i < len(infos) and infos[i].type.WhichOneof("value") == "tensor_type":
                    tensor.ParseFromString(raw)
                    value = None if tensor.data_type == 8 else numpy_helper.to_array(tensor)
                    if infos[i].type.tensor_type.elem_type == 16 and value is not None and value.dtype == np.uint16:
                        value = (value.astype(np.uint32) << 16).view(np.float32)  # the data of bfloat16 are its bits
                    values.append(value)
                else:
                    values.append(None)
            pair.append(values)
        sets.append((pair[0], pair[1]))
    return model, sets


# ONNX's evaluator, which made their data, moves the corners by what is left of a broken scale; ONNX's text says the
# length of the result, and ONNX Runtime and PyTorch take it so
_CORNERS = frozenset(
    {"test_resize_downsample_scales_cubic_align_corners", "test_resize_downsample_scales_linear_align_corners"}
)


def not_run(model: Any, name: str) -> Optional[str]:
    """Why a case says nothing about a Paddle program (the reasons of the baseline's 110 cases)."""
    domains = {o.domain for o in model.opset_import}
    if "ai.onnx.preview.training" in domains:
        return "training"
    if "ai.onnx.ml" in domains:
        return "ai.onnx.ml"
    kinds = {i.type.WhichOneof("value") for i in [*model.graph.input, *model.graph.output]}
    if "optional_type" in kinds:
        return "optional"
    if "sequence_type" in kinds:
        return "sequence"
    for info in [*model.graph.input, *model.graph.output]:
        if info.type.tensor_type.elem_type == 8:
            return "string"
    if any(n.op_type in ("Bernoulli", "Multinomial") or n.op_type.startswith("Random") for n in model.graph.node):
        return "random"
    if name in _CORNERS:
        return "corners of a broken scale"
    return None


def is_core(model: Any) -> bool:
    """Whether inputs and outputs have types of Paddle's."""
    infos = [*model.graph.input, *model.graph.output]
    return all(i.type.tensor_type.elem_type in CORE_TYPES for i in infos)


def agrees(expected: np.ndarray, got: np.ndarray, widened: bool) -> str:
    """Empty when equal within the suite's tolerance, else what differs.

    rtol 1e-3, atol max(1e-5, 1e-6·max|ref|), looser for 16-bit floats; integers, bools, shapes and dtypes exact.
    """
    if expected.dtype.name == "bfloat16":
        expected = expected.astype(np.float32)
    if expected.dtype.name in _SMALL:  # a step more or less is wrong
        expected = expected.astype(_SMALL[expected.dtype.name].numpy)
        if expected.dtype == got.dtype and np.array_equal(expected, got, equal_nan=expected.dtype.kind == "f"):
            return ""
        return f"{got.dtype} {got.reshape(-1)[:8]}, expected {expected.dtype} {expected.reshape(-1)[:8]}"
    if expected.shape != got.shape:
        return f"shape {got.shape}, expected {expected.shape}"
    if expected.dtype != got.dtype and not widened:
        return f"dtype {got.dtype}, expected {expected.dtype}"
    if expected.dtype.kind in "biu":
        different = int((expected != got).sum())
        return f"{different} of {expected.size} elements differ" if different else ""
    size = float(np.max(np.abs(expected[np.isfinite(expected)]), initial=0))
    half = expected.dtype == np.float16
    rtol, atol = (1e-2, max(1e-2, 1e-3 * size)) if half or widened else (1e-3, max(1e-5, 1e-6 * size))
    if not np.allclose(got, expected, rtol=rtol, atol=atol, equal_nan=True):
        error = np.abs(got.astype(np.float64) - expected.astype(np.float64))
        return f"differs by {np.nanmax(error):.3g} where the largest value is {size:.3g}"
    return ""


def made_constant(model: Any, inputs: list[Any]) -> Any:
    """The model with every input but the first as an initializer, as real models have them."""
    import onnx
    from onnx import numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info, value in list(zip(copy.graph.input, inputs))[1:]:
        if value is not None and value.dtype.names is None:  # numpy_helper stores 4-bit numbers only in pairs
            copy.graph.initializer.append(numpy_helper.from_array(value, info.name))
            copy.graph.input.remove(info)
    return copy


def run_case(case: Case, worker: Any, target: str, scratch: Path, *, onednn: Optional[bool], const: bool) -> Outcome:
    from mconv.errors import MconvError
    from mconv.onnx.convert import convert
    from mconv.onnx.reader import OnnxModel
    from mconv.program.stored import write_model
    from mconv.runtimes import WorkerError

    model, sets = load(case)
    reason = not_run(model, case.name)
    if reason:
        return Outcome(case.name, "not run", reason, False)
    core = is_core(model)
    for inputs, expected in sets:
        source = made_constant(model, inputs) if const else model
        try:
            made = convert(OnnxModel(source), targets.get(target))
            paths = write_model(made.program, made.params.items(), scratch)
        except MconvError as e:
            return Outcome(case.name, "refused", str(e), core)
        except Exception as e:  # noqa: BLE001 - a bug of mconv is a result of the suite
            import traceback

            frame = traceback.extract_tb(e.__traceback__)[-1]
            return Outcome(
                case.name, "bug", f"{type(e).__name__}: {e} ({Path(frame.filename).name}:{frame.lineno})", core
            )
        feeds = {}
        ports = made.program.feeds
        free = list(source.graph.input)
        for port, (info, value) in zip(ports, [(i, v) for i, v in zip(free, inputs) if v is not None]):
            value = value.astype(np.float32) if value.dtype.name == "bfloat16" else value
            value = value.reshape(1) if value.shape == () and target == "2.3" else value  # 2.3 has no 0-d tensors
            feeds[port.name] = value.astype(port.dtype.numpy)
        try:
            result = worker.run(*paths, feeds, onednn=onednn, timeout=300)
        except WorkerError as e:
            return Outcome(case.name, "crashed" if e.signal or e.timed_out else "failed", e.message, core)
        for info, want, got in zip(source.graph.output, expected, result.outputs[0]):
            problem = agrees(want, got, info.name in made.widened)
            if problem and target == "2.3" and want.shape == () and got.shape == (1,):
                problem = agrees(want.reshape(1), got, info.name in made.widened)
            if problem:
                return Outcome(case.name, "wrong", f"{info.name}: {problem}", core)
    return Outcome(case.name, "pass", "", core)


def run_part(names: list[str], target: str, runtime: str, onednn: Optional[bool], const: bool) -> list[Outcome]:
    from mconv import runtimes

    by_name = {c.name: c for c in cases()}
    outcomes: list[Outcome] = []
    with runtimes.find(runtime).worker() as worker, tempfile.TemporaryDirectory() as scratch:
        for i, name in enumerate(names):
            folder = Path(scratch) / str(i)
            folder.mkdir()
            outcomes.append(run_case(by_name[name], worker, target, folder, onednn=onednn, const=const))
    return outcomes


def run(
    names: list[str],
    target: str = "3",
    runtime: str = "current",
    *,
    onednn: Optional[bool] = None,
    const: bool = False,
    jobs: int = 2,
) -> list[Outcome]:
    """Run cases in *jobs* processes; outcomes in the order of *names*."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parts = [names[i::jobs] for i in range(jobs)]
    with concurrent.futures.ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(run_part, p, target, runtime, onednn, const) for p in parts if p]
        found = {o.name: o for f in futures for o in f.result()}
    return [found[n] for n in names]


def summary(outcomes: list[Outcome]) -> Iterator[str]:
    counts = Counter(o.status for o in outcomes)
    passed, core = counts["pass"], [o for o in outcomes if o.core and o.status != "not run"]
    core_passed = sum(o.status == "pass" for o in core)
    yield f"{len(outcomes)} cases: {dict(counts)}"
    yield f"pass {passed / max(len(outcomes), 1):.1%} of all; core {core_passed} of {len(core)} ({core_passed / max(len(core), 1):.1%})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="regular expression of case names")
    parser.add_argument("--target", default="3")
    parser.add_argument("--runtime", default="current")
    parser.add_argument("--no-onednn", action="store_true")
    parser.add_argument("--const", action="store_true", help="every input but the first as an initializer")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--update", action="store_true", help="write the committed list of what passes")
    parser.add_argument("--verbose", action="store_true", help="print every case that does not pass")
    args = parser.parse_args()
    names = [c.name for c in cases() if not args.only or re.search(args.only, c.name)]
    onednn = False if args.no_onednn else None
    outcomes = run(names, args.target, args.runtime, onednn=onednn, const=args.const, jobs=args.jobs)
    for o in outcomes:
        if args.verbose and o.status not in ("pass", "not run"):
            print(f"{o.status:8} {o.name}: {o.detail}")
    print("\n".join(summary(outcomes)))
    if args.update and not args.only:
        pass_list(args.target).write_text("".join(f"{o.name}\n" for o in outcomes if o.status == "pass"))
    if args.out:
        args.out.write_text(json.dumps([asdict(o) for o in outcomes], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
