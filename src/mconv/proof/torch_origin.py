"""The PyTorch model that a layer's weights come from, as another reference of the proof."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mconv.dygraph.live import LayerFailed, Live
from mconv.errors import RuntimeFailedError
from mconv.factory import inputs as factory_inputs
from mconv.factory.inputs import Call
from mconv.proof.runners import Answers
from mconv.proof.torch_runner import TorchRunner
from mconv.torch.exporting import named_leaves
from mconv.torch.sources import Source


class TorchOrigin:
    """The PyTorch model, asked with the layer's inputs.

    Args:
        source: the model.
        live: the layer with its weights.
        doubts: what to say where the model cannot be run.
        pairs: (PyTorch's module, the layer's) of the modules that share weights.
        binding: whether another answer than the layer's is a failure.
    """

    def __init__(self, source: Source, live: Live, doubts: list[str], pairs: Sequence[tuple[str, str]], binding: bool):
        self.source = source
        self.live = live
        self.doubts = doubts
        self.pairs = pairs
        self.binding = binding
        self.notes: list[str] = []
        self.runner = TorchRunner(source, named_leaves, source.label, widened=True)
        self.label = self.runner.label

    def run(self, call: Call, sets: Sequence[Mapping[str, np.ndarray]], wanted: Answers) -> tuple[Answers, list[int]]:
        names = self._names(call)
        try:
            got = self.runner.run([{names[n]: a for n, a in feed.items()} for feed in sets])
        except RuntimeFailedError:
            self.notes += self.doubts
            raise
        if not got.names:
            raise RuntimeFailedError(f"{self.label} returns no tensor")
        mine, theirs = self._pairs(wanted.names, got.names)
        return got.some(theirs), mine

    def _names(self, call: Call) -> dict[str, str]:
        """The layer's name of an input → PyTorch's: the same, or else the one at that position."""
        given = [i.name for i in call.inputs]
        try:
            parameters = factory_inputs.parameters_of(self.source.module.forward)
        except (TypeError, ValueError):  # of TorchScript
            parameters = {}
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        declared = [i.name for i in self.source.inputs] if self.source.program is not None else None
        usual = declared or [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if self.source.program is not None or self.source.positional:
            ordered = usual if set(usual) == set(given) else self._placed(given)
            return dict(zip(ordered, ordered)) if set(ordered) == set(given) else dict(zip(given, given))
        if takes_all and not usual or all(n in usual for n in given):
            return {n: n for n in given}
        if len(usual) < len(given):
            raise RuntimeFailedError(
                f"{self.label} takes {', '.join(usual) or 'nothing'}, the layer {', '.join(given)}"
            )
        return dict(zip(self._placed(given), usual))

    def _placed(self, given: list[str]) -> list[str]:
        """The layer's inputs in the order of its parameters."""
        order = {n: i for i, n in enumerate(factory_inputs.parameters_of(self.live.function))}
        return sorted(given, key=lambda n: order.get(n, len(order)))

    def _pairs(self, mine: Sequence[str], theirs: Sequence[str]) -> tuple[list[int], list[int]]:
        """Which outputs to compare: those at the same position; those of the same name where the numbers differ."""
        if len(mine) == len(theirs):
            return list(range(len(mine))), list(range(len(mine)))
        shared = [n for n in mine if n in theirs]
        if shared:
            pairs = [mine.index(n) for n in shared], [theirs.index(n) for n in shared]
        else:
            count = min(len(mine), len(theirs))
            pairs = list(range(count)), list(range(count))
        self.notes.append(
            f"PyTorch gives {len(theirs)} outputs, the layer {len(mine)}: compared "
            f"{', '.join(theirs[i] for i in pairs[1])}"
        )
        return pairs

    def explain(self, call: Call, feed: Mapping[str, np.ndarray]) -> str:
        """The first of the modules that share weights whose outputs differ, and whether its inputs do already."""
        theirs, mine = dict(self.source.module.named_modules()), dict(self.live.layer.named_sublayers())
        pairs = [(a, b) for a, b in self.pairs if a in theirs and b in mine]
        seen: dict[tuple[str, str], list[np.ndarray]] = {}
        hooks: list[Any] = []

        def watch(module: Any, name: str, register: Any) -> None:
            def note(module: Any, given: Any, result: Any) -> None:
                for kind, value in (("in", given), ("out", result)):
                    tensor = _first(value)
                    if tensor is not None and (kind, name) not in seen:
                        seen[kind, name] = [np.array(tensor.detach().numpy())]

            hooks.append(register(note))

        for a, b in pairs:
            watch(theirs[a], f"torch {a}", theirs[a].register_forward_hook)
            watch(mine[b], f"paddle {b}", mine[b].register_forward_post_hook)
        names = self._names(call)
        self.runner.forget()
        with contextlib.suppress(RuntimeFailedError, LayerFailed):
            self.live.run(call, feed)
            self.runner.run([{names[n]: a for n, a in feed.items()}])
        for hook in hooks:
            hook.remove()
        order = {key[1]: i for i, key in enumerate(seen)}
        for a, b in sorted(pairs, key=lambda p: order.get(f"torch {p[0]}", len(order))):
            out = _apart(seen.get(("out", f"torch {a}")), seen.get(("out", f"paddle {b}")))
            if out:
                before = _apart(seen.get(("in", f"torch {a}")), seen.get(("in", f"paddle {b}")))
                where = f"{b} ({type(mine[b]).__name__}; PyTorch's {a})"
                if before:
                    return f"they part before {where}, whose input differs by {before:.3g}"
                return f"they part in {where}, whose output differs by {out:.3g} on the same input"
        return "all layers with weights agree: they part after the last of them" if seen else ""


def _first(value: Any) -> Any:
    """The first tensor in what a module takes or gives."""
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    return value if hasattr(value, "detach") and hasattr(value, "numpy") else None


def _apart(a: Any, b: Any) -> float:
    """The largest difference of two arrays where it is more than rounding; 0 where they cannot be compared."""
    if a is None or b is None or a[0].shape != b[0].shape or a[0].dtype.kind != "f" or b[0].dtype.kind != "f":
        return 0.0
    apart = float(np.abs(a[0].astype(np.float64) - b[0]).max()) if a[0].size else 0.0
    return apart if apart > 2e-5 * max(1.0, float(np.abs(a[0]).max())) else 0.0
