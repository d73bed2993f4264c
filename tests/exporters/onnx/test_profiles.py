"""``--for``: opset, fixed sizes, operators to avoid; the tools that can be here load the file and run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import UnsupportedError, UsageError
from mconv.exporters.onnx.profiles import PROFILES, refused
from mconv.options.onnx import PROFILES as NAMES
from tests.golden import case
from tests.paddle import fixtures

ort = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", PROFILES)
def test_opset_and_sizes(name: str, tmp_path: Path) -> None:
    profile = PROFILES[name]
    source = fixtures.unpack("3.3", "LeNet", tmp_path / "source")
    report = api.to_onnx(source, tmp_path / "m.onnx", profile=name, inputs=["image[2,1,28,28]"], verify=False)
    model = onnx.load(str(tmp_path / "m.onnx"))
    assert model.opset_import[0].version == report.target["opset"] == profile.opset
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    assert all(d.HasField("dim_value") for v in values for d in v.type.tensor_type.shape.dim)
    if not profile.fixed:
        api.to_onnx(source, tmp_path / "open.onnx", profile=name, verify=False)
        return
    with pytest.raises(UsageError, match=r"fixed sizes only, and input image is \[\?,1,28,28\]"):
        api.to_onnx(source, tmp_path / "open.onnx", profile=name, verify=False)


def test_bad_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(PROFILES) == set(NAMES)
    model, out = case("2.3.2-mlp").model, tmp_path / "m.onnx"
    for options, match in (
        ({"profile": "tvm"}, "unknown tool"),
        ({"profile": "rknn", "opset": 20}, "11 to 19, the newest that rknn reads"),
        ({"profile": "mnn", "inputs": ["y[2,8]"]}, "no such input"),
        ({"profile": "mnn", "inputs": ["x[2,9]"]}, "the model has"),
        ({"profile": "mnn", "engine": "paddle2onnx"}, "no use for it"),
    ):
        with pytest.raises(UsageError, match=match):
            api.to_onnx(model, out, verify=False, **options)
    assert run(["to-onnx", str(model), str(out), "--for", "rknn", "--no-verify"]) == UsageError.exit_code
    assert "--input" in capsys.readouterr().err and not out.exists()


def _node(op: str, outputs: str = "y") -> Any:
    return onnx.helper.make_node(op, ["x"], outputs.split())


def _in_a_branch(node: Any) -> Any:
    graph = onnx.helper.make_graph([node], "then", [], [onnx.ValueInfoProto(name="y")])
    return onnx.helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph)


@pytest.mark.parametrize(
    ("tool", "node", "named"),
    [
        ("mnn", _node("NonZero"), None),
        ("ncnn", _node("NonZero"), "NonZero"),
        ("rknn", _node("NonMaxSuppression"), "NonMaxSuppression"),
        ("rknn", _node("Relu"), None),
        ("ascend", _node("Loop"), "Loop"),
        ("ascend", _node("NonZero"), None),
        ("tensorrt", _in_a_branch(_node("Compress")), "Compress"),
        ("tensorrt", _in_a_branch(_node("Relu")), None),
        ("tensorrt", _node("MaxPool", "y indices"), "MaxPool"),
        ("tensorrt", _node("MaxPool"), None),
    ],
)
def test_what_a_tool_lacks_is_named(tool: str, node: Any, named: Optional[str]) -> None:
    rows = refused(PROFILES[tool], [node])
    assert {row["operator"] for row in rows} == ({named} if named else set())
    assert all(row["node"] == "y" and row["reason"].startswith(f"{tool}: ") for row in rows)


def test_what_is_not_in_a_list_is_a_warning(tmp_path: Path) -> None:
    """The lists of RKNN and Ascend are of a version; a newer one may have more."""
    from mconv.program.stored import write_model
    from tests.exporters.onnx.checking import program_of

    program, _ = program_of("abs", {"X": np.ones((2, 3), np.float32)}, {"Out": ("float32", 2)}, {}, dynamic=False)
    write_model(program, [], tmp_path)
    for tool, lacks in (("rknn", True), ("ascend", False), ("tensorrt", False)):
        report = api.to_onnx(tmp_path, tmp_path / f"{tool}.onnx", profile=tool, verify=False)
        assert any("Abs not in the operators that it lists" in w for w in report.warnings) == lacks
    known = {n for n, s in ((s.name, s) for s in onnx.defs.get_all_schemas()) if not s.domain}
    assert all(p.listed <= known | {"Scatter"} and set(p.avoid) <= known for p in PROFILES.values())


def test_selections_do_not_go_to_ncnn(tmp_path: Path) -> None:
    from mconv.program.stored import write_model
    from tests.exporters.onnx.checking import program_of

    inputs = {"X": np.ones((2, 3), np.float32), "Mask": np.ones((2, 3), bool)}
    program, _params = program_of("masked_select", inputs, {"Y": ("float32", 1)}, {}, dynamic=False)
    write_model(program, [], tmp_path)
    with pytest.raises(UnsupportedError, match="Compress"):
        api.to_onnx(tmp_path, tmp_path / "m.onnx", profile="ncnn", verify=False)


def _made(name: str, tool: str, folder: Path, shape: tuple[int, ...]) -> tuple[Path, dict[str, np.ndarray], list[Any]]:
    """The model for a tool, inputs, and what ONNX Runtime makes of them."""
    source = fixtures.unpack("3.3", name, folder / "source")
    path = folder / "m.onnx"
    inputs = [f"image[{','.join(map(str, shape))}]"] if PROFILES[tool].fixed else []
    api.to_onnx(source, path, profile=tool, inputs=inputs, verify=False)
    feed = {"image": np.random.default_rng(5).standard_normal(shape).astype(np.float32)}
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return path, feed, session.run(None, feed)


MODELS = [("LeNet", (1, 1, 28, 28)), ("unet", (1, 3, 32, 48))]


def close(wanted: np.ndarray, got: np.ndarray) -> None:
    """The tools have kernels of their own, Winograd's among them."""
    assert wanted.shape == got.shape
    np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_ncnn(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    pnnx, ncnn = pytest.importorskip("pnnx"), pytest.importorskip("ncnn")
    path, feed, wanted = _made(name, "ncnn", tmp_path, shape)
    binary = Path(pnnx.__file__).parent / "pnnx"
    sizes = f"inputshape=[{','.join(map(str, shape))}]"
    subprocess.run(
        [str(binary), path.name, sizes, "fp16=0"], cwd=tmp_path, check=True, capture_output=True, timeout=300
    )
    with ncnn.Net() as net:
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_vulkan_compute"):
            setattr(net.opt, option, False)
        net.load_param(str(tmp_path / "m.ncnn.param"))
        net.load_model(str(tmp_path / "m.ncnn.bin"))
        with net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(feed["image"][0]).clone())
            code, got = extractor.extract("out0")
            assert code == 0
            close(wanted[0][0], np.array(got))  # ncnn has no batch


