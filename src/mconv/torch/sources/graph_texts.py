"""The texts in the JSON of an exported graph: which of them torch would evaluate, import or write into code, and whether
they are what they should be."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Callable, Optional

from mconv.errors import LimitError
from mconv.printable import printable
from mconv.torch.sources import expressions
from mconv.torch.sources.operators import ALLOWED

# Python's own operators, and torch's and math's functions of sizes
_OPERATOR = frozenset((
    "add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pos", "abs", "pow", "eq", "ne", "lt", "le", "gt", "ge",
    "and_", "or_", "not_", "xor", "lshift", "rshift", "getitem", "index",
))  # fmt: skip
_SYM = frozenset((
    "sym_float", "sym_int", "sym_max", "sym_min", "sym_not", "sym_ite", "sym_sum", "sym_sqrt", "_sym_sqrt", "_sym_cos",
    "_sym_cosh", "_sym_sin", "_sym_sinh", "_sym_tan", "_sym_tanh", "_sym_asin", "_sym_acos", "_sym_atan", "_sym_log2",
))  # fmt: skip
_MATH = frozenset((
    "ceil", "floor", "trunc", "sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
    "cosh", "tanh", "fabs", "isnan", "isinf", "isfinite", "copysign", "atan2", "fmod", "hypot",
))  # fmt: skip
_TORCH_OP = re.compile(r"torch\.ops\.(?P<space>[A-Za-z]\w*)\.(?P<name>\w+)(\.\w+)?", re.ASCII)
_DUNDERS = frozenset(f"__{i}{n}__" for n in ("and", "or", "xor", "lshift", "rshift") for i in ("", "i"))
# what torch's deserializer looks up by such a beginning, with or without a dot behind
_LOOKED_UP = ("torch", "_operator", "math", "#")
_NAME = re.compile(r"[\w.\-:@]*")
_IDENTIFIER = re.compile(r"([A-Za-z_]\w*)?", re.ASCII)
# fields whose texts torch writes into the source of a function
_WRITTEN = frozenset({"name", "as_name", "forward_arg_names", "graph"})
_NAMED = frozenset({"tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values", "custom_obj_values"})
# where any text may stand: torch only keeps or quotes it
_FREE = frozenset({"metadata", "as_string", "as_strings", "torch_version", "guards_code"})
_FUNCTIONS = frozenset({"target", "as_operator"})
_SPECS = frozenset({"in_spec", "out_spec"})
# what the defaults of a dictionary may be made of: named by module and name, and imported
_DEFAULTS = frozenset(("list", "dict", "int", "float", "tuple", "set", "str", "bool"))


def problem(held: Any, foreign: Callable[[str], bool] = lambda name: True) -> Optional[str]:
    """What is wrong with the texts of a graph; None when they are all harmless.

    Args:
        foreign: whether an operator of another library (``mylib::op``) may be looked up.

    Raises:
        LimitError: sizes are computed that no memory holds.
    """
    for key, value in _texts(held):
        wrong = _wrong(key, value, foreign)
        if wrong:
            return f"{wrong} {printable(value, 80)!r}"
    for graph in _graphs(held):
        _bounded(graph)
    return None


def _texts(held: Any) -> Iterator[tuple[str, str]]:
    """(name of the field, text) of everything below, names of fields included."""
    stack = [("", held)]
    while stack:
        field, value = stack.pop()
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in _FREE:
                    continue
                yield "expr_str" if field == "range_constraints" else "name" if field in _NAMED else "", name
                stack.append((name, inner))
        elif isinstance(value, list):
            stack.extend((field, inner) for inner in value)
        elif isinstance(value, str):
            yield field, value


def _wrong(key: str, text: str, foreign: Callable[[str], bool]) -> str:
    if key == "expr_str":
        return "" if _is_expression(text) else "has a size that is no expression of sizes:"
    # of a node: a function; of a signature: a weight, which is a plain name
    if key in _FUNCTIONS and text.startswith(_LOOKED_UP):
        return "" if _is_function(text, foreign) else "calls"
    if key in _SPECS:
        return "" if _is_structure(text) else "has an argument of a kind that is not known:"
    if key in _WRITTEN:
        return "" if _IDENTIFIER.fullmatch(text) else "has a name that is none:"
    return "" if _NAME.fullmatch(text) else "has a name that is none:"


def _is_function(text: str, foreign: Callable[[str], bool]) -> bool:
    package, _, name = text.partition(".")
    if package == "_operator":
        return name in _OPERATOR
    if package == "math":
        return name in _MATH
    if package == "torch" and name in _SYM:
        return True
    found = _TORCH_OP.fullmatch(text)
    if not found:
        return False
    space, name = found["space"], found["name"]
    if space in ALLOWED:
        return name in ALLOWED[space] and (not name.startswith("__") or name in _DUNDERS)
    # operators of other libraries are refused later, one by one, in a table
    return not name.startswith("_") and space not in ("load_library", "import_module") and foreign(f"{space}::{name}")


def _is_expression(text: str) -> bool:
    try:
        expressions.check(text)
    except expressions.NoExpression:
        return False
    return True


def _is_structure(text: str) -> bool:
    """Whether a text describes how arguments are nested, and nothing that is imported by its name."""
    if not text:
        return True
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return False
    stack, count = [held], 0
    while stack:
        value = stack.pop()
        count += 1
        if count > 100_000:
            raise LimitError("arguments that are nested without end")
        if isinstance(value, list):
            stack += value
        elif isinstance(value, dict):
            if "__enum__" in value or not _default(value):
                return False
            stack += value.values()
            if isinstance(value.get("context"), str):
                # which is JSON once more, or a plain name
                try:
                    stack.append(json.loads(value["context"]))
                except (ValueError, RecursionError):
                    if not _NAME.fullmatch(value["context"]):
                        return False
    return True


def _default(value: dict[str, Any]) -> bool:
    """Whether what makes the defaults of a dictionary is one of Python's own types."""
    if "default_factory_module" not in value and "default_factory_name" not in value:
        return True
    return value.get("default_factory_module") == "builtins" and value.get("default_factory_name") in _DEFAULTS


