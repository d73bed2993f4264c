"""Names in a model that are no text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mconv.errors import CorruptModelError

if TYPE_CHECKING:
    import onnx


def check_text(model: onnx.ModelProto) -> None:
    """Refuse names that are no text; protobuf lets them through, and every use of them would fail in its own way.

    Raises:
        CorruptModelError: a name is not UTF-8.
    """

    def names(graph: Any) -> Iterator[Any]:
        for node in graph.node:
            yield from (node.op_type, node.domain, node.name)
            yield from node.input
            yield from node.output
            for attribute in node.attribute:
                yield attribute.name
                yield attribute.ref_attr_name
                for sub in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    yield from names(sub)
                    yield from ports(sub)

    def ports(graph: Any) -> Iterator[Any]:
        yield from (t.name for t in graph.initializer)
        for info in [*graph.input, *graph.output, *graph.value_info]:
            yield info.name
            yield from (d.dim_param for d in info.type.tensor_type.shape.dim)

    try:
        for function in model.functions:
            _all_text([function.name, function.domain, *function.input, *function.output, *names(function)])
        _all_text([o.domain for o in model.opset_import])
        _all_text([model.producer_name, model.producer_version, model.graph.name])
        _all_text(names(model.graph))
        _all_text(ports(model.graph))
    except UnicodeDecodeError:
        raise CorruptModelError("a name in the model is not UTF-8 text") from None


def _all_text(names: Iterable[Any]) -> None:
    for name in names:
        if not isinstance(name, str):  # some of protobuf's implementations give the bytes, others raise
            raise CorruptModelError(f"a name in the model is not UTF-8 text: {name!r}")
