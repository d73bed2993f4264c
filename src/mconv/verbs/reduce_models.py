"""The models that can be reduced, ONNX and Paddle: what their graphs are, and a part of one as a file."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Protocol

import numpy as np

from mconv.errors import UnsupportedError
from mconv.onnx import sizes, writing
from mconv.onnx.clean import graphs_of
from mconv.onnx.cut import cut as cut_onnx
from mconv.onnx.cut import fed, reads
from mconv.onnx.reader import OnnxModel
from mconv.paddle.load import load as load_pir
from mconv.passes.cut import cut as cut_program
from mconv.passes.cut import tensors
from mconv.program import files
from mconv.program.attribute import TYPED_VALUES
from mconv.program.dtypes import AttrType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Program
from mconv.program.stored import Era, write_model
from mconv.recognise import SourceKind, recognise
from mconv.verbs import edit_onnx
from mconv.verbs.edit_paddle import OF_JSON
from mconv.verbs.reduce import Graph, Part, Step

_FILL = ("assign_value", "set_value")  # operators that hold numbers of a model
_TOLD = ("op_callstack", "op_namescope")  # attributes that hold the paths and names of who saved the program


class Model(Protocol):
    """A model of which parts can be written.

    Attributes:
        path: where it is.
        graph: its main graph.
    """

    path: Path
    graph: Graph

    def write(self, part: Part, folder: Path, *, random_weights: bool = False) -> Path:
        """Write a part into the folder *folder*, which it makes; returns the model's file.

        Args:
            random_weights: numbers of the same type and shape in the place of all weights of more than one.

        Raises:
            MconvError: it cannot be cut there.
        """


def open_source(path: Path, names: Optional[set[str]] = None) -> Model:
    """The model at *path*.

    Args:
        names: the only tensors at which it may be cut; None: any.

    Raises:
        MconvError: it is damaged. UnsupportedError: it is of a kind that cannot be cut.
    """
    kind = recognise(path)
    if kind is SourceKind.ONNX:
        return Onnx(path, names)
    if kind in (SourceKind.PADDLE, SourceKind.PIR):
        return Paddle(path, names)
    raise UnsupportedError(f"{path}: {kind.value}, of which no part can be cut", "ONNX and Paddle models are reduced")


class Onnx:
    """An ``.onnx`` file."""

    def __init__(self, path: Path, names: Optional[set[str]] = None):
        self.path = path
        self.model: OnnxModel = edit_onnx.read(path)
        graph = self.model.proto.graph
        self.infos, _ = sizes.infer(self.model.proto)
        weights = {t.name for t in graph.initializer}
        steps = [
            Step(
                node.op_type,
                tuple(n for n in dict.fromkeys(reads(node)) if n not in weights),
                tuple(o for o in node.output if o),
            )
            for node in graph.node
        ]
        made = {n for step in steps for n in step.writes}
        known = {n for n in made if n in self.infos and self.infos[n].type.HasField("tensor_type")}
        some = known if names is None else known & names
        self.graph = Graph(
            steps, fed(graph), [o.name for o in graph.output], some, made if names is None else made & names
        )

    def write(self, part: Part, folder: Path, *, random_weights: bool = False) -> Path:
        made = edit_onnx.copied(self.model)
        cut_onnx(made.proto, self.infos, inputs=part.inputs, outputs=part.outputs)
        _forget(made.proto)
        if random_weights:
            _randomise(made.proto)
        folder.mkdir(parents=True)
        external = writing.total(made) > writing.LARGEST
        return writing.write(made, folder / "model.onnx", external=external)[0]


def _forget(proto: Any) -> None:
    """Take out what tools note of where a model was made: documentation and metadata."""
    held = [proto]
    for graph in graphs_of(proto):
        held += [graph, *graph.node, *getattr(graph, "value_info", ()), *getattr(graph, "initializer", ())]
        held += [port for port in (*graph.input, *graph.output) if not isinstance(port, str)]  # names, of a function
    for item in held:
        item.ClearField("doc_string")
        if hasattr(item, "metadata_props"):
            del item.metadata_props[:]


def _randomise(proto: Any) -> None:
    from onnx import helper, numpy_helper

    for tensor in _constants(proto):
        kind = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        if _is_weight(kind, tensor.dims):
            made = random_like(tensor.name, tuple(tensor.dims), kind)
            tensor.CopyFrom(numpy_helper.from_array(made, tensor.name))
    for attr in _of_constants(proto):
        if len(attr.floats) > 1:
            attr.floats[:] = random_numbers(attr.name, len(attr.floats))


def _constants(proto: Any) -> Iterator[Any]:
    """The tensors that are stored in a model: initializers and attributes of ``Constant``; of sparse ones their values."""
    for graph in graphs_of(proto):
        yield from getattr(graph, "initializer", ())
        yield from (sparse.values for sparse in getattr(graph, "sparse_initializer", ()))
    for attr in _of_constants(proto):
        if attr.HasField("t"):
            yield attr.t
        elif attr.HasField("sparse_tensor"):
            yield attr.sparse_tensor.values


def _of_constants(proto: Any) -> Iterator[Any]:
    return (a for graph in graphs_of(proto) for n in graph.node if n.op_type == "Constant" for a in n.attribute)


def _is_weight(kind: np.dtype, shape: Any) -> bool:
    """Whether numbers are what was learnt: floating point or 8 bits, and more than one. Others say sizes and positions."""
    return int(np.prod(shape, dtype=np.int64)) > 1 and (kind.kind in "fcV" or kind.itemsize == 1 and kind.kind in "iu")


def random_like(name: str, shape: Sequence[int], kind: np.dtype) -> np.ndarray:
    """Numbers of that type and shape, the same ones for the same name."""
    rng = np.random.default_rng(zlib.crc32(name.encode("utf-8", "replace")))
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, kind, endpoint=True)
    scale = 1.0 / max(1.0, float(np.sqrt(np.prod(shape[1:], dtype=np.int64)))) if len(shape) > 1 else 1.0
    values = rng.uniform(0.1, 1.0, shape) if len(shape) == 1 else rng.normal(0, scale, shape)
    return values.astype(kind)


def random_numbers(name: str, count: int) -> list[float]:
    """As :func:`random_like`, of float32."""
    made: list[float] = random_like(name, (count,), np.dtype("float32")).tolist()
    return made


class Paddle:
    """A Paddle model of any era; parts of a ``.json`` are written as ``.pdmodel``."""

    def __init__(self, path: Path, names: Optional[set[str]] = None):
        self.path = path
        found = files.locate(path)
        self.program: Program
        self.params: Mapping[str, TensorSource]
        if found.era is Era.PIR:
            loaded = load_pir(found.program, target=OF_JSON)
            self.program, self.params = loaded.program, loaded.params
        else:
            self.program, self.params = files.load_model(found)
        program = self.program
        weights = {v.name for v in program.parameters}
        body = [op for op in program.main.ops if op.type not in ("feed", "fetch")]
        given = {n for op in body for n in op.output_names} | {p.name for p in program.feeds}
        steps = [
            Step(
                op.type,
                tuple(n for n in dict.fromkeys(program.reads(op)) if n in given and n not in weights),
                tuple(dict.fromkeys(op.output_names)),
            )
            for op in body
        ]
        written = Counter(n for step in steps for n in step.writes)
        inside = {n for block in program.blocks[1:] for op in block.ops for n in op.output_names}
        held = program.main.vars
        made = {n for n in tensors(program) if held[n].dtype is not None and written[n] <= 1 and n not in inside}
        if names is not None:
            made &= names
        self.graph = Graph(steps, [p.name for p in program.feeds], [p.name for p in program.fetches], made, made)

    def write(self, part: Part, folder: Path, *, random_weights: bool = False) -> Path:
        program = cut_program(self.program, inputs=part.inputs, outputs=part.outputs)
        for _, op in program.ops():
            for name in _TOLD:
                op.del_attr(name)
        params = {v.name: self.params[v.name] for v in program.parameters}
        if random_weights:
            params = {name: _random(name, source) for name, source in params.items()}
            _fill_at_random(program)
        folder.mkdir(parents=True)
        return write_model(program, params.items(), folder)[0]


def _fill_at_random(program: Program) -> None:
    """The numbers that operators hold: of ``assign_value`` and ``set_value``, under any of their names."""
    for _, op in program.ops():
        for name in ("values", *(name for name, _, _ in TYPED_VALUES.values())) if op.type in _FILL else ():
            numbers = op.attr(name) or ()
            if len(numbers) > 1 and all(isinstance(n, float) for n in numbers):
                op.set_attr(
                    name, random_numbers(",".join(op.output("Out")), len(numbers)), AttrType(op.attr_types[name])
                )


def _random(name: str, source: TensorSource) -> TensorSource:
    kind = source.dtype.numpy
    if not _is_weight(np.dtype("float16") if source.dtype.is_float else kind, source.shape):
        return source
    if source.dtype.is_float and kind.kind != "f":  # bfloat16 as its bits
        bits = random_like(name, source.shape, np.dtype("float32")).view(np.uint32) >> 16
        return ArraySource(bits.astype(np.uint16), source.dtype)
    return ArraySource(random_like(name, source.shape, kind), source.dtype)


__all__ = ["Model", "Onnx", "Paddle", "open_source", "random_like"]
