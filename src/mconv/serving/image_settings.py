"""How pictures become the input of a model: sizes, channels, means; from options, ``inference.yml``,
``preprocessor_config.json``, defaults."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.errors import CorruptModelError, UsageError
from mconv.serving import paddlex
from mconv.serving.kinds import ModelInput, image_layout
from mconv.serving.sidecars import read_json

SETTINGS = "preprocessor_config.json"
FITS = ("stretch", "crop", "pad")
_DONE = {"stretch": "stretched", "crop": "cropped", "pad": "scaled and padded"}
ORDERS = ("rgb", "bgr", "gray")
LIBRARIES = ("pillow", "opencv")
RESAMPLES = ("nearest", "bilinear", "bicubic", "area", "lanczos")
# PIL's numbers, which preprocessor_config.json holds
_PIL = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "area"}
# of ImageNet, in RGB: what classifiers of torchvision and PaddleClas are trained with
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


_MOST = 1 << 16  # pixels of an edge


@dataclass(frozen=True)
class ImageOptions:
    """What the user says of it; None: as ``inference.yml`` or ``preprocessor_config.json`` has it, else as usual.

    Attributes:
        size: ``224``, ``48x192`` (height x width), ``48x?`` (the width follows the picture), ``?`` (both do).
        fit: one of :data:`FITS`.
        short_edge: with ``crop``, what the short edge is resized to.
        mean, std: one number, or one for each channel, of values after *scale*.
        scale: what the pixels, 0 to 255, are multiplied by first.
        order: one of :data:`ORDERS`.
        layout: ``nchw`` or ``nhwc``.
        resample: one of :data:`RESAMPLES`.
        library: one of :data:`LIBRARIES`.
    """

    size: Optional[str] = None
    fit: Optional[str] = None
    short_edge: Optional[int] = None
    mean: Optional[Sequence[float]] = None
    std: Optional[Sequence[float]] = None
    scale: Optional[float] = None
    order: Optional[str] = None
    layout: Optional[str] = None
    resample: Optional[str] = None
    library: Optional[str] = None


@dataclass
class ImageSettings:
    """All of it, settled; see :class:`ImageOptions`.

    Attributes:
        widths: the smallest and largest width where only the width is open; rows are filled up to the smallest.
        edge, limit: where both sizes are open, which edge is brought to what: ``longest`` and ``shortest`` bound the long
            edge from above and the short one from below, ``long`` is what the long edge becomes.
    """

    layout: str
    order: str
    height: Optional[int]
    width: Optional[int]
    fit: str
    short_edge: Optional[int]
    mean: list[float]
    std: list[float]
    scale: float
    resample: str
    library: str
    widths: Optional[tuple[int, int]] = None
    edge: int = 960
    limit: str = "longest"
    notes: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """One line for people."""
        sizes = "x".join("?" if n is None else str(n) for n in (self.height, self.width))
        return (
            f"pictures {_DONE[self.fit]} to {sizes}, {self.order}, "
            f"(x * {self.scale:.6g} - {_few(self.mean)}) / {_few(self.std)}, {self.layout}"
        )


def settle(
    inputs: Sequence[ModelInput],
    options: ImageOptions,
    beside: Optional[Path],
    described: Optional[paddlex.PaddleX] = None,
) -> ImageSettings:
    """Work out the settings for a model of one picture.

    Args:
        beside: the folder of the source, where ``preprocessor_config.json`` may be.
        described: what ``inference.yml`` in it says, which comes first.

    Raises:
        UsageError: the model is no model of one picture, or the options contradict each other or the model.
        CorruptModelError: one of these is damaged.
    """
    said, notes = ({}, []) if described is None else described.picture()
    for option, value, allowed in (
        ("--image-fit", options.fit, FITS),
        ("--channel-order", options.order, ORDERS),
        ("--layout", options.layout, ("nchw", "nhwc")),
        ("--resample", options.resample, RESAMPLES),
        ("--image-library", options.library, LIBRARIES),
    ):
        if value is not None and value not in allowed:
            raise UsageError(f"{option}: {value!r} is not one of {', '.join(allowed)}")
    layout = options.layout or image_layout(inputs, (3, 1))
    if layout is None or len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{i.name}: {i.dtype.label}{i.sizes}" for i in inputs)
        raise UsageError(
            f"an image service is for models with one input of pictures; the inputs are {shapes}",
            "--service tensor takes any input; --layout says where the channels are",
        )
    shape = inputs[0].shape
    channels, fixed = (shape[1], shape[2:]) if layout == "nchw" else (shape[3], shape[1:3])
    order = options.order or said.get("order") or ("gray" if channels == 1 else "rgb")
    if channels not in (None, 1 if order == "gray" else 3):
        raise UsageError(f"--channel-order {order}: the model takes {channels} channels ({inputs[0].sizes})")
    stored = said or ({} if beside is None else _stored(beside / SETTINGS))
    if options.size is not None:  # they belong to the stored size
        stored = {k: v for k, v in stored.items() if k not in ("fit", "short_edge", "widths", "edge", "limit")}
    uint8 = inputs[0].dtype.label == "uint8"
    plain = uint8 or order == "gray"
    channels = 1 if order == "gray" else 3
    scale = _first(options.scale, stored.get("scale"), 1.0 if uint8 else 1 / 255)
    mean = _numbers("--mean", _first(options.mean, stored.get("mean"), [0.0] if plain else _MEAN), channels)
    std = _numbers("--std", _first(options.std, stored.get("std"), [1.0] if plain else _STD), channels)
    if not all(std) or not math.isfinite(scale):
        raise UsageError("--std: nothing can be divided by 0" if not all(std) else f"--scale: {scale} is no number")
    unsaid = [n for n, v in (("mean", options.mean), ("std", options.std)) if v is None and n not in stored]
    if unsaid and not plain:
        notes.append(f"{' and '.join(unsaid)} are assumed to be ImageNet's, the channels {order}: see --mean, --std")
    height, width = _size(options, stored, fixed, inputs[0])
    fit = options.fit or stored.get("fit") or ("pad" if (height is None) != (width is None) else "stretch")
    if (height is None or width is None) and fit != "pad":
        if options.fit is not None and height is not width:
            raise UsageError(f"--image-fit {fit}: the size is open; only pad keeps a picture's proportions")
        fit = "pad"
    short = None
    if fit == "crop":
        assert height is not None and width is not None
        short = _first(options.short_edge, stored.get("short_edge"), round(min(height, width) / 0.875))
        if short < max(height, width):
            raise UsageError(f"--short-edge {short}: {height}x{width} cannot be cut out of that")
    elif options.short_edge is not None:
        raise UsageError("--short-edge is for --image-fit crop")
    resample = options.resample or stored.get("resample") or "bilinear"
    library = options.library or stored.get("library") or "pillow"
    limits = {k: stored[k] for k in ("widths", "edge", "limit") if k in stored}
    if width is not None and limits.get("widths") != (width, width):
        limits.pop("widths", None)
    return ImageSettings(
        layout, order, height, width, fit, short, mean, std, scale, resample, library, **limits, notes=notes
    )


def _size(
    options: ImageOptions, stored: dict[str, Any], fixed: Sequence[Optional[int]], image: ModelInput
) -> tuple[Optional[int], Optional[int]]:
    if options.size is not None:
        parts = options.size.lower().split("x")
        parts = parts * 2 if len(parts) == 1 else parts
        if len(parts) != 2 or not all(p == "?" or (p.isascii() and p.isdigit() and int(p)) for p in parts):
            raise UsageError(f"--image-size: {options.size!r} is no size", "224, 48x192, 48x? or ?")
        wanted = [None if p == "?" else int(p) for p in parts]
    else:
        wanted = [n or have for n, have in zip(fixed, stored.get("size", (None, None)))]
    if any(have is not None and want != have for want, have in zip(wanted, fixed)):
        sizes = "x".join("?" if n is None else str(n) for n in wanted)
        raise UsageError(f"--image-size: the model takes {image.sizes}, not pictures of {sizes}")
    return wanted[0], wanted[1]


def _stored(path: Path) -> dict[str, Any]:
    """What ``preprocessor_config.json`` of Hugging Face's image processors says, in our words."""
    content = read_json(path)
    if not content:
        return {}
    try:
        return _translated(content)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as e:
        raise CorruptModelError(f"{path}: damaged: {e}") from None


