"""Random ONNX graphs of a few operators each, run in ONNX Runtime and, converted, in the real Paddles.

    python -m tests.onnx.random_graphs --target 2.3 --count 500 [--seed 7] [--keep FOLDER]

A graph grows node by node: an operator is drawn, then inputs of those that are there and attributes that suit them, and
it stays where ONNX Runtime runs it for every input set and its numbers stay small. The input sets differ in two open
sizes (``b`` and ``s``); the third is of zeros, so that what is selected by values is nothing, unless an operator does
not take that.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.onnx import tried

OPSET = 20
SIZES = ({"b": 2, "s": 4}, {"b": 3, "s": 6}, {"b": 2, "s": 4})  # of the input sets, the last of zeros
LARGEST = 1e4  # of a number
Arrays = tuple[np.ndarray, ...]  # one per input set


class Misfit(Exception):
    """The operator drawn does not suit what is there: another is drawn."""


@dataclass
class Graph:
    """A graph that grows; every value is known by its arrays."""

    rng: np.random.Generator
    sets: int = len(SIZES)
    inputs: dict[str, tuple[tuple[Any, ...], Arrays]] = field(default_factory=dict)
    values: dict[str, Arrays] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    # what an operator asks for

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def choose(self, of: Sequence[Any]) -> Any:
        if not len(of):
            raise Misfit
        return of[self.integer(0, len(of) - 1)]

    def chance(self, of: float = 0.5) -> bool:
        return bool(self.rng.random() < of)

    def pick(self, kinds: str = "f", ranks: Optional[Sequence[int]] = None, like: Optional[str] = None) -> str:
        """A value of a kind of dtype (of NumPy), of one of the ranks, of the dtype of another; new ones more often."""
        names = [
            n
            for n, arrays in self.values.items()
            if arrays[0].dtype.kind in kinds
            and (ranks is None or arrays[0].ndim in ranks)
            and (like is None or arrays[0].dtype == self.dtype(like))
        ]
        if not names:
            raise Misfit
        weights = np.arange(1, len(names) + 1, dtype=float) ** 1.5
        return str(self.rng.choice(names, p=weights / weights.sum()))

    def rank(self, name: str) -> int:
        return self.values[name][0].ndim

    def dtype(self, name: str) -> np.dtype:
        return self.values[name][0].dtype

    def shape(self, name: str) -> tuple[int, ...]:
        return self.values[name][0].shape

    def fixed(self, name: str, axis: int) -> bool:
        """Whether the size is the same in every set."""
        return len({a.shape[axis] for a in self.values[name]}) == 1

    def const(self, value: Any, dtype: Any = None) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, dtype)
        return name

    def weights(self, *shape: int, dtype: Any = np.float32) -> str:
        return self.const(self.rng.uniform(-1, 1, shape).astype(dtype))

    def axis(self, name: str) -> int:
        rank = self.rank(name)
        if not rank:
            raise Misfit
        return self.integer(-rank, rank - 1)

    # how it grows

    def feed(self, name: str, dims: Sequence[Any], dtype: Any) -> None:
        dtype = np.dtype(dtype)
        arrays = []
        for sizes in SIZES:
            shape = tuple(sizes.get(d, d) for d in dims)
            if dtype.kind == "b":
                arrays.append(self.rng.random(shape) < 0.5)
            elif dtype.kind in "iu":
                arrays.append(self.rng.integers(0 if dtype.kind == "u" else -4, 6, shape).astype(dtype))
            else:
                arrays.append(self.rng.uniform(-2, 2, shape).astype(dtype))
        arrays[-1] = np.zeros_like(arrays[-1])
        self.inputs[name] = (tuple(dims), tuple(arrays))
        self.values[name] = tuple(arrays)

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attrs: Any) -> list[str]:
        """Append a node, or raise :class:`Misfit` where ONNX Runtime does not run it."""
        domain = attrs.pop("domain", "")
        names = [f"v{len(self.values)}_{i}" for i in range(outputs)]
        node = helper.make_node(op, list(inputs), names, domain=domain, **attrs)
        found = self._run(node)
        for i, name in enumerate(names):
            self.values[name] = tuple(made[i] for made in found)
        self.nodes.append(node)
        self.read.update(inputs)
        return names

    def _run(self, node: onnx.NodeProto) -> list[list[np.ndarray]]:
        names = [n for n in dict.fromkeys(node.input) if n]
        known = [n for n in names if n in self.values]
        infos = [_info(n, self.dtype(n), [f"{n}_{i}" for i in range(self.rank(n))]) for n in known]
        graph = helper.make_graph(
            [node], "g", infos, [helper.make_empty_tensor_value_info(n) for n in node.output],
            [numpy_helper.from_array(self.constants[n], n) for n in names if n in self.constants],
        )  # fmt: skip
        session = session_of(helper.make_model(graph, opset_imports=_opsets(), ir_version=10))
        found: list[list[np.ndarray]] = []
        for i in range(self.sets):
            try:
                made = session.run(None, {n: self.values[n][i] for n in known})
            except Exception as e:
                if i < 2:
                    raise Misfit from e
                self.sets = 2
                break
            if not all(isinstance(m, np.ndarray) and _tame(m) for m in made):
                raise Misfit
            found.append(made)
        if self.sets == 2:
            for name, arrays in self.values.items():
                self.values[name] = arrays[:2]
        return found

    # what becomes of it

    def model(self) -> onnx.ModelProto:
        made = [n for node in self.nodes for n in node.output]
        ends = [n for n in made if n not in self.read] or made[-1:]
        more = [n for n in made if n not in ends]
        if more and self.chance(0.3):
            ends.append(self.choose(more))
        used = {n for node in self.nodes for n in node.input}
        graph = helper.make_graph(
            self.nodes,
            "random",
            [_info(n, a[0].dtype, dims) for n, (dims, a) in self.inputs.items() if n in used],
            [_info(n, self.dtype(n), None) for n in ends],
            [numpy_helper.from_array(a, n) for n, a in self.constants.items() if n in used],
        )
        return helper.make_model(graph, opset_imports=_opsets(), ir_version=10)

    def feeds(self) -> list[dict[str, np.ndarray]]:
        used = {n for node in self.nodes for n in node.input}
        return [{n: a[i] for n, (_, a) in self.inputs.items() if n in used} for i in range(self.sets)]


def _opsets() -> list[onnx.OperatorSetIdProto]:
    return [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]


def _info(name: str, dtype: np.dtype, dims: Optional[Sequence[Any]]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), dims)


def _tame(array: np.ndarray) -> bool:
    if array.size > 20_000 or array.ndim > 6:
        return False
    if array.dtype.kind == "b" or not array.size:
        return True
    return bool(np.isfinite(array.astype(np.float64)).all() and np.abs(array.astype(np.float64)).max() < LARGEST)


def session_of(model: onnx.ModelProto) -> Any:
    """A session without optimisations, which are not what is asked about here."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise Misfit from e


