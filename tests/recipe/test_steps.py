"""Steps of recipes for what the commands do in one go or beside the chain: convert, to-onnx, weights into a layer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.errors import MconvError
from mconv.recipe import api as recipes
from mconv.recipe.api import run
from mconv.serving.shape_ranges import from_paddle
from tests.golden import case
from tests.managed import require
from tests.onnx.make import mlp
from tests.recipe.conftest import Write, states

HERE = {"target": "3", "verification": {"runtime": "current"}}
NETS = """
def theirs(width=4):
    import torch
    torch.manual_seed(width)
    return torch.nn.Sequential(torch.nn.Linear(width, 4), torch.nn.BatchNorm1d(4))

def mine(wide=4):
    from paddle import nn
    return nn.Sequential(nn.Linear(wide, 4), nn.BatchNorm1D(4))
"""


def ran(path: Path, out: Path) -> dict[str, str]:
    """Step → why it ran, or ``cached``."""
    result = recipes.run([path], out=out)
    result.require()
    return {s.name: s.reason if s.status == "done" else s.status for s in result.recipes[0].steps if s.name != "source"}


# convert ------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_convert_is_the_whole_chain(write: Write, tmp_path: Path) -> None:
    """With its proof, a service, the caches of any step; and what comes after finds the served model."""
    pytest.importorskip("paddle")
    fields = {**HERE, "serving": {"fetch_alias": {"y": "scores"}}, "pipeline": True}
    path = write("a", steps=[{"convert": {"keep_inference": True}}, "verify"], **fields)
    result = recipes.run([path], out=tmp_path / "out")
    result.require()
    convert, verify = result.recipes[0].steps
    assert convert.outputs == ["convert"] and all(row["ok"] for row in [*convert.compared, *verify.compared])
    assert len(convert.compared) == len(verify.compared) == 2  # two batch sizes
    made = tmp_path / "out" / "a" / "convert"
    assert {p.name for p in made.iterdir()} == {
        "serving_server",
        "serving_client",
        "service",
        "inference",
        "report.json",
    }
    assert 'alias_name: "scores"' in (made / "serving_client" / "serving_client_conf.prototxt").read_text()
    assert api.check(made / "serving_server", sources=[tmp_path]).ok
    assert ran(path, tmp_path / "out") == {"convert": "cached", "verify": "cached"}
    (made / "service" / "web_service.py").unlink()
    assert "web_service.py is gone" in ran(path, tmp_path / "out")["convert"]
    mlp(tmp_path / "a.onnx", seed=5)
    assert ran(path, tmp_path / "out") == {"convert": "inputs changed", "verify": "inputs changed"}


@pytest.mark.long
def test_convert_of_what_a_factory_makes(write: Write, tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    pytest.importorskip("torch")
    (tmp_path / "nets.py").write_text(NETS)
    source = {"spec": "nets.py:theirs", "arguments": {"width": 3}}
    step = {"convert": {"framework": "torch"}}
    path = write("a", source=source, inputs=["input:float32[batch,3]"], steps=[step], **HERE)
    assert ran(path, tmp_path / "out") == {"convert": "not done yet"}
    assert ran(path, tmp_path / "out") == {"convert": "cached"}
    (tmp_path / "nets.py").write_text(NETS.replace("manual_seed(width)", "manual_seed(7)"))
    assert ran(path, tmp_path / "out") == {"convert": "inputs changed"}


# to-onnx ------------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_to_onnx_lies_beside_the_chain(write: Write, tmp_path: Path) -> None:
    """What follows goes on from the Paddle model; verify compares with the ONNX file where nothing came after."""
    ort = pytest.importorskip("onnxruntime")
    golden = case("2.3.2-mlp")
    fields: dict[str, Any] = {**HERE, "target": "2.3", "source": str(golden.model)}
    path = write("a", steps=[{"to-onnx": {"opset": 15}}, "verify", "to-serving"], **fields)
    result = recipes.run([path], out=tmp_path / "out")
    result.require()
    to_onnx, verify, serving = result.recipes[0].steps
    folder = tmp_path / "out" / "a"
    assert to_onnx.outputs == [f"to-onnx/model.{end}" for end in ("onnx", "report.json", "provenance.json")]
    assert all(row["ok"] for row in [*to_onnx.compared, *verify.compared]) and to_onnx.compared
    assert verify.proof is not None and "ONNX Runtime" in verify.proof["b"] and serving.status == "done"
    assert json.loads((folder / "to-onnx" / "model.report.json").read_text())["target"]["opset"] == 15
    session = ort.InferenceSession(str(folder / "to-onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
    for wanted, got in zip(golden.outputs, session.run(None, golden.inputs), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)
    assert set(ran(path, tmp_path / "out").values()) == {"cached"}
    (folder / "to-onnx" / "model.onnx").write_bytes(b"")
    assert ran(path, tmp_path / "out") == {
        "to-onnx": "its output to-onnx/model.onnx was changed", "verify": "cached", "to-serving": "cached",
    }  # fmt: skip
    path = write("a", steps=[{"to-onnx": {"opset": 14}}, "verify", "to-serving"], **fields)
    assert ran(path, tmp_path / "out") == {
        "to-onnx": "options changed", "verify": "inputs changed", "to-serving": "cached",
    }  # fmt: skip


# weights into a layer -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_weights_into_a_layer(write: Write, tmp_path: Path) -> None:
    """Proved against PyTorch; the rules, and what they extend, are part of the step."""
    pytest.importorskip("paddle")
    pytest.importorskip("torch")
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "layers.py").write_text(NETS)
    (tmp_path / "rules.yaml").write_text("extends: more.yaml\n")
    (tmp_path / "more.yaml").write_text("description: nothing\n")
    fields: dict[str, Any] = {
        **HERE, "source": {"spec": "nets.py:theirs", "arguments": {"width": 3}}, "inputs": ["input:float32[batch,3]"],
    }  # fmt: skip
    step = {"into": "layers.py:mine", "into_arguments": {"wide": 3}, "rules": ["rules.yaml", "torch-nn"]}
    path = write("a", steps=[{"torch2paddle": step}, "to-serving"], **fields)
    result = recipes.run([path], out=tmp_path / "out")
    result.require()
    first = result.recipes[0].steps[0]
    assert first.proof is not None and "PyTorch" in first.proof["a"] and all(row["ok"] for row in first.compared)
    report = json.loads((tmp_path / "out" / "a" / "torch2paddle" / "report.json").read_text())
    assert report["transplant"]["matched"] == 6 and report["transplant"]["rules"][0].endswith("rules.yaml")
    assert set(ran(path, tmp_path / "out").values()) == {"cached"}
    (tmp_path / "more.yaml").write_text("description: nothing, said otherwise\n")
    assert ran(path, tmp_path / "out")["torch2paddle"] == "inputs changed"


def test_rules_at_an_address(write: Write, tmp_path: Path) -> None:
    """Fetched by their pin, like a source; without one, the step's line says so."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    rules = b"names: {a: [b]\n"  # no YAML: nothing is run
    memory.pipe("/rules/mine.yaml", rules)
    pin = hashlib.sha256(rules).hexdigest()
    (tmp_path / "nets.py").write_text(NETS)
    for entry, message in (
        ({"path": "memory://rules/mine.yaml", "sha256": pin}, "no YAML"),
        ({"path": "memory://rules/mine.yaml", "sha256": "0" * 64}, "the recipe says 0000"),
        ("memory://rules/mine.yaml", "needs its sha256"),
        ("gone.yaml", "gone.yaml: there is no such file"),
    ):
        step = {"torch2paddle": {"into": "nets.py:mine", "rules": entry}}
        path = write("a", source={"spec": "nets.py:theirs"}, steps=[step])
        result = recipes.run([path], out=tmp_path / "out")
        failed = next(s for s in result.recipes[0].steps if s.status == "failed")
        assert failed.error is not None and message in failed.error["message"] and failed.line == 2
        assert message == "no YAML" or "a.yaml:2: torch2paddle: " in failed.error["message"]
    assert (tmp_path / "sources" / pin / "mine.yaml").read_bytes() == rules


