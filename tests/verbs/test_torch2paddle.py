"""The whole conversion of PyTorch models: forms, inputs, outputs, routes, reports, proofs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.artifacts.provenance_check import check
from mconv.cli.main import run
from mconv.errors import (
    NotAModelError,
    OutputExistsError,
    RuntimeFailedError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from mconv.program.files import load_program, locate
from mconv.torch.noise import noise
from tests.managed import require
from tests.torch.sources.test_forms import Form, write

torch = pytest.importorskip("torch")
from tests.torch import nets  # noqa: E402

NETS = Path(nets.__file__)
NOW: dict[str, Any] = {"target": "3", "runtime": "current"}
DOCS = Path(__file__).parents[2] / "docs" / "report.md"
OTHER = {Form.FACTORY: f"{NETS}:Mlp", Form.SAFETENSORS: f"{NETS}:Mlp", Form.SAVED: f"{NETS}:Mlp"}


def proved(report: Any, sets: int = 2, status: str = "passed") -> None:
    proof = report.verification
    assert proof is not None and proof["status"] == status, proof
    assert len(proof["input_sets"]) == sets and proof["outputs"]
    assert all(row["ok"] and row["max_abs"] < 1e-5 for row in proof["outputs"])
    for name in proof["input_sets"][0]:  # two batch sizes, two lengths
        assert sets == 1 or len({tuple(s[name]) for s in proof["input_sets"]}) == sets


# forms --------------------------------------------------------------------------------------------------------------


@pytest.mark.runtime
@pytest.mark.parametrize(
    "form",
    [Form.EXPORTED, Form.SCRIPT, Form.FACTORY, Form.SAVED, Form.SAFETENSORS, Form.HUGGING_FACE],
    ids=lambda f: f.name,
)
def test_every_form_runs_in_paddle_serving_s_paddle(form: Form, tmp_path: Path) -> None:
    require("paddle-2.3.2")
    options: dict[str, Any] = {}
    model: Any = OTHER.get(form)
    if model is None:
        model = write(form, tmp_path / ("net.pt2" if form is Form.EXPORTED else "net"))
    elif form is not Form.FACTORY:
        options["weights"] = write(form, tmp_path / "weights")
    report = api.torch2paddle(model, tmp_path / "out", **options)
    proved(report)
    assert report.verification["runtime"] == "paddle-2.3.2" and report.source["via"] == "export"  # type: ignore[index]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "inference.pdiparams", "inference.pdmodel", "provenance.json", "report.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report.to_dict()
    assert check(tmp_path / "out").ok


class Sizes(torch.nn.Module):
    """What it gives has its inputs' sizes, a constant one, and some that are computed."""

    def forward(self, x: torch.Tensor) -> Any:
        return x.transpose(0, 1) * 2, torch.cat([x, x], 1), x.sum(0), x.mean()


def test_open_sizes_of_outputs_have_the_names_of_the_inputs(tmp_path: Path) -> None:
    report = api.torch2paddle(Sizes(), tmp_path / "out", inputs=["x:float32[batch,length,4]"], **NOW)
    assert [o["shape"] for o in report.outputs] == [["length", "batch", 4], ["batch", None, 4], ["length", 4], []]
    proved(report)
    report = api.torch2paddle(Sizes(), tmp_path / "unnamed", inputs=["x:float32[batch,?,4]"], **NOW)
    assert [o["shape"] for o in report.outputs] == [[None, "batch", 4], ["batch", None, 4], [None, 4], []]


def test_a_live_module(tmp_path: Path) -> None:
    net = nets.Convolutional()
    report = api.torch2paddle(net, tmp_path / "out", **NOW)
    proved(report)
    first, second = (s["image"] for s in report.verification["input_sets"])  # type: ignore[index]
    assert first[2] != first[3] and second[2] != second[3]  # not square: a height taken for a width shows
    program = load_program(locate(tmp_path / "out"))
    assert [(p.name, list(p.shape)) for p in program.feeds] == [("image", [-1, 3, -1, -1])]
    assert not net.training


