"""A layer as it is, run on arrays; and where in it an error came from."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from mconv.dygraph.inputs import Call, dtype_of
from mconv.dygraph.outputs import Flat, flatten
from mconv.dygraph.source import import_paddle
from mconv.errors import MconvError, UsageError
from mconv.factory.loading import location_of


class LayerFailed(Exception):
    """The layer cannot be run or traced.

    Attributes:
        error: what was raised.
        where: the sublayer that raised it and the line of the user's code, e.g. ``encoder.0 (Linear)``.
    """

    def __init__(self, error: BaseException, where: str):
        super().__init__(f"{where}: {error}")
        self.error = error
        self.where = where

    @property
    def text(self) -> str:
        """The error as Python prints it, without a traceback."""
        return "".join(traceback.format_exception_only(type(self.error), self.error))


class Live:
    """A layer in evaluation mode while the block lasts; what it was before comes back afterwards.

    Args:
        layer: the ``paddle.nn.Layer``; one that ``paddle.jit.to_static`` has changed is taken as it was before.
        method: the method that the static model is made of.

    Raises:
        UsageError: it has no such method.
    """

    def __init__(self, layer: Any, method: str = "forward"):
        self.paddle = import_paddle()
        self.layer = layer
        self.method = method
        self.kind = type(layer).__name__
        self.paths = {id(sub): name for name, sub in layer.named_sublayers(include_self=True)}
        inherited = type(layer).forward is self.paddle.nn.Layer.forward and "forward" not in layer.__dict__
        if method == "forward" and inherited:
            raise UsageError(f"{self.kind} has no forward of its own", "--method names another method")
        found = getattr(layer, method, None)
        if not callable(found):
            raise UsageError(f"{self.kind} has no method {method!r}")
        # what to_static put in the method's place
        self.given_spec: Optional[Sequence[Any]] = _spec_of(found)
        self.function: Callable[..., Any] = getattr(found, "dygraph_function", found)

    @property
    def what(self) -> str:
        """What messages call the method."""
        return f"{self.kind}.{self.method}"

    def __enter__(self) -> Live:
        subs = self.layer.sublayers(include_self=True)
        self._before = [(sub, sub.training, sub.__dict__.get("forward")) for sub in subs]
        self._replaced = self.layer.__dict__.get(self.method)
        self.layer.eval()
        if self._replaced is not None:
            self.layer.__dict__[self.method] = self.function
        return self

    def __exit__(self, *error: object) -> None:
        self.untraced()
        for sub, training, _ in self._before:
            sub.training = training
        if self._replaced is not None:
            self.layer.__dict__[self.method] = self._replaced

    def untraced(self) -> None:
        """Take out of the layers the functions that tracing leaves in them."""
        for sub, _, forward in self._before:
            if forward is None:
                sub.__dict__.pop("forward", None)
            else:
                sub.__dict__["forward"] = forward
        if self._replaced is not None:
            self.layer.__dict__[self.method] = self.function

    @property
    def target(self) -> Callable[..., Any]:
        """What to call: the layer itself for ``forward``, so that its hooks run."""
        return self.layer if self.method == "forward" else self.function

    def run(self, call: Call, feed: Mapping[str, np.ndarray]) -> Flat:
        """Call it with arrays.

        Args:
            feed: input → array; bfloat16 as its uint16 bits.

        Raises:
            LayerFailed: it raised something.
        """
        with self.watched(), self.paddle.no_grad():
            tensors = [self.paddle.to_tensor(feed[i.name]) for i in call.inputs]
            args, kwargs = call.filled(tensors)
            return flatten(self.target(*args, **kwargs))

    def answers(self, call: Call, feed: Mapping[str, np.ndarray]) -> tuple[Flat, list[np.ndarray], list[str]]:
        """The outputs, as arrays too, and the names of their types (bfloat16 is in its uint16 bits).

        Raises:
            LayerFailed: it raised something.
        """
        flat = self.run(call, feed)
        return flat, [np.array(t.numpy()) for t in flat.tensors], [dtype_of(t.dtype, "").label for t in flat.tensors]

    def table_sizes(self, call: Call, feed: Mapping[str, np.ndarray]) -> tuple[Flat, dict[str, int]]:
        """Run it and see which integer inputs index an Embedding, and how many rows that has: input → rows.

        Raises:
            LayerFailed: it raised something.
        """
        integers = {i.name: feed[i.name] for i in call.inputs if i.dtype.is_int}
        found: dict[str, int] = {}

        def look(sub: Any, arguments: Any) -> None:
            ids: Any = arguments[0] if arguments else None
            rows = sub.weight.shape[0]
            if not hasattr(ids, "numpy"):
                return
            values = np.asarray(ids.numpy()).ravel()
            for name, array in integers.items():
                if array.size == values.size and np.array_equal(array.ravel(), values):
                    found[name] = min(found.get(name, rows), rows)

        hooks = [
            sub.register_forward_pre_hook(look)
            for sub in self.layer.sublayers(include_self=True)
            if isinstance(sub, self.paddle.nn.Embedding)
        ]
        try:
            return self.run(call, feed), found
        finally:
            for hook in hooks:
                hook.remove()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Errors as :class:`LayerFailed`, with the sublayer in which they happened."""
        try:
            yield
        except (MconvError, KeyboardInterrupt, LayerFailed):
            raise
        except (Exception, SystemExit) as e:  # the user's code and Paddle raise what they like
            raise LayerFailed(e, self.where(e)) from e

    def where(self, error: BaseException) -> str:
        """The innermost sublayer that was running, its class, and the line of the user's code."""
        found = self.kind
        for frame, _ in traceback.walk_tb(error.__traceback__):
            names = frame.f_code.co_varnames[:1]
            first = frame.f_locals.get(names[0]) if names else None
            path = self.paths.get(id(first))
            if path:  # the layer itself has an empty one
                found = f"{path} ({type(first).__name__})"
        return found + location_of(error)


def _spec_of(function: Any) -> Optional[Sequence[Any]]:
    """The input_spec that ``paddle.jit.to_static`` was given for a method; None where it was not."""
    spec = getattr(getattr(function, "_function_spec", None), "_input_spec", None)
    return list(spec) if spec else None
