"""Sections of a page: what was read and written, and what became of the operators on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mconv.page.compared import KINDS
from mconv.page.parts import agreed, amount, facts, figured, items, pairs, section, spent, table, tag, text
from mconv.printable import shaped

Document = Mapping[str, Any]


def ports(found: Document) -> str:
    """The inputs and outputs, whatever the command calls their parts."""
    rows = []
    sizes = "known sizes" if "server" in found else "shape"  # a serving configuration leaves the open ones out
    for side, key in (("input", "inputs"), ("output", "outputs"), ("input", "feeds"), ("output", "fetches")):
        for port in found.get(key) or []:
            if not isinstance(port, Mapping) or "shape" not in port or "max_abs" in port:
                continue
            name, new = port.get("name"), port.get("paddle_name") or port.get("alias")
            dtype = port.get("paddle_dtype") or port.get("dtype")
            rows.append([side, name, new if new != name else None, dtype, shaped(port["shape"])])
    return section("Inputs and outputs", table(["", "name", "in the result", "type", sizes], rows))


def changes(found: Document) -> str:
    """What was folded, fused, expanded and lowered, and the operators of source and result."""
    fused, expanded, lowered = (found.get(key) or {} for key in ("fused", "expanded", "changes"))
    counts = facts(
        {
            "computed while converting": found.get("folded"),
            "put together again": sum(fused.values()) or None,
            "through their function body": sum(expanded.values()) or None,
            "rewritten for the target": _total(lowered),
        }
    )
    rows = [["fused", name, count] for name, count in fused.items()]
    rows += [["expanded", name, count] for name, count in expanded.items()]
    rows += [["lowered", name, count] for name, count in lowered.items()]
    source = [
        [f"{row['domain']} " * (row.get("domain") not in (None, "ai.onnx")) + row["operator"], row["count"]]
        for row in found.get("operators") or []
    ]
    made = [[name, count] for name, count in (found.get("paddle_operators") or {}).items()]
    pair = "".join(
        f"<details><summary>{text(title)}: {sum(int(r[1]) for r in these)}</summary>"
        f"{table(['operator', 'count'], these, right=['count'])}</details>"
        for title, these in (("Operators of the source", source), ("Operators of the Paddle program", made))
        if these
    )
    renamed = pairs(found.get("renamed") or {}, ["name", "is called"])
    return section(
        "What was done to the graph", counts, table(["", "what", "count"], rows, right=["count"]), renamed, pair
    )


def _total(values: Mapping[str, Any]) -> Any:
    numbers = [value for value in values.values() if isinstance(value, int)]
    return sum(numbers) or None


def half(found: Document) -> Iterator[str]:
    """What ``--half`` made; of ``mconv half`` and ``mconv quantize`` the errors by emulation and the layers."""
    made = found.get("half")
    if isinstance(made, Mapping) and "dtype" in made:
        size = made["bytes"]
        rows = {
            "type": made["dtype"], "operators in half": made["operators"], "weights before": amount(size["before"]),
            "weights after": amount(size["after"]), "error": _percent(made["error"]), "emulated in": made["runtime"],
        }  # fmt: skip
        yield section("Half precision", f"<p>{tag(KINDS.get(made['status'], 'bad'), made['status'])}</p>", facts(rows))
    outputs = [row for row in found.get("outputs") or [] if isinstance(row, Mapping) and "error" in row]
    if outputs:
        several = len({row.get("input_set") for row in outputs}) > 1
        cells = [
            [agreed(r["ok"]), r["name"],
             r["input_set"] + 1 if several else None, _percent(r["error"]), _percent(r.get("agreement"))]
            for r in outputs
        ]  # fmt: skip
        head = ["", "output", "set", "error", "same largest"]
        said = f"<p>Emulated in {text(found.get('runtime'))}; at most {_percent(found.get('limit'))} is allowed.</p>"
        yield section("Proof", said, table(head, cells, right=head[2:]))
    if isinstance(found.get("layers"), Sequence) and "method" in found:
        cells = [
            [
                "int8" if r["int8"] else "float32",
                r["name"],
                r["operator"],
                figured(r["largest"], ".4g"),
                _percent(r["error"]),
            ]
            for r in found["layers"]
        ]
        right = ["largest", "error alone"]
        yield section("Layers", table(["", "name", "operator", *right], cells, right=right))
    if found.get("tensors"):
        cells = [[r["name"], figured(r["largest"], ".4g"), _percent(r["error"]), r["reason"]] for r in found["tensors"]]
        yield section(
            "Tensors inside", table(["name", "largest", "error", "why"], cells, right=["largest", "error"], most=30)
        )


def _percent(share: Any) -> str:
    if not isinstance(share, (int, float)):
        return ""
    return f"{share * 100:.4f}".rstrip("0").rstrip(".") + "%"


def forms(found: Document) -> str:
    """The requests of ``mconv serve-check``."""
    rows = [
        [agreed(f["ok"], "failed"), f["form"], figured(f["max_abs"], ".3g"),
         f"{f['seconds'][-1] * 1e3:.1f}" if f["seconds"] else "", f["reason"]]
        for f in found.get("forms") or []
    ]  # fmt: skip
    head = ["", "request", "largest difference", "ms", "why"]
    return section("Requests", table(head, rows, right=["largest difference", "ms"]))


def times(found: Document) -> str:
    """How long the phases took."""
    spans = found.get("seconds")
    if not isinstance(spans, Mapping) or not spans:
        return ""
    return section("Time", facts({name: spent(value) for name, value in spans.items() if value}))


def warnings(found: Document) -> str:
    """What the user has to know."""
    told = [w for key in ("warnings", "notes") if isinstance(found.get(key), list) for w in found[key]]
    return section("Warnings", items(told))


def provenance(found: Document) -> str:
    """Where it comes from, what made it, and the files that it became."""
    source = found.get("source")
    rows: dict[str, object] = dict(source) if isinstance(source, Mapping) else {"path": source} if source else {}
    rows = {_named("source", key): _said(value, key) for key, value in rows.items() if value not in (None, "", [], {})}
    if isinstance(found.get("output"), Mapping):
        rows.update(
            {_named("output", key): _said(value, key) for key, value in found["output"].items() if value is not None}
        )
    for key in ("server", "client", "service", "inference", "program", "params", "saved_by"):
        if isinstance(found.get(key), (str, int, float)):
            rows[key.replace("_", " ")] = found[key]
    rows.update(found.get("versions") or {})
    return section("Provenance", pairs(rows, ["what", "is"]))


def _named(of: str, key: str) -> str:
    """In words, which a narrow window can break a line between."""
    return f"{of}: {key.replace('_', ' ')}"


def _said(value: object, key: str) -> object:
    if "bytes" in key:
        return amount(value) if isinstance(value, int) and value < 1000 else f"{amount(value)} ({value})"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