def _graphs(held: Any) -> Iterator[dict[str, Any]]:
    stack = [held]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if isinstance(value.get("nodes"), list):
                yield value
            stack += value.values()
        elif isinstance(value, list):
            stack += value


def _bounded(graph: dict[str, Any]) -> None:
    """Raises LimitError where numbers of a graph are computed that have thousands of digits: powers of powers."""
    bits: dict[str, int] = {}
    for node in graph["nodes"]:
        if not isinstance(node, dict) or not isinstance(node.get("target"), str):
            continue
        package, _, name = node["target"].partition(".")
        if package not in ("_operator", "math", "torch") or node["target"].startswith("torch.ops."):
            continue
        values = [_value(one, bits) for one in node["inputs"]] if isinstance(node.get("inputs"), list) else []
        if name in ("pow", "lshift") and len(values) == 2:
            made = expressions.raised(values[0][0], values[1][1], name == "pow")
        else:
            sizes = [v[0] for v in values] or [expressions.SIZE_BITS]
            made = sum(sizes) if name == "mul" else max(sizes) + 1
        if made > expressions.BITS:
            raise LimitError(f"a size of {made} bits")
        for output in node["outputs"] if isinstance(node.get("outputs"), list) else ():
            for label in _labels(output):
                bits[label] = made


def _value(one: Any, bits: dict[str, int]) -> tuple[int, Optional[float]]:
    """Bits of an argument, and its value where that stands in the graph."""
    argument = one.get("arg") if isinstance(one, dict) else None
    if not isinstance(argument, dict):
        return expressions.SIZE_BITS, None
    for literal in _literals(argument):
        return (int(abs(literal)).bit_length() if abs(literal) < 1e300 else 1024), literal
    return max(
        [bits.get(label, expressions.SIZE_BITS) for label in _labels(argument)], default=expressions.SIZE_BITS
    ), None


def _literals(argument: dict[str, Any]) -> Iterator[float]:
    for value in argument.values():
        if isinstance(value, dict):
            yield from _literals(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
            yield value


def _labels(argument: Any) -> Iterator[str]:
    if isinstance(argument, dict):
        for key, value in argument.items():
            if key in ("name", "as_name") and isinstance(value, str):
                yield value
            else:
                yield from _labels(value)
    elif isinstance(argument, list):
        for value in argument:
            yield from _labels(value)