# operators ---------------------------------------------------------------------------------------------------------

OPERATORS: list[Callable[[Graph], Any]] = []


def operator(function: Callable[[Graph], Any]) -> Callable[[Graph], Any]:
    OPERATORS.append(function)
    return function


UNARY = (
    "Abs Neg Relu Sigmoid Tanh Sin Cos Atan Exp Erf Softplus Softsign Elu Selu LeakyRelu HardSigmoid HardSwish Gelu Mish"
    " Identity Celu ThresholdedRelu Sinh Asinh Sign Shrink"
).split()


@operator
def unary(g: Graph) -> None:
    g.add(g.choose(UNARY), [g.pick()])


@operator
def unary_of_integers(g: Graph) -> None:
    g.add(g.choose(["Abs", "Neg", "Sign", "Identity", "Relu"]), [g.pick("i")])


def _other(g: Graph, x: str) -> str:
    """Something that x can be combined with: a value of its type, or a constant that broadcasts."""
    dtype = g.dtype(x)
    if g.chance(0.4):
        shape = [s if g.fixed(x, i) and g.chance(0.7) else 1 for i, s in enumerate(g.shape(x))]
        shape = shape[g.integer(0, len(shape)) :]
        if g.chance(0.2):
            shape = [g.integer(1, 2), *[1] * (len(g.shape(x)) - len(shape)), *shape]
        if dtype.kind in "iu":
            return g.const(g.rng.integers(1, 5, shape).astype(dtype))
        return g.const(g.rng.uniform(0.5, 2, shape).astype(dtype) if dtype.kind == "f" else g.rng.random(shape) < 0.5)
    return g.pick(dtype.kind, like=x)


@operator
def arithmetic(g: Graph) -> None:
    x = g.pick("fiu")
    pair = [x, _other(g, x)]
    if g.chance(0.4):
        pair.reverse()
    g.add(g.choose(["Add", "Sub", "Mul", "Add", "Mul", "Max", "Min"]), pair)


@operator
def quotient(g: Graph) -> None:
    x = g.pick("fi")
    divisor = g.const(g.choose([2, 3, -3]) if g.dtype(x).kind == "i" else g.rng.uniform(0.5, 2), g.dtype(x))
    if g.dtype(x).kind == "i" and g.chance():
        g.add("Mod", [x, divisor])
    else:
        g.add("Div", [x, divisor])


@operator
def comparison(g: Graph) -> None:
    x = g.pick("fi")
    g.add(g.choose(["Less", "Greater", "GreaterOrEqual", "LessOrEqual"]), [x, _other(g, x)])


