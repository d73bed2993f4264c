"""ONNX's C++ (shape inference, the checker, function bodies) in a process of its own, whose death is a result.

On damaged models the library reads beyond its memory, divides by zero, or takes all memory there is. So none of it is
called in this process: :mod:`mconv.onnx.cpp_main` is started once, while this process still imports onnx's Python, and
answers requests over pipes until this process ends. What each may take of memory and of the processor is bounded
there; where one kills it, the next starts another.

The library's tables (``onnx.defs``) are safe and stay in this process.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.machinery
import importlib.util
import marshal
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from mconv.errors import MissingDependencyError, RuntimeUnavailableError

_MAIN = Path(__file__).with_name("cpp_main.py")
_WORD = struct.Struct("<Q")
_MOST = 1 << 31  # bytes of a part of an answer, as protobuf has it


class Refused(Exception):
    """ONNX raised: ``kind`` is the class (``InferenceError``, ``ValidationError``, ``MemoryError``, …)."""

    def __init__(self, kind: str, text: str):
        super().__init__(text or kind)
        self.kind = kind


class Died(Refused):
    """The process died of the request; ``kind`` is the signal, such as ``SIGSEGV``."""

    def __init__(self, code: int):
        try:
            kind = signal.Signals(-code).name
        except ValueError:
            kind = f"exit code {code}"
        what = "takes endlessly" if kind == "SIGXCPU" else f"crashes ({kind})"
        super().__init__(kind, f"ONNX's own check of it {what}")


class _Process:
    """One process of :mod:`mconv.onnx.cpp_main`."""

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", os.fspath(_MAIN), _library()]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as e:
            raise RuntimeUnavailableError(
                f"{sys.executable} cannot be started ({e.strerror}): ONNX's checks run in a process of their own"
            ) from None

    def ask(self, request: bytes) -> list[bytes]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(_WORD.pack(len(request)))
            self.process.stdin.write(request)
            self.process.stdin.flush()
            return [self._read(self._word(_MOST)) for _ in range(self._word(1 << 20))]
        except (BrokenPipeError, EOFError, OSError, MemoryError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)  # for its own reason to end
            self.close()
            raise Died(self.process.returncode) from None

    def _word(self, most: int) -> int:
        found: int = _WORD.unpack(self._read(_WORD.size))[0]
        if found > most:
            raise EOFError
        return found

    def _read(self, size: int) -> bytes:
        assert self.process.stdout is not None
        found = self.process.stdout.read(size)
        if len(found) != size:
            raise EOFError
        return found

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self.process.kill()
        self.process.wait()


_lock = threading.Lock()
_process: Optional[_Process] = None


def _library() -> str:
    spec = importlib.util.find_spec("onnx")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            path = os.path.join(folder, f"onnx_cpp2py_export{suffix}")
            if os.path.exists(path):
                return path
    raise MissingDependencyError("the package onnx has no library for this Python", "pip install onnx")


def start() -> None:
    """Start the process, so that it is ready when the first request comes."""
    global _process
    with _lock:
        if _process is None:
            _process = _Process()


def _ask(*request: Any) -> list[bytes]:
    global _process
    message = marshal.dumps(request)
    with _lock:
        if _process is None:
            _process = _Process()
        try:
            status, *parts = _process.ask(message)
        except BaseException:  # an interrupt, too: what the pipe holds now is the answer to another question
            gone, _process = _process, None
            gone.close()
            raise
    if status == b"ok":
        return parts
    kind, text = (p.decode("utf-8", "replace") for p in parts)
    raise Refused(kind, text)


def _stop() -> None:
    global _process
    if _process is not None:
        gone, _process = _process, None
        gone.close()


def _forget() -> None:
    """In a forked process: the pipes are the parent's."""
    global _process, _lock
    _process, _lock = None, threading.Lock()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


# what can be asked ----------------------------------------------------------------------------------------------------


def infer_shapes(model: bytes, *, strict: bool) -> bytes:
    """``onnx.shape_inference.infer_shapes`` with the checks of types and the propagation of data.

    Args:
        model: a ModelProto.

    Returns:
        The ModelProto with what was inferred.

    Raises:
        Refused: ONNX raised, or died.
    """
    return _ask("infer_shapes", model, strict)[0]


def convert_version(model: bytes, version: int) -> bytes:
    """``onnx.version_converter.convert_version``.

    Args:
        model: a ModelProto.

    Returns:
        The ModelProto with the operators of that version.

    Raises:
        Refused: ONNX raised, or died.
    """
    return _ask("convert_version", model, version)[0]


def check_model(path: str) -> None:
    """``onnx.checker.check_model`` of a file.

    Raises:
        Refused: ONNX raised, or died.
    """
    _ask("check_model", path)


def text(model: bytes) -> str:
    """``onnx.printer.to_text`` of a ModelProto.

    Raises:
        Refused: ONNX raised, or died.
    """
    return _ask("text", model)[0].decode("utf-8", "replace")


def node_outputs(
    schema: tuple[str, int, str],
    node: bytes,
    opsets: Mapping[str, int],
    ir_version: int,
    types: Mapping[str, bytes],
    data: Mapping[str, bytes],
    *,
    check: bool = False,
) -> dict[str, bytes]:
    """``onnx.shape_inference.infer_node_outputs``: the types of a node's outputs (TypeProto) by name.

    Args:
        schema: the operator's name, the version of its operator set, its domain.
        node: a NodeProto.
        types: of its inputs (TypeProto), by name.
        data: values of its inputs (TensorProto), by name, where they are known.
        check: run ``onnx.checker.check_node`` first.

    Raises:
        Refused: ONNX raised, or died.
    """
    parts = _ask("node", schema, node, check, dict(opsets), ir_version, dict(types), dict(data))
    return {name.decode("utf-8", "surrogateescape"): kind for name, kind in zip(parts[::2], parts[1::2])}


def function_body(schema: tuple[str, int, str], version: int, node: bytes, types: Sequence[bytes]) -> bytes:
    """The FunctionProto that an operator stands for in this node of it; empty where it stands for none.

    Args:
        version: of the function, one of the schema's ``context_dependent_function_opset_versions``.
        types: of the node's inputs (TypeProto), in order.

    Raises:
        Refused: ONNX raised, or died.
    """
    return _ask("body", schema, version, node, list(types))[0]
