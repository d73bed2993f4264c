"""The frame of a conversion: what becomes of the files, and what a proof that cannot be made comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest

from mconv.artifacts.destination import Destination
from mconv.artifacts.provenance import Recording
from mconv.errors import MconvError, MissingDependencyError, RuntimeUnavailableError, VerificationError
from mconv.options.proving import Converting
from mconv.program.dtypes import DType
from mconv.program.files import load_model, locate
from mconv.program.params import ArraySource
from mconv.proof.report import Report
from mconv.proof.verdict import FAILED, NOT_DONE, PASSED, Proof
from mconv.verbs.frame import Frame
from mconv.verbs.produced import Facts, Produced
from tests.golden import case


def converted(tmp_path: Path, proof: Any, **options: Any) -> Frame[Report]:
    """A conversion whose source is a golden model and whose result is that model."""
    found = locate(case("2.3.2-mlp").model)
    program, params = load_model(found)
    frame = Frame(Report("test", "none", {}, {}), Converting(**options), Destination.of_folder(tmp_path / "out"))
    with frame.opened([found.program]):
        frame.record(Recording("test", [found.program]))
        frame.write(Produced(program, params, Facts([], [], [], {})))
        frame.prove(proof, advice="look at it")
    return frame


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_passes_is_written_with_its_report_and_record(tmp_path: Path) -> None:
    frame = converted(tmp_path, lambda: Proof(PASSED))
    names = ["inference.pdiparams", "inference.pdmodel", "provenance.json", "report.json"]
    assert files(tmp_path) == ["out"] and files(tmp_path / "out") == names
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["verification"]["status"] == PASSED and report["output"]["program"] == "inference.pdmodel"
    assert {"write", "verify", "total"} <= set(report["seconds"]) and report["versions"]["mconv"]
    record = json.loads((tmp_path / "out/provenance.json").read_text())
    assert [f["name"] for f in record["files"]] == names[:2]
    written = frame.written().program
    assert written.to_bytes() == (tmp_path / "out/inference.pdmodel").read_bytes()


def test_what_fails_is_kept_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="computes something else: too far") as caught:
        converted(tmp_path, lambda: Proof(FAILED, "too far"))
    assert files(tmp_path) == ["out.failed-verification"]
    assert "look at it" in (caught.value.hint or "") and caught.value.report.status == "failed verification"
    assert "provenance.json" in files(tmp_path / "out.failed-verification")


@pytest.mark.parametrize("missing", [RuntimeUnavailableError, MissingDependencyError])
@pytest.mark.parametrize("verify", [None, True, False])
def test_where_nothing_can_run_it(missing: type[MconvError], verify: Optional[bool], tmp_path: Path) -> None:
    """Not verified and said so; an error only where it was asked for, and not even tried with ``--no-verify``."""

    def proof() -> Proof:
        assert verify is not False
        raise missing("there is none", "install it")

    if verify:
        with pytest.raises(missing):
            converted(tmp_path, proof, verify=verify)
        assert files(tmp_path) == []
        return
    report = converted(tmp_path, proof, verify=verify).report
    assert report.verification is not None and report.verification["status"] == NOT_DONE
    assert [w.startswith("not verified: there is none") for w in report.warnings] == ([] if verify is False else [True])


def test_a_record_continues_without_hashing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's record names the source, and knows the hash of the parameters that were written before."""
    from mconv.artifacts import provenance
    from mconv.program.params_writing import write_combined

    source = tmp_path / "source"
    source.write_bytes(b"1")
    (first := tmp_path / "first").mkdir()
    (second := tmp_path / "second").mkdir()
    with Recording("one", [source], options={"a": 1}) as recording:
        recording.write_params(first / "p", [("w", ArraySource(np.ones(3, np.float32), DType.FP32))])
        recording.write(first)
    write_combined(second / "q", [("w", ArraySource(np.ones(3, np.float32), DType.FP32))])
    monkeypatch.setattr(provenance, "hash_file", None)
    recording.continued("both", "two", {"b": 2}).write(second, copies={"q": first / "p"})
    record = json.loads((second / "provenance.json").read_text())
    assert (record["command"], record["options"]) == ("both", {"one": {"a": 1}, "two": {"b": 2}})
    before = json.loads((first / "provenance.json").read_text())
    assert record["sources"] == before["sources"]
    assert record["files"][0]["blake3"] == before["files"][0]["blake3"]
