"""Every public function of Paddle to ONNX: by mconv, and by paddle2onnx beside it.

``python tests/paddle/sweep.py save FOLDER`` saves the models with the Paddle that runs it (``.json`` of 3, ``.pdmodel``
of 2.6.2); ``python -m tests.exporters.onnx.sweep FOLDER VERSION mconv paddle2onnx [--write]`` exports each, runs it in ONNX Runtime on
the inputs that it was saved with, and compares with what Paddle answered; ``--write`` renews ``sweep.json``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import numpy as np

from mconv.errors import MconvError
from mconv.exporters.onnx import export, write
from mconv.proof.feeds import as_pairs
from tests.exporters.onnx.checking import session
from tests.exporters.onnx.test_models import loaded
from tests.paddle import sweep

TABLE = Path(__file__).with_name("sweep.json")
OPSET = 13
AGREES = "agrees"


def ours(source: Path, out: Path) -> None:
    """Raises MconvError: it is refused."""
    program, params = loaded(source)
    write(export(program, params, opset=OPSET), out)


def theirs(source: Path, out: Path) -> None:
    """In a child of this process: paddle2onnx aborts on what it does not know."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import paddle2onnx

            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            params = source.with_suffix(".pdiparams")
            paddle2onnx.export(str(source), str(params) if params.exists() else "", str(out), OPSET)
            code = 0 if out.exists() else 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status != 0:
        how = f"dies of signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "fails"
        raise MconvError(f"it {how}")


def verdict(source: Path, convert: Callable[[Path, Path], None], scratch: Path) -> str:
    """``agrees``, ``refused: …``, ``not loaded: …`` or ``wrong: …``."""
    out = scratch / "m.onnx"
    out.unlink(missing_ok=True)
    try:
        convert(source, out)
    except MconvError as error:
        rows = "; ".join(dict.fromkeys(f"{r['operator']}: {r['reason']}" for r in getattr(error, "rows", None) or []))
        return f"refused: {rows or error.message}"[:240]
    data = np.load(source.with_suffix(".npz"))
    try:
        running = session(out)
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


def table(folder: Path, extension: str, names: list[str], engines: dict[str, Any]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            source = folder / f"{sweep.file_name(name)}{extension}"
            if source.exists() and source.with_suffix(".npz").exists():
                found[name] = {e: verdict(source, convert, Path(scratch)) for e, convert in engines.items()}
    return found


def main(arguments: list[str]) -> int:
    folder, version, *engines = [a for a in arguments if not a.startswith("--")]
    listed = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    runtimes = json.loads(sweep.PASS_LIST.read_text()).values()
    names = sorted({n for runtime in runtimes for n in [*runtime.get("passed", []), *runtime.get("failed", {})]})
    extension = ".json" if version.startswith("3") else ".pdmodel"
    known = listed.setdefault(version, {})
    if "mconv" in engines:
        for name, row in table(Path(folder), extension, names, {"mconv": ours}).items():
            known.setdefault(name, {}).update(row)
    if "paddle2onnx" in engines:
        import paddle  # noqa: F401 - once, before the children, which takes them seconds each on a busy machine
        import paddle2onnx  # noqa: F401

        seconds, start = float(os.environ.get("SECONDS_FOR_PADDLE2ONNX", "inf")), time.monotonic()
        for name in [*names[::4], *names[1::4], *names[2::4], *names[3::4]]:
            if time.monotonic() - start < seconds and name in known and "paddle2onnx" not in known[name]:
                known[name].update(table(Path(folder), extension, [name], {"paddle2onnx": theirs})[name])
    for engine in engines:
        rows = [row[engine].partition(":")[0] for row in known.values() if engine in row]
        print(version, engine, dict(Counter(rows)), "of", len(rows))
    if "--write" in arguments:
        TABLE.write_text(json.dumps(listed, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
