"""What ``mconv half`` says of what it made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mconv.page.shown import Shown


@dataclass
class HalfOutput:
    """One output of the program in half precision beside the float32 one.

    Attributes:
        name: of the output.
        input_set: which input set, from 0.
        error: the largest difference, as a part of the largest value; None where one of the two is not finite.
        ok: whether that is within the limit.
    """

    name: str
    input_set: int
    error: Optional[float]
    ok: bool


@dataclass
class HalfTensor:
    """A tensor inside that half precision does badly.

    Attributes:
        name: of the variable.
        largest: its largest magnitude in float32.
        error: as for an output; None where the emulation is not finite.
        reason: ``beyond the range``, ``below the range`` (all its numbers are so small that digits are lost), ``saturated``
            (a mask, whose size means nothing) or ``loses the most``.
    """

    name: str
    largest: float
    error: Optional[float]
    reason: str


@dataclass
class HalfOperators:
    """Operators that calibration keeps in float32 because their own rounding costs the most.

    Attributes:
        names: what each of them writes first.
        error: of the worst output, where these alone compute in half; None where it is not finite.
    """

    names: list[str]
    error: Optional[float]


@dataclass
class HalfSecond:
    """What another reader of the program in half precision makes of it.

    Attributes:
        reader: which, and its version.
        error: of the worst output, as for an output; None where it cannot say.
        reason: why not.
    """

    reader: str
    error: Optional[float]
    reason: str = ""


@dataclass(repr=False)
class HalfReport(Shown):
    """What ``mconv half`` made.

    Attributes:
        source: the program that was read.
        program, params: the files made.
        target: the Paddle that loads it, on a GPU.
        dtype: ``float16`` or ``bfloat16``.
        status: ``passed``, ``failed`` or ``not verified``.
        runtime: where the emulation ran.
        limit: the largest error allowed, as a part of the largest value of an output.
        half: operators that compute in half, by type.
        float32: operators that do not, by type and reason.
        casts: casts in the program.
        bytes: size of the parameters before and after.
        kept: variables beyond the range of half, whose operators were kept in float32 by calibration.
        precise: operators that were kept in float32 by calibration because of their own rounding, the worst first.
        saturated: weights, filled tensors and masks whose numbers beyond the range became half of its largest.
        outputs: the figures of every output.
        tensors: the tensors inside that leave the range, and those that lose the most.
        second: OpenVINO on the program itself, which it computes in float32; None: it is not installed, or nothing was run.
        unfit_passes: of a predictor of the target on a GPU, to be deleted before it loads the program: they fuse operators
            into ones without a kernel for half precision.
        warnings: what to know.
    """

    source: Path
    program: Path
    params: Path
    target: str
    dtype: str
    status: str = "not verified"
    runtime: Optional[str] = None
    limit: float = 0.0
    half: dict[str, int] = field(default_factory=dict)
    float32: dict[str, dict[str, int]] = field(default_factory=dict)
    casts: int = 0
    bytes: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    precise: list[HalfOperators] = field(default_factory=list)
    saturated: list[str] = field(default_factory=list)
    outputs: list[HalfOutput] = field(default_factory=list)
    tensors: list[HalfTensor] = field(default_factory=list)
    second: Optional[HalfSecond] = None
    unfit_passes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
