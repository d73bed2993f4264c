"""Every public function of Paddle to ONNX: by mconv, and by paddle2onnx beside it.

``python tests/paddle/sweep.py save FOLDER`` saves the models with the Paddle that runs it (``.json`` of 3, ``.pdmodel``
of 2.6.2); ``python -m tests.exporters.onnx.sweep FOLDER VERSION mconv paddle2onnx [--only=F.relu] [--write]`` exports each, runs it in ONNX Runtime on
the inputs that it was saved with, and compares with what Paddle answered; ``--write`` renews ``sweep.json``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

import numpy as np

from mconv.errors import MconvError
from mconv.exporters.onnx import export, write
from mconv.proof.feeds import as_pairs
from mconv.runtimes import paddle2onnx
from tests.exporters.onnx.checking import session
from tests.exporters.onnx.test_models import loaded
from tests.paddle import sweep

TABLE = Path(__file__).with_name("sweep.json")
OPSET = 13
AGREES = "agrees"
Table = dict[str, dict[str, str]]
_ADDRESSES = re.compile(r":\s+\[SignalInfo.*", re.S)  # of a process that is gone


def ours(source: Path, out: Path) -> None:
    """Without a process: what mconv refuses is an error.

    Raises MconvError: it is refused.
    """
    program, params = loaded(source)
    write(export(program, params, opset=OPSET), out)


def theirs(source: Path, out: Path) -> None:
    """In a process of its own, as ``to-onnx --engine paddle2onnx`` has it: it aborts on what it does not know.

    Raises MconvError: it has no mapper for an operator, fails or crashes.
    """
    params = source.with_suffix(".pdiparams")
    with tempfile.TemporaryDirectory() as scratch:
        paddle2onnx.convert(
            source, params if params.exists() else None, out, opset=OPSET, scratch=Path(scratch), timeout=120
        )


def verdict(source: Path, convert: Callable[[Path, Path], None], scratch: Path) -> str:
    """``agrees``, ``refused: …``, ``not loaded: …`` or ``wrong: …``."""
    out = scratch / "m.onnx"
    out.unlink(missing_ok=True)
    try:
        convert(source, out)
    except MconvError as error:
        rows = "; ".join(dict.fromkeys(f"{r['operator']}: {r['reason']}" for r in getattr(error, "rows", None) or []))
        return f"refused: {rows or _ADDRESSES.sub('', error.message)}"[:240]
    data = np.load(source.with_suffix(".npz"))
    try:
        running = session(out, checked=convert is ours)  # ONNX Runtime alone judges what others write
        answers = running.run(None, {i.name: as_pairs(data[i.name]) for i in running.get_inputs()})
    except Exception as error:  # noqa: BLE001 - whatever ONNX Runtime says is the verdict
        return f"not loaded: {str(error).strip().splitlines()[0]}".replace(str(scratch), "…")[:240]
    for k, got in enumerate(answers):
        wanted = data[f"out{k}"]
        exact = (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        problem = (
            sweep.difference(wanted, got) if exact else f"{got.dtype}{got.shape}, not {wanted.dtype}{wanted.shape}"
        )
        if problem is not None:
            return f"wrong: output {k}: {problem}"
    return AGREES


ENGINES: dict[str, Callable[[Path, Path], None]] = {"mconv": ours, "paddle2onnx": theirs}


def table(folder: Path, version: str, names: Iterable[str], engines: Iterable[str]) -> Table:
    """Function → engine → verdict, of those that this version of Paddle could save."""
    extension = ".json" if version.startswith("3") else ".pdmodel"
    found: Table = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            source = folder / f"{sweep.file_name(name)}{extension}"
            if source.exists() and source.with_suffix(".npz").exists():
                found[name] = {e: verdict(source, ENGINES[e], Path(scratch)) for e in engines}
    return found


def main(arguments: list[str]) -> int:
    folder, version, *engines = [a for a in arguments if not a.startswith("--")]
    names = [a.partition("=")[2] for a in arguments if a.startswith("--only=")] or sweep.all_cases()
    listed = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    known = listed.setdefault(version, {})
    for name, row in table(Path(folder), version, names, engines).items():
        known.setdefault(name, {}).update(row)
    for engine in engines:
        rows = [row[engine].partition(":")[0] for row in known.values() if engine in row]
        print(version, engine, dict(Counter(rows)), "of", len(rows))
    if "--write" in arguments:
        TABLE.write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
