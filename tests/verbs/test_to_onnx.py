"""``mconv to-onnx``: every era, by both engines, judged by the golden outputs and by both runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mconv import api
from mconv.artifacts import provenance
from mconv.artifacts.hashing import hash_file
from mconv.cli.main import run
from mconv.errors import (
    MissingDependencyError,
    NotAModelError,
    OutputExistsError,
    RuntimeFailedError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from mconv.paddle import load
from mconv.paddle.modern import modernize
from mconv.program.dtypes import AttrType, DType
from mconv.program.files import load_program, locate
from mconv.program.program import Op, Program, Var
from mconv.runtimes import paddle2onnx
from mconv.verbs import by_paddle2onnx as verb
from tests.golden import Case, case
from tests.managed import require, run_in
from tests.paddle import fixtures

ort = pytest.importorskip("onnxruntime")


@pytest.fixture
def other() -> None:
    """The other engine, where it is installed."""
    require(paddle2onnx.RUNTIME)


@pytest.fixture(params=["mconv", "paddle2onnx"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "paddle2onnx":
        request.getfixturevalue("other")
    return request.param


def test_golden_models(golden: Case, tmp_path: Path, engine: str) -> None:
    """The outputs that the real Paddle of that era gave, under the model's own names and in its order."""
    path = tmp_path / "m.onnx"
    report = api.to_onnx(golden.model, path, verify=False, engine=engine)
    program = load_program(locate(golden.model))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == [p.name for p in program.feeds]
    assert [o.name for o in session.get_outputs()] == [p.name for p in program.fetches]
    for port, found in zip(program.feeds, session.get_inputs()):
        assert [d if isinstance(d, int) else -1 for d in found.shape] == list(port.shape)
    for wanted, got in zip(golden.outputs, session.run(None, golden.inputs), strict=True):
        assert got.dtype == wanted.dtype and got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.provenance.json", "m.report.json"]
    assert json.loads((tmp_path / "m.report.json").read_text()) == report.to_dict()
    assert report.target["opset"] == 13 and report.verification is not None
    assert report.verification["status"] == "not verified"
    assert api.check(tmp_path / "m").ok


def test_paddle_3_and_two_sizes(tmp_path: Path, engine: str) -> None:
    """A ``.json``, in Paddle and in ONNX Runtime at two batch sizes and lengths."""
    source = fixtures.unpack("3.0", "bert", tmp_path / "source")
    report = api.to_onnx(source, tmp_path / "m.onnx", opset=17, verify=True, engine=engine)
    found = report.verification
    assert found is not None and found["status"] == "passed" and len(found["input_sets"]) == 2
    assert found["input_sets"][0] != found["input_sets"][1] and report.target["opset"] == 17
    assert found["reference"].startswith("Paddle 3") and found["runtime"].startswith("ONNX Runtime")
    assert all(row["ok"] and row["max_abs"] <= 1e-5 for row in found["outputs"])
    dims = [d for port in report.inputs for d in port["shape"]]
    assert len(dims) == 4 and all(isinstance(d, str) for d in dims)  # open, as in the source


