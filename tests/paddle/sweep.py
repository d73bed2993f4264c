"""The operator sweep: one PIR model for every public function, converted, and run in other versions of Paddle.

``python tests/paddle/sweep.py save FOLDER [NAME…]`` writes the models (it needs static mode, which is for a process of its
own), ``python tests/paddle/sweep.py run FOLDER RUNTIME… [--write]`` converts them and compares with the original in the
Paddle that wrote it; ``--write`` renews the committed pass list.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import numpy as np

HERE = Path(__file__).parent
PASS_LIST = HERE / "sweep.json"
# what the functions compute in float32 agrees to this, relative to the largest number
TOLERANCE = 1e-5
# types that Paddle 2.3 cannot hand out, and what stands for them (``mconv.passes.ports``)
CARRIED = {"bool": "int32", "int8": "int32", "int16": "int32", "float64": "float32"}


def file_name(case: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in case)


def public_functions() -> list[str]:
    """``F.…``, ``T.…`` and ``V.…`` of the installed Paddle; in-place forms only where there is no other."""
    import paddle.nn.functional
    import paddle.tensor
    import paddle.vision.ops

    found = []
    for prefix, module in (("F", paddle.nn.functional), ("T", paddle.tensor), ("V", paddle.vision.ops)):
        names = [n for n in dir(module) if not n.startswith("_") and inspect.isroutine(getattr(module, n))]
        found += [f"{prefix}.{n}" for n in names if not (n.endswith("_") and n[:-1] in names)]
    return found


def save_all(folder: Path, names: Optional[Iterable[str]] = None) -> dict[str, str]:
    """Save a model and its inputs for every case; gives the reason for those that Paddle itself cannot save and run.

    The work is done by another process; where Paddle kills it, the next one goes on behind the case.
    """
    left = list(names or all_cases())
    failed: dict[str, str] = {}
    while left:
        log = folder / "log.jsonl"
        log.write_text("")
        done = subprocess.run([sys.executable, __file__, "save-here", str(folder), *left], check=False)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        failed.update({name: reason for name, reason in lines if reason is not None})
        left = left[len(lines) :]
        if left and done.returncode:
            failed[left.pop(0)] = f"Paddle ended with {done.returncode}"
    (folder / "failed.json").write_text(json.dumps(failed))
    return failed


def save_here(folder: Path, names: list[str]) -> None:
    """:func:`save_all` in this process; what became of each case is a line of ``log.jsonl``."""
    import paddle

    known, static = _cases()
    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    with open(folder / "log.jsonl", "a", buffering=1) as log:
        for name in names:
            function, *arrays = known[name]
            reason = None
            for dynamic in (True, False) if name not in static else (False,):
                reason = _save(executor, function, arrays, folder / file_name(name), dynamic)
                if reason is None:
                    break
            log.write(json.dumps([name, reason]) + "\n")


def _save(executor: Any, function: Any, arrays: list[np.ndarray], path: Path, dynamic: bool) -> Optional[str]:
    import paddle

    main = paddle.static.Program()
    try:
        with paddle.static.program_guard(main, paddle.static.Program()):
            shapes = [[None, *a.shape[1:]] if dynamic and a.ndim else list(a.shape) for a in arrays]
            feeds = [paddle.static.data(f"x{k}", s, a.dtype.name) for k, (s, a) in enumerate(zip(shapes, arrays))]
            made = function(*feeds)
            outs = []
            for value in made if isinstance(made, (list, tuple)) else [made]:
                outs += value if isinstance(value, (list, tuple)) else [value]
            # an output that is complex is looked at in its parts
            outs = [paddle.as_real(o) if "complex" in str(o.dtype) else o for o in outs]
            paddle.static.save_inference_model(str(path), feeds, outs, executor)
        feed = {f"x{k}": a for k, a in enumerate(arrays)}
        # the model has to run where it comes from
        program, _, fetches = paddle.static.load_inference_model(str(path), executor)
        answers = executor.run(program, feed=feed, fetch_list=fetches, return_numpy=False)
    except Exception as error:  # noqa: BLE001 - whatever Paddle says is the reason
        return f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:200]}" if str(error) else repr(error)
    np.savez(path.with_suffix(".npz"), **feed, **{f"out{k}": np.asarray(a) for k, a in enumerate(answers)})
    return None


def difference(want: np.ndarray, got: np.ndarray) -> Optional[str]:
    """What is wrong with *got*, or None. Older Paddle has [1] for a scalar."""
    if want.ndim == 0:
        got = got.reshape(()) if got.size == 1 else got
    if want.shape != got.shape:
        return f"shape {got.shape}, not {want.shape}"
    if CARRIED.get(want.dtype.name) == got.dtype.name:
        want = want.astype(got.dtype)
    if want.dtype != got.dtype:
        return f"{got.dtype}, not {want.dtype}"
    if want.dtype.kind in "fc":
        largest = np.abs(want[np.isfinite(want)]).max(initial=1.0)
        if not np.allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE * largest, equal_nan=True):
            return f"differs by {np.nanmax(np.abs(got - want)):.3g} of {largest:.3g}"
    elif not np.array_equal(got, want):
        return f"{(got != want).sum()} of {want.size} elements differ"
    return None


def source(folder: Path, name: str) -> Path:
    """The saved model of a case: ``.json``, or the ``.pdmodel`` of a Paddle that saves those."""
    stem = folder / file_name(name)
    found = stem.with_suffix(".json")
    return found if found.exists() else stem.with_suffix(".pdmodel")


def run_case(folder: Path, name: str, worker: Any, target: str) -> Optional[str]:
    """Convert one saved case and run it; gives what went wrong, or None."""
    from mconv import api
    from mconv.errors import MconvError
    from mconv.program.program import Program

    stem = folder / file_name(name)
    out = folder / f"converted-{target}" / stem.name
    try:
        if not (out / "m.pdmodel").exists():
            api.downgrade(source(folder, name), out, name="m", target=target, force=True)
        data = np.load(stem.with_suffix(".npz"))
        feed = {k: data[k] for k in data.files if k.startswith("x")}
        ports = Program.from_bytes((out / "m.pdmodel").read_bytes()).feeds
        given = {p.name: feed[p.name].astype(p.dtype.numpy) for p in ports}
        result = worker.run(out / "m.pdmodel", out / "m.pdiparams", given, timeout=300)
    except MconvError as error:
        rows = "; ".join(f"{r.get('operator')}: {r.get('reason')}" for r in getattr(error, "rows", []))
        return f"{type(error).__name__}: {error.message[:300]} {rows}".strip()
    except Exception as error:  # noqa: BLE001 - a bug of mconv is one more thing that can go wrong
        return f"bug: {type(error).__name__}: {error} at {_place(error)}"
    for k, got in enumerate(result.outputs[0]):
        wrong = difference(data[f"out{k}"], got)
        if wrong is not None:
            return f"output {k}: {wrong}"
    return None


def _place(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "mconv" in f.filename]
    return ", ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[-3:])


def sweep(folder: Path, runtimes: Iterable[str], target: str = "2.3", names: Optional[Iterable[str]] = None) -> dict:
    """runtime → case → what went wrong (None: it passes)."""
    from mconv import runtimes as managed

    failed = json.loads((folder / "failed.json").read_text())
    cases = [n for n in names or all_cases() if n not in failed]
    results: dict[str, dict[str, Optional[str]]] = {}
    for runtime in runtimes:
        with managed.find(runtime).worker() as worker:
            results[runtime] = {n: run_case(folder, n, worker, target) for n in cases}
    return results


def all_cases() -> list[str]:
    return list(_cases()[0])


def _cases() -> tuple[dict, set]:
    # by its plain name where this file runs as a script of another Paddle's interpreter
    sys.path.insert(0, str(HERE))
    try:
        import cases
    finally:
        sys.path.remove(str(HERE))
    return cases.CASES, cases.STATIC


def main(arguments: list[str]) -> int:
    verb, folder, *rest = arguments
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    if verb == "save-here":
        save_here(path, rest)
        return 0
    if verb == "save":
        failed = save_all(path, rest or None)
        for name, reason in failed.items():
            print(f"{name}: {reason}")
        return 0
    runtimes = [r for r in rest if not r.startswith("--")]
    results = sweep(path, runtimes)
    failed = json.loads((path / "failed.json").read_text())
    listed: dict[str, Any] = {"not saved by Paddle itself": failed}
    for runtime, cases in results.items():
        passed = sorted(n for n, wrong in cases.items() if wrong is None)
        print(f"{runtime}: {len(passed)} of {len(cases)}")
        for name, wrong in cases.items():
            if wrong is not None:
                print(f"  {name}: {wrong}")
        failed_here = {n: re.sub(r"\S*/\S*", "…", w) for n, w in sorted(cases.items()) if w is not None}
        listed[runtime] = {"passed": passed, "failed": failed_here}
    if "--write" in rest:
        PASS_LIST.write_text(json.dumps(listed, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
