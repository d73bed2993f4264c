"""What is to be made of a live PyTorch model, and what both routes to a Program make of its plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.factory.inputs import Input
from mconv.options.torch import EXPORT, ONNX, Torch2Paddle
from mconv.proof.torch_runner import tensor_of
from mconv.verbs.torch_inputs import Plan, labels_of, traceable

KEPT = {EXPORT: "intermediate.pt2", ONNX: "intermediate.onnx"}


@dataclass
class Request:
    """What is to be made of the model.

    Attributes:
        outputs: all of the model's, in order.
        selected: those that are wanted.
        chosen: what the caller said.
        keep: where to leave the intermediate graph; None: nowhere.
        scratch: a folder for what is not kept.
    """

    outputs: list[str]
    selected: list[str]
    chosen: Torch2Paddle
    keep: Optional[Path]
    scratch: Path


def tensors(plan: Plan) -> dict[str, Any]:
    """The first input set as tensors of PyTorch, of the types of the inputs."""
    types = {i.name: i.dtype for i in plan.inputs}
    return {n: tensor_of(a.copy(), types[n]) for n, a in traceable(plan.sets[0], plan.inputs).items()}


def fixed_text(fixed: dict[str, Any]) -> str:
    """The warning for an entry of ``Facts.fixed``."""
    return (
        f"input {fixed['input']!r}: torch fixed the dimension {fixed['dimension']!r} to {fixed['size']}: the result takes "
        "no other size"
    )


def input_shape(one: Input, fixed: Sequence[dict[str, Any]]) -> list[Any]:
    """The dimensions as the user calls them; the size of those that torch fixed."""
    sizes = {f["dimension"]: f["size"] for f in fixed if f["input"] == one.name}
    return [sizes.get(label, dim) if label else dim for label, dim in zip(labels_of(one), one.dims)]
