"""A generated pipeline service on disk: which one belongs to a model, a copy of it to run, requests of its kind."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

from mconv.errors import CorruptModelError, MconvError, NotAModelError, UsageError
from mconv.program.copying import read_small
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.proof.pipeline import Request
from mconv.serving import configure
from mconv.serving.kinds import OCR, PICTURES
from mconv.serving.servers import FoundService, read
from mconv.serving.sidecars import read_text

# what a text service is asked where the user gives no texts: three requests, of one text and of several
TEXTS = (
    ["The quick brown fox jumps over the lazy dog."],
    ["一博| 愿你在岁月中更加平湖静月，衣襟生花，你好你坏我们都在，", "Short.", "Numbers 3.14, CAPITALS and ünïcödé 😀"],
    ["word " * 1000],
)
# what no service takes: the name of the mistake → a body
BAD_BODIES = {
    "an empty body": b"",
    "no JSON": b"{'key': [",
    "a list": b"[1, 2]",
    "no input": b"{}",
    "a key without a value": b'{"key": ["0", "1"], "value": ["x"]}',
    "a key twice": b'{"key": ["0", "0"], "value": ["x", "x"]}',
    "values of the wrong type": b'{"key": ["0"], "value": [[1, 2]]}',
    "a pickle": b'{"tensors": [{"name": "0", "elem_type": 13, "byte_data": "gASVFgAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOULg=="}]}',
}


def resolve(path: Path, given: Optional[Path] = None) -> tuple[Path, Optional[FoundService]]:
    """The ``serving_server/`` folder that a path means, and its service if there is one.

    Args:
        path: the folder itself, its service's, or one above both.
        given: the service's folder, where the user says so.

    Raises:
        NotAModelError: *path* is none of them, or *given* is no generated service.
        UsageError: *given* serves another model, or several services serve the model.
    """
    path = path.absolute()
    if given is not None:
        service = read(given)
        if service is None:
            raise NotAModelError(f"{given}: no service that mconv has written", "make one with `mconv scaffold`")
        server = service.server if _is_server(path) is None else path
        if service.server != server.resolve():
            raise UsageError(f"{given} serves {service.server}, not {path}", "model_config of its config.yml says so")
        return server, service
    if _is_server(path) is not None:
        found = [s for s in _services(path.parent) if s.server == path.resolve()]
        if len(found) > 1:
            raise UsageError(f"{path} has several services: {', '.join(str(s.folder) for s in found)}", "--service DIR")
        return path, found[0] if found else None
    found = _services(path) if path.is_dir() else []
    if len(found) == 1 and (found[0].kind == OCR or _is_server(found[0].server) is not None):
        return found[0].server, found[0]
    if len(found) > 1:
        raise UsageError(f"{path} holds several services: {', '.join(str(s.folder) for s in found)}", "name one")
    inside = path / "serving_server"
    if not found and _is_server(inside) is not None:
        return inside, None
    raise configure.not_a_server(path)


def _is_server(folder: Path) -> Optional[Path]:
    return folder if (folder / configure.SERVER_TEXT).is_file() else None


def _services(folder: Path) -> list[FoundService]:
    """Those in a folder itself and one below."""
    folders = [folder, *sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))]
    return [s for s in map(read, folders) if s is not None]


def copy(service: FoundService, scratch: Path) -> Path:
    """A copy of a service's files, unchanged, that finds its model where its ``config.yml`` says.

    Returns:
        The copy's folder, below *scratch*.
    """
    # as deep as the original, so that "../../model" stays inside
    folder = scratch.joinpath("root", *service.folder.parts[1:])
    folder.mkdir(parents=True)
    # what lies in folders is the server's own, logs and such, unless its modules are there
    inside = service.folder.iterdir() if service.modules == "." else service.folder.rglob("*")
    for path in sorted(inside):
        if path.is_file() and path.suffix != ".log" and not path.is_symlink():
            target = folder / path.relative_to(service.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    if not Path(service.model).is_absolute():
        link = Path(os.path.normpath(folder / service.model))
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(service.server, target_is_directory=True)
    return folder


# ------------------------------------------------------------------------------------------------ requests


def requests(
    kind: str, program: Program, texts: Optional[PathLike] = None, images: Sequence[PathLike] = ()
) -> list[Request]:
    """Requests for a service of texts or pictures: the user's or those built in, of as many as the model takes.

    Raises:
        UsageError: a file cannot be read.
    """
    if kind == "text":
        made = text_requests(None if texts is None else Path(texts))
    else:
        made = image_requests([Path(path) for path in images])
    fixed = [port.shape[0] for port in program.feeds if port.shape and port.shape[0] > 0]
    return of_batch(made, fixed[0] if fixed else None)


def text_requests(path: Optional[Path]) -> list[Request]:
    """Requests of texts: one for each line of a file, or those built in.

    Raises:
        UsageError: the file cannot be read or holds no text.
    """
    if path is None:
        return [{str(i): text for i, text in enumerate(texts)} for texts in TEXTS]
    try:
        lines = [line for line in read_text(path).splitlines() if line.strip()]
    except MconvError as e:
        raise UsageError(f"--texts: {e.message}") from None
    if not lines:
        raise UsageError(f"--texts: {path} holds no text")
    return [{"0": line} for line in lines]


_MAX_PICTURE = 64 << 20  # bytes


def image_requests(paths: Sequence[Path]) -> list[Request]:
    """Requests of one picture each: files, or two that are made here.

    Raises:
        UsageError: a file cannot be read.
    """
    try:
        files = [read_small(path, _MAX_PICTURE, "are no picture that a service takes") for path in paths]
    except (NotAModelError, CorruptModelError) as e:
        raise UsageError(f"--image: {e.message}") from None
    if not files:
        return [image_request(picture(120, 200)), image_request(picture(300, 180))]
    return [{"0": base64.b64encode(data).decode()} for data in files]


def image_request(pixels: np.ndarray) -> Request:
    """A request of one picture, uint8[height, width, 3]."""
    return {"0": base64.b64encode(png(pixels)).decode()}


def of_batch(requests: Sequence[Request], batch: Optional[int]) -> list[Request]:
    """The same texts or pictures in requests of *batch* each, which the model was made for; None: as they are."""
    if batch is None:
        return list(requests)
    values = [value for request in requests for value in request.values()]
    values += [values[i % len(values)] for i in range(-len(values) % batch)]
    return [{str(i): value for i, value in enumerate(values[at : at + batch])} for at in range(0, len(values), batch)]


def as_bytes(request: Request) -> Request:
    """A request of pictures with the files' bytes as arrays of uint8."""
    return {k: np.frombuffer(base64.b64decode(str(v)), np.uint8) for k, v in request.items()}