def _translated(content: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    size, crop = content.get("size"), content.get("crop_size")
    if isinstance(size, dict) and "shortest_edge" in size:
        found["short_edge"] = int(size["shortest_edge"])
        size = None
    elif isinstance(size, int) and content.get("do_center_crop"):
        found["short_edge"], size = size, None
    if content.get("do_center_crop") and crop:
        found["size"], found["fit"] = _edges(crop), "crop"
    elif size:
        found["size"] = _edges(size)
    if content.get("do_normalize", True):
        given = (("mean", content.get("image_mean")), ("std", content.get("image_std")))
        found.update({k: [float(n) for n in v] for k, v in given if v})
    else:
        found.update(mean=[0.0], std=[1.0])
    if not content.get("do_rescale", True):
        found["scale"] = 1.0
    elif "rescale_factor" in content:
        found["scale"] = float(content["rescale_factor"])
    if content.get("resample") in _PIL:
        found["resample"] = _PIL[content["resample"]]
    return found


def _edges(size: Any) -> tuple[int, int]:
    pair = (size["height"], size["width"]) if isinstance(size, dict) else (size, size)
    height, width = (int(edge) for edge in pair)
    if not (0 < height < _MOST and 0 < width < _MOST):
        raise ValueError(f"a picture of {height}x{width}")
    return height, width


def _numbers(option: str, given: Sequence[float], channels: int) -> list[float]:
    numbers = [float(n) for n in given]
    if len(numbers) not in (1, channels) or not all(math.isfinite(n) for n in numbers):
        raise UsageError(f"{option}: one number, or one for each of {channels} channels")
    return numbers * (channels // len(numbers))


def _first(*values: Any) -> Any:
    return next(v for v in values if v is not None)


def _few(numbers: Sequence[float]) -> str:
    same = len(set(numbers)) == 1
    return f"{numbers[0]:g}" if same else "[" + ", ".join(f"{n:g}" for n in numbers) + "]"
