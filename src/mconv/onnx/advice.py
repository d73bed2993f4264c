"""Why an operator could not be converted, and what a user can do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Optional

from mconv.onnx.x2paddle_ops import X2PADDLE_OPERATORS

if TYPE_CHECKING:
    import onnx

_RULES: tuple[tuple[str, str], ...] = (
    (r"no operator of this name", "check the exporter: this name is in no version of ONNX; or give a converter with --plugin"),
    (r"does not import the domain", "the file is damaged or hand-made: its opset_import lacks the domain; export it again"),
    (r"layout of one processor", "save the optimised model with ORT_ENABLE_EXTENDED instead of ORT_ENABLE_ALL, or give the original"),
    (r"no converter for it", "write a converter (docs/operators.md) and give it with --plugin my_ops.py"),
    (r"must be constant|at run time", "make it constant: export with that value fixed, or simplify the model with fixed shapes (--input)"),
    (r"rank .*unknown|unknown rank|no shape", "say the shapes of the inputs: --input 'name[1,3,?,640]'"),
    (r"string|sequence|optional|float8|float4|int4|uint4|sparse", "keep that part outside of the model: Paddle's programs hold plain tensors only"),
    (r"has no operator|no CPU kernel|Paddle 2\.3", "a newer target may have it: --target 2.6 or --target 3"),
    (r"attribute .* is not known|inputs where \d+ are known", "the file uses a form that its opset does not define; export it again"),
    (r"missing", "the node is incomplete; export the model again"),
)  # fmt: skip
_OTHERWISE = "change the model so that it avoids this form, or give a converter of your own with --plugin my_ops.py"


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


def what_to_do(row: dict[str, Any]) -> str:
    """Advice for one row of the table of unsupported operators (``operator``, ``domain``, ``reason``)."""
    reason = str(row.get("reason", ""))
    return next((advice for pattern, advice in _RULES if re.search(pattern, reason)), _OTHERWISE)


def with_advice(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``todo`` (see :func:`what_to_do`)."""
    return [{**row, "todo": what_to_do(row)} for row in rows]


def other_engine(rows: list[dict[str, Any]]) -> str:
    """A sentence on whether X2Paddle knows all of the operators that failed; empty when it does not."""
    names = {str(row["operator"]) for row in rows if row.get("domain") == "ai.onnx"}
    if not rows or len(names) < len({(row.get("domain"), row["operator"]) for row in rows}):
        return ""
    if names <= X2PADDLE_OPERATORS:
        return (
            f"X2Paddle has converters called {', '.join(sorted(names))}: try --engine x2paddle (and verify its result)"
        )
    return ""
