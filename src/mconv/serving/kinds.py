"""What kind of service a model wants, guessed from its inputs: texts, pictures, or plain tensors."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mconv.errors import UnsupportedError, UsageError
from mconv.program.dtypes import DType
from mconv.program.paths import PathLike
from mconv.program.program import Program
from mconv.serving.configure import ServingConfig

KINDS = ("text", "image", "tensor")
# of several models: it takes pictures, too
OCR = "ocr"
PICTURES = ("image", OCR)
# what an input of a text model holds → the names that models give it
ROLES: dict[str, tuple[str, ...]] = {
    "ids": ("input_ids", "ids", "src_ids", "token_ids", "word_ids", "input_word_ids", "tokens"),
    "types": ("token_type_ids", "type_ids", "segment_ids", "sent_ids", "sentence_ids", "input_type_ids", "segments"),
    "mask": ("attention_mask", "input_mask", "attn_mask", "padding_mask", "mask"),
    "positions": ("position_ids", "pos_ids", "positions"),
}
_IDS = (DType.INT64, DType.INT32)
PADDLE_SERVING = "paddle-serving"  # the usual server
# in no package registry: mconv writes its files and does not start it
OPENVINO_MODEL_SERVER = "openvino-model-server"


@dataclass
class Written:
    """A service that was written.

    Attributes:
        kind: ``text``, ``image`` or ``tensor``.
        folder: where it is.
        files: what is in it.
        name, rpc_port, http_port: how it is asked; without RPC there is no port of it.
        summary: one line on what it does with requests.
        notes: what was guessed and may be wrong.
        server: what it runs on.
        path: where requests over HTTP go.
    """

    kind: str
    folder: Path
    files: list[str]
    name: str
    rpc_port: Optional[int]
    http_port: int
    summary: str
    notes: list[str]
    server: str = PADDLE_SERVING
    path: str = "/model/prediction"

    @property
    def start(self) -> str:
        """The command that starts it, and what it answers to then."""
        command = start_command(self.server, self.folder)
        if self.server == OPENVINO_MODEL_SERVER:
            return f"`{command}`: HTTP POST http://127.0.0.1:38000{self.path}"
        rpc = "" if self.rpc_port is None else f", RPC 127.0.0.1:{self.rpc_port}"
        return f"`{command}`: HTTP POST http://127.0.0.1:{self.http_port}{self.path}{rpc}"


def start_command(server: Optional[str], folder: PathLike) -> str:
    """The command that starts a service.

    Args:
        server: what it runs on; None: the usual one.
        folder: the service.
    """
    if server == OPENVINO_MODEL_SERVER:
        return f"docker compose -f {shlex.quote(str(Path(folder) / 'docker-compose.yml'))} up --build"
    return f"mconv serve {shlex.quote(str(folder))}/"


@dataclass(frozen=True)
class ModelInput:
    """An input as clients see it.

    Attributes:
        name: what clients call it.
        dtype: the type of its elements.
        shape: its dimensions; None for one that is open.
    """

    name: str
    dtype: DType
    shape: tuple[Optional[int], ...]

    @property
    def sizes(self) -> str:
        """``[?, 3, 224, 224]``."""
        return "[" + ", ".join("?" if d is None else str(d) for d in self.shape) + "]"


def inputs_of(config: ServingConfig, program: Optional[Program]) -> list[ModelInput]:
    """The inputs of a model, by what clients call them.

    Args:
        program: where the shapes are; without it they are those of the configuration, which lacks what is open.

    Raises:
        UnsupportedError: an input has a type without a number in mconv's table, or is a LoD tensor.
    """
    shapes = {} if program is None else {port.name: port.shape for port in program.feeds}
    found = []
    for var in config.feeds:
        if var.dtype is None:
            raise UnsupportedError(
                f"input {var.alias!r} has feed_type {var.type}, which is no type of Paddle Serving 0.9.0"
            )
        if var.lod:
            raise UnsupportedError(
                f"input {var.alias!r} is a LoD tensor", "the generated service takes dense tensors only"
            )
        shape = shapes.get(var.name, tuple(var.shape))
        found.append(ModelInput(var.alias, var.dtype, tuple(None if d < 0 else d for d in shape)))
    return found


def text_roles(inputs: Sequence[ModelInput], given: Optional[Mapping[str, str]] = None) -> Optional[dict[str, str]]:
    """What each input of a text model holds; None when some input is none of a text model's or none holds ids.

    Args:
        given: what the user says of some: input → ``ids``, ``types``, ``mask`` or ``positions``.

    Raises:
        UsageError: *given* names no input, or no role.
    """
    names = [i.name for i in inputs]
    given = given or {}
    for name, role in given.items():
        if name not in names:
            raise UsageError(f"--text-input: the model has no input {name!r}", f"its inputs are {', '.join(names)}")
        if role not in ROLES:
            raise UsageError(f"--text-input: {role!r} is nothing that an input holds", f"one of {', '.join(ROLES)}")
    known = {name: role for role, usual in ROLES.items() for name in usual}
    roles: dict[str, str] = {}
    for each in inputs:
        role_of = given.get(each.name) or known.get(each.name.lower())
        if role_of is None or len(each.shape) != 2 or (each.dtype not in _IDS and role_of != "mask"):
            return None
        roles[each.name] = role_of
    return roles if "ids" in roles.values() else None


def image_layout(inputs: Sequence[ModelInput], channels: Sequence[int] = (3,)) -> Optional[str]:
    """``nchw`` or ``nhwc`` for a model of one picture, float or uint8, with that many channels; else None."""
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        return None
    if inputs[0].dtype not in (DType.FP32, DType.FP16, DType.UINT8):
        return None
    if inputs[0].shape[1] in channels:
        return "nchw"
    return "nhwc" if inputs[0].shape[3] in channels else None
