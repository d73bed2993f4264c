"""What lies beside a Paddle model and describes it: ``inference.yml`` of PaddleX and PaddleOCR goes where the model goes.

What it says of the inputs follows the result: the ranges of their shapes for TensorRT are by the inputs' names, and PaddleX
3.7 refuses others (``runners/paddle_static/runner.py``; the fields: ``models/hpi/hpi_info.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Protocol, Union

from mconv.program.copying import copy_file, read_small
from mconv.program.files import ModelFiles
from mconv.yaml_text import MOST, parsed

NAME = "inference.yml"
STEM = "inference"  # PaddleX looks for a model of that name only
# of Hpi.backend_configs: input → its smallest, usual and largest shape; and the values of inputs that decide on shapes
_RANGES = (("paddle_infer", "trt_dynamic_shapes"), ("tensorrt", "dynamic_shapes"))
_VALUES = ("paddle_infer", "trt_dynamic_shape_input_data")
_Shape = Optional[Sequence[Union[int, str]]]


class Input(Protocol):
    """An input: its name and its shape, in which what is open is negative or a name; None: that is not known."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> Optional[Sequence[Union[int, str]]]: ...


def description(found: ModelFiles) -> list[Path]:
    """The description of a model, in a list that is empty where it has none."""
    path = Path(found.program).parent / NAME
    return [path] if Path(found.program).stem == STEM and path.is_file() else []


def carry(
    found: ModelFiles, folder: Path, inputs: Iterable[Input], renamed: Optional[Mapping[str, str]] = None
) -> None:
    """Put the description of a model into the folder of what was made of it: as it is, unless the inputs are others now.

    Args:
        inputs: of the result.
        renamed: what they were called → what they are called now, where that is known.

    Raises:
        NotAModelError: it cannot be read.
    """
    for path in description(found):
        text = _adjusted(path, {each.name: each.shape for each in inputs}, renamed or {})
        if text is None:
            copy_file(path, folder / path.name)
        else:
            (folder / path.name).write_text(text, encoding="utf-8")


def _adjusted(path: Path, shapes: Mapping[str, _Shape], renamed: Mapping[str, str]) -> Optional[str]:
    """The description for these inputs; None where it is that already, or is none that PaddleX reads."""
    data = read_small(path, MOST, "are more than any description of a model has")
    if b"dynamic_shape" not in data:  # which all fields that name inputs have in their names
        return None
    import yaml

    try:
        content = parsed(data.decode("utf-8"))
        backends = content["Hpi"]["backend_configs"]
        changed = [_fit(backends.get(backend), field, shapes, renamed) for backend, field in _RANGES]
        if changed[0] or set(backends.get(_VALUES[0], {}).get(_VALUES[1], shapes)) != set(shapes):
            changed.append(backends.get(_VALUES[0], {}).pop(_VALUES[1], None) is not None)  # of other shapes, or inputs
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=1 << 20) if any(changed) else None


def _fit(backend: Any, field: str, shapes: Mapping[str, _Shape], renamed: Mapping[str, str]) -> bool:
    """Have the ranges in *field* be of these inputs; they go where that is not known of each. Whether anything changed."""
    ranges = None if backend is None else backend.get(field)
    if ranges is None:
        return False
    if len(ranges) == len(shapes) == 1:  # there is no doubt which one
        fitted = dict(zip(shapes, ranges.values()))
    else:
        fitted = {renamed.get(name, name): given for name, given in ranges.items()}
    try:
        fitted = {name: [_within(shape, shapes[name]) for shape in fitted[name]] for name in shapes}
    except (KeyError, ValueError):
        del backend[field]
        return True
    backend[field] = fitted
    return bool(fitted != ranges)


def _within(shape: Sequence[int], sizes: _Shape) -> list[int]:
    """A shape with the sizes that the input has for good.

    Raises:
        ValueError: it is one of another number of dimensions.
    """
    if sizes is None:
        return list(shape)
    if len(shape) != len(sizes):
        raise ValueError
    return [size if isinstance(size, int) and size >= 0 else given for given, size in zip(shape, sizes)]
