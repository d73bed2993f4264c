"""Weights of a PyTorch model → the layer of Paddle that is the same network.

PyTorch itself is not needed here: the weights are arrays by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np

from mconv.dygraph import match_report, matching, rules, weights
from mconv.dygraph.inputs import dtype_of
from mconv.dygraph.layout import Given, Layout, Match, Matching, Parameter
from mconv.errors import WeightsError
from mconv.program.bfloat16 import from_bits
from mconv.program.paths import PathLike


@dataclass
class Transplanted:
    """What was done.

    Attributes:
        rules: the sets and files that were used.
        recognised: whether they are mconv's choice.
        matched: how many tensors went into the layer.
        table: one row for each tensor and parameter.
        problems: those of them that have no counterpart (with ``partial``).
        random: parameters that have kept what the layer's constructor gave them.
        pairs: (PyTorch's module, the layer's) that share weights.
        square: square parameters of layers that mconv does not know, taken as they are stored.
        warnings: what a user should know.
    """

    rules: list[str]
    recognised: bool
    matched: int
    table: list[dict[str, Any]]
    problems: list[dict[str, Any]]
    random: list[str]
    pairs: list[tuple[str, str]]
    square: list[str]
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For reports."""
        return {
            "rules": self.rules,
            "recognised": self.recognised,
            "matched": self.matched,
            "tensors": self.table,
            "problems": self.problems,
        }


def transplant(
    layer: Any,
    given: Mapping[str, Given],
    fetch: Callable[[str], np.ndarray],
    where: str,
    *,
    chosen: Sequence[Union[str, PathLike]] = (),
    partial: bool = False,
) -> Transplanted:
    """Put the weights into the layer.

    Args:
        layer: the ``paddle.nn.Layer``.
        given: PyTorch's name → shape and kind.
        fetch: PyTorch's name → array; bfloat16 as its uint16 bits.
        where: what messages call the weights.
        chosen: sets of rules and files; by default the shipped set that fits.
        partial: take what fits.

    Raises:
        UsageError: the rules are not as they should be.
        WeightsError: weights and layer do not fit; ``rows`` lists all that has no counterpart. Nothing was changed.
    """
    layout = describe(layer)
    found, used, recognised = _matched(given, layout, chosen)
    fed = _Fed(fetch)
    _compared(found, fed)
    problems = match_report.problems(found, given, layout)
    if problems and (not partial or not found.matches):
        raise _refusal(found, problems, len(given), where, used)
    made = Transplanted(
        used.sets,
        recognised,
        len(found.matches),
        match_report.table(found, given, layout),
        problems,
        sorted({m.parameter for m, _ in found.conflicts} | set(found.missing)),
        _modules(found, layout),
        _doubtful(found, layout),
    )
    if found.prefix != ("", ""):
        made.warnings.append(_said_prefix(found.prefix))
    if problems:
        made.warnings.append(f"{where}: {_counted(found)}; the layer keeps its own there")
    made.warnings += _padding(layer, found, fed)
    state = layer.state_dict()
    converted = 0
    for one in found.matches:
        converted += weights.store(state[one.parameter], fed.value(one, layout.parameters[one.parameter].shape))
    for name, value in found.filled.items():
        weights.store(state[name], np.full(layout.parameters[name].shape, value, np.float32))
    if converted:
        made.warnings.append(f"{where}: {converted} tensors have another element type there and were converted")
    return made


def describe(layer: Any) -> Layout:
    """The names, shapes and classes of a live layer."""
    parameters = {}
    for name, tensor in layer.state_dict().items():
        kind = dtype_of(tensor.dtype, name)
        word = (
            "bool" if kind.label == "bool" else "int" if kind.is_int else "float" if kind.is_float else "complex number"
        )
        parameters[name] = Parameter(tuple(int(d) for d in tensor.shape), word, id(tensor))
    classes = {path: _classes(type(sub)) for path, sub in layer.named_sublayers(include_self=True)}
    return Layout(parameters, classes)


def _classes(kind: type) -> frozenset[str]:
    """The class and its bases: as ``paddle.nn.Linear`` where Paddle has it there, by their own name, in full."""
    found = set()
    for one in kind.__mro__:
        if one.__qualname__ in ("Layer", "object"):  # what all have in common
            break
        found |= {one.__qualname__, f"{one.__module__}.{one.__qualname__}"}
        if one.__module__.startswith("paddle.nn."):
            found.add(f"paddle.nn.{one.__qualname__}")
    return frozenset(found)


