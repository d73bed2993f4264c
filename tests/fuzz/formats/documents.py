"""``provenance.json``, recipes, and the report that a command in a pipe gives to the next."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.fuzz import mutate
from tests.fuzz.harness import Format, command_line
from tests.golden import case
from tests.onnx.make import mlp

# ------------------------------------------------------------------------------------------------- provenance.json


def _converted(folder: Path) -> Path:
    from mconv import api

    shutil.copytree(case("2.3.2-mlp").model, folder / "m")
    api.to_serving(folder / "m", out=folder / "s")
    return folder


_PATHS = ["x" * 256, "x" * 5000, "a/" * 3000, "\0", "a\0b", "loop", "loop/x", "pipe", "..", "../..", ".", "/", "/dev/zero", "//", "./",
           "a/./b", "serving_server", "dir", "dir/", "link", "__model__/x", "\ud800", "locked/x", "../serving_client", "../m",
           "..\\x", "C:\\x", "../" + "y" * 300, "../\0", "../.."]  # fmt: skip


def _paths(rng: random.Random, record: Any) -> Any:
    """The names of files in a record changed to paths of every kind."""
    entries = [*record["files"], *record["sources"], *(f for files in record.get("beside", {}).values() for f in files)]
    entry = rng.choice(entries)
    entry["name"] = rng.choice(_PATHS)
    if rng.random() < 0.3:
        entry["bytes"] = rng.choice([0, 1, -1, True, 2**70, 10**30, 1.0])
    if rng.random() < 0.3 and "beside" in record:
        record["beside"][rng.choice(_PATHS)] = record["beside"].pop(next(iter(record["beside"])))
    return record


def _provenance_case(made: Path, rng: random.Random, folder: Path) -> list[str]:
    shutil.copytree(made, folder, dirs_exist_ok=True)
    if rng.random() < 0.3:
        _beside(folder / "s" / "serving_server")
    path = folder / "s" / "serving_server" / "provenance.json"
    record = json.loads(path.read_text())
    tree = _paths(rng, record) if rng.random() < 0.3 else mutate.tree(rng, record)
    held = mutate.dumps(tree, ensure_ascii=rng.random() < 0.5)
    data = held.encode("utf-8", "surrogatepass")
    path.write_bytes(mutate.data(rng, data) if rng.random() < 0.15 else data)
    command = ["check", rng.choice(["s", "s/serving_server", "s/serving_server/provenance.json"])]
    return command + rng.choice([[], [], ["--json"], ["--source", "m"], ["-v"]])


def _provenance_sound(made: Path, folder: Path) -> list[list[str]]:
    shutil.copytree(made, folder, dirs_exist_ok=True)
    return [["check", "s"], ["check", "s", "--source", "m"], ["check", "s", "--json"]]


def _beside(home: Path) -> None:
    """What no converted folder has."""
    home.joinpath("loop").symlink_to("loop")
    home.joinpath("link").symlink_to("/dev/zero")
    os.mkfifo(home / "pipe")


PROVENANCE = Format("provenance", _converted, _provenance_case, _provenance_sound)

# ------------------------------------------------------------------------------------------------- recipes

_RECIPE = {
    "version": 1,
    "name": "net",
    "description": "a small one",
    "source": {"path": "m.onnx", "trust": False},
    "inputs": ["x[?,16]"],
    "target": "2.3",
    "steps": [{"onnx2paddle": {"verify": False}}, "to-serving"],
    "serving": {"server": "serving_server", "feed_alias": {"x": "in"}, "fetch_order": "model"},
    "pipeline": {"service": "tensor", "name": "net", "workers": 2},
    "verification": {"tolerance": 1e-3, "runtime": "current"},
    "profiles": {"p": {"target": "2.6", "pipeline": True}, "q": {"source": {"path": "m.onnx"}, "steps": ["convert"]}},
}
_SOURCES = [
    "m.onnx", "http://[", "http://127.0.0.1:9/m.onnx", "https://[::1", "s3://", "gs://x\x1b[31m", "package:", "package:x/y",
    "package:../x", "file:///etc/passwd", "m.onnx#x", "zip://m.onnx", "http://127.0.0.1:99999/m", "http://\u2100/m", "m.zip",
    "http://127.0.0.1:9/a.tar.gz", "\x00", "a" * 300, "m.py:f", "x.y:z", "pipe", ".", "/", "~nobody/m",
    "http://user:pass@127.0.0.1:9/m.onnx?token=secret",
]  # fmt: skip
_BOMBS = [
    "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" + "\n".join(f"d{i}: &d{i} [*{'c' if not i else f'd{i - 1}'}," * 1 + f"*{'c' if not i else f'd{i - 1}'}]" for i in range(30)),
    "source: m.onnx\nsteps: &s [*s]\n", "source: &a {path: *a}\n", "source: " + "[" * 3000, "source: " + "{a: " * 3000,
    "a: !!python/object/apply:os.system ['id']\n", "? [a, b]\n: c\n", "source: m.onnx\nsource: n.onnx\n", "--- a\n--- b\n",
    "%YAML 9.9\n---\nsource: m.onnx\n", "source: !!binary aGVsbG8=\n", "source: 2001-01-01\n", "target: 0x" + "f" * 5000,
    "target: " + "9" * 60000, "version: 1e999\nsource: m.onnx", "source: m.onnx\ntarget: .nan", "<<: [1, 2]\nsource: m.onnx",
    "source: m.onnx\nsteps:\n" + "- [a]\n" * 1000, "source: m.onnx\nprofiles: 3\n", "profiles: 3.5\n", "x", "- a\n- b\n", "", "\t",
    "source: m.onnx\ninputs: [" + "x, " * 3000 + "]", "a" * 70000, "source: \x1b[31m", "'\x07': 1", "&" + "a" * 5000 + " b: c",
    "source: m.onnx\n" + "\n".join(f"k{i}: 1" for i in range(1500)), "source: 1_000:20\n", "? \n", "!!map", "!!float x", "!!int ''", "!!bool maybe: 1",
    "!!timestamp x: 2", "source: !!null x", "source: !!set {a}", "source: m.onnx\ntarget: 1:2:3:4:99999999999999999999",
]  # fmt: skip
_SETTINGS = [
    "target=2.6", "target=[" * 400, "source.path=http://[", "source=", "=x", "steps=[convert]", "a.b.c.d=1", "pipeline={}", "profiles.p=1",
    "steps.0=x", "target=&a [*a]", "target=!!python/none x", "inputs=[1,2]", "source.arguments.x=" + "9" * 6000, "serving.feed_alias={x: \x1b}",
    "name=../x", "name=x\x1b[31m", "verification.tolerance=-1", "verification.tolerance=1e-400", "." * 50 + "=1", "source={}", "source=3",
]  # fmt: skip


def _change(rng: random.Random, old: Any) -> Any:
    if rng.random() < 0.4:
        return rng.choice(_SOURCES)
    if rng.random() < 0.5:
        return rng.choice(
            ["onnx2paddle", "to-serving", "convert", "verify", "to-onnx", "downgrade", "torch2paddle", "to-static"]
        )
    return mutate.value(rng)


def _recipe_case(_: Any, rng: random.Random, folder: Path) -> list[str]:
    mlp(folder / "m.onnx")
    kind = rng.randrange(10)
    if kind < 6:
        tree = mutate.tree(rng, json.loads(json.dumps(_RECIPE)), _change)
        try:
            text = (
                yaml.safe_dump(tree, sort_keys=False, allow_unicode=rng.random() < 0.5)
                if rng.random() < 0.7
                else mutate.dumps(tree)
            )
        except (yaml.YAMLError, ValueError, RecursionError):
            text = "source: m.onnx\n"
    elif kind < 8:
        text = mutate.lines(rng, yaml.safe_dump(_RECIPE, sort_keys=False))
    elif kind == 8:
        text = rng.choice(_BOMBS)
    else:
        text = yaml.safe_dump(_RECIPE, sort_keys=False)
    data = text.encode("utf-8", "surrogatepass")
    folder.joinpath("r.yaml").write_bytes(mutate.data(rng, data) if rng.random() < 0.1 else data)
    command = ["run", "r.yaml", "-o", "build"]
    if kind == 9 or rng.random() < 0.2:
        setting = rng.choice(_SETTINGS)
        setting = mutate.text(rng, setting) if rng.random() < 0.3 else setting
        command += ["--set", setting.replace("\0", "").encode("utf-8", "replace").decode()]
    if rng.random() < 0.3:
        command += ["--profile", rng.choice(["p", "q", "none"])]
    return command


def _recipe_sound(_: Any, folder: Path) -> list[list[str]]:
    mlp(folder / "m.onnx")
    folder.joinpath("r.yaml").write_text(yaml.safe_dump(_RECIPE, sort_keys=False))
    # the profile q compares, which takes a runtime
    return [["run", "r.yaml", "-o", "build"], ["run", "r.yaml", "-o", "build", "--profile", "p", "--set", "target=2.3"]]


def _in_this_process(argv: list[str]) -> int:
    """``mconv run``, its steps done here and not in a process each, which takes half a second each time; nothing is proved."""
    from mconv.errors import MconvError
    from mconv.recipe import child, run
    from mconv.recipe.step import call

    def step(self: Any, step: Any) -> dict[str, Any]:
        verb, arguments = call(step, self.job.folder)
        if "verify" in arguments:
            arguments["verify"] = False
        if verb in ("verify", "serve_check"):
            return {"result": {"warnings": [], "proof": None}}
        arguments = json.loads(json.dumps(arguments))
        try:
            return {"result": child.perform(verb, arguments, lambda text: None)}
        except MconvError as e:
            return {"error": child.describe(e)}

    run._Run._child = step  # type: ignore[method-assign]
    return command_line(argv)


RECIPE = Format("recipe", lambda _: None, _recipe_case, _recipe_sound, _in_this_process)

# ------------------------------------------------------------------------------------------------- reports in pipes

_REPORT = {
    "output": {"folder": "m", "program": "inference.pdmodel", "params": "inference.pdiparams"}, "warnings": [], "target": "2.3",
}  # fmt: skip
_FAILED = {
    "error": {"kind": "CorruptModelError", "message": "m.onnx: damaged", "hint": None, "exit_code": 4, "rows": []}
}


def _piped_case(made: Path, rng: random.Random, folder: Path) -> list[str]:
    shutil.copytree(made, folder / "m")
    sound = rng.choice(
        [_REPORT, _REPORT, _FAILED, {"server": "m"}, {"output": {"file": "m/inference.pdmodel"}}, {"path": "m"}]
    )
    held = mutate.dumps(mutate.tree(rng, json.loads(json.dumps(sound)))).encode()
    folder.joinpath("stdin").write_bytes(mutate.data(rng, held) if rng.random() < 0.15 else held)
    return rng.choice([["to-serving", "-", "-o", "out"], ["inspect", "-"], ["downgrade", "-", "out"]])


def _piped_sound(made: Path, folder: Path) -> list[list[str]]:
    shutil.copytree(made, folder / "m")
    return [["inspect", "m"], ["to-serving", "m", "-o", "out"], ["downgrade", "m", "down"]]


PIPED = Format("piped", lambda _: case("2.3.2-mlp").model, _piped_case, _piped_sound)
