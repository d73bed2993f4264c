"""From a live PyTorch model to a Program through ONNX, as PyTorch's exporters write it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mconv.errors import MconvError, MissingDependencyError, RuntimeFailedError
from mconv.onnx import describe
from mconv.onnx.reader import OnnxModel, read
from mconv.options.torch import ONNX
from mconv.program.dtypes import DType
from mconv.proof import precision
from mconv.proof.runners import OnnxRunner
from mconv.proof.torch_runner import TorchRunner
from mconv.torch.onnx_export import Task, export_onnx
from mconv.torch.sources import Source
from mconv.verbs import x2paddle
from mconv.verbs.onnx2paddle import native
from mconv.verbs.produced import Produced
from mconv.verbs.torch_inputs import Plan, labels_of
from mconv.verbs.torch_request import KEPT, Request, input_shape, tensors
from mconv.verbs.torch_sizes import same


def through_onnx(source: Source, plan: Plan, request: Request, runner: TorchRunner) -> tuple[Produced, str, str]:
    """The program, the route and what wrote the file, as of :func:`mconv.verbs.torch_routes.produce`.

    Raises:
        UnsupportedError: no exporter of PyTorch writes it as it is, or operators cannot be converted.
    """
    chosen = request.chosen
    folder = request.keep or request.scratch
    chosen.progress(f"writing {source.label} as ONNX with PyTorch's exporters")
    source.restore()
    notes: list[str] = []
    task = Task(
        source.module, tensors(plan), plan.dims, request.outputs, folder / KEPT[ONNX],
        positional=source.positional, program=source.program, restore=source.restore,
    )  # fmt: skip
    opset = 13 if chosen.engine == "x2paddle" else None
    written = export_onnx(task, opset=opset, check=lambda path: wrong(path, plan, runner, notes))
    start = time.perf_counter()
    model = read(written.path)
    _select(model, request)
    _complete(model, plan)
    seconds = {**written.seconds, "read": time.perf_counter() - start}
    fixed = _fixed(model, plan)
    if chosen.engine == "x2paddle":
        made = x2paddle.produce(model, {}, chosen)
    else:
        made, _ = native(model, chosen.goal, {})
    made.seconds = {**seconds, **made.seconds}
    made.precision = precision.of_onnx(model.proto)
    made.keep = made.keep, model  # parameters are read from the file when they are written
    for one, given in zip(made.facts.inputs, plan.inputs):
        one["shape"] = input_shape(given, fixed)
    made.facts.fixed = fixed
    made.facts.warnings += notes
    made.facts.frozen = list(written.decisions)
    return made, ONNX, written.how


def wrong(path: Path, plan: Plan, runner: TorchRunner, notes: list[str]) -> str:
    """What is wrong with a file that an exporter wrote: ONNX Runtime does not run it, or answers otherwise than torch.

    Args:
        notes: takes why it was not tried.
    """
    try:
        reference = OnnxRunner(path)
    except MissingDependencyError as e:
        notes[:] = [f"what PyTorch's exporter wrote was not tried: {e.message}"]
        return ""
    except RuntimeFailedError as e:
        return _short(e, path)
    with reference:
        taken = {spec.name for spec in reference.specs()}
        for feed in plan.sets:
            wanted = runner.run([feed])
            try:
                got = reference.run([{n: a for n, a in feed.items() if n in taken}])
            except RuntimeFailedError as e:
                return f"{_short(e, path)} (at {_shapes(feed)})"
            for name, one, other in zip(wanted.names, wanted.outputs[0], got.outputs[0]):
                if not same(one, other):
                    return f"its {name} is another in {reference.label} than in PyTorch at {_shapes(feed)}"
    return ""


def _short(error: MconvError, path: Path) -> str:
    return error.message.replace(str(path), "the file")[:160]


def _shapes(feed: Mapping[str, np.ndarray]) -> str:
    return " ".join(f"{n}[{','.join(map(str, a.shape))}]" for n, a in feed.items())


def _complete(model: OnnxModel, plan: Plan) -> None:
    """All inputs of the plan, in its order: an exporter leaves out those that the graph does not read."""
    import onnx

    graph = model.proto.graph
    present = {i.name: i for i in graph.input}
    wanted = []
    for one in plan.inputs:
        info = present.pop(one.name, None)
        if info is None:
            shape = [d if isinstance(d, int) else n for d, n in zip(one.dims, labels_of(one))]
            kind = onnx.TensorProto.BFLOAT16 if one.dtype is DType.BF16 else None
            kind = kind or onnx.helper.np_dtype_to_tensor_dtype(np.dtype(one.dtype.numpy))
            info = onnx.helper.make_tensor_value_info(one.name, kind, shape)
        wanted.append(info)
    wanted += present.values()
    kept = [onnx.ValueInfoProto.FromString(i.SerializeToString()) for i in wanted]
    del graph.input[:]
    graph.input.extend(kept)


def _select(model: OnnxModel, request: Request) -> None:
    """Keep the outputs that are wanted; what only the others need is dead and goes with them."""
    outputs = model.proto.graph.output
    kept = [o for o in outputs if o.name in request.selected]
    if len(kept) != len(outputs):
        del outputs[:]
        outputs.extend(kept)


def _fixed(model: OnnxModel, plan: Plan) -> list[dict[str, Any]]:
    shapes = describe.shapes_of(model, {})
    return [
        {"input": name, "dimension": label, "size": dim}
        for name, labels in plan.dims.items()
        for label, dim in zip(labels, shapes.get(name, ()))
        if label is not None and isinstance(dim, int) and dim >= 0
    ]