def _matched(
    given: Mapping[str, Given], layout: Layout, chosen: Sequence[Union[str, PathLike]]
) -> tuple[Matching, rules.Rules, bool]:
    """With the rules that were chosen, or with those that fit best."""
    used = rules.load(chosen)
    found = matching.match(given, layout, used)
    if chosen or found.complete:
        return found, used, False
    for name in rules.shipped():
        other = rules.load([name])
        tried = matching.match(given, layout, other)
        if tried.score > found.score:
            found, used = tried, other
    return found, used, used.sets != [rules.BASE]


class _Fed:
    """The arrays as the layer wants them."""

    def __init__(self, fetch: Callable[[str], np.ndarray]):
        self.fetch = fetch

    def value(self, one: Match, shape: Sequence[int]) -> np.ndarray:
        array = self.fetch(one.source) if one.folded is None else self._folded(*one.folded)
        if one.part is not None:
            axis, which, count = one.part
            size = array.shape[axis] // count
            array = array.take(range(which * size, (which + 1) * size), axis)
        if one.transposed and array.ndim == 2:
            array = array.T
        return np.ascontiguousarray(array).reshape(tuple(shape))

    def _folded(self, magnitude: str, direction: str) -> np.ndarray:
        """The weight of a weight norm: the direction with another length."""
        g, v = (_wide(self.fetch(n)).astype(np.float64) for n in (magnitude, direction))
        axes = tuple(i for i, size in enumerate(g.shape) if size == 1)
        norm = np.sqrt((v * v).sum(axes, keepdims=True))
        return (v * (g / norm)).astype(np.float32)


def _wide(array: np.ndarray) -> np.ndarray:
    return from_bits(array) if array.dtype == np.uint16 else array


def _compared(found: Matching, fed: _Fed) -> None:
    """Tensors for a parameter that has one already must hold the same."""
    for one, other in list(found.repeated):
        if other in found.matches and not np.array_equal(fed.value(one, (-1,)), fed.value(other, (-1,))):
            found.repeated.remove((one, other))
            found.conflicts.append((one, f"one tensor in the layer with {other.source}, which holds something else"))


def _modules(found: Matching, layout: Layout) -> list[tuple[str, str]]:
    """(PyTorch's module, the layer's): those that have the same weights whole."""
    pairs = [(m.source.rpartition(".")[0], layout.owner(m.parameter)) for m in found.matches if m.part is None]
    return list(dict.fromkeys(pairs))


def _doubtful(found: Matching, layout: Layout) -> list[str]:
    """Square matrices of layers of the user's own, which may be used either way round."""
    names = []
    for one in found.matches:
        shape = layout.parameters[one.parameter].shape
        owners = [layout.classes[layout.owner(n)] for n in layout.names(one.parameter)]
        known = any(c.startswith("paddle.nn.") for owner in owners for c in owner)
        if len(shape) == 2 and shape[0] == shape[1] > 1 and not known and not one.transposed:
            names.append(one.parameter)
    return names


def _padding(layer: Any, found: Matching, fed: _Fed) -> list[str]:
    """Paddle's Embedding answers zeros for the row of padding, PyTorch's what is stored there."""
    notes = []
    sources = {m.parameter: m for m in found.matches}
    for path, sub in layer.named_sublayers(include_self=True):
        row = getattr(sub, "_padding_idx", None)
        one = sources.get(f"{path}.weight" if path else "weight")
        if not isinstance(row, int) or row < 0 or one is None or type(sub).__name__ != "Embedding":
            continue
        values = fed.value(one, sub.weight.shape)
        if row < len(values) and np.any(_wide(values)[row]):
            notes.append(
                f"{path}: an Embedding with padding_idx={row} answers zeros for it in Paddle; PyTorch answers the row, "
                "which is not zero: masked positions apart, results differ"
            )
    return notes


# refusing -----------------------------------------------------------------------------------------------------------


def _counted(found: Matching) -> str:
    counts = (
        (len(found.missing), "parameters of the layer have no tensor"),
        (len(found.unmatched), "tensors have no parameter"),
        (len(found.conflicts), "do not fit"),
    )
    return ", ".join(f"{number} {words}" for number, words in counts if number)


def _said_prefix(prefix: tuple[str, str]) -> str:
    removed, added = prefix
    parts = [f"{removed!r} is left out of PyTorch's names"] if removed else []
    return " and ".join(parts + ([f"{added!r} is put before them"] if added else []))


def _refusal(found: Matching, rows: list[dict[str, Any]], total: int, where: str, used: rules.Rules) -> WeightsError:
    message = f"{where}: {len(found.matches)} of {total} tensors belong to the layer; {_counted(found)}"
    if not found.matches:
        message = f"{where}: none of the {total} tensors belongs to the layer"
    hint = f"the rules were {', '.join(used.sets)}; --rules takes {', '.join(rules.shipped())} or a file"
    return WeightsError(message, hint + ("; --partial takes what fits" if found.matches else ""), rows)
