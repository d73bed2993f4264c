"""``mconv convert``: the whole chain from every kind of source."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from mconv import api
from mconv.cli.main import run
from mconv.errors import OutputExistsError, RuntimeUnavailableError, UsageError, VerificationError
from mconv.program.files import load_program, locate
from mconv.program.params import ArraySource, TensorSource
from tests.cli.test_json import validate
from tests.golden import case
from tests.managed import require
from tests.onnx.make import FLOAT, mlp, model, node, port
from tests.paddle import fixtures

TORCH = "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self, wide=3):\n        super().__init__()\n\
        self.fc = torch.nn.Linear(8, wide)\n\n    def forward(self, x):\n        return torch.relu(self.fc(x))\n"
PADDLE = (
    TORCH.replace("torch.nn.Module", "paddle.nn.Layer").replace("torch.relu", "paddle.tanh").replace("torch", "paddle")
)
SERVER = ["serving_server_conf.prototxt", "serving_server_conf.stream.prototxt"]
CLIENT = ["serving_client_conf.prototxt", "serving_client_conf.stream.prototxt"]


# the chain ----------------------------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def is_served(out: Path, *more: str) -> None:
    """Both folders and the report are there, nothing else, and the program has the inputs that the report says."""
    assert names(out) == sorted(["report.json", "serving_client", "serving_server", *more])
    assert names(out / "serving_client") == CLIENT
    server = names(out / "serving_server")
    assert set(SERVER) <= set(server) and "provenance.json" in server and len(server) == 5
    report = json.loads((out / "report.json").read_text())
    program = load_program(locate(out / "serving_server"))
    assert [v["name"] for v in report["inputs"]] == [p.name for p in program.feeds]
    assert [v["name"] for v in report["outputs"]] == [p.name for p in program.fetches]
    assert api.check(out / "serving_server").ok


@pytest.mark.runtime
def test_onnx_with_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("paddle-2.3.2")
    model, out = mlp(tmp_path / "m.onnx"), tmp_path / "out"
    options = ["--fetch-alias", "y=scores", "--keep-inference", "--pipeline", "--name", "mlp"]
    assert run(["convert", str(model), str(out), *options]) == 0
    told = capsys.readouterr()
    assert "serving_server/, serving_client/, service/, inference/ from" in told.out
    assert "verification passed: ONNX Runtime" in told.out and "Paddle 2.3.2" in told.out and "total" not in told.out
    is_served(out, "service", "inference")
    assert "web_service.py" in names(out / "service") and "mlp" in (out / "service" / "config.yml").read_text()
    assert names(out / "inference") == ["inference.pdiparams", "inference.pdmodel", "provenance.json", "report.json"]
    report = json.loads((out / "report.json").read_text())
    assert report["source"]["kind"] == "onnx" and report["verification"]["status"] == "passed"
    assert [s["step"] for s in report["steps"]] == ["onnx2paddle", "to-serving"]
    assert report["outputs"][0]["alias"] == "scores" and {"verify", "serving", "total"} <= set(report["seconds"])
    assert json.loads((out / "inference" / "report.json").read_text())["output"]["folder"] == str(out / "inference")
    checked = api.check(out / "serving_server", sources=[model])
    assert checked.ok and checked.command == "convert" and checked.sources == 1
    assert run(["convert", str(model), str(out)]) == OutputExistsError.exit_code
    capsys.readouterr()
    assert run(["convert", str(model), str(out), "--force", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((out / "report.json").read_text())
    is_served(out)


@pytest.mark.runtime
def test_paddle_models_are_proved_each_in_its_own_paddle(tmp_path: Path) -> None:
    require("paddle-2.3.2")
    made = api.convert(case("1.8.5-conv_separate").model, tmp_path / "old", feed_alias={"image": "picture"})
    is_served(tmp_path / "old")
    assert made.source["kind"] == "paddle" and made.verification["status"] == "passed"
    assert made.inputs[0]["alias"] == "picture" and made.verification["paddle"] == "Paddle 2.3.2"
    made = api.convert(fixtures.unpack("3.0", "LeNet", tmp_path / "pir"), tmp_path / "new")
    is_served(tmp_path / "new")
    assert made.source["kind"] == "pir" and made.verification["status"] == "passed"
    assert made.verification["reference"].startswith("Paddle 3") and made.verification["paddle"] == "Paddle 2.3.2"
    assert all(row["ok"] and row["max_abs"] < 1e-3 and row["cosine"] > 0.9999 for row in made.verification["outputs"])


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("framework", "text"),
    [("torch", TORCH), pytest.param("paddle", PADDLE, marks=pytest.mark.slow)],  # tests/dygraph has more of them
)
def test_factories_of_both_frameworks(framework: str, text: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    require("paddle-2.3.2")
    (tmp_path / "net.py").write_text(text)
    out = tmp_path / "out"
    made = api.convert(f"{tmp_path / 'net.py'}:Net", out, inputs=["x:float32[?,8]"], arguments=["wide=5"])
    is_served(out)
    assert made.verification["status"] == "passed" and made.outputs[0]["shape"] == [5]
    assert len({tuple(s["x"]) for s in made.verification["input_sets"]}) == 2


def test_a_service_finds_the_tokenizer_beside_the_source(tmp_path: Path) -> None:
    """Not beside the inference model that lies between."""
    ids = [port(n, TensorProto.INT64, ("batch", "seq")) for n in ("input_ids", "attention_mask")]
    nodes = [node("Gather", "table input_ids", "rows"), node("Cast", "attention_mask", "mask", to=FLOAT),
             node("Unsqueeze", "mask last", "wide"), node("Mul", "rows wide", "y")]  # fmt: skip
    weights = {"table": np.ones((9, 4), np.float32), "last": np.array([-1])}
    onnx.save(model(nodes, ids, [port("y", dims=("batch", "seq", 4))], weights), tmp_path / "m.onnx")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    api.convert(tmp_path / "m.onnx", tmp_path / "out", pipeline={"max_length": 16}, verify=False)
    is_served(tmp_path / "out", "service")
    assert {"text_input.py", "vocab.txt"} <= set(names(tmp_path / "out" / "service"))
    mlp(tmp_path / "plain.onnx")  # whose inputs are no texts, whatever lies beside it
    api.convert(tmp_path / "plain.onnx", tmp_path / "plain", pipeline={}, verify=False)
    assert "tensor_input.py" in names(tmp_path / "plain" / "service")


def bend(params: dict[str, TensorSource]) -> None:
    """Other numbers in the first weight."""
    name, source = next(iter(params.items()))
    params[name] = ArraySource(source.array() + np.float32(1))


def bent_onnx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    from mconv.verbs import onnx2paddle as verb

    original = verb.convert

    def bent(*args: Any, **options: Any) -> Any:
        made = original(*args, **options)
        bend(made.params)
        return made

    monkeypatch.setattr(verb, "convert", bent)
    return mlp(tmp_path / "m.onnx")


def bent_pir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    from mconv.verbs import to_serving as room

    original = room.prepare

    def bent(found: Any, program: Any, params: Any, *rest: Any) -> Any:
        held = dict(params)
        bend(held)
        return original(found, program, list(held.items()), *rest)

    monkeypatch.setattr(room, "prepare", bent)
    return fixtures.unpack("3.0", "LeNet", tmp_path / "m")


@pytest.mark.parametrize(("bent", "program"), [(bent_onnx, "inference.pdmodel"), (bent_pir, "serving_server")])
def test_a_model_that_differs_is_kept_beside(
    bent: Callable[[pytest.MonkeyPatch, Path], Path],
    program: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever the source: the same error, in Python and with --json, and the files where nobody takes them for good."""
    source, kept = bent(monkeypatch, tmp_path), tmp_path / "out.failed-verification"
    there = names(tmp_path)
    with pytest.raises(VerificationError, match="computes something else") as caught:
        api.convert(source, tmp_path / "out", runtime="current")
    assert names(tmp_path) == sorted([*there, kept.name]) and program in names(kept)
    assert caught.value.hint is not None and str(kept) in caught.value.hint and ".mconv-" not in caught.value.hint
    report = json.loads((kept / "report.json").read_text())
    assert report["verification"]["status"] == "failed" and ".mconv-" not in json.dumps(report)
    code = run(["convert", str(source), str(tmp_path / "out"), "--runtime", "current", "--json"])
    assert code == VerificationError.exit_code and names(tmp_path) == sorted([*there, kept.name])
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["exit_code"] == code and document["error"]["hint"] == caught.value.hint
    assert document["verification"]["status"] == "failed"
    rows = [row for row in document["verification"]["outputs"] if not row["ok"]]
    assert rows and document["error"]["rows"] == rows
    assert f"output {rows[0]['name']}" in document["error"]["message"]  # one name in the line and the table
    validate(document, "convert")


