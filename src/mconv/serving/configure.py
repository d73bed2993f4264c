"""``GeneralModelConfig``: what Paddle Serving knows of a model's inputs and outputs, as text and binary.

The message and its field numbers were read off paddle-serving-client 0.9.0 (``docs/formats.md``). The text written
here is byte for byte what that package writes: protobuf's text format, whose printer this repeats because newer
protobuf releases print differently.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from mconv.errors import CorruptModelError, NotAModelError, UnsupportedError
from mconv.program.copying import read_small
from mconv.program.dtypes import DType
from mconv.program.messages import build_classes
from mconv.program.program import Port, Program

PACKAGE = "baidu.paddle_serving.configure"
SERVER_TEXT, SERVER_BINARY = "serving_server_conf.prototxt", "serving_server_conf.stream.prototxt"
CLIENT_TEXT, CLIENT_BINARY = "serving_client_conf.prototxt", "serving_client_conf.stream.prototxt"
_MAX_BYTES = 16 << 20  # a real one has about a hundred bytes for each input and output

# element type → feed_type / fetch_type
TYPES = {
    DType.INT64: 0,
    DType.FP32: 1,
    DType.INT32: 2,
    DType.FP64: 3,
    DType.INT16: 4,
    DType.FP16: 5,
    DType.BF16: 6,
    DType.UINT8: 7,
    DType.INT8: 8,
    DType.BOOL: 9,
    DType.COMPLEX64: 10,
    DType.COMPLEX128: 11,
}
# feed_types that the C++ server's reader knows (general_reader_op.cpp of Paddle Serving 0.9.0); 20 are strings
CPP_READER = (0, 1, 2, 5, 7, 8, 20)
_DTYPES = {number: dtype for dtype, number in TYPES.items()}


@dataclass
class ServingVar:
    """One input or output as the servers see it.

    Attributes:
        name: the variable of the program.
        alias: what clients call it.
        type: ``feed_type`` or ``fetch_type``, see :data:`TYPES`.
        shape: the known dimensions; unknown ones are left out, a LoD variable has ``[-1]``.
        lod: whether it carries levels of detail.
    """

    name: str
    alias: str
    type: int
    shape: list[int] = field(default_factory=list)
    lod: bool = False

    @property
    def dtype(self) -> Optional[DType]:
        """The element type; None for a number that the official tool does not write."""
        return _DTYPES.get(self.type)


@dataclass
class ServingConfig:
    """The inputs and outputs in the order of the servers."""

    feeds: list[ServingVar] = field(default_factory=list)
    fetches: list[ServingVar] = field(default_factory=list)

    def to_text(self) -> bytes:
        """The ``.prototxt`` file."""
        lines: list[str] = []
        for kind, variables in (("feed", self.feeds), ("fetch", self.fetches)):
            for var in variables:
                lines += [
                    f"{kind}_var {{",
                    f'  name: "{_escape(var.name)}"',
                    f'  alias_name: "{_escape(var.alias)}"',
                    f"  is_lod_tensor: {'true' if var.lod else 'false'}",
                    f"  {kind}_type: {var.type}",
                    *(f"  shape: {d}" for d in var.shape),
                    "}",
                ]
        return "".join(line + "\n" for line in lines).encode("ascii")

    def to_binary(self) -> bytes:
        """The ``.stream.prototxt`` file."""
        message = _classes()["GeneralModelConfig"]()
        for kind, variables in (("feed", self.feeds), ("fetch", self.fetches)):
            for var in variables:
                entry = getattr(message, f"{kind}_var").add(
                    name=var.name, alias_name=var.alias, is_lod_tensor=var.lod, shape=var.shape
                )
                setattr(entry, f"{kind}_type", var.type)
        return message.SerializeToString(deterministic=True)

    @classmethod
    def from_text(cls, data: bytes, where: str = SERVER_TEXT) -> ServingConfig:
        """Read a ``.prototxt`` file.

        Raises:
            CorruptModelError: it is damaged; names the line.
        """
        from google.protobuf import text_format

        message = _classes()["GeneralModelConfig"]()
        try:
            text_format.Parse(data.decode("utf-8"), message)
        except UnicodeDecodeError as e:
            raise CorruptModelError(
                f"{where}: not text (byte {data[e.start]:#04x} at offset {e.start})", _AGAIN
            ) from None
        except (text_format.ParseError, ValueError, OverflowError, RecursionError) as e:
            why = str(e).strip().splitlines()
            raise CorruptModelError(f"{where}: damaged: {why[0][:200] if why else type(e).__name__}", _AGAIN) from None
        return cls._from_message(message, where)

    @classmethod
    def from_binary(cls, data: bytes, where: str = SERVER_BINARY) -> ServingConfig:
        """Read a ``.stream.prototxt`` file.

        Raises:
            CorruptModelError: it is damaged.
        """
        from google.protobuf.message import DecodeError

        message = _classes()["GeneralModelConfig"]()
        try:
            message.ParseFromString(data)
        except DecodeError:
            raise CorruptModelError(f"{where}: damaged: {len(data)} bytes that do not parse", _AGAIN) from None
        return cls._from_message(message, where)

    @classmethod
    def _from_message(cls, message: Any, where: str) -> ServingConfig:
        config = cls()
        try:
            for kind, into in (("feed", config.feeds), ("fetch", config.fetches)):
                for entry in getattr(message, f"{kind}_var"):
                    if not entry.name:
                        raise CorruptModelError(f"{where}: a {kind}_var has no name", _AGAIN)
                    alias = entry.alias_name or entry.name
                    number = getattr(entry, f"{kind}_type")
                    into.append(ServingVar(entry.name, alias, number, list(entry.shape), entry.is_lod_tensor))
        except UnicodeDecodeError:
            raise CorruptModelError(f"{where}: a name is not UTF-8 text", _AGAIN) from None
        if not config.feeds and not config.fetches:
            raise CorruptModelError(f"{where}: names no input and no output", _AGAIN)
        return config


_AGAIN = "write it again with `mconv to-serving`"


@functools.lru_cache(maxsize=1)
def _classes() -> dict[str, Any]:
    def variable(kind: str) -> tuple[tuple[str, int, str], ...]:
        return (
            ("name", 1, "string"),
            ("alias_name", 2, "string"),
            ("is_lod_tensor", 3, "bool"),
            (f"{kind}_type", 4, "int32"),
            ("shape", 5, "*int32"),
        )

    return build_classes(
        PACKAGE,
        {
            "FeedVar": variable("feed"),
            "FetchVar": variable("fetch"),
            "GeneralModelConfig": (("feed_var", 1, "*FeedVar"), ("fetch_var", 2, "*FetchVar")),
        },
    )


_ESCAPES = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("'"): "\\'", ord("\\"): "\\\\"}


def not_a_server(folder: Path) -> NotAModelError:
    """The error for a folder that is none of Paddle Serving's."""
    return NotAModelError(
        f"{folder}: not a serving_server folder (there is no {SERVER_TEXT})", "make one with `mconv to-serving MODEL`"
    )


