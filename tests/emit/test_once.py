"""Every meaning stands once, in ``emit/``: the converters of all sources reach it there, and none builds it again."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

import mconv

SOURCES = Path(mconv.__file__).parent
ROOMS = ("onnx", "torch", "paddle")
# operators of any source (as their converters are registered) → what builds their meaning
MEANINGS = {
    r"scaled_dot_product_attention|flash_attn|memory_efficient_attention|^Attention$|MultiHeadAttention": "attend",
    r"rms_?norm|RMSNorm|SimplifiedLayerNorm": "rms_norm",
    r"fused_rotary|RotaryEmbedding": "rotate|rotate_by_tables",
    r"^cum(max|min)|^Cum(Max|Min)": "running_extreme",
    r"^floor_divide": "floor_divide",
    r"copysign": "copysign",
    r"(native_|^|fused_|Skip)(layer_norm|LayerNormalization)": "layer_norm",
    r"group_norm|GroupNorm": "group_norm",
    r"instance_norm|InstanceNorm": "instance_norm",
    r"pixel_unshuffle|SpaceToDepth": "space_to_depth",
    r"pixel_shuffle|DepthToSpace": "depth_to_space",
    r"channel_shuffle": "channel_shuffle",
    r"searchsorted": "searchsorted",
    r"grid_sampl|GridSample": "grid_sample",
}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """The modules in which the sources' converters are, by their path below the package."""
    found = [p for room in ROOMS for p in sorted((SOURCES / room / "ops").glob("*.py"))]
    return {str(p.relative_to(SOURCES)): ast.parse(p.read_text()) for p in found}


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}


def emitted(tree: ast.Module) -> dict[str, str]:
    """What a module calls things that come from ``emit/`` (modules and functions) → their own names."""
    return {
        a.asname or a.name: a.name
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and n.module and (n.module + ".").startswith("mconv.emit.")
        for a in n.names
    } | {"emit": "emit"}


def of_emit(f: ast.AST, known: dict[str, str]) -> set[str]:
    """The functions of ``emit/`` that a function names."""
    found = {known[n.id] for n in ast.walk(f) if isinstance(n, ast.Name) and n.id in known}
    for n in ast.walk(f):
        if isinstance(n, ast.Attribute) and ast.unparse(n.value).split(".")[0] in known:
            found.add(n.attr)
    return found


@functools.cache
def converters() -> dict[tuple[str, str], set[str]]:
    """(source, operator) → the functions of ``emit/`` that its converter calls, itself or by others of its source."""
    found: dict[tuple[str, str], set[str]] = {}
    for room in ROOMS:
        own = {path: tree for path, tree in modules().items() if path.startswith(f"{room}/")}
        direct = {name: of_emit(f, emitted(tree)) for tree in own.values() for name, f in functions(tree).items()}
        calls = {
            name: {n.id for n in ast.walk(f) if isinstance(n, ast.Name)}
            | {n.attr for n in ast.walk(f) if isinstance(n, ast.Attribute)}
            for tree in own.values()
            for name, f in functions(tree).items()
        }
        for tree in own.values():
            for f in functions(tree).values():
                reached: set[str] = set()
                seen, left = set(), {f.name}
                while left:
                    one = left.pop()
                    seen.add(one)
                    reached |= direct[one]
                    left |= (calls[one] & direct.keys()) - seen
                for operator in registered(f):
                    found[room, operator] = reached
            for f, operators in handed(tree):
                found.update({(room, operator): of_emit(f, emitted(tree)) for operator in operators})
    return found


def handed(tree: ast.Module) -> list[tuple[ast.Call, list[str]]]:
    """The calls that hand a function of ``emit/`` itself to several operators, as ``_binary(copysign, "copysign.Tensor")``."""
    calls = [n.value for n in tree.body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    return [(c, [a.value for a in c.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]) for c in calls]


def registered(f: ast.FunctionDef) -> list[str]:
    return [
        constant.value.removeprefix("aten.")
        for d in f.decorator_list
        if isinstance(d, ast.Call) and ast.unparse(d.func).endswith("_op")
        for constant in d.args
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    ]


@pytest.mark.parametrize("operators", MEANINGS)
def test_every_source_reaches_the_one_in_emit(operators: str) -> None:
    builders = set(MEANINGS[operators].split("|"))
    concerned = {k: v for k, v in converters().items() if re.search(operators, k[1])}
    assert concerned, "no converter of that name any more: the pattern is to follow"
    assert [f"{room}: {operator}" for (room, operator), names in concerned.items() if not names & builders] == []


@pytest.mark.parametrize("builder", sorted({name for names in MEANINGS.values() for name in names.split("|")}))
def test_emit_has_one_of_each(builder: str) -> None:
    found = [
        str(path.relative_to(SOURCES))
        for path in sorted((SOURCES / "emit").rglob("*.py"))
        if builder in (n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef))
    ]
    assert len(found) == 1, found


def test_a_second_one_is_seen() -> None:
    second = ast.parse("def own_norm(ctx, x):\n    return ctx.op('square', X=x)").body[0]
    first = ast.parse("def rms_norm(ctx, x):\n    return norm.rms_norm(ctx, x)").body[0]
    assert isinstance(second, ast.FunctionDef) and isinstance(first, ast.FunctionDef)
    assert of_emit(second, {"norm": "norm"}) == set() and "rms_norm" in of_emit(first, {"norm": "norm"})
