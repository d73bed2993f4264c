"""The one check of the exporter: what ONNX Runtime computes is what the real Paddle computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from mconv.exporters.onnx import Exported, export, write
from mconv.program.dtypes import AttrType, DType
from mconv.program.params import ArraySource, TensorSource
from mconv.program.program import Op, Program, Var
from mconv.program.stored import write_model
from mconv.proof.feeds import as_pairs

OPSETS = (11, 13, 17, 22)


def session(path: Path, checked: bool = True) -> Any:
    """ONNX Runtime, after onnx's own checker with its full inference of types and shapes where *checked*."""
    import onnx
    import onnxruntime as ort

    if checked:
        onnx.checker.check_model(str(path), full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def exported(program: Program, params: Mapping[str, TensorSource], path: Path, opset: int) -> tuple[Exported, Any]:
    """The graph, and a session of the file that was written."""
    made = export(program, params, opset=opset)
    write(made, path)
    return made, session(path)


def _attribute(value: Any) -> AttrType:
    if isinstance(value, bool):
        return AttrType.BOOLEAN
    if isinstance(value, (list, tuple)):
        kinds = {bool: AttrType.BOOLEANS, int: AttrType.INTS, float: AttrType.FLOATS, str: AttrType.STRINGS}
        return kinds[type(value[0])] if value else AttrType.INTS
    return {int: AttrType.INT, float: AttrType.FLOAT, str: AttrType.STRING}[type(value)]


def program_of(
    op: str,
    inputs: Mapping[str, Any],
    outputs: Mapping[str, tuple[str, int]],
    attributes: Mapping[str, Any],
    weights: Sequence[str] = (),
    dynamic: bool = True,
    unread: Sequence[str] = (),
) -> tuple[Program, dict[str, TensorSource]]:
    """A program of one operator.

    Args:
        inputs: Paddle's name of an input → an array, or a list of them; the variables are called NAME and NAME0, ….
        outputs: → element type and number of dimensions.
        weights: inputs that are stored parameters.
        unread: outputs that the operator has and nobody reads.
        dynamic: whether the first dimension of the others is open.
    """
    program, params = Program(), {}
    program.version = 3003001
    block = program.main
    block.add_var(Var.of_kind("feed", 9, persistable=True))  # type: ignore[arg-type]
    block.add_var(Var.of_kind("fetch", 10, persistable=True))  # type: ignore[arg-type]
    names: dict[str, list[str]] = {}
    fed: list[Op] = []
    for parameter, given in inputs.items():
        many = given if isinstance(given, list) else [given]
        names[parameter] = [f"{parameter}{i}" if isinstance(given, list) else parameter for i in range(len(many))]
        for name, array in zip(names[parameter], many):
            if parameter in weights:
                block.add_var(Var.tensor(name, DType.of(array.dtype), array.shape, persistable=True))
                params[name] = ArraySource(array)
                continue
            shape = [-1, *array.shape[1:]] if dynamic and array.ndim else list(array.shape)
            block.add_var(Var.tensor(name, DType.of(array.dtype), shape))
            fed.append(Op.make("feed", {"X": ["feed"]}, {"Out": [name]}, [("col", AttrType.INT, len(fed))]))
    fetched = []
    for parameter, (dtype, rank) in outputs.items():
        block.add_var(Var.tensor(f"out.{parameter}", DType.of(dtype), [-1] * rank))
        col = [("col", AttrType.INT, len(fetched))]
        fetched.append(Op.make("fetch", {"X": [f"out.{parameter}"]}, {"Out": ["fetch"]}, col))
    attrs = [(k, _attribute(v), v) for k, v in attributes.items()]
    results = {parameter: [f"out.{parameter}"] for parameter in outputs}
    for parameter in unread:
        block.add_var(Var.tensor(f"unread.{parameter}", DType.FP32))
        results[parameter] = [f"unread.{parameter}"]
    made = Op.make(op, names, results, attrs)
    block.ops = [*fed, made, *fetched]
    return program, params


def agree(wanted: np.ndarray, got: np.ndarray, tolerance: float = 1e-5) -> None:
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    if wanted.dtype.kind == "f":
        size = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * size)
    else:
        np.testing.assert_array_equal(got, wanted)


def check(
    folder: Path,
    paddle: Any,
    program: Program,
    params: Mapping[str, TensorSource],
    feeds: Sequence[Mapping[str, np.ndarray]],
    opsets: Sequence[int] = (13, 22),
    tolerance: float = 1e-5,
    after: Optional[Callable[[Exported], None]] = None,
) -> None:
    """Export at each opset and compare with Paddle's own kernels on every set of inputs.

    oneDNN's are other ones: nearest resizing rounds, softplus has no threshold, tensors of no element fail.

    Args:
        paddle: a worker of the real Paddle.
    """
    ordered = [(v.name, params[v.name]) for v in program.parameters]
    answers = paddle.run(*write_model(program, ordered, folder), list(feeds), onednn=False).outputs
    for opset in opsets:
        made, running = exported(program, params, folder / f"m{opset}.onnx", opset)
        for feed, wanted in zip(feeds, answers):
            got = running.run(None, {i.name: as_pairs(feed[i.name]) for i in running.get_inputs()})
            for w, g in zip(wanted, got, strict=True):
                agree(w, g, tolerance)
        if after is not None:
            after(made)