@pytest.mark.parametrize(
    ("model", "options", "error", "said"),
    [
        ("tests.torch.nets:Mlp", {"via": "magic"}, UsageError, "--via magic"),
        ("tests.torch.nets:Mlp", {"engine": "magic"}, UsageError, "unknown engine"),
        ("tests.torch.nets:Mlp", {"engine": "x2paddle", "via": "export"}, UsageError, "X2Paddle reads ONNX"),
        ("tests.torch.nets:Mlp", {"verify": False, "runtime": "current"}, UsageError, "--no-verify"),
        ("tests.torch.nets:Mlp", {"outputs": ["lodgings"]}, UsageError, "its outputs are logits, hidden"),
        ("tests.torch.nets:Mlp", {"inputs": ["y:float32[?,6]"]}, UsageError, "its parameters are x"),
        ("tests.torch.nets:Mlp", {"inputs": ["x:float32[?,5]"]}, RuntimeFailedError, "mat1 and mat2"),
        ("tests.torch.nets:Singular", {}, UsageError, "--input 'x:float32[?,?]'"),
        ("nowhere", {}, NotAModelError, "no such file"),
    ],
)
def test_what_does_not_fit(model: str, options: dict[str, Any], error: type, said: str, tmp_path: Path) -> None:
    with pytest.raises(error) as caught:
        api.torch2paddle(model, tmp_path / "out", **options)
    assert said in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(OutputExistsError):
        api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "out", **NOW)
    path = write(Form.EXPORTED, tmp_path / "net.pt2")
    with pytest.raises(UsageError):  # the source would go with the folder
        api.torch2paddle(path, tmp_path, force=True, **NOW)
    assert path.exists()


# inputs and outputs -------------------------------------------------------------------------------------------------


def test_inputs_and_outputs_as_the_user_says(tmp_path: Path) -> None:
    options = {"inputs": ["x:float32[rows,6]"], "outputs": ["logits"], **NOW}
    report = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "out", **options)
    proved(report)
    assert report.inputs[0]["shape"] == ["rows", 6] and [o["name"] for o in report.outputs] == ["logits"]
    assert not any("guessed" in w for w in report.warnings)
    # the other one costs nothing: its last operator is gone
    both = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "both", **NOW)
    assert [o["name"] for o in both.outputs] == ["logits", "hidden"] and any("guessed" in w for w in both.warnings)


def test_ids_stay_below_the_table(tmp_path: Path) -> None:
    report = api.torch2paddle("tests.torch.nets:Looked", tmp_path / "out", arguments={"rows": 3}, **NOW)
    proved(report)
    assert [(o["name"], o["dtype"]) for o in report.outputs] == [("output_0", "float32"), ("output_1", "int64")]


def test_examples_are_traced_with_and_varied(tmp_path: Path) -> None:
    ids = np.array([[1, 2, 2, 0, 1, 1]])  # a batch of one, which torch would fix
    np.savez(tmp_path / "x.npz", input_ids=ids, attention_mask=np.ones_like(ids))
    report = api.torch2paddle("tests.torch.nets:Looked", tmp_path / "out", example=tmp_path / "x.npz", **NOW)
    proved(report)
    assert report.verification["inputs"] == str(tmp_path / "x.npz")  # type: ignore[index]
    assert report.verification["input_sets"][0]["input_ids"] == [1, 6]  # type: ignore[index]
    assert not report.source["fixed"]
    np.savez(tmp_path / "y.npz", **{"0/x": np.ones((2, 6), "f4"), "1/x": np.zeros((5, 6), "f4")})
    report = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "mlp", feeds=tmp_path / "y.npz", **NOW)
    assert report.verification["input_sets"] == [{"x": [2, 6]}, {"x": [5, 6]}]  # type: ignore[index]
    with pytest.raises(UsageError, match="misses the input"):
        api.torch2paddle("tests.torch.nets:Looked", tmp_path / "no", feeds=tmp_path / "y.npz", **NOW)


def test_a_fixed_dimension_is_named(tmp_path: Path) -> None:
    given = {"inputs": ["x:float32[batch,seq,4]"], "via": "export", **NOW}
    report = api.torch2paddle("tests.torch.nets:OneLength", tmp_path / "out", **given)
    assert report.source["fixed"] == [{"input": "x", "dimension": "seq", "size": 12}]
    assert report.inputs[0]["shape"] == ["batch", 12, 4]
    assert any("'seq'" in w and "12" in w for w in report.warnings)
    proved(report, sets=2, status="passed in part")  # the batch is still open
    with pytest.raises(UnsupportedError, match="fixed the dimension 'seq' of 'x' to 12"):
        api.torch2paddle("tests.torch.nets:OneLength", tmp_path / "strict", strict=True, **given)
    assert not (tmp_path / "strict").exists()


