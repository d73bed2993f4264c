"""Which tensor goes where, on names, shapes and classes alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mconv.dygraph.layout import Given, Layout, Matching, Parameter
from mconv.dygraph.match_report import problems
from mconv.dygraph.matching import match
from mconv.dygraph.rules import Rules, load
from mconv.errors import UsageError


def layout(parameters: dict[str, Any], classes: dict[str, str]) -> Layout:
    """*parameters*: name → shape, or the name of which it is another one."""
    made: dict[str, Parameter] = {}
    for i, (name, shape) in enumerate(parameters.items()):
        made[name] = made[shape] if isinstance(shape, str) else Parameter(tuple(shape), "float", i)
    return Layout(made, {"": frozenset(), **{k: frozenset({v}) for k, v in classes.items()}})


def given(**shapes: Any) -> dict[str, Given]:
    return {name.replace("__", "."): Given(tuple(shape)) for name, shape in shapes.items()}


def rules(folder: Path, text: str) -> Rules:
    (folder / "r.yaml").write_text(text)
    return load([folder / "r.yaml"])


LINEAR = layout({"a.weight": (4, 4), "a.bias": (4,)}, {"a": "paddle.nn.Linear"})


def only(found: Matching) -> dict[str, tuple[str, str]]:
    assert found.complete, (found.unmatched, found.missing, found.conflicts)
    return {m.parameter: (m.source, m.how) for m in found.matches}


def test_square_weights_are_transposed_by_class() -> None:
    found = only(match(given(a__weight=(4, 4), a__bias=(4,)), LINEAR, load()))
    assert found == {"a.weight": ("a.weight", "transposed"), "a.bias": ("a.bias", "")}
    table = layout({"a.weight": (4, 4)}, {"a": "paddle.nn.Embedding"})
    assert only(match(given(a__weight=(4, 4)), table, load())) == {"a.weight": ("a.weight", "")}


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module.", "net."])
def test_prefixes_of_wrappers(prefix: str) -> None:
    found = match({f"{prefix}a.weight": Given((4, 4)), f"{prefix}a.bias": Given((4,))}, LINEAR, load())
    assert len(only(found)) == 2 and found.prefix == (prefix, "")


def test_prefix_of_the_layer() -> None:
    wanted = layout({"bert.a.bias": (4,), "head.bias": (2,)}, {"bert": "B", "bert.a": "A", "head": "H"})
    found = match(given(a__bias=(4,)), wanted, load())
    assert found.prefix == ("", "bert.") and found.missing == ["head.bias"] and len(found.matches) == 1


def test_shared_tensors() -> None:
    """An embedding that a Linear uses too is not transposed; a second tensor for it is noted."""
    wanted = layout(
        {"e.weight": (7, 4), "head.weight": "e.weight"}, {"e": "paddle.nn.Embedding", "head": "paddle.nn.Linear"}
    )
    assert only(match(given(head__weight=(7, 4)), wanted, load())) == {"head.weight": ("head.weight", "")}
    both = match(given(e__weight=(7, 4), head__weight=(7, 4)), wanted, load())
    assert len(only(both)) == 1 and [a.source for a, _ in both.repeated] == ["head.weight"]


def test_one_tensor_for_two_parameters(tmp_path: Path) -> None:
    wanted = layout(
        {"e.weight": (7, 4), "head.weight": (4, 7)}, {"e": "paddle.nn.Embedding", "head": "paddle.nn.Linear"}
    )
    tied = rules(tmp_path, "names: {e.weight: [e.weight, head.weight]}")
    found = only(match(given(e__weight=(7, 4)), wanted, tied))
    assert found == {"e.weight": ("e.weight", ""), "head.weight": ("e.weight", "transposed")}


def test_split(tmp_path: Path) -> None:
    wanted = layout({f"{n}.weight": (4, 4) for n in "qkv"}, dict.fromkeys("qkv", "paddle.nn.Linear"))
    text = "split: [{from: qkv.weight, to: [q.weight, k.weight, v.weight], axis: %s}]\nas_stored: ['.*']"
    found = only(match(given(qkv__weight=(4, 12)), wanted, rules(tmp_path, text % 1)))
    assert found["k.weight"] == ("qkv.weight", "part 2 of 3")
    wrong = match(given(qkv__weight=(4, 13)), wanted, rules(tmp_path, text % 1))
    assert [why for _, why in wrong.conflicts] == ["cannot be cut into 3 along dimension 1"] * 3


def test_weight_norm_is_computed() -> None:
    for g, v in (
        ("a.weight_g", "a.weight_v"),
        ("a.parametrizations.weight.original0", "a.parametrizations.weight.original1"),
    ):
        found = match({g: Given((4, 1)), v: Given((4, 4)), "a.bias": Given((4,))}, LINEAR, load())
        assert only(found)["a.weight"][1] == "weight norm computed, transposed"
        assert next(m.folded for m in found.matches if m.folded) == (g, v)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a.weight": Given((4, 5)), "a.bias": Given((4,))}, r"other shape \(transposed: \[5, 4\]\)"),
        ({"a.weight": Given((4, 4)), "a.bias": Given((1, 4))}, "other shape"),
        ({"a.weight": Given((4, 4)), "a.bias": Given((4,), "int")}, "holds ints, the layer floats"),
        ({"a.weight": Given((4, 4), "float", "is stored as qint8"), "a.bias": Given((4,))}, "is stored as qint8"),
        ({"a.weight": Given((4, 4))}, "no tensor"),
        ({"a.weight": Given((4, 4)), "a.bias": Given((4,)), "b.bias": Given((3,))}, "no parameter"),
        ({"a.weight": Given((4, 4)), "a.offset": Given((4,))}, "no tensor; perhaps a.offset"),
    ],
)  # fmt: skip
def test_problems(tensors: dict[str, Given], message: str) -> None:
    found = match(tensors, LINEAR, load())
    assert not found.complete
    assert re.match(message, problems(found, tensors, LINEAR)[0]["problem"])


def test_stored_the_other_way() -> None:
    """GPT-2's Conv1D: what fits as it is stored is not taken silently, but said."""
    wanted = layout({"a.weight": (4, 12)}, {"a": "paddle.nn.Linear"})
    found = match(given(a__weight=(4, 12)), wanted, load())
    assert "it fits as it is stored (rules: as_stored)" in found.conflicts[0][1]


def test_a_rule_for_a_parameter_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"names\['x'\]: the layer has no 'a.wieght'") as error:
        match(given(x=(4, 4)), LINEAR, rules(tmp_path, "names: {x: a.wieght}"))
    assert error.value.hint == "did you mean 'a.weight'?"


def test_keep_and_fill(tmp_path: Path) -> None:
    wanted = layout({"a.bias": (4,), "rope": (3,), "scale": (1,)}, {"a": "A"})
    found = match(given(a__bias=(4,), mask=(9, 9)), wanted, rules(tmp_path, "keep: rope\nfill: {scale: 2}\ndrop: mask"))
    assert found.complete and found.kept == ["rope"] and found.filled == {"scale": 2.0} and found.dropped == ["mask"]
