"""The process of one step: reads a request on stdin, calls one function of the API, answers on another descriptor.

A process of its own because importers and frameworks crash, keep memory, and count the names that they give.

    python -m mconv.recipe.child DESCRIPTOR

stdin: ``{"verb": …, "arguments": {…}}`` on one line; its end means that nobody waits any more. DESCRIPTOR gets JSON
lines: ``{"progress": text}``, and at last ``{"result": …}`` or ``{"error": …}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable

from mconv.errors import EXIT_BUG, EXIT_INTERRUPTED, MconvError, VerificationError
from mconv.recipe.wording import in_recipe

_ABANDONED = 143
_GRACE = 5.0  # seconds for cleaning up


def main(answers: int) -> int:
    signal.signal(signal.SIGTERM, _stop)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_watch, daemon=True).start()
    stream = os.fdopen(answers, "w", encoding="utf-8", errors="backslashreplace")
    lock = threading.Lock()

    def say(message: Mapping[str, Any]) -> None:
        with lock:
            stream.write(json.dumps(message, ensure_ascii=False) + "\n")
            stream.flush()

    try:
        result = perform(request["verb"], request["arguments"], lambda text: say({"progress": text}))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED  # the parent is interrupted, too
    except BaseException as e:  # noqa: BLE001 - all of it is told to the parent
        say({"error": describe(e)})
        if not isinstance(e, MconvError):
            import traceback

            traceback.print_exc()
        return 1
    say({"result": result})
    return 0


def _watch() -> None:
    """End when the parent has: its end of the pipe closes, even when it was killed."""
    # of the descriptor: Python waits a second at its end for a thread that reads from sys.stdin
    while os.read(0, 1 << 16):
        pass
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread cleans up
    time.sleep(_GRACE)
    os._exit(_ABANDONED)


def _stop(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what it sets off comes to its end
    raise KeyboardInterrupt


def perform(verb: str, arguments: Mapping[str, Any], progress: Callable[[str], Any]) -> dict[str, Any]:
    """Call a function of the API.

    Returns:
        ``warnings``, and ``proof`` where something was compared.

    Raises:
        MconvError: what the function raises, or what its result says is wrong.
    """
    from mconv import api

    given = dict(arguments)
    if verb not in ("to_serving", "downgrade"):
        given["progress"] = progress
    result = getattr(api, verb)(**given)
    return _SHAPES.get(verb, _conversion)(result)


def _conversion(report: Any) -> dict[str, Any]:
    found = report.verification or {}
    if (found.get("source") or {}).get("outputs"):
        found = found["source"]  # of a transplant: PyTorch itself against the result, not the layer
    status = (report.verification or {}).get("status", "")
    return {"warnings": list(report.warnings), "proof": _proof(found, status) if found.get("outputs") else None}


def _proof(verification: Mapping[str, Any], status: str) -> dict[str, Any]:
    a, b = verification["reference"], verification["paddle"]
    return {"status": status, "a": a, "b": b, "outputs": verification["outputs"]}


def _plain(result: Any) -> dict[str, Any]:
    return {"warnings": list(getattr(result, "warnings", ())), "proof": None}


def _verify(found: Any) -> dict[str, Any]:
    proof = {"a": found.a, "b": found.b, "outputs": [*found.outputs, *([found.first] if found.first else [])]}
    if not found.ok:
        error = VerificationError(f"the two compute different things: {found.reason()}", None, found.bad())
        error.proof = proof
        raise error
    return {"warnings": list(found.notes), "proof": proof}


def _serve_check(report: Any) -> dict[str, Any]:
    rows = [{"name": f.form, "max_abs": f.max_abs, "ok": f.ok, "reason": f.reason} for f in report.forms]
    proof = {
        "a": f"direct inference in Paddle {report.paddle}",
        "b": f"the pipeline service of {report.runtime}",
        "outputs": rows,
    }
    try:
        report.require()
    except MconvError as e:
        e.proof = proof
        raise
    return {"warnings": [], "proof": proof}


def _half(report: Any) -> dict[str, Any]:
    rows = [
        {
            "name": r.name,
            "input_set": r.input_set,
            "max_abs": r.error,
            "ok": r.ok,
            "reason": "" if r.ok else "too far off",
        }
        for r in report.outputs
    ]
    b = f"{report.dtype} emulated in {report.runtime}"
    proof = {"status": report.status, "a": f"float32 in {report.runtime}", "b": b, "outputs": rows}
    return {"warnings": list(report.warnings), "proof": proof if rows else None}


def _quantize(report: Any) -> dict[str, Any]:
    reason = f"more than {report.limit:.1%} off"
    rows = [{"name": r.name, "max_abs": r.error, "ok": r.ok, "reason": "" if r.ok else reason} for r in report.outputs]
    right = "".join(f", {share:.1%} right in {kind}" for kind, share in report.accuracy.items())
    b = f"int8 emulated in {report.runtime}{right}"
    proof = {"status": report.status, "a": f"float32 in {report.runtime}", "b": b, "outputs": rows}
    return {"warnings": list(report.warnings), "proof": proof}


_SHAPES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "to_serving": _plain, "downgrade": _plain, "shapes": _plain, "half": _half, "quantize": _quantize, "verify": _verify, "serve_check": _serve_check,
}  # fmt: skip


def describe(error: BaseException) -> dict[str, Any]:
    """An error as the parent, JUnit and the summary show it; with the figures where something was compared."""
    if isinstance(error, MconvError):
        proof = error.proof
        verification = getattr(error.report, "verification", None)
        if proof is None and verification and verification.get("outputs"):
            proof = _proof(verification, verification["status"])
        rows = [dict(row) for row in error.rows]
        return {
            "kind": type(error).__name__, "message": error.message, "hint": in_recipe(error.hint), "exit_code": error.exit_code,
            "rows": rows, "proof": proof,
        }  # fmt: skip
    first = (str(error).strip().splitlines() or ["(no message)"])[0]
    return {
        "kind": "Bug", "message": f"a bug of mconv: {type(error).__name__}: {first}",
        "hint": "please report it, with the log", "exit_code": EXIT_BUG, "rows": [], "proof": None,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
