"""ONNX's standard backend interface: ``mconv.onnx_backend`` runs ONNX models by converting them and running Paddle.

    import mconv.onnx_backend as backend
    backend.run_model(onnx.load("model.onnx"), [x])

Any tool that drives backends can use it, ONNX's own test runner (``onnx.backend.test.BackendTest``) among them. The
models run in a subprocess of the chosen runtime, one for all models of the process.
"""

from __future__ import annotations

import atexit
import functools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep

from mconv import runtimes
from mconv.errors import UnsupportedError, UsageError
from mconv.onnx.convert import convert
from mconv.onnx.importer import Imported
from mconv.onnx.reader import OnnxModel
from mconv.onnx.types import WIDENED
from mconv.program import targets
from mconv.program.stored import write_model
from mconv.runtimes import Worker

__all__ = ["PaddleBackend", "PaddleRep", "prepare", "run_model", "run_node", "supports_device"]

TARGET = "3"  # of `prepare` without another; what a current Paddle loads


@functools.cache
def _worker(runtime: str) -> Worker:
    made = runtimes.find(runtime).worker()
    atexit.register(made.close)
    return made


class PaddleRep(BackendRep):
    """A converted model; made by :meth:`PaddleBackend.prepare`."""

    def __init__(
        self, model: onnx.ModelProto, target: targets.Target, runtime: str, onednn: Optional[bool], timeout: float
    ):
        self.made: Imported = convert(OnnxModel(model), target)
        self.has_0d = target.has_0d
        self.runtime, self.onednn, self.timeout = runtime, onednn, timeout
        constants = {t.name for t in model.graph.initializer}
        self.inputs = [i.name for i in model.graph.input if i.name not in constants]
        self.outputs = {o.name: o.type.tensor_type for o in model.graph.output}
        self._folder = tempfile.TemporaryDirectory(prefix="mconv-backend-")
        self._files = write_model(self.made.program, self.made.params.items(), Path(self._folder.name))

    def run(self, inputs: Union[Sequence[Any], Mapping[str, Any]], **kwargs: Any) -> tuple[np.ndarray, ...]:
        """Run once.

        Args:
            inputs: arrays in the order of the model's inputs, or by name.

        Returns:
            The outputs in the model's order and types.

        Raises:
            UsageError: another number of inputs, or unknown names.
            RuntimeFailedError: Paddle cannot run it.
        """
        if isinstance(inputs, Mapping):
            unknown = [n for n in inputs if n not in self.inputs]
            values = [inputs[n] for n in self.inputs if n in inputs]
        else:
            unknown, values = [], list(inputs)
        if unknown or len(values) != len(self.inputs):
            raise UsageError(f"{len(values)} inputs given; the model takes {', '.join(self.inputs) or 'none'}")
        feeds = {}
        for port, value in zip(self.made.program.feeds, values):
            array = np.asarray(value)
            feeds[port.name] = array if port.dtype is None else array.astype(port.dtype.numpy)
        result = _worker(self.runtime).run(*self._files, feeds, onednn=self.onednn, timeout=self.timeout)
        return tuple(self._as_declared(value, kind) for value, kind in zip(result.outputs[0], self.outputs.values()))

    def _as_declared(self, value: np.ndarray, kind: Any) -> np.ndarray:
        if kind.elem_type in WIDENED:
            value = value.astype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
        if not self.has_0d and kind.HasField("shape") and not kind.shape.dim and value.shape == (1,):
            value = value.reshape(())
        return value


class PaddleBackend(Backend):
    """``onnx.backend.base.Backend`` on Paddle."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every operator of the model can be converted."""
        try:
            convert(OnnxModel(model), targets.get(kwargs.get("target", TARGET)))
        except UnsupportedError:
            return False
        return cls.supports_device(device)

    @classmethod
    def prepare(
        cls,
        model: onnx.ModelProto,
        device: str = "CPU",
        *,
        target: str = TARGET,
        runtime: str = "current",
        onednn: Optional[bool] = None,
        timeout: float = 300,
        **kwargs: Any,
    ) -> PaddleRep:
        """Convert *model*.

        Args:
            target: the Paddle to convert for (``2.3``, ``2.6``, ``3``).
            runtime: where to run: ``current`` or a managed runtime's name.
            onednn: whether Paddle may use oneDNN; None = as it comes.
            timeout: seconds for one run.

        Raises:
            UnsupportedError: operators that cannot be converted, or a device other than the CPU.
        """
        if not cls.supports_device(device):
            raise UnsupportedError(f"this backend runs on the CPU, not on {device}")
        return PaddleRep(model, targets.get(target), runtime, onednn, timeout)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """:meth:`prepare` and run once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Optional[Sequence[tuple[np.dtype, tuple[int, ...]]]] = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run a single node.

        Args:
            inputs: arrays in the order of its inputs, or by name; inputs that are left out have none.
            outputs_info: (element type, shape) of each output, for operators whose outputs ONNX cannot infer.
            kwargs: ``opset_version`` (default the newest), and what :meth:`prepare` takes.
        """
        opset = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        return cls.run_model(_single(node, inputs, opset, outputs_info), list(_values(node, inputs)), device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """``CPU`` it is."""
        return device.split(":")[0] == "CPU"


def _values(node: onnx.NodeProto, inputs: Any) -> list[np.ndarray]:
    names = list(dict.fromkeys(n for n in node.input if n))
    if isinstance(inputs, Mapping):
        return [np.asarray(inputs[n]) for n in names]
    given = dict(zip([n for n in node.input if n], inputs))
    return [np.asarray(given[n]) for n in names]


def _single(node: onnx.NodeProto, inputs: Any, opset: int, outputs_info: Any) -> onnx.ModelProto:
    names = list(dict.fromkeys(n for n in node.input if n))
    helper = onnx.helper
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in zip(names, _values(node, inputs))
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    graph = helper.make_graph([node], "node", infos, outputs)
    opsets = [helper.make_opsetid("", opset)]
    if node.domain not in ("", "ai.onnx"):
        opsets.append(helper.make_opsetid(node.domain, 1))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=min(onnx.IR_VERSION, 10))
    known = {o.name: o for o in onnx.shape_inference.infer_shapes(model).graph.output}
    for index, info in enumerate(model.graph.output):
        kind = known[info.name].type.tensor_type.elem_type
        if outputs_info is not None:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(outputs_info[index][0]))
        if not kind:
            raise UsageError(f"run_node: the type of {info.name!r} is not known", "give outputs_info")
        info.CopyFrom(helper.make_tensor_value_info(info.name, kind, None))
    return model


prepare = PaddleBackend.prepare
run_model = PaddleBackend.run_model
run_node = PaddleBackend.run_node
supports_device = PaddleBackend.supports_device
