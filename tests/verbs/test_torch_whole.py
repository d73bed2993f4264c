"""The result and the PyTorch model as a whole: state, inputs that nothing reads, sizes and decisions that are fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mconv import api
from mconv.cli.main import run
from mconv.errors import UnsupportedError, UsageError, VerificationError
from mconv.program.files import load_program, locate
from mconv.runtimes import Worker, find

torch = pytest.importorskip("torch")
pytest.importorskip("paddle")
from tests.torch import nets  # noqa: E402

NOW: dict[str, Any] = {"target": "3", "runtime": "current"}
STREAM = {"inputs": ["x:float32[b,3,t]"], **NOW}
UNREAD = {"inputs": ["x:float32[rows,6]", "mask:float32[rows]"], **NOW}


def in_part(report: Any, *kinds: str) -> None:
    """A proof of all that was compared, and what it is not one of."""
    assert [r["kind"] for r in report.reservations] == list(kinds)
    assert report.verification["status"] == "passed in part" and report.verification["reason"]
    assert all(row["ok"] for row in report.verification["outputs"])
    assert all(r["text"] in report.warnings for r in report.reservations)


@pytest.mark.parametrize("via", ["export", "onnx"])
@pytest.mark.parametrize("how", ["replace", "write"])
def test_a_state_starts_anew_and_is_named(tmp_path: Path, how: str, via: str) -> None:
    report = api.torch2paddle("tests.torch.nets:Stream", tmp_path / "out", arguments={"how": how}, via=via, **STREAM)
    in_part(report, "state")
    assert "forward changes cache" in report.reservations[0]["text"]


@pytest.mark.parametrize("via", ["export", "onnx"])
@pytest.mark.parametrize("how", ["replace", "write"])
def test_a_state_that_is_carried(tmp_path: Path, how: str, via: str) -> None:
    """Chunk by chunk, the state handed on, it is the whole stream."""
    out = tmp_path / "out"
    arguments = {"how": how}
    report = api.torch2paddle("tests.torch.nets:Stream", out, arguments=arguments, via=via, carry_state=True, **STREAM)
    assert report.verification is not None and report.verification["status"] == "passed"
    assert [p["name"] for p in report.inputs] == ["x", "cache"]
    assert [p["name"] for p in report.outputs] == ["output", "cache_out"]
    assert len({tuple(s["x"]) for s in report.verification["input_sets"]}) == 2
    x = np.random.default_rng(1).standard_normal((1, 3, 14)).astype(np.float32)
    files = locate(out)
    with Worker(find("current")) as worker:
        cache, parts = np.zeros((1, 3, 2), np.float32), []
        for chunk in (x[..., :5], x[..., 5:9], x[..., 9:]):
            row = worker.run(files.program, files.params, {"x": chunk, "cache": cache}).outputs[0]
            parts.append(row[0])
            cache = row[1]
        whole = worker.run(files.program, files.params, {"x": x, "cache": np.zeros((1, 3, 2), np.float32)}).outputs[0]
    np.testing.assert_allclose(np.concatenate(parts, -1), whole[0], atol=1e-5)
    np.testing.assert_array_equal(cache, x[..., -2:])


def test_only_a_live_module_can_be_carried(tmp_path: Path) -> None:
    script = torch.jit.script(nets.Stream().eval())
    torch.jit.save(script, str(tmp_path / "net.pt"))
    with pytest.raises(UsageError, match="--carry-state: .* is a graph already"):
        api.torch2paddle(tmp_path / "net.pt", tmp_path / "out", carry_state=True, **STREAM)


@pytest.mark.parametrize("verify", [None, False])
@pytest.mark.parametrize("via", ["export", "onnx"])
def test_an_input_that_nothing_reads_stays(tmp_path: Path, via: str, verify: Any) -> None:
    given = {k: v for k, v in UNREAD.items() if verify is None or k != "runtime"}
    report = api.torch2paddle("tests.torch.nets:Unread", tmp_path / "out", via=via, verify=verify, **given)
    assert [p.name for p in load_program(locate(tmp_path / "out")).feeds] == ["x", "mask"]
    assert [r["kind"] for r in report.reservations] == ["input"] and "'mask'" in report.reservations[0]["text"]
    if verify is None:
        in_part(report, "input")


def test_an_input_that_only_the_source_reads_is_found(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="reads the input 'mask', the result does not|differ by more"):
        api.torch2paddle("tests.torch.nets:Unread", tmp_path / "out", arguments={"hidden": True}, via="onnx", **UNREAD)
    assert not (tmp_path / "out").exists()


def test_a_fixed_size_and_a_decision_are_no_plain_pass(tmp_path: Path) -> None:
    fixed = {"inputs": ["x:float32[batch,seq,4]"], "via": "export", **NOW}
    in_part(api.torch2paddle("tests.torch.nets:OneLength", tmp_path / "size", **fixed), "size")
    in_part(
        api.torch2paddle(
            "tests.torch.nets:Unscriptable", tmp_path / "out", inputs=["x:float32[b,4]"], accept_frozen=True, **NOW
        ),
        "decision",
    )


@pytest.mark.parametrize(("net", "given"), [("Stream", STREAM), ("Unread", UNREAD)])
def test_strict_refuses_them(tmp_path: Path, net: str, given: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="not the model as a whole") as caught:
        api.torch2paddle(f"tests.torch.nets:{net}", tmp_path / "out", strict=True, **given)
    assert caught.value.rows and not (tmp_path / "out").exists()


def test_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = ["-i", "x:float32[rows,6]", "-i", "mask:float32[rows]"]
    where = ["--target", "3", "--runtime", "current"]
    assert run(["torch2paddle", "tests.torch.nets:Unread", str(tmp_path / "out"), *inputs, *where]) == 0
    told = capsys.readouterr()
    assert "verification passed in part (an input that nothing reads): " in told.out
    assert "warning: input 'mask': it stays, but nothing in the result reads it" in told.err
