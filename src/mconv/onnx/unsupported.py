"""What is said of nodes that cannot be converted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from mconv.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx


def refuse(nodes: list[dict[str, Any]]) -> None:
    """Raise the error that names all nodes that cannot be converted, where there are some."""
    if not nodes:
        return
    rows = _grouped(nodes)
    names = ", ".join(dict.fromkeys(str(r["operator"]) for r in rows))
    count = len(nodes)
    first = rows[0]
    raise UnsupportedError(
        f"{count} node{'s' if count > 1 else ''} cannot be converted: {names} ({first['operator']}: {first['reason']})",
        "the table lists every one; a converter of your own can be given with --plugin my_ops.py",
        rows=rows,
    )


def _grouped(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Unsupported nodes by operator and reason, with counts and node names."""
    groups: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        key = (row["domain"], row["operator"], row["reason"])
        group = groups.setdefault(
            key, {k: row[k] for k in ("operator", "domain", "opset", "reason")} | {"count": 0, "nodes": []}
        )
        group["count"] += 1
        group["nodes"].append(row["node"])
    return list(groups.values())


def why_unknown(node: onnx.NodeProto, domain: str, version: Optional[int]) -> str:
    """Why an operator has no converter; *version*: of its domain, None where the model does not import that."""
    import onnx

    if domain == "":
        try:
            onnx.defs.get_schema(node.op_type, domain=domain)
        except onnx.defs.SchemaError:
            return "ONNX has no operator of this name"
        return "no converter for it"
    if version is None:
        return f"the model does not import the domain {domain!r}"
    if domain == "com.microsoft.nchwc":
        return "ONNX Runtime's optimiser wrote it in a layout of one processor"
    return "no converter for it"
