"""A layer → a static program, by Paddle itself.

The layer is traced inside another one of our own, whose ``forward(self, tensors)`` calls it. So its method may have
any signature and any name for ``self``, inputs may go to keywords, and results come out in the order in which the
layer gives them: Paddle by itself sorts dictionaries by key, and drops what is None.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from mconv.dygraph.inputs import Call
from mconv.dygraph.live import LayerFailed, Live
from mconv.dygraph.outputs import Flat, flatten, need_outputs

# how Python's control flow becomes part of the program, best first
AST, PLAIN = "full graph", "plain trace"
_UNUSED = ("not involved in the target_vars",)


@dataclass(frozen=True)
class Exported:
    """What Paddle wrote.

    Attributes:
        program, params: the files; no parameter file where there are no parameters.
        pir: whether the program is a ``.json``.
        way: how it was traced: with Python's control flow rewritten, or as plain Python.
        names: per output the name that the layer gives it, if any.
        paths: per output where it was in the result.
        left_out: what the layer returns beside tensors.
        failed: why the better ways did not work.
        whole: whether inputs that nothing reads were kept in the program.
    """

    program: Path
    params: Optional[Path]
    pir: bool
    way: str
    names: list[Optional[str]]
    paths: list[str]
    left_out: list[str]
    failed: dict[str, LayerFailed]
    whole: bool


class CannotTrace(Exception):
    """No way worked; *failed* says why, way by way."""

    def __init__(self, failed: dict[str, LayerFailed]):
        super().__init__(", ".join(failed))
        self.failed = failed


def export(live: Live, call: Call, folder: Path) -> Exported:
    """Save the layer's method as ``<folder>/<way>/model.json`` or ``.pdmodel``, whatever this Paddle writes.

    Raises:
        CannotTrace: Paddle cannot make a static program of it.
    """
    failed: dict[str, LayerFailed] = {}
    for way in (AST, PLAIN):
        scratch = folder / way.replace(" ", "-")
        try:
            return _export(live, call, scratch, way, failed)
        except LayerFailed as e:
            failed[way] = e
            live.untraced()
    raise CannotTrace(failed)


def _export(live: Live, call: Call, folder: Path, way: str, failed: dict[str, LayerFailed]) -> Exported:
    paddle = live.paddle
    spec = [
        paddle.static.InputSpec([d if isinstance(d, int) else None for d in i.dims], i.dtype.label, i.name)
        for i in call.inputs
    ]
    whole = False
    with live.watched(), _own_errors(), _quiet():
        adapter = _adapter_class(paddle)(live, call, way == PLAIN)
        adapter.eval()
        paddle.jit.to_static(adapter, input_spec=[spec], full_graph=True, backend=None)
        try:
            paddle.jit.save(adapter, str(folder / "model"))
        except ValueError as e:
            if not any(text in str(e) for text in _UNUSED):
                raise
            # pruning refuses inputs that nothing reads
            whole = True
            paddle.jit.save(adapter, str(folder / "model"), skip_prune_program=True)
    flat: Flat = adapter.seen[0]
    program = next(p for p in (folder / "model.json", folder / "model.pdmodel") if p.exists())
    params = folder / "model.pdiparams"
    return Exported(
        program,
        params if params.exists() else None,
        program.suffix == ".json",
        way,
        list(flat.named),
        list(flat.paths),
        list(flat.left_out),
        failed,
        whole,
    )


def _adapter_class(paddle: Any) -> Any:
    class Adapter(paddle.nn.Layer):
        def __init__(self, live: Live, call: Call, plain: bool):
            super().__init__()
            self.layer = live.layer
            self.live = live
            self.target = (live.target,)  # in a tuple: the layer is a sublayer once only
            self.call = call
            self.plain = plain
            self.seen: list[Flat] = []
            self.fed: list[Any] = []

        def forward(self, tensors):
            args, kwargs = self.arguments(tensors)
            if self.plain:
                result = self.as_it_is(args, kwargs)
            else:
                result = self.target[0](*args, **kwargs)
            return self.collected(result)

        @paddle.jit.not_to_static
        def arguments(self, tensors):
            self.fed = list(tensors)
            return self.call.filled(tensors)

        @paddle.jit.not_to_static
        def as_it_is(self, args, kwargs):
            return self.target[0](*args, **kwargs)

        @paddle.jit.not_to_static
        def collected(self, result):
            flat = flatten(result)
            need_outputs(flat, self.live.what)
            self.seen[:] = [flat]
            return _separate(paddle, flat.tensors, self.fed)

    return Adapter


# what jit.save of Paddle 3.0 to 3.3 takes for the copy that it makes itself, and passes over: of `x + 1` as an output,
# a scale by 1 with a bias, it saves x
_MISTAKEN = ("pd_op.scale",)


def _separate(paddle: Any, tensors: list[Any], fed: list[Any]) -> list[Any]:
    """The outputs as variables of their own: jit.save confuses those that are inputs, parameters or the same twice."""
    taken = {_identity(t) for t in fed}
    found = []
    for tensor in tensors:
        key = _identity(tensor)
        source = getattr(tensor, "get_defining_op", lambda: None)()
        if key in taken or isinstance(tensor, paddle.Tensor) or (source is not None and source.name() in _MISTAKEN):
            tensor = paddle.assign(tensor)
        taken.add(key)
        found.append(tensor)
    return found


def _identity(tensor: Any) -> Any:
    """Equal for two Python objects that stand for the same variable."""
    # a PIR value has a name only where an input or parameter defines it, and asking raises elsewhere
    return hash(tensor) if hasattr(type(tensor), "get_defining_op") else tensor.name


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Let errors out as they were raised; Paddle otherwise makes new ones that have lost their traceback."""
    name = "TRANSLATOR_DISABLE_NEW_ERROR"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of the tracer about what it does."""
    import warnings

    logger = logging.getLogger("Dynamic-to-Static")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
