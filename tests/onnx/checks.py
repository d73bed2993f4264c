"""The one shared check of converters: a small model, converted, run in a real Paddle at several shapes, and compared.

    @everywhere
    def test_add(runtime):
        check_op(runtime, "Add", [f32(2, 3), f32(3)], [f32(5, 3), f32(3)])

Axes whose size differs between the input sets are symbolic in the model, so that the program must carry them.
"""

from __future__ import annotations

import atexit
import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mconv import runtimes
from mconv.errors import MconvError, RuntimeUnavailableError, UnsupportedError
from mconv.onnx.convert import convert
from mconv.onnx.importer import Imported
from mconv.onnx.reader import OnnxModel
from mconv.program import targets
from mconv.program.stored import write_model
from tests.onnx.suite import agrees

OPSET = 20  # of the models made here, unless a test says otherwise
Set = Sequence[Optional[np.ndarray]]  # the inputs of one run in the node's order; None = left out


@dataclass(frozen=True)
class Runtime:
    """What a model is converted for, and what runs it.

    Attributes:
        name: of mconv's runtime.
        onednn: None = as its Predictor has it by default.
    """

    target: str
    name: str
    onednn: Optional[bool] = None

    def __str__(self) -> str:
        return self.name + ("" if self.onednn is None else "+onednn" if self.onednn else "-onednn")


CURRENT = Runtime("3", "current")
PLAIN = Runtime("3", "current", onednn=False)
PADDLE_26 = Runtime("2.6", "paddle-2.6.2")
PADDLE_23 = Runtime("2.3", "paddle-2.3.2")
RUNTIMES = (CURRENT, PLAIN, PADDLE_26, PADDLE_23)
ONEDNN = (  # as services
    Runtime("2.3", "paddle-2.3.2", onednn=True),
    Runtime("2.6", "paddle-2.6.2", onednn=True),
    CURRENT,
)


def in_runtimes(*which: Runtime) -> pytest.MarkDecorator:
    """Run a test in each of *which* (parameter ``runtime``); those in managed runtimes carry the mark ``runtime``."""
    marked = [pytest.param(p, marks=[pytest.mark.runtime] if p.name != "current" else [], id=str(p)) for p in which]
    return pytest.mark.parametrize("runtime", marked)


everywhere = in_runtimes(*RUNTIMES)


@functools.cache
def worker(runtime: str) -> Any:
    """A worker of *runtime* that lives as long as the tests; skips the test when the runtime is not installed."""
    try:
        made = runtimes.find(runtime).worker()
    except RuntimeUnavailableError as e:
        pytest.skip(f"{e.message}; {e.hint}")
    atexit.register(made.close)
    return made


# data ------------------------------------------------------------------------------------------------------------


