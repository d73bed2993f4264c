"""What an operator's converter sees: the builder, and the node at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

import numpy as np

from mconv.emit import no_elements
from mconv.emit.known import dims_of
from mconv.errors import UnsupportedError
from mconv.program import dims as D
from mconv.program.builder import Builder
from mconv.program.targets import DEFAULT, Target
from mconv.program.value import Results, Value

if TYPE_CHECKING:
    import onnx

    from mconv.onnx.scope import Scope


class Context(Builder):
    """The builder with what a converter may want to know of its node.

    Attributes:
        node: the ONNX node that is being converted.
        scope: the values that can be seen from it, by their names in the ONNX graph.
        import_graph: converts a sub-graph (of If, Loop, Scan) in place; see :class:`~mconv.onnx.importer.Importer`.
    """

    def __init__(self, target: Target = DEFAULT, opsets: Optional[dict[str, int]] = None):
        super().__init__(target)
        self.opsets: dict[str, int] = opsets or {}
        self.node: Any = None
        self.scope: Optional[Scope] = None
        self.import_graph: Callable[[onnx.GraphProto, Sequence[Value]], list[Value]]

    def without_elements(
        self, op_type: str, results: Optional[Results], operands: Mapping[str, Any]
    ) -> Optional[tuple[Value, ...]]:
        return no_elements.given(self, op_type, results, operands)

    @property
    def opset(self) -> int:
        """The version of the node's operator set."""
        return self.opsets.get(self.node.domain if self.node.domain != "ai.onnx" else "", 1)

    def wants(self, output: int) -> bool:
        """Whether the node's output of that index is named, that is, read by somebody."""
        return output < len(self.node.output) and bool(self.node.output[output])

    @property
    def n_outputs(self) -> int:
        """How many outputs the node names, unnamed ones in between included."""
        return len(self.node.output)

    def declared(self, output: int = 0, rank: Optional[int] = None) -> Optional[tuple[int, ...]]:
        """The shape that the model itself (or ONNX's shape inference) gives for an output of the node.

        None unless every dimension is a number, and there are *rank* of them where that is given. It is what lets a node whose shape comes in at run time be
        converted with attributes.
        """
        if not self.wants(output) or self.scope is None:
            return None
        known = self.scope.inferred.get(self.node.output[output])
        if known is None or None in known or (rank is not None and len(known) != rank):
            return None
        return tuple(known)  # type: ignore[arg-type]

    def type_in(self, index: int = 0) -> Optional[int]:
        """The ``TensorProto.DataType`` of an input of the node as the model has it, or None where ONNX does not say.

        It tells a type that Paddle lacks (see :data:`~mconv.onnx.types.WIDENED`) from the one that carries it.
        """
        return self._type(self.node.input, index)

    def type_out(self, index: int = 0) -> Optional[int]:
        """The same of an output."""
        return self._type(self.node.output, index)

    def _type(self, names: Sequence[str], index: int) -> Optional[int]:
        scope = self.scope
        while scope is not None and index < len(names):
            if names[index] in scope.types:
                return scope.types[names[index]]
            scope = scope.outer
        return None

    @staticmethod
    def known_dims(x: Optional[Value]) -> Optional[list[D.Dim]]:
        """The elements of an integer tensor, where they are constants or follow from shapes; else None."""
        return None if x is None else dims_of(x)

    @staticmethod
    def static_ints(x: Optional[Value], what: str) -> list[int]:
        """The elements of an integer tensor that the static program must know.

        Raises:
            UnsupportedError: they are known only at run time.
        """
        values = None if x is None else dims_of(x)
        if values is None or not D.is_static(values):
            raise UnsupportedError(f"{what} must be constant: it comes in at run time")
        return D.numbers(values)

    @staticmethod
    def static(x: Value, what: str) -> np.ndarray:
        """The value of a tensor that the static program must know.

        Raises:
            UnsupportedError: it is known only at run time.
        """
        if not x.is_const:
            raise UnsupportedError(f"{what} must be constant: it comes in at run time")
        return np.asarray(x.const)

    @staticmethod
    def rank(x: Value) -> int:
        """The rank of *x*.

        Raises:
            UnsupportedError: it is not known.
        """
        if x.shape is None:
            raise UnsupportedError("the rank of an input is unknown")
        return len(x.shape)

    @staticmethod
    def refuse(reason: str) -> UnsupportedError:
        """The error to raise when the node asks for something that Paddle cannot say."""
        return UnsupportedError(reason)


Result = Union[Value, tuple[Optional[Value], ...]]