def test_a_dimension_that_one_exporter_fixes_is_open_in_another(tmp_path: Path) -> None:
    given = {"inputs": ["x:float32[batch,seq,4]"], "strict": True, **NOW}
    report = api.torch2paddle("tests.torch.nets:OneLength", tmp_path / "out", **given)
    assert report.source["via"] == "onnx" and not report.source["fixed"]
    assert any("fixes sizes that the model leaves open (seq == 12)" in w for w in report.warnings)
    proved(report, sets=3)  # 12, the usual other one, and one that torch.export's program does not take


@pytest.mark.parametrize("keep", [False, True])
def test_half_weights(keep: bool, tmp_path: Path) -> None:
    arguments = {"half": True, "width": 12000}  # larger than what is computed during the conversion
    report = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "out", arguments=arguments, keep_dtype=keep, **NOW)
    program = load_program(locate(tmp_path / "out"))
    kind = "float16" if keep else "float32"
    weight = max(program.parameters, key=lambda v: int(np.prod(v.shape)))
    assert weight.dtype is not None and weight.dtype.label == report.inputs[0]["paddle_dtype"] == kind
    assert report.verification["status"] == "passed"  # type: ignore[index]
    assert any("float16 weights are carried as float32" in w for w in report.warnings) is not keep


@pytest.mark.parametrize("kind", ["float16", "float32"])
@pytest.mark.parametrize("half", [True, False])
def test_inputs_that_are_said_to_be_half(half: bool, kind: str, tmp_path: Path) -> None:
    """Carried as float32, as the weights are, and where there are none."""
    given = {"inputs": [f"x:{kind}[rows,6]"], "arguments": {"half": half}, **NOW}
    report = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "out", **given)
    assert report.inputs[0]["paddle_dtype"] == "float32"
    proved(report)
    np.savez(tmp_path / "x.npz", x=np.ones((2, 6), kind))
    report = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "more", example=tmp_path / "x.npz", **given)
    assert report.verification["status"] == "passed"  # type: ignore[index]


def test_half_archive(tmp_path: Path) -> None:
    net = nets.Mlp(half=True).eval()
    rows = {"x": {0: torch.export.Dim("rows")}}
    exported = torch.export.export(net, (torch.randn(2, 6).half(),), dynamic_shapes=rows)
    torch.export.save(exported, tmp_path / "half.pt2")
    report = api.torch2paddle(tmp_path / "half.pt2", tmp_path / "out", **NOW)
    proof = report.verification
    assert proof is not None and proof["status"] == "passed" and proof["tolerance"]["precision"] == "float16"


# routes -------------------------------------------------------------------------------------------------------------


def test_through_onnx(tmp_path: Path) -> None:
    options = {"via": "onnx", "keep": True, "outputs": ["hidden"], **NOW}
    report = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "out", **options)
    proved(report)
    assert report.source["via"] == "onnx" and "exporter" in report.source["how"]
    assert [o["name"] for o in report.outputs] == ["hidden"] and report.inputs[0]["shape"] == ["batch", 6]
    assert (tmp_path / "out" / "intermediate.onnx").exists()
    assert {o["domain"] for o in report.operators} == {"ai.onnx"}


def test_a_decision_by_values_is_kept_as_one(tmp_path: Path) -> None:
    small, large = np.ones((2, 4), "f4"), np.full((3, 4), 20, "f4")
    np.savez(tmp_path / "x.npz", **{"0/x": small, "1/x": large})
    report = api.torch2paddle("tests.torch.nets:Changeable", tmp_path / "out", feeds=tmp_path / "x.npz", **NOW)
    proved(report)
    assert report.source["via"] == "onnx" and "torch.export cannot trace Changeable" in report.source["how"]
    assert "on a script" in report.source["how"] and not report.reservations
    assert any(w.startswith("converted through ONNX: torch.export cannot trace") for w in report.warnings)
    assert any(op["operator"] == "If" for op in report.operators)
    with pytest.raises(UnsupportedError, match=r"torch\.export cannot trace"):
        api.torch2paddle("tests.torch.nets:Changeable", tmp_path / "export", via="export", **NOW)