@operator
def equality(g: Graph) -> None:
    x = g.pick("ib")
    g.add("Equal", [x, _other(g, x)])


@operator
def logic(g: Graph) -> None:
    x = g.pick("b")
    if g.chance(0.3):
        g.add("Not", [x])
    else:
        g.add(g.choose(["And", "Or", "Xor"]), [x, _other(g, x)])


@operator
def where(g: Graph) -> None:
    x = g.pick("fiu")
    g.add("Where", [g.pick("b"), x, _other(g, x)])


@operator
def cast(g: Graph) -> None:
    x = g.pick("fiub")
    kinds = [TensorProto.FLOAT, TensorProto.BOOL, TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16]
    if g.dtype(x).kind != "f":
        kinds += [TensorProto.INT64, TensorProto.INT32]
    g.add("Cast", [x], to=g.choose(kinds))


@operator
def variadic(g: Graph) -> None:
    x = g.pick("f")
    g.add(g.choose(["Sum", "Mean", "Max", "Min"]), [x, *[_other(g, x) for _ in range(g.integer(0, 2))]])


@operator
def clip(g: Graph) -> None:
    x = g.pick("fi")
    low, high = g.const(-1, g.dtype(x)), g.const(2, g.dtype(x))
    g.add("Clip", [x, *g.choose([[low, high], [low], ["", high]])])


REDUCTIONS = "Sum Mean Max Min SumSquare L1 L2 LogSumExp Prod".split()


@operator
def reduction(g: Graph) -> None:
    x = g.pick("fi")
    rank = g.rank(x)
    axes = [int(a) for a in g.rng.permutation(rank)[: g.integer(1, max(rank, 1))]]
    axes = [a - rank if g.chance(0.3) else a for a in axes]
    op = "Reduce" + g.choose(REDUCTIONS if g.dtype(x).kind == "f" else ["Sum", "Max", "Min"])
    if not axes or g.chance(0.15):
        g.add(op, [x], keepdims=g.integer(0, 1))
    else:
        g.add(op, [x, g.const(axes, np.int64)], keepdims=g.integer(0, 1))


@operator
def arg(g: Graph) -> None:
    x = g.pick()
    g.add(g.choose(["ArgMax", "ArgMin"]), [x], axis=g.axis(x), keepdims=g.integer(0, 1))


@operator
def softmax(g: Graph) -> None:
    x = g.pick()
    g.add(g.choose(["Softmax", "LogSoftmax"]), [x], axis=g.axis(x))


@operator
def transpose(g: Graph) -> None:
    x = g.pick("fiub", ranks=(2, 3, 4, 5))
    if g.chance(0.1):
        g.add("Transpose", [x])
    else:
        g.add("Transpose", [x], perm=[int(a) for a in g.rng.permutation(g.rank(x))])


