"""Of ``quantize``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar, Optional

from mconv.errors import UsageError
from mconv.options.declare import CONVERSION, INPUT, VERIFICATION, again, argument, one_of, option
from mconv.options.models import FILES, Half
from mconv.options.proving import Bounded, Force, ForTarget, Paged, PathLike, Progress, Runs, TargetLike

AUTO = "auto"
METHODS = (AUTO, "minmax", "percentile", "mse", "kl")
PERCENTILE = 99.99


class Quantize(ForTarget, Runs, Force, Bounded, Paged, Progress):
    """Of ``quantize``.

    Raises:
        UsageError: there is no such method or target, or a number is out of its range.
    """

    examples: ClassVar[Mapping[str, str]] = {
        INPUT: "mconv quantize model out8 --data real.npz --labels label",
        CONVERSION: "mconv quantize model.onnx out8 --data real.npz --target 2.6 --keep softmax_0.tmp_0",
        VERIFICATION: "mconv quantize model out8 --data real/ --inputs others.npz --max-drop 0.005",
    }

    path: PathLike = argument(
        metavar="MODEL", typed=str, help="A float32 model: of Paddle, or what `mconv convert` takes.", kw_only=False
    )
    out: PathLike = argument(metavar="OUT", help=FILES, kw_only=False)
    data: PathLike = option(
        default=dataclasses.MISSING,
        metavar="X.NPZ|FOLDER",
        help="Real inputs to calibrate with; a quarter is held back to prove with.",
        group=INPUT,
        recipe=False,
    )
    labels: Optional[str] = option(
        default=None,
        metavar="NAME",
        help="The array of --data with the right class of each row: accuracy is measured.",
        group=INPUT,
    )
    method: str = option(
        default=AUTO,
        help="How ranges are chosen: minmax, percentile, mse, kl; auto tries each.",
        group=CONVERSION,
        choices=METHODS,
    )
    percentile: float = option(
        default=PERCENTILE,
        help="Of --method percentile: so many percent of the numbers are not cut off.",
        group=CONVERSION,
        schema={"minimum": 50, "maximum": 100},
    )
    keep: Sequence[str] = option(
        default=(),
        metavar="NAME",
        help="An operator or a variable that stays float32. Repeatable.",
        group=CONVERSION,
    )
    onednn: bool = option(
        default=False,
        help="Also keep products in float32 whose weights oneDNN's int8 kernels round too coarsely (Paddle 2.5 to 3.3).",
        group=CONVERSION,
    )
    target: Optional[TargetLike] = again(Half, "target")
    inputs: Optional[PathLike] = option(
        default=None,
        metavar="X.NPZ|FOLDER",
        help="Inputs to prove it with, instead of some held back.",
        group=VERIFICATION,
        recipe=False,
    )
    max_drop: Optional[float] = option(
        default=None,
        metavar="SHARE",
        help="What may be lost of the right answers (0.01), or without labels of the numbers (0.1); layers stay float32 "
        "until it is kept to.",
        group=VERIFICATION,
        schema={"exclusiveMinimum": 0, "maximum": 1},
    )
    runtime: Optional[str] = again(
        Runs, "runtime", help="Where to run it: a managed runtime or `current`.  [default: the target's]"
    )
    timeout: float = again(Runs, "timeout", help="For each run of the model.")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("--method", self.method, METHODS)
        if self.percentile != PERCENTILE and self.method not in ("percentile", AUTO):
            raise UsageError(f"--percentile: --method {self.method} has none", "--method percentile")
        if not 50 <= self.percentile <= 100:
            raise UsageError(f"--percentile {self.percentile:g}: it is between 50 and 100")
        if self.max_drop is not None and not 0 < self.max_drop <= 1:
            raise UsageError(f"--max-drop {self.max_drop:g}: it is a share, above 0 and up to 1")
