"""``mconv to-static`` as users run it: exit codes, one line of error, nothing written, JSON alone on stdout."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, mconv

__all__ = ["mconv"]
pytest.importorskip("paddle")
FILE = Path(__file__).parent / "layers.py"
TEXT = (
    "-i",
    "input_ids:int64[?,?]",
    "--input",
    "token_type_ids:int64[-1,None]",
    "--input",
    "attention_mask:int64[b,s]",
)


def test_layer_to_serving(mconv: Run, tmp_path: Path) -> None:
    """The article's chain: a BERT-like layer, a static model, a serving model."""
    done = mconv("to-static", f"{FILE}:Bert", "pb_model", *TEXT, "--arg", "layers=1", "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["command"] == "to-static" and report["verification"]["status"] == "passed"
    assert report["source"]["class"] == "Bert" and report["source"]["arguments"] == {"layers": "1"}
    assert {p.name for p in (tmp_path / "pb_model").iterdir()} == {
        "inference.pdmodel", "inference.pdiparams", "report.json", "provenance.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "pb_model" / "report.json").read_text()) == report
    record = json.loads((tmp_path / "pb_model" / "provenance.json").read_text())
    assert record["options"]["layer"] == "layers.py:Bert" and [f["name"] for f in record["sources"]] == ["layers.py"]
    assert record["options"]["inputs"][0] == "input_ids:int64[?,?]" and "paddle" in record["versions"]
    assert mconv("check", "pb_model", "--source", FILE).returncode == 0
    assert mconv("to-serving", "pb_model").returncode == 0
    assert "input_ids" in (tmp_path / "serving_client" / "serving_client_conf.prototxt").read_text()


def test_table_and_prefix(mconv: Run, tmp_path: Path) -> None:
    """A name that ends in .pdmodel is the program's; what the user's code prints is not the result."""
    (tmp_path / "net.py").write_text(
        "import paddle\nprint('loading')\n\ndef f():\n    print('made')\n    return paddle.nn.Linear(4, 2)\n"
    )
    done = mconv("to-static", "net.py:f", "sub/net.pdmodel", "--runtime", "current", "--output-names", "y", timeout=300)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "sub").iterdir()} == {
        "net.pdmodel", "net.pdiparams", "net.report.json", "net.provenance.json",
    }  # fmt: skip
    assert (
        mconv("check", "sub/net").returncode == mconv("check", "sub/net.pdmodel", "--source", "net.py").returncode == 0
    )
    assert "loading" not in done.stdout and "made" in done.stderr
    assert "verification passed" in done.stdout and "max abs" in done.stdout and "[batch, 4]" in done.stdout
    assert "inputs guessed: input:float32[batch,4]" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "message", "hint"),
    [
        ((f"{FILE}:Nowhere", "out"), 3, "has no 'Nowhere'", None),
        ((f"{FILE}:pair", "out"), 3, "makes a tuple", "return the layer alone"),
        ((f"{FILE}:fails", "out"), 3, "RuntimeError: no such luck (layers.py, line", None),
        (("nowhere.py:f", "out"), 3, "no such file", "path/to/file.py:factory"),
        ((f"{FILE}:imports", "out"), 7, "a_package_that_is_not_there", None),
        ((f"{FILE}:Conv", "out", "--arg", "chanels=3"), 2, "chanels", "channels=3"),
        ((f"{FILE}:Named", "out"), 2, "cannot be guessed", "--input 'x:float32[?,?]' --input 'shift:float32[?,?]'"),
        ((f"{FILE}:Bert", "out", "-i", "input_id:int64[?,?]"), 2, "no parameter 'input_id'", "'input_ids'"),
        ((f"{FILE}:Conv", "out", "-i", "image:float32[?,4,?,?]"), 9, "conv (Conv2D)", "correct --input"),
        ((f"{FILE}:Conv", "out", "--weights", "evil.pdparams"), 11, "posix.system", "--trust"),
        (
            (f"{FILE}:Conv", "out", "--weights", "other.pdparams"),
            13,
            "8 missing in the file, 1 unexpected",
            "--no-strict",
        ),
        ((f"{FILE}:Conv", "out", "--weights", "cut.pdparams"), 4, "damaged", None),
        ((f"{FILE}:Conv", "out", "--weights", "none.pdparams"), 3, "none.pdparams", None),
        ((f"{FILE}:Conv", "full"), 6, "exists already", "--force"),
        ((f"{FILE}:Plain", "out.json", "-i", "x:float32[?,4]"), 5, "has no parameters", None),
    ],
)
def test_errors(args: tuple[str, ...], code: int, message: str, hint: str | None, mconv: Run, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> object:
            import os

            return os.system, (f"touch {tmp_path}/marker",)

    (tmp_path / "evil.pdparams").write_bytes(pickle.dumps({"conv.weight": Evil()}))
    (tmp_path / "other.pdparams").write_bytes(pickle.dumps({"w": np.ones(3)}))
    (tmp_path / "cut.pdparams").write_bytes(pickle.dumps({"w": np.ones(3)})[:-9])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    before = sorted(p.name for p in tmp_path.rglob("*"))
    done = mconv("to-static", *args, timeout=120)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
    assert message in lines[0] and lines[0].startswith("error: ")
    assert hint is None or hint in lines[1]
    assert sorted(p.name for p in tmp_path.rglob("*")) == before
    if "other.pdparams" in args:
        assert "parameter: conv.weight, problem: missing in the file" in done.stderr


def test_json_error(mconv: Run) -> None:
    done = mconv("to-static", f"{FILE}:Named", "out", "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["exit_code"] == 2


def test_what_makes_the_layer_is_not_written_over(mconv: Run, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE.read_text())
    done = mconv("to-static", "net.py:Bert", "net.py", *TEXT, "--force")
    assert done.returncode == 2 and "is or holds the input" in done.stderr, done.stderr
    assert (tmp_path / "net.py").read_text() == FILE.read_text()
