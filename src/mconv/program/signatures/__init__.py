"""The operators of each Paddle version, dumped from the installed packages: what a program may say.

A table maps an operator to its inputs, outputs and attributes. Flags of inputs and outputs: ``*`` several
variables, ``?`` may be left out, ``~`` an intermediate result that only the gradient needs but that older
runtimes insist on.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mconv.program.dtypes import AttrType, DType
from mconv.program.targets import PADDLE_2_6, TARGETS, Target

# every operator takes these; Paddle adds them to what it saves
COMMON_ATTRS = frozenset(
    {"op_role", "op_role_var", "op_namescope", "op_callstack", "op_device", "with_quant_attr", "use_mkldnn"}
)


@dataclass(frozen=True)
class Signature:
    """What an operator takes and gives.

    Attributes:
        inputs: parameter → flags (``""``, ``*``, ``?``, ``*?``).
        outputs: parameter → flags (``""``, ``*``, ``?``, ``~``, ``*~``).
        attrs: attribute → type.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    attrs: Mapping[str, AttrType]

    @property
    def main_outputs(self) -> list[str]:
        """The outputs that are neither intermediate nor optional, in the table's order."""
        return [name for name, flags in self.outputs.items() if "~" not in flags and "?" not in flags]


@functools.cache
def _raw(paddle: str) -> dict[str, dict[str, dict[str, str]]]:
    # not compressed: Paddle 2.6 brings symbols of its own zlib into the process, with which Python's crashes
    data = (Path(__file__).parent / f"paddle-{paddle}.json").read_bytes()
    ops: dict[str, dict[str, dict[str, str]]] = json.loads(data)["ops"]
    return ops


def find(target: Target, op: str) -> Signature | None:
    """The signature of *op* in *target*; None when the target has no such operator."""
    return _found(target.paddle, op)


@functools.cache  # which forgets the types of what it is given, so nothing is cached that others call
def _found(paddle: str, op: str) -> Signature | None:
    raw = _raw(paddle).get(op)
    if raw is None:
        return None
    return Signature(raw["inputs"], raw["outputs"], {k: AttrType[v] for k, v in raw["attrs"].items()})


def table(target: Target) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """The raw table of *target*: operator → its inputs, outputs and attributes."""
    return _raw(target.paddle)


def load(target: Target) -> dict[str, Signature]:
    """Every operator of *target*."""
    return {op: sig for op in _raw(target.paddle) if (sig := find(target, op)) is not None}


@functools.cache
def _kernels(paddle: str) -> dict[str, frozenset[int]]:
    data = (Path(__file__).parent / f"kernels-{paddle}.json").read_bytes()
    return {op: frozenset(types) for op, types in json.loads(data)["kernels"].items()}


# listed, but from 2.6 on not there when they run: "There are no kernels which are registered in the unsqueeze2 operator"
_LISTED_ONLY: Mapping[str, frozenset[DType]] = dict.fromkeys(
    ("flatten_contiguous_range", "squeeze2", "unsqueeze2"), frozenset({DType.FP16})
)


def cpu_dtypes(target: Target, op: str) -> frozenset[DType] | None:
    """Element types that *op* has a plain CPU kernel for in *target* and in every later release of the table.

    Dumped from ``core._get_all_register_op_kernels`` of each release. None: no such list (operators that the
    framework runs itself, or whose kernel takes every type).
    """
    return _cpu_dtypes(target.version, op)


@functools.cache
def _cpu_dtypes(since: int, op: str) -> frozenset[DType] | None:
    lists = [_kernels(t.paddle).get(op) for t in TARGETS.values() if t.version >= since]
    known = [types for types in lists if types is not None]
    if not known:
        return None
    return frozenset(map(DType, frozenset.intersection(*known))) - _LISTED_ONLY.get(op, frozenset())


@functools.cache
def _gpu_kernels(paddle: str) -> dict[str, frozenset[str]]:
    data = (Path(__file__).parent / f"gpu-{paddle}.json").read_bytes()
    return {dtype: frozenset(ops) for dtype, ops in json.loads(data)["kernels"].items()}


def gpu_operators(target: Target, dtype: DType) -> frozenset[str]:
    """The operators that have a kernel for half precision on a GPU in *target*.

    Dumped from ``core._get_all_register_op_kernels`` of ``paddlepaddle-gpu`` 2.3.2 and 2.6.2, which lists them without
    a GPU. Target 3 is taken for 2.6.2, the last release of that package with programs of this kind in mind.

    Args:
        dtype: ``FP16`` or ``BF16``.
    """
    paddle = "2.3.2" if target.version < PADDLE_2_6.version else "2.6.2"
    return _gpu_kernels(paddle)[dtype.label]
