"""The operator sweep behind a selection that may find nothing: ``x[mask]`` in front of the first input of each case.

``python tests/paddle/nothing.py save FOLDER [NAME…]`` writes the models with what Paddle 3's own Executor gives for a mask
that selects everything and for one that selects nothing (in a process of its own, which that may end); ``python -m
tests.paddle.nothing run FOLDER TARGET… [NAME…] [--write]`` converts them and compares; ``--write`` renews the committed
table, in which a case that does not work has its reason.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

HERE = Path(__file__).parent
TABLE = HERE / "nothing.json"
_OPEN = "what Paddle 3 gives of no elements changes from one engine to the next"
_OUT_OF_RANGE = "an index of an element that an empty tensor does not have: Paddle 3 alone says nothing of it"
_DEAF = "it does not load without a selection either: oneDNN and a number without dimensions"
# cases that say nothing about the conversion; of one target: "case for target"
EXCLUDED = {
    **dict.fromkeys(("T.cov for 2.6", "T.cov for 3", "T.corrcoef for 2.6", "T.corrcoef for 3"), _DEAF),
    **dict.fromkeys(("T.gather_nd", "T.index_add", "T.scatter", "T.scatter_nd_add"), _OUT_OF_RANGE),
    "T.expand_as": "a size of 0 is no size that could be expanded",
    **dict.fromkeys(("T.allclose", "T.amin", "T.argmax", "T.argmin", "T.histogram", "T.nanmedian"), _OPEN),
}
# cases in which all operands of the first one's size are selected from, not the first alone
TOGETHER = frozenset(
    """F.scaled_dot_product_attention T.add_n T.dist T.equal_all T.slice_scatter V.deform_conv2d V.generate_proposals
    V.roi_align V.roi_pool V.yolo_loss""".split()
)
# of an empty result of a branch Paddle 3.3.1 loses the shape
SHAPELESS = frozenset({"N.cond, selected", "N.cond over rows"})
FAULTS = frozenset({"wrong", "failed", "bug"})
RUNTIMES = {"2.3": "paddle-2.3.2", "2.6": "paddle-2.6.2", "3": "current"}


def _sweep() -> Any:
    sys.path.insert(0, str(HERE))
    try:
        import sweep
    finally:
        sys.path.remove(str(HERE))
    return sweep


def _cases() -> dict[str, tuple]:
    """Case → function and arrays: one call of every function of which the graph is static, and what people write."""
    _sweep()
    sys.path.insert(0, str(HERE))
    try:
        import cases
        import nothing_cases
    finally:
        sys.path.remove(str(HERE))
    swept = {n: c for n, c in cases.CASES.items() if n not in cases.STATIC}
    return {**swept, **nothing_cases.CASES}


def save_all(folder: Path, names: Optional[Iterable[str]] = None) -> None:
    """Save a model and both answers for every case that Paddle itself runs behind a selection."""
    import paddle

    sweep, known = _sweep(), _cases()
    paddle.enable_static()
    for name in names or known:
        function, *arrays = known[name]
        if not arrays or not arrays[0].ndim or not arrays[0].size:
            continue
        child = os.fork()
        if not child:
            code = 1
            try:
                size = len(arrays[0])
                positions = [i for i, a in enumerate(arrays) if not i or name in TOGETHER and a.shape[:1] == (size,)]
                _save(function, arrays, positions, folder / sweep.file_name(name))
                code = 0
            except Exception:  # noqa: BLE001 - whatever Paddle says: the case is none
                code = 2
            finally:
                os._exit(code)
        os.waitpid(child, 0)


def _save(function: Any, arrays: Sequence[np.ndarray], selected: Sequence[int], path: Path) -> None:
    import paddle

    executor = paddle.static.Executor(paddle.CPUPlace())
    startup = paddle.static.Program()
    with paddle.static.program_guard(paddle.static.Program(), startup):
        mask = paddle.static.data("mask", [None], "float32")
        feeds = [paddle.static.data(f"x{k}", list(a.shape), a.dtype.name) for k, a in enumerate(arrays)]
        positions = paddle.nonzero(mask > 0.5).reshape([-1])
        made = function(*(paddle.gather(v, positions) if k in selected else v for k, v in enumerate(feeds)))
        outs: list[Any] = []
        for value in made if isinstance(made, (list, tuple)) else [made]:
            outs += value if isinstance(value, (list, tuple)) else [value]
        executor.run(startup)
        paddle.static.save_inference_model(str(path), [mask, *feeds], outs, executor)
    feed = {f"x{k}": a for k, a in enumerate(arrays)}
    data = dict(feed)
    for which, some in (("all", 1), ("none", 0)):
        # a branch or loop of Paddle 3.3.1 that gives nothing leaves there what the run before has given
        with paddle.static.scope_guard(paddle.static.Scope()):
            executor = paddle.static.Executor(paddle.CPUPlace())
            program, _, fetches = paddle.static.load_inference_model(str(path), executor)
            given = {**feed, "mask": np.full(len(arrays[0]), some, np.float32)}
            answers = executor.run(program, feed=given, fetch_list=fetches, return_numpy=False)
            data.update({f"{which}{k}": np.asarray(a) for k, a in enumerate(answers)})
    np.savez(path.with_suffix(".npz"), **data)


def outcome(folder: Path, name: str, worker: Any, target: str) -> tuple[str, str]:
    """Status (``works``, ``refused``, ``wrong``, ``failed``, ``bug``, ``no case``) and reason of one case."""
    from mconv import api
    from mconv.errors import MconvError
    from mconv.program.program import Program
    from mconv.runtimes import WorkerError

    sweep = _sweep()
    stem = folder / sweep.file_name(name)
    out = folder / f"converted-{target}" / stem.name
    if name in EXCLUDED or f"{name} for {target}" in EXCLUDED or not stem.with_suffix(".npz").exists():
        return "no case", ""
    data = np.load(stem.with_suffix(".npz"))
    try:
        api.downgrade(stem.with_suffix(".json"), out, name="m", target=target, force=True)
        ports = Program.from_bytes((out / "m.pdmodel").read_bytes()).feeds
        sets = []
        for some in (1, 0):
            feed = {**data, "mask": np.full(len(data["x0"]), some, np.float32)}
            sets.append({p.name: feed[p.name].astype(p.dtype.numpy) for p in ports})
        result = worker.run(out / "m.pdmodel", out / "m.pdiparams", sets, timeout=300)
    except WorkerError as error:
        return "failed", error.message[:300]
    except MconvError as error:
        rows = "; ".join(f"{r.get('operator')}: {r.get('reason')}" for r in getattr(error, "rows", []))
        return "refused", f"{error.message[:100]} {rows}"
    except Exception as error:  # noqa: BLE001 - a bug of mconv is one more thing that can go wrong
        return "bug", f"{type(error).__name__}: {error} at {sweep._place(error)}"
    for which, outputs in zip(("all", "none"), result.outputs):
        for k, got in enumerate(outputs):
            want = data[f"{which}{k}"]
            if name in SHAPELESS and not want.size:
                want = want.reshape((0, *data[f"all{k}"].shape[1:]))
            wrong = sweep.difference(want, got)
            if wrong is not None:
                return "wrong", f"{which} selected, output {k}: {wrong}"
    return "works", ""


def run(folder: Path, target: str, names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Case → status and reason."""
    from mconv import runtimes

    with runtimes.find(RUNTIMES[target]).worker() as worker:
        return {name: outcome(folder, name, worker, target) for name in names}


def main(arguments: list[str]) -> int:
    verb, given, *rest = arguments
    folder = Path(given)
    folder.mkdir(parents=True, exist_ok=True)
    if verb == "save":
        save_all(folder, rest or None)
        return 0
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    names = [r for r in rest if r not in (*RUNTIMES, "--write")]
    for target in (r for r in rest if r in RUNTIMES):
        found = run(folder, target, names or _cases())
        print(target, dict(Counter(s for s, _ in found.values())))
        for name, (status, reason) in found.items():
            if status not in ("works", "no case"):
                print(f"  {name}: {status}: {reason}")
        reasons = {n: r.rpartition(": ")[2] for n, (_, r) in found.items()}
        told = {n: s if s == "works" else f"{s}: {reasons[n]}" for n, (s, _) in found.items() if s != "no case"}
        table[target] = {**(table.get(target, {}) if names else {}), **told}
    if "--write" in rest:
        TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
