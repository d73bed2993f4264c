"""The JSON of every command: real output against the committed schema, which is what the classes and the page say.

``MCONV_WRITE_EXAMPLES=1`` writes the examples of docs/json.md (then: ``python tools/make_schemas.py``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from mconv.cli import main as frame
from mconv.runtimes.ports import free_ports
from tests import newer
from tests.golden import case
from tests.managed import require
from tests.onnx.make import mlp

ROOT = Path(__file__).parent.parent.parent
SCHEMAS = ROOT / "src" / "mconv" / "schemas"
EXAMPLES = ROOT / "tools" / "json_examples"
LAYER = "import paddle\n\nclass Net(paddle.nn.Layer):\n    def __init__(self):\n        super().__init__()\n\
        self.fc = paddle.nn.Linear(8, 3)\n\n    def forward(self, x):\n        return paddle.tanh(self.fc(x))\n"
MODULE = LAYER.replace("paddle.nn.Layer", "torch.nn.Module").replace("paddle", "torch")
WRONG = "import mconv\n\n@mconv.onnx_op('Relu', since=13)\ndef relu(ctx, x):\n    return ctx.op('sigmoid', X=x)\n"
RECIPE = "source: m.onnx\nsteps:\n  - onnx2paddle: {verify: false}\n  - to-serving\n"


@dataclass(frozen=True)
class Command:
    """How a command is called in a folder that holds m.onnx, net.py, layer.py, recipe.yaml, model/ and serving_server/.

    Attributes:
        schema: the name of its schema.
        line: its arguments.
        needs: runtimes or packages.
        code: its exit code.
        before, after: commands around it. PORT in any of them is a free one.
    """

    schema: str
    line: str
    needs: tuple[str, ...] = ()
    code: int = 0
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return self.line.partition(" --input")[0]


RUNTIME, PADDLE, TORCH = "paddle-2.3.2", "paddle", "torch"
COMMANDS = [
    Command("onnx2paddle", "onnx2paddle m.onnx out --runtime current", (PADDLE, "onnxruntime")),
    Command("torch2paddle", "torch2paddle net.py:Net out --input x:float32[batch,8] --no-verify", (TORCH,)),
    Command("to-static", "to-static layer.py:Net out --input x:float32[?,8] --no-verify", (PADDLE,)),
    Command("to-onnx", "to-onnx model mlp.onnx --no-verify", (PADDLE,)),
    Command("downgrade", "downgrade model out"),
    Command("convert", "convert m.onnx out --no-verify --pipeline --keep-inference"),
    Command("convert-many", "convert m.onnx model out --no-verify"),
    Command("to-serving", "to-serving model --feed-alias x=features --out deploy"),
    Command("to-serving", "to-serving model --show"),
    Command("scaffold", "scaffold serving_server"),
    Command("half", "half model out", (RUNTIME,)),
    Command("quantize", "quantize model out --data real.npz --method minmax --max-drop 0.5", (RUNTIME,)),
    Command("edit", "edit m.onnx small.onnx --dim batch=1 --outputs active --rename active=y", ("onnxruntime",)),
    Command("edit", "edit model out --dim batch=2 --fold --weights separate", (RUNTIME,)),
    Command("shapes", "shapes model --min x[1,8] --opt x[4,8] --max x[16,8] --form trtexec", (RUNTIME,)),
    Command("serve", "serve serving_server --port PORT --detach", (RUNTIME,), after="serve --stop --port PORT"),
    Command("serve-stop", "serve --stop --port PORT", (RUNTIME,), before="serve serving_server --port PORT --detach"),
    Command("serve-check", "serve-check serving_server", (RUNTIME,)),
    Command("inspect", "inspect model --vars"),
    Command("inspect", "inspect m.onnx --text"),
    Command("inspect", "inspect serving_server"),
    Command("verify", "verify model serving_server --runtime current --layers", (PADDLE,)),
    Command("bench", "bench model serving_server --runtime current --loops 4 --rounds 2", (PADDLE,)),
    Command("check", "check serving_server"),
    Command("run", "run recipe.yaml --out runs"),
    Command("init", "init m.onnx"),
    Command("runtime-list", "runtime list"),
    Command("runtime-install", "runtime install paddle-2.3.2", (RUNTIME,)),
    Command("runtime-remove", "runtime remove paddle-2.6.2"),
    Command("runtime-path", "runtime path paddle-2.3.2", (RUNTIME,)),
    Command("doctor", "doctor"),
    Command("report-bug", "report-bug inspect m.onnx"),
    # what was found stays, with the error beside it
    Command("verify", "verify m.onnx other.onnx --layers", ("onnxruntime",), code=10),
    Command(
        "onnx2paddle", "onnx2paddle m.onnx out --runtime current --plugin wrong.py", (PADDLE, "onnxruntime"), code=10
    ),
    Command("convert-many", "convert m.onnx cut.onnx out --no-verify", code=4),
    Command("bench", "bench m.onnx --loops 2 --rounds 1 --max-p99 0.000001", ("onnxruntime",), code=16),
    Command("check", "check altered", code=12),
    Command("run", "run wrong.yaml --out runs", code=4),
    Command("error", "inspect nowhere", code=3),
    Command("error", "to-serving model --nonsense", code=2),
    Command("error", "downgrade newer.pdmodel out --target 1.8", code=5),
    Command("error", "to-serving", code=2),
]


def schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def validate(document: Any, name: str) -> None:
    validator = jsonschema.Draft202012Validator(schema(name))
    problems = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in validator.iter_errors(document)]
    assert not problems


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    mlp(folder / "m.onnx")
    (folder / "net.py").write_text(MODULE)
    (folder / "layer.py").write_text(LAYER)
    (folder / "recipe.yaml").write_text(RECIPE)
    shutil.copytree(case("2.3.2-mlp").model, folder / "model")
    np.savez(folder / "real.npz", **case("2.3.2-mlp").inputs)
    newer.written(folder)
    subprocess.run([sys.executable, "-m", "mconv", "to-serving", "model", "-q"], cwd=folder, check=True)
    mlp(folder / "other.onnx", bend=0.5)
    (folder / "cut.onnx").write_bytes((folder / "m.onnx").read_bytes()[:100])
    (folder / "wrong.py").write_text(WRONG)
    (folder / "wrong.yaml").write_text(RECIPE.replace("m.onnx", "cut.onnx"))
    shutil.copytree(folder / "serving_server", folder / "altered")
    (folder / "altered" / "more.txt").write_text("more")
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command(command: Command, here: Path, tmp_path: Path) -> None:
    for need in command.needs:
        if need.startswith("paddle-"):
            require(need)
        else:
            pytest.importorskip(need)
    folder = tmp_path / "here"
    shutil.copytree(here, folder)
    env = {**os.environ, "MCONV_SOURCES": str(tmp_path / "sources")}
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
        env.pop(name, None)
    if command.schema == "runtime-remove":  # of nobody's real ones
        env["MCONV_CACHE"] = str(tmp_path / "cache")
    port = str(free_ports(1)[0])

    def run(line: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = [port if word == "PORT" else word for word in line.split()]
        return subprocess.run(
            [sys.executable, "-m", "mconv", *words, *more],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=180,
        )

    if command.before:
        assert run(command.before).returncode == 0
    done = run(command.line, "--json")
    if command.after:
        assert run(command.after).returncode == 0, done.stderr
    assert done.returncode == command.code, done.stderr[-2000:]
    document = json.loads(done.stdout)
    validate(document, command.schema)
    assert ("error" in document) == (command.code != 0)
    if command.code:
        assert document["error"]["exit_code"] == command.code and document["error"]["message"]
    if os.environ.get("MCONV_WRITE_EXAMPLES"):
        _write_example(command.schema, document, tmp_path)


def test_every_command_has_a_case() -> None:
    known = {name for group in frame.COMMANDS.values() for name in group if frame.available(name)}
    assert {c.line.split()[0] for c in COMMANDS} >= known
    assert {c.schema for c in COMMANDS} == {p.stem for p in SCHEMAS.glob("*.json")}


@pytest.mark.parametrize("name", sorted(p.stem for p in SCHEMAS.glob("*.json")))
def test_schemas_are_sound_and_their_examples_fit(name: str) -> None:
    found = schema(name)
    jsonschema.Draft202012Validator.check_schema(found)
    for example in found["examples"]:
        validate(example, name)


def test_a_schema_refuses_what_it_should() -> None:
    """A field more, a field less, another type."""
    good = schema("error")["examples"][0]
    for bend in (
        lambda d: d.update(more=1),
        lambda d: d["error"].pop("hint"),
        lambda d: d["error"].update(exit_code="3"),
    ):
        document = json.loads(json.dumps(good))
        _: Callable[[Any], Any] = bend
        bend(document)
        with pytest.raises(AssertionError):
            validate(document, "error")


def test_schemas_and_page_are_what_the_classes_say() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_schemas.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def _write_example(name: str, document: Any, tmp_path: Path) -> None:
    path = EXAMPLES / f"{name}.json"
    text = json.dumps(_shortened(document), ensure_ascii=False, indent=2)
    for long, short in (
        (str(tmp_path), "/home/me"), (str(ROOT / ".venv"), "/home/me/venv"), (str(ROOT), "/home/me/mconv"), (str(Path.home()), "/home/me"),
    ):  # fmt: skip
        text = text.replace(long, short)
    EXAMPLES.mkdir(exist_ok=True)
    if not path.exists():  # of several cases, the first
        path.write_text(text + "\n", encoding="utf-8")


def _shortened(value: Any, depth: int = 0) -> Any:
    """The first item of long lists, the first lines of long texts."""
    if isinstance(value, dict):
        return {k: _shortened(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list):
        plain = all(not isinstance(v, (dict, list)) for v in value)
        return [_shortened(v, depth + 1) for v in (value if plain and len(value) < 9 else value[:1])]
    if isinstance(value, str) and value.count("\n") > 3:
        return "\n".join([*value.split("\n")[:3], "…"])
    return value