# what does not fit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "fields", "message"),
    [
        (["onnx2paddle", "convert"], {}, "a.yaml:3: convert: comes after onnx2paddle"),
        (["convert", "to-serving"], {}, "a.yaml:3: to-serving: comes after convert, which has done it"),
        (["convert", "downgrade"], {}, "a.yaml:3: downgrade: comes after convert"),
        (
            ["convert"],
            {"serving": {"server": "x", "fetch_order": "sorted"}},
            "serving.server, serving.fetch_order: it has",
        ),
        (["to-onnx"], {"source": {"spec": "nets.py:mine"}}, "the source is a spec"),
        (["to-onnx", "onnx2paddle"], {}, "a.yaml:3: onnx2paddle: comes after to-onnx"),
        ([{"torch2paddle": {"into": "a:b", "via": "onnx", "strict": True}}], {}, "via, strict: not with into"),
    ],
)
def test_steps_in_the_wrong_place(
    steps: list[Any], fields: dict[str, Any], message: str, write: Write, tmp_path: Path
) -> None:
    path = write("a", steps=steps, **fields)
    result = recipes.run([path], out=tmp_path / "out")
    errors = [s.error for s in result.recipes[0].steps if s.error]
    assert len(errors) == 1 and message in errors[0]["message"] and errors[0]["exit_code"] == 2
    assert not [p for p in (tmp_path / "out" / "a").iterdir() if p.name != ".mconv"]


