"""The engine ``x2paddle`` of ``mconv onnx2paddle``: X2Paddle's result in the same form as the native one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mconv.errors import MconvError, RuntimeFailedError, UnsupportedError
from mconv.onnx import describe, registry
from mconv.onnx.ports import carried_name
from mconv.onnx.reader import INLINE, OnnxModel
from mconv.options.proving import Converting
from mconv.paddle.legalize import legalize
from mconv.program import external_data
from mconv.program.dtypes import AttrType
from mconv.program.files import locate
from mconv.program.program import Program
from mconv.program.stored import load_model
from mconv.proof.report import paddle_operators
from mconv.runtimes import x2paddle
from mconv.verbs.produced import Facts, Produced, counted_operators


def produce(source: OnnxModel, shapes: dict[str, Sequence[Any]], chosen: Converting) -> Produced:
    """Convert with X2Paddle and bring the result to the target.

    Raises:
        RuntimeUnavailableError: X2Paddle is not installed.
        UnsupportedError, RuntimeFailedError: it cannot convert the model; the hint says whether the native engine
            has converters for all of its operators.
    """
    assert source.path is not None
    external_data.check(source.path, source.proto, INLINE)
    start = time.perf_counter()
    scratch = tempfile.TemporaryDirectory(prefix="mconv-x2paddle-")
    try:
        chosen.progress("running X2Paddle")
        fixed = {name: [d if isinstance(d, int) else -1 for d in dims] for name, dims in shapes.items()}
        done = x2paddle.convert(source.path, Path(scratch.name), fixed, timeout=chosen.timeout)
        for line in done.log.splitlines():
            chosen.progress(f"  X2Paddle: {line}")
        program, params = load_model(locate(done.program))
        spent = time.perf_counter() - start
        names = _restored(source, program, done.inputs)
        params = {names.get(name, name): value for name, value in params.items()}
        changed = legalize(program, chosen.goal)
        params.update(changed.parameters)
    except MconvError as e:
        scratch.cleanup()
        if isinstance(e, (UnsupportedError, RuntimeFailedError)):
            e.hint = "; ".join(h for h in (e.hint, _native(source)) if h) or None
        raise
    except BaseException:
        scratch.cleanup()
        raise
    facts = _facts(source, program, shapes)
    facts.warnings += changed.notes
    made = Produced(program, {v.name: params[v.name] for v in program.parameters}, facts, {"x2paddle": spent})
    made.keep = scratch  # the parameters are read from it when they are written
    return made


def _restored(source: OnnxModel, program: Program, told: dict[str, str]) -> dict[str, str]:
    """Give inputs and outputs the names of the ONNX model; returns what was renamed."""
    inputs, outputs = list(describe.inputs_of(source)), [o.name for o in source.proto.graph.output]
    feeds = {port.name.removeprefix("x2paddle_"): port for port in program.feeds}
    missing = [name for name in inputs if told[name] not in feeds]
    if missing or len(feeds) != len(inputs) or len(program.fetches) != len(outputs):
        what = f"its input {missing[0]!r} is gone" if missing else "its inputs or outputs are others in number"
        raise RuntimeFailedError(f"X2Paddle changed the model: {what}")
    wanted = {feeds[told[name]].name: carried_name(name) for name in inputs}
    for name, port in zip(outputs, program.fetches):
        if port.name not in wanted:
            wanted[port.name] = carried_name(name)
    taken = {v for block in program.blocks for v in block.vars}
    names = dict(wanted)
    for new in set(wanted.values()) & (taken - set(wanted)):
        number = 0
        while f"{new}_{number}" in taken | set(wanted.values()):
            number += 1
        names[new] = f"{new}_{number}"
    program.rename(names)
    order = {carried_name(name): col for col, name in enumerate(inputs)}
    for port in program.feeds:
        port.op.set_attr("col", order[port.name], AttrType.INT)
    return names


def _facts(source: OnnxModel, program: Program, shapes: dict[str, Sequence[Any]]) -> Facts:
    warnings: list[str] = []
    opset = source.opsets.get("", 1)
    if opset > x2paddle.NEWEST_OPSET:
        warnings.append(
            f"X2Paddle knows opsets up to {x2paddle.NEWEST_OPSET}; the model's is {opset}: it may have been misread"
        )
    inputs, outputs = describe.ports_of(source, program, shapes)
    operators = counted_operators(source.proto.graph.node)
    return Facts(inputs, outputs, operators, paddle_operators(program), warnings=warnings)


def _native(source: OnnxModel) -> str:
    """Whether the native engine has converters for all operators of the main graph."""
    opsets = source.opsets
    missing = {
        node.op_type
        for node in source.proto.graph.node
        if registry.find(node.domain, node.op_type, opsets.get(registry.normal_domain(node.domain), 1)) is None
    }
    return "" if missing else "the native engine has converters for all operators of the model: leave --engine out"