def rand(*shape: int, dtype: Any = np.float32, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """Numbers between *low* and *high* that depend on the shape and the seed only."""
    rng = np.random.default_rng([seed, len(shape), *shape])
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(int(low), int(high), shape, endpoint=True).astype(dtype)
    return rng.uniform(low, high, shape).astype(dtype)


def ints(*shape: int, low: int = -9, high: int = 9, dtype: Any = np.int64, seed: int = 0) -> np.ndarray:
    """Integers between *low* and *high*, both included."""
    return rand(*shape, dtype=dtype, low=low, high=high, seed=seed)


# models ----------------------------------------------------------------------------------------------------------


def node_model(
    op: str,
    sets: Sequence[Set],
    *,
    opset: int = OPSET,
    domain: str = "",
    outputs: int | Sequence[str] = 1,
    const: Sequence[int] = (),
    types: Sequence[int] = (),
    **attrs: Any,
) -> onnx.ModelProto:
    """A model of one node whose inputs take every one of *sets*.

    Args:
        outputs: how many, or their names (``""`` = left out).
        const: indices of inputs that become initializers, with their value in the first set.
        types: ``TensorProto.DataType`` of the outputs, for operators whose outputs ONNX cannot infer; default
            that of the first input.
    """
    names = [f"x{i}" if v is not None else "" for i, v in enumerate(sets[0])]
    out = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else list(outputs)
    node = helper.make_node(op, names, out, domain=domain, **attrs)
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    kinds = list(types) or [helper.np_dtype_to_tensor_dtype(sets[0][0].dtype) if sets[0] else 1] * len(out)
    inputs = {n: [s[i] for s in sets] for i, n in enumerate(names) if n and i not in const}
    constants = {n: sets[0][i] for i, n in enumerate(names) if n and i in const}
    return graph_model([node], inputs, out, opsets=opsets, constants=constants, kinds=kinds)


def graph_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[np.ndarray]],
    outputs: Sequence[str],
    *,
    opsets: Sequence[onnx.OperatorSetIdProto] = (),
    constants: Optional[Mapping[str, np.ndarray]] = None,
    kinds: Sequence[int] = (),
) -> onnx.ModelProto:
    """A model of several nodes.

    Args:
        inputs: name → its values in every run; axes whose size differs are symbolic.
        kinds: ``TensorProto.DataType`` of the outputs where ONNX's inference gives none; default float.
    """
    graph = helper.make_graph(
        list(nodes),
        "check",
        [_info(name, values) for name, values in inputs.items()],
        [helper.make_empty_tensor_value_info(n) for n in outputs if n],
        [numpy_helper.from_array(v, n) for n, v in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=list(opsets) or [helper.make_opsetid("", OPSET)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    wanted = iter(list(kinds) or [TensorProto.FLOAT] * len(outputs))
    for info, known, kind in zip(model.graph.output, inferred.graph.output, wanted):
        known_type = known.type.tensor_type.elem_type
        info.CopyFrom(helper.make_tensor_value_info(info.name, known_type or kind, None))
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    opset = context.opset_imports.get("", OPSET)
    for node in nodes:
        if node.domain or not onnx.defs.get_schema(node.op_type, opset).deprecated:
            onnx.checker.check_node(node, context)
    return model


def _info(name: str, values: Sequence[np.ndarray]) -> onnx.ValueInfoProto:
    sizes = list(zip(*(v.shape for v in values)))
    # axes of equal sizes in every set share a symbol, as an exporter's "batch" does
    dims = [s[0] if len(set(s)) == 1 else "n" + "_".join(map(str, s)) for s in sizes]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(values[0].dtype), dims)


# checks ----------------------------------------------------------------------------------------------------------


def reference(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """What the model gives in onnxruntime; in onnx's reference evaluator where onnxruntime lacks an operator."""
    session = _session(model.SerializeToString())
    if session is not None:
        return session.run(None, dict(feeds))
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model).run(None, dict(feeds))


@functools.lru_cache(maxsize=64)
def _session(serialized: bytes) -> Any:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return ort.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    except (errors.NotImplemented, errors.InvalidGraph, errors.Fail):
        return None


def run(runtime: Runtime, model: onnx.ModelProto, feeds: Sequence[Mapping[str, np.ndarray]]) -> list[list[np.ndarray]]:
    """The outputs of the converted model in *runtime*, per input set."""
    made = convert(OnnxModel(model), targets.get(runtime.target))
    return run_converted(runtime, made, feeds)


def run_converted(
    runtime: Runtime, made: Imported, feeds: Sequence[Mapping[str, np.ndarray]]
) -> list[list[np.ndarray]]:
    """Run what ``convert`` made in *runtime*; the feeds are cast to the program's types where those are wider."""
    types = {port.name: port.dtype.numpy for port in made.program.feeds}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_model(made.program, made.params.items(), Path(folder))
        sets = [{n: np.asarray(a).astype(types[n]) for n, a in feed.items()} for feed in feeds]
        if runtime.target == "2.3":  # which has no 0-d tensors
            sets = [{n: a.reshape(1) if a.shape == () else a for n, a in feed.items()} for feed in sets]
        outputs: list[list[np.ndarray]] = (
            worker(runtime.name).run(*paths, sets, onednn=runtime.onednn, timeout=300).outputs
        )
    return outputs


def check_model(
    runtime: Runtime,
    model: onnx.ModelProto,
    feeds: Sequence[Mapping[str, np.ndarray]],
    expected: Optional[Sequence[Sequence[np.ndarray]]] = None,
) -> Imported:
    """Convert once, run on every input set, and compare with onnxruntime (or *expected*); gives what was converted.

    Values agree within the suite's tolerance; shapes and types must be equal, but for a 0-d output of target 2.3,
    which is ``[1]`` there.
    """
    made = convert(OnnxModel(model), targets.get(runtime.target))
    wanted = expected if expected is not None else [reference(model, feed) for feed in feeds]
    names = [o.name for o in model.graph.output]
    for i, (want, got) in enumerate(zip(wanted, run_converted(runtime, made, feeds))):
        assert len(want) == len(got) == len(names)
        for name, w, g in zip(names, want, got):
            if np.shape(w) == () and g.shape == (1,) and runtime.target == "2.3":
                g = g.reshape(())
            problem = agrees(np.asarray(w), g, name in made.widened)
            assert not problem, f"input set {i}, output {name}: {problem}\nexpected {w}\ngot {g}"
    return made


def check_op(
    runtime: Runtime, op: str, *sets: Set, expected: Optional[Sequence[Sequence[np.ndarray]]] = None, **how: Any
) -> Imported:
    """Check a model of one node on each of *sets*; *how* is what :func:`node_model` takes, attributes included."""
    model = node_model(op, sets, **how)
    const = how.get("const", ())
    feeds = [{f"x{i}": v for i, v in enumerate(s) if v is not None and i not in const} for s in sets]
    return check_model(runtime, model, feeds, expected)


def check_refused(runtime: Runtime, op: str, *sets: Set, match: str, **how: Any) -> None:
    """Check that a model of one node is refused with a reason that contains *match* (a regular expression)."""
    model = node_model(op, sets, **how)
    with pytest.raises(UnsupportedError, match=match) as caught:
        convert(OnnxModel(model), targets.get(runtime.target))
    assert isinstance(caught.value, MconvError)
