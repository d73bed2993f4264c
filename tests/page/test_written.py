"""``--html`` and ``html=``: the page of what was done, of what failed, and of what could not be done."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import MconvError, VerificationError
from mconv.options.declare import declared
from mconv.recipe import api as recipes
from tests.onnx.make import mlp
from tests.page.samples import Elements

pytest.importorskip("matplotlib")
RECIPE = "source: m.onnx\nsteps:\n  - onnx2paddle: {verify: false}\n  - to-serving\n"


def read(path: Path) -> str:
    return Elements(path.read_text("utf-8")).text


def test_by_the_api_and_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = mlp(tmp_path / "m.onnx")
    api.onnx2paddle(path, tmp_path / "a", verify=False, html=tmp_path / "new" / "a.html")
    assert run(["onnx2paddle", str(path), str(tmp_path / "b"), "--no-verify", "--html", str(tmp_path / "b.html")]) == 0
    for page in (tmp_path / "new" / "a.html", tmp_path / "b.html"):
        assert "Not verified" in read(page) and "m.onnx" in read(page)
    for command in ("downgrade", "to-serving"):
        out = tmp_path / command
        assert (
            run(
                [
                    command,
                    str(tmp_path / "a"),
                    *(["--out"] if command == "to-serving" else []),
                    str(out),
                    "--html",
                    f"{out}.html",
                ]
            )
            == 0
        )
        assert "compares nothing" in read(tmp_path / f"{command}.html")


def test_what_was_written_beside_the_result_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mlp(tmp_path / "m.onnx")

    def said(*typed: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run([*typed, "--html", "p.html"])
        return code, capsys.readouterr().err

    convert = ["onnx2paddle", "m.onnx", "out", "--no-verify", "--force"]
    for _ in range(2):  # a page that is there is written again
        code, told = said(*convert)
        assert code == 0 and told.splitlines()[-1] == "p.html written"
    assert "written" not in said(*convert, "-q")[1]
    code, told = said("onnx2paddle", "gone.onnx", "out", "--no-verify")
    assert code != 0 and told.splitlines()[0] == "p.html written"  # an error has its page, too
    assert run(["onnx2paddle", "m.onnx", "new", "--no-verify", "--html", "m.onnx"]) == 2  # refused: nothing is written
    assert "written" not in capsys.readouterr().err
    code, told = said("verify", "m.onnx", "m.onnx", "--junit", "j.xml", "--summary", "s.md")
    assert code == 0 and [line for line in told.splitlines() if line.endswith("written")] == [
        "p.html written", "j.xml written", "s.md written",
    ]  # fmt: skip


def test_of_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mlp(tmp_path / "m.onnx")
    (tmp_path / "r.yaml").write_text(RECIPE)
    assert recipes.run(["r.yaml"], html="run.html").ok
    assert "All recipes are as they should be" in read(tmp_path / "run.html")
    (tmp_path / "r.yaml").write_text(RECIPE.replace("m.onnx", "gone.onnx"))
    assert run(["run", "r.yaml", "--html", "run.html"]) != 0
    assert "1 of 1 recipes failed" in read(tmp_path / "run.html")


def test_of_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(MconvError) as caught:
        api.onnx2paddle(tmp_path / "m.onnx", tmp_path / "out", html=tmp_path / "e.html")
    assert caught.value.message.partition(" ")[2][:20] in read(tmp_path / "e.html") and not (tmp_path / "out").exists()


def test_a_place_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    path = mlp(tmp_path / "m.onnx")
    with pytest.raises(MconvError, match="--html"):
        api.onnx2paddle(path, tmp_path / "out", verify=False, html=path)
    assert not (tmp_path / "out").exists()


@pytest.mark.runtime
def test_of_a_proof_that_failed_and_of_its_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mconv.proof.compare import Tolerance

    path = mlp(tmp_path / "m.onnx")
    with monkeypatch.context() as patched, pytest.raises(VerificationError):
        patched.setattr(Tolerance, "limit", lambda self, reference, dtype: 0.0 * reference - 1)
        api.onnx2paddle(path, tmp_path / "out", runtime="current", html=tmp_path / "f.html")
    page = read(tmp_path / "f.html")
    assert "Verification failed" in page[:300] and "differ by more than the tolerance" in page and "kept in" in page
    api.onnx2paddle(path, tmp_path / "out", runtime="current")
    other = mlp(tmp_path / "other.onnx", bend=0.5)
    found = api.verify(other, tmp_path / "out", runtime="current", layers=True, html=tmp_path / "l.html")
    assert not found.ok and found.first is not None
    text = (tmp_path / "l.html").read_text("utf-8")
    assert "They compute something else" in read(tmp_path / "l.html")[:300]
    assert text.count('id="first"') == 1 and text.index('class="block" open') < text.index('id="first"')
    assert [node["operator"] for node in found.graphs["a"]] and len(found.layers) == found.compared


def test_every_command_that_converts_compares_or_measures_has_it() -> None:
    from importlib import import_module
    from inspect import signature

    for name in ("convert", "downgrade", "edit", "half", "onnx2paddle", "quantize", "run", "serve_check", "to_onnx",
                 "to_serving", "to_static", "torch2paddle", "verify", "bench"):  # fmt: skip
        assert "html" in signature(import_module(f"mconv.cli.{name}").command).parameters, name
    assert all("html" in {d.name for d in declared(kind)} for kind in (api.Convert, api.Verify))


def test_progress_goes_to_the_logger_where_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = mlp(tmp_path / "m.onnx")
    with caplog.at_level(logging.INFO, logger="mconv"):
        api.onnx2paddle(path, tmp_path / "out", verify=False)
        said = [record.getMessage() for record in caplog.records if record.name == "mconv"]
        assert said
        caplog.clear()
        heard: list[str] = []
        api.onnx2paddle(path, tmp_path / "again", verify=False, progress=heard.append)
        assert heard and not [record for record in caplog.records if record.name == "mconv"]
