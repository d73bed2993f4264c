"""The code in a TorchScript archive: what it names and calls.

It is a small part of Python, which torch prints and interprets. Here it is parsed by Python's own parser and looked
through node by node: only statements that torch prints, only operators of a list (:mod:`operators`), only attributes
that the archive's own classes have. What only one of the two parsers would read (odd characters, other ends of lines)
is refused before.

Sizes and turns that the code says in numbers draw on the budget before anything runs: tensors that operators make
(:mod:`made`), loops over a ``range``. What is computed (a ``while`` whose condition stays true, a size that is a
product) is known only to who runs it.

The form: ``torch/csrc/jit/serialization/python_print.cpp`` and ``import_source.cpp``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Optional

from mconv import budget
from mconv.errors import LimitError
from mconv.torch.sources import made
from mconv.torch.sources.operators import ALLOWED

_LONGEST_FILE, _LONGEST_LINE = 4 << 20, 100_000
_ALL_CODE = 16 << 20
_DEPTH = 150
_STATEMENTS = (
    ast.ClassDef, ast.FunctionDef, ast.AnnAssign, ast.Assign, ast.AugAssign, ast.If, ast.While, ast.For, ast.Return,
    ast.Pass, ast.Expr, ast.With, ast.Assert, ast.Break, ast.Continue,
)  # fmt: skip
_PARTS = (
    ast.arguments, ast.arg, ast.keyword, ast.Name, ast.Attribute, ast.Call, ast.Constant, ast.List, ast.Tuple, ast.Dict,
    ast.Subscript, ast.Slice, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.withitem, ast.expr_context,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Index if hasattr(ast, "Index") else ast.Slice,
)  # fmt: skip
_BASES = frozenset(("Module", "NamedTuple", "Enum", "ModuleInterface", "Interface", "object", "Exception"))
# Python's functions and torch's forms that print, import or run nothing
_FUNCTIONS = frozenset((
    "range", "len", "getattr", "hasattr", "annotate", "uninitialized", "unchecked_cast", "int", "float", "bool", "str",
    "complex", "list", "tuple", "dict", "min", "max", "abs", "enumerate", "zip", "any", "all", "sum", "round", "sorted",
    "divmod", "pow", "isinstance",
))  # fmt: skip
_TYPES = frozenset((
    "Tensor", "Optional", "List", "Dict", "Tuple", "Final", "Any", "NoneType", "Device", "Layout", "MemoryFormat", "Union",
    "number", "Scalar", "ScalarType", "Storage", "Stream", "QScheme", "Generator", "AnyTupleType", "AnyListType",
    "AnyEnumType", "t", "__annotations__", "inf", "nan", "None", "True", "False",
))  # fmt: skip
# of tensors and modules, beside operators and what the archive declares
_ATTRIBUTES = frozenset((
    "dtype", "device", "shape", "grad", "data", "layout", "requires_grad", "ndim", "itemsize", "nbytes", "name", "type",
    "index", "T", "H", "mT", "mH", "real", "imag", "is_cuda", "is_cpu", "is_sparse", "is_quantized", "is_mkldnn",
    "is_leaf", "tolist", "value", "training",
))  # fmt: skip
_OPERATIONS_OF_A_TURN = 1 << 15  # 130,000 turns exhaust a budget
_ROOTS = frozenset(("torch", "ops", "CONSTANTS", "__torch__"))
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TEXT = re.compile(r"[\x20-\x7e\n]*")
# classes of torch's own in C++: they hold the weights of quantised layers
_OWN_CLASS = re.compile(r"__torch__\.torch\.classes\.(?!quantized\.)")


class NotAllowed(Exception):
    """What a file of code has that a model has no need of."""


def check(files: Mapping[str, bytes], registered: Iterable[str]) -> Optional[str]:
    """What is wrong with the code; None where nothing is.

    Args:
        files: name → text.
        registered: the names of all operators of torch, as a value has them as methods.

    Raises:
        LimitError: it is far larger than a model's, or asks for more memory or turns than the budget has.
    """
    if sum(map(len, files.values())) > _ALL_CODE:
        raise LimitError(f"{sum(map(len, files.values()))} bytes of code, more than a model has")
    trees = {}
    for name, text in files.items():
        try:
            trees[name] = _parsed(text)
        except NotAllowed as e:
            return f"{name} {e}"
    if _loops_while_read(trees.values()):
        return "it loops while it is read (__setstate__), where nothing can end it"
    declared = {n for tree in trees.values() for n in _declared(tree)}
    refused = set(registered) - ALLOWED["aten"] - _ATTRIBUTES
    for name, tree in trees.items():
        try:
            _Checker(declared, refused).visit(tree)
        except NotAllowed as e:
            return f"{name} {e}"
    return None


def _loops_while_read(trees: Iterable[ast.Module]) -> bool:
    """Whether a loop is within reach of a ``__setstate__``, which torch's reader calls: by the names alone."""
    functions: dict[str, list[ast.FunctionDef]] = {}
    for node in (n for tree in trees for n in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef):
            functions.setdefault(node.name, []).append(node)
    waiting, seen = ["__setstate__"], {"__setstate__"}
    while waiting:
        for node in (n for function in functions.get(waiting.pop(), ()) for n in ast.walk(function)):
            if isinstance(node, (ast.While, ast.For)):
                return True
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name in functions and name not in seen:
                seen.add(name)
                waiting.append(name)
    return False


