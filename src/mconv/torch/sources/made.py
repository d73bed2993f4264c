"""How large the tensors are that the operators of a model make of numbers: known before any of them runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mconv import budget

# operators whose results are as large as the numbers say that they are given
_MAKERS = frozenset((
    "ones", "zeros", "full", "empty", "rand", "randn", "randint", "randperm", "normal", "arange", "range", "linspace",
    "logspace", "eye", "new_ones", "new_zeros", "new_full", "new_empty", "repeat", "tile", "empty_strided", "tril_indices",
    "triu_indices", "hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window", "one_hot",
))  # fmt: skip
_PRODUCTS = frozenset(("eye", "tril_indices", "triu_indices"))
_SMALL = 1 << 10  # elements


def elements(operator: str, arguments: Sequence[Any]) -> int:
    """About how many elements *operator* (by its name, without a namespace) makes; 0 where that is not said here.

    Args:
        arguments: numbers and lists of numbers; what is neither counts as 1.
    """
    if operator not in _MAKERS:
        return 0
    sizes = [math.prod(map(_number, a)) for a in arguments if isinstance(a, (list, tuple))]
    if sizes:  # numbers beside it are values
        return max(sizes)
    counts = [_number(a) for a in arguments]
    return math.prod(counts[:2]) if operator in _PRODUCTS else max(counts, default=0)


def draw(operator: str, arguments: Sequence[Any]) -> None:
    """Draw on the command's budget what :func:`elements` says, at 4 bytes each.

    Raises:
        LimitError: it is more than is left.
    """
    count = elements(operator, arguments)
    if count > _SMALL:
        budget.memory(4 * count, lambda: f"a tensor that {operator} makes")


def check_graph(program: Any, where: str) -> None:
    """Hold each tensor of an exported program, by its stated size and by what makes it, against the budget alone.

    (What runs frees its tensors, so that their sum says nothing.)

    Raises:
        LimitError: one is more than the whole budget.
    """
    given = budget.current() or budget.Budget()
    for graph in (m.graph for m in program.graph_module.modules() if hasattr(m, "graph")):
        for node in graph.nodes:
            value = node.meta.get("val")
            sizes = [_nbytes(v) for v in (value if isinstance(value, (list, tuple)) else [value])]
            if node.op == "call_function":
                name = str(node.target).partition(".")[2].partition(".")[0]
                sizes.append(4 * elements(name, [*node.args, *node.kwargs.values()]))
            budget.Budget(given.base, given.files).memory(max(sizes, default=0), f"{where}: the tensor {node.name}")


def _nbytes(value: Any) -> int:
    """0 for a size that is not known now, and for what is no tensor."""
    shape = getattr(value, "shape", None)
    known = shape is not None and all(isinstance(d, int) for d in shape)
    return math.prod(shape) * value.dtype.itemsize if known else 0  # type: ignore[arg-type]


def _number(value: Any) -> int:
    return value if type(value) is int and value > 1 else 1
