"""Who may import whom: the rooms of the design, enforced on the syntax trees of src/mconv."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "mconv"
MODULES = sorted(SRC.rglob("*.py"))

# room → the rooms it may import; every room may import itself, the rooms of FOR_ALL and the package's version
FOR_ALL = {
    "page",
    "hub",
    "errors",
    "printable",
    "budget",
    "watch",
    "confined",
    "extras",
    "service_packages",
    "version",
    "warned",
    "yaml_text",
}
GROUND = {"program"}
MIDDLE = GROUND | {"emit", "passes", "artifacts"}
IMPORTERS = {"onnx", "paddle", "torch", "dygraph"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "printable": set(),
    "budget": set(),
    "watch": set(),
    "confined": set(),
    "extras": set(),
    "service_packages": set(),
    "version": set(),
    # what was found, as a page of HTML and as the line of a prompt
    "page": GROUND,
    # models on the Hugging Face hub
    "hub": set(),
    "warned": set(),
    # YAML that somebody else wrote
    "yaml_text": set(),
    "program": set(),
    # what is written: staged output, hashes, provenance
    "artifacts": GROUND,
    # what a verb may be told, declared once
    "options": GROUND,
    "emit": GROUND,
    "passes": GROUND | {"emit"},
    # the user's own Python: what makes a model, and what that is called with
    "factory": GROUND,
    # importers do not know each other
    **dict.fromkeys(IMPORTERS, MIDDLE),
    **dict.fromkeys({"torch", "dygraph"}, MIDDLE | {"factory"}),
    # Program → the formats of others
    "exporters": MIDDLE,
    # brings what it is given down to the target
    "serving": MIDDLE | {"options", "paddle"},
    "runtimes": MIDDLE,
    # everything that runs two things and compares, and the real pipeline on a serving folder
    "proof": MIDDLE | IMPORTERS | {"factory", "options", "runtimes", "serving", "inspection", "recognise"},
    # latency and load, in turns, with answers compared
    "bench": MIDDLE | {"runtimes", "proof", "serving"},
    # reads every format to describe it
    "inspection": MIDDLE | {"onnx", "paddle", "serving"},
    # what a source is, and with it the conversion that reads it
    "recognise": GROUND | {"factory", "torch"},
    # verbs that join rooms which do not know each other
    "verbs": MIDDLE
    | IMPORTERS
    | {"options", "exporters", "factory", "serving", "proof", "bench", "runtimes", "inspection", "recognise"},
    # another face of the API: the one that ONNX's tools expect, a module that subclasses what onnx has
    "onnx_backend": MIDDLE | {"onnx", "runtimes"},
    # runs the verbs; hashes files, and writes whole folders as they do
    "recipe": GROUND | {"artifacts", "options", "api"},
    "api": {"options"}
    | MIDDLE
    | IMPORTERS
    | {"serving", "proof", "bench", "runtimes", "inspection", "recognise", "verbs"},
    # parses, calls the API and renders; the runtimes are the subject of two commands
    "cli": {"recipe", "api", "options"},
    "__main__": {"cli"},
}
# for type annotations and for constants shown as choices, which import nothing heavy
CLI_MAY_NAME = {"mconv.program.targets"}

# packages that run models, which these rooms never touch, not even inside a function
FRAMEWORKS = {"paddle", "torch", "onnxruntime", "x2paddle", "paddle2onnx", "paddle_serving_client", "transformers"}
WITHOUT_FRAMEWORKS = {
    "program",
    "factory",
    "emit",
    "exporters",
    "onnx",
    "paddle",
    "passes",
    "artifacts",
    "serving",
    "inspection",
    "errors",
    "budget",
    "options",
}
# packages that are never imported at the top level of any module
LAZY = FRAMEWORKS | {"onnx", "safetensors", "yaml", "openvino", "onnxscript", "rich", "jsonschema", "fsspec", "ray"} | {
    "aiohttp", "grpc", "matplotlib", "psutil",
}  # fmt: skip


def room_of(path: Path) -> str:
    relative = path.relative_to(SRC)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(tree: ast.Module) -> Iterator[tuple[str, int, bool]]:
    """(module, line, whether it happens when the module is imported) of every import, those in functions included."""

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for statement in child.body:
                    for name, line, _ in walk(ast.Module([statement], []), False):
                        yield name, line, False
                continue
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield alias.name, child.lineno, top
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"line {child.lineno}: imports are absolute"
                assert child.module is not None
                yield child.module, child.lineno, top
                for alias in child.names:
                    yield f"{child.module}.{alias.name}", child.lineno, top
            inner = top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(child, inner)

    yield from walk(tree, True)


def dotted(name: str) -> str | None:
    """The room of an imported module of mconv; None for other packages and for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "mconv" and len(parts) > 1 and parts[1] != "__version__" else None


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_rooms_import_only_what_they_may(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    assert room in ALLOWED, f"{room} is no room of the design"
    allowed = ALLOWED[room] | {room} | FOR_ALL
    wrong = []
    for name, line, _ in imports(ast.parse(path.read_text(encoding="utf-8"))):
        other = dotted(name)
        if other is None or other in allowed:
            continue
        if room == "cli" and any(name == m or name.startswith(m + ".") for m in CLI_MAY_NAME):
            continue
        wrong.append(f"line {line}: {name}")
    assert not wrong, f"{room} may import {sorted(allowed)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SRC)))
def test_frameworks_stay_outside(path: Path) -> None:
    wrong = []
    if path.name in ("worker_main.py", "worker_predictor.py", "worker_executor.py", "latency_main.py"):
        return  # run inside a managed runtime, never in mconv's own process
    for name, line, top in imports(ast.parse(path.read_text(encoding="utf-8"))):
        package = name.split(".")[0]
        if package in FRAMEWORKS and room_of(path) in WITHOUT_FRAMEWORKS:
            wrong.append(f"line {line}: {name}")
        if top and package in LAZY and not (package == "onnx" and room_of(path) == "onnx_backend"):
            wrong.append(f"line {line}: {name} at the top level")
    assert not wrong


def test_the_checker_sees_all_forms() -> None:
    """Imports in functions, in conditions, from packages and by name are all found, and those for types told apart."""
    code = """
import paddle
from mconv import onnx
from mconv.paddle import importer
if TYPE_CHECKING:
    import torch
def f():
    import onnxruntime
    with x:
        from mconv.serving.convert import write
class A:
    import rich
"""
    found = {(name, top) for name, _, top in imports(ast.parse(code))}
    assert ("paddle", True) in found and ("torch", False) in found and ("onnxruntime", False) in found
    assert ("mconv.onnx", True) in found and ("mconv.serving.convert", False) in found and ("rich", True) in found
    assert dotted("mconv.onnx") == "onnx" and dotted("mconv") is None and dotted("os.path") is None


def test_every_module_is_imported_without_the_heavy_packages() -> None:
    """As after `pip install -e .`: what runs models is not there. tests/test_pythons.py has it with every Python."""
    code = f"""
import importlib, pkgutil, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(FRAMEWORKS | {"safetensors", "openvino", "onnxscript", "ray"})!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import mconv
inside_of_runtimes = ["mconv.runtimes." + n for n in ("worker_main", "worker_predictor", "worker_executor", "latency_main", "serving_main", "x2paddle_main")]
for module in pkgutil.walk_packages(mconv.__path__, "mconv."):
    if module.name not in ("mconv.__main__", *inside_of_runtimes):
        importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(tree: ast.Module, known: Collection[str]) -> set[str]:
    """The modules among *known* that are imported: at the top, in functions, for types alone."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names = [f"{node.module}.{alias.name}" for alias in node.names]  # modules, or what the module has
            found.update(name if name in known else node.module for name in names)
    return found & set(known)


def circles(edges: Mapping[str, Collection[str]]) -> list[list[str]]:
    """The sets of modules that import each other, by Tarjan's algorithm."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        path.append(module)
        for other in edges[module]:
            if other not in number:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in path:
                low[module] = min(low[module], number[other])
        if low[module] == number[module]:
            at = path.index(module)
            if len(path) - at > 1:
                found.append(sorted(path[at:]))
            del path[at:]

    for module in edges:
        if module not in number:
            visit(module)
    return found


def test_no_modules_import_each_other() -> None:
    """Not in functions either, nor for types: such an import hides that two modules are one, or in the wrong order.

    A callback, a Protocol or a module below both opens a circle.
    """
    known = {module_name(path): path for path in MODULES}
    edges = {m: imported_modules(ast.parse(p.read_text(encoding="utf-8")), known) - {m} for m, p in known.items()}
    assert sum(map(len, edges.values())) > len(known)  # the graph has been read
    assert circles(edges) == []


def test_circles_are_found_wherever_the_import_stands() -> None:
    known = {"mconv.a", "mconv.b", "mconv.c", "mconv.d"}
    code = {
        "mconv.a": "from mconv import b",
        "mconv.b": "def f():\n    import mconv.c",
        "mconv.c": "if TYPE_CHECKING:\n    from mconv.a import A\nfrom mconv.d import D",
        "mconv.d": "from mconv.printable import printable",
    }
    edges = {module: imported_modules(ast.parse(text), known) for module, text in code.items()}
    assert circles(edges) == [["mconv.a", "mconv.b", "mconv.c"]]
    edges["mconv.c"].remove("mconv.a")
    assert circles(edges) == []


def _drawn() -> dict[str, set[str]]:
    """Room → the rooms that an arrow of the drawing leads to."""
    page = (SRC.parent.parent / "docs" / "rooms.md").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for line in page.partition("flowchart TD")[2].partition("```")[0].strip().splitlines():
        groups = [{room.strip() for room in part.split("&")} for part in line.split("-->")]
        for start, end in zip(groups, groups[1:]):
            for room in start:
                found.setdefault(room, set()).update(end)
    return found


def test_the_drawing_of_the_rooms_is_right() -> None:
    """Every folder is drawn, every arrow is allowed, and what is allowed can be reached by arrows."""
    arrows = _drawn()
    rooms = {path.name for path in SRC.iterdir() if path.is_dir() and (path / "__init__.py").exists()} | {
        "api",
        "inspection",
        "recognise",
    }
    assert rooms == set(arrows) | {r for end in arrows.values() for r in end}
    for room, ends in arrows.items():
        assert ends <= ALLOWED[room], room
        reached: set[str] = set()
        left = set(ends)
        while left:
            one = left.pop()
            reached.add(one)
            left |= arrows.get(one, set()) - reached
        assert ALLOWED[room] <= reached, (room, ALLOWED[room] - reached)
