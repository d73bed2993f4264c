"""What services are asked: texts, pictures or tensors, from files or made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

import numpy as np

from mconv.errors import UsageError
from mconv.program.paths import PathLike
from mconv.proof.feeds import load_feeds, specs_in
from mconv.proof.service import image_requests, text_requests

TEXT, IMAGE, TENSOR = "texts", "images", "tensors"
KINDS = (TEXT, IMAGE, TENSOR)
# of several lengths, as requests are
_MADE_UP = (
    "The quick brown fox jumps over the lazy dog.",
    "Short.",
    "一博| 愿你在岁月中更加平湖静月，衣襟生花，你好你坏我们都在，",
    "Numbers 3.14, CAPITALS and ünïcödé 😀, in a sentence that is somewhat longer than the others are.",
    "A service that many use at a time is asked short questions and long ones, one after the other, as they come: this "
    "one is long enough to need about fifty tokens, which is where most of the time of a small model goes.",
)


@dataclass(frozen=True)
class Payload:
    """One request.

    Attributes:
        kind: ``texts``, ``images`` or ``tensors``.
        values: key → a text, a picture in base64, or an array.
    """

    kind: str
    values: Mapping[str, Union[str, np.ndarray]]


def texts(path: Optional[PathLike] = None) -> list[Payload]:
    """One text each: the lines of a file, or a few that are made up.

    Raises:
        UsageError: the file cannot be read, or holds no text.
    """
    rows = [{"0": text} for text in _MADE_UP] if path is None else text_requests(Path(path))
    return [Payload(TEXT, row) for row in rows]


def images(paths: Sequence[PathLike] = ()) -> list[Payload]:
    """One picture each: files, or two that are made up.

    Raises:
        UsageError: a file cannot be read.
    """
    return [Payload(IMAGE, row) for row in image_requests([Path(p) for p in paths])]


def tensors(path: PathLike) -> list[Payload]:
    """The input sets of a ``.npz`` file.

    Raises:
        UsageError: it cannot be read, or holds none.
    """
    specs = specs_in(Path(path))
    if not specs:
        raise UsageError(f"{path}: holds no inputs")
    return [Payload(TENSOR, feed) for feed in load_feeds(Path(path), specs)]


def described(payloads: Sequence[Payload]) -> str:
    """``5 texts``, ``1 set of tensors: x float32[1,4]``."""
    kinds = {p.kind for p in payloads}
    if kinds == {TENSOR}:
        first = ", ".join(
            f"{name} {value.dtype}[{','.join(map(str, value.shape))}]"
            for name, value in payloads[0].values.items()
            if isinstance(value, np.ndarray)
        )
        return f"{len(payloads)} set{'s' * (len(payloads) > 1)} of tensors: {first}"
    if not payloads:
        return "one body"
    names = {TEXT: "text", IMAGE: "picture"}
    return ", ".join(f"{len(payloads)} {names[kind]}{'s' * (len(payloads) > 1)}" for kind in sorted(kinds))