def arguments(kind: str, request: Request, folder: Path) -> list[str]:
    """What a client of the service is called with for a request; pictures and arrays are put into *folder*."""
    if kind == "text":
        return [str(v) for v in request.values()]
    told = []
    for index, (name, value) in enumerate(request.items()):
        path = folder / f"input-{index}"
        if kind in PICTURES:
            path.write_bytes(base64.b64decode(str(value)))
            told.append(str(path))
        else:  # in a file: an argument has room for 128 kB
            path.write_text(json.dumps(value.tolist()) if isinstance(value, np.ndarray) else value)
            told.append(f"{name}=@{path}")
    return told


def bad_bodies(kind: str, feeds: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Requests that a service of that kind has to refuse: the name of the mistake → a body.

    Args:
        feeds: a good input set, by what clients call the inputs.
    """

    def pairs(**values: Any) -> bytes:
        return json.dumps({"key": list(values), "value": list(values.values())}).encode()

    bad = dict(BAD_BODIES)
    if kind == "text":
        bad["10 MB of text"] = pairs(text="x" * (10 << 20))
    elif kind in PICTURES:
        bad["no base64"] = pairs(image="%%%")
        bad["no picture"] = pairs(image=base64.b64encode(b"no picture").decode())
        bad["10 MB of text"] = pairs(image="x" * (10 << 20))
    else:
        good = {name: json.dumps(array.tolist()) for name, array in feeds.items()}
        first = next(iter(good))
        bad["a missing input"] = pairs(**{k: v for k, v in good.items() if k != first})
        bad["an unknown input"] = pairs(**good, no_such_input="[1]")
        bad["the wrong rank"] = pairs(**{**good, first: json.dumps([[[[[[[feeds[first].tolist()]]]]]]])})
        bad["the wrong type"] = pairs(**{**good, first: '[["a"]]'})
        bad["10 MB of text"] = pairs(**{**good, first: "x" * (10 << 20)})
    return bad


def picture(height: int, width: int) -> np.ndarray:
    """uint8[height, width, 3], smooth with an edge, so that a wrong resize or channel order shows."""
    y, x = np.mgrid[0:height, 0:width]
    red = (127 + 120 * np.sin(x / 17)).astype(np.uint8)
    green = (255 * y // height).astype(np.uint8)
    blue = np.where((x // 24 + y // 24) % 2 == 0, 30, 220).astype(np.uint8)
    return np.stack([red, green, blue], -1)


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8[height, width, 3]."""
    height, width, _ = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # each begins with its filter: none
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