@pytest.mark.usefixtures("other")
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, out = case("2.3.2-mlp").model, tmp_path / "m.onnx"
    arguments = ["to-onnx", str(model), str(out), "--runtime", "current", "--engine", "paddle2onnx"]
    assert run(arguments) == 0
    told = capsys.readouterr()
    assert "ONNX nodes, opset 13" in told.out and "verification passed" in told.out and told.err == ""
    assert run(arguments) == OutputExistsError.exit_code
    before = out.read_bytes()
    capsys.readouterr()
    assert run([*arguments, "--force", "--json", "-v"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["verification"]["status"] == "passed"
    assert "[Paddle2ONNX]" in told.err and "\x1b" not in told.err
    assert out.read_bytes() == before  # the same input gives the same bytes


def unsupported(tmp_path: Path) -> Path:
    """A ``.json`` with operators that ONNX has no word for."""
    source = fixtures.unpack("3.0", "LeNet", tmp_path / "source")
    data = json.loads(source.read_text())
    relus = [op for op in data["program"]["regions"][0]["blocks"][0]["ops"] if op["#"] == "1.relu"]
    assert len(relus) >= 2
    for op, name in zip(relus, ("1.digamma", "1.lgamma")):
        op["#"] = name
    source.write_text(json.dumps(data))
    return source


@pytest.mark.usefixtures("other")
def test_what_paddle2onnx_cannot_say_is_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It aborts the process without a name."""
    source = unsupported(tmp_path)
    with pytest.raises(UnsupportedError, match="no mapper for digamma, lgamma") as caught:
        api.to_onnx(source, tmp_path / "m.onnx", engine="paddle2onnx")
    assert [(row["operator"], row["count"]) for row in caught.value.rows] == [("digamma", 1), ("lgamma", 1)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


NAMES = """
import paddle, paddle2onnx.paddle2onnx_cpp2py_export as core
print(*core.get_all_supported_operators_pir())
print(*(n for n in dir(paddle._C_ops) if not n.startswith("_")))
"""


def test_paddle2onnx_names_are_paddles() -> None:
    """Every operator that it has a mapper for is found under its name in PIR, so that none is called unsupported."""
    done = run_in(require(paddle2onnx.RUNTIME), "-c", NAMES)
    assert done.returncode == 0, done.stderr
    known, pir = (set(names.split()) for names in done.stdout.splitlines()[-2:])
    reached = {n for n in known if n in pir} | {paddle2onnx._CALLED[n] for n in paddle2onnx._CALLED if n in pir}
    # no operators of Paddle's dialect, and one that is the in-place form of another
    assert known - reached == {"assign_out", "builtin_slice", "select_input"}
    assert set(paddle2onnx._CALLED.values()) <= known
    assert paddle2onnx._mapped("add_", known) and not paddle2onnx._mapped("digamma", known)


@pytest.mark.usefixtures("other")
def test_a_model_that_differs_is_kept_under_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = verb._finish

    def spoiled(raw: Path, made: Path, *rest: object) -> object:
        import onnx

        described = original(raw, made, *rest)  # type: ignore[arg-type]
        model = onnx.load(str(made))
        bias = next(t for t in model.graph.initializer if len(t.dims) == 1 and t.data_type == 1)
        bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + 0.5).astype(np.float32).tobytes()
        onnx.save(model, str(made))
        return described

    monkeypatch.setattr(verb, "_finish", spoiled)
    with pytest.raises(VerificationError, match="computes something else") as caught:
        api.to_onnx(case("2.3.2-conv").model, tmp_path / "m.onnx", runtime="current", engine="paddle2onnx")
    assert caught.value.rows and not caught.value.rows[0]["ok"]
    (kept,) = tmp_path.iterdir()
    assert kept.name == "m.failed-verification"
    assert {p.name for p in kept.iterdir()} == {"m.onnx", "report.json", "m.provenance.json"}
    assert json.loads((kept / "report.json").read_text())["status"] == "failed verification"


@pytest.mark.usefixtures("other")
def test_a_model_that_onnx_runtime_does_not_load_is_no_success(tmp_path: Path) -> None:
    """paddle2onnx 2.1 declares the condition of a loop with another rank than it computes."""
    source = fixtures.unpack("3.3", "branches", tmp_path / "source")
    with pytest.raises(RuntimeFailedError, match="bad model: ONNX Runtime .* cannot load m.onnx"):
        api.to_onnx(source, tmp_path / "m.onnx", engine="paddle2onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.failed-verification", "source"]


def test_bad_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = case("2.3.2-mlp").model, tmp_path / "m.onnx"
    for options, match in (
        ({"opset": 10}, "--opset 10: mconv writes 11 to"),
        ({"opset": 99}, "--opset 99"),
        ({"opset": 21, "engine": "paddle2onnx"}, "7 to 20"),
        ({"engine": "x2paddle"}, "unknown engine"),
        ({"engine": "paddle2onnx", "plugins": ["x.py"]}, "no use for it"),
        ({"tolerance": 0.0}, "must be above 0"),
        ({"verify": False, "inputs": ["x[2,8]"]}, "not to"),
        ({"runtime": "current", "inputs": ["y[2,8]"]}, "y"),
    ):
        with pytest.raises(UsageError, match=match):
            api.to_onnx(model, out, **options)
    with pytest.raises(NotAModelError, match="no such file"):
        api.to_onnx(tmp_path / "nothing", out)
    find = paddle2onnx.importlib.util.find_spec
    monkeypatch.setattr(
        paddle2onnx.importlib.util, "find_spec", lambda name: None if name == "paddle2onnx" else find(name)
    )
    monkeypatch.setenv("MCONV_CACHE", str(tmp_path / "empty"))
    with pytest.raises(MissingDependencyError, match="needs paddle2onnx") as caught:
        api.to_onnx(model, out, engine="paddle2onnx")
    assert f"`mconv runtime install {paddle2onnx.RUNTIME}`" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("other")
def test_a_conversion_without_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailedError, match="did not finish within"):
        api.to_onnx(case("2.3.2-mlp").model, tmp_path / "m.onnx", timeout=0.05, engine="paddle2onnx")
    assert list(tmp_path.iterdir()) == []


def product(columns: int, **scale: float) -> Program:
    program = Program()
    for name, shape in (("x", (-1, -1, 8)), ("w", (8, 4)), ("y", (-1, -1, 4))):
        program.main.add_var(Var.tensor(name, DType.FP32, shape, persistable=name == "w"))
    attrs = [("x_num_col_dims", AttrType.INT, columns), *((n, AttrType.FLOAT, v) for n, v in scale.items())]
    program.main.ops.append(Op.make("mul", {"X": ["x"], "Y": ["w"]}, {"Out": ["y"]}, attrs))
    return program


def test_a_product_over_the_last_axis_is_a_matmul() -> None:
    program = product(2)
    assert modernize(program) == {"mul": 1}
    (op,) = program.main.ops
    assert (op.type, op.input("X"), op.input("Y"), op.output("Out")) == ("matmul_v2", ["x"], ["w"], ["y"])
    for other in (product(1), product(2, scale_x=0.5)):  # it flattens, it is quantized
        assert modernize(other) == {} and other.main.ops[0].type == "mul"


@pytest.mark.parametrize("name", ["2.3.2-mlp", "1.8.5-mlp_separate", "1.8.5-mlp_custom"])
def test_the_weights_are_read_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied is not read again for the record, which is right nevertheless."""
    hashed: list[str] = []
    monkeypatch.setattr(
        provenance, "hash_file", lambda path, *more, **options: hashed.append(Path(path).name) or hash_file(path, *more, **options)
    )  # fmt: skip
    model = case(name).model
    api.to_onnx(model, tmp_path / "m.onnx", verify=False)
    params = locate(model).params
    assert "m.onnx" not in hashed and (params is None or params.name not in hashed) and hashed
    monkeypatch.undo()
    assert api.check(tmp_path / "m").ok


def test_a_json_is_translated_for_its_own_paddle_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What older ones make of it is for ``inspect``: a third of the time that BERT took without its weights."""
    source = fixtures.unpack("3.0", "LeNet", tmp_path / "source")
    asked: list[str] = []
    monkeypatch.setattr(load, "obstacles", lambda program, target: asked.append(target))
    assert api.inspect(source).targets and asked
    asked.clear()
    api.to_onnx(source, tmp_path / "m.onnx", verify=False)
    assert asked == []
