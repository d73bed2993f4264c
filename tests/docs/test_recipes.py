"""The recipes of CONTRIBUTING.md and docs/operators.md, each followed in a copy of the sources: what is there already is
taken out first, so that the recipe puts it in."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mconv.program.builder import Builder
from mconv.program.dtypes import DType
from mconv.program.files import load_program, locate
from mconv.program.stored import write_model
from mconv.program.targets import PADDLE_2_3, PADDLE_2_6
from tests.golden import case
from tests.onnx.make import model, node, port

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """``src/`` of a copy of the sources."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return tmp_path / "src"


def snippet(page: str, begins: str) -> str:
    """The block of Python on a page that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(begins)]
    return str(found)


def without(path: Path, name: str) -> None:
    """Take a function out of a file."""
    text = path.read_text("utf-8")
    (found,) = [n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name]
    lines = text.splitlines(keepends=True)
    del lines[found.decorator_list[0].lineno - 1 : found.end_lineno]
    path.write_text("".join(lines), "utf-8")


def put(path: Path, text: str) -> None:
    path.write_text(f"{path.read_text('utf-8')}\n\n{text}", "utf-8")


def mconv(copy: Path, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """The command of the copy."""
    return subprocess.run(
        [sys.executable, "-m", "mconv", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(copy)},
        cwd=copy.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_an_operator_of_onnx(copy: Path) -> None:
    path = copy.parent / "m.onnx"
    onnx.save(model([node("LeakyRelu", "x", "y", alpha=0.3)], [port("x")], [port("y")], opset=13), str(path))
    family = copy / "mconv/onnx/ops/activation.py"
    without(family, "leaky_relu")
    command = ("onnx2paddle", path, copy.parent / "out", "--no-verify")
    failed = mconv(copy, *command)
    assert failed.returncode == 5 and "LeakyRelu" in failed.stderr
    put(family, snippet("docs/operators.md", '@onnx_op("LeakyRelu"'))
    assert mconv(copy, *command).returncode == 0
    (op,) = [op for op in load_program(locate(copy.parent / "out")).main.ops if op.type not in ("feed", "fetch")]
    assert op.type == "leaky_relu" and op.attr("alpha") == pytest.approx(0.3)


def celu(folder: Path) -> Path:
    """A program that Paddle 2.6 would write."""
    b = Builder(PADDLE_2_6)
    x = b.feed("x", DType.FP32, (2, 3))
    b.fetch(b.op("celu", X=x, alpha=2.0), "y")
    folder.mkdir()
    program, params = b.finish()
    write_model(program, params.items(), folder)
    return folder


def test_an_operator_of_paddle(copy: Path) -> None:
    source = celu(copy.parent / "model")
    family = copy / "mconv/paddle/ops/nn.py"
    without(family, "celu")
    command = ("downgrade", source, copy.parent / "out", "--target", "1.8")
    failed = mconv(copy, *command)
    assert failed.returncode == 5 and "celu" in failed.stderr
    put(family, snippet("docs/operators.md", '@paddle_op("celu")'))
    assert mconv(copy, *command).returncode == 0
    types = [op.type for op in load_program(locate(copy.parent / "out")).main.ops]
    assert "elu" in types and "celu" not in types


def test_an_operator_of_the_export_to_onnx(copy: Path) -> None:
    b = Builder(PADDLE_2_3)
    x = b.feed("x", DType.FP32, (2, 3))
    b.fetch(b.op("leaky_relu", X=x, alpha=0.3), "y")
    (source := copy.parent / "model").mkdir()
    program, params = b.finish()
    write_model(program, params.items(), source)
    family = copy / "mconv/exporters/onnx/ops/activation.py"
    without(family, "leaky_relu")
    command = ("to-onnx", source, copy.parent / "m.onnx", "--no-verify")
    failed = mconv(copy, *command)
    assert failed.returncode == 5 and "leaky_relu" in failed.stderr
    put(family, snippet("CONTRIBUTING.md", '@paddle_op("leaky_relu")'))
    assert mconv(copy, *command).returncode == 0
    (made,) = onnx.load(str(copy.parent / "m.onnx")).graph.node
    assert made.op_type == "LeakyRelu" and np.isclose(made.attribute[0].f, 0.3)


def test_an_option(copy: Path) -> None:
    """One line: the command, the API and a recipe have it."""
    path = copy / "mconv/options/proving.py"
    head, field = snippet("CONTRIBUTING.md", "class Converting(").rstrip().split("\n")
    text = path.read_text("utf-8")
    assert text.count(head) == 1
    path.write_text(text.replace(head, f"{head}\n{field}\n"), "utf-8")
    for verb in ("onnx2paddle", "torch2paddle", "to-static", "convert"):
        shown = mconv(copy, verb, "--help").stdout
        assert "--tidy" in shown and "Also drop what nothing reads." in shown, verb
    code = (
        "import inspect, json; from mconv import api; from mconv.options.onnx import Onnx2Paddle;"
        "from mconv.recipe import fields;"
        "print(json.dumps([inspect.signature(api.onnx2paddle).parameters['tidy'].annotation.__name__,"
        "Onnx2Paddle('a', 'b', tidy=True).tidy, 'tidy' in json.dumps(fields.definitions())]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == ["bool", True, True], done.stderr


def test_a_server(copy: Path) -> None:
    """A class, named in one place: scaffold writes for it."""
    servers = copy / "mconv/serving/servers"
    text = "from mconv.serving.servers.http import Http\n\n\n" + snippet("CONTRIBUTING.md", "class Ours(Http)")
    (servers / "ours.py").write_text(text, "utf-8")
    named = (servers / "__init__.py").read_text("utf-8")
    named = named.replace("(PaddleServing(), ", "(PaddleServing(), Ours(), ").replace(
        "from mconv.serving.servers.paddle",
        "from mconv.serving.servers.ours import Ours\nfrom mconv.serving.servers.paddle",
    )
    (servers / "__init__.py").write_text(named, "utf-8")
    server = case("2.3.2-mlp").server
    done = mconv(copy, "scaffold", server, "--out", copy.parent / "service", "--server", "ours")
    assert done.returncode == 0, done.stderr
    assert (copy.parent / "service/http_client.py").is_file()
    done = mconv(copy, "scaffold", server, "--out", copy.parent / "http", "--server", "http")
    assert done.returncode == 0, done.stderr
    code = (  # whichever of the two is asked first
        "from pathlib import Path; from mconv import runtimes; from mconv.serving import servers\n"
        "for order in (list(servers.SERVERS.items()), list(servers.SERVERS.items())[::-1]):\n"
        "    servers.SERVERS.clear(); servers.SERVERS.update(order)\n"
        "    found = [servers.read(Path(name)) for name in ('service', 'http')]\n"
        "    print(*(f'{f.server_name}:{runtimes.find(servers.runtime_of(servers.of(f), f)).name}' for f in found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True,
        cwd=copy.parent,
    )  # fmt: skip
    assert done.stdout.split() == ["ours:http", "http:http"] * 2, done.stderr
    failed = mconv(copy, "scaffold", server, "--out", copy.parent / "other", "--server", "theirs")
    assert failed.returncode == 2 and "ours" in failed.stderr
