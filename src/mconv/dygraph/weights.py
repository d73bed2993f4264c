"""The weights of a layer: read from a ``.pdparams`` file, compared name by name, put in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mconv.dygraph import unpickle
from mconv.dygraph.inputs import dtype_of
from mconv.errors import NotAModelError, WeightsError
from mconv.program.bfloat16 import from_bits, to_bits
from mconv.program.sniff import Kind, what

_WANTED = "weights are a .pdparams file, the state_dict of a layer as paddle.save writes it"
# what paddle.save puts beside the parameters: structured name → name in the program
_NAMES = "StructuredToParameterName@@"
# arrays above 1 GB are cut into pieces by protocols 2 and 3
_PIECES = "UnpackBigParamInfor@@"


def read(path: Path, *, trust: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a ``.pdparams`` file by structured name; bfloat16 as its uint16 bits.

    Args:
        trust: run what the file brings, as ``paddle.load`` does.

    Raises:
        NotAModelError: it holds no state_dict.
        UntrustedError: it would run code.
        CorruptModelError: it is damaged.
    """
    kind = what(path) if path.is_file() else None
    if kind not in (None, Kind.PDPARAMS, Kind.PDOPT, Kind.PICKLE, Kind.EMPTY, Kind.OTHER):
        raise NotAModelError(f"{path}: {kind.value}, not the weights of a layer", _WANTED)
    raw = unpickle.load_trusting(path) if trust else unpickle.load(path)
    if not isinstance(raw, dict):
        raise NotAModelError(f"{path}: holds a {type(raw).__name__}, not the state_dict of a layer")
    raw = _joined(raw)
    found, odd = {}, []
    for name, value in raw.items():
        array = _array(value)
        if name == _NAMES:
            continue
        if array is None or not isinstance(name, str):
            odd.append(f"{name} ({type(value).__name__})")
        else:
            found[name] = array
    if odd:
        shown = ", ".join(odd[:5]) + (", …" if len(odd) > 5 else "")
        raise NotAModelError(
            f"{path}: not the state_dict of a layer: it holds {shown}",
            "save the part that is one: paddle.save(layer.state_dict(), 'x.pdparams')",
        )
    return found


def _array(value: Any) -> Any:
    """The array of one entry: itself, or the second half of the pair (name, array) that a tensor is saved as."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        value = value[1]
    if hasattr(value, "numpy"):  # a tensor, in files that are trusted
        value = value.numpy()
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" else None


def _joined(raw: dict[Any, Any]) -> dict[Any, Any]:
    pieces = raw.pop(_PIECES, None)
    if not isinstance(pieces, dict):
        return raw
    for name, info in pieces.items():
        try:
            parts = [raw.pop(part) for part in info["slices"]]
            raw[name] = np.concatenate([p.ravel() for p in parts]).reshape(info["OriginShape"])
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise NotAModelError(f"the pieces of {name!r} do not fit together ({e})") from None
    return raw


def put(layer: Any, weights: Mapping[str, np.ndarray], where: str, *, strict: bool = True) -> list[str]:
    """Give a layer its weights.

    Args:
        layer: the ``paddle.nn.Layer``.
        weights: structured name → array.
        where: what messages call the weights.
        strict: every parameter must be there and nothing else; otherwise what fits is taken.

    Returns:
        Warnings.

    Raises:
        WeightsError: they do not fit; ``rows`` lists the names, what is wrong, and the shapes.
    """
    state = layer.state_dict()
    rows, warnings, fitting = [], [], {}

    def row(name: str, problem: str) -> dict[str, str]:
        layer, file = (str(list(of[name].shape)) if name in of else "" for of in (state, weights))
        return {"parameter": name, "problem": problem, "layer": layer, "file": file}

    for name, tensor in state.items():
        shape = list(tensor.shape)
        if name not in weights:
            rows.append(row(name, "missing in the file"))
        elif list(weights[name].shape) != shape and not (weights[name].size == 1 and shape in ([], [1])):
            rows.append(row(name, "other shape"))
        else:
            fitting[name] = weights[name].reshape(shape)
    rows += [row(name, "unexpected: the layer has none") for name in weights.keys() - state.keys()]
    if rows:
        problems = [row["problem"].split(":")[0] for row in rows]
        counted = ", ".join(f"{problems.count(p)} {p}" for p in dict.fromkeys(problems))
        message = f"{where}: the weights are not those of the layer: {counted}"
        if strict or not fitting:
            raise WeightsError(message, "--no-strict takes what fits; the layer's --arg may be others", rows)
        names = ", ".join(row["parameter"] for row in rows[:5]) + (", …" if len(rows) > 5 else "")
        warnings.append(f"{message} ({names}); the layer keeps its own there")
        rows = []
    converted = [name for name, array in fitting.items() if store(state[name], array)]
    if converted:
        warnings.append(f"{where}: {len(converted)} parameters have another element type there and were converted")
    return warnings


def store(tensor: Any, array: np.ndarray) -> bool:
    """Store an array in a parameter; returns whether its element type had to be converted."""
    wanted = dtype_of(tensor.dtype, "").label
    have = "bfloat16" if array.dtype == np.uint16 else array.dtype.name
    if have == wanted:
        tensor.set_value(array)
        return False
    if have == "bfloat16":
        array = from_bits(array)
    if wanted == "bfloat16":
        array = to_bits(array)
    else:
        array = array.astype(wanted)
    tensor.set_value(array)
    return True
