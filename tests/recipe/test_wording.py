"""Hints in the words of a recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mconv.recipe.wording import in_recipe

SOURCES = Path(__file__).parents[2] / "src" / "mconv"


@pytest.mark.parametrize(
    ("hint", "wanted"),
    [
        (None, None),
        ("save it again", "save it again"),
        ("if it shall: --limit 8G or more", "if it shall: limit: 8G or more"),
        ("--trust allows it, if you know where", "source: {trust: true} allows it, if you know where"),
        (
            "out is written; give inputs that it takes with --inputs x.npz, fix sizes with --input 'name[1,3,48,?]', or take "
            "it as it is with --no-verify",
            "out is written; give inputs that it takes with verification: {data: x.npz}, fix sizes with inputs: "
            "['name[1,3,48,?]'], or take it as it is with verify: false",
        ),
        ("allow more with --timeout, or try a smaller input", "allow more with timeout, or try a smaller input"),
        ("--via onnx takes the route through ONNX", "via: onnx takes the route through ONNX"),
        ("--carry-state makes it an input", "carry_state: true makes it an input"),
        ("--accept-frozen takes the one", "accept_frozen: true takes the one"),
        ("--const sr=16000", "constants: {sr: 16000}"),
        ("`mconv runtime install paddle-2.3.2 --force`", "`mconv runtime install paddle-2.3.2 --force`"),
    ],
)  # fmt: skip
def test_options_are_fields(hint: str | None, wanted: str | None) -> None:
    assert in_recipe(hint) == wanted


def test_hints_of_the_proof_name_no_option_in_a_recipe() -> None:
    """Whatever the rooms that run and prove say to do."""
    files = [
        "budget.py",
        "watch.py",
        "runtimes/memory.py",
        "runtimes/worker.py",
        "runtimes/worker_process.py",
        "proof/prove.py",
        "proof/report.py",
    ]
    texts = [
        text
        for name in files
        for text in re.findall(r'"[^"\n]*--[a-z][^"\n]*"', (SOURCES / name).read_text())
        if " " in text and not re.search("mconv |`--", text)
    ]
    assert len(texts) >= 3
    assert [text for text in texts if "--" in str(in_recipe(text))] == []
