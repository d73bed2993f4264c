"""mconv inspect: what it says of models of every kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mconv import api
from mconv.errors import MconvError, NotAModelError
from mconv.program import files
from mconv.serving import configure
from tests import newer
from tests.cli.conftest import Run, mconv  # noqa: F401 - a fixture
from tests.golden import Case, case


def test_golden_models(golden: Case) -> None:
    report = api.inspect(golden.model)
    program = files.load_program(files.locate(golden.model))
    assert report.kind == "paddle" and report.saved_by == golden.version and not report.serving
    assert [t.name for t in report.inputs] == golden.call["feed"]
    assert [t.name for t in report.outputs] == golden.call["fetch"]
    for tensor, array in zip(report.inputs, golden.inputs.values()):
        assert tensor.dtype == array.dtype.name and len(tensor.shape or []) == array.ndim
    assert report.parameters == len(program.parameters)
    assert sum(report.operators.values()) == len(program.main.ops)
    stored = sum(p.stat().st_size for p in golden.model.iterdir())
    assert 0 < sum(report.parameter_bytes.values()) < stored
    assert sum(f.bytes for f in report.files) == stored
    loads = {t.target: t.loads for t in report.targets}
    assert loads["2.3"] and loads["2.6"] and loads["3"]


def test_what_1_8_cannot_load_and_why(tmp_path: Path) -> None:
    report = api.inspect(newer.written(tmp_path)).targets[0]
    assert report.target == "1.8" and not report.loads and report.convertible is False
    assert any(f"{newer.LACKED} (1×)" in reason for reason in report.reasons)
    assert f"{newer.LACKED}: no such operator" in (report.obstacle or "")


def test_what_mconv_can_bring_to_1_8() -> None:
    report = api.inspect(case("2.3.2-bert").model).targets[0]
    assert report.target == "1.8" and not report.loads and report.convertible is True
    assert any("matmul_v2 (17×)" in reason for reason in report.reasons)


def test_a_serving_folder_shows_its_aliases(tmp_path: Path) -> None:
    api.to_serving(case("2.3.2-multi").model, out=tmp_path, feed_alias={"x": "features"})
    for folder in ("serving_server", "serving_client"):
        report = api.inspect(tmp_path / folder)
        assert report.serving and report.inputs[0].alias == "features"
        assert [t.alias for t in report.outputs] == case("2.3.2-multi").call["fetch"]


def test_a_configuration_that_does_not_fit_the_program_is_told(tmp_path: Path) -> None:
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path)
    other = case("2.3.2-conv").server / configure.SERVER_TEXT
    shutil.copy(other, tmp_path / "serving_server" / configure.SERVER_TEXT)
    notes = api.inspect(tmp_path / "serving_server").notes
    assert any("does not name the input 'x'" in n for n in notes) and any("'image'" in n for n in notes)
    (tmp_path / "serving_server" / configure.SERVER_TEXT).write_bytes(b"feed_var {")
    assert any("damaged" in n for n in api.inspect(tmp_path / "serving_server").notes)


def test_what_is_wrong_is_a_warning_and_what_is_so_a_note(mconv: Run, tmp_path: Path) -> None:  # noqa: F811
    api.to_serving(case("2.3.2-mlp").model, out=tmp_path)
    shutil.copy(case("2.3.2-conv").server / configure.SERVER_TEXT, tmp_path / "serving_server" / configure.SERVER_TEXT)
    done = mconv("inspect", tmp_path / "serving_server")
    assert (
        "warning: the serving configuration does not name the input 'x'" in done.stderr and "note:" not in done.stdout
    )
    done = mconv("inspect", onnx_file(tmp_path))
    assert "note: no Paddle model: `mconv onnx2paddle` converts it" in done.stdout and "warning:" not in done.stderr


def onnx_file(folder: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="me")
    onnx.save(model, str(folder / "m.onnx"))
    return folder / "m.onnx"


def test_an_onnx_file(tmp_path: Path) -> None:
    report = api.inspect(onnx_file(tmp_path), text=True, variables=True)
    assert report.kind == "onnx" and report.opsets == {"ai.onnx": 17} and report.saved_by == "me"
    assert report.operators == {"MatMul": 1, "Relu": 1}
    assert (report.inputs[0].name, report.inputs[0].dtype, report.inputs[0].shape) == ("x", "float32", ["batch", 4])
    assert report.parameters == 1 and report.parameter_bytes == {"float32": 32}
    assert report.text is not None and "Relu" in report.text and report.targets == []
    assert report.variables is not None and {"w", "x", "y"} == {v.name for v in report.variables}


PIR = {
    "base_code": {"magic": "pir", "trainable": False, "version": 4},
    "program": {"regions": [{"#": "region_0", "blocks": [{"#": "block_0", "args": [], "ops": []}]}]},
}


def test_a_pir_program(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps(PIR))
    report = api.inspect(tmp_path)
    assert report.kind == "pir" and report.saved_by == "3.3"
    assert [t.target for t in report.targets if t.loads] == ["3"]


def test_text_and_variables() -> None:
    report = api.inspect(case("2.3.2-mlp").model, text=True, variables=True)
    assert report.text is not None and "matmul_v2(X=[x]" in report.text
    assert report.variables is not None and sum(v.stored for v in report.variables) == report.parameters


def test_what_is_no_model(tmp_path: Path) -> None:
    for name in ("a.pdparams", "b.txt"):
        (tmp_path / name).write_bytes(b"\x80\x04hello")
        with pytest.raises(NotAModelError):
            api.inspect(tmp_path / name)
    (tmp_path / "c.onnx").write_bytes(b"not onnx at all")
    with pytest.raises(MconvError):
        api.inspect(tmp_path / "c.onnx")


def test_the_command(mconv: Run, tmp_path: Path) -> None:  # noqa: F811
    done = mconv("inspect", case("2.3.2-bert").model)
    assert done.returncode == 0
    for text in ("input_ids", "[?, ?]", "matmul_v2 ×17", "1.8      no", "2.3      yes"):
        assert text in done.stdout, text
    document = json.loads(mconv("inspect", case("2.3.2-bert").model, "--json", "--vars").stdout)
    assert document["operators"]["matmul_v2"] == 17 and document["variables"] and document["text"] is None
    assert {t["target"]: t["loads"] for t in document["targets"]}["1.8"] is False
    assert "layer_norm" in mconv("inspect", case("2.3.2-bert").model, "--ops").stdout
    assert mconv("inspect", case("2.3.2-bert").model, "--text").stdout.startswith("block 0")
    assert mconv("inspect", onnx_file(tmp_path)).returncode == 0
