"""The process in which ONNX's C++ runs: see :mod:`mconv.onnx.cpp`, which starts it and is the other end of its pipes.

    python -I -S cpp_main.py PATH/onnx/onnx_cpp2py_export.so

It loads that one library and nothing else, neither onnx's Python nor numpy, so that it is ready in 50 ms. A request is
a length (8 bytes) and that many bytes of :mod:`marshal`: the name of a function below and its arguments. An answer is
a number of parts and for each its length and bytes: ``ok`` and the function's results, or ``no``, the class of the
exception and its text. It ends with its input.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import marshal
import os
import struct
import sys
from typing import Any

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

_NAME = "onnx.onnx_cpp2py_export"
_MEMORY = 512 << 20  # bytes a request may take
_MEMORY_FACTOR = 32  # and times its size
_SECONDS = 2  # of the processor
_SECONDS_PER_BYTE = 2 / (1 << 20)
_WORD = struct.Struct("<Q")


def _library(path: str) -> Any:
    loader = importlib.machinery.ExtensionFileLoader(_NAME, path)
    spec = importlib.util.spec_from_file_location(_NAME, path, loader=loader)
    assert spec is not None
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except ImportError:  # a version that wants its package around it
        import site

        site.main()
        sys.path.insert(0, os.path.dirname(os.path.dirname(path)))
        module = importlib.import_module(_NAME)
    return module


class Server:
    """The functions that can be asked for; each gives the list of its results."""

    def __init__(self, library: Any):
        self.c = library
        self.scope = library.checker.LexicalScopeContext()

    def infer_shapes(self, model: bytes, strict: bool) -> list[bytes]:
        return [self.c.shape_inference.infer_shapes(model, True, strict, True)]

    def convert_version(self, model: bytes, version: int) -> list[bytes]:
        return [self.c.version_converter.convert_version(model, version)]

    def check_model(self, path: str) -> list[bytes]:
        _limit(os.path.getsize(path))
        self.c.checker.check_model_path(path, False, False, False)
        return []

    def text(self, model: bytes) -> list[bytes]:
        return [self.c.printer.model_to_text(model).encode("utf-8", "surrogateescape")]

    def node(
        self,
        schema: tuple[str, int, str],
        node: bytes,
        check: bool,
        opsets: dict[str, int],
        ir_version: int,
        types: dict[str, bytes],
        data: dict[str, bytes],
    ) -> list[bytes]:
        """Names and types of the outputs, in turns."""
        if check:
            context = self.c.checker.CheckerContext()
            context.ir_version = ir_version
            context.opset_imports = opsets
            self.c.checker.check_node(node, context, self.scope)
        found = self.c.defs.get_schema(*schema)
        if not found.has_type_and_shape_inference_function:
            return []
        made = found._infer_node_outputs(node, types, data, {}, opsets, ir_version)
        return [part for name, kind in made.items() for part in (name.encode("utf-8", "surrogateescape"), kind)]

    def body(self, schema: tuple[str, int, str], version: int, node: bytes, types: list[bytes]) -> list[bytes]:
        """The function that an operator stands for in a node of it."""
        found = self.c.defs.get_schema(*schema)
        return [found.get_context_dependent_function_with_opset_version(version, node, types)]


def _limit(size: int) -> None:
    """Bound what the next request may take: more kills the process, or fails its allocation."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + _SECONDS + size * _SECONDS_PER_BYTE) + 1
    _lower(resource.RLIMIT_CPU, seconds)
    try:
        with open("/proc/self/statm", "rb") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    _lower(resource.RLIMIT_AS, taken + _MEMORY + _MEMORY_FACTOR * size)


def _lower(what: int, soft: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _answer(parts: list[bytes]) -> None:
    out = sys.stdout.buffer
    out.write(_WORD.pack(len(parts)) + b"".join(_WORD.pack(len(part)) + part for part in parts))
    out.flush()


def main() -> None:
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's ^C is for the command; it closes the pipe
    server = Server(_library(sys.argv[1]))
    source = sys.stdin.buffer
    while len(head := source.read(_WORD.size)) == _WORD.size:
        (size,) = _WORD.unpack(head)
        function, *arguments = marshal.loads(source.read(size))
        _limit(size)
        try:
            parts = [b"ok", *getattr(server, function)(*arguments)]
        except Exception as e:  # noqa: BLE001 - whatever ONNX raises is the answer
            parts = [b"no", type(e).__name__.encode(), str(e).encode("utf-8", "replace")]
        _answer(parts)


if __name__ == "__main__":
    main()
