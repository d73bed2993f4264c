"""ONNX's own reference evaluator as a runner, and the choice between it and ONNX Runtime."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Optional

import numpy as np

from mconv import watch
from mconv.errors import LimitError, MconvError, MissingDependencyError, RuntimeFailedError, UnsupportedError
from mconv.program import external_data
from mconv.program.closing import Closing
from mconv.program.dtypes import DType
from mconv.program.small_types import SMALL, carrier
from mconv.proof.feeds import InputSpec
from mconv.proof.runners import Answers, OnnxRunner, Runner, timed, with_outputs


class ReferenceRunner(Closing):
    """An ONNX model in ``onnx.reference.ReferenceEvaluator``: exact and slow, part of the onnx package.

    Args:
        model: the file, or a ModelProto.
        fetch: for a file, more tensors of the main graph to return, after the model's own outputs.
        fixed: inputs that always get this value, beside those that are fed.
        timeout: seconds for one run.

    Raises:
        RuntimeFailedError: it does not know an operator of the model.
        LimitError: a run takes too long or too much memory.
    """

    def __init__(
        self,
        model: Any,
        fetch: Sequence[str] = (),
        opened: Sequence[str] = (),
        fixed: Mapping[str, np.ndarray] = MappingProxyType({}),
        timeout: float = watch.SECONDS,
    ):
        import onnx
        from onnx.reference import ReferenceEvaluator

        self.fixed, self.timeout = fixed, timeout
        self.version: str = onnx.__version__
        self.label = f"ONNX's reference evaluator {self.version}"
        self.path = Path(model) if isinstance(model, (str, Path)) else None
        try:
            self.proto = model if self.path is None else with_outputs(self.path, fetch, opened)
            if self.path is not None:
                external_data.load(self.path, self.proto)
            self.evaluator = ReferenceEvaluator(self.proto)
        except MconvError:
            raise
        except Exception as e:  # noqa: BLE001 - it raises classes of its own that share no base
            raise RuntimeFailedError(f"{self.label} cannot load {self.path or 'the model'}: {_first(e)}") from None

    def specs(self) -> list[InputSpec]:
        constants = {t.name for t in self.proto.graph.initializer}
        found = []
        for info in self.proto.graph.input:
            if info.name not in constants:
                kind = info.type.tensor_type
                dims = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in kind.shape.dim)
                found.append(InputSpec(info.name, _dtype(kind.elem_type, info.name), dims))
        return found

    def run(self, sets: Sequence[Mapping[str, np.ndarray]]) -> Answers:
        outputs, seconds = [], []
        names = [o.name for o in self.proto.graph.output]
        for values, spent in timed(self._run, sets, self.fixed, self.label, str(self.path or "the model")):
            seconds.append(spent)
            for name, value in zip(names, values):
                if not isinstance(value, (np.ndarray, np.generic)):
                    raise UnsupportedError(f"output {name} is no tensor")
            outputs.append([np.asarray(v) for v in values])
        return Answers(names, outputs, [[v.dtype.name for v in row] for row in outputs], self.version, seconds)

    def _run(self, feed: Mapping[str, np.ndarray]) -> Any:
        def run() -> Any:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of a mean of nothing
                return self.evaluator.run(None, feed)

        return watch.call(run, f"{self.label} on {self.path or 'the model'}", seconds=self.timeout)


def reference_for(
    model: Path,
    *,
    exact: bool = False,
    fetch: Sequence[str] = (),
    opened: Sequence[str] = (),
    fixed: Mapping[str, np.ndarray] = MappingProxyType({}),
    timeout: float = watch.SECONDS,
) -> tuple[Runner, str]:
    """What shall run an ONNX model as the reference: ONNX Runtime, or else ONNX's reference evaluator.

    Args:
        fetch: more tensors of the main graph to return.
        opened: inputs that are fed at other sizes than the file states.
        fixed: inputs that always get this value, beside those that are fed.
        exact: the evaluator at once, for models with inputs that ONNX Runtime does not take from numpy.
        timeout: seconds for one run.

    Returns:
        The runner, and why it is not ONNX Runtime (empty when it is).

    Raises:
        RuntimeFailedError: neither can load the model.
    """
    if exact:
        return ReferenceRunner(model, fetch, opened, fixed, timeout), "ONNX Runtime takes no such numbers from numpy"
    try:
        return OnnxRunner(model, fetch=fetch, opened=opened, fixed=fixed, timeout=timeout), ""
    except MissingDependencyError:
        return ReferenceRunner(model, fetch, opened, fixed, timeout), "onnxruntime is not installed"
    except RuntimeFailedError as e:
        try:
            return ReferenceRunner(model, fetch, opened, fixed, timeout), e.message
        except RuntimeFailedError as other:
            raise RuntimeFailedError(f"{e.message}; {other.message}") from None


def by_definition(runner: Runner, feed: Mapping[str, np.ndarray]) -> Optional[list[np.ndarray]]:
    """What ONNX's reference evaluator makes of one input set that ONNX Runtime was asked for; None where it makes nothing
    of it, or where the source is no ONNX model."""
    if not isinstance(runner, OnnxRunner):
        return None
    try:
        return ReferenceRunner(runner.path, fixed=runner.fixed, timeout=runner.timeout).run([feed]).outputs[0]
    except (RuntimeFailedError, UnsupportedError, LimitError):
        return None


def left_open(given: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """*given* by ONNX Runtime, with NaN where ONNX's reference has it.

    ONNX leaves open what a mean of nothing is ("yields undefined", ReduceMean of opset 18): ONNX Runtime 1.32 answers 0, the
    reference, numpy and PyTorch NaN, which is what Paddle gives.
    """
    if given.shape != defined.shape or given.dtype.kind != "f" or defined.dtype.kind != "f":
        return given
    return np.where(np.isnan(defined), np.asarray(np.nan, given.dtype), given)


def _dtype(elem_type: int, name: str) -> DType:
    import onnx

    if elem_type == onnx.TensorProto.BFLOAT16:
        return DType.BF16
    if elem_type in SMALL:
        return carrier(SMALL[elem_type])
    try:
        return DType.of(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
    except (KeyError, TypeError):
        raise UnsupportedError(f"input {name}: Paddle has no type for it") from None


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
