"""Folders of PaddleX and PaddleOCR: ``inference.yml`` beside the program says what the model is and what surrounds it.

Its operators and their defaults are those of PaddleX 3.7 (``paddlex/inference/models``): of classifiers, of PP-OCR's
text detection and recognition. What it says becomes the settings of a service; the file itself goes where the model goes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.artifacts.described import NAME
from mconv.errors import CorruptModelError
from mconv.printable import printable
from mconv.serving.sidecars import read_text
from mconv.yaml_text import MOST, NotYaml, parsed

# what each operator does to the shape of an array, or to labels that only training has: nothing of a service's
_NOTHING = re.compile(r"ToCHWImage|KeepKeys|Permute|\w*LabelEncode")
# PP-OCR's detectors whose long edge is bounded; the others' short one is (text_detection/predictor.py)
_BOUNDED = re.compile(r"PP-OCRv[56]_\w+_det")
# of values, one in another, and characters of one: more than any such file has
_MOST_VALUES, _DEPTH, _LONGEST = 200_000, 12, 2000
_FRACTION = re.compile(r"\s*([\d.]+(?:e-?\d+)?)\s*(?:/\s*([\d.]+)\s*)?", re.ASCII)
# OpenCV's names and numbers of what resizes
_RESAMPLES = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic", "bicubic": "bicubic",
              "area": "area", "box": "area", "lanczos4": "lanczos"}  # fmt: skip


@dataclass(frozen=True)
class PaddleX:
    """What an ``inference.yml`` says.

    Attributes:
        path: the file.
        name: ``Global.model_name``, such as ``PP-OCRv5_mobile_rec``.
        operators: what is done to a picture, in order: name and arguments.
        after: what is done to the outputs: ``PostProcess``.
    """

    path: Path
    name: Optional[str]
    operators: tuple[tuple[str, dict[str, Any]], ...]
    after: dict[str, Any] = field(default_factory=dict)

    @property
    def answer(self) -> Optional[str]:
        """What the outputs are read as: ``labels``, ``text``, ``boxes``; None where it is nothing of these."""
        if "Topk" in self.after:
            return "labels"
        return {"CTCLabelDecode": "text", "DBPostProcess": "boxes"}.get(str(self.after.get("name")))

    @property
    def words(self) -> Optional[list[str]]:
        """The names of the classes, or a recogniser's characters, one for each number of an output's row.

        A recogniser's first number is that of CTC's blank, which is no character, its last one the blank between words.

        Raises:
            CorruptModelError: they are no texts of a line each.
        """
        if self.answer == "labels":
            said = self.after["Topk"].get("label_list") if isinstance(self.after["Topk"], dict) else None
            return None if said is None else [" ".join(name.split()) for name in self._texts("label_list", said)]
        if self.answer == "text":
            said = self.after.get("character_dict") or "0123456789abcdefghijklmnopqrstuvwxyz"
            return ["", *self._texts("character_dict", list(said) if isinstance(said, str) else said), " "]
        return None

    def _texts(self, what: str, values: Any) -> list[str]:
        if not isinstance(values, list) or not all(isinstance(v, (str, int, float)) for v in values):
            raise CorruptModelError(f"{self.path}: {what} is no list of texts")
        texts = [str(v) for v in values]
        if any(len(text.splitlines()) > 1 or text.endswith(("\n", "\r")) for text in texts):
            raise CorruptModelError(f"{self.path}: {what} has a text of more than one line")
        return texts

    @property
    def summary(self) -> str:
        """One line on it."""
        steps = " → ".join(name for name, _ in self.operators if not _NOTHING.fullmatch(name))
        read = "" if self.answer is None else f"; outputs read as {self.answer}"
        of = "" if self.name is None else f" of {printable(self.name, 60)}"
        return f"{NAME}{of}: {printable(steps, 120) or 'nothing done to inputs'}{read}; it goes where the model goes"

    def boxes(self) -> dict[str, Any]:
        """The settings of PP-OCR's reading of a map of text, with its defaults.

        Raises:
            CorruptModelError: they are no numbers.
        """
        given = {"thresh": 0.3, "box_thresh": 0.6, "unclip_ratio": 2.0, "max_candidates": 1000, "use_dilation": False}
        found = {k: self.after.get(k, v) for k, v in given.items()}
        for key, value in found.items():
            if (
                isinstance(given[key], bool) is not isinstance(value, bool)
                or not isinstance(value, (int, float))
                or value < 0
            ):
                raise CorruptModelError(f"{self.path}: PostProcess: {key} is {printable(repr(value), 60)}")
        return {k: type(given[k])(v) for k, v in found.items()}

    def picture(self) -> tuple[dict[str, Any], list[str]]:
        """The settings of a picture that the operators come to, as :mod:`image_settings` has them, and what of it a
        service does not do.

        Raises:
            CorruptModelError: an operator has arguments that are none.
        """
        found: dict[str, Any] = {"order": "rgb", "library": "opencv", "resample": "bilinear"}
        others = []
        for name, arguments in self.operators:
            reader = _READERS.get(name)
            if reader is None:
                if not _NOTHING.fullmatch(name):
                    others.append(printable(name, 60))
                continue
            try:
                found.update(reader(self, arguments))
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError, ZeroDivisionError) as e:
                raise CorruptModelError(f"{self.path}: {name}: {printable(str(e), 120)}") from None
        if not others:
            return found, []
        names = ", ".join(dict.fromkeys(others[:5])) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        return found, [f"{NAME} has {names}, which the service does not do: see image_input.py"]


def find(folder: Optional[Path]) -> Optional[PaddleX]:
    """The ``inference.yml`` of a folder; None where it has none, or one of something else.

    Raises:
        CorruptModelError: it is damaged.
    """
    path = None if folder is None else folder / NAME
    if path is None or not path.is_file():
        return None
    return read(path)


def read(path: Path) -> Optional[PaddleX]:
    """An ``inference.yml``; None where it is of a kind without ``PreProcess``.

    Raises:
        CorruptModelError: it is no YAML, or has other things where operators belong.
    """
    text = read_text(path, MOST)
    try:
        content = parsed(text)
    except NotYaml as e:
        raise CorruptModelError(f"{path}: no YAML" + ("" if e.line is None else f" (line {e.line})")) from None
    if not isinstance(content, dict) or not isinstance(content.get("PreProcess"), dict):
        return None
    content = _plain(path, {k: content[k] for k in ("Global", "PreProcess", "PostProcess") if k in content})
    given = content["PreProcess"].get("transform_ops") or []
    after = content.get("PostProcess") or {}
    if not isinstance(given, list) or not isinstance(after, dict):
        raise CorruptModelError(f"{path}: PreProcess has no list of transform_ops, or PostProcess is no mapping")
    operators = []
    for each in given:
        each = {each: None} if isinstance(each, str) else each
        if not isinstance(each, dict) or len(each) != 1:
            raise CorruptModelError(f"{path}: transform_ops: {printable(str(each), 80)} is no operator")
        ((name, arguments),) = each.items()
        if not isinstance(arguments or {}, dict):
            raise CorruptModelError(f"{path}: {printable(str(name), 60)}: its arguments are no mapping")
        operators.append((str(name), dict(arguments or {})))
    return PaddleX(path, _name(content), tuple(operators), after)


def _plain(path: Path, content: Any) -> Any:
    """What a file says, of texts and numbers alone, and no more than such a file has, however often it repeats itself.

    Raises:
        CorruptModelError: it is something else.
    """
    count = 0

    def walk(value: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if count > _MOST_VALUES or depth > _DEPTH:
            raise CorruptModelError(f"{path}: holds more than any description of a model")
        if isinstance(value, dict):
            return {walk(k, depth + 1): walk(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, depth + 1) for v in value]
        if isinstance(value, str) and len(value) <= _LONGEST:
            try:  # JSON, which is YAML, writes an emoji as two halves
                return value.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                raise CorruptModelError(f"{path}: {printable(value, 60)!r} is no text") from None
        if value is None or (isinstance(value, (int, float)) and abs(value) < 1 << 53):  # bool, too; no NaN
            return value
        raise CorruptModelError(f"{path}: holds something that is no text and no number")

    return walk(content, 0)


def _name(content: Mapping[str, Any]) -> Optional[str]:
    said = content.get("Global")
    name = said.get("model_name") if isinstance(said, dict) else None
    return name if isinstance(name, str) else None


# ------------------------------------------------------------------------------------------------ operators


def _decode(found: PaddleX, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"order": {"BGR": "bgr", "RGB": "rgb", "GRAY": "gray"}[str(arguments.get("img_mode", "RGB")).upper()]}


def _resize(found: PaddleX, arguments: dict[str, Any]) -> dict[str, Any]:
    way = _RESAMPLES[str(arguments.get("interpolation") or "LINEAR").lower()]
    library = "pillow" if arguments.get("backend") == "pil" else "opencv"
    made = {"resample": way, "library": library}
    if arguments.get("resize_short"):
        return {**made, "short_edge": _edge(arguments["resize_short"])}
    return {**made, "size": _edges(arguments["size"]), "fit": "stretch"}


def _crop(found: PaddleX, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"size": _edges(arguments.get("size", 224)), "fit": "crop"}


def _normalize(found: PaddleX, arguments: dict[str, Any]) -> dict[str, Any]:
    mean, std = arguments.get("mean") or [0.485, 0.456, 0.406], arguments.get("std") or [0.229, 0.224, 0.225]
    if not all(isinstance(v, list) and len(v) in (1, 3) for v in (mean, std)):
        raise ValueError("mean and std are lists of one number or of three")
    if not all(float(n) for n in std):
        raise ValueError("std is 0, nothing can be divided by it")
    return {
        "mean": [float(n) for n in mean],
        "std": [float(n) for n in std],
        "scale": _number(arguments.get("scale", 1 / 255)),
    }


def _line(found: PaddleX, arguments: dict[str, Any]) -> dict[str, Any]:
    """A line of text: as high as the model, as wide as it is long, at least the width that the model was trained with."""
    _, height, width = arguments.get("image_shape", (3, 48, 320))
    return {
        "size": (_edge(height), None), "fit": "pad", "widths": (_edge(width), max(3200, _edge(width))),
        "mean": [0.5], "std": [0.5], "scale": 1 / 255,
    }  # fmt: skip


def _line_of_one_width(found: PaddleX, arguments: dict[str, Any]) -> dict[str, Any]:
    """A line whose direction is asked: no wider than that, filled up to it."""
    _, height, width = arguments.get("image_shape", (3, 48, 192))
    return {**_line(found, {"image_shape": (3, height, width)}), "widths": (_edge(width), _edge(width))}


def _page(found: PaddleX, arguments: dict[str, Any]) -> dict[str, Any]:
    """A page: in its own proportions, one edge bounded, both multiples of what the network halves."""
    if "image_shape" in arguments and not arguments.get("keep_ratio"):
        if not isinstance(arguments["image_shape"], list):
            raise ValueError("image_shape is no list of height and width")
        return {"size": _edges(arguments["image_shape"][::-1]), "fit": "stretch"}
    bounded = found.name is not None and _BOUNDED.fullmatch(found.name)
    edge = arguments.get("limit_side_len") or arguments.get("resize_long") or (960 if bounded else 736)
    kind = arguments.get("limit_type") or ("max" if bounded else "min")
    limit = {"max": "longest", "min": "shortest", "resize_long": "long"}[kind]
    return {"size": (None, None), "fit": "pad", "edge": _edge(edge), "limit": limit}


_READERS = {
    "DecodeImage": _decode, "ResizeImage": _resize, "CropImage": _crop, "NormalizeImage": _normalize,
    "RecResizeImg": _line, "ClsResizeImg": _line_of_one_width, "DetResizeForTest": _page,
}  # fmt: skip


def _edge(value: Any) -> int:
    edge = 0 if isinstance(value, bool) else int(value)
    if not 0 < edge < 1 << 16:
        raise ValueError(f"an edge of {value}")
    return edge


def _edges(value: Any) -> tuple[int, int]:
    """(height, width) of one number, or of (width, height)."""
    if not isinstance(value, (int, list)):
        raise ValueError(f"{value!r} is no size")
    width, height = (value, value) if isinstance(value, int) else value
    return _edge(height), _edge(width)


def _number(value: Any) -> float:
    """A number, which PaddleOCR also writes as a text: ``1./255.``."""
    if isinstance(value, str):
        match = _FRACTION.fullmatch(value)
        if match is None:
            raise ValueError(f"{value!r} is no number")
        value = float(match[1]) / float(match[2] or 1)
    if not math.isfinite(float(value)):
        raise ValueError(f"{value} is no number")
    return float(value)