@pytest.mark.parametrize(
    ("step", "message", "hint"),
    [
        ({"torch2paddle": {"rules": "x"}}, "steps[0].torch2paddle.rules: only with into", "Put the weights"),
        ({"torch2paddle": {"into": "a:b", "rules": 5}}, "rules: a number, where string or object or array", "a set of"),
        ({"torch2paddle": {"into": "a:b", "rules": {"sha256": "0" * 64}}}, "'path' is missing", ""),
        (
            {"torch2paddle": {"into": "a:b", "rules": [{"path": "x", "pin": "y"}]}},
            "rules[0].pin: no such field",
            "path",
        ),
        ({"to-onnx": {"opset": "new"}}, "opset: a text, where integer is wanted", "The version of ONNX's"),
        ({"to-onnx": {"opset": 3}}, "steps[0].to-onnx.opset: 3 is less than", ""),
        ({"convert": {"framework": "jax"}}, "framework: 'jax' is none of them", "torch, paddle"),
        ({"convert": {"pipeline": True}}, "pipeline: no such field", "allowed: framework, task"),
    ],
)
def test_options_are_checked(step: dict[str, Any], message: str, hint: str, write: Write, tmp_path: Path) -> None:
    with pytest.raises(MconvError) as caught:
        recipes.run([write("a", steps=[step])], out=tmp_path / "out")
    assert message in caught.value.message and "a.yaml:" in caught.value.message and hint in (caught.value.hint or "")


def test_a_failure_inside_tells_the_step(write: Write, tmp_path: Path) -> None:
    result = recipes.run([write("a", steps=["to-onnx"])], out=tmp_path / "out")  # an ONNX file is no Paddle model
    assert states(result) == ["to-onnx failed"]
    step = result.recipes[0].steps[0]
    assert step.error is not None and step.error["kind"] == "NotAModelError" and step.line == 2


# half and int8 --------------------------------------------------------------------------------------------------------


@pytest.mark.runtime
@pytest.mark.long
def test_a_quantised_model_is_served(write: Write, tmp_path: Path) -> None:
    """The data hold no labels here; what they prove is in the result."""
    require("paddle-2.3.2")
    np.savez(tmp_path / "real.npz", x=np.random.default_rng(3).normal(size=(64, 16)).astype(np.float32))
    steps = ["onnx2paddle", {"quantize": {"method": "minmax"}}, "to-serving"]
    path = write("a", steps=steps, target="2.3", verification={"runtime": "paddle-2.3.2", "data": "real.npz"})
    result = run([path], out=tmp_path / "out")
    result.require()
    quantized = result.recipes[0].steps[1]
    assert quantized.name == "quantize" and quantized.compared and all(row["ok"] for row in quantized.compared)
    served = api.inspect(tmp_path / "out" / "a" / "serving_server")
    assert any(note.startswith("quantised to 8 bits") for note in served.notes)


