"""What is wrong with a recipe: the file, the line, what is allowed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mconv.errors import MconvError, NotAModelError, UsageError
from mconv.extras import install
from mconv.program.targets import PADDLE_2_6
from mconv.recipe import api as recipes
from mconv.recipe.document import schema
from mconv.recipe.load import load
from tests.cli.conftest import Run
from tests.golden import case
from tests.onnx.make import mlp

ROOT = Path(__file__).parents[2]


def test_the_schema_is_one() -> None:
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sorce: x\n", "r.yaml:1: sorce: no such field (and 1 more)", "did you mean source?"),
        ("name: x\n", "r.yaml:1: 'source' is missing", "The model: a path"),
        ("source: x\ntarget: 2.4\n", "r.yaml:2: target: 2.4 is none of them", "allowed: 1.8, 2.3, 2.6, 3"),
        ("source: x\nsteps:\n  - to-servng\n", "r.yaml:3: steps[0]: 'to-servng' is none", "did you mean to-serving?"),
        ("source: x\nsteps:\n- verify: {tolerence: 1}\n", "r.yaml:3: steps[0].verify.tolerence: no such", "did you mean tol"),
        ("source: x\nsteps:\n- verify:\n    tolerance: much\n", "r.yaml:4: steps[0].verify.tolerance: a text, where number", ""),
        ("source: x\nsteps:\n- {verify: {}, to-serving: {}}\n", "r.yaml:3: steps[0]: 2 names", "an entry of its own"),
        ("source: x\nsteps: []\n", "r.yaml:2: steps", ""),
        ("name: " + "x" * 5000 + "\nsource: x\n", "xxx… (4922 more characters): 5000 characters, where 200 are most", "output"),
        ("source: x\ntarget: " + "1:" * 9000 + "1\n", "characters) is no value: a number of 18001 characters", ""),
        ("source: x\nsteps:\n" + "- to-serving\n" * 5000, "r.yaml:2: steps: 5000, where 100 are most", ""),
        ("source: {sha256: 12}\n", "r.yaml:1: source.sha256: a number", ""),
        ("source: {spec: a:b, path: c}\n", "r.yaml:1: source: path and spec are both given", "path: of a file"),
        ("source: {trust: true}\n", "r.yaml:1: source: neither path nor spec", ""),
        ("source: x\nprofiles:\n  a:\n    source: {}\n", "r.yaml:4: profiles.a.source", ""),
        ("source: x\nserving: {server: ../x}\n", "r.yaml:2: serving.server: '../x' does not have the form", ""),
        ("source: x\nname: a/b\n", "r.yaml:2: name: 'a/b' does not have the form", ""),
        ("source: x\nverification: {tolerance: 0}\n", "r.yaml:2: verification.tolerance", ""),
        ("source: x\nsource: y\n", "r.yaml:2: 'source' is there twice", ""),
        ("source: [x\n", "r.yaml:2: ", ""),
        ("source: !!python/object/apply:os.system [x]\n", "r.yaml:1: source: a list, where string or object", ""),
        ("source: !!python/name:os.system x\n", "r.yaml:1: ", ""),
        ("- a\n", "r.yaml:1: a recipe is a mapping", ""),
        ("", "r.yaml:1: 'source' is missing", ""),
        ("? [a]\n: b\n", "r.yaml:1: a key is a text", ""),
        ("[" * 3000, "r.yaml", ""),
        ("source: {spec: a:b, arguments: {x: .nan}}\n", "r.yaml:1: .nan is no number", ""),
        ("source: {spec: a:b, arguments: {x: !!binary aGk=}}\n", "r.yaml:1: a bytes, where a text", ""),
        ("a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n" + "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\n"
         "e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n", "too much of it", ""),
    ],
)  # fmt: skip
def test_bad_recipes(text: str, message: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert message in caught.value.message and "\n" not in caught.value.message
    assert hint in (caught.value.hint or "")


def test_all_problems_are_listed(tmp_path: Path, mconv: Run) -> None:
    (tmp_path / "r.yaml").write_text("source: x\ntarget: 9\nsteps:\n  - nothing\nfoo: 1\n")
    done = mconv("run", "r.yaml")
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert [f"line: {n}" in done.stderr for n in (2, 4, 5)] == [True] * 3
    assert not (tmp_path / "build").exists()
    error = json.loads(mconv("run", "r.yaml", "--json").stdout)["error"]
    assert [row["line"] for row in error["rows"]] == [2, 4, 5]
    told = mconv("run", "r.yaml", GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(tmp_path)).stderr.splitlines()
    assert told[0].startswith("::error file=r.yaml,line=2,title=mconv run::target: 9 is none of them")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="cannot be read"):
        load(tmp_path / "nothing.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        load(tmp_path / "b.yaml")


def test_values_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("source: x.onnx\ntarget: 2.6\nverification: {tolerance: 1e-4}\n")
    recipe = load(path)
    assert recipe.target.name == "2.6" and recipe.verification["tolerance"] == 1e-4
    assert [s.name for s in recipe.steps] == ["onnx2paddle", "to-serving"] and recipe.name == "r"


@pytest.mark.parametrize(
    ("source", "first"),
    [("x.onnx", "onnx2paddle"), ("x.pt2", "torch2paddle"), ("folder", "to-serving"), ({"spec": "a:b"}, "to-static")],
)
def test_steps_are_those_that_the_source_needs(source: object, first: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps({"source": source}))
    assert load(path).steps[0].name == first


def test_a_profile_replaces_fields_only_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("source: a.onnx\ntarget: 2.3\nprofiles: {small: {source: b.onnx}}\n")
    plain, small = load(path), load(path, profile="small")
    assert (plain.name, plain.source.path, plain.profile) == ("r", "a.onnx", None)
    assert (small.name, small.source.path, small.profile, small.target.name) == ("r.small", "b.onnx", "small", "2.3")
    assert load(path, profile="other").profile is None
    with pytest.raises(UsageError, match="none of the recipes has it"):
        recipes.run([path], profile="other", out=tmp_path / "o")


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("target=2.6", "target", PADDLE_2_6),
        ("verification.tolerance=1e-3", "verification", {"tolerance": 1e-3}),
        ("inputs=['x[1,3]']", "inputs", ["x[1,3]"]),
        ("serving.fetch_order=sorted", "serving", {"fetch_order": "sorted"}),
    ],
)
def test_settings(setting: str, field: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("source: a.onnx\n")
    assert getattr(load(path, settings=[setting]), field) == value


@pytest.mark.parametrize("setting", ["target", "target=7", "source.arguments.x.y=1=", "inputs.a=b", "nothing=1", "=1"])
def test_settings_are_checked_too(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("source: a.onnx\ninputs: [a]\n")
    if setting.startswith("source"):
        assert load(path, settings=[setting]).source.arguments == {"x": {"y": "1="}}
        return
    with pytest.raises(UsageError, match="--set"):
        load(path, settings=[setting])


def test_without_jsonschema_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("source: a.onnx\n")
    code = (
        "import sys; sys.modules['jsonschema'] = None\nfrom mconv.cli.main import run\nsys.exit(run(['run', 'r.yaml']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 7 and install("recipes") in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_sound_and_complete_in_editors(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    assert (path.parent / first.partition("$schema=")[2]).resolve() == ROOT / "src" / "mconv" / "recipe" / "schema.json"
    recipe = load(path)
    assert recipe.description and recipe.steps
    for profile in ("offline",):
        assert load(path, profile=profile).steps


@pytest.mark.parametrize(
    ("steps", "source", "message"),
    [
        (["onnx2paddle", "onnx2paddle"], "a.onnx", "is there twice"),
        (["to-static"], "a.onnx", "needs a source with spec:"),
        (["onnx2paddle"], {"spec": "a:b"}, "needs a source with path:"),
        (["to-serving"], {"spec": "a:b"}, "the source is a spec"),
        (["to-serving", "onnx2paddle"], "a.onnx", "comes after to-serving"),
        (["verify"], "a.onnx", "has no two models"),
        (["onnx2paddle", {"verify": {"b": "nothing"}}], "a.onnx", "'nothing' is no earlier conversion"),
        (["serve-check"], "a.onnx", "there is no served model yet"),
    ],
)
def test_steps_that_do_not_fit(steps: list, source: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"")
    path = tmp_path / "r.yaml"
    path.write_text(json.dumps({"source": source, "steps": steps}, indent=1))
    result = recipes.run([path], out=tmp_path / "o")
    errors = [s.error for r in result.recipes for s in r.steps if s.error]
    assert len(errors) == 1 and message in errors[0]["message"] and "r.yaml:" in errors[0]["message"]
    assert errors[0]["exit_code"] == 2 and not result.ok
    with pytest.raises(MconvError) as caught:
        result.require()
    assert caught.value.exit_code == 2


def test_steps_are_by_content_where_the_source_lies_here(tmp_path: Path) -> None:
    """A Hugging Face folder has no name that tells, and a file may have any."""
    (tmp_path / "hf").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "hf" / name).write_text('{"model_type": "bert"}')
    mlp(tmp_path / "net.bin")
    for source, first in (
        ("hf", "torch2paddle"),
        ("net.bin", "onnx2paddle"),
        (str(case("2.3.2-mlp").model), "to-serving"),
    ):
        path = tmp_path / "r.yaml"
        path.write_text(json.dumps({"source": source}))
        assert load(path).steps[0].name == first


@pytest.mark.parametrize(
    ("given", "ok"), [("8G", True), ("1.5GiB", True), ("4096", True), ("much", False), ("-1", False)]
)
def test_the_limit_of_a_recipe(tmp_path: Path, given: str, ok: bool) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(f"source: model.onnx\nlimit: {given}\n")
    if ok:
        assert str(load(path).limit) == given
    else:
        with pytest.raises(UsageError, match="limit"):
            load(path)
