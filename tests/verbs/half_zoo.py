"""Half precision of both zoos, emulated: ``python -m tests.verbs.half_zoo [NAME…] [--target 2.3 2.6]`` records what
it costs.

The record, ``half_zoo.json``, says for each target and model the error of its worst output without calibration, whether
calibration brought it within the limit, which operators stay float32 for it, and how large the file becomes.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv import api
from mconv.errors import MconvError, UnsupportedError, VerificationError
from mconv.program import targets
from mconv.program.stored import write_model
from mconv.torch.convert import imported
from mconv.verbs.half_report import HalfReport
from tests import records
from tests.managed import pooled
from tests.torch import zoo as torch_zoo

RESULTS = Path(__file__).with_name("half_zoo.json")
PIR_ZOO = Path(__file__).parents[1] / "paddle" / "zoo.py"
RUNTIMES = {"2.6": "paddle-2.6.2", "2.3": "paddle-2.3.2", "3": "current"}  # the current one is 3.3.1
LIMIT = 5e-3


def pir_names() -> list[str]:
    """Of the PIR zoo, which needs Paddle to be imported."""
    code = f"import sys; sys.path.insert(0, {str(PIR_ZOO.parent)!r}); import zoo; print(*zoo.MODELS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    return done.stdout.strip().splitlines()[-1].split()


def names() -> list[str]:
    passed = [n for n, found in torch_zoo.recorded().items() if found["3.3.1"] == "pass"]
    return [f"torch/{n}" for n in passed] + [f"pir/{n}" for n in pir_names()]


@lru_cache(maxsize=1)  # for the next target
def _exported(name: str) -> Any:
    return torch_zoo.exported(name)


@contextmanager
def model(name: str, target: str) -> Iterator[tuple[Path, Path]]:
    """A model of a zoo, converted, and a ``.npz`` with its inputs at both sizes."""
    room, _, own = name.partition("/")
    with tempfile.TemporaryDirectory(prefix="half-zoo-") as scratch:
        folder = Path(scratch)
        if room == "torch":
            _, made, sets = _exported(own)
            converted = imported(made, targets.get(target))
            folder = folder / "model"  # beside which there is room that ends with it
            folder.mkdir()
            write_model(converted.program, converted.params.items(), folder)
            feeds = {p.name for p in converted.program.feeds}
            given = [{k: v for k, v in one.items() if k in feeds} for one in sets]
        else:
            done = subprocess.run(
                [sys.executable, str(PIR_ZOO), str(folder / "zoo"), own], capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stderr[-1000:]
            api.downgrade(folder / "zoo" / f"{own}.json", folder / "model", target=target)
            with np.load(folder / "zoo" / f"{own}.npz") as held:
                given = [{k[5:]: held[k] for k in held.files if k.startswith(f"{i}_in_")} for i in (0, 1)]
            folder = folder / "model"
        np.savez(folder / "x.npz", **{f"{i}/{n}": array for i, one in enumerate(given) for n, array in one.items()})
        yield folder, folder / "x.npz"


def outcome(name: str, target: str) -> dict[str, Any]:
    """What half precision does to a model: see :data:`RESULTS`."""
    how: dict[str, Any] = {"target": target, "runtime": RUNTIMES[target]}
    with model(name, target) as (folder, inputs):
        out = folder.parent / f"{folder.name}-half"
        try:
            found = api.half(folder, out, **how, feeds=inputs)
        except VerificationError as e:
            first = [row["error"] for row in e.rows]
            error = None if None in first else max(first)
        except UnsupportedError as e:
            return {"refused": e.message.replace(str(folder), "MODEL")}
        else:
            return _row(_worst(found), found)
        try:
            return _row(error, api.half(folder, out, **how, calibrate=inputs))
        except VerificationError as e:
            return {"error": _rounded(error), "refused": e.message}


def _worst(found: HalfReport) -> Optional[float]:
    return max((row.error for row in found.outputs if row.error is not None), default=None)


def _rounded(error: Optional[float]) -> Optional[float]:
    return None if error is None else float(f"{error:.2g}")


def _row(error: Optional[float], found: HalfReport) -> dict[str, Any]:
    row: dict[str, Any] = {
        "error": _rounded(error),
        "bytes": round(found.bytes["after"] / max(found.bytes["before"], 1), 2),
    }
    if found.kept or found.precise:
        count = sum(len(b.names) for b in found.precise)
        row.update(
            kept=_rounded(_worst(found)),
            half=sum(found.half.values()),
            float32=found.kept + _short(found),
            operators=count,
        )
    return row


def _short(found: HalfReport) -> list[str]:
    """The operators, neighbours as ``first … last``."""
    return [
        b.names[0] if len(b.names) == 1 else f"{b.names[0]} … {b.names[-1]} ({len(b.names)})" for b in found.precise
    ]


def recorded() -> dict[str, dict[str, dict[str, Any]]]:
    """Target → model → what half precision does to it."""
    return records.read(RESULTS)


def names_recorded() -> list[str]:
    """The models that half takes, of all targets."""
    return list(dict.fromkeys(n for rows in recorded().values() for n, row in rows.items() if "refused" not in row))


def leave_in_order() -> None:
    """Let SIGTERM, which ``timeout`` sends, leave no folders and no processes behind."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def main() -> None:
    leave_in_order()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="models; default all that are not recorded yet")
    parser.add_argument("--target", choices=RUNTIMES, nargs="+", default=["2.6"])
    parser.add_argument("--again", action="store_true", help="those that are recorded, too")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no other model after so many")
    options = parser.parse_args()
    every, start = names(), time.monotonic()
    known = {} if options.again else recorded()
    wanted = [
        (n, t) for n in options.names or every for t in options.target if options.names or n not in known.get(t, {})
    ]
    with pooled():
        for name, target in wanted:
            if time.monotonic() - start > options.seconds:
                break
            begin = time.monotonic()
            try:
                row = outcome(name, target)
            except MconvError as e:
                print(name, target, f"{type(e).__name__}: {e.message}", flush=True)
                continue
            except Exception:  # noqa: BLE001 - a defect, told: the others are recorded all the same
                print(name, target, traceback.format_exc(), flush=True)
                continue
            print(name, target, row, f"{time.monotonic() - begin:.0f} s", flush=True)
            results = recorded()  # another run may have added to it
            results.setdefault(target, {})[name] = row
            ordered = {t: {n: results[t][n] for n in every if n in results[t]} for t in RUNTIMES if t in results}
            RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
