"""Every ONNX operator behind a selection that may find nothing: converted, and run in the real Paddles.

The models are ONNX's own backend tests with ``Gather(x, Squeeze(NonZero(mask)))`` in front of an input, or of all that
share its first size. ONNX Runtime (or onnx's reference) says what comes out for a mask that selects everything and for
one that selects nothing; where it fails on nothing, nothing is asked of Paddle.

    python -m tests.onnx.nothing --target 2.3 [--only Conv] [--write]
    python -m tests.onnx.nothing --target 2.3 --chains [--write]       # nothing_chains.py
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import multiprocessing
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.proof.reference import left_open
from tests.onnx import nothing_chains, suite, tried

TABLE = Path(__file__).parent / "nothing.json"
CHAINS = Path(__file__).parent / "nothing_chains.json"
RUNTIMES = {"2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2", "3": "current"}
EXCLUDED = {
    "test_loop11": "the model says that the size is 1",
    "test_concat_": "ONNX Runtime lets pass that the other sizes differ where there is nothing",
}
CASES = 3  # of an operator
FAULTS = frozenset({"wrong", "failed", "crashed", "bug"})  # beside "works", "refused" and "no case": the source fails


def models(only: Optional[str] = None) -> dict[str, list[tuple[str, Any, dict[str, np.ndarray]]]]:
    """Operator → (case, model, inputs without the mask); the mask is the input ``mask``."""
    from mconv.onnx import registry

    found: dict[str, list[tuple[str, Any, dict[str, np.ndarray]]]] = defaultdict(list)
    for case in suite.cases():
        if case.kind != "node" or case.name.endswith("_expanded") or "_expanded_" in case.name:
            continue
        model, sets = suite.load(case)
        if suite.not_run(model, case.name) or len(model.graph.node) != 1 or not sets:
            continue
        node = model.graph.node[0]
        key = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        if (only and key != only) or len({c.partition("/")[0] for c, _, _ in found[key]}) >= CASES:
            continue
        version = next(o.version for o in model.opset_import if o.domain == node.domain)
        if (node.domain == "" and version < 9) or registry.find(
            registry.normal_domain(node.domain), node.op_type, version
        ) is None:
            continue
        for positions, axis in _choices(sets[0][0]):
            joined = [v.shape[axis] for i, v in enumerate(sets[0][0]) if i not in positions and key == "Concat"]
            if case.name in EXCLUDED or joined and axis != _axis(node):
                continue
            name = f"{case.name}/{','.join(map(str, positions))}@{axis}"
            found[key].append((name, *_behind_a_selection(model, sets[0][0], positions, axis)))
    return found


def _axis(node: Any) -> int:
    """The axis of a Concat, as it is written here: 0, or -1 for the last."""
    axis = next(a.i for a in node.attribute if a.name == "axis")
    return 0 if axis == 0 else -1 if axis == -1 else 99


def _choices(inputs: Sequence[Optional[np.ndarray]]) -> Iterator[tuple[list[int], int]]:
    """Which inputs are selected from, and along which axis: the first alone, and all that have its size there."""
    for axis in (0, -1):
        sizes = [None if v is None or v.ndim < 1 - axis or not v.size else v.shape[axis] for v in inputs]
        first = next((i for i, s in enumerate(sizes) if s is not None), None)
        if first is None:
            continue
        yield [first], axis
        together = [i for i, s in enumerate(sizes) if s == sizes[first]]
        if len(together) > 1:
            yield together, axis


def _behind_a_selection(
    model: Any, inputs: Sequence[Any], positions: Sequence[int], axis: int
) -> tuple[Any, dict[str, np.ndarray]]:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    infos = list(graph.input)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [inputs[positions[0]].shape[axis]]))
    before = [
        helper.make_node("NonZero", ["mask"], ["mask_places"]),
        helper.make_node("Reshape", ["mask_places", "mask_flat"], ["mask_index"]),
    ]
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), "mask_flat"))
    feeds = {}
    for i, (info, value) in enumerate(zip(infos, inputs)):
        if value is None:
            continue
        if i not in positions and value.dtype.names is None:
            graph.initializer.append(numpy_helper.from_array(value, info.name))
            continue
        graph.input.append(info)
        feeds[info.name] = value
        if i in positions:
            before.append(helper.make_node("Gather", [info.name, "mask_index"], [f"{info.name}_some"], axis=axis))
            for node in graph.node:
                node.input[:] = [f"{n}_some" if n == info.name else n for n in node.input]
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    outputs = [(o.name, o.type.tensor_type.elem_type) for o in graph.output]
    del graph.output[:]
    graph.output.extend(helper.make_tensor_value_info(n, k, None) for n, k in outputs)
    if not any(not o.domain for o in copy.opset_import):
        copy.opset_import.append(helper.make_opsetid("", 20))
    return copy, feeds


class Reference:
    """What the source gives, in a process of its own: ONNX Runtime does not survive every tensor without elements."""

    def __init__(self) -> None:
        self.pool: Optional[concurrent.futures.ProcessPoolExecutor] = None

    def __call__(self, model: Any, feeds: dict[str, np.ndarray]) -> Optional[list[np.ndarray]]:
        """The outputs; None where it fails."""
        if self.pool is None:
            self.pool = concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        try:
            return self.pool.submit(_expected, model.SerializeToString(), feeds).result(timeout=300)
        except (BrokenProcessPool, concurrent.futures.TimeoutError):
            self.close()
            return None

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = None


def _expected(serialized: bytes, feeds: dict[str, np.ndarray]) -> Optional[list[np.ndarray]]:
    from tests.onnx.checks import _session

    session = _session(serialized)
    try:
        if session is None:
            return _defined(serialized, feeds)
        made = [np.asarray(a) for a in session.run(None, feeds)]
    except Exception:  # noqa: BLE001 - whatever it raises, nothing is known of what should come out
        return None
    if feeds["mask"].any():
        return made
    try:
        return [left_open(given, defined) for given, defined in zip(made, _defined(serialized, feeds))]
    except Exception:  # noqa: BLE001 - it does not run everything; then ONNX Runtime's word stands
        return made


def _defined(serialized: bytes, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    with np.errstate(all="ignore"):
        return [np.asarray(a) for a in ReferenceEvaluator(onnx.load_from_string(serialized)).run(None, feeds)]


def outcome(
    model: Any, feeds: dict[str, np.ndarray], worker: Any, target: str, reference: Reference, some_too: bool = False
) -> tuple[str, str]:
    """Status and reason of one model; *some_too*: with every other element selected, as well."""
    from mconv.program.stored import write_model
    from mconv.runtimes import WorkerError

    size = model.graph.input[0].type.tensor_type.shape.dim[0].dim_value
    sets = [{**feeds, "mask": np.full(size, some, np.float32)} for some in (True, False)]
    if some_too:
        sets.append({**feeds, "mask": (np.arange(size) % 2).astype(np.float32)})
    wanted = [reference(model, s) for s in sets]
    if any(w is None for w in wanted):
        return "no case", "the source fails"
    made = tried.converted(model, target)
    if isinstance(made, tuple):
        return made
    carried = tried.fed(made, sets, target)
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_model(made.program, made.params.items(), scratch)
        for onednn in (None, True):
            try:
                got = worker.run(*paths, carried, onednn=onednn, timeout=300).outputs
            except WorkerError as e:
                if onednn and not _runs(worker, paths, carried[:1], onednn):
                    continue  # not with everything selected either
                return "crashed" if e.signal or e.timed_out else "failed", f"onednn={onednn}: {e.message}"
            for which, want_row, got_row in zip(("everything", "nothing", "some"), wanted, got):
                for info, want, value in zip(model.graph.output, want_row or (), got_row):
                    problem = suite.agrees(want, tried.handed_out(value, want, target), info.name in made.widened)
                    if problem:
                        return "wrong", f"onednn={onednn}, {which} selected, {info.name}: {problem}"
    return "works", ""


def _runs(worker: Any, paths: Sequence[Path], sets: Sequence[dict[str, np.ndarray]], onednn: Optional[bool]) -> bool:
    from mconv.runtimes import WorkerError

    try:
        worker.run(*paths, sets, onednn=onednn, timeout=300)
    except WorkerError:
        return False
    return True


def run(target: str, operators: Optional[Sequence[str]] = None, only: Optional[str] = None) -> dict[str, Any]:
    """Operator → its status, and the reasons of the cases that do not work."""
    from mconv import runtimes

    found: dict[str, Any] = {}
    reference = Reference()
    with runtimes.find(RUNTIMES[target]).worker() as worker, contextlib.closing(reference):
        for operator, cases in sorted(models(only).items()):
            if operators is not None and operator not in operators:
                continue
            results = {name: outcome(model, feeds, worker, target, reference) for name, model, feeds in cases}
            counts = Counter(status for status, _ in results.values())
            reasons = {n: f"{s}: {r}" for n, (s, r) in results.items() if s not in ("works", "no case")}
            found[operator] = {"cases": dict(counts), "reasons": reasons}
    return found


def run_chains(target: str) -> dict[str, tuple[str, str]]:
    """Chain → its status and the reason."""
    from mconv import runtimes

    reference = Reference()
    with runtimes.find(RUNTIMES[target]).worker() as worker, contextlib.closing(reference):
        return {
            name: outcome(nothing_chains.model(name), nothing_chains.feeds(), worker, target, reference, some_too=True)
            for name in nothing_chains.CHAINS
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="3", choices=list(RUNTIMES))
    parser.add_argument("--only", help="an operator")
    parser.add_argument("--write", action="store_true", help="renew the committed table")
    parser.add_argument("--chains", action="store_true", help="what graphs do around a selection")
    args = parser.parse_args()
    if args.chains:
        chains = run_chains(args.target)
        print(*(f"{n}: {s}: {r}" for n, (s, r) in chains.items() if s != "works"), sep="\n")
        if args.write:
            table = json.loads(CHAINS.read_text()) if CHAINS.exists() else {}
            table[args.target] = {n: s for n, (s, _) in chains.items()}
            CHAINS.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
        return 0
    found = run(args.target, only=args.only)
    for operator, result in found.items():
        for name, reason in result["reasons"].items():
            print(f"{operator:28} {name}: {reason}")
    print(len(found), "operators:", dict(sum((Counter(r["cases"]) for r in found.values()), Counter())))
    if args.write:
        table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
        table[args.target] = {operator: result["cases"] for operator, result in found.items()}
        TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