def _escape(name: str) -> str:
    """A string as protobuf's text format prints it: what is not printable ASCII as three octal digits a byte."""
    raw = name.encode("utf-8")
    return "".join(_ESCAPES.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\{b:03o}") for b in raw)


def from_program(
    program: Program, feed_aliases: Optional[dict[str, str]] = None, fetch_aliases: Optional[dict[str, str]] = None
) -> ServingConfig:
    """The configuration of a program in the order of its feed and fetch operators.

    Args:
        program: an inference program.
        feed_aliases, fetch_aliases: variable → what clients call it.

    Raises:
        UnsupportedError: a name or type that the configuration cannot carry.
    """
    return ServingConfig(
        _variables(program.feeds, feed_aliases or {}), _variables(program.fetches, fetch_aliases or {})
    )


def _variables(ports: Iterable[Port], aliases: dict[str, str]) -> list[ServingVar]:
    found = []
    for port in ports:
        if port.dtype is None:
            raise UnsupportedError(
                f"variable {port.name!r} has element type {port.var.dtype_number}, which Paddle Serving has no number for"
            )
        lod = port.var.lod_level >= 1
        shape = [-1] if lod else [d for d in port.shape if d >= 0]
        if any(d > 0x7FFFFFFF for d in shape):
            raise UnsupportedError(
                f"variable {port.name!r} has a dimension of {max(shape)}; the configuration holds int32"
            )
        for text in (port.name, aliases.get(port.name, "")):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise UnsupportedError(f"the name {text!r} is not UTF-8 text") from None
        found.append(ServingVar(port.name, aliases.get(port.name, port.name), TYPES[port.dtype], shape, lod))
    return found


def read(path: Path) -> ServingConfig:
    """Read a ``.prototxt`` (text) or ``.stream.prototxt`` (binary) file.

    Raises:
        NotAModelError: it cannot be read.
        CorruptModelError: it is damaged.
    """
    data = read_small(path, _MAX_BYTES, "is no Paddle Serving configuration")
    binary = path.name.endswith(".stream.prototxt")
    return ServingConfig.from_binary(data, str(path)) if binary else ServingConfig.from_text(data, str(path))


def find(folder: Path) -> Optional[ServingConfig]:
    """The configuration in a ``serving_server/`` or ``serving_client/`` folder; None when there is none there.

    Raises:
        CorruptModelError: there is one and it is damaged.
    """
    for name in (SERVER_TEXT, CLIENT_TEXT, SERVER_BINARY, CLIENT_BINARY):
        if (folder / name).is_file():
            return read(folder / name)
    return None
