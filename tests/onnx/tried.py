"""What tables of ONNX models in real Paddles ask of each model: whether it converts, what it is fed and hands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

if TYPE_CHECKING:
    from mconv.onnx.importer import Imported


def converted(model: Any, target: str) -> Union[Imported, tuple[str, str]]:
    """The conversion, or why there is none: "refused" or "bug", and the reason."""
    from mconv.errors import MconvError
    from mconv.onnx.convert import convert
    from mconv.onnx.reader import OnnxModel
    from mconv.program import targets

    try:
        return convert(OnnxModel(model), targets.get(target))
    except MconvError as e:
        return "refused", e.message
    except Exception as e:  # noqa: BLE001 - a bug of mconv is a result
        return "bug", f"{type(e).__name__}: {e}"


def fed(made: Imported, sets: Sequence[Mapping[str, np.ndarray]], target: str) -> list[dict[str, np.ndarray]]:
    """Input sets in the types of the program's inputs; Paddle 2.3 has [1] for no dimensions."""
    types = {port.name: port.dtype.numpy for port in made.program.feeds}
    shaped = (lambda a: a.reshape(a.shape or (1,))) if target == "2.3" else (lambda a: a)
    return [{n: shaped(s[n]).astype(t) for n, t in types.items()} for s in sets]


def handed_out(got: np.ndarray, want: np.ndarray, target: str) -> np.ndarray:
    """A result without the dimension that Paddle 2.3 has for none."""
    return got.reshape(()) if target == "2.3" and want.shape == () and got.shape == (1,) else got
