"""``.pt2`` archives of ``torch.export.save``, read without running what is in them.

``torch.export.load`` trusts the file in six ways: it unpickles sample inputs, constants and odd weights without
restrictions; hands expressions of sizes to ``sympify``, which evaluates them; looks the functions of the graph up by
any dotted name and runs them when the graph is traced again; imports what an argument's structure names; writes names
of nodes into Python source, which it executes; and loads compiled libraries. Without trust, every record of the archive
is one that a graph and its weights have need of, every text in the graph is checked before torch sees it, and pickles
are followed, and then read as weights are.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional
from unittest import mock

import numpy as np

from mconv import budget
from mconv.errors import CorruptModelError, LimitError, MconvError, UnsupportedError, UntrustedError
from mconv.factory.inputs import Input
from mconv.printable import printable
from mconv.torch.exporting import first_line
from mconv.torch.quiet import quiet
from mconv.torch.sources import forms, graph_texts, made, stored, unpickle
from mconv.torch.sources.archive import TRUST_HINT, Archive
from mconv.torch.sources.forms import Form
from mconv.torch.sources.inputs import dtype_of
from mconv.torch.sources.source import Source, import_torch, reading


def open_archive(path: Path, *, trust: bool) -> Source:
    """The exported program and a module that runs it.

    Raises:
        UntrustedError: it holds more than a graph and weights, and *trust* is not given.
        CorruptModelError: it is damaged, or of a version that this torch does not read.
        UnsupportedError: it calls operators that this torch does not have.
        LimitError: a tensor of the graph is larger than the budget, and *trust* is not given.
    """
    torch = import_torch()
    old = None if trust else _check(path)
    # (torch logs what it cannot read, tracebacks and the file's own texts among it)
    with quiet(), unpickle.restricted(str(path), trust=trust), _pickles_refused(path, trust):
        try:
            program = reading(lambda: torch.export.load(path) if old is None else _old(old), path, trust=trust)
            if not trust:
                made.check_graph(program, str(path))
                program._guards_code = []  # texts that module() would run; the graph has its own checks
            guards = "check_guards" in inspect.signature(program.module).parameters
            module = program.module(check_guards=False) if guards else program.module()
            inputs, examples = _inputs(program)
        except MconvError:
            raise
        except Exception as e:
            unpicklable = unpickle.refusing(e)
            if unpicklable is not None:
                raise unpicklable from None
            if type(e).__name__ == "SerializeError":
                raise UnsupportedError(f"{path}: {printable(first_line(e), 300)}") from None
            if isinstance(e, ImportError) and trust:
                raise
            said = printable(first_line(e), 300)
            raise CorruptModelError(f"{path}: torch {torch.__version__} cannot read it ({said})") from e
    source = Source(Form.EXPORTED, "the exported program", module, program=program, files=[path])
    source.inputs, source.examples = inputs, examples
    return source


# before torch sees it -----------------------------------------------------------------------------------------------


_OLD_PICKLES = ("state_dict", "constants", "example_inputs")


def _check(path: Path) -> Optional[dict[str, bytes]]:
    """Look through an archive, as torch will read it.

    Returns:
        The records of one that torch before 2.8 wrote, which are read without its reader: that looks for a newer
        archive in the file first. None for a newer one.

    Raises:
        UntrustedError: it is more than a graph and its weights.
        CorruptModelError, LimitError: see :class:`Archive`.
    """
    with Archive(path, Form.EXPORTED) as archive:
        if archive.old:
            return _check_old(archive)
        for name in archive.records:
            if name.endswith(".json"):
                held = _json(archive, name)
                if name.endswith("_config.json"):
                    _payloads(archive, name, held)
            elif name.endswith(".pt"):
                _check_pickle(archive, name, archive.read(name))
    return None


def _json(archive: Archive, name: str) -> Any:
    """What a record holds, whose texts are harmless."""
    path = archive.path
    try:
        held = json.loads(archive.read(name))
    except (ValueError, RecursionError) as e:
        raise CorruptModelError(f"{path}: {name} is no JSON ({printable(str(e), 80)})") from None
    try:
        wrong = graph_texts.problem(held, _is_foreign)
    except LimitError as e:
        raise LimitError(f"{path}: {name} computes {e.message}", "sizes have 64 bits") from None
    except RecursionError:
        raise CorruptModelError(f"{path}: {name} is nested too deeply") from None
    if wrong is not None:
        raise UntrustedError(f"{path}: {name} {wrong}: reading it can run code hidden in it", TRUST_HINT)
    return held


def _is_foreign(name: str) -> bool:
    """Whether an operator is one of a library that torch does not bring."""
    torch = import_torch()
    return name.partition("::")[0] not in {n.partition("::")[0] for n in torch._C._dispatch_get_all_op_names()}


def _payloads(archive: Archive, name: str, held: Any) -> None:
    """Look at the list of weights or constants, which may be views that are larger than what they are of."""
    listed = held.get("config") if isinstance(held, dict) else None
    if not isinstance(listed, dict) or not all(isinstance(v, dict) for v in listed.values()):
        raise CorruptModelError(f"{archive.path}: {name} is no list of tensors")
    for label, entry in listed.items():
        file = entry.get("path_name")
        record = f"{name.rpartition('/')[0]}/{file}"
        if record not in archive.records:
            raise archive.missing(record)
        if entry.get("use_pickle"):
            _check_pickle(archive, record, archive.read(record))
            continue
        meta = entry.get("tensor_meta")
        sizes = meta.get("sizes") if isinstance(meta, dict) else None
        dims: list[Any] = [d.get("as_int") for d in sizes if isinstance(d, dict)] if isinstance(sizes, list) else []
        if not isinstance(sizes, list) or len(dims) != len(sizes) or not all(map(stored.is_size, dims)):
            raise CorruptModelError(f"{archive.path}: {name} gives {printable(label, 80)} no size")
        # 16 bytes: complex numbers, the largest there are
        count = math.prod(dims)
        budget.memory(count * (16 if meta.get("dtype") in (10, 11) else 8), f"a tensor of {dims}")


def _check_pickle(archive: Archive, name: str, data: bytes) -> None:
    if data:  # torch writes nothing where there is nothing
        unpickle.check(f"{archive.path}: {name}", data)


def _check_old(archive: Archive) -> dict[str, bytes]:
    _json(archive, forms.OLD_PROGRAM)
    found = {"program": archive.read(forms.OLD_PROGRAM)}
    for part in _OLD_PICKLES:
        names = [n for n in archive.records if n.startswith(f"serialized_{part}.")]
        if len(names) != 1:
            raise CorruptModelError(f"{archive.path}: has no {part}, or several")
        found[part] = archive.read(names[0])
        _check_pickle(archive, names[0], found[part])
    return found


def _old(held: dict[str, bytes]) -> Any:
    """The program in the records of an archive that torch before 2.8 wrote."""
    from torch._export.serde import serialize

    return serialize.deserialize(serialize.SerializedArtifact(held["program"], *(held[n] for n in _OLD_PICKLES)))


@contextlib.contextmanager
def _pickles_refused(path: Path, trust: bool) -> Iterator[None]:
    """Within it, torch's reader of archives unpickles and loads nothing but through ``torch.load``."""
    if trust:
        yield
        return

    def refuse(*args: Any, **options: Any) -> Any:
        raise UntrustedError(f"{path}: brings pickled objects or compiled code", TRUST_HINT)

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