def test_data_are_asked_for(write: Write, tmp_path: Path) -> None:
    path = write("a", steps=["onnx2paddle", "quantize"])
    with pytest.raises(MconvError, match="needs real inputs to calibrate with"):
        run([path], out=tmp_path / "out").require()


@pytest.mark.parametrize("then", ["verify", "serve-check"])
def test_a_halved_model_is_not_run_on_a_cpu(then: str, write: Write, tmp_path: Path) -> None:
    path = write("a", steps=[{"onnx2paddle": {"half": "fp16", "verify": False}}, "to-serving", then])
    with pytest.raises(MconvError, match="the model is for GPUs by now"):
        run([path], out=tmp_path / "out").require()


# shapes for TensorRT --------------------------------------------------------------------------------------------------

SIZES = {"minimum": ["x[1,16]"], "optimum": ["x[2,16]"], "maximum": ["x[8,16]"]}
ON_TENSORRT: dict[str, Any] = {
    "target": "2.3",
    "verification": {"runtime": "paddle-2.3.2"},
    "pipeline": {"service": "tensor", "device_type": 2},
}


@pytest.mark.runtime
def test_a_service_takes_the_shapes_that_were_found(write: Write, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    steps: list[Any] = [{"onnx2paddle": {"verify": False}}, {"shapes": SIZES}, "to-serving"]
    path = write("a", steps=steps, **ON_TENSORRT)
    assert set(ran(path, tmp_path / "out").values()) == {"not done yet"}
    made = tmp_path / "out" / "a"
    (found,) = json.loads((made / "service" / "dynamic_shapes.json").read_text())
    file = from_paddle(made / "shapes" / "shape_range_info.pbtxt")
    assert {name: r.max for name, r in file.shapes.items()} == {
        n: tuple(s) for n, s in found["max_input_shape"].items()
    }
    assert file.shapes["x"].max == (8, 16) and len(file.shapes) > 2  # those inside, too
    assert set(ran(path, tmp_path / "out").values()) == {"cached"}
    steps[1] = {"shapes": {**SIZES, "maximum": ["x[9,16]"]}}
    again = ran(write("a", steps=steps, **ON_TENSORRT), tmp_path / "out")
    assert again.pop("onnx2paddle") == "cached" and "cached" not in again.values()
    steps[1] = {"shapes": {point: [*texts, texts[0].replace("[", "[1")] for point, texts in SIZES.items()}}
    ran(write("a", steps=steps, **ON_TENSORRT), tmp_path / "out")
    assert len(json.loads((made / "service" / "dynamic_shapes.json").read_text())) == 2  # an engine for each


@pytest.mark.runtime
def test_shapes_of_real_inputs(write: Write, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    np.savez(tmp_path / "x.npz", **{f"{rows}/x": np.ones((rows, 16), np.float32) for rows in (1, 3)})
    fields = {**ON_TENSORRT, "verification": {"runtime": "paddle-2.3.2", "data": "x.npz"}}
    path = write("a", steps=[{"onnx2paddle": {"verify": False}}, {"shapes": {"trt_inputs": True}}], **fields)
    ran(path, tmp_path / "out")
    file = from_paddle(tmp_path / "out" / "a" / "shapes" / "shape_range_info.pbtxt")
    assert {name: (r.min, r.max) for name, r in file.shapes.items()} == {"x": ((1, 16), (3, 16))}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["onnx2paddle", "shapes"], "needs minimum, optimum and maximum, or real inputs"),
        ([{"onnx2paddle": {"half": "fp16"}}, {"shapes": SIZES}], "the model is for GPUs by now"),
        (["onnx2paddle", {"shapes": SIZES}, {"shapes": SIZES}], "is there twice"),
        (["onnx2paddle", {"shapes": SIZES}, {"edit": {"fold": True}}, "to-serving"], "edit came after"),
        (["onnx2paddle", {"shapes": {"form": "python"}}], "form"),
    ],
)
def test_shapes_that_nothing_can_take(steps: list[Any], said: str, write: Write, tmp_path: Path) -> None:
    with pytest.raises(MconvError, match=said):
        run([write("a", steps=steps, **ON_TENSORRT)], out=tmp_path / "out").require()