MNN_MAIN = """
import sys
import numpy as np
import _tools
_tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", sys.argv[1], "--MNNModel", sys.argv[2], "--bizCode", "x"])
import MNN.expr as expr, MNN.nn as nn
x = np.load(sys.argv[3])
net = nn.load_module_from_file(sys.argv[2], ["image"], [sys.argv[4]])
for batch in (1, 2):  # the size that is open
    given = np.concatenate([x] * batch)
    answer = net.forward([expr.const(given.flatten().tolist(), list(given.shape), expr.NCHW)])[0]
    answer = expr.convert(answer, expr.NCHW)
    np.save(f"{sys.argv[5]}{batch}.npy", np.array(answer.read()).reshape(answer.shape))
"""


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_mnn(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """By its native converter: the command of the wheel installs a logger from the network first."""
    pytest.importorskip("MNN")
    path, feed, wanted = _made(name, "mnn", tmp_path, shape)
    np.save(tmp_path / "x.npy", feed["image"])
    output = onnx.load(str(path)).graph.output[0].name
    arguments = [str(path), str(tmp_path / "m.mnn"), str(tmp_path / "x.npy"), output, str(tmp_path / "y")]
    done = subprocess.run([sys.executable, "-c", MNN_MAIN, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for batch in (1, 2):
        close(np.concatenate([wanted[0]] * batch), np.load(tmp_path / f"y{batch}.npy"))


def _lint(path: Path, shape: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("onnx_graphsurgeon")
    pytest.importorskip("polygraphy")
    command = [sys.executable, str(Path(sys.executable).with_name("polygraphy")), "check", "lint", path.name]
    command += ["--input-shapes", f"image:{list(shape)}"]
    env = {**os.environ, "POLYGRAPHY_AUTOINSTALL_DEPS": "0"}  # a test installs nothing
    return subprocess.run(command, cwd=path.parent, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("name", "shape"), MODELS)
def test_tensorrt_by_polygraphys_lint(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """What can be seen of a file without a GPU."""
    path, _feed, _wanted = _made(name, "tensorrt", tmp_path, shape)
    done = _lint(path, shape)
    assert done.returncode == 0 and "PASSED" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_lint_sees_an_operator_that_nobody_has(tmp_path: Path) -> None:
    path, _feed, _wanted = _made("LeNet", "tensorrt", tmp_path, (1, 1, 28, 28))
    model = onnx.load(str(path))
    model.graph.node[-1].op_type = "Nobodys"
    onnx.save(model, str(path))
    assert _lint(path, (1, 1, 28, 28)).returncode != 0
