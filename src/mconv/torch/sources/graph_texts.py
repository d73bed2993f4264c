"""The texts in the JSON of an exported graph: which of them torch would evaluate, and whether they are what they
should be."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, Optional

# functions of sizes, by the names that torch's deserializer and sympy know
_FUNCTIONS = frozenset((
    "FloorDiv", "ModularIndexing", "Where", "PythonMod", "Mod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv",
    "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator",
    "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity", "Max", "Min", "Abs", "Pow",
    "sqrt", "floor", "ceiling", "Eq", "Ne", "Le", "Lt", "Ge", "Gt", "And", "Or", "Not", "Xor", "Piecewise",
    "ExprCondPair", "Add", "Mul", "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan",
    "StrictGreaterThan", "Infinity", "NegativeInfinity", "Symbol", "Integer", "Float", "Rational",
    "OpaqueUnaryFn_sqrt", "OpaqueUnaryFn_exp", "OpaqueUnaryFn_log", "BitwiseFn_bitwise_and", "BitwiseFn_bitwise_or",
))  # fmt: skip
_NODES = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Tuple, ast.keyword,
)  # fmt: skip
_QUOTED = {"Symbol": re.compile(r"[A-Za-z_]\w*"), "Float": re.compile(r"[-+\d.einfa]+")}
_OPERATOR = frozenset((
    "add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pos", "abs", "pow", "eq", "ne", "lt", "le", "gt", "ge",
    "and_", "or_", "not_", "xor", "lshift", "rshift", "getitem", "index",
))  # fmt: skip
# operators of PyTorch itself; what writes or reads files is none of a model's
_NATIVE = r"(aten|prim|prims|quantized|quantized_decomposed|torchvision|higher_order)"
_ATEN = re.compile(
    rf"torch\.ops\.{_NATIVE}"
    r"\.(?!save$|save\.|from_file)(?P<name>\w+)(\.\w+)?"
)
_FOREIGN = re.compile(
    rf"torch\.ops\.(?!{_NATIVE}\.)(?!load_library|import_module|loaded_libraries|_)\w+\.(?!_)\w+(\.\w+)?"
)
_DUNDERS = frozenset(f"__{i}{n}__" for n in ("and", "or", "xor", "lshift", "rshift") for i in ("", "i"))
_SYM = re.compile(r"torch\.(sym_\w+|_sym_\w+)|math\.\w+")
_NAME = re.compile(r"[\w.\-:]*")
# where any text may stand: torch only keeps or quotes it
_FREE = frozenset({"metadata", "as_string", "as_strings", "torch_version", "guards_code", "path_name"})
_SPECS = frozenset({"in_spec", "out_spec"})


def problem(held: Any) -> Optional[str]:
    """What is wrong with the texts of a graph; None when they are all harmless."""
    for key, value in _texts(held, ""):
        wrong = _wrong(key, value)
        if wrong:
            shown = "".join(c if c.isprintable() else "?" for c in value[:80])
            return f"{wrong} {shown!r}"
    return None


def _texts(held: Any, key: str) -> Iterator[tuple[str, str]]:
    """(name of the field, text) of everything below, names of fields included."""
    stack = [(key, held)]
    while stack:
        field, value = stack.pop()
        if isinstance(value, dict):
            for name, inner in value.items():
                if name in _FREE:
                    continue
                if field == "range_constraints":
                    yield "expr_str", name
                else:
                    yield "", name
                stack.append((name, inner))
        elif isinstance(value, list):
            stack.extend((field, inner) for inner in value)
        elif isinstance(value, str):
            yield field, value


def _wrong(key: str, text: str) -> str:
    if key == "expr_str":
        return "" if _is_expression(text) else "has a size that is no expression of sizes:"
    # of a node: a function; of a signature: a weight, which is a plain name
    if key == "target" and text.startswith(("torch.", "_operator.", "math.", "#")):
        return "" if _is_function(text) else "calls"
    if key in _SPECS:
        return "has an enumeration as an argument:" if "__enum__" in text or "import" in text else ""
    return "" if _NAME.fullmatch(text) else "has a name that is none:"


def _is_function(text: str) -> bool:
    found = _ATEN.fullmatch(text)
    if found:
        return not found["name"].startswith("__") or found["name"] in _DUNDERS
    if text.startswith("_operator."):
        return text[len("_operator.") :] in _OPERATOR
    # operators of other libraries are looked up by their names and refused later, one by one, in a table
    return bool(_SYM.fullmatch(text) or _FOREIGN.fullmatch(text))


def _is_expression(text: str) -> bool:
    """Whether a text is an expression of numbers, symbols and functions of sizes: it is evaluated."""
    if len(text) > 20_000:
        return False
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    quoted = set()  # names of symbols and digits of numbers, as sympy writes them: Symbol('s31', integer=True)
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            return False
        if isinstance(node, ast.Name) and node.id.startswith("__"):
            return False
        if isinstance(node, ast.Call):
            if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS:
                return False
            form = _QUOTED.get(node.func.id)
            if (
                form
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and form.fullmatch(str(node.args[0].value))
            ):
                quoted.add(node.args[0])
            if not all(k.arg and isinstance(k.value, ast.Constant) for k in node.keywords):
                return False
    constants = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in quoted]
    return all(isinstance(n.value, (bool, int, float)) for n in constants)