@operator
def reshape(g: Graph) -> None:
    x = g.pick("fiub")
    shape = list(g.shape(x))
    if g.chance(0.3):
        wanted = [-1]
    elif g.chance(0.4) and len(shape) > 1:
        i = g.integer(0, len(shape) - 2)
        open_ = not (g.fixed(x, i) and g.fixed(x, i + 1))
        wanted = [0] * i + [-1 if open_ else shape[i] * shape[i + 1]] + [
            s if g.fixed(x, j) else 0 for j, s in enumerate(shape) if j > i + 1
        ]  # fmt: skip
        if any(s == 0 for s in wanted[i + 1 :]):
            raise Misfit
    else:
        wanted = [0] * len(shape)
        fixed = [i for i in range(len(shape)) if g.fixed(x, i) and shape[i] > 1 and shape[i] % 2 == 0]
        at = g.choose(fixed)
        wanted = [0] * at + [2, shape[at] // 2] + [s if g.fixed(x, j) else -1 for j, s in enumerate(shape) if j > at]
        if wanted.count(-1) > 1:
            raise Misfit
    g.add("Reshape", [x, g.const(wanted, np.int64)])


@operator
def unsqueeze(g: Graph) -> None:
    x = g.pick("fiub")
    rank = g.rank(x)
    count = g.integer(1, 2)
    axes = [int(a) for a in g.rng.permutation(rank + count)[:count]]
    g.add("Unsqueeze", [x, g.const([a - rank - count if g.chance(0.3) else a for a in axes], np.int64)])


@operator
def squeeze(g: Graph) -> None:
    x = g.pick("fiub")
    ones = [i for i, s in enumerate(g.shape(x)) if s == 1 and g.fixed(x, i)]
    g.add("Squeeze", [x, g.const([g.choose(ones)], np.int64)])


@operator
def flatten(g: Graph) -> None:
    x = g.pick("fiu")
    g.add("Flatten", [x], axis=g.integer(-g.rank(x), g.rank(x)))


@operator
def concat(g: Graph) -> None:
    x = g.pick("fiub")
    axis = g.axis(x)
    parts = [x]
    for _ in range(g.integer(1, 2)):
        if g.chance(0.4):
            shape = list(g.shape(x))
            shape[axis] = g.integer(0, 2)
            if all(g.fixed(x, i) for i in range(len(shape)) if i != axis % len(shape)):
                parts.insert(g.integer(0, len(parts)), g.const(g.rng.integers(0, 2, shape).astype(g.dtype(x))))
                continue
        parts.append(g.pick("fiub", ranks=[g.rank(x)], like=x))
    for arrays in zip(*(g.values[p] for p in parts if p in g.values)):
        if len({tuple(np.delete(a.shape, axis)) for a in arrays}) > 1:  # which ONNX Runtime lets pass beside nothing
            raise Misfit
    g.add("Concat", parts, axis=axis)


@operator
def split(g: Graph) -> None:
    x = g.pick("fiub")
    axis = g.axis(x)
    size = g.shape(x)[axis]
    if g.fixed(x, axis) and size > 1 and g.chance(0.7):
        first = g.integer(0, size)
        g.add("Split", [x, g.const([first, size - first], np.int64)], outputs=2, axis=axis)
    else:
        g.add("Split", [x], outputs=2, axis=axis, num_outputs=2)


@operator
def slice_(g: Graph) -> None:
    x = g.pick("fiub")
    rank = g.rank(x)
    count = g.integer(1, min(rank, 2)) if rank else 0
    axes = [int(a) for a in g.rng.permutation(rank)[:count]]
    starts, ends, steps = [], [], []
    for _ in axes:
        start, end, step = g.choose(
            [
                (0, 2, 1),
                (1, 2**63 - 1, 1),
                (-2, 2**63 - 1, 1),
                (0, -1, 1),
                (-1, -(2**63), -1),
                (0, 2**31 - 1, 2),
                (3, 1, 1),
            ]
            + [(-1, 0, -2), (1, 3, 1), (0, 100, 3), (-100, 2, 1)]
        )
        starts, ends, steps = [*starts, start], [*ends, end], [*steps, step]
    given = [g.const(v, np.int64) for v in (starts, ends, [a - rank if g.chance(0.3) else a for a in axes], steps)]
    g.add("Slice", [x, *given])


@operator
def gather(g: Graph) -> None:
    x = g.pick("fiub")
    axis = g.axis(x)
    if not g.fixed(x, axis) or not g.shape(x)[axis]:
        index = g.const(g.choose([0, [0, 1], [[0], [1]], -1, [1, -1]]), np.int64)
    else:
        size = g.shape(x)[axis]
        index = g.const(g.rng.integers(-size, size, g.choose([(), (1,), (3,), (2, 2), (0,)])), np.int64)
    g.add("Gather", [x, index], axis=axis)


@operator
def gather_elements(g: Graph) -> None:
    x = g.pick("fiu")
    axis = g.axis(x)
    if not all(g.fixed(x, i) for i in range(g.rank(x))) or 0 in g.shape(x):
        raise Misfit
    shape = list(g.shape(x))
    shape[axis] = g.integer(1, 4)
    size = g.shape(x)[axis]
    g.add("GatherElements", [x, g.const(g.rng.integers(-size, size, shape), np.int64)], axis=axis)


@operator
def gather_nd(g: Graph) -> None:
    x = g.pick("fiub", ranks=(2, 3, 4))
    depth = g.integer(1, g.rank(x))
    index = [[g.integer(0, max(min(a.shape[i] for a in g.values[x]) - 1, 0)) for i in range(depth)] for _ in range(3)]
    g.add("GatherND", [x, g.const(index, np.int64)])


@operator
def scatter_nd(g: Graph) -> None:
    x = g.pick("fi", ranks=(1, 2, 3))
    if not all(g.fixed(x, i) for i in range(1, g.rank(x))) or 0 in g.shape(x):
        raise Misfit
    index = g.rng.permutation(min(a.shape[0] for a in g.values[x]))[:2].reshape(-1, 1)
    updates = g.rng.integers(-3, 3, (len(index), *g.shape(x)[1:])).astype(g.dtype(x))
    reduced = g.choose([{}, {}, {"reduction": "add"}, {"reduction": "mul"}])
    g.add("ScatterND", [x, g.const(index, np.int64), g.const(updates)], **reduced)


@operator
def scatter_elements(g: Graph) -> None:
    x = g.pick("fi", ranks=(1, 2, 3))
    axis = g.axis(x)
    shape = [min(a.shape[i] for a in g.values[x]) for i in range(g.rank(x))]
    if 0 in shape:
        raise Misfit
    index = np.argsort(g.rng.random(shape), axis=axis)
    updates = g.rng.integers(-3, 3, shape).astype(g.dtype(x))
    reduced = g.choose([{}, {}, {"reduction": "add"}, {"reduction": "max"}])
    g.add("ScatterElements", [x, g.const(index, np.int64), g.const(updates)], axis=axis, **reduced)


@operator
def expand(g: Graph) -> None:
    x = g.pick("fiub")
    if g.chance():
        shape = [g.choose([1, 3]) if s == 1 else 1 for s in g.shape(x)]
        g.add("Expand", [x, g.const([g.integer(1, 2)] * g.integer(0, 1) + shape, np.int64)])
    else:
        g.add("Expand", [x, g.add("Shape", [g.pick("fiub")])[0]])


@operator
def tile(g: Graph) -> None:
    x = g.pick("fiub", ranks=(1, 2, 3, 4))
    g.add("Tile", [x, g.const([g.choose([1, 1, 2, 3]) for _ in g.shape(x)], np.int64)])


@operator
def pad(g: Graph) -> None:
    x = g.pick("fi", ranks=(1, 2, 3, 4, 5))
    mode = g.choose(["constant", "constant", "reflect", "edge", "wrap"])
    rank = g.rank(x)
    low = -1 if mode == "constant" else 0
    amounts = [g.choose([0, 0, 1, 2, low]) for _ in range(2 * rank)]
    more = [g.const(g.choose([0, 1, -2]), g.dtype(x))] if mode == "constant" and g.chance() else []
    g.add("Pad", [x, g.const(amounts, np.int64), *more], mode=mode)


@operator
def layer_norm(g: Graph) -> None:
    x = g.pick(ranks=(2, 3, 4))
    if not g.fixed(x, -1) or g.shape(x)[-1] < 2 or g.dtype(x) != np.float32:
        raise Misfit
    size = g.shape(x)[-1]
    more = [g.weights(size)] if g.chance() else []
    g.add("LayerNormalization", [x, g.weights(size), *more], axis=-1)


@operator
def batch_norm(g: Graph) -> None:
    x = g.pick(ranks=(2, 3, 4, 5))
    if not g.fixed(x, 1) or g.dtype(x) != np.float32:
        raise Misfit
    size = g.shape(x)[1]
    variance = g.const(g.rng.uniform(0.5, 2, size).astype(np.float32))
    g.add("BatchNormalization", [x, g.weights(size), g.weights(size), g.weights(size), variance])


@operator
def instance_norm(g: Graph) -> None:
    x = g.pick(ranks=(3, 4))
    if not g.fixed(x, 1) or g.dtype(x) != np.float32:
        raise Misfit
    size = g.shape(x)[1]
    g.add("InstanceNormalization", [x, g.weights(size), g.weights(size)])


@operator
def matmul(g: Graph) -> None:
    x = g.pick(ranks=(1, 2, 3, 4))
    if g.fixed(x, -1) and g.chance(0.6):
        shape = [g.shape(x)[-1], g.integer(1, 4)][: g.choose([1, 2, 2, 2])]
        pair = [x, g.weights(*shape, dtype=g.dtype(x))]
    else:
        y = g.pick(ranks=(1, 2, 3, 4), like=x)
        if g.rank(y) > 1 and g.chance():
            order = [*range(g.rank(y) - 2), g.rank(y) - 1, g.rank(y) - 2]
            y = g.add("Transpose", [y], perm=order)[0]
        pair = [x, y]
    g.add("MatMul", pair)


@operator
def gemm(g: Graph) -> None:
    x = g.pick(ranks=(2,))
    turned = g.integer(0, 1)
    if not g.fixed(x, 0 if turned else 1):
        raise Misfit
    inner, size = g.shape(x)[0 if turned else 1], g.integer(1, 4)
    transposed = g.integer(0, 1)
    w = g.weights(*((size, inner) if transposed else (inner, size)), dtype=g.dtype(x))
    more = [g.weights(*g.choose([(size,), (1, size), (1,), ()]), dtype=g.dtype(x))] if g.chance() else []
    scales = g.choose([{}, {"alpha": 0.5}, {"beta": 2.0, "alpha": 1.5}])
    g.add("Gemm", [x, w, *more], transA=turned, transB=transposed, **scales)


@operator
def einsum(g: Graph) -> None:
    x = g.pick(ranks=(2, 3))
    if g.rank(x) == 2:
        g.add("Einsum", [x, x], equation=g.choose(["ij,kj->ik", "ij,ij->i", "ij,ij->", "ij,kj->kij"]))
    else:
        g.add("Einsum", [x, x], equation=g.choose(["bij,bkj->bik", "bij,bij->b", "bij,bij->ji", "...ij,...ij->...j"]))


@operator
def conv(g: Graph) -> None:
    x = g.pick(ranks=(3, 4, 5))
    spatial = g.rank(x) - 2
    channels = g.shape(x)[1]
    if not g.fixed(x, 1) or not channels or g.dtype(x) != np.float32:
        raise Misfit
    group = g.choose([1, 1, channels])
    out = group * g.integer(1, 2)
    kernel = [g.integer(1, 3) for _ in range(spatial)]
    pads = [g.integer(0, 1) for _ in range(2 * spatial)]
    bias = [g.weights(out)] if g.chance() else []
    how: dict[str, Any] = {"group": group, "strides": [g.integer(1, 2) for _ in kernel]}
    if g.chance(0.2):
        how["auto_pad"] = g.choose(["SAME_UPPER", "SAME_LOWER", "VALID"])
    else:
        how.update(pads=pads, dilations=[g.choose([1, 1, 2]) for _ in kernel])
    g.add("Conv", [x, g.weights(out, channels // group, *kernel), *bias], **how)


@operator
def conv_transpose(g: Graph) -> None:
    x = g.pick(ranks=(3, 4))
    spatial = g.rank(x) - 2
    channels = g.shape(x)[1]
    if not g.fixed(x, 1) or not channels or g.dtype(x) != np.float32:
        raise Misfit
    group = g.choose([1, 1, channels])
    kernel = [g.integer(1, 3) for _ in range(spatial)]
    strides = [g.integer(1, 2) for _ in kernel]
    pads = [g.integer(0, 1) if all(k > 1 for k in kernel) else 0 for _ in range(2 * spatial)]
    g.add("ConvTranspose", [x, g.weights(channels, g.integer(1, 2), *kernel)], group=group, strides=strides, pads=pads)


@operator
def pool(g: Graph) -> None:
    x = g.pick(ranks=(3, 4, 5))
    spatial = g.rank(x) - 2
    kernel = [g.integer(1, 3) for _ in range(spatial)]
    pads = [g.integer(0, k // 2) for k in kernel] * 2
    how: dict[str, Any] = {"kernel_shape": kernel, "strides": [g.integer(1, 2) for _ in kernel], "pads": pads}
    how["ceil_mode"] = g.choose([0, 0, 1])
    if g.chance():
        g.add("MaxPool", [x], **how)
    else:
        g.add("AveragePool", [x], count_include_pad=g.integer(0, 1), **how)


@operator
def global_pool(g: Graph) -> None:
    g.add(g.choose(["GlobalAveragePool", "GlobalMaxPool"]), [g.pick(ranks=(3, 4, 5))])


@operator
def resize(g: Graph) -> None:
    x = g.pick(ranks=(3, 4))
    mode = g.choose(["nearest", "linear"])
    scales = [1.0, 1.0, *[g.choose([1.0, 2.0, 0.5, 1.5]) for _ in range(g.rank(x) - 2)]]
    turned = g.choose(["half_pixel", "asymmetric", "pytorch_half_pixel"])  # of corners, ONNX Runtime has its own idea
    how = {"nearest_mode": g.choose(["floor", "round_prefer_floor"])} if mode == "nearest" else {}
    g.add("Resize", [x, "", g.const(scales, np.float32)], mode=mode, coordinate_transformation_mode=turned, **how)


@operator
def depth_and_space(g: Graph) -> None:
    x = g.pick(ranks=(4,))
    if g.chance():
        g.add("SpaceToDepth", [x], blocksize=2)
    else:
        g.add("DepthToSpace", [x], blocksize=2, mode=g.choose(["DCR", "CRD"]))


@operator
def running_sum(g: Graph) -> None:
    x = g.pick("fi")
    axis = g.const(g.axis(x), np.int64)
    g.add("CumSum", [x, axis], exclusive=g.integer(0, 1), reverse=g.integer(0, 1))


@operator
def top(g: Graph) -> None:
    x = g.pick()
    axis = g.axis(x)
    most = min(a.shape[axis] for a in g.values[x][:2])
    k = g.const([g.integer(1, max(most, 1))], np.int64)
    g.add("TopK", [x, k], outputs=2, axis=axis, largest=g.integer(0, 1))


@operator
def one_hot(g: Graph) -> None:
    x = g.pick("i")
    depth = g.const(g.choose([4, [5]]), np.int64)
    g.add("OneHot", [x, depth, g.const([0.5, 2], np.float32)], axis=g.choose([-1, 0, 1]))


@operator
def places_of(g: Graph) -> None:
    g.add("NonZero", [g.pick("fib", ranks=(1, 2, 3))])


@operator
def selected(g: Graph) -> None:
    """What exporters write for ``x[mask]``: in_runtimes, then rows."""
    x = g.pick("fi", ranks=(1, 2, 3))
    total = g.add("ReduceSum", [x, g.const(range(1, g.rank(x)), np.int64)], keepdims=0)[0] if g.rank(x) > 1 else x
    mask = g.add("Greater", [total, g.const(0, g.dtype(x))])[0]
    if g.chance():
        g.add("Compress", [x, mask], axis=0)
    else:
        in_runtimes = g.add("NonZero", [mask])[0]
        index = g.add("Squeeze", [in_runtimes, g.const([0], np.int64)])[0]
        g.add("Gather", [x, index])


@operator
def sizes(g: Graph) -> None:
    """Arithmetic with a size, and back to a tensor by it."""
    x = g.pick("fib", ranks=(1, 2, 3, 4))
    shape = g.add("Shape", [x])[0]
    one = g.add("Gather", [shape, g.const(g.integer(0, g.rank(x) - 1), np.int64)])[0]
    if g.chance(0.4):
        one = g.add(g.choose(["Add", "Mul"]), [one, g.const(g.integer(1, 2), np.int64)])[0]
    way = g.integer(0, 3)
    if way == 0:
        g.add("Range", [g.const(0, np.int64), one, g.const(g.integer(1, 2), np.int64)])
    elif way == 1:
        many = g.add("Unsqueeze", [one, g.const([0], np.int64)])[0]
        g.add("ConstantOfShape", [many], value=numpy_helper.from_array(np.array([1.5], np.float32)))
    elif way == 2:
        many = g.add("Unsqueeze", [one, g.const([0], np.int64)])[0]
        joined = g.add("Concat", [many, g.const([-1], np.int64)], axis=0)[0]
        g.add("Reshape", [x, joined])
    else:
        g.add("Cast", [one], to=TensorProto.FLOAT)


@operator
def triangle(g: Graph) -> None:
    more = [g.const(g.integer(-2, 2), np.int64)] if g.chance() else []
    g.add("Trilu", [g.pick("fi", ranks=(2, 3, 4)), *more], upper=g.integer(0, 1))


@operator
def bits(g: Graph) -> None:
    x = g.pick("iu")
    g.add(g.choose(["BitwiseAnd", "BitwiseOr", "BitwiseXor"]), [x, _other(g, x)])


@operator
def reverse(g: Graph) -> None:
    x = g.pick("fi", ranks=(2, 3, 4))
    lens = g.const([1] * g.shape(x)[1], np.int64)
    if not g.fixed(x, 1):
        raise Misfit
    g.add("ReverseSequence", [x, lens], batch_axis=1, time_axis=0)


@operator
def unique(g: Graph) -> None:
    g.add("Unique", [g.pick("i")], outputs=g.choose([1, 4]), sorted=1)


@operator
def recurrent(g: Graph) -> None:
    x = g.pick(ranks=(3,))
    if not g.fixed(x, 2) or g.dtype(x) != np.float32 or not g.shape(x)[2]:
        raise Misfit
    op, gates = g.choose([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    direction, ways = g.choose([("forward", 1), ("reverse", 1), ("bidirectional", 2)])
    weights = [g.weights(ways, gates * 2, g.shape(x)[2]), g.weights(ways, gates * 2, 2)]
    g.add(op, [x, *weights], outputs=2, hidden_size=2, direction=direction)


@operator
def condition(g: Graph) -> None:
    flag = g.pick("b")
    x = g.pick("f")
    if g.rank(flag):
        flag = g.add("ReduceMax", [g.add("Cast", [flag], to=TensorProto.INT32)[0]], keepdims=0)[0]
        flag = g.add("Cast", [flag], to=TensorProto.BOOL)[0]
    kind = helper.np_dtype_to_tensor_dtype(g.dtype(x))
    branches = [
        helper.make_graph([helper.make_node(op, [x], [f"{op}_of_{x}"])], op, [],
                          [helper.make_tensor_value_info(f"{op}_of_{x}", kind, None)])
        for op in g.choose([("Neg", "Abs"), ("Tanh", "Neg")])
    ]  # fmt: skip
    node_inputs = [flag]
    name = f"v{len(g.values)}_0"
    node = helper.make_node("If", node_inputs, [name], then_branch=branches[0], else_branch=branches[1])
    g.values[name] = tuple(
        {"Neg": -a, "Abs": np.abs(a), "Tanh": np.tanh(a)}[(branches[0] if bool(f) else branches[1]).name]
        for a, f in zip(g.values[x], g.values[flag])
    )
    g.nodes.append(node)
    g.read.update([flag, x])


# graphs ------------------------------------------------------------------------------------------------------------

INPUTS: tuple[tuple[tuple[Any, ...], str], ...] = (
    (("b", "s", 4), "float32"), (("b", 3, "s", 4), "float32"), (("b", 4), "float32"), ((2, 3, 4, 6), "float32"),
    (("b", "s"), "int64"), ((), "float32"), (("s",), "float32"), ((2, 4), "int64"), (("b", 2, 3, 4, "s"), "float32"),
    (("b", "s"), "bool"), (("s", "b", 3), "float32"), ((4,), "int64"), ((), "int64"), (("b", 1, "s"), "float32"),
    (("b", 4), "float64"), (("b", "s", 4), "float16"), (("b", 4), "int32"), (("b", 3, "s"), "uint8"), (("b", 1, 1), "bool"),
)  # fmt: skip


def graph(seed: int, most: int = 8) -> Graph:
    """The random graph of a seed."""
    rng = np.random.default_rng(seed)
    g = Graph(rng)
    for i in range(g.integer(1, 3)):
        dims, dtype = g.choose(INPUTS[:6] if i == 0 else INPUTS)
        g.feed(f"x{i}", dims, dtype)
    count = g.integer(3, most)
    for _ in range(40 * count):
        if len(g.nodes) >= count:
            break
        kept, constants = len(g.nodes), len(g.constants)
        try:
            g.choose(OPERATORS)(g)
        except Misfit:
            if len(g.nodes) == kept:
                for name in list(g.constants)[constants:]:
                    del g.constants[name]
    return g


def outcome(g: Graph, target: str, worker: Any, onednn: Optional[bool] = None) -> tuple[str, str]:
    """:func:`compared` of a graph."""
    return compared(g.model(), g.feeds(), target, worker, onednn)


def compared(
    model: onnx.ModelProto,
    feeds: Sequence[dict[str, np.ndarray]],
    target: str,
    worker: Any,
    onednn: Optional[bool] = None,
) -> tuple[str, str]:
    """A model in ONNX Runtime and, converted, in Paddle.

    Returns:
        Status ("works", "refused", "failed", "crashed", "wrong", "bug", "no case") and reason.
    """
    from mconv.program.stored import write_model
    from mconv.runtimes import WorkerError

    try:
        session = session_of(model)
        wanted = [session.run(None, f) for f in feeds]
    except Exception as e:  # noqa: BLE001 - ONNX Runtime's own failure: nothing is known of what should come out
        return "no case", str(e)
    made = tried.converted(model, target)
    if isinstance(made, tuple):
        return made
    carried = tried.fed(made, feeds, target)
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_model(made.program, made.params.items(), Path(scratch))
        try:
            got = worker.run(*paths, carried, onednn=onednn, timeout=120).outputs
        except WorkerError as e:
            return "crashed" if e.signal or e.timed_out else "failed", e.message
    for i, (want_row, got_row) in enumerate(zip(wanted, got)):
        for info, want, value in zip(model.graph.output, want_row, got_row):
            value = tried.handed_out(value, want, target)
            if target == "2.3" and not want.size and not value.size and want.ndim == value.ndim:
                value = value.reshape(want.shape)  # 2.3 hands it out with a 0 for every open size
            problem = differs(want, value, info.name in made.widened)
            if problem:
                return "wrong", f"set {i}, {info.name}: {problem}"
    return "works", ""


def differs(want: np.ndarray, got: np.ndarray, widened: bool) -> str:
    """What is different, within what chains of float16 or float32 may be off; empty where nothing is."""
    if want.shape != got.shape:
        return f"shape {got.shape} instead of {want.shape}"
    if want.dtype != got.dtype and not widened:
        return f"{got.dtype} instead of {want.dtype}"
    if not want.size:
        return ""
    if want.dtype.kind in "iub":
        count = int((want != got.astype(want.dtype)).sum())
        return f"{count} of {want.size} differ" if count else ""
    a, b = want.astype(np.float64), got.astype(np.float64)
    scale = max(float(np.abs(a).max()), 1e-3)
    worst = float(np.abs(a - b).max())
    allowed = (2e-2 if want.dtype == np.float16 else 2e-3) * scale
    return "" if worst <= allowed else f"off by {worst:.3g} at a scale of {scale:.3g}"


def main() -> int:
    from mconv import runtimes
    from tests.onnx.nothing import RUNTIMES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="3", choices=list(RUNTIMES))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--onednn", action="store_true")
    parser.add_argument("--keep", help="a folder for the models of faults")
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    with runtimes.find(RUNTIMES[args.target]).worker() as worker:
        for seed in range(args.seed, args.seed + args.count):
            g = graph(seed)
            if not g.nodes:
                continue
            status, reason = outcome(g, args.target, worker, onednn=args.onednn or None)
            counts[status] += 1
            if status not in ("works", "no case"):
                print(f"{seed}: {status}: {' '.join(reason.split())[:300]}", flush=True)
                if args.keep and status != "refused":
                    folder = Path(args.keep)
                    folder.mkdir(parents=True, exist_ok=True)
                    onnx.save(g.model(), folder / f"{args.target}-{seed}.onnx")
    print(dict(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