def test_a_decision_that_only_a_trace_takes_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UnsupportedError, match=r"^nets.py:\d+ decides by the values of the inputs, and no exporter"
    ) as caught:
        api.torch2paddle("tests.torch.nets:Unscriptable", tmp_path / "out", **NOW)
    assert "--accept-frozen" in str(caught.value.hint) and not (tmp_path / "out").exists()
    report = api.torch2paddle("tests.torch.nets:Unscriptable", tmp_path / "out", accept_frozen=True, **NOW)
    proved(report, status="passed in part")
    assert [r["kind"] for r in report.reservations] == ["decision"]
    assert report.reservations[0]["text"].startswith("nets.py:") and report.reservations[0]["text"] in report.warnings
    assert "This is step" not in report.source["how"]
    with pytest.raises(UnsupportedError, match="decides by the values"):
        api.torch2paddle("tests.torch.nets:Unscriptable", tmp_path / "strict", strict=True, accept_frozen=True, **NOW)


def test_a_decision_that_changes_nothing_is_a_whole_model(tmp_path: Path) -> None:
    """The way that is right for every input is taken, and compared on inputs that would take the other one."""
    inputs = ["x:float32[batch,length,4]", "mask:int64[batch,length]"]
    report = api.torch2paddle("tests.torch.nets:Shortcut", tmp_path / "out", inputs=inputs, **NOW)
    proof = report.verification
    assert proof["status"] == "passed" and len(proof["input_sets"]) == 3  # type: ignore[index]
    assert report.source["via"] == "export" and not report.reservations and not report.source["fixed"]
    said = "\n".join(report.warnings)
    assert "taken one way, which gives the same as the other: nets.py:" in said and "(True)" in said
    assert said.count("checks the values of its inputs at nets.py:") == 2


def test_a_shortcut_is_taken_one_way_beside_a_decision_that_is_named(tmp_path: Path) -> None:
    options = {"inputs": ["x:float32[batch,length,4]", "mask:int64[batch,length]"], "accept_frozen": True, **NOW}
    report = api.torch2paddle("tests.torch.nets:Marked", tmp_path / "out", **options)
    proof = report.verification
    assert proof["status"] == "passed in part" and report.source["via"] == "export"  # type: ignore[index]
    assert [r["text"].partition(" ")[0] for r in report.reservations] == [_line("marked(y) if")]
    said = next(w for w in report.warnings if "gives the same as the other" in w)
    assert _line("(mask == 0).any()") in said and _line("marked(y) if") not in said


def _line(text: str) -> str:
    lines = Path(str(nets.__file__)).read_text().splitlines()
    return next(f"nets.py:{i}" for i, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("net", "text"), [("Products", "x:float32[batch,length,8]"), ("Framed", "x:float32[batch,1,samples]")]
)
def test_sizes_stay_open_where_torch_would_fix_them(net: str, text: str, tmp_path: Path) -> None:
    report = api.torch2paddle(f"tests.torch.nets:{net}", tmp_path / "out", inputs=[text], **NOW)
    proved(report)
    assert report.source["via"] == "export" and not report.reservations and not report.source["fixed"]


WRONG = {"arguments": {"most": 10.0}, **NOW}


def _small_and_large(folder: Path) -> Path:
    np.savez(folder / "x.npz", **{"0/x": np.ones((2, 4), "f4"), "1/x": np.full((3, 4), 20, "f4")})
    return folder / "x.npz"


def test_a_wrong_trace_is_the_exporter_s_fault(tmp_path: Path) -> None:
    """What an exporter wrote is run in ONNX Runtime before it is imported; torch.export's refusal stays visible."""
    with pytest.raises(UnsupportedError, match="cannot trace Unscriptable") as caught:
        api.torch2paddle("tests.torch.nets:Unscriptable", tmp_path / "out", feeds=_small_and_large(tmp_path), **WRONG)
    assert "its output is another in ONNX Runtime" in caught.value.message and "x[3,4]" in caught.value.message
    assert not (tmp_path / "out").exists()


