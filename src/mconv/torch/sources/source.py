"""What opening a SOURCE gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar, Union

import numpy as np

from mconv import watch
from mconv.artifacts.provenance import Source as File
from mconv.confined import give_up_rights
from mconv.errors import MissingDependencyError
from mconv.extras import install
from mconv.factory.inputs import Input
from mconv.torch.sources.forms import Form
from mconv.torch.state import State

R = TypeVar("R")


@dataclass
class Source:
    """A PyTorch model that is ready to be run and exported.

    Attributes:
        form: what it came in.
        label: what to call it in messages: ``BertModel``.
        module: the live ``torch.nn.Module`` in evaluation mode, on the CPU, its weights loaded.
        inputs: what it is called with by default; empty where nothing says so. Dimensions with a name are open.
        guessed: whether *inputs* are a guess from the parameters of ``forward``, not a description.
        outputs: which outputs are converted by default; None: all.
        alternatives: other inputs, for a model that does not run with the first; tried in order.
        sizes: name of a dimension → two sizes that suit it, where the usual ones do not.
        examples: inputs that came with the model.
        native: whether the module runs in C++, where nothing can interrupt it.
        confined: whether it is run without rights (:mod:`mconv.confined`).
        seconds: how long one run may take, where it is *native*.
        program: the ``torch.export.ExportedProgram`` of a ``.pt2`` archive.
        positional: whether the module takes its inputs by position.
        casts: input → the ``torch.dtype`` that the module takes, where it is given another.
        files: what the model was read from, for the record.
        notes: what a user should know.
        facts: for the report: class, weights, task, …
    """

    form: Form
    label: str
    module: Any
    inputs: list[Input] = field(default_factory=list)
    guessed: bool = False
    outputs: Optional[list[str]] = None
    alternatives: list[list[Input]] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    examples: Optional[dict[str, np.ndarray]] = None
    native: bool = False
    confined: bool = False
    seconds: float = watch.SECONDS
    program: Any = None
    positional: bool = False
    casts: dict[str, Any] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    _state: Optional[State] = field(default=None, repr=False)

    def __call__(self, feed: Mapping[str, Any]) -> Any:
        """What the module answers to tensors by the names of the inputs, without gradients, when nothing was asked
        before."""
        self.restore()
        return self.again(feed)

    def again(self, feed: Mapping[str, Any]) -> Any:
        """What it answers now, with what the calls since :meth:`restore` have left in it.

        Raises:
            LimitError: it takes too long or too much memory, where it is *native*.
        """
        if not self.native:
            return self._run(feed)
        first = give_up_rights if self.confined else lambda: None
        return watch.call(lambda: self._run(feed), f"{self.label} in PyTorch", seconds=self.seconds, first=first)

    def _run(self, feed: Mapping[str, Any]) -> Any:
        import torch

        feed = {n: t.to(self.casts[n]) if n in self.casts else t for n, t in feed.items()}
        with torch.no_grad():
            if self.program is not None:
                args, kwargs = torch.utils._pytree.tree_unflatten(list(feed.values()), self.program.call_spec.in_spec)
                return self.module(*args, **kwargs)
            return self.module(*feed.values()) if self.positional else self.module(**feed)

    def restore(self) -> None:
        """Bring back the buffers that ``forward`` changes, as they were before the first call."""
        if self._state is None:
            self._state = State(self.module)
        self._state.restore()

    def changed(self) -> list[str]:
        """The names of the buffers that have changed since."""
        return [] if self._state is None else self._state.changed()


def import_torch() -> Any:
    """The package torch.

    Raises:
        MissingDependencyError: it is not installed, or cannot be imported.
    """
    try:
        import torch
    except ImportError as e:
        raise MissingDependencyError(
            f"reading a PyTorch model needs torch: {(str(e).splitlines() or ['?'])[0]}",
            f"install it with `{install('torch')}`",
        ) from None
    return torch


def reading(read: Callable[[], R], path: Union[str, os.PathLike[str]], *, trust: bool) -> R:
    """What torch's reader gives. Without *trust* it runs without rights (:mod:`mconv.confined`): what a file holds has been
    looked through before, this is for what that has missed.

    Raises:
        LimitError: it takes too long or too much memory.
    """
    return read() if trust else watch.call(read, f"{os.fspath(path)}: reading it", first=give_up_rights)


def shown(shape: Sequence[Any]) -> str:
    """A shape for people: ``[64, 3, 7, 7]``."""
    return f"[{', '.join(map(str, shape))}]"
