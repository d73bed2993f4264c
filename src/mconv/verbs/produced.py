"""What an engine makes of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mconv.program.params import TensorSource
from mconv.program.program import Program


@dataclass
class Produced:
    """What an engine made of the model: the program, its parameters, and the report's fields about them.

    *keep* lives as long as the parameters are needed. *precision* is the lowest type that the source computes in, as
    far as its engine knows.
    """

    program: Program
    params: dict[str, TensorSource]
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    keep: Any = None
    precision: str = "float32"