@pytest.mark.parametrize("kind", ["onnx", "pir"])
def test_without_a_runtime_it_is_converted_and_said(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One rule for every source: not verified, unless --verify asks for it; then nothing is written."""
    source = mlp(tmp_path / "m.onnx") if kind == "onnx" else fixtures.unpack("3.0", "LeNet", tmp_path / "m")
    monkeypatch.setenv("MCONV_CACHE", str(tmp_path / "nothing"))
    for package in ("paddle", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    made = api.convert(source, tmp_path / "out")
    assert made.verification["status"] == "not verified" and "mconv runtime install" in made.verification["reason"]
    assert f"not verified: {made.verification['reason']}" in made.warnings
    is_served(tmp_path / "out")
    assert (
        run(["convert", str(source), str(tmp_path / "other"), "--verify", "--json"])
        == RuntimeUnavailableError.exit_code
    )
    assert "mconv runtime install" in json.loads(capsys.readouterr().out)["error"]["hint"]
    assert not (tmp_path / "other").exists()


def test_what_a_pytorch_model_keeps_is_an_input_of_the_service(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.register_buffer('cache', torch.zeros(1, 4))\n"
        "    def forward(self, x):\n"
        "        y = x + self.cache\n"
        "        self.cache = y[:1].detach()\n"
        "        return y\n"
    )
    how = {"inputs": ["x:float32[b,4]"], "carry_state": True, "target": "3", "runtime": "current"}
    made = api.convert(f"{tmp_path / 'net.py'}:Net", tmp_path / "out", **how)
    assert [v["name"] for v in made.inputs] == ["x", "cache"] and made.verification["status"] == "passed"


def test_bad_requests_leave_nothing(tmp_path: Path) -> None:
    model, out = mlp(tmp_path / "m.onnx"), tmp_path / "out"
    for options, message in (
        ({"weights": model}, "--weights: .* is an ONNX model, which has no use for it"),
        ({"carry_state": True}, "--carry-state: .* is an ONNX model, which has no use for it"),
        ({"deterministic": True}, "--deterministic: .* is an ONNX model, which has no use for it"),
        ({"arguments": ["a=1"]}, "--arg"),
        ({"task": "fill-mask"}, "--task"),
        ({"target": "4"}, "unknown target"),
        ({"fetch_alias": {"z": "y"}, "verify": False}, "the model has no fetch 'z'"),
        ({"pipeline": {"colour": 1}}, "a service has no option colour"),
        ({"inputs": ["z[1,16]"]}, "z"),
    ):
        with pytest.raises(UsageError, match=message):
            api.convert(model, out, **options)
    with pytest.raises(UsageError, match="--keep-inference"):
        api.convert(case("2.3.2-mlp").model, out, keep_inference=True)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "net.py").write_text(TORCH)
    with pytest.raises(UsageError, match="holds the input"):  # it would be replaced
        api.convert(f"{tmp_path / 'src' / 'net.py'}:Net", tmp_path / "src", force=True)
    assert names(tmp_path / "src") == ["net.py"]
    assert run(["convert", str(model), str(out), "--name", "x"]) == 2  # a service's, without --pipeline
    assert names(tmp_path) == ["m.onnx", "src"]


@pytest.mark.runtime
def test_an_output_of_a_json_has_one_name_everywhere(tmp_path: Path) -> None:
    """In the proof that of the serving folder, not the fetch_name_0 that Paddle gives every output."""
    pytest.importorskip("paddle")
    require("paddle-2.3.2")
    source = fixtures.unpack("3.3", "LeNet", tmp_path / "pir")
    made = api.convert(source, tmp_path / "out", pipeline={}, verify=True)
    (output,) = made.outputs
    assert {row["name"] for row in made.verification["outputs"]} == {output["alias"]}
    assert not output["alias"].startswith("fetch_name_")
    again = api.convert(source, tmp_path / "named", fetch_alias={output["name"]: "logits"}, verify=True)
    assert {row["name"] for row in again.verification["outputs"]} == {"logits"} == {o["alias"] for o in again.outputs}
