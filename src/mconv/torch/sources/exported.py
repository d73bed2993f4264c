"""``.pt2`` archives of ``torch.export.save``, read without running what is in them.

``torch.export.load`` trusts the file in five ways: it unpickles sample inputs, constants and odd weights without
restrictions; hands expressions of sizes to ``sympify``, which evaluates them; looks the functions of the graph up by
any dotted name and runs them when the graph is traced again; writes names of nodes into Python source, which it
executes; and loads compiled libraries. Without trust, every text in the graph is checked before torch sees it,
pickles are read as weights are, and libraries are refused.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional
from unittest import mock

import numpy as np

from mconv.errors import CorruptModelError, MconvError, UnsupportedError, UntrustedError
from mconv.factory.inputs import Input
from mconv.torch.exporting import first_line
from mconv.torch.sources import graph_texts, unpickle
from mconv.torch.sources.forms import Form
from mconv.torch.sources.inputs import dtype_of
from mconv.torch.sources.source import Source, import_torch

_HINT = "--trust allows it, if you know where the file comes from"


def open_archive(path: Path, *, trust: bool) -> Source:
    """The exported program and a module that runs it.

    Raises:
        UntrustedError: it holds more than a graph and weights, and *trust* is not given.
        CorruptModelError: it is damaged, or of a version that this torch does not read.
        UnsupportedError: it calls operators that this torch does not have.
    """
    torch = import_torch()
    if not trust:
        _check(path)
    with unpickle.restricted(str(path), trust=trust), _pickles_refused(path, trust):
        try:
            program = torch.export.load(path)
            if not trust:
                program._guards_code = []  # texts that module() would run; the graph has its own checks
            guards = "check_guards" in inspect.signature(program.module).parameters
            module = program.module(check_guards=False) if guards else program.module()
            inputs, examples = _inputs(program)
        except MconvError:
            raise
        except Exception as e:
            unpicklable = _cause(e, "UnpicklingError")
            if unpicklable is not None:
                raise unpicklable from None
            if type(e).__name__ == "SerializeError":
                raise UnsupportedError(f"{path}: {first_line(e)}") from None
            if isinstance(e, ImportError) and trust:
                raise
            raise CorruptModelError(f"{path}: torch {torch.__version__} cannot read it ({first_line(e)})") from e
    source = Source(Form.EXPORTED, "the exported program", module, program=program, files=[path])
    source.inputs, source.examples = inputs, examples
    return source


def _cause(error: Optional[BaseException], kind: str) -> Optional[BaseException]:
    while error is not None and type(error).__name__ != kind:
        error = error.__cause__ or error.__context__
    return error


# before torch sees it -----------------------------------------------------------------------------------------------


def _check(path: Path) -> None:
    """Raises UntrustedError for an archive that is more than a graph and its weights."""
    for name, read in _records(path):
        if name.startswith(("data/aotinductor/", "data/executorch/")) or name.endswith((".so", ".pyd", ".dll")):
            raise UntrustedError(f"{path}: brings compiled code ({name})", _HINT)
        if "custom_obj_" in name or "opaque_obj_" in name:
            raise UntrustedError(f"{path}: brings pickled objects ({name})", _HINT)
        if name.endswith(".json") and not name.startswith("extra"):
            try:
                held = json.loads(read())
            except (ValueError, RecursionError):
                if "weights" in name or "constants" in name or "program" in name or name.startswith("models/"):
                    raise CorruptModelError(f"{path}: {name} is no JSON") from None
                continue
            problem = graph_texts.problem(held)
            if problem is not None:
                raise UntrustedError(f"{path}: {name} {problem}: reading it can run code hidden in it", _HINT)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """(name, function that reads it) of every record, through the readers that torch itself uses."""
    torch = import_torch()
    try:
        with zipfile.ZipFile(path) as archive:
            old = "serialized_exported_program.json" in archive.namelist()
            for name in archive.namelist():
                yield name if old else name.partition("/")[2], lambda n=name: archive.read(n)
        if not old:
            # two readers may see two archives in one file: what torch's sees is what counts
            reader = torch._C.PyTorchFileReader(str(path))
            for name in reader.get_all_records():
                yield name, lambda n=name: reader.get_record(n)
    except (zipfile.BadZipFile, RuntimeError, OSError, NotImplementedError, EOFError) as e:
        raise CorruptModelError(f"{path}: not a sound archive ({str(e).splitlines()[0][:200]})") from None


@contextlib.contextmanager
def _pickles_refused(path: Path, trust: bool) -> Iterator[None]:
    """Within it, torch's reader of archives unpickles and loads nothing but through ``torch.load``."""
    if trust:
        yield
        return

    def refuse(*args: Any, **options: Any) -> Any:
        raise UntrustedError(f"{path}: brings pickled objects or compiled code", _HINT)

    with contextlib.ExitStack() as stack:
        try:
            from torch.export.pt2_archive import _package
        except ImportError:  # torch before 2.8 has no such reader
            pass
        else:
            # the module's own name for pickle; the package itself is left alone
            stack.enter_context(mock.patch.object(_package, "pickle", mock.Mock(loads=refuse, load=refuse)))
            if hasattr(_package, "_load_aoti"):
                stack.enter_context(mock.patch.object(_package, "_load_aoti", refuse))
        yield


# what it takes ------------------------------------------------------------------------------------------------------


def _inputs(program: Any) -> tuple[list[Input], Optional[dict[str, np.ndarray]]]:
    """The inputs with their open dimensions, and those that it was traced with."""
    torch = import_torch()
    user = [n for n in program.graph_signature.user_inputs if isinstance(n, str)]
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    found = []
    for name in user:
        value = nodes[name].meta.get("val")
        if hasattr(value, "shape"):
            dims = tuple(int(d) if isinstance(d, int) else _label(d) for d in value.shape)
            found.append(Input(name, dtype_of(value.dtype, name), dims))
    examples: Optional[dict[str, np.ndarray]] = None
    if program.example_inputs:
        args, kwargs = program.example_inputs
        leaves = [t for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        if len(leaves) == len(found) and not any(t.dtype is torch.bfloat16 for t in leaves):
            examples = {one.name: t.detach().cpu().numpy() for one, t in zip(found, leaves)}
    return found, examples


def _label(size: Any) -> Any:
    """The name of an open dimension: torch's symbol; None for an expression of several."""
    expression = size.node.expr
    return str(expression) if expression.is_Symbol else None
