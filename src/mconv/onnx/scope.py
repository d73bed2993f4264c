"""What the names in an ONNX graph stand for."""

from __future__ import annotations

from typing import Any, Optional

from mconv.errors import MconvError


class Scope:
    """Values by the names of an ONNX graph; a sub-graph sees those around it.

    Attributes:
        inferred: what ONNX says of the shapes of this graph's own tensors, by name: numbers, and None for the rest.
        types: what ONNX says of their element types (``TensorProto.DataType``), by name.
        producers: the nodes of this graph that are being converted, by the names of their outputs.
    """

    def __init__(
        self,
        outer: Optional[Scope] = None,
        inferred: Optional[dict[str, list[Optional[int]]]] = None,
        types: Optional[dict[str, int]] = None,
    ):
        self.values: dict[str, Any] = {}
        self.outer = outer
        self.inferred = inferred or {}
        self.types = types or {}
        self.producers: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        scope: Optional[Scope] = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        raise KeyError(name)

    def find(self, name: str) -> Any:
        """The value called *name*, or None."""
        return self[name] if name in self else None  # noqa: SIM401

    def producer(self, name: str) -> Any:
        """The node that computes *name*, here or in a graph around; None for an input or initializer."""
        scope: Optional[Scope] = self
        while scope is not None and name not in scope.producers:
            scope = scope.outer
        return None if scope is None else scope.producers[name]

    def __contains__(self, name: object) -> bool:
        scope: Optional[Scope] = self
        while scope is not None and name not in scope.values:
            scope = scope.outer
        return scope is not None

    def __setitem__(self, name: str, value: Any) -> None:
        self.values[name] = value


class Failed:
    """Stands for the output of a node that could not be converted."""

    __slots__ = ()


FAILED = Failed()


class Unreadable:
    """An initializer whose type Paddle cannot hold; an error only where it is read."""

    def __init__(self, error: MconvError):
        self.error = error
