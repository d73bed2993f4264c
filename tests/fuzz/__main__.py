"""``python -m tests.fuzz FORMAT… [--count N] [--seed N] [--start N] [--keep DIR]``, or ``--corpus [FORMAT…]``."""

from __future__ import annotations

import argparse
import atexit
import collections
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy: a process with threads of its own should not fork
_PID, _SOURCES = os.getpid(), tempfile.mkdtemp(prefix="mconv-fuzz-")
os.environ["MCONV_SOURCES"] = _SOURCES
atexit.register(lambda: os.getpid() == _PID and shutil.rmtree(_SOURCES, ignore_errors=True))  # not in a forked child

from tests.fuzz import harness  # noqa: E402
from tests.fuzz.formats import FORMATS, load  # noqa: E402

CORPUS = Path(__file__).with_name("corpus")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--stop-at", type=int, default=1000)
    parser.add_argument("--corpus", action="store_true", help="run what is kept instead of making new cases")
    asked = parser.parse_args()
    os.environ.pop("GITHUB_ACTIONS", None)
    code = 0
    if asked.corpus:
        return _corpus(asked.formats or [p.name for p in sorted(CORPUS.iterdir())])
    for name in asked.formats or FORMATS:
        start = time.monotonic()
        found = harness.fuzz(
            load(name), asked.count, seed=asked.seed, start=asked.start, keep=asked.keep, stop_at=asked.stop_at
        )
        kinds = collections.Counter(p.partition(":")[0] for _, o in found for p in o.problems)
        summary = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "nothing found"
        print(f"{name}: {asked.count} cases in {time.monotonic() - start:.1f} s: {summary}", flush=True)
        for number, outcome in found:
            print(f"  {asked.seed}-{number}: {'; '.join(outcome.problems)[:400]!a}: {' '.join(outcome.argv)[:200]!a}")
            code = 1
    return code


def _corpus(names: list[str]) -> int:
    code = count = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            format_ = load(name)
            for entry in sorted(CORPUS.joinpath(name).iterdir()):
                count += 1
                outcome = harness.replay(format_, entry, Path(scratch))
                for problem in outcome.problems:
                    print(f"  {name}/{entry.name}: {problem[:400]!a}")
                    code = 1
    print(f"{count} kept cases, {'as they should be' if not code else 'not all right'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