def test_a_wrong_conversion_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is worth something: a conversion that decided once and for all fails it, and is put aside."""
    monkeypatch.setattr("mconv.verbs.torch_onnx_route.wrong", lambda *ignored: "")
    with pytest.raises(VerificationError, match="computes something else"):
        api.torch2paddle(
            "tests.torch.nets:Unscriptable",
            tmp_path / "out",
            feeds=_small_and_large(tmp_path),
            accept_frozen=True,
            **WRONG,
        )
    kept = tmp_path / "out.failed-verification"
    assert not (tmp_path / "out").exists() and kept.is_dir()
    assert json.loads((kept / "report.json").read_text())["status"] == "failed verification"


IMAGES = "image:float32[batch,3,height,width]"


@pytest.mark.parametrize(
    ("net", "how"),
    [
        ("Warped", "torch.export"),
        ("Turned", "torch.export"),
        ("WholePooled", "torch.export"),
        ("Padded", "torch.export"),
        ("Chunked", "torch.export"),
        ("BySize", "on a script"),
        pytest.param("Rows", "on a script", marks=pytest.mark.slow),
    ],
)
def test_what_is_computed_of_a_size_stays_open(net: str, how: str, tmp_path: Path) -> None:
    shapes = [(2, 3, 64, 40), (3, 3, 73, 96), (1, 3, 96, 33), (2, 3, 37, 64)]
    random = np.random.default_rng(0)
    sets = {f"{i}/image": random.standard_normal(s).astype("f4") for i, s in enumerate(shapes)}
    np.savez(tmp_path / "x.npz", **sets)  # type: ignore[arg-type]
    options = {"inputs": [IMAGES], "feeds": tmp_path / "x.npz", **NOW}
    report = api.torch2paddle(f"tests.torch.nets:{net}", tmp_path / "out", **options)
    proof = report.verification
    assert proof["status"] == "passed" and len(proof["input_sets"]) >= 4  # type: ignore[index]
    assert how in report.source["how"] and not report.source["fixed"] and not report.reservations
    program = load_program(locate(tmp_path / "out"))
    assert [list(p.shape) for p in program.feeds] == [[-1, 3, -1, -1]]


@pytest.mark.slow
def test_a_computed_size_that_every_exporter_fixes_is_declared_fixed(tmp_path: Path) -> None:
    options = {"inputs": [IMAGES], **NOW}
    report = api.torch2paddle("tests.torch.nets:Named", tmp_path / "out", **options)
    assert report.source["fixed"] == [{"input": "image", "dimension": "height", "size": 64}]
    assert any("fixes sizes that the model leaves open" in w and "height" in w for w in report.warnings)
    program = load_program(locate(tmp_path / "out"))
    assert [list(p.shape) for p in program.feeds] == [[-1, 3, 64, -1]]
    with pytest.raises(UnsupportedError, match="fixed the dimension 'height'"):
        api.torch2paddle("tests.torch.nets:Named", tmp_path / "strict", strict=True, **options)


@pytest.mark.parametrize(("batch_first", "kind"), [(True, "LSTM"), (False, "GRU")])
def test_packed_sequences_end_with_the_longest(batch_first: bool, kind: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sets = {}
    for i, (steps, lengths) in enumerate(((7, [7, 3, 5]), (9, [4, 6]), (6, [1, 6, 6, 2]))):
        sets[f"{i}/ids"] = random.integers(0, 20, (len(lengths), steps))
        sets[f"{i}/lengths"] = np.array(lengths)
        sets[f"{i}/unread"] = np.ones((len(lengths), steps), "i8")
    np.savez(tmp_path / "x.npz", **sets)  # type: ignore[arg-type]
    inputs = ["ids:int64[batch,steps]", "lengths:int64[batch]", "unread:int64[batch,steps]"]
    arguments = {"batch_first": batch_first, "kind": kind}
    options = {"inputs": inputs, "feeds": tmp_path / "x.npz", "arguments": arguments, **NOW}
    report = api.torch2paddle("tests.torch.nets:Packed", tmp_path / "out", **options)
    assert [i["name"] for i in report.inputs] == ["ids", "lengths", "unread"]
    assert report.verification["status"] == "passed in part"  # type: ignore[index]
    assert [r["kind"] for r in report.reservations] == ["input"] and report.source["via"] == "onnx"
    assert len(report.verification["input_sets"]) == 3  # type: ignore[index]


@pytest.mark.parametrize("via", ["export", "onnx"])
def test_means_of_random_numbers(via: str, tmp_path: Path) -> None:
    options = {"inputs": ["x:float32[batch,6]"], "via": via, "deterministic": True, **NOW}
    report = api.torch2paddle("tests.torch.nets:Noisy", tmp_path / "out", **options)
    proved(report, status="passed in part")
    assert report.verification["reason"] == "random numbers that are their means"
    said = "random numbers are their means (--deterministic): randn, randn_like, normal, dropout, rand_like, uniform_"
    assert said in report.warnings
    net, x = nets.Noisy().eval(), torch.ones(3, 6)
    with torch.no_grad(), noise(replace=True):
        torch.testing.assert_close(net(x), net.layer(x) * 1.7 + 2.5)


def test_random_numbers_are_named(tmp_path: Path) -> None:
    with pytest.raises((VerificationError, UnsupportedError)) as caught:
        api.torch2paddle("tests.torch.nets:Noisy", tmp_path / "out", inputs=["x:float32[batch,6]"], **NOW)
    assert "--deterministic" in str(caught.value)


def test_noise_that_forward_takes_is_an_input(tmp_path: Path) -> None:
    x, options = "x:float32[batch,8,4]", {"force": True, **NOW}
    with pytest.raises((VerificationError, UnsupportedError)) as caught:
        api.torch2paddle("tests.torch.nets:Masking", tmp_path / "out", inputs=[x], **options)
    assert "--input 'noise:float32[…]' feeds them" in str(caught.value)
    fed = [x, "noise:float32[batch,8]"]
    proved(api.torch2paddle("tests.torch.nets:Masking", tmp_path / "out", inputs=fed, **options))


def test_what_no_route_converts_is_one_table(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        api.torch2paddle("tests.torch.nets:Singular", tmp_path / "out", inputs=["x:float32[batch,4,4]"], **NOW)
    assert {r["operator"] for r in caught.value.rows} == {"aten._linalg_svd.default", "aten._linalg_eigh.default"}
    assert "through ONNX" in caught.value.message and not (tmp_path / "out").exists()


def test_what_is_kept_can_be_converted_again(tmp_path: Path) -> None:
    first = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "first", keep=True, **NOW)
    again = api.torch2paddle(tmp_path / "first" / "intermediate.pt2", tmp_path / "again", **NOW)
    proved(again)
    assert again.paddle_operators == first.paddle_operators
    assert [o["name"] for o in again.outputs] == ["logits", "hidden"]


@pytest.mark.runtime
def test_torchscript_with_a_loop_goes_through_onnx(tmp_path: Path) -> None:
    require("paddle-2.3.2")

    class Halves(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x
            for _ in range(x.shape[0]):
                if float(y.sum()) > 0:
                    y = y * 0.5
                else:
                    y = y + 1.0
            return y

    torch.jit.script(Halves()).save(tmp_path / "loop.pt")
    report = api.torch2paddle(tmp_path / "loop.pt", tmp_path / "out", inputs=["x:float32[n,4]"])
    proved(report)
    assert report.source["via"] == "onnx" and "prim::Loop" in report.source["how"]


@pytest.mark.runtime
@pytest.mark.slow
def test_x2paddle(tmp_path: Path) -> None:
    require("x2paddle-1.6.0")
    report = api.torch2paddle("tests.torch.nets:Convolutional", tmp_path / "out", engine="x2paddle", **NOW)
    proved(report)
    assert report.engine == "x2paddle" and report.source["via"] == "onnx"


# command ------------------------------------------------------------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "noisy.py").write_text(
        "import torch\nprint('importing')\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, width):\n        super().__init__()\n        self.layer = torch.nn.Linear(4, width)\n"
        "    def forward(self, x):\n        print('running')\n        return {'y': self.layer(x)}\n"
    )
    options = ["--target", "3", "--runtime", "current", "--arg", "width=2", "--output", "y"]
    command = ["torch2paddle", "noisy.py:Net", "out", *options]
    done = subprocess.run(
        [sys.executable, "-m", "mconv", *command, "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # what the user's code prints goes to stderr
    assert report["command"] == "torch2paddle" and report["source"]["class"] == "Net"
    assert "importing" in done.stderr and "running" in done.stderr
    for phase in (
        "load",
        "reference",
        "torch.export",
        "decompositions",
        "import",
        "passes",
        "write",
        "verify",
        "total",
    ):
        assert phase in report["seconds"]
    monkeypatch.chdir(tmp_path)
    assert run([*command, "-f"]) == 0  # in this process, which has torch already
    told = capfd.readouterr().out
    assert "\nout: Net, " in told and "verification passed" in told


def test_reports_are_documented(tmp_path: Path) -> None:
    report = api.torch2paddle("tests.torch.nets:Mlp", tmp_path / "out", verify=False)
    text = DOCS.read_text()
    section = text[text.index("## torch2paddle") :]
    for field in ("spec", *report.source):
        assert f"`{field}`" in section, field
    for phase in report.seconds:
        assert f"`{phase}`" in section, phase


def test_what_makes_the_module_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NETS.read_text())
    with pytest.raises(UsageError, match="is or holds the input"):
        api.torch2paddle(f"{tmp_path}/net.py:Mlp", tmp_path / "net.py", force=True, verify=False)
    assert (tmp_path / "net.py").read_text() == NETS.read_text()
