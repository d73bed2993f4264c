"""PyTorch's own ONNX exporters: a live module → an ``.onnx`` file."""

from __future__ import annotations

import contextlib
import inspect
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional
from unittest import mock

from mconv.errors import MissingDependencyError, UnsupportedError
from mconv.torch.decisions import decisions
from mconv.torch.exporting import first_line
from mconv.torch.packing import packed_ends
from mconv.torch.quiet import quiet
from mconv.torch.reasons import joined
from mconv.torch.size_arithmetic import size_arithmetic

TRACE, SCRIPT, DYNAMO = "the TorchScript exporter", "the TorchScript exporter on a script", "the dynamo exporter"
_OPSETS = {TRACE: 17, SCRIPT: 17, DYNAMO: 18}


@dataclass
class Written:
    """An ONNX file.

    Attributes:
        path: the file.
        how: which exporter wrote it, and what the other one said.
        seconds: how long that took.
        decisions: locations of the module that decide by the values of the inputs, where the file always decides as for
            the inputs traced with: ``net.py:12``.
    """

    path: Path
    how: str
    seconds: dict[str, float] = field(default_factory=dict)
    decisions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """What an exporter is asked for.

    Attributes:
        module: a ``torch.nn.Module`` or ScriptModule in evaluation mode.
        examples: input → torch tensor to trace with.
        dims: input → names of its dimensions; those with a name are dynamic.
        outputs: names of the outputs, in the order in which the module returns them.
        path: the file to write.
        positional: the module takes its inputs by position.
        program: the ExportedProgram of a module that has one: it is what is written.
        restore: brings back the buffers that ``forward`` changes.
    """

    module: Any
    examples: Mapping[str, Any]
    dims: Mapping[str, Sequence[Optional[str]]]
    outputs: Sequence[str]
    path: Path
    positional: bool = False
    program: Any = None
    restore: Callable[[], Any] = lambda: None

    @property
    def names(self) -> dict[str, Any]:
        return {"input_names": list(self.examples), "output_names": list(self.outputs)}

    def open_axes(self, mark: Callable[[str], Any]) -> dict[str, dict[int, Any]]:
        """Input → axis → the *mark* of its name, for the axes that stay open."""
        return {n: {i: mark(d) for i, d in enumerate(self.dims.get(n, ())) if d} for n in self.examples}


def export_onnx(task: Task, *, opset: Optional[int] = None, check: Optional[Callable[[Path], str]] = None) -> Written:
    """Write the ONNX form of a module.

    A trace comes first. Where it would keep one outcome of a decision by values, a script of the module is tried, which
    has the decision in it, then the dynamo exporter; the trace is the last resort.

    Args:
        opset: which version of ONNX's operators; by default 17 or 18.
        check: says what is wrong with a file that was written, in one line; empty where nothing is.

    Raises:
        UnsupportedError: no exporter can write it, or what they write is wrong; the message has all reasons.
        MissingDependencyError: onnx is not installed.
    """
    try:
        import onnx  # noqa: F401 - the exporters' own message would not say so
    except ImportError:
        raise MissingDependencyError("PyTorch's ONNX exporters need onnx", "pip install onnx onnxscript") from None
    if task.program is None and not task.positional:
        order = list(inspect.signature(task.module.forward).parameters)
        given = sorted(task.examples.items(), key=lambda item: order.index(item[0]) if item[0] in order else -1)
        task = replace(task, examples=dict(given))
    path = task.path
    start = time.perf_counter()
    frozen: list[str] = []
    if task.program is not None:
        ways: list[str] = [DYNAMO]
    elif task.positional:
        ways = [TRACE]  # a ScriptModule is written as it is
    else:
        frozen = _decided(task)
        ways = [SCRIPT, DYNAMO, TRACE] if frozen else [TRACE, SCRIPT, DYNAMO]
    reasons = []
    for way in ways:
        try:
            task.restore()
            with quiet():
                _WRITERS[way](task, opset or _OPSETS[way])
            wrong = check(path) if check is not None else ""
        except Exception as e:  # noqa: BLE001 - whatever the exporter raises is its reason
            wrong = first_line(e)
        if wrong:
            reasons.append(f"{way}: {wrong}")
            continue
        how = "; ".join([way, *(f"not {r}" for r in reasons)])
        spent = {"torch.onnx.export": time.perf_counter() - start}
        return Written(path, how, spent, frozen if way == TRACE else [])
    path.unlink(missing_ok=True)
    raise UnsupportedError(f"PyTorch's ONNX exporters cannot write it ({joined(reasons)})")


def _decided(task: Task) -> list[str]:
    """Where the module decides by values of the inputs."""
    import torch

    copies = {n: t.clone() for n, t in task.examples.items()}
    try:
        with torch.no_grad(), quiet():
            return [os.path.basename(location) for location in decisions(lambda: task.module(**copies))]
    except Exception:  # noqa: BLE001 - a module that such a mode breaks is exported as one that decides nothing
        return []
    finally:
        task.restore()


def _traced(task: Task, opset: int) -> None:
    args: Any = tuple(task.examples.values()) if task.positional else (dict(task.examples),)
    with packed_ends():
        _torchscript(task, task.module, args, opset)


def _scripted(task: Task, opset: int) -> None:
    import torch

    order = [n for n in inspect.signature(task.module.forward).parameters if n in task.examples]
    script = torch.jit.script(task.module)
    taken = [a.name for a in script.forward.schema.arguments[1:]]
    if taken[: len(order)] != order:
        raise UnsupportedError(f"a script takes its inputs by position: {', '.join(taken)}")
    _torchscript(task, script, tuple(task.examples[n] for n in order), opset)


def _torchscript(task: Task, module: Any, args: Any, opset: int) -> None:
    import torch

    axes = {n: a for n, a in task.open_axes(lambda name: name).items() if a}
    # its log of failures cannot be switched off: it asks whether a function is true
    log = mock.patch.object(torch._C, "_jit_onnx_log", lambda *text: None)
    with torch.no_grad(), log if hasattr(torch._C, "_jit_onnx_log") else contextlib.nullcontext(), _initial(task):
        torch.onnx.export(
            module, args, str(task.path), dynamo=False, opset_version=opset, dynamic_axes=axes, **task.names
        )


@contextlib.contextmanager
def _initial(task: Task) -> Iterator[None]:
    """Within it the module keeps nothing of a call: the exporter takes the buffers as the call that it traces left
    them."""
    import torch

    def undo(*call: Any) -> None:
        tracing = torch._C._get_tracing_state()
        torch._C._set_tracing_state(None)  # this is no part of the graph
        task.restore()
        torch._C._set_tracing_state(tracing)

    script = isinstance(task.module, torch.jit.ScriptModule)
    hook = None if script else task.module.register_forward_hook(undo)
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def _dynamo(task: Task, opset: int) -> None:
    import torch

    options = {"dynamo": True, "opset_version": opset, "verbose": False, "external_data": True, **task.names}
    with torch.no_grad(), size_arithmetic():
        if task.program is not None:
            made = torch.onnx.export(task.program, (), None, **options)
        else:
            shapes = task.open_axes(lambda name: torch.export.Dim.AUTO)
            made = torch.onnx.export(
                task.module, (), None, kwargs=dict(task.examples), dynamic_shapes=shapes, **options
            )
        made.save(str(task.path))


_WRITERS: dict[str, Callable[[Task, int], None]] = {TRACE: _traced, SCRIPT: _scripted, DYNAMO: _dynamo}
