"""Warnings have a code beside their text, which survives what reports do with them."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from mconv.cli.output import _with_codes
from mconv.printable import plain
from mconv.proof.report import Report
from mconv.warned import Warned, code_of, coded

FIXED = Warned("dimension-fixed", "input 'x': torch fixed the dimension 'n' to 8")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda w: pickle.loads(pickle.dumps(w))])
def test_a_copy_has_the_code(again: object) -> None:
    found = again(FIXED)  # type: ignore[operator]
    assert found == FIXED and code_of(found) == "dimension-fixed"


def test_text_stays_text() -> None:
    assert json.loads(json.dumps([FIXED])) == [str(FIXED)] and code_of("any other") == "other"
    assert coded([FIXED, "b"])[1] == {"code": "other", "text": "b"}


def test_reports_and_documents_show_both() -> None:
    report = Report("x", "native", {}, {}, warnings=[FIXED])
    report.reserve([{"kind": "state", "text": "starts anew"}])
    wanted = [{"code": "dimension-fixed", "text": str(FIXED)}, {"code": "state-lost", "text": "starts anew"}]
    assert report.to_dict()["coded_warnings"] == wanted
    assert _with_codes(plain(report), report)["coded_warnings"] == wanted