def _parsed(raw: bytes) -> ast.Module:
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise NotAllowed("has characters that code has not") from None
    if not _TEXT.fullmatch(text):
        raise NotAllowed("has characters that code has not")
    if len(text) > _LONGEST_FILE or max(map(len, text.split("\n"))) > _LONGEST_LINE:
        raise LimitError(f"code of {len(text)} bytes, more than a model has")
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotAllowed("is no code that can be looked through") from None


def _declared(tree: ast.Module) -> set[str]:
    """The attributes and methods that classes declare."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.Assign):
                    found |= {t.id for t in line.targets if isinstance(t, ast.Name)}
                    found |= {k for t in line.targets if (k := _key(t)) is not None}
    return found


def _key(target: ast.AST) -> Optional[str]:
    """The attribute in ``__annotations__["0"] = …``."""
    if (
        isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Name)
        and target.value.id == "__annotations__"
    ):
        index = target.slice
        if isinstance(index, ast.Constant) and isinstance(index.value, str):
            return index.value
    return None


class _Checker:
    def __init__(self, declared: set[str], refused: set[str]):
        self.declared, self.refused = declared, refused
        self.bound: set[str] = set()
        self.numbers: dict[str, int] = {}  # name → the largest number that it is assigned

    def visit(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                self.bound.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.bound.add(node.id)
            elif isinstance(node, ast.Assign) and (number := self.number(node.value)) is not None:
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.numbers[target.id] = max(number, self.numbers.get(target.id, 0))
        if self.bound & (_ROOTS | {"getattr", "hasattr"}):
            raise NotAllowed("gives another meaning to a name of torch's")
        stack: list[tuple[ast.AST, int, int]] = [(n, 1, 1) for n in tree.body]
        while stack:
            node, depth, turns = stack.pop()
            if depth > _DEPTH:
                raise LimitError("code that is nested too deeply")
            if not isinstance(node, (*_STATEMENTS, *_PARTS)):
                raise NotAllowed(f"has a statement that a model has not ({type(node).__name__})")
            if isinstance(node, ast.For) and (own := self.turns(node.iter)) > 1:
                turns *= own
                budget.work(turns * _OPERATIONS_OF_A_TURN, f"a loop of {own} turns")
            elif isinstance(node, ast.Call):
                self.made(node)
            stack += [(n, depth + 1, turns) for n in self.inner(node)]

    def number(self, node: ast.AST) -> Optional[int]:
        """A number as it stands in the code, or under a name."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            positive = self.number(node.operand)
            return None if positive is None else -positive
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        return self.numbers.get(node.id) if isinstance(node, ast.Name) else None

    def turns(self, over: ast.AST) -> int:
        """How often a loop over a ``range`` of numbers turns; 1 where that is not known here."""
        if not isinstance(over, ast.Call) or not isinstance(over.func, ast.Name) or over.func.id != "range":
            return 1
        bounds = [n for n in map(self.number, over.args) if n is not None]
        if not 1 <= len(bounds) <= 3 or len(bounds) < len(over.args) or bounds[2:] == [0]:
            return 1
        first, last = (0, *bounds) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else 1
        return max(0, -((first - last) // step))

    def made(self, node: ast.Call) -> None:
        """Draw on the budget for what an operator makes of numbers."""
        if isinstance(node.func, ast.Attribute):
            given = [*node.args, *(k.value for k in node.keywords)]
            lists = [list(map(self.number, a.elts)) if isinstance(a, ast.List) else self.number(a) for a in given]
            made.draw(node.func.attr, lists)

    def inner(self, node: ast.AST) -> list[ast.AST]:
        """Check one node; what is to be looked at below it."""
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            if node.decorator_list or getattr(node, "keywords", None):
                raise NotAllowed("has a decorator")
            if isinstance(node, ast.ClassDef):
                if not all(isinstance(b, ast.Name) and b.id in _BASES for b in node.bases):
                    raise NotAllowed(f"has a class of a kind that is not known ({node.name})")
                return list(node.body)
        if isinstance(node, ast.Constant):
            self.constant(node.value)
        elif isinstance(node, ast.Name):
            known = node.id in self.bound or node.id in _FUNCTIONS or node.id in _TYPES
            if not known or node.id in _ROOTS:
                raise NotAllowed(f"uses {node.id}")
        elif isinstance(node, ast.Attribute):
            return self.attribute(node)
        elif isinstance(node, ast.Call):
            self.call(node)
        return list(ast.iter_child_nodes(node))

    def constant(self, value: object) -> None:
        # what is printed by torch goes to a terminal as it is
        if isinstance(value, (bytes, complex)) or (isinstance(value, str) and not _TEXT.fullmatch(value)):
            raise NotAllowed("has a text with control characters")

    def attribute(self, node: ast.Attribute) -> list[ast.AST]:
        names = [node.attr]
        base: ast.AST = node.value
        while isinstance(base, ast.Attribute):
            names.append(base.attr)
            base = base.value
        if isinstance(base, ast.Name) and base.id in _ROOTS:
            self.global_name([base.id, *reversed(names)])
            return []
        self.member(node.attr)
        return [node.value]

    def member(self, name: str) -> None:
        """An attribute or method of a value, which may be an operator on a tensor."""
        known = name in self.declared or name in ALLOWED["aten"] or name in _ATTRIBUTES
        if not known or name in self.refused:
            raise NotAllowed(f"uses {name}")

    def global_name(self, parts: list[str]) -> None:
        full = ".".join(parts)
        root = parts[0]
        if root == "torch":
            allowed = len(parts) == 2 and parts[1] in ALLOWED["aten"]
        elif root == "ops":
            allowed = len(parts) == 3 and parts[2] in ALLOWED.get(parts[1], ())
        elif root == "CONSTANTS":
            allowed = len(parts) == 2 and re.fullmatch(r"c\d+", parts[1]) is not None
        else:
            allowed = all(_WORD.fullmatch(p) for p in parts) and not _OWN_CLASS.match(f"{full}.")
        if not allowed:
            raise NotAllowed(f"uses {full}")

    def call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name):
            return
        if node.func.id in ("getattr", "hasattr"):
            name = node.args[1] if len(node.args) == 2 and not node.keywords else None
            if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
                raise NotAllowed("uses an attribute whose name is computed")
            self.member(name.value)
