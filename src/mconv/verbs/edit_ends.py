"""Where an edited model ends, and which inputs it has not got any more: of Paddle and of ONNX alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Optional

from mconv.errors import UsageError
from mconv.options.edit import Edit
from mconv.program.near import unknown


def outputs(
    chosen: Edit, old: Sequence[str], before_nms: Callable[[], list[str]], own: Callable[[str], str] = str
) -> Optional[list[str]]:
    """The outputs that the model is to have, or None where they stay.

    Args:
        old: those that it has.
        before_nms: gives those of the model without its NMS.
        own: the model's name of what a user has named.

    Raises:
        UsageError: one that is to go is none, or the only one.
    """
    wanted = None if chosen.outputs is None else [own(n) for n in chosen.outputs]
    if chosen.without_nms:
        wanted = before_nms()
    if chosen.add_outputs or chosen.drop_outputs:
        wanted = list(old if wanted is None else wanted)
        wanted += [n for n in dict.fromkeys(map(own, chosen.add_outputs)) if n not in wanted]
        for name in map(own, chosen.drop_outputs):
            if name not in wanted:
                raise unknown("--drop-output", "output", name, wanted)
            wanted.remove(name)
            if not wanted:
                raise UsageError(
                    f"--drop-output: {name!r} is the only output", "--add-output NAME says where it ends instead"
                )
    return wanted


def check_dropped(chosen: Edit, old: Sequence[str], left: Sequence[str], own: Callable[[str], str] = str) -> None:
    """Refuse an input that is to go and that outputs depend on.

    Args:
        old, left: the inputs before and after.

    Raises:
        UsageError: there is one, or one that is to go is none.
    """
    for name in map(own, chosen.drop_inputs):
        if name not in old:
            raise unknown("--drop-input", "input", name, old)
        if name in left:
            raise UsageError(
                f"--drop-input: the outputs need {name!r}", f"--const {name}=VALUE gives it one value for good"
            )


def told(sizes: Mapping[str, int]) -> str:
    """Fixed sizes (``INPUT.AXIS`` → number) as messages name them."""
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


__all__ = ["check_dropped", "outputs", "told"]
