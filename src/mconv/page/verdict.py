"""What a document comes to: one word, its colour, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mconv.page.compared import KINDS
from mconv.page.parts import amount, badness, facts, figured, spent, text

Document = Mapping[str, Any]


@dataclass
class Verdict:
    """What a reader wants to know first.

    Attributes:
        kind: ``good``, ``part``, ``bad`` or ``plain``.
        words: a sentence.
        reasons: what is to be said of it.
        figures: label → value, of which empty ones are left out.
    """

    kind: str
    words: str
    reasons: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def html(self) -> str:
        why = "".join(f"<p>{text(reason, 2000)}</p>" for reason in self.reasons if reason)
        return (
            f'<div class="verdict {self.kind}" role="status"><strong>{text(self.words)}</strong>{why}</div>\n'
            + facts(self.figures)
        )


def of(found: Document) -> Verdict:
    """The verdict on the ``--json`` document of a command."""
    made = _of(found)
    error = found.get("error")
    if isinstance(error, Mapping):
        message, hint = str(error.get("message")), str(error.get("hint") or "")
        if made.kind not in ("bad", "part"):
            made = Verdict("bad", "Failed", figures=made.figures)
        made.reasons = [message, hint]
    return made


def _of(found: Document) -> Verdict:
    if "recipes" in found:
        return _of_recipes(found)
    if "contenders" in found:
        return _of_bench(found)
    if several(found):
        return _of_many(found)
    if "matched" in found:
        return _of_verify(found)
    if "forms" in found:
        ok = bool(found.get("ok"))
        return Verdict("good" if ok else "bad", "The service answers as the model does" if ok else "The service fails")
    if isinstance(found.get("verification"), Mapping):
        return _of_proof(found, found["verification"])
    if "limit" in found and "outputs" in found and "status" in found:
        status = str(found["status"])
        size = found.get("bytes") or {}
        figures = {
            "weights before": amount(size.get("before")), "weights after": amount(size.get("after")),
            "runs in": found.get("runtime"), "for Paddle": found.get("target"),
        }  # fmt: skip
        return Verdict(KINDS.get(status, "bad"), f"Verification {status}", [], figures)
    if "parameter_bytes" in found:
        return _of_inspection(found)
    if set(found) == {"error"}:
        return Verdict("bad", "Failed")
    target = found.get("target")
    if isinstance(target, Mapping):
        target = target.get("paddle")
    return Verdict("plain", "Converted; this command compares nothing", [], {"for Paddle": target})


def several(found: Document) -> bool:
    """Whether it is of ``mconv convert`` of several sources."""
    return isinstance(found.get("models"), list) and "out" in found


def _of_many(found: Document) -> Verdict:
    failed = [one for one in found["models"] if not one["ok"]]
    count = len(found["models"])
    figures = {"models": count, "folder": found["out"], "took": spent(sum(one["seconds"] for one in found["models"]))}
    if failed:
        reasons = [f"{one['source']}: {one['reason']}" for one in failed]
        return Verdict("bad", f"{len(failed)} of {count} were not converted", reasons, figures)
    statuses = {str(one["verification"]) for one in found["models"]}
    if statuses == {"passed"}:
        return Verdict("good", "All verifications passed", [], figures)
    kind = "part" if statuses <= {"passed", "passed in part"} else "plain"
    return Verdict(kind, f"All converted; verification {', '.join(sorted(statuses))}", [], figures)


def _of_inspection(found: Document) -> Verdict:
    loads = [str(target["target"]) for target in found["targets"] if target["loads"]]
    others = [str(target["target"]) for target in found["targets"] if not target["loads"] and target["convertible"]]
    size = sum(found["parameter_bytes"].values())
    figures = {
        "operators": sum(found["operators"].values()), "parameters": found["parameters"], "their size": amount(size),
        "saved by": found["saved_by"],
    }  # fmt: skip
    told = [
        f"Loads in Paddle {', '.join(loads)}" if loads else "",
        f"can be brought to {', '.join(others)}" if others else "",
    ]
    return Verdict("plain", "; ".join(filter(None, told)) or str(found["era"]), list(found["notes"]), figures)


def _of_proof(found: Document, proof: Document) -> Verdict:
    status = str(proof["status"])
    words = f"Verification {status}" if status in ("passed", "passed in part", "failed") else status.capitalize()
    reasons = [str(proof.get("reason") or "")]
    if status == "not verified" and not proof.get("reason"):
        reasons = ["--no-verify was given: nothing was run."]
    target, seconds, output = (found.get(key) or {} for key in ("target", "seconds", "output"))
    made = found.get("paddle_operators")
    count = sum(row["count"] for row in found.get("operators") or [])
    figures: dict[str, object] = {
        "for": f"Paddle {target['paddle']}" if "paddle" in target else target.get("name"),
        "operators": f"{count} → {sum(made.values())}" if made and count else count or None,
        "weights": amount(output.get("params_bytes") or output.get("bytes")),
        "compared with": proof.get("reference"),
        **_apart(proof.get("outputs") or []),
        "took": spent(seconds.get("total")),
    }
    return Verdict(KINDS.get(status, "plain"), words, reasons, figures)


def _apart(rows: Any) -> dict[str, object]:
    if not rows:
        return {}
    worst = max(rows, key=badness)
    return {"furthest apart": figured(worst["max_abs"])}


def _of_verify(found: Document) -> Verdict:
    bad = [row for row in found["outputs"] if not row["ok"]]
    first = found.get("first")
    reasons = list(found["problems"])[:3] + [f"{row['name']}: {row['reason']}" for row in bad[:3]]
    if first:
        reasons.append(f"The first tensor that differs is {first['name']}.")
    words = "Both compute the same" if found["ok"] else "They compute something else"
    figures = {
        "A": found["a"],
        "B": found["b"],
        "outputs compared": len(found["outputs"]),
        **_apart(found["outputs"]),
        "tensors inside": found.get("compared"),
        "took": spent(found.get("seconds")),
    }
    return Verdict("good" if found["ok"] else "bad", words, reasons, figures)


def _of_bench(found: Document) -> Verdict:
    lanes = [size for lane in found["contenders"] for size in lane["sizes"]] or list(found["addresses"])
    wrong = [lane for lane in lanes if lane["status"] != "ok"]
    if not lanes or len(wrong) == len(lanes):
        return Verdict("bad", "Nothing gives right answers")
    if wrong:
        return Verdict("part", f"{len(wrong)} of {len(lanes)} have no right answers", [], _measured(found))
    return Verdict("good", "Measured; all answers are right", [], _measured(found))


def _measured(found: Document) -> dict[str, object]:
    right = [lane for lane in found["addresses"] if lane["tps"] is not None]
    fastest = max(right, key=lambda lane: lane["tps"], default=None)
    figures: dict[str, object] = {"threads": found["threads"], "runs": found["loops"], "took": spent(found["seconds"])}
    if fastest is not None:
        figures.update({"requests a second": f"{fastest['tps']:.1f}", "p99": f"{fastest['figures']['p99']:.0f} ms"})
    return figures


def _of_recipes(found: Document) -> Verdict:
    failed = [recipe for recipe in found["recipes"] if not recipe["ok"]]
    count = len(found["recipes"])
    figures = {
        "recipes": count,
        "steps": sum(len(r["steps"]) for r in found["recipes"]),
        "took": spent(found["seconds"]),
    }
    if failed:
        return Verdict("bad", f"{len(failed)} of {count} recipes failed", list(_reasons(failed)), figures)
    part = [
        s
        for recipe in found["recipes"]
        for s in recipe["steps"]
        if (s["proof"] or {}).get("status") == "passed in part"
    ]
    if part:
        return Verdict("part", "Passed in part", [str((s["proof"] or {}).get("reason") or "") for s in part], figures)
    return Verdict("good", "All recipes are as they should be", [], figures)


def _reasons(recipes: Any) -> Iterator[str]:
    for recipe in recipes:
        for step in recipe["steps"]:
            if step["error"]:
                yield f"{recipe['name']}: {step['name']}: {step['error']['message']}"
