"""What stands in torch's graphs beside ATen operators: arithmetic on sizes, and checks."""

from __future__ import annotations

import operator
from typing import Any

from mconv.program import dims as D

# functions on sizes that torch puts into its graphs
SIZE_FUNCTIONS: dict[str, Any] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floordiv": D.floordiv,
    "mod": operator.mod,
    "neg": operator.neg,
    "sym_max": D.maximum,
    "sym_min": D.minimum,
    "sym_int": lambda x: x,
}
# checks that the exporter writes down; a conversion has nothing to do for them
CHECKS = frozenset(
    {
        "aten._assert_scalar.default",
        "aten._assert_async.default",
        "aten._assert_async.msg",
        "aten._linalg_check_errors.default",
        "aten._print.default",
        "aten._assert_tensor_metadata.default",
        "aten.sym_constrain_range.default",
        "aten.sym_constrain_range_for_size.default",
    }
)


def is_size(node: Any) -> bool:
    """Whether a node gives a number and not a tensor."""
    value = node.meta.get("val")
    return isinstance(value, (bool, int, float)) or type(value).__name__ in ("SymInt", "SymFloat", "SymBool")
