"""In which floating point types a model computes: what its results can be compared to follows from the lowest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mconv.errors import UnsupportedError
from mconv.passes import quantize_forms
from mconv.program.dtypes import DType
from mconv.program.program import Program
from mconv.proof.compare import lowest

_HALVES = (DType.FP16, DType.BF16)


def of_program(program: Program) -> str:
    """The lowest precision of what the operators of a program compute, casts included: ``float16``, ``bfloat16`` or
    ``float32``.

    Weights that are only stored in 16 bits, and read through a cast, lose nothing that both models have.
    """
    found: set[DType] = set()
    for block, op in program.ops():
        if op.type in ("feed", "fetch"):
            continue
        for name in op.output_names:
            var = program.find_var(name, block)
            if var is not None and var.dtype in _HALVES:
                found.add(var.dtype)
    return lowest(d.label for d in found)


def require_float32(path: Path, program: Program, command: str) -> None:
    """Refuse a program that computes in fewer bits already.

    Args:
        path: of the program; command: what wants to rewrite it.

    Raises:
        UnsupportedError: it is quantised, or computes in half precision.
    """
    quantised, computes = quantize_forms.describe(program), of_program(program)
    if quantised is not None or computes != "float32":
        said = f"computes in {computes}" if quantised is None else f"is {quantised}"
        raise UnsupportedError(f"{path}: {said} already", f"{command} takes the float32 model that it was made of")


def of_pir(whole: Any) -> str:
    """The same of a ``.json`` program: of its outermost block, as :func:`mconv.paddle.pir_reader.read` gives it."""
    found: set[DType] = set()

    def visit(block: Any) -> None:
        for op in block.ops:
            if op.name not in ("builtin.parameter", "pd_op.data"):
                for _, kind in op.outputs:
                    for one in kind if isinstance(kind, list) else [kind]:
                        if getattr(one, "dtype", None) in _HALVES:
                            found.add(one.dtype)
            for region in op.regions:
                for inner in region:
                    visit(inner)

    visit(whole)
    return lowest(d.label for d in found)


def of_onnx(proto: Any) -> str:
    """The same of an ONNX model: of its casts to 16 bits and of what is computed from 16-bit tensors, so far as their
    types are written down."""
    import onnx

    kinds = {onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.BFLOAT16: "bfloat16"}
    return lowest(kinds[k] for k in _computed(proto.graph, {}) if k in kinds)


def _computed(graph: Any, outer: dict[str, int]) -> Iterator[int]:
    """The element types of what a graph computes, as numbers of ONNX."""
    known = {**outer, **{t.name: t.data_type for t in graph.initializer}}
    for info in (*graph.input, *graph.value_info, *graph.output):
        known[info.name] = info.type.tensor_type.elem_type
    for node in graph.node:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Cast":
            known[node.output[0]] = attributes["to"].i if "to" in attributes else 0
        elif node.op_type == "Constant":
            if "value" in attributes:
                known[node.output[0]] = attributes["value"].t.data_type
            continue
        else:
            yield from (known.get(n, 0) for n in node.input)
        yield from (known.get(n, 0) for n in node.output)
        for attribute in node.attribute:
            for inner in _graphs(attribute):
                yield from _computed(inner, known)


def _graphs(attribute: Any) -> Iterable[Any]:
    return [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
