"""Operators side by side, in blocks that a reader can see at once."""

from __future__ import annotations

from typing import Any

import pytest

from mconv.page import blocks
from mconv.page.blocks import Block
from tests.page.samples import layered


def node(operator: str, reads: list[str], writes: list[str], name: str = "") -> dict[str, Any]:
    return {"operator": operator, "name": name, "reads": reads, "writes": writes}


def test_what_was_fused_or_expanded_stands_between_the_tensors_that_both_have() -> None:
    a = [node("Sqrt", ["x"], ["s"]), node("Div", ["s"], ["d"]), node("Relu", ["d"], ["r"]), node("Sum", ["r"], ["y"])]
    b = [
        node("layer_norm", ["x"], ["d"]),
        node("scale", ["d"], ["k"]),
        node("relu", ["k"], ["r"]),
        node("sum", ["r"], ["z"]),
    ]
    steps = blocks.side_by_side(a, b, [])
    told = [(s.tensor, [n["operator"] for n in s.left], [n["operator"] for n in s.right]) for s in steps]
    assert told == [
        ("d", ["Sqrt", "Div"], ["layer_norm"]),
        ("r", ["Relu"], ["scale", "relu"]),
        (None, ["Sum"], ["sum"]),
    ]


def widest(found: list[Block]) -> int:
    return max([len(found), *(len(b.steps) for b in found), *(widest(b.blocks) for b in found if b.blocks)])


NAMES = {
    "flat": lambda at: f"t{at}",
    "onnx": lambda at: f"/encoder/layer.{at // 20}/part{at // 7 % 3}/op{at}_output_0",
    "torch": lambda at: f"encoder.layer.{at // 20}.attention.op{at}",
    "one scope": lambda at: f"/main/op{at}",
    "each its own": lambda at: f"/s{at}/op",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("count", [1, 33, 500, 2000])
def test_every_operator_is_in_one_block_and_none_is_too_long(name: Any, count: int) -> None:
    found = layered(count, name=name)
    steps = blocks.side_by_side(found["graphs"]["a"], found["graphs"]["b"], found["layers"])
    divided = blocks.divided(steps)
    flat = [step.tensor for block in divided for step in block.all_steps()]
    assert flat == [node["writes"][0] for node in found["graphs"]["a"]]
    assert widest(divided) <= 2 * blocks.MOST + 2 or count // 5 >= widest(divided)


def test_layers_of_a_model_are_found_by_their_scopes() -> None:
    found = layered(80, name=NAMES["onnx"])
    steps = blocks.side_by_side(found["graphs"]["a"], found["graphs"]["b"], found["layers"])
    titles = [block.title for block in blocks.divided(steps)]
    assert titles == [f"encoder/layer.{at}" for at in range(4)]


def test_what_repeats_is_found_without_names() -> None:
    found = layered(200)
    steps = blocks.side_by_side(found["graphs"]["a"], found["graphs"]["b"], found["layers"])
    titles = [block.title for block in blocks.divided(steps)]
    assert titles[0].startswith("block 1 of 40") and len(titles) == 40
