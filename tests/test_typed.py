"""What a type checker, a completion and ``help()`` see of the package: every function of the API has typed keywords."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mconv
from mconv import api
from mconv.recipe import api as recipes

ROOT = Path(__file__).parent.parent
PUBLIC = {
    name: value
    for module in (api, recipes)
    for name, value in vars(module).items()
    if not name.startswith("_") and inspect.isfunction(value) and value.__module__ == module.__name__
}
# a user's file that calls every one of them, and uses what it gets
USER = """
from pathlib import Path

import mconv
from mconv import api, errors
from mconv.recipe import api as recipes


def convert() -> list[str]:
    try:
        made = api.convert("model.onnx", Path("out"), target=2.6, verify=False, pipeline={"name": "m"}, limit="2G")
    except errors.MconvError as e:
        return [e.message, e.hint or ""]
    many = api.convert_many(["a.onnx", Path("b")], "out", target="3")
    print(many.ok, [model.out for model in many.models])
    reports = [
        api.onnx2paddle("model.onnx", "out", inputs=["x[1,3,?,640]"], constants={"sr": 16000}),
        api.torch2paddle("model.pt2", "out", keep_dtype=True, tolerance=1e-3, feeds=Path("x.npz")),
        api.torch2paddle("weights.pt", "out", into="net.py:make", rules=["bert-paddlenlp"]),
        api.to_static("net.py:make", ["x:float32[?,8]"], "out", folder=True, progress=print),
        api.to_onnx("out", "model.onnx", opset=17),
        mconv.to_static("net.py:make", None, "pb_model"),
    ]
    return made.warnings + [w for report in reports for w in report.warnings]


def models() -> None:
    print(api.report_bug(command=["onnx2paddle", "m.onnx"], out="bug"), api.several_sources(["a", "b"]))
    print(api.matching_sources("models/*", "out"))
    print(api.downgrade("model.json", "out", output_names=["y"]).program)
    print(api.half("out", "out16", dtype="bf16").status, api.quantize("out", "out8", data="x.npz"))
    print(api.shapes("out", minimum=["x[1]"]).texts, api.edit("m.onnx", "n.onnx", dims={"batch": 1}))
    print(api.inspect("out", variables=True).era, api.external_data("m.onnx"), api.check("out", sources=["m"]).ok)
    print(api.recognise("m", "torch").value, api.verify("a", "b", layers=True).ok)


def serving() -> None:
    result = api.to_serving("pb_model", out="deploy", feed_alias={"x": "image"}, target="same")
    print(result.server, api.scaffold("deploy/serving_server", name="m", mean=[0.5]).folder)
    print(api.start_command("http", result.service.folder if result.service is not None else "deploy/service"))
    print(api.serve_check("deploy/serving_server", images=["a.png"]).ok)
    with api.serve("deploy", port=9000) as run:
        print(run)
    print([ended.url for ended in api.stop_served()])


def measuring() -> None:
    found = api.bench_models(["m.onnx", "out"], threads=2, shapes=["x[1]"])
    assert api.is_address("http://127.0.0.1") and api.bench_services(["http://127.0.0.1"], loops=9)
    api.bench_files(found, html="b.html")
    api.page([found, "out/report.json"], "all.html")
    judged, failure = api.judge_bench(found, max_p99=50)
    reported = recipes.of_bench(judged, found.seconds)
    recipes.write_reports(reported, "title", junit_file="j.xml")
    print(failure, recipes.github_annotations(reported, "title"), recipes.as_run("a", "b"))


def chains() -> bool:
    print(recipes.init("m.onnx", show=True).text, recipes.schema())
    return recipes.run(["a.yaml"], out="build", jobs=2).ok


def runtimes() -> None:
    print(api.install_runtime("paddle-2.3.2", force=True).name, api.remove_runtime("paddle-2.3.2"))
    print(api.list_runtimes(), api.find_runtime("current").label, api.doctor(test=True).python)
    api.run_in_runtime("paddle-2.3.2", ["python"])
"""
WRONG = {
    'api.convert("m", "out", keep_dtipe=True)': 'Unexpected keyword argument "keep_dtipe"',
    'api.half("m", "out", dtype=16)': 'incompatible type "int"; expected "str"',
    "api.downgrade()": 'Missing positional arguments "path", "out"',
}


def checked(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy")
    (folder / "user.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file", os.devnull]
    environ = {**os.environ, "MYPYPATH": str(ROOT / "src"), "MYPY_CACHE_DIR": str(folder / "cache")}
    return subprocess.run([*command, "user.py"], cwd=folder, env=environ, capture_output=True, text=True, timeout=600)


def test_a_users_file_is_checked_strictly(tmp_path: Path) -> None:
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(USER))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not set(PUBLIC) - called, "the file calls every function of the API"
    wrong = "\n".join(f"    {line}" for line in WRONG)
    done = checked(f"{USER}\n\ndef wrong() -> None:\n{wrong}\n", tmp_path)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == len(WRONG), done.stdout + done.stderr
    for line, message in zip(errors, WRONG.values()):
        assert message in line


@pytest.mark.parametrize("name", PUBLIC)
def test_signatures_are_explicit(name: str) -> None:
    signature = inspect.signature(PUBLIC[name])
    assert not [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    assert all(p.annotation is not p.empty for p in signature.parameters.values())


def test_what_the_package_shows() -> None:
    assert set(mconv.__all__) <= set(dir(mconv)) and {"api", "errors", "to_static"} <= set(mconv.__all__)
    for name in mconv.__all__:
        assert getattr(mconv, name) is not None
    assert (Path(mconv.__file__).parent / "py.typed").is_file()
